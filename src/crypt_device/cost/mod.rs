//! The derivation and the encryption of a new keyslot: as requested, and where nothing is, the defaults, calibrated to take
//! the requested time on this machine.

mod choice;
mod seal;

use std::num::NonZeroUsize;

use keyslots::hash::Hash;
use keyslots::header::Version;
use keyslots::kdf::calibrate;

use super::{CostError, CryptError};
use crate::defaults;

pub use choice::clock;
pub use seal::KeyslotCost;
pub(super) use seal::WrappedKeyslot;

/// The highest requested memory cost, in KiB, as in cryptsetup.
const MAX_MEMORY_KIB: u32 = 4 * 1024 * 1024;
/// How long the digest of a volume key takes to compute, in milliseconds.
const DIGEST_TIME_MS: u32 = 125;

/// A password-based key derivation function, without its costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PbkdfKind {
    /// PBKDF2 over the requested hash.
    Pbkdf2,
    /// Argon2i.
    Argon2i,
    /// Argon2id.
    Argon2id,
}

impl PbkdfKind {
    /// The name, as in a LUKS2 header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pbkdf2 => "pbkdf2",
            Self::Argon2i => "argon2i",
            Self::Argon2id => "argon2id",
        }
    }

    fn is_memory_hard(self) -> bool {
        self != Self::Pbkdf2
    }
}

/// What is requested of a new keyslot; for the rest there are defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct CostRequest<'a> {
    /// The function.
    pub pbkdf: Option<PbkdfKind>,
    /// The hash.
    pub hash: Option<&'a str>,
    /// The time that unlocking should take, in milliseconds.
    pub iter_time_ms: Option<u32>,
    /// The memory, in KiB: this much at most, or with forced iterations exactly.
    pub memory_kib: Option<u32>,
    /// The lanes, likewise.
    pub lanes: Option<u32>,
    /// The iterations, in place of a calibration.
    pub force_iterations: Option<u32>,
    /// The cipher of the keyslot.
    pub cipher: Option<&'a str>,
    /// Bytes of its key.
    pub key_size: Option<u32>,
}

impl CostRequest<'_> {
    /// The hash, or the default one.
    ///
    /// # Errors
    /// [`CostError::UnknownHash`].
    pub fn hash(&self) -> Result<Hash, CostError> {
        let name = self.hash.unwrap_or(defaults::LUKS_HASH);
        Hash::from_name(name).ok_or_else(|| CostError::UnknownHash(name.to_owned()))
    }

    /// Checks all that can be without a key.
    ///
    /// # Errors
    /// [`CostError`].
    pub fn check(&self, version: Version) -> Result<(), CostError> {
        self.hash()?;
        self.check_cipher(version)?;
        let kind = self.kind(version);
        let memory_kib = self.memory_kib.filter(|&kib| kib > 0);
        let minimum = match kind {
            PbkdfKind::Pbkdf2 => calibrate::MIN_ITERATIONS,
            PbkdfKind::Argon2i | PbkdfKind::Argon2id => calibrate::MIN_TIME,
        };
        if kind.is_memory_hard() {
            if version == Version::Luks1 {
                return Err(CostError::Luks1Pbkdf);
            }
            if memory_kib.is_some_and(|kib| kib > MAX_MEMORY_KIB) {
                return Err(CostError::MemoryTooHigh(MAX_MEMORY_KIB));
            }
            if self.lanes.is_some_and(|lanes| lanes > calibrate::MAX_LANES) {
                return Err(CostError::LanesTooMany(calibrate::MAX_LANES));
            }
        }
        match self.force_iterations {
            Some(forced) if forced < minimum => Err(CostError::TooCheap {
                kind: kind.name(),
                minimum,
            }),
            Some(_) if kind.is_memory_hard() && memory_kib.is_some_and(|kib| kib < calibrate::MIN_MEMORY_KIB) => {
                Err(CostError::MemoryTooLow {
                    kind: kind.name(),
                    minimum: calibrate::MIN_MEMORY_KIB,
                })
            }
            _ => Ok(()),
        }
    }

    /// Checks that the version has a cipher for keyslots, where one is requested.
    ///
    /// # Errors
    /// [`CostError::Luks1Cipher`].
    pub fn check_cipher(&self, version: Version) -> Result<(), CostError> {
        match version {
            Version::Luks1 if self.cipher.is_some() => Err(CostError::Luks1Cipher),
            _ => Ok(()),
        }
    }

    /// The function, or the version's default.
    fn kind(&self, version: Version) -> PbkdfKind {
        self.pbkdf.unwrap_or(match version {
            Version::Luks1 => PbkdfKind::Pbkdf2,
            Version::Luks2 => PbkdfKind::Argon2id,
        })
    }

    /// Iterations of the digest of a volume key.
    ///
    /// # Errors
    /// That of the measurement.
    pub fn digest_iterations(&self, hash: Hash, digest_len: usize) -> Result<u32, CryptError> {
        if self.force_iterations.is_some() {
            return Ok(calibrate::MIN_ITERATIONS);
        }
        let iterations = calibrate::pbkdf2_iterations(hash, digest_len, DIGEST_TIME_MS, &mut clock());
        Ok(iterations?)
    }

    /// The lanes, or four. With forced iterations a given value is kept; else it is at most the number of processors, since
    /// they do the measuring.
    pub fn lanes(&self) -> u32 {
        let given = self.lanes.filter(|&lanes| lanes > 0);
        match (given, self.force_iterations) {
            (Some(given), Some(_)) => given,
            _ => {
                let online = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
                let online = u32::try_from(online).unwrap_or(calibrate::MAX_LANES);
                given.unwrap_or(calibrate::MAX_LANES).min(online)
            }
        }
        .clamp(1, calibrate::MAX_LANES)
    }

    /// The memory as it is; if it is missing or 0, what this machine can spare of the default.
    pub fn memory_kib(&self) -> u32 {
        let given = self.memory_kib.filter(|&kib| kib > 0);
        given.unwrap_or_else(calibrate::default_memory_kib)
    }

    /// The time; if it is missing or 0, the default.
    pub fn iter_time_ms(&self) -> u32 {
        let given = self.iter_time_ms.filter(|&time| time > 0);
        given.unwrap_or(calibrate::DEFAULT_ITER_TIME_MS)
    }
}
