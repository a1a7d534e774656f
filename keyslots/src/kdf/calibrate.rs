//! Calibrating the cost of a new keyslot, so that it takes the requested time on this machine.
//!
//! The measurement runs the same code that will unlock. The crate has no clock: the caller provides one.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{Argon2Variant, CostLimits, Kdf, KdfError, available, parallel};
use crate::hash::Hash;
use crate::units::Bytes;

/// cryptsetup's default for `--iter-time`, in milliseconds.
pub const DEFAULT_ITER_TIME_MS: u32 = 2000;
/// cryptsetup's default for `--pbkdf-memory`, in KiB.
pub const DEFAULT_MEMORY_KIB: u32 = 1024 * 1024;
/// cryptsetup's maximum of lanes.
pub const MAX_LANES: u32 = 4;
/// cryptsetup's minimum of PBKDF2 iterations.
pub const MIN_ITERATIONS: u32 = 1000;
/// cryptsetup's minimum of the Argon2 time cost.
pub const MIN_TIME: u32 = 4;
/// cryptsetup's minimum of Argon2 memory, in KiB.
pub const MIN_MEMORY_KIB: u32 = 32;
/// The lowest memory that calibration chooses, in KiB, unless the request is lower.
pub const MIN_CALIBRATED_MEMORY_KIB: u32 = 64 * 1024;

/// The request for a calibration.
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
        /// The variant.
        variant: Argon2Variant,
        /// The most memory to use, in KiB: as requested, or [`default_memory_kib`]. If it is unavailable, nothing is derived.
        max_memory_kib: u32,
        /// The most lanes to use. The number of CPUs is another bound.
        max_lanes: u32,
    },
}

/// Finds the costs with which a derivation takes the requested time here. `clock` returns the time since any fixed
/// moment, such as `Instant::elapsed`.
///
/// # Errors
/// [`KdfError::ClockStopped`], and those of [`Kdf::derive`].
pub fn calibrate(target: Target, clock: &mut dyn FnMut() -> Duration) -> Result<Kdf, KdfError> {
    match target.kdf {
        TargetKdf::Pbkdf2 { hash } => {
            let iterations = pbkdf2_iterations(hash, target.key_len, target.iter_time_ms, clock)?;
            Ok(Kdf::Pbkdf2 { hash, iterations })
        }
        TargetKdf::Argon2 {
            variant,
            max_memory_kib,
            max_lanes,
        } => {
            let lanes = max_lanes
                .min(MAX_LANES)
                .min(u32::try_from(parallel::cpus()).unwrap_or(MAX_LANES))
                .max(1);
            let shape = |work| {
                Argon2Shape {
                    work,
                    max_memory_kib: max_memory_kib.max(8 * lanes),
                }
                .kdf(variant, lanes)
            };
            find_work(
                u64::from(MIN_TIME) * u64::from(MIN_CALIBRATED_MEMORY_KIB),
                target,
                clock,
                &shape,
            )
            .map(shape)
        }
    }
}

/// Finds the PBKDF2 iterations that take `iter_time_ms` for a key of `key_len` bytes: [`MIN_ITERATIONS`] at least.
/// LUKS spends an eighth of the time of a keyslot on the digest of the volume key.
///
/// # Errors
/// [`KdfError::ClockStopped`], and those of [`Kdf::derive`].
pub fn pbkdf2_iterations(
    hash: Hash,
    key_len: usize,
    iter_time_ms: u32,
    clock: &mut dyn FnMut() -> Duration,
) -> Result<u32, KdfError> {
    let target = Target {
        iter_time_ms,
        kdf: TargetKdf::Pbkdf2 { hash },
        key_len,
    };
    let iterations = |work| {
        u32::try_from(work)
            .unwrap_or(u32::MAX)
            .clamp(MIN_ITERATIONS, CostLimits::default().max_iterations(hash))
    };
    let shape = |work| Kdf::Pbkdf2 {
        hash,
        iterations: iterations(work),
    };
    find_work(MIN_ITERATIONS.into(), target, clock, &shape).map(iterations)
}

/// The default memory of a new keyslot, in KiB: [`DEFAULT_MEMORY_KIB`], or if that is more, half of this machine's memory and
/// what is free of it. Never less than [`MIN_CALIBRATED_MEMORY_KIB`], whatever is available: if that much is missing, no key
/// is derived, rather than one that is cheap to find.
pub fn default_memory_kib() -> u32 {
    default_within(available::physical(), available::free())
}

fn default_within(physical: Option<Bytes>, available: Option<Bytes>) -> u32 {
    let half = physical.map_or(u64::MAX, |bytes| bytes.get() / 2);
    let free = available.map_or(u64::MAX, Bytes::get);
    let kib = u32::try_from(half.min(free) / 1024).unwrap_or(u32::MAX);
    kib.clamp(MIN_CALIBRATED_MEMORY_KIB, DEFAULT_MEMORY_KIB)
}

/// An amount of Argon2 work as costs.
struct Argon2Shape {
    /// Memory in KiB times passes.
    work: u64,
    max_memory_kib: u32,
}

impl Argon2Shape {
    /// As much memory as the work fills in the fewest passes, and more passes if that exceeds the available memory. The
    /// result is always within [`CostLimits`].
    fn kdf(self, variant: Argon2Variant, lanes: u32) -> Kdf {
        let work = self.work.min(CostLimits::WORK.get() / 1024);
        let least = MIN_CALIBRATED_MEMORY_KIB.min(self.max_memory_kib);
        let memory = u32::try_from(work / u64::from(MIN_TIME)).unwrap_or(u32::MAX);
        let memory_kib = memory.clamp(least, self.max_memory_kib);
        let time = u32::try_from(work / u64::from(memory_kib))
            .unwrap_or(u32::MAX)
            .max(MIN_TIME);
        Kdf::Argon2 {
            variant,
            time,
            memory_kib,
            lanes,
        }
    }
}

/// The most by which the work grows from one round to the next.
const GROWTH: u64 = 16;

/// Finds the amount of work that takes the requested time, in whatever unit `shape` turns into costs.
fn find_work(
    start: u64,
    target: Target,
    clock: &mut dyn FnMut() -> Duration,
    shape: &dyn Fn(u64) -> Kdf,
) -> Result<u64, KdfError> {
    let wanted = u64::from(target.iter_time_ms.max(1)) * 1_000_000;
    let mut work = start;
    let mut at_once = 0;
    loop {
        let took = measure(shape(work), target.key_len, clock)?;
        let work_of = |time: u64| {
            let exact = u128::from(work) * u128::from(time) / u128::from(took.max(1));
            u64::try_from(exact).unwrap_or(u64::MAX).max(1)
        };
        // A shorter measurement would say more about caches and fresh pages than about the work.
        if took >= wanted / 4 {
            return Ok(work_of(wanted));
        }
        at_once = if took == 0 { at_once + 1 } else { 0 };
        if at_once > 1 {
            return Err(KdfError::ClockStopped);
        }
        let more = work_of(wanted / 2).min(work.saturating_mul(GROWTH));
        if shape(more) == shape(work) {
            // The costs are at their bound, and still cheaper than requested.
            return Ok(work);
        }
        work = more;
    }
}

/// How long one derivation takes, in nanoseconds.
fn measure(kdf: Kdf, key_len: usize, clock: &mut dyn FnMut() -> Duration) -> Result<u64, KdfError> {
    let mut key = Zeroizing::new(vec![0; key_len]);
    let start = clock();
    kdf.derive(b"calibration", &[b'*'; 32], &mut key, &CostLimits::default())?;
    Ok(u64::try_from(clock().saturating_sub(start).as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock on which each derivation takes the time that `cost` returns, read before and after it.
    fn clock(mut cost: impl FnMut() -> u64) -> impl FnMut() -> Duration {
        let (mut now, mut running) = (0, false);
        move || {
            if running {
                now += cost();
            }
            running = !running;
            Duration::from_millis(now)
        }
    }

    #[test]
    fn iterations_are_scaled_to_the_time() {
        // 1000 iterations in 100 ms: at once long enough for 400 ms, and then for 2000 ms only in the second round.
        assert_eq!(pbkdf2_iterations(Hash::Sha256, 32, 400, &mut clock(|| 100)), Ok(4000));
        let mut costs = [100, 1000].into_iter();
        let mut clock = clock(|| costs.next().expect("two rounds"));
        assert_eq!(pbkdf2_iterations(Hash::Sha256, 32, 2000, &mut clock), Ok(20_000));
    }

    #[test]
    fn costs_stay_above_the_minimum_and_a_stopped_clock_is_found_out() {
        assert_eq!(
            pbkdf2_iterations(Hash::Sha1, 20, 1, &mut clock(|| 10_000)),
            Ok(MIN_ITERATIONS)
        );
        assert_eq!(
            pbkdf2_iterations(Hash::Sha1, 20, 2000, &mut || Duration::ZERO),
            Err(KdfError::ClockStopped)
        );
        let kdf = TargetKdf::Argon2 {
            variant: Argon2Variant::Id,
            max_memory_kib: 64,
            max_lanes: 1,
        };
        let target = Target {
            iter_time_ms: 1,
            kdf,
            key_len: 32,
        };
        let Ok(Kdf::Argon2 {
            time,
            memory_kib,
            lanes,
            ..
        }) = calibrate(target, &mut clock(|| 1_000_000))
        else {
            panic!("no costs")
        };
        assert_eq!((time, memory_kib, lanes), (MIN_TIME, 64, 1));
    }

    #[test]
    fn memory_comes_before_passes() {
        let shape = |work| {
            Argon2Shape {
                work,
                max_memory_kib: 1 << 20,
            }
            .kdf(Argon2Variant::Id, 4)
        };
        let costs = |work| match shape(work) {
            Kdf::Argon2 { time, memory_kib, .. } => (time, memory_kib),
            Kdf::Pbkdf2 { .. } => (0, 0),
        };
        assert_eq!(costs(1), (4, 64 << 10));
        assert_eq!(costs(4 << 18), (4, 1 << 18));
        assert_eq!(costs(10 << 20), (10, 1 << 20));
        assert_eq!(CostLimits::default().check(&shape(u64::MAX)), Ok(()));
    }

    #[test]
    fn memory_is_bounded_by_the_machine() {
        let gib = |n: u64| Some(Bytes::mib(n * 1024));
        assert_eq!(default_within(gib(8), gib(6)), 1 << 20);
        assert_eq!(default_within(gib(1), gib(1)), 1 << 19);
        assert_eq!(default_within(gib(8), Some(Bytes::mib(100))), 100 << 10);
        assert_eq!(default_within(None, None), 1 << 20);
        // Down to the minimum that protects a key, and no further.
        assert_eq!(default_within(gib(8), Some(Bytes::mib(40))), 64 << 10);
        assert_eq!(default_within(Some(Bytes::mib(32)), Some(Bytes::ZERO)), 64 << 10);
    }
}
