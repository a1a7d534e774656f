//! From the errors of an operation to those of the command line.

use keyslots::backup::BackupRefused;
use keyslots::header::Version;
use keyslots::{luks1, luks2};

use super::{CliError, ImageError, KeyslotError, MappingError, PbkdfError, ReencryptError, TokenError};
use crate::crypt_device::{CostError, CryptError, FormatError, ReencryptionError, RestoreError, TokenRefused};

/// A version in messages.
pub(in crate::cryptsetup) fn format_name(version: Version) -> &'static str {
    match version {
        Version::Luks1 => "LUKS1",
        Version::Luks2 => "LUKS2",
    }
}

impl From<CryptError> for CliError {
    fn from(error: CryptError) -> Self {
        match error {
            CryptError::Header(error) => error.into(),
            CryptError::Data(error) => error.into(),
            CryptError::Volume(error) => error.into(),
            CryptError::SlotName(error) => error.into(),
            CryptError::Backup(error) => error.into(),
            CryptError::Restore(error) => error.into(),
            CryptError::Token(error) => Self::Tokens(match error {
                TokenRefused::Defect(defect) => TokenError::Defect(defect),
                TokenRefused::Reserved(kind) => TokenError::Reserved(kind),
                TokenRefused::WithoutKey { id, kind } => TokenError::WithoutKey(id, kind),
            }),
            CryptError::Cost(error) => error.into(),
            CryptError::Format(error) => error.into(),
            CryptError::Reencryption(error) => match error {
                ReencryptionError::OnlyLuks2 => Self::OnlyLuks2,
                ReencryptionError::Running => ReencryptError::Running.into(),
                ReencryptionError::NotBegun => ReencryptError::NotBegun.into(),
                ReencryptionError::FewKeyslots => ReencryptError::FewKeyslots.into(),
                ReencryptionError::KeyslotUnknown(slot) => ReencryptError::KeyslotUnknown(slot).into(),
            },
            CryptError::NoSuchKeyslot { slot, last } => Self::Keyslot(KeyslotError::Invalid { slot, last }),
            CryptError::Replaced(_) => keyslots::Error::ChangedMeanwhile.into(),
            CryptError::HeaderInUse { path, holders } => Self::FormatInUse { device: path, holders },
            CryptError::Declined => Self::Aborted,
            CryptError::BadUuid(_) => Self::BadUuid,
            CryptError::AlreadyVersion(version) => Self::AlreadyOfType(format_name(version)),
            CryptError::NotManaged(name) => Self::Mapping(MappingError::NotManaged(name)),
            CryptError::OnlyLuks { is_volume: true, .. } => Self::Mapping(MappingError::OnlyLuks),
            CryptError::OnlyLuks { name, .. } => Self::Mapping(MappingError::NoVolume(name)),
            CryptError::NotActiveLuks { name, wanted } => Self::Mapping(MappingError::NotActiveLuks {
                name,
                kind: wanted.name(),
            }),
            CryptError::NoToken { .. } => Self::Tokens(TokenError::NoUsableToken),
            CryptError::PlainKey(error) => error.into(),
            CryptError::Lock(error) => error.into(),
            CryptError::KeyringNeeded(_) => Self::Mapping(MappingError::ResizeNeedsKeyring),
            CryptError::ServedInUse { name, loops } => Self::Mapping(MappingError::ServedInUse { name, loops }),
            CryptError::OnlyLuks2 => Self::OnlyLuks2,
            CryptError::Serve(error) => error.into(),
            CryptError::Userspace(error) => error.into(),
            CryptError::Keyring(error) => error.into(),
            CryptError::Io { action, source } => Self::Io { action, source },
        }
    }
}

impl From<CostError> for CliError {
    fn from(error: CostError) -> Self {
        Self::Pbkdf(match error {
            CostError::UnknownHash(name) => return Self::UnknownHash(name),
            CostError::Luks1Cipher => {
                return Self::Luks2Only("Keyslot encryption parameters can be set only for LUKS2 device.");
            }
            CostError::Luks1Pbkdf => PbkdfError::Luks1Pbkdf,
            CostError::TooCheap { kind, minimum } => PbkdfError::TooCheap { kind, minimum },
            CostError::MemoryTooLow { kind, minimum } => PbkdfError::MemoryTooLow { kind, minimum },
            CostError::MemoryTooHigh(kib) => PbkdfError::MemoryTooHigh(kib),
            CostError::LanesTooMany(lanes) => PbkdfError::ParallelTooHigh(lanes),
        })
    }
}

impl From<FormatError> for CliError {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Luks1SectorSize => Self::Luks2Only("Unsupported encryption sector size."),
            FormatError::Luks1AreaSizes => Self::Luks2Only("Unsupported LUKS2 metadata size options."),
            FormatError::OffsetNotAligned => Self::OffsetNotAligned,
            FormatError::DataOffsetTooSmall(version) => Self::DataOffsetTooSmall(version),
            FormatError::AreaSizes(error) => Self::MetadataSizes(error),
            FormatError::SizeNotAligned(sector_size) => Self::SizeNotAligned(sector_size),
            FormatError::Tiny(path) => Self::DeviceTiny(path),
            FormatError::Zoned(path) => Self::ZonedHeader(path),
            FormatError::HeaderFileDeclined => Self::HeaderFileNotMade,
        }
    }
}

impl From<RestoreError> for CliError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Open { path, .. } => Self::BackupFileUnreadable(path),
            RestoreError::Invalid { path, source } => Self::BackupInvalid { file: path, source },
            RestoreError::Itself(path) => Self::Image(ImageError::SourceIsTarget(path)),
            RestoreError::Unfinished(error) => Self::RestoreUnfinished(error),
            RestoreError::OfReencryption(file) => Self::BackupOfReencryption(file),
            RestoreError::Refused { device, refused } => match refused {
                BackupRefused::Luks1(
                    luks1::BackupRefused::PayloadOffset { .. } | luks1::BackupRefused::KeySize { .. },
                ) => Self::RestoreLayout("Data offset or key size differs"),
                BackupRefused::Luks2(
                    luks2::backup::BackupRefused::DataOffset { .. } | luks2::backup::BackupRefused::Size { .. },
                ) => Self::RestoreLayout("Data offset differ"),
                BackupRefused::Luks1(luks1::BackupRefused::DoesNotFit { needed, .. })
                | BackupRefused::Luks2(luks2::backup::BackupRefused::DoesNotFit { needed, .. }) => {
                    Self::DeviceTooSmall { device, needed }
                }
                BackupRefused::Luks2(luks2::backup::BackupRefused::Requirement(name)) => Self::BackupRequirement(name),
            },
        }
    }
}
