//! `close`.

use serde_json::json;

use super::active::mapped_at_all;
use super::context::Context;
use crate::console::Persona;
use crate::crypt_device::{self, CloseHow, Closed};
use crate::cryptsetup::error::{CliError, MappingError};
use crate::dm::DeviceName;

pub(super) fn close(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    let how = match (cx.options.cancel_deferred, cx.options.deferred) {
        (true, _) => CloseHow::CancelDeferred,
        (false, true) => CloseHow::Deferred,
        (false, false) => CloseHow::Now,
    };
    // cryptsetup does not regard a device without a table as its own, and leaves it alone.
    let needs_table = cx.console.persona() == Persona::Cryptsetup;
    let closed = crypt_device::close(name, how, needs_table);
    match closed.map_err(|error| mapped_at_all(error.into()))? {
        // cryptsetup prints nothing.
        Closed::Gone | Closed::Kept => {}
        Closed::Deferred(name) => tell_deferred(cx, &name),
    }
    Ok(())
}

fn tell_deferred(cx: &Context<'_>, name: &DeviceName) {
    cx.console.say(format_args!(
        "Device {name} is still active and scheduled for deferred removal."
    ));
}

/// `close --all`: as at shutdown.
pub(super) fn close_all(cx: &Context<'_>) -> Result<(), CliError> {
    let closed = crypt_device::close_all(cx.options.deferred)?;
    let texts = |names: &[DeviceName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    for name in &closed.closed {
        cx.console.verbose(format_args!("Device {name} is closed."));
    }
    for name in &closed.deferred {
        tell_deferred(cx, name);
    }
    for (name, holders) in &closed.in_use {
        let users: Vec<_> = holders.iter().map(ToString::to_string).collect();
        cx.console
            .complain(format_args!("Device {name} is still in use: {}.", users.join(", ")));
    }
    cx.console.answer(
        || {
            let in_use: Vec<_> = closed.in_use.iter().map(|(name, _)| name.to_string()).collect();
            json!({ "closed": texts(&closed.closed), "deferred": texts(&closed.deferred), "in_use": in_use })
        },
        String::new,
    );
    match closed.in_use.len() {
        0 => Ok(()),
        count => Err(CliError::Mapping(MappingError::StillInUse(count))),
    }
}
