//! Costs of a keyslot that cannot be.

/// A cost that cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CostError {
    /// The hash is unknown.
    #[error("the hash {0} is unknown")]
    UnknownHash(String),
    /// LUKS1 has one key derivation function.
    #[error("LUKS1 has no key derivation function but PBKDF2")]
    Luks1Pbkdf,
    /// A LUKS1 header has one cipher, for data and keyslots.
    #[error("keyslots of LUKS1 have the cipher of the data")]
    Luks1Cipher,
    /// Forced iterations are too few to protect anything.
    #[error("{kind} needs {minimum} iterations at least")]
    TooCheap {
        /// The function.
        kind: &'static str,
        /// The minimum.
        minimum: u32,
    },
    /// A forced memory cost is too low to protect anything.
    #[error("{kind} needs {minimum} KiB of memory at least")]
    MemoryTooLow {
        /// The function.
        kind: &'static str,
        /// The minimum, in KiB.
        minimum: u32,
    },
    /// More memory than the limit of a keyslot, in KiB.
    #[error("a keyslot uses {0} KiB of memory at most")]
    MemoryTooHigh(u32),
    /// More lanes than the limit of a keyslot.
    #[error("a keyslot uses {0} lanes at most")]
    LanesTooMany(u32),
}
