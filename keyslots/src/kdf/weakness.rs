//! Costs of existing keyslots that are too low to protect a key.

use std::fmt;

use super::calibrate::{MIN_CALIBRATED_MEMORY_KIB, MIN_TIME};
use super::limits::relative_cost;
use super::{Argon2Variant, Kdf};

/// The lowest PBKDF2 iterations with SHA-256 that are not called weak: a tenth of cryptsetup's result on slow machines.
/// Slower hashes may have fewer.
const FEW_ITERATIONS: u32 = 100_000;

/// Why a passphrase is cheap to guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Weakness {
    /// Argon2 takes less memory than cryptsetup would use for any keyslot by default.
    Memory {
        /// The memory, in KiB.
        kib: u32,
    },
    /// Argon2 makes too few passes for its memory.
    Passes {
        /// Passes over the memory.
        time: u32,
    },
    /// PBKDF2 has few iterations.
    Iterations {
        /// The number.
        iterations: u32,
        /// A sufficient number.
        enough: u32,
    },
}

impl Kdf {
    /// Whether these costs are too low: Argon2 with less than 64 MiB or fewer than four passes, PBKDF2 with less than 100,000
    /// iterations of SHA-256 or the equivalent.
    pub fn weakness(&self) -> Option<Weakness> {
        match *self {
            Self::Pbkdf2 { hash, iterations } => {
                let enough = FEW_ITERATIONS / relative_cost(hash);
                (iterations < enough).then_some(Weakness::Iterations { iterations, enough })
            }
            Self::Argon2 { memory_kib, .. } if memory_kib < MIN_CALIBRATED_MEMORY_KIB => {
                Some(Weakness::Memory { kib: memory_kib })
            }
            // Foreign programs may give more memory in fewer passes, as RFC 9106 recommends.
            Self::Argon2 {
                variant,
                time,
                memory_kib,
                ..
            } => {
                let passes = if variant == Argon2Variant::Id { 1 } else { 3 };
                let work = u64::from(time) * u64::from(memory_kib);
                let little = work < u64::from(MIN_TIME) * u64::from(MIN_CALIBRATED_MEMORY_KIB);
                (time < passes || little).then_some(Weakness::Passes { time })
            }
        }
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { kib } => write!(
                f,
                "Argon2 uses {kib} KiB of memory, less than {MIN_CALIBRATED_MEMORY_KIB} KiB"
            ),
            Self::Passes { time } => write!(f, "Argon2 makes too few passes over its memory ({time})"),
            Self::Iterations { iterations, enough } => {
                write!(f, "PBKDF2 makes {iterations} iterations, fewer than {enough}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;

    #[test]
    fn what_cryptsetup_writes_by_itself_is_not_weak_and_less_is() {
        let argon2 = |time, memory_kib| {
            Kdf::Argon2 {
                variant: Argon2Variant::Id,
                time,
                memory_kib,
                lanes: 4,
            }
            .weakness()
        };
        assert_eq!(argon2(4, 64 << 10), None);
        assert_eq!(argon2(4, 1 << 20), None);
        assert_eq!(argon2(1, 2 << 20), None);
        let text = argon2(4, 32).expect("a weakness").to_string();
        assert_eq!(text, "Argon2 uses 32 KiB of memory, less than 65536 KiB");
        assert!(matches!(argon2(4000, (64 << 10) - 1), Some(Weakness::Memory { .. })));
        assert!(matches!(argon2(1, 64 << 10), Some(Weakness::Passes { time: 1 })));
        let pbkdf2 = |hash, iterations| Kdf::Pbkdf2 { hash, iterations }.weakness();
        assert_eq!(pbkdf2(Hash::Sha256, 100_000), None);
        assert_eq!(pbkdf2(Hash::Streebog512, 1000), None);
        let text = pbkdf2(Hash::Sha512, 1000).expect("a weakness").to_string();
        assert_eq!(text, "PBKDF2 makes 1000 iterations, fewer than 25000");
    }
}
