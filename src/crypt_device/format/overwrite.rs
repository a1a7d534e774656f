//! What a new volume is about to overwrite: found, and confirmed.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyslots::Error;
use keyslots::units::SECTOR_SIZE;

use super::{FormatRequest, Look};
use crate::block_device::signatures;
use crate::crypt_device::ask::agree;
use crate::crypt_device::{Confirm, CryptError, FormatError, HeaderPlace, Question};
use crate::header_device::{HeaderDevice, Wanted};
use crate::log;
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
            fs::symlink_metadata(&self.path)
                .is_ok_and(|named| (named.dev(), named.ino()) == (made.dev(), made.ino()) && made.len() == 0)
        };
        if self.file.metadata().is_ok_and(is_it) {
            // A file that cannot be removed is empty, and does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file of less than a sector is refused as by cryptsetup: it is a mistake, most often a key file in the wrong place,
/// and would be lost.
pub(super) fn check_not_tiny(path: &Path) -> Result<(), FormatError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() < SECTOR_SIZE => Err(FormatError::Tiny(path.to_owned())),
        _ => Ok(()),
    }
}

/// Asks whether what is on the device may be overwritten. A detached header may be a file that does not exist yet, and is
/// made then.
pub(super) fn agree_to_overwrite(
    request: &FormatRequest<'_>,
    confirm: &dyn Confirm,
) -> Result<Option<MadeFile>, CryptError> {
    let path = request.header.path();
    if request.place == HeaderPlace::Apart && !path.exists() {
        return create_header_file(path, confirm).map(Some);
    }
    let found = match request.look {
        Look::No => Vec::new(),
        Look::Must => signatures::probe(path).map_err(Error::io("look for signatures"))?,
        Look::May => signatures::probe(path).unwrap_or_else(|error| {
            log::debug(format_args!(
                "{} was not looked at for signatures: {error}.",
                shown(path)
            ));
            Vec::new()
        }),
    };
    let protected = match request.look {
        Look::Must => protected_keyslots(request.header),
        Look::No | Look::May => Vec::new(),
    };
    let question = Question::Overwrite {
        device: path,
        found: &found,
        protected: &protected,
    };
    agree(confirm, &question)?;
    Ok(None)
}

/// The keyslots that are protected from removal: they are lost anyway, with the rest.
fn protected_keyslots(device: &HeaderDevice) -> Vec<slot_names::SlotName> {
    let mut names = device
        .peek(Wanted::Any)
        .map_or_else(|_| Vec::new(), |(header, _)| slot_names::list(&header));
    names.retain(|name| name.protected);
    names
}

fn create_header_file(path: &Path, confirm: &dyn Confirm) -> Result<MadeFile, CryptError> {
    agree(confirm, &Question::CreateHeaderFile(path)).map_err(|_| FormatError::HeaderFileDeclined)?;
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let file = made.map_err(Error::io("create the header file"))?;
    Ok(MadeFile {
        path: path.to_owned(),
        file,
    })
}
