//! What a key derivation may cost: the bounds that a header's numbers are held against.

use super::{Kdf, KdfError};
use crate::units::Bytes;

/// Upper bounds on the costs in a header.
///
/// The default allows everything that cryptsetup writes, and what a derivation may then take is minutes, not days.
/// Each bound can be raised by name where a person has said so.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CostLimits {
    memory: Bytes,
    lanes: u32,
    work: Bytes,
    iterations: u32,
}

impl Default for CostLimits {
    /// 4 GiB of memory (the most that cryptsetup writes), 64 lanes, 512 GiB written in all passes, 10^9 iterations.
    fn default() -> Self {
        Self {
            memory: Bytes::mib(4096),
            lanes: 64,
            work: Bytes::mib(512 * 1024),
            iterations: 1_000_000_000,
        }
    }
}

impl CostLimits {
    /// Allows Argon2 this much memory.
    #[must_use]
    pub fn allow_memory(self, memory: Bytes) -> Self {
        Self { memory, ..self }
    }

    /// Allows Argon2 this many lanes.
    #[must_use]
    pub fn allow_lanes(self, lanes: u32) -> Self {
        Self { lanes, ..self }
    }

    /// Allows Argon2 to write this much memory in all passes: memory times time cost.
    #[must_use]
    pub fn allow_work(self, work: Bytes) -> Self {
        Self { work, ..self }
    }

    /// Allows PBKDF2 this many iterations.
    #[must_use]
    pub fn allow_iterations(self, iterations: u32) -> Self {
        Self { iterations, ..self }
    }

    /// Checks the costs, the lower bounds of the functions included.
    ///
    /// # Errors
    /// [`KdfError::CostTooLow`] and [`KdfError::CostTooHigh`].
    pub fn check(&self, kdf: &Kdf) -> Result<(), KdfError> {
        match *kdf {
            Kdf::Pbkdf2 { iterations, .. } => within("iterations", iterations.into(), 1, self.iterations.into()),
            Kdf::Argon2 {
                time,
                memory_kib,
                lanes,
                ..
            } => {
                let (time, memory, lanes) = (u64::from(time), u64::from(memory_kib), u64::from(lanes));
                within("lanes", lanes, 1, self.lanes.into())?;
                within("time cost", time, 1, u64::MAX)?;
                // RFC 9106, 3.1: each lane has four slices of two blocks at least.
                within("memory (KiB)", memory, 8 * lanes, self.memory.get() / 1024)?;
                within(
                    "memory times time cost (KiB)",
                    memory.saturating_mul(time),
                    0,
                    self.work.get() / 1024,
                )
            }
        }
    }
}

fn within(field: &'static str, value: u64, minimum: u64, limit: u64) -> Result<(), KdfError> {
    if value < minimum {
        Err(KdfError::CostTooLow { field, value, minimum })
    } else if value > limit {
        Err(KdfError::CostTooHigh { field, value, limit })
    } else {
        Ok(())
    }
}
