//! The limits of a key derivation's costs, which a header's numbers are checked against.

use super::{Kdf, KdfError};
use crate::hash::Hash;
use crate::units::Bytes;

/// Upper bounds on the costs in a header.
///
/// The default allows everything that cryptsetup writes; a derivation then takes minutes at most, not days. Each bound
/// can be raised by name if a user asks for it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CostLimits {
    memory: Bytes,
    lanes: u32,
    work: Bytes,
    /// `None` for as many as the hash allows.
    iterations: Option<u32>,
}

impl Default for CostLimits {
    /// 4 GiB of memory (the most that cryptsetup writes), 64 lanes, 512 GiB written in all passes, and
    /// [`CostLimits::max_iterations`].
    fn default() -> Self {
        Self {
            memory: Bytes::mib(4096),
            lanes: 64,
            work: Self::WORK,
            iterations: None,
        }
    }
}

impl CostLimits {
    pub(super) const WORK: Bytes = Bytes::mib(512 * 1024);

    /// The most PBKDF2 iterations with `hash`: 10^9 of SHA-256, and of others as many as take about the same time. The costs
    /// are fixed, so that a header opens on each machine or on none.
    pub fn max_iterations(&self, hash: Hash) -> u32 {
        self.iterations.unwrap_or(1_000_000_000 / relative_cost(hash))
    }

    /// Bounds nothing but the number of lanes: only for a header whose owner asks for it. The available memory still counts.
    pub fn unlimited() -> Self {
        Self {
            memory: Bytes::new(u64::MAX),
            lanes: 64,
            work: Bytes::new(u64::MAX),
            iterations: Some(u32::MAX),
        }
    }

    /// Whether no keyslot could cost more than `kdf` within these bounds.
    pub fn are_reached_by(&self, kdf: &Kdf) -> bool {
        match *kdf {
            Kdf::Pbkdf2 { hash, iterations } => iterations >= self.max_iterations(hash),
            Kdf::Argon2 { time, memory_kib, .. } => {
                u64::from(memory_kib).saturating_mul(u64::from(time) + 1) > self.work.get() / 1024
            }
        }
    }

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

    /// Allows PBKDF2 this many iterations with any hash.
    #[must_use]
    pub fn allow_iterations(self, iterations: u32) -> Self {
        Self {
            iterations: Some(iterations),
            ..self
        }
    }

    /// Checks the costs, the lower bounds of the functions included.
    ///
    /// # Errors
    /// [`KdfError::CostTooLow`] and [`KdfError::CostTooHigh`].
    pub fn check(&self, kdf: &Kdf) -> Result<(), KdfError> {
        match *kdf {
            Kdf::Pbkdf2 { hash, iterations } => {
                within("iterations", iterations.into(), 1, self.max_iterations(hash).into())
            }
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

/// The time of an iteration of PBKDF2, in those of SHA-256 on a processor with instructions for it.
pub(super) fn relative_cost(hash: Hash) -> u32 {
    match hash {
        Hash::Md5 | Hash::Sha1 | Hash::Sha224 | Hash::Sha256 => 1,
        Hash::Sha384 | Hash::Sha512 | Hash::Sha512_224 | Hash::Sha512_256 => 4,
        Hash::Blake2s128 | Hash::Blake2s160 | Hash::Blake2s224 | Hash::Blake2s256 => 4,
        Hash::Ripemd160 | Hash::Sm3 => 6,
        Hash::Blake2b160 | Hash::Blake2b256 | Hash::Blake2b384 | Hash::Blake2b512 => 8,
        Hash::Sha3_224 | Hash::Sha3_256 | Hash::Sha3_384 | Hash::Sha3_512 => 10,
        Hash::Whirlpool => 20,
        Hash::Streebog256 | Hash::Streebog512 => 100,
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
    fn slow_hashes_are_allowed_fewer_iterations() {
        let check = |limits: CostLimits, hash, iterations| limits.check(&Kdf::Pbkdf2 { hash, iterations });
        let limits = CostLimits::default();
        for (hash, most) in [
            (Hash::Sha1, 1_000_000_000),
            (Hash::Sha256, 1_000_000_000),
            (Hash::Sha512, 250_000_000),
            (Hash::Whirlpool, 50_000_000),
            (Hash::Streebog512, 10_000_000),
        ] {
            assert_eq!(limits.max_iterations(hash), most);
            assert_eq!(check(limits, hash, most), Ok(()), "{hash:?}");
            let refused = check(limits, hash, most + 1).expect_err("a refusal").to_string();
            assert!(refused.contains(&most.to_string()), "{refused}");
            assert_eq!(check(CostLimits::unlimited(), hash, u32::MAX), Ok(()));
        }
        // cryptsetup's own, in ten seconds on a fast machine.
        assert_eq!(check(limits, Hash::Streebog512, 1_000_000), Ok(()));
        assert_eq!(CostLimits::unlimited().check(&argon2(1 << 20, 8 << 20, 4)), Ok(()));
    }

    #[test]
    fn too_much_memory_is_reported_and_not_tried() {
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
