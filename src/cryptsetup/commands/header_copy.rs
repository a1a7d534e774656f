//! `luksHeaderBackup` and `luksHeaderRestore`.

use std::path::Path;

use serde_json::json;

use super::context::Context;
use super::dump;
use crate::console::ExitCode;
use crate::console::Persona;
use crate::crypt_device::{self, CryptError, is_on_volume};
use crate::cryptsetup::error::CliError;
use crate::header_device::Wanted;
use crate::terminal_text::shown;

/// `luksHeaderBackup`: the file is new, read-only, and was read back.
pub(super) fn backup(cx: &Context<'_>, device: &Path, file: &Path) -> Result<(), CliError> {
    let mut volume = cx.read(device, Wanted::Any)?;
    volume.back_up_to(file)?;
    if cx.console.persona() == Persona::Luksmith && is_on_volume(file, device) {
        cx.console.complain(format_args!(
            "WARNING: {} is on the volume that it is to save: keep a copy elsewhere.",
            shown(file)
        ));
    }
    cx.console.answer(|| json!({ "file": file }), String::new);
    Ok(())
}

/// `luksHeaderRestore`: onto a device, or into a file, which grows if necessary.
pub(super) fn restore(cx: &Context<'_>, device: &Path, file: &Path) -> Result<(), CliError> {
    let header_device = cx.header_device(device);
    let revived = cx.changing(|changing| crypt_device::restore(changing, cx, &header_device, file));
    let revived = revived.map_err(|error| match error {
        CryptError::Declined => CliError::Quiet(ExitCode::Failure, "Operation aborted.".into()),
        error => error.into(),
    })?;
    cx.console
        .answer(|| json!({ "revived": dump::keyslot_numbers(&revived) }), String::new);
    Ok(())
}
