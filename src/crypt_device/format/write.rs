//! From a plan to a volume. All checks of the devices are repeated on the descriptors that are written to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use keyslots::Error;
use keyslots::KeyslotId;
use keyslots::header::Header;
use keyslots::secret::{Passphrase, VolumeKey};
use keyslots::storage::Storage;
use keyslots::units::Bytes;

use super::request::LOOKING;
use super::{FormatTarget, Planned};
use crate::block_device;
use crate::crypt_device::cost::WrappedKeyslot;
use crate::crypt_device::{Changing, CryptError, HeaderPlace, Others, check_header_unused, open_to_look};
use crate::data_device::{self, Claim};
use crate::header_device::HeaderError;
use crate::same_bytes;
use crate::slot_names;
use crate::unfinished::Unfinished;
use crate::volume::VolumeError;

/// A volume that has been made.
#[derive(Debug)]
pub struct Made {
    /// Its key.
    pub key: VolumeKey,
    /// Its header.
    pub header: Header,
    /// The place of the header.
    pub file: File,
    /// Its keyslot.
    pub keyslot: KeyslotId,
}

impl Planned<'_> {
    /// Derives the key of the keyslot, and writes the volume.
    ///
    /// # Errors
    /// [`CryptError`]; [`Error::ChangedMeanwhile`] where it is not the device any more that was looked at.
    pub fn write(mut self, changing: &Changing<'_>, passphrase: &Passphrase) -> Result<Made, CryptError> {
        // Memory for the derivation, or room for the keyslot, may be missing: this has to be known before the old header is
        // lost.
        let sealed = self.seal(changing, passphrase)?;
        let (keyslot, file) = self.write_sealed(changing, &sealed)?;
        Ok(Made {
            key: self.key,
            header: self.header,
            file,
            keyslot,
        })
    }

    fn seal(&self, changing: &Changing<'_>, passphrase: &Passphrase) -> Result<WrappedKeyslot, CryptError> {
        let sealed = self.cost.seal(&self.header, (&self.key, passphrase), changing, false)?;
        if let (Header::Luks2(header), WrappedKeyslot::Luks2(sealed)) = (&self.header, &sealed) {
            header.check_room(sealed)?;
        }
        Ok(sealed)
    }

    fn write_sealed(
        &mut self,
        changing: &Changing<'_>,
        sealed: &WrappedKeyslot,
    ) -> Result<(KeyslotId, File), CryptError> {
        let request = self.prepared.request;
        let device = request.header;
        changing.exclusive(device, Others::May, |file, was_luks1| {
            let looking = || Error::io(LOOKING);
            // A person took time for a passphrase meanwhile: another device may be under the path, or this one be mounted.
            if let Some(seen) = &self.prepared.seen
                && !seen.is_open_as(file).map_err(looking())?
            {
                return Err(Error::ChangedMeanwhile.into());
            }
            let _claim = self.claim(file)?;
            let size = self.header_size();
            self.check_apart(file, size)?;
            if changing.backup.is_some() {
                match Header::read(file) {
                    Ok(header) => changing.back_up(&header, file)?,
                    // There is nothing that a backup could be of.
                    Err(Error::NotLuks) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let kept = file.try_clone().map_err(looking())?;
            if let FormatTarget::Image {
                held: Some(target),
                sparse,
                ..
            } = request.target
            {
                empty(target).map_err(Error::io("empty the target"))?;
                if !sparse && let Some(whole) = self.prepared.image_end(self.data_offset) {
                    block_device::reserve(target, whole).map_err(Error::io("reserve space for the image"))?;
                }
            }
            device.grow_file(file, size)?;
            let unfinished = match request.target {
                FormatTarget::Device => false,
                FormatTarget::Plaintext => true,
                // A pipe gets its header when that is whole.
                FormatTarget::Image { held, .. } => held.is_some() || request.place == HeaderPlace::Apart,
            };
            let slot = match unfinished {
                true => self.write_header(changing, &mut Unfinished(file), sealed)?,
                false => self.write_header(changing, file, sealed)?,
            };
            if was_luks1 {
                changing.look_again(device, file, &self.header, None)?;
            }
            Ok((slot, kept))
        })
    }

    /// What the header and its keyslots take of the device.
    fn header_size(&self) -> Bytes {
        match (&self.header, self.prepared.request.place) {
            (Header::Luks1(header), HeaderPlace::Apart) => header.metadata_size(),
            (Header::Luks1(header), HeaderPlace::WithData) => header.metadata_size().max(self.data_offset),
            (Header::Luks2(header), _) => header.size(),
        }
    }

    /// Writes the header without keyslots, and then its keyslot. Returns that.
    fn write_header(
        &mut self,
        changing: &Changing<'_>,
        storage: &mut dyn Storage,
        sealed: &WrappedKeyslot,
    ) -> Result<KeyslotId, CryptError> {
        let request = &self.prepared.request;
        let (medium, slot) = (request.header.medium(), self.prepared.keyslot);
        match (&mut self.header, sealed) {
            (Header::Luks1(header), WrappedKeyslot::Luks1(sealed, _)) => {
                header.write_new(storage, medium)?;
                Ok(header.add_keyslot(storage, slot, sealed)?)
            }
            (Header::Luks2(header), WrappedKeyslot::Luks2(sealed)) => {
                header.write_new(storage, medium)?;
                let mut change = header.begin()?;
                let slot = change.add_keyslot(slot, sealed, &self.key, changing.limits)?;
                if let Some((name, protect)) = request.name {
                    slot_names::set(&mut change, slot, name, Some(protect))?;
                }
                change.commit(storage, medium)?;
                Ok(slot)
            }
            _ => Err(Error::ChangedMeanwhile.into()),
        }
    }

    /// Checks that the target to be overwritten is not in use, and keeps it so.
    fn claim(&self, file: &mut File) -> Result<Option<Claim>, CryptError> {
        let request = &self.prepared.request;
        let (apart, path) = (request.place == HeaderPlace::Apart, request.header.path());
        if !apart && !request.target.is_device() {
            // It is already held.
            return Ok(None);
        }
        if request.target.is_device() && apart && !block_device::is_same(request.device, path) {
            data_device::check_destroyable(request.device)?;
        }
        let claim = data_device::claim(file, path)?;
        check_header_unused(file, path)?;
        Ok(Some(claim))
    }

    /// A detached header must not overlap the data, by whatever paths.
    fn check_apart(&self, file: &File, size: Bytes) -> Result<(), CryptError> {
        let request = &self.prepared.request;
        if request.place == HeaderPlace::WithData {
            return Ok(());
        }
        let overlap = || {
            let data = match request.target {
                FormatTarget::Device | FormatTarget::Plaintext => open_to_look(request.device)?,
                FormatTarget::Image { held: Some(held), .. } => held.try_clone()?,
                FormatTarget::Image { held: None, .. } => return Ok(false),
            };
            let header = same_bytes::ground_of_range(file, Bytes::ZERO, Some(size))?;
            Ok(header.overlaps(&same_bytes::ground_of_range(&data, self.data_offset, None)?))
        };
        match overlap().map_err(Error::io(LOOKING))? {
            true => Err(VolumeError::HeaderOverData.into()),
            false => Ok(()),
        }
    }
}

/// Empties a file: it has no other user, and the user has confirmed everything.
fn empty(file: &File) -> io::Result<()> {
    match file.metadata()?.is_file() {
        true => file.set_len(0),
        false => Ok(()),
    }
}

/// Checks that a block device has this much room; a file grows.
///
/// # Errors
/// [`HeaderError::TooSmall`], or the system's.
pub fn check_room(target: &File, path: &Path, needed: Bytes) -> Result<(), CryptError> {
    let metadata = target.metadata().map_err(Error::io(LOOKING))?;
    if !metadata.file_type().is_block_device() {
        return Ok(());
    }
    let size = target.try_clone().and_then(|mut target| target.size());
    match size.map_err(Error::io("get the size of the device"))? < needed {
        true => Err(HeaderError::TooSmall {
            path: path.to_owned(),
            needed,
        }
        .into()),
        false => Ok(()),
    }
}
