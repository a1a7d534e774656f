//! A LUKS2 token cannot be used, made or removed.

use keyslots::KeyslotId;
use std::path::PathBuf;

/// A LUKS2 token cannot be used, made or removed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is no token to try, and nothing else is allowed.
    #[error("No usable token is available.")]
    NoUsableToken,
    /// No header has the token.
    #[error("Token {0} is invalid.")]
    Invalid(u32),
    /// The token is empty.
    #[error("Token {0} is not in use.")]
    Inactive(u32),
    /// The token is not for that keyslot.
    #[error("Token {token} is not assigned to keyslot {keyslot}.")]
    NotAssigned {
        /// The token.
        token: u32,
        /// The keyslot.
        keyslot: KeyslotId,
    },
    /// The token, of this type, does not name a key in the kernel's keyring.
    #[error("Token {0} (type {1}) does not say where its passphrase is.")]
    WithoutKey(u32, String),
    /// The token to show does not exist.
    #[error("Failed to get token {0} for export.")]
    Export(u32),
    /// The file of a token cannot be opened.
    #[error("Failed to open token file {}.", .0.display())]
    File(PathBuf),
    /// The file for a token is the volume itself.
    #[error("Cannot write the token to {}: it is the volume that the token is from.", .0.display())]
    ExportOverVolume(PathBuf),
    /// The token breaks a rule.
    #[error("Failed to import token from file: {0}.")]
    Defect(#[source] keyslots::luks2::Defect),
    /// Token types that the format reserves cannot be imported.
    #[error("Token type {0} is reserved.")]
    Reserved(String),
    /// The token already exists.
    #[error("Token {0} in use.")]
    InUse(u32),
}
