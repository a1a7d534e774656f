//! Invalid costs of a key derivation.

/// Invalid costs of a key derivation.
#[derive(Debug, thiserror::Error)]
pub enum PbkdfError {
    /// LUKS1 has one key derivation function.
    #[error("Requested PBKDF type is not supported for LUKS1.\nFailed to set pbkdf parameters.")]
    Luks1Pbkdf,
    /// A forced cost is too low to protect anything.
    #[error("Forced iteration count is too low for {kind} (minimum is {minimum}).\nFailed to set pbkdf parameters.")]
    TooCheap {
        /// The function.
        kind: &'static str,
        /// The minimum.
        minimum: u32,
    },
    /// A forced memory cost is too low to protect anything.
    #[error(
        "Forced memory cost is too low for {kind} (minimum is {minimum} kilobytes).\nFailed to set pbkdf parameters."
    )]
    MemoryTooLow {
        /// The function.
        kind: &'static str,
        /// The minimum, in KiB.
        minimum: u32,
    },
    /// More memory than the limit of a keyslot, in KiB.
    #[error(
        "Requested maximum PBKDF memory cost is too high (maximum is {0} kilobytes).\nFailed to set pbkdf parameters."
    )]
    MemoryTooHigh(u32),
    /// More threads than the limit of a keyslot.
    #[error("Requested maximum PBKDF parallel cost is too high (maximum is {0}).\nFailed to set pbkdf parameters.")]
    ParallelTooHigh(u32),
}
