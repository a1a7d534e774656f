//! The functions and their costs, and why no key was derived.

use crate::hash::Hash;
use crate::units::Bytes;

/// A key derivation function with its costs. The salt is given to `Kdf::derive`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kdf {
    /// PBKDF2 with HMAC (RFC 8018).
    Pbkdf2 {
        /// The hash under the HMAC.
        hash: Hash,
        /// Rounds, at least 1.
        iterations: u32,
    },
    /// Argon2, version 0x13 (RFC 9106).
    Argon2 {
        /// The variant.
        variant: Argon2Variant,
        /// Passes over the memory, at least 1.
        time: u32,
        /// Memory in KiB, at least 8 for each lane.
        memory_kib: u32,
        /// Lanes, computed in parallel, at least 1.
        lanes: u32,
    },
}

/// The variants of Argon2 in LUKS2.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Argon2Variant {
    /// Argon2i: addresses do not depend on the passphrase.
    I,
    /// Argon2id: they do after the first half of the first pass. The default.
    Id,
}

/// Why no key was derived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KdfError {
    /// A cost is above its limit; nothing was computed. `CostLimits` can allow it.
    #[error("{field} is {value}, more than the limit of {limit}")]
    CostTooHigh {
        /// The cost, with its unit.
        field: &'static str,
        /// The given cost.
        value: u64,
        /// The highest allowed cost.
        limit: u64,
    },
    /// A cost is below the function's minimum.
    #[error("{field} is {value}, less than the minimum of {minimum}")]
    CostTooLow {
        /// The cost, with its unit.
        field: &'static str,
        /// The given cost.
        value: u64,
        /// The minimum.
        minimum: u64,
    },
    /// The derivation needs more memory than is available; nothing was computed.
    #[error("{needed} of memory are needed, {available} are available")]
    OutOfMemory {
        /// The required memory.
        needed: Bytes,
        /// The memory that the system has, or allows this process.
        available: Bytes,
    },
    /// The passphrase, the salt or the key has an invalid length.
    #[error("{what} has {len} bytes, which the key derivation does not take")]
    BadLength {
        /// The name of the input.
        what: &'static str,
        /// Its length in bytes.
        len: u64,
    },
    /// The clock for calibration does not advance.
    #[error("the clock does not advance, so that the cost of a key derivation cannot be measured")]
    ClockStopped,
}

impl Kdf {
    /// The memory that a derivation needs, beside a few pages.
    pub fn memory(&self) -> Bytes {
        match *self {
            Self::Pbkdf2 { .. } => Bytes::ZERO,
            Self::Argon2 { memory_kib, .. } => Bytes::kib(memory_kib.into()),
        }
    }

    /// The processors that a derivation keeps busy, if there are as many.
    pub fn lanes(&self) -> u32 {
        match *self {
            Self::Pbkdf2 { .. } => 1,
            Self::Argon2 { lanes, .. } => lanes,
        }
    }

    /// The name in LUKS2 metadata.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pbkdf2 { .. } => "pbkdf2",
            Self::Argon2 {
                variant: Argon2Variant::I,
                ..
            } => "argon2i",
            Self::Argon2 {
                variant: Argon2Variant::Id,
                ..
            } => "argon2id",
        }
    }
}
