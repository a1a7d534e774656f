//! A backup of either version behind one interface.
//!
//! A backup may be restored over a header of the other version, or over none: then there is nothing to compare it with,
//! and what the device holds is lost. [`Backup::check`] reports that beforehand.

use crate::KeyslotId;
use crate::header::{Header, Version};
pub use crate::luks1::AtRisk;
use crate::storage::Storage;
use crate::units::Bytes;
use crate::{Result, luks1, luks2};

/// A backup that was read and validated, except for its key material: without a passphrase, that looks like noise.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one backup at a time")]
pub enum Backup {
    /// LUKS1.
    Luks1(luks1::Backup),
    /// LUKS2.
    Luks2(luks2::backup::Backup),
}

/// Why a backup cannot be restored onto a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupRefused {
    /// LUKS1.
    #[error(transparent)]
    Luks1(#[from] luks1::BackupRefused),
    /// LUKS2.
    #[error(transparent)]
    Luks2(#[from] luks2::backup::BackupRefused),
}

/// The consequences of restoring a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Whether there is a header of the same version on the device now.
    pub replaces: bool,
    /// Whether backup and device have the same UUID.
    pub same_uuid: bool,
    /// Whether the device is in reencryption: its progress would be lost with the header, and the data with that.
    pub loses_reencryption: bool,
    /// Whether the backup is of a reencryption that the device is not in, any more or yet: data that are converted would be taken for
    /// data that are not, and the other way round.
    pub revives_reencryption: bool,
    /// Keyslots whose passphrases may work after it, but do not now: perhaps they were removed for a reason.
    pub revives: Vec<KeyslotId>,
}

impl Backup {
    /// Reads the header of a backup, and checks that the key material of all keyslots is there.
    ///
    /// # Errors
    /// As [`Header::read`]; [`Error::DeviceTooSmall`](crate::Error::DeviceTooSmall) where the file ends too early.
    pub fn read(file: &mut dyn Storage) -> Result<Self> {
        match Header::read(file)?.version() {
            Version::Luks1 => luks1::Backup::read(file).map(Self::Luks1),
            Version::Luks2 => luks2::backup::Backup::read(file).map(Self::Luks2),
        }
    }

    /// Its version.
    pub fn version(&self) -> Version {
        match self {
            Self::Luks1(_) => Version::Luks1,
            Self::Luks2(_) => Version::Luks2,
        }
    }

    /// UUID of the volume that it is of.
    pub fn uuid(&self) -> &str {
        match self {
            Self::Luks1(backup) => backup.header().uuid(),
            Self::Luks2(backup) => &backup.header().binary().uuid,
        }
    }

    /// The size of the area at the start of the device that a restore writes.
    pub fn size(&self) -> Bytes {
        match self {
            Self::Luks1(backup) => backup.end(),
            Self::Luks2(backup) => backup.header().size(),
        }
    }

    /// Checks whether the backup fits a device with the header `device`, or none, and returns what it would change.
    /// `device_size` is `None` for a file that can grow.
    ///
    /// # Errors
    /// [`BackupRefused`].
    pub fn check(
        &self,
        device: Option<&Header>,
        device_size: Option<Bytes>,
    ) -> std::result::Result<Restore, BackupRefused> {
        let loses_reencryption = device.is_some_and(Header::in_reencryption);
        let of_one = matches!(self, Self::Luks2(backup) if backup.header().in_reencryption());
        let revives_reencryption = of_one && device.is_some() && !loses_reencryption;
        Ok(match self {
            Self::Luks1(backup) => {
                let found = backup.check(device.and_then(Header::luks1), device_size)?;
                Restore {
                    replaces: found.replaces,
                    same_uuid: found.same_uuid,
                    loses_reencryption,
                    revives_reencryption,
                    revives: found.revives,
                }
            }
            Self::Luks2(backup) => {
                let found = backup.check(device.and_then(Header::luks2), device_size)?;
                Restore {
                    replaces: found.replaces,
                    same_uuid: found.same_uuid,
                    loses_reencryption,
                    revives_reencryption,
                    revives: found.revives,
                }
            }
        })
    }

    /// What a stop at any write of [`Backup::restore`] could cost: every keyslot over a header of the other version, and in
    /// LUKS2 where the new keyslots do not fit beside the old ones.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn at_risk(&self, file: &mut dyn Storage, device: &mut dyn Storage, there: Option<&Header>) -> Result<AtRisk> {
        match (self, there) {
            // There is nothing to lose.
            (_, None) => Ok(AtRisk::Nothing),
            (Self::Luks1(backup), Some(Header::Luks1(there))) => backup.at_risk(file, device, there),
            (Self::Luks2(backup), Some(Header::Luks2(there))) => match backup.survives_a_stop(file, device, there)? {
                true => Ok(AtRisk::Nothing),
                false => Ok(AtRisk::Header),
            },
            _ => Ok(AtRisk::Header),
        }
    }

    /// Writes the backup in `file` over the header `there`, or over none, and reads it back. The caller holds the
    /// exclusive lock.
    ///
    /// # Errors
    /// [`Error::NeededByReencryption`](crate::Error::NeededByReencryption), [`Error::ChangedMeanwhile`](crate::Error::ChangedMeanwhile),
    /// [`Error::NotRestored`](crate::Error::NotRestored), [`Error::Io`](crate::Error::Io).
    pub fn restore(&self, file: &mut dyn Storage, device: &mut dyn Storage, there: Option<&Header>) -> Result<()> {
        match there.is_some_and(Header::in_reencryption) {
            true => Err(crate::Error::NeededByReencryption),
            false => self.replace(file, device, there),
        }
    }

    /// As [`Backup::restore`], even if a reencryption is lost with the header that is there.
    ///
    /// # Errors
    /// As [`Backup::restore`].
    pub fn replace(&self, file: &mut dyn Storage, device: &mut dyn Storage, there: Option<&Header>) -> Result<()> {
        match self {
            Self::Luks1(backup) => {
                backup.restore(file, device, there.and_then(Header::luks1))?;
                // Otherwise it would be found again if the new header were damaged.
                if let Some(Header::Luks2(old)) = there
                    && old.binary().hdr_size >= self.size()
                {
                    luks2::copies::forget_secondary(device, old.binary().hdr_size)?;
                }
                backup.verify(file, device)
            }
            Self::Luks2(backup) => {
                backup.restore(file, device, there.and_then(Header::luks2))?;
                backup.verify(file, device)
            }
        }
    }
}
