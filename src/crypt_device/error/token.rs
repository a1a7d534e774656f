//! Why a token cannot be used or added.

use keyslots::luks2::Defect;

/// Why a token cannot be used or added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRefused {
    /// Its text breaks a rule of the format.
    #[error("invalid token: {0}")]
    Defect(#[source] Defect),
    /// Its type is reserved by the format, or for this program.
    #[error("the token type {0} is reserved")]
    Reserved(String),
    /// It does not name a key in the kernel's keyring.
    #[error("token {id} (type {kind}) does not say where its passphrase is")]
    WithoutKey {
        /// Its number.
        id: u32,
        /// Its type.
        kind: String,
    },
}
