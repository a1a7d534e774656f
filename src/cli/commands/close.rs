//! `close`.

use super::open::device_name;
use super::{Context, serve};
use crate::cli::error::CliError;
use crate::dm::Dm;
use crate::volume::{self, Deactivated};

pub(super) fn close(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    if let Some(served) = serve::find(name) {
        return serve::close(&served);
    }
    let (dm, name) = (Dm::open()?, device_name(name)?);
    if cx.options.cancel_deferred {
        volume::cancel_deferred(&dm, &name)?;
        cx.console
            .say(format_args!("Deferred removal of device {name} is cancelled."));
        return Ok(());
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
