//! What `luksFormat` is about to overwrite: warning and confirmation.

use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyslots::units::SECTOR_SIZE;

use super::super::context::Context;
use crate::block_device::{Signature, signatures};
use crate::console::confirm;
use crate::cryptsetup::error::CliError;
use crate::header_device::{HeaderDevice, Wanted};
use crate::slot_names;
use crate::terminal_text::shown;

/// A header's file that was created for this volume. If the volume is not made after all, it is removed again, unless it
/// has contents.
#[derive(Debug)]
pub(super) struct MadeFile {
    path: PathBuf,
    pub(super) file: File,
}

impl Drop for MadeFile {
    fn drop(&mut self) {
        // Another file may have its name by now.
        let is_it = |made: Metadata| {
            std::fs::symlink_metadata(&self.path)
                .is_ok_and(|named| (named.dev(), named.ino()) == (made.dev(), made.ino()) && made.len() == 0)
        };
        if self.file.metadata().is_ok_and(is_it) {
            // A file that cannot be removed is empty, and does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A file of less than a sector is refused as by cryptsetup: it is a mistake, most often a key file in the wrong place,
/// and would be lost.
pub(super) fn check_not_tiny(path: &Path) -> Result<(), CliError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() < SECTOR_SIZE => {
            Err(CliError::DeviceTiny(path.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Lists the contents of the device, and asks whether to overwrite them.
pub(super) fn warn(cx: &Context<'_>, device: &HeaderDevice) -> Result<Option<MadeFile>, CliError> {
    let path = device.path();
    if cx.options.header.is_some() && !path.exists() {
        return create_header_file(cx, path).map(Some);
    }
    let batch = cx.console.batch();
    if !cx.options.disable_blkid && (!batch || cx.options.debug || cx.options.debug_json) {
        let found = match signatures::probe(path) {
            Err(error) if batch => {
                cx.console.debug(format_args!(
                    "{} was not looked at for signatures: {error}.",
                    shown(path)
                ));
                Vec::new()
            }
            found => found.map_err(CliError::io("look for signatures"))?,
        };
        if batch {
            // Overwriting without confirmation is logged, for installers.
            for_each_kind(&found, |signature| {
                let device = shown(path);
                cx.console
                    .debug(format_args!("Device {device} already contains a {signature}."));
            });
        } else {
            warn_of(cx, path, &found);
            warn_of_protected(cx, device);
        }
    }
    let question = format!("This will overwrite data on {} irrevocably.", shown(path));
    match confirm(cx.console, &question) {
        true => Ok(None),
        false => Err(CliError::Aborted),
    }
}

/// Lists the keyslots that are protected from removal: they are lost anyway, with the rest.
fn warn_of_protected(cx: &Context<'_>, device: &HeaderDevice) {
    let Ok((header, _)) = device.peek(Wanted::Any) else {
        return;
    };
    for name in slot_names::list(&header).iter().filter(|name| name.protected) {
        cx.console.say(format_args!(
            "WARNING: Keyslot {} ({:?}) on {} is protected from being removed.",
            name.slot,
            name.name,
            shown(device.path())
        ));
    }
}

/// Lists the signatures of a device.
pub(in super::super) fn warn_of(cx: &Context<'_>, path: &Path, found: &[Signature]) {
    for_each_kind(found, |signature| {
        cx.console.say(format_args!(
            "WARNING: Device {} already contains a {signature}.",
            shown(path)
        ));
    });
}

/// A signature with copies is reported once.
fn for_each_kind(found: &[Signature], mut tell: impl FnMut(&Signature)) {
    for (n, signature) in found.iter().enumerate() {
        if found[..n].iter().all(|earlier| earlier.name != signature.name) {
            tell(signature);
        }
    }
}

/// A detached header may be a file that does not exist yet.
fn create_header_file(cx: &Context<'_>, path: &Path) -> Result<MadeFile, CliError> {
    if !confirm(
        cx.console,
        &format!("Header file {} does not exist, do you want to create it?", shown(path)),
    ) {
        return Err(CliError::HeaderFileNotMade);
    }
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let file = made.map_err(CliError::io("create the header file"))?;
    Ok(MadeFile {
        path: path.to_owned(),
        file,
    })
}
