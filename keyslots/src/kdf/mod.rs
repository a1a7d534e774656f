//! Key derivation: from a passphrase to the key of a keyslot area.
//!
//! Costs come from headers, and headers come from anyone: [`Kdf::derive`] checks them against [`CostLimits`], and then
//! against the available memory, before it allocates or computes anything. [`mod@calibrate`] finds the costs of a new
//! keyslot.

mod argon2;
mod available;
pub mod calibrate;
mod function;
mod limits;
mod memory;
mod parallel;
mod weakness;

pub use available::available as available_memory;
pub use calibrate::{Target, TargetKdf, calibrate, pbkdf2_iterations};
pub use function::{Argon2Variant, Kdf, KdfError};
pub use limits::CostLimits;
pub use memory::KeptMemory;
pub use weakness::Weakness;

use crate::units::Bytes;

impl Kdf {
    /// Fills `out` with a key for `password`.
    ///
    /// # Errors
    /// [`KdfError::CostTooLow`], [`KdfError::CostTooHigh`] and [`KdfError::OutOfMemory`], all before any work, and
    /// [`KdfError::BadLength`].
    pub fn derive(&self, password: &[u8], salt: &[u8], out: &mut [u8], limits: &CostLimits) -> Result<(), KdfError> {
        limits.check(self)?;
        if out.is_empty() {
            return Err(KdfError::BadLength {
                what: "the key",
                len: 0,
            });
        }
        match *self {
            Self::Pbkdf2 { hash, iterations } => {
                hash.pbkdf2(password, salt, iterations, out);
                Ok(())
            }
            Self::Argon2 {
                variant,
                time,
                memory_kib,
                lanes,
            } => argon2::derive(
                argon2::Costs {
                    variant,
                    time,
                    memory_kib,
                    lanes,
                },
                password,
                salt,
                out,
            ),
        }
    }

    /// Checks that [`Kdf::derive`] would start at all: for callers about to write something that only makes sense with
    /// its result.
    ///
    /// # Errors
    /// [`KdfError::CostTooLow`], [`KdfError::CostTooHigh`] and [`KdfError::OutOfMemory`].
    pub fn check(&self, limits: &CostLimits) -> Result<(), KdfError> {
        limits.check(self)?;
        match *self {
            Self::Pbkdf2 { .. } => Ok(()),
            Self::Argon2 { memory_kib, .. } => memory::check(Bytes::kib(memory_kib.into())),
        }
    }
}
