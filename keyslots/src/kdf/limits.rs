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
            work: Self::WORK,
            iterations: Self::ITERATIONS,
        }
    }
}

impl CostLimits {
    pub(super) const WORK: Bytes = Bytes::mib(512 * 1024);
    pub(super) const ITERATIONS: u32 = 1_000_000_000;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;
    use crate::kdf::Argon2Variant;

    fn argon2(time: u32, memory_kib: u32, lanes: u32) -> Kdf {
        Kdf::Argon2 {
            variant: Argon2Variant::Id,
            time,
            memory_kib,
            lanes,
        }
    }

    #[test]
    fn hostile_costs_are_refused_by_name_before_any_work() {
        let field = |kdf: Kdf| match kdf.derive(b"", &[0; 32], &mut [0; 32], &CostLimits::default()) {
            Err(KdfError::CostTooLow { field, .. }) => ("low", field),
            Err(KdfError::CostTooHigh { field, .. }) => ("high", field),
            other => panic!("{kdf:?}: {other:?}"),
        };
        let hash = Hash::Sha256;
        assert_eq!(field(Kdf::Pbkdf2 { hash, iterations: 0 }), ("low", "iterations"));
        assert_eq!(
            field(Kdf::Pbkdf2 {
                hash,
                iterations: u32::MAX
            }),
            ("high", "iterations")
        );
        assert_eq!(field(argon2(4, 1 << 20, 0)), ("low", "lanes"));
        assert_eq!(field(argon2(4, 1 << 20, u32::MAX)), ("high", "lanes"));
        assert_eq!(field(argon2(0, 1 << 20, 4)), ("low", "time cost"));
        assert_eq!(field(argon2(4, 31, 4)), ("low", "memory (KiB)"));
        assert_eq!(field(argon2(4, 0, 1)), ("low", "memory (KiB)"));
        assert_eq!(field(argon2(1, u32::MAX, 1)), ("high", "memory (KiB)"));
        assert_eq!(
            field(argon2(u32::MAX, 1 << 20, 4)),
            ("high", "memory times time cost (KiB)")
        );
    }

    #[test]
    fn what_cryptsetup_writes_is_allowed_and_more_by_name() {
        let limits = CostLimits::default();
        assert_eq!(limits.check(&argon2(4, 4 << 20, 4)), Ok(()));
        assert_eq!(
            limits.check(&Kdf::Pbkdf2 {
                hash: Hash::Sha512,
                iterations: 100_000_000
            }),
            Ok(())
        );
        let huge = argon2(1000, 8 << 20, 128);
        let limits = limits
            .allow_memory(Bytes::mib(8192))
            .allow_lanes(128)
            .allow_work(Bytes::new(u64::MAX));
        assert_eq!(limits.check(&huge), Ok(()));
        let slow = Kdf::Pbkdf2 {
            hash: Hash::Sha512,
            iterations: u32::MAX,
        };
        assert_eq!(limits.allow_iterations(u32::MAX).check(&slow), Ok(()));
    }

    #[test]
    fn more_memory_than_there_is_is_said_and_not_tried() {
        let limits = CostLimits::default()
            .allow_memory(Bytes::new(u64::MAX))
            .allow_work(Bytes::new(u64::MAX));
        let needed = Bytes::kib(u64::from(u32::MAX - 3));
        match argon2(1, u32::MAX, 1).derive(b"", &[0; 32], &mut [0; 32], &limits) {
            Err(KdfError::OutOfMemory { needed: said, .. }) => assert_eq!(said, needed),
            other => panic!("{other:?}"),
        }
    }
}
