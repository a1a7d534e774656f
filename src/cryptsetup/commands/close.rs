//! `close`.

use serde_json::json;

use super::context::Context;
use super::{active, serve};
use crate::console::Persona;
use crate::cryptsetup::error::{CliError, MappingError};
use crate::dm::{DeviceId, Dm};
use crate::volume::{self, Deactivated};

pub(super) fn close(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    if let Some(served) = serve::find(name) {
        return serve::close(&served);
    }
    let (dm, name) = active::find(name)?;
    // cryptsetup does not regard a device without a table as its own, and leaves it alone.
    let info = (cx.console.persona() == Persona::Cryptsetup).then(|| dm.info(&DeviceId::Name(name.clone())));
    if matches!(info, Some(Ok(info)) if !info.live_table) {
        return Err(CliError::Mapping(MappingError::NoTable(name.to_string())));
    }
    if cx.options.cancel_deferred {
        // cryptsetup prints nothing.
        return Ok(volume::cancel_deferred(&dm, &name)?);
    }
    match volume::deactivate(&dm, &name, cx.options.deferred)? {
        Deactivated::Gone => {}
        Deactivated::Deferred => {
            cx.console.say(format_args!(
                "Device {name} is still active and scheduled for deferred removal."
            ));
        }
    }
    Ok(())
}

/// `close --all`: as at shutdown.
pub(super) fn close_all(cx: &Context<'_>) -> Result<(), CliError> {
    let closed = volume::close_all(&Dm::open()?, cx.options.deferred)?;
    let texts = |names: &[crate::dm::DeviceName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    for name in &closed.closed {
        cx.console.verbose(format_args!("Device {name} is closed."));
    }
    for name in &closed.deferred {
        cx.console.say(format_args!(
            "Device {name} is still active and scheduled for deferred removal."
        ));
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
