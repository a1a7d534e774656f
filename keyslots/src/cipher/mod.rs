//! Sector encryption as the kernel's dm-crypt does it, in user space.
//!
//! A [`CipherSpec`] is a specification from a header (`aes-xts-plain64`); a [`SectorCipher`] is that with a key, and encrypts
//! or decrypts whole sectors in place. A [`CipherName`] is any text in the place of a specification. Keyslot areas are read
//! and written through it, and so are data without a device-mapper. Ciphers that only the kernel knows are errors here, by
//! name: their data can still be mapped.

mod adiantum;
mod algorithm;
mod block;
mod elephant;
mod geometry;
mod hctr2;
mod iv;
mod modes;
mod name;
mod sector;
mod spec;
#[cfg(test)]
mod tests;
mod tweak;
mod twofish;

pub use name::{CipherName, CipherTextError};
pub use sector::SectorCipher;
pub use spec::CipherSpec;

/// Why a cipher cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CipherError {
    /// The block cipher is not one of this crate's.
    #[error("cipher {0:?} is unknown")]
    UnknownCipher(String),
    /// The chaining mode is not one of this crate's.
    #[error("cipher mode {0:?} is unknown")]
    UnknownMode(String),
    /// The IV generator is not one of this crate's.
    #[error("IV generator {0:?} is unknown")]
    UnknownIv(String),
    /// The mode takes an initialisation vector, but none is named.
    #[error("cipher specification {0:?} names no IV generator")]
    MissingIv(String),
    /// The parts are known, but do not go together, such as `xts` over blocks of 8 bytes.
    #[error("cipher specification {spec:?}: {rule}")]
    Incompatible {
        /// The specification.
        spec: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The cipher has no such key size.
    #[error("{spec} takes no key of {len} bytes")]
    BadKeyLength {
        /// The specification, in canonical form.
        spec: String,
        /// The refused length in bytes.
        len: usize,
    },
    /// Sectors have 512, 1024, 2048 or 4096 bytes.
    #[error("no cipher works on sectors of {0} bytes")]
    BadSectorSize(usize),
    /// The length is not a whole number of sectors.
    #[error("{len} bytes is not a multiple of the sector size ({sector_size})")]
    PartialSector {
        /// Length of the data in bytes.
        len: usize,
        /// Size of a sector in bytes.
        sector_size: usize,
    },
}
