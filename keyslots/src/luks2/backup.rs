//! Header backups: both copies and the keyslots area, byte for byte, and their way back.

use std::io::Write;

use super::copies::{self, Copy};
use super::format::{BINARY_HEADER_SIZE, Which};
use super::{Header, KNOWN_REQUIREMENTS};
use crate::storage::Storage;
use crate::units::Bytes;
use crate::wipe::wipe_zeros;
use crate::{Error, Result};

/// Bytes that are copied at a time.
const CHUNK: usize = 1024 * 1024;

/// A backup that was read and validated, but not its key material, which only a passphrase can tell from noise.
#[derive(Clone, Debug)]
pub struct Backup {
    header: Header,
}

/// Why a backup cannot be restored onto a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupRefused {
    /// The data would start elsewhere.
    #[error("the data start at {backup} in the backup and at {device} on the device")]
    DataOffset {
        /// In the backup.
        backup: Bytes,
        /// On the device.
        device: Bytes,
    },
    /// The header would reach into the data.
    #[error("the header takes {backup} in the backup and {device} on the device")]
    Size {
        /// In the backup.
        backup: Bytes,
        /// On the device.
        device: Bytes,
    },
    /// The device is too small.
    #[error("the backup takes {needed}, the device has {device}")]
    DoesNotFit {
        /// What it takes.
        needed: Bytes,
        /// What is there.
        device: Bytes,
    },
    /// A requirement that a restored header may not have: only the device itself knows how far it has come.
    #[error("the backup has the requirement {0}")]
    Requirement(String),
}

/// What restoring a backup would mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Whether there is a LUKS2 header on the device now.
    pub replaces: bool,
    /// Whether backup and device have the same UUID.
    pub same_uuid: bool,
    /// Keyslots whose passphrases may work after it, and not now: perhaps removed for a reason.
    pub revives: Vec<u32>,
}

impl Header {
    /// Writes the bytes of both copies and of the keyslots area to `out`, and returns how many.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn backup(&self, storage: &mut dyn Storage, out: &mut dyn Write) -> Result<Bytes> {
        let size = self.size();
        copy_range(storage, Bytes::ZERO, size, |_, chunk| {
            out.write_all(chunk).map_err(Error::io("write the header backup"))
        })?;
        Ok(size)
    }
}

impl Backup {
    /// Reads and validates the header in a backup.
    ///
    /// # Errors
    /// As [`Header::read`]; [`Error::DeviceTooSmall`] where the file ends before the keyslots area does.
    pub fn read(file: &mut dyn Storage) -> Result<Self> {
        let header = Header::read(file)?;
        let size = file.size().map_err(Error::io("get the size of the header backup"))?;
        if size < header.size() {
            return Err(Error::DeviceTooSmall {
                size: size.get(),
                needed: header.size().get(),
            });
        }
        Ok(Self { header })
    }

    /// The header in the backup.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Decides whether the backup fits a device with the header `device`, or none, and says what it would change.
    /// `device_size` is `None` for a file that can grow.
    ///
    /// # Errors
    /// [`BackupRefused`].
    pub fn check(
        &self,
        device: Option<&Header>,
        device_size: Option<Bytes>,
    ) -> std::result::Result<Restore, BackupRefused> {
        let needed = self.header.size();
        if let Some(size) = device_size.filter(|&size| size < needed) {
            return Err(BackupRefused::DoesNotFit { needed, device: size });
        }
        let requirements = self.header.metadata().config.requirements.iter();
        let mut forbidden = requirements.filter(|name| !may_be_restored(name));
        if let Some(requirement) = forbidden.next() {
            return Err(BackupRefused::Requirement(requirement.clone()));
        }
        let slots = self.header.metadata().keyslots.keys().copied();
        let Some(device) = device else {
            return Ok(Restore {
                replaces: false,
                same_uuid: false,
                revives: slots.collect(),
            });
        };
        let offset = |header: &Header| header.segment().map_or(Bytes::ZERO, |segment| segment.offset);
        if offset(&self.header) != offset(device) {
            return Err(BackupRefused::DataOffset {
                backup: offset(&self.header),
                device: offset(device),
            });
        }
        if needed != device.size() {
            return Err(BackupRefused::Size {
                backup: needed,
                device: device.size(),
            });
        }
        let there = &device.metadata().keyslots;
        let same = |slot: &u32| there.get(slot) == self.header.metadata().keyslots.get(slot);
        Ok(Restore {
            replaces: true,
            same_uuid: self.header.binary().uuid == device.binary().uuid,
            revives: slots.filter(|slot| !same(slot)).collect(),
        })
    }

    /// Writes the backup in `file` to `device`: the keyslots area, then the copies. A stop on the way leaves a device
    /// on which it can be done again.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn restore(&self, file: &mut dyn Storage, device: &mut dyn Storage) -> Result<()> {
        let hdr_size = self.header.binary().hdr_size;
        let areas = hdr_size.checked_mul(2).ok_or(Error::NotLuks)?;
        copy_range(file, areas, self.header.size(), |at, chunk| {
            device.write_at(at, chunk).map_err(Error::io("write the keyslots area"))
        })?;
        device.sync().map_err(Error::io("sync the keyslots area"))?;
        // The copy of the old header that is not written first must not win over the new one by a higher seqid.
        for offset in super::format::HEADER_SIZES.into_iter().filter(|&offset| offset < areas) {
            wipe_zeros(device, offset, BINARY_HEADER_SIZE)?;
        }
        let copy = Copy {
            binary: self.header.binary().clone(),
            metadata: self.header.metadata().clone(),
        };
        copies::recover(device, &copy, Which::Primary)?;
        copies::recover(device, &copy, Which::Secondary)
    }
}

fn may_be_restored(requirement: &str) -> bool {
    KNOWN_REQUIREMENTS.contains(&requirement)
        && (requirement.starts_with("online-reencrypt") || requirement == "inline-hw-tags")
}

fn copy_range(
    from: &mut dyn Storage,
    start: Bytes,
    end: Bytes,
    mut put: impl FnMut(Bytes, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut at = start;
    while let Some(rest) = end.checked_sub(at).filter(|&rest| rest > Bytes::ZERO) {
        let now = rest.to_usize().unwrap_or(CHUNK).min(CHUNK);
        from.read_at(at, &mut chunk[..now])
            .map_err(Error::io("read the header"))?;
        put(at, &chunk[..now])?;
        at = at.checked_add(Bytes::new(now as u64)).unwrap_or(end);
    }
    Ok(())
}
