//! The exit code of each failure, and how a console reports it.

use super::{CliError, ImageError, KeyslotError, MappingError, PbkdfError, ReencryptError, TokenError};
use crate::boot::unlock::UnlockError;
use crate::console::{ExitCode, Report};
use crate::passphrase::PassphraseError;
use crate::volume::VolumeError;

impl CliError {
    /// As a console reports it.
    pub fn report(&self) -> Report {
        let code = self.exit_code();
        Report {
            code,
            text: self.to_string(),
            message: match self {
                Self::Quiet(_, text) => Some(text.clone()),
                Self::Silent(_) => Some(format!("The command failed: {}.", code.text())),
                _ => None,
            },
            note: self.note(),
            remedy: self.remedy(),
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_)
            | Self::NameMissing
            | Self::ConversionTarget
            | Self::BackupFileMissing
            | Self::NoUsableKeyslot
            | Self::NotLuks { .. }
            | Self::DeviceTiny(_)
            | Self::NotWritable { .. }
            | Self::ZonedHeader(_)
            | Self::Ambiguous { .. }
            | Self::DamagedHeader { .. }
            | Self::VolumeKeyFileShort { .. }
            | Self::VolumeKeyFileMissing { .. }
            | Self::CipherUnavailable { .. }
            | Self::Keyslot(KeyslotError::NotUnbound(_))
            | Self::Keyslot(KeyslotError::Full(_))
            | Self::Keyslot(KeyslotError::Inactive(_))
            | Self::Keyslot(KeyslotError::Invalid { .. })
            | Self::Keyslot(KeyslotError::Unnamed(_))
            | Self::Tokens(TokenError::Invalid(_))
            | Self::Tokens(TokenError::Inactive(_))
            | Self::Tokens(TokenError::Export(_))
            | Self::Tokens(TokenError::NotAssigned { .. })
            | Self::Tokens(TokenError::WithoutKey(..))
            | Self::Tokens(TokenError::NoUsableToken)
            | Self::BackupExists(_)
            | Self::NothingToConfigure
            | Self::AlreadyOfType(_)
            | Self::CannotConvert { .. }
            | Self::BackupCreate { .. }
            | Self::BackupFileUnreadable(_)
            | Self::BackupInvalid { .. }
            | Self::RestoreLayout(_)
            | Self::DeviceTooSmall { .. }
            | Self::BackupRequirement(_)
            | Self::UnknownHash(_)
            | Self::Aborted
            | Self::TypeUnsupported(_)
            | Self::Unavailable(_)
            | Self::Userspace(_)
            | Self::Serve(_)
            | Self::Image(ImageError::VolumeEnds { .. })
            | Self::Image(ImageError::VolumeShort { .. })
            | Self::Image(ImageError::ImageShort { .. })
            | Self::Image(ImageError::SourceIsTarget(_))
            | Self::Image(ImageError::AlreadyEncrypted(_))
            | Self::Image(ImageError::OutputIsTerminal)
            | Self::WeakPassphrase(_)
            | Self::Keyslot(KeyslotError::AllKeyslotsFull)
            | Self::Keyslot(KeyslotError::NoRoomForKeyslot)
            | Self::KeySizeUnknown
            | Self::BadUuid
            | Self::OffsetNotAligned
            | Self::DataOffsetTooSmall(_)
            | Self::Luks2Only(_)
            | Self::Pbkdf(PbkdfError::Luks1Pbkdf)
            | Self::Pbkdf(PbkdfError::TooCheap { .. })
            | Self::Pbkdf(PbkdfError::MemoryTooLow { .. })
            | Self::Pbkdf(PbkdfError::MemoryTooHigh(_))
            | Self::Pbkdf(PbkdfError::ParallelTooHigh(_))
            | Self::MetadataSizes(_)
            | Self::DumpUnsupported
            | Self::KeyFileWrite { .. }
            | Self::InReencryption(_)
            | Self::ReencryptionMark
            | Self::NeededByReencryption
            | Self::RepairReencryption
            | Self::NeedsIntegrity
            | Self::NeedsOpal
            | Self::RestoreUnfinished(_)
            | Self::BackupOfReencryption(_)
            | Self::NoCryptSegment
            | Self::HeaderOverData
            | Self::Mapping(MappingError::OptionsRefused)
            | Self::Mapping(MappingError::NotThatVolume { .. })
            | Self::Mapping(MappingError::Frozen(_))
            | Self::Mapping(MappingError::Suspended(_))
            | Self::Mapping(MappingError::NotSuspended(_))
            | Self::Mapping(MappingError::OnlyLuks)
            | Self::OnlyLuks2
            | Self::Mapping(MappingError::NotActiveLuks { .. })
            | Self::Mapping(MappingError::NoSuchMapping(_))
            | Self::Mapping(MappingError::NotManaged(_))
            | Self::Mapping(MappingError::Mismatch(_))
            | Self::Mapping(MappingError::ResizeNeedsKeyring)
            | Self::OffsetBeyondDevice { .. }
            | Self::NoSpaceForData { .. }
            | Self::SizeNotAligned(_)
            | Self::PlainHashUnknown(_)
            | Self::PlainKey(_)
            | Self::PlainKeyTooLong(_)
            | Self::KeyringKeyLength { .. }
            | Self::FormatInUse { .. }
            | Self::BadKeyringLink(_)
            | Self::LinkKeyrings
            | Self::Tokens(TokenError::File(_))
            | Self::Tokens(TokenError::ExportOverVolume(_))
            | Self::Tokens(TokenError::Defect(_))
            | Self::Tokens(TokenError::Reserved(_))
            | Self::Tokens(TokenError::InUse(_))
            | Self::Loop(_)
            | Self::Lock(_)
            | Self::Header(_)
            | Self::Dm(_)
            | Self::CipherRefused { .. }
            | Self::CipherPattern(_)
            | Self::NoDmCrypt
            | Self::NoDeviceMapper
            | Self::NotRoot
            | Self::Unreachable(_)
            | Self::PolicyUnusable { .. }
            | Self::PolicyViolated { .. }
            | Self::Keyring(_)
            | Self::PassphraseKeyring(_)
            | Self::ExternalTokensPath(_)
            | Self::SlotName(_)
            | Self::Backup(_)
            | Self::NoSuchEntry(_)
            | Self::ConfigUnreadable { .. }
            | Self::Answer(_) => ExitCode::Failure,
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::OutOfMemory => ExitCode::OutOfMemory,
                _ => ExitCode::Failure,
            },
            Self::Passphrase(error) => match error {
                PassphraseError::Mismatch => ExitCode::Permission,
                PassphraseError::Memory(_) => ExitCode::OutOfMemory,
                PassphraseError::Open(_)
                | PassphraseError::Read(_)
                | PassphraseError::Terminal(_)
                | PassphraseError::Interrupted
                | PassphraseError::TimedOut
                | PassphraseError::NothingToRead
                | PassphraseError::TooShort
                | PassphraseError::CutOff { .. }
                | PassphraseError::Offset
                | PassphraseError::TooLong => ExitCode::Failure,
            },
            Self::WrongPassphrase
            | Self::WrongVolumeKey
            | Self::HeaderFileNotMade
            | Self::EraseAborted
            | Self::Keyslot(KeyslotError::LastSlotKept)
            | Self::ConvertAborted => ExitCode::Permission,
            Self::OutOfMemory { .. } => ExitCode::OutOfMemory,
            Self::Reencrypt(error) => match error {
                ReencryptError::Running => ExitCode::Busy,
                ReencryptError::NotVerified => ExitCode::Permission,
                _ => ExitCode::Failure,
            },
            Self::DeviceMissing(_)
            | Self::WrongKind(_)
            | Self::Mapping(MappingError::NotActive(_))
            | Self::Mapping(MappingError::NoTable(_))
            | Self::Mapping(MappingError::NoVolume(_))
            | Self::OneDevice
            | Self::NothingMapped => ExitCode::WrongDevice,
            // The kernel's own answer about a table.
            Self::Volume(VolumeError::CipherRefused { .. }) => ExitCode::WrongDevice,
            Self::Volume(_) => ExitCode::Failure,
            Self::Unlock(error) => match error {
                UnlockError::DeviceMissing { .. }
                | UnlockError::OnlyParts { .. }
                | UnlockError::Replaced(_)
                | UnlockError::HeaderMissing { .. }
                | UnlockError::HeaderMount { .. }
                | UnlockError::NeedsOther(_)
                | UnlockError::Unknown(_) => ExitCode::WrongDevice,
                UnlockError::CheckFailed { .. } | UnlockError::NoKey(_) | UnlockError::NothingInside(_) => {
                    ExitCode::Permission
                }
                UnlockError::NameTaken => ExitCode::Busy,
                _ => ExitCode::Failure,
            },
            // The first in the order of crypttab, which is most often the root.
            Self::NotUnlocked(volumes) => volumes
                .first()
                .map_or(ExitCode::Failure, |(_, error)| error.exit_code()),
            Self::HeaderLock { .. }
            | Self::Mapping(MappingError::AlreadyMapped(_))
            | Self::Mapping(MappingError::InUse { .. })
            | Self::DeviceInUse { .. }
            | Self::HeaderOpenElsewhere(_)
            | Self::ConvertInUse(_)
            | Self::Image(ImageError::TargetExists(_))
            | Self::Mapping(MappingError::StillInUse(_))
            | Self::Mapping(MappingError::ServedInUse { .. }) => ExitCode::Busy,
            Self::Silent(code) | Self::Quiet(code, _) => *code,
        }
    }
}

#[cfg(test)]
mod tests {
    use keyslots::units::Bytes;

    use super::*;
    use crate::cryptsetup::usage::UsageError;

    #[test]
    fn the_codes_are_those_that_scripts_know() {
        let code = |error: CliError| error.exit_code().number();
        assert_eq!(code(UsageError::UnknownAction.into()), 1);
        assert_eq!(code(CliError::NoUsableKeyslot), 1);
        assert_eq!(code(PassphraseError::TimedOut.into()), 1);
        assert_eq!(code(CliError::WrongPassphrase), 2);
        assert_eq!(code(PassphraseError::Mismatch.into()), 2);
        assert_eq!(
            code(CliError::OutOfMemory {
                needed: Bytes::kib(2),
                available: Bytes::kib(1)
            }),
            3
        );
        assert_eq!(code(CliError::DeviceMissing("x".into())), 4);
        assert_eq!(code(CliError::Mapping(MappingError::NotActive("x".into()))), 4);
        assert_eq!(code(CliError::NoDeviceMapper), 1);
        assert_eq!(code(CliError::NothingMapped), 4);
        assert_eq!(code(CliError::Mapping(MappingError::AlreadyMapped("x".into()))), 5);
        let busy = CliError::Mapping(MappingError::InUse {
            name: "x".into(),
            holders: Vec::new(),
        });
        assert_eq!(code(busy), 5);
    }
}
