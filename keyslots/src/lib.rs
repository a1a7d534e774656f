//! LUKS1 and LUKS2 headers: read, validate, unlock, write.

pub mod af;
pub mod cipher;
pub mod error;
pub mod hash;
pub mod kdf;
pub mod luks1;
pub mod luks2;
pub mod material;
pub mod secret;
pub mod storage;
pub mod units;

pub use error::{Error, Result};
