//! LUKS1 and LUKS2 headers: read, validate, unlock, write.

pub mod af;
pub mod backup;
pub mod cipher;
pub mod convert;
pub mod entropy;
pub mod error;
pub mod hash;
pub mod header;
pub mod kdf;
pub mod luks1;
pub mod luks2;
pub mod material;
pub mod secret;
pub mod storage;
pub mod units;
pub mod uuid;
pub mod wipe;

pub use error::{Error, Result};

/// A keyslot that opened, and the key that was in it.
#[derive(Debug)]
pub struct Unlocked {
    /// The keyslot.
    pub keyslot: u32,
    /// The key.
    pub volume_key: secret::VolumeKey,
    /// Where a change of the keyslot was interrupted, and the new passphrase was given: what ends it, see
    /// [`header::Header::finish_change`].
    pub unfinished: Option<Box<header::Unfinished>>,
}
