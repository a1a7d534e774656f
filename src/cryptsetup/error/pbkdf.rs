//! Costs of a key derivation that cannot be taken.

/// Costs of a key derivation that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum PbkdfError {
    /// LUKS1 has one key derivation function.
    #[error("Requested PBKDF type is not supported for LUKS1.\nFailed to set pbkdf parameters.")]
    Luks1Pbkdf,
    /// A forced cost is below what protects anything.
    #[error("Forced iteration count is too low for {kind} (minimum is {minimum}).\nFailed to set pbkdf parameters.")]
    TooCheap {
        /// The function.
        kind: &'static str,
        /// What is the least.
        minimum: u32,
    },
    /// A forced memory cost is below what protects anything.
    #[error(
        "Forced memory cost is too low for {kind} (minimum is {minimum} kilobytes).\nFailed to set pbkdf parameters."
    )]
    MemoryTooLow {
        /// The function.
        kind: &'static str,
        /// What is the least, in KiB.
        minimum: u32,
    },
    /// More memory than any keyslot may take, in KiB.
    #[error(
        "Requested maximum PBKDF memory cost is too high (maximum is {0} kilobytes).\nFailed to set pbkdf parameters."
    )]
    MemoryTooHigh(u32),
    /// More threads than any keyslot may take.
    #[error("Requested maximum PBKDF parallel cost is too high (maximum is {0}).\nFailed to set pbkdf parameters.")]
    ParallelTooHigh(u32),
}
