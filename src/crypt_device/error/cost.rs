//! Why the requested cost of a keyslot is refused.

/// Why the requested cost of a keyslot is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CostError {
    /// The hash is unknown.
    #[error("unknown hash {0}")]
    UnknownHash(String),
    /// LUKS1 has one key derivation function.
    #[error("LUKS1 supports only PBKDF2")]
    Luks1Pbkdf,
    /// A LUKS1 header has one cipher, for data and keyslots.
    #[error("LUKS1 keyslots always use the cipher of the data")]
    Luks1Cipher,
    /// Forced iterations are too few to protect anything.
    #[error("{kind} needs at least {minimum} iterations")]
    TooCheap {
        /// The function.
        kind: &'static str,
        /// The minimum.
        minimum: u32,
    },
    /// A forced memory cost is too low to protect anything.
    #[error("{kind} needs at least {minimum} KiB of memory")]
    MemoryTooLow {
        /// The function.
        kind: &'static str,
        /// The minimum, in KiB.
        minimum: u32,
    },
    /// More memory than the limit of a keyslot, in KiB.
    #[error("a keyslot can use at most {0} KiB of memory")]
    MemoryTooHigh(u32),
    /// More lanes than the limit of a keyslot.
    #[error("a keyslot can use at most {0} lanes")]
    LanesTooMany(u32),
}
