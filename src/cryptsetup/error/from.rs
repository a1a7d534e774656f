//! Conversions from the errors of the modules below to those of the command line.

use std::io;

use keyslots::cipher::CipherError;
use keyslots::kdf::KdfError;

use super::{CliError, KeyslotError, MappingError, ReencryptError, TokenError};
use crate::boot::prompt::responder::AnswerError;
use crate::boot::unlock::{EngineError, UnlockError};
use crate::data_device::DataDeviceError;
use crate::dm::{DmError, DmErrorKind};
use crate::header_backup::BackupError;
use crate::header_device::HeaderError;
use crate::slot_names::SlotNameError;
use crate::userspace::{ServeError, UserspaceError};
use crate::volume::{PlainKeyError, VolumeError};

impl CliError {
    /// A failure of the system, with the failed action as a verb phrase.
    pub fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    /// Out of memory for a secret.
    pub fn memory(source: io::Error) -> Self {
        Self::Passphrase(crate::passphrase::PassphraseError::Memory(source))
    }
}

impl From<keyslots::Error> for CliError {
    fn from(error: keyslots::Error) -> Self {
        use keyslots::Error;
        match error {
            Error::Kdf(error) => error.into(),
            Error::WrongPassphrase => Self::WrongPassphrase,
            Error::NoUsableKeyslot => Self::NoUsableKeyslot,
            Error::KeyslotInactive(slot) => Self::Keyslot(KeyslotError::Inactive(slot)),
            Error::KeyslotFull(slot) => Self::Keyslot(KeyslotError::Full(slot)),
            Error::AllKeyslotsFull => Self::Keyslot(KeyslotError::AllKeyslotsFull),
            Error::NoRoomForKeyslot { .. } => Self::Keyslot(KeyslotError::NoRoomForKeyslot),
            Error::WrongVolumeKey => Self::WrongVolumeKey,
            Error::InReencryption => Self::ReencryptionMark,
            Error::ReencryptionNotVerified => Self::Reencrypt(ReencryptError::NotVerified),
            Error::NeededByReencryption => Self::NeededByReencryption,
            Error::TokenInUse(token) => Self::Tokens(TokenError::InUse(token)),
            Error::TokenNotInUse(token) => Self::Tokens(TokenError::Inactive(token)),
            Error::TokenNotAssigned { token, keyslot } => Self::Tokens(TokenError::NotAssigned { token, keyslot }),
            Error::TokenOutOfRange(token) => Self::Tokens(TokenError::Invalid(token)),
            Error::Io { action, source } => Self::Io { action, source },
            other => Self::Header(other),
        }
    }
}

impl From<KdfError> for CliError {
    fn from(error: KdfError) -> Self {
        match error {
            KdfError::OutOfMemory { needed, available } => Self::OutOfMemory { needed, available },
            other => Self::Header(other.into()),
        }
    }
}

impl From<CipherError> for CliError {
    fn from(error: CipherError) -> Self {
        Self::Header(error.into())
    }
}

impl From<HeaderError> for CliError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Open { path, .. } => Self::DeviceMissing(path),
            HeaderError::NotWritable { path, source } => Self::NotWritable { device: path, source },
            HeaderError::WrongKind(path) => Self::WrongKind(path),
            HeaderError::NotLuks { path, wanted } => Self::NotLuks {
                device: path,
                kind: wanted.name(),
            },
            HeaderError::Damaged { path, wanted, source } => Self::DamagedHeader {
                device: path,
                kind: wanted.name(),
                source,
            },
            HeaderError::TooSmall { path, needed } => Self::DeviceTooSmall { device: path, needed },
            HeaderError::Ambiguous { path, found } => Self::Ambiguous {
                device: path,
                found: format!("{found} at byte {}", found.offset.get()),
            },
            HeaderError::Lock { path, mode, source } => Self::HeaderLock {
                device: path,
                mode,
                source,
            },
            // WouldBlock: no thread could be started to look.
            HeaderError::OthersUnknown { source, .. }
                if matches!(source.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock) =>
            {
                Self::Io {
                    action: "look for programs that have the header open",
                    source,
                }
            }
            elsewhere @ (HeaderError::OpenElsewhere { .. } | HeaderError::OthersUnknown { .. }) => {
                Self::HeaderOpenElsewhere(elsewhere)
            }
            HeaderError::Luks(error) => error.into(),
        }
    }
}

impl From<DataDeviceError> for CliError {
    fn from(error: DataDeviceError) -> Self {
        match error {
            DataDeviceError::Open { path, .. } => Self::DeviceMissing(path),
            DataDeviceError::WrongKind(path) => Self::WrongKind(path),
            DataDeviceError::InUse { path, holders } => Self::DeviceInUse { device: path, holders },
            DataDeviceError::Loop { source, .. } => Self::Loop(source),
        }
    }
}

impl From<UserspaceError> for CliError {
    fn from(error: UserspaceError) -> Self {
        match error {
            UserspaceError::Open { path, .. } => Self::DeviceMissing(path),
            UserspaceError::NotWritable { path, source } => Self::NotWritable { device: path, source },
            UserspaceError::WrongKind(path) => Self::WrongKind(path),
            UserspaceError::InUse(path) => DataDeviceError::in_use(path).into(),
            UserspaceError::Cipher(error) => error.into(),
            other => Self::Userspace(other),
        }
    }
}

impl From<ServeError> for CliError {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Exists(name) => Self::Mapping(MappingError::AlreadyMapped(name)),
            ServeError::NotServed(name) => Self::Mapping(MappingError::NotActive(name)),
            ServeError::Volume(error) => error.into(),
            other => Self::Serve(other),
        }
    }
}

impl From<DmError> for CliError {
    fn from(error: DmError) -> Self {
        match error.kind() {
            DmErrorKind::NoDeviceMapper => Self::NoDeviceMapper,
            DmErrorKind::Denied if matches!(error, DmError::Control { .. }) => Self::NotRoot,
            _ => Self::Dm(error),
        }
    }
}

impl From<VolumeError> for CliError {
    fn from(error: VolumeError) -> Self {
        match error {
            VolumeError::Exists(name) => Self::Mapping(MappingError::AlreadyMapped(name)),
            VolumeError::NotActive(name) => Self::Mapping(MappingError::NotActive(name)),
            VolumeError::NoTable(name) => Self::Mapping(MappingError::NoTable(name)),
            VolumeError::Busy { name, holders } => Self::Mapping(MappingError::InUse { name, holders }),
            VolumeError::NoData { device, offset, size } => Self::OffsetBeyondDevice { device, offset, size },
            VolumeError::TooSmall {
                device,
                wanted,
                available,
            } => Self::NoSpaceForData {
                device,
                wanted,
                available,
            },
            VolumeError::SizeNotAligned { sector_size, .. } => Self::SizeNotAligned(sector_size),
            VolumeError::Frozen(name) => Self::Mapping(MappingError::Frozen(name)),
            VolumeError::Suspended(name) => Self::Mapping(MappingError::Suspended(name)),
            VolumeError::NotSuspended(name) => Self::Mapping(MappingError::NotSuspended(name)),
            VolumeError::Mismatch(name) => Self::Mapping(MappingError::Mismatch(name)),
            VolumeError::Dm(error) => error.into(),
            VolumeError::Keyring(error) => error.into(),
            VolumeError::Memory(source) => Self::memory(source),
            VolumeError::InReencryption(requirement) => Self::InReencryption(requirement),
            VolumeError::NeedsIntegrity => Self::NeedsIntegrity,
            VolumeError::OtherVolume { ref name, .. } | VolumeError::OtherDevice(ref name) => {
                Self::Mapping(MappingError::NotThatVolume {
                    name: name.clone(),
                    source: error,
                })
            }
            VolumeError::Ground(source) => Self::io("find out what a device stands on")(source),
            VolumeError::NoCryptSegment => Self::NoCryptSegment,
            VolumeError::HeaderOverData => Self::HeaderOverData,
            VolumeError::CipherText(error) if error.driver || error.text.is_empty() => Self::CipherPattern(error),
            VolumeError::NoDmCrypt(_) => Self::NoDmCrypt,
            VolumeError::OptionsRefused(_) => Self::Mapping(MappingError::OptionsRefused),
            VolumeError::Luks(error) => error.into(),
            other => Self::Volume(other),
        }
    }
}

impl From<PlainKeyError> for CliError {
    fn from(error: PlainKeyError) -> Self {
        match error {
            PlainKeyError::UnknownHash(name) => Self::PlainHashUnknown(name),
            PlainKeyError::BadLength(hash) => Self::PlainKey(hash),
            PlainKeyError::Memory(source) => Self::memory(source),
            other => Self::PlainKeyTooLong(other),
        }
    }
}

impl From<SlotNameError> for CliError {
    fn from(error: SlotNameError) -> Self {
        match error {
            SlotNameError::Luks(error) => error.into(),
            SlotNameError::Unnamed(name) => Self::Keyslot(KeyslotError::Unnamed(name)),
            other => Self::SlotName(other),
        }
    }
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Exists(path) => Self::BackupExists(path),
            BackupError::Create { path, source } => Self::BackupCreate { path, source },
            BackupError::Luks(error) => error.into(),
            other => Self::Backup(other),
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Dm(error) => error.into(),
            EngineError::Io(source) => Self::io("wait for an answer")(source),
        }
    }
}

impl From<UnlockError> for CliError {
    fn from(error: UnlockError) -> Self {
        match error {
            UnlockError::OutOfMemory { needed, available } => Self::OutOfMemory { needed, available },
            UnlockError::WrongPassphrase => Self::WrongPassphrase,
            UnlockError::Header(error) => error.into(),
            UnlockError::Data(error) => error.into(),
            UnlockError::PlainKey(error) => error.into(),
            UnlockError::SlotName(error) => error.into(),
            UnlockError::Volume(error) => error.into(),
            other => Self::Unlock(other),
        }
    }
}

impl From<AnswerError> for CliError {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Passphrase(error) => error.into(),
            other => Self::Answer(other),
        }
    }
}
