//! Why an operation on an encrypted device failed: the fact, and the errno that a C library would return.

mod cost;
mod format;
mod reencrypt;
mod restore;
mod token;

use std::path::PathBuf;

use keyslots::KeyslotId;
use keyslots::cipher::CipherError;
use keyslots::header::Version;
use keyslots::kdf::KdfError;
use nix::errno::Errno;

use crate::block_device::Holder;
use crate::data_device::DataDeviceError;
use crate::dm::{DmError, DmErrorKind};
use crate::header_backup::BackupError;
use crate::header_device::{HeaderError, Wanted};
use crate::keyring::KeyringError;
use crate::locks::LockError;
use crate::slot_names::SlotNameError;
use crate::userspace::{ServeError, UserspaceError};
use crate::volume::{PlainKeyError, VolumeError};

pub use cost::CostError;
pub use format::FormatError;
pub use reencrypt::ReencryptionError;
pub use restore::RestoreError;
pub use token::TokenRefused;

/// An operation that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CryptError {
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The device with the data.
    #[error(transparent)]
    Data(#[from] DataDeviceError),
    /// The mapping.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The names of keyslots.
    #[error(transparent)]
    SlotName(#[from] SlotNameError),
    /// The backup that comes before a change.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The device that was looked at has been replaced, or is gone.
    #[error("{} is no longer the same device", .0.display())]
    Replaced(PathBuf),
    /// Active volumes need the header.
    #[error("the header on {} is in use", path.display())]
    HeaderInUse {
        /// The device with the header.
        path: PathBuf,
        /// The volumes.
        holders: Vec<Holder>,
    },
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// A backup that is not restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The costs of a keyslot.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// A volume to make.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A reencryption.
    #[error(transparent)]
    Reencryption(#[from] ReencryptionError),
    /// No header of this version has the keyslot.
    #[error("there is no keyslot {slot}, only 0 to {last}")]
    NoSuchKeyslot {
        /// Its number.
        slot: KeyslotId,
        /// The highest number.
        last: KeyslotId,
    },
    /// It was not confirmed.
    #[error("the operation was not confirmed")]
    Declined,
    /// The text is not a valid UUID.
    #[error("{0:?} is not a valid UUID")]
    BadUuid(String),
    /// The header already has the format of this version.
    #[error("the header already has this format ({0:?})")]
    AlreadyVersion(Version),
    /// The mapping is not an encrypted volume.
    #[error("mapping {0} is not an encrypted volume")]
    NotManaged(String),
    /// The mapping is not a LUKS volume, and only those have a key that can be given back.
    #[error("mapping {name} is not a LUKS volume")]
    OnlyLuks {
        /// The mapping.
        name: String,
        /// Whether it is a volume of another kind.
        is_volume: bool,
    },
    /// The mapping is not a LUKS volume of the wanted version.
    #[error("mapping {name} is not a {} volume", wanted.name())]
    NotActiveLuks {
        /// The mapping.
        name: String,
        /// The version.
        wanted: Wanted,
    },
    /// No token opens the volume.
    #[error("no token {}", if *.was_tried { "opens the volume" } else { "can be used" })]
    NoToken {
        /// Whether there was one to try.
        was_tried: bool,
    },
    /// The key of a volume without a header.
    #[error(transparent)]
    PlainKey(#[from] PlainKeyError),
    /// The lock under which one process derives a key at a time.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The kernel has the key from the keyring, which must not be used.
    #[error("volume {0} needs its key in the kernel keyring, which is disabled")]
    KeyringNeeded(String),
    /// A volume that is served without the device-mapper is in use.
    #[error("volume {name} is still in use")]
    ServedInUse {
        /// The volume.
        name: String,
        /// Loop devices on it.
        loops: Vec<String>,
    },
    /// The header has no place for flags.
    #[error("only LUKS2 headers store flags")]
    OnlyLuks2,
    /// A volume that is served without the device-mapper.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The data of a volume, opened without the device-mapper.
    #[error(transparent)]
    Userspace(#[from] UserspaceError),
    /// A keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The system.
    #[error("cannot {action}: {source}")]
    Io {
        /// What it should have done.
        action: &'static str,
        /// Its error.
        source: std::io::Error,
    },
}

impl From<DmError> for CryptError {
    fn from(error: DmError) -> Self {
        Self::Volume(error.into())
    }
}

impl From<keyslots::Error> for CryptError {
    fn from(error: keyslots::Error) -> Self {
        Self::Header(error.into())
    }
}

impl From<KdfError> for CryptError {
    fn from(error: KdfError) -> Self {
        keyslots::Error::from(error).into()
    }
}

impl From<CipherError> for CryptError {
    fn from(error: CipherError) -> Self {
        keyslots::Error::from(error).into()
    }
}

impl CryptError {
    /// A failure of the system, with the failed action as a verb phrase.
    pub(super) fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    /// Whether the passphrase is wrong, or there is no keyslot to try it on. Another keyslot could open.
    pub(super) fn opens_nothing(&self) -> bool {
        use keyslots::Error;
        let Self::Header(HeaderError::Luks(error)) = self else {
            return false;
        };
        matches!(
            error,
            Error::WrongPassphrase | Error::NoUsableKeyslot | Error::KeyslotInactive(_) | Error::KeyslotOutOfRange(_)
        )
    }

    /// Whether another passphrase could succeed.
    pub fn is_wrong_passphrase(&self) -> bool {
        matches!(self, Self::Header(HeaderError::Luks(keyslots::Error::WrongPassphrase)))
    }

    /// The errno of the fact: `EPERM` for a wrong passphrase, `ENOENT` for no keyslot to try, `ENODEV` for a device that is
    /// missing, replaced or not active, `EBUSY` for one in use, `ECANCELED` for what was not confirmed, `EEXIST` for a name that is taken, `ENOMEM`, the system's own for a
    /// failed call, and else `EINVAL`.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Header(error) => of_header(error),
            Self::Data(error) => match error {
                DataDeviceError::InUse { .. } => Errno::EBUSY,
                DataDeviceError::WrongKind(_) => Errno::ENOTBLK,
                DataDeviceError::Open { source, .. } | DataDeviceError::Loop { source, .. } => of_io(source),
            },
            Self::Volume(error) => match error {
                VolumeError::Exists(_) => Errno::EEXIST,
                VolumeError::NotActive(_) | VolumeError::NoTable(_) => Errno::ENODEV,
                VolumeError::Busy { .. } => Errno::EBUSY,
                VolumeError::Dm(DmError::Ioctl { errno, .. }) => *errno,
                VolumeError::Dm(error) if error.kind() == DmErrorKind::NoDeviceMapper => Errno::ENOTSUP,
                VolumeError::Memory(_) => Errno::ENOMEM,
                VolumeError::Ground(source) => of_io(source),
                _ => Errno::EINVAL,
            },
            Self::SlotName(SlotNameError::Protected { .. }) => Errno::EPERM,
            Self::SlotName(SlotNameError::Taken(..)) | Self::Backup(BackupError::Exists(_)) => Errno::EEXIST,
            Self::SlotName(SlotNameError::Unnamed(_)) => Errno::ENOENT,
            Self::SlotName(_) => Errno::EINVAL,
            Self::Backup(_) => Errno::EIO,
            Self::Replaced(_) => Errno::ENODEV,
            Self::HeaderInUse { .. } => Errno::EBUSY,
            Self::Token(TokenRefused::WithoutKey { .. }) => Errno::ENOENT,
            Self::Token(_) => Errno::EINVAL,
            Self::Restore(error) => match error {
                RestoreError::Open { source, .. } => of_io(source),
                RestoreError::Unfinished(error) | RestoreError::Invalid { source: error, .. } => of_luks(error),
                _ => Errno::EINVAL,
            },
            Self::Declined => Errno::ECANCELED,
            Self::Format(FormatError::HeaderFileDeclined) => Errno::ECANCELED,
            Self::Reencryption(ReencryptionError::Running) => Errno::EBUSY,
            Self::Cost(_) | Self::Format(_) | Self::Reencryption(_) | Self::NoSuchKeyslot { .. } => Errno::EINVAL,
            Self::BadUuid(_) | Self::AlreadyVersion(_) => Errno::EINVAL,
            Self::ServedInUse { .. } => Errno::EBUSY,
            Self::KeyringNeeded(_) | Self::NoToken { was_tried: true } => Errno::EPERM,
            Self::NoToken { was_tried: false } => Errno::ENOENT,
            Self::PlainKey(PlainKeyError::Memory(_)) => Errno::ENOMEM,
            Self::PlainKey(_) => Errno::EINVAL,
            Self::Lock(error) => of_io(&error.source),
            Self::NotManaged(_) | Self::OnlyLuks { .. } | Self::NotActiveLuks { .. } => Errno::EINVAL,
            Self::OnlyLuks2 => Errno::ENOTSUP,
            Self::Userspace(UserspaceError::InUse(_)) => Errno::EBUSY,
            Self::Userspace(UserspaceError::Open { source, .. } | UserspaceError::NotWritable { source, .. }) => {
                of_io(source)
            }
            Self::Userspace(_) => Errno::EINVAL,
            Self::Serve(ServeError::Exists(_)) => Errno::EEXIST,
            Self::Serve(ServeError::NotServed(_)) => Errno::ENODEV,
            Self::Serve(ServeError::Name(_)) => Errno::EINVAL,
            Self::Serve(_) | Self::Keyring(_) => Errno::EIO,
            Self::Io { source, .. } => of_io(source),
        }
    }
}

fn of_header(error: &HeaderError) -> Errno {
    match error {
        HeaderError::Open { source, .. } | HeaderError::NotWritable { source, .. } => of_io(source),
        HeaderError::Lock { source, .. } => of_io(&source.source),
        HeaderError::OpenElsewhere { .. } | HeaderError::OthersUnknown { .. } => Errno::EBUSY,
        HeaderError::WrongKind(_) => Errno::ENOTBLK,
        HeaderError::Luks(error) => of_luks(error),
        _ => Errno::EINVAL,
    }
}

fn of_luks(error: &keyslots::Error) -> Errno {
    use keyslots::Error;
    match error {
        Error::WrongPassphrase | Error::WrongVolumeKey => Errno::EPERM,
        Error::NoUsableKeyslot | Error::KeyslotInactive(_) | Error::TokenNotInUse(_) => Errno::ENOENT,
        Error::ChangedMeanwhile => Errno::ENODEV,
        Error::Kdf(KdfError::OutOfMemory { .. }) => Errno::ENOMEM,
        Error::Io { source, .. } => of_io(source),
        _ => Errno::EINVAL,
    }
}

fn of_io(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fact_has_its_errno() {
        let luks = |error| CryptError::from(HeaderError::Luks(error)).errno();
        assert_eq!(luks(keyslots::Error::WrongPassphrase), Errno::EPERM);
        assert_eq!(luks(keyslots::Error::NoUsableKeyslot), Errno::ENOENT);
        assert_eq!(CryptError::Replaced("x".into()).errno(), Errno::ENODEV);
        let missing = HeaderError::Open {
            path: "x".into(),
            source: std::io::Error::from_raw_os_error(2),
        };
        assert_eq!(CryptError::from(missing).errno(), Errno::ENOENT);
    }
}
