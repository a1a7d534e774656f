//! From the errors of an operation to those of the command line.

use keyslots::backup::BackupRefused;
use keyslots::header::Version;
use keyslots::{luks1, luks2};

use super::{CliError, ImageError, TokenError};
use crate::crypt_device::{CryptError, RestoreError, TokenRefused};

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
            CryptError::Replaced(_) => keyslots::Error::ChangedMeanwhile.into(),
            CryptError::HeaderInUse { path, holders } => Self::FormatInUse { device: path, holders },
            CryptError::Declined => Self::Aborted,
            CryptError::BadUuid(_) => Self::BadUuid,
            CryptError::AlreadyVersion(version) => Self::AlreadyOfType(format_name(version)),
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
