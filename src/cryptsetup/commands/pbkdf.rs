//! The key derivation function of a new keyslot: forced by the options, or calibrated to take the requested time.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Instant;

use keyslots::cipher::{CipherName, CipherSpec};
use keyslots::hash::Hash;
use keyslots::header::{Header, Version};
use keyslots::kdf::calibrate::{self, Target, TargetKdf};
use keyslots::kdf::{Argon2Variant, CostLimits, Kdf};
use keyslots::luks2::NewKeyslot;
use keyslots::units::Bytes;

use super::context::Context;
use crate::cryptsetup::error::{CliError, PbkdfError};
use crate::cryptsetup::values::PbkdfKind;
use crate::defaults;

/// The cipher of keyslots if that of the data cannot protect one.
const FALLBACK_CIPHER: &str = "aes-xts-plain64";
/// Bytes of its key.
const FALLBACK_KEY_SIZE: u32 = 64;
/// The limit of `--pbkdf-memory`, in KiB, as in cryptsetup.
const MIN_MEMORY_KIB: u32 = 32;
const MAX_MEMORY_KIB: u32 = 4 * 1024 * 1024;
/// How long the digest of a volume key takes to compute, in milliseconds.
const DIGEST_TIME_MS: u32 = 125;

impl Context<'_> {
    /// `--hash`, or the default.
    pub(super) fn hash(&self) -> Result<Hash, CliError> {
        let name = self.options.hash.as_deref().unwrap_or(defaults::LUKS_HASH);
        Hash::from_name(name).ok_or_else(|| CliError::UnknownHash(name.to_owned()))
    }

    /// Checks all options for a new keyslot's derivation, before the first prompt.
    pub(super) fn check_pbkdf(&self, version: Version) -> Result<(), CliError> {
        self.hash()?;
        self.check_keyslot_cipher(version)?;
        let options = self.options;
        let kind = self.pbkdf_kind(version);
        let memory_kib = options.pbkdf_memory.filter(|&kib| kib > 0);
        let (minimum, memory_hard) = match kind {
            PbkdfKind::Pbkdf2 => (calibrate::MIN_ITERATIONS, false),
            PbkdfKind::Argon2i | PbkdfKind::Argon2id => (calibrate::MIN_TIME, true),
        };
        if memory_hard && version == Version::Luks1 {
            return Err(CliError::Pbkdf(PbkdfError::Luks1Pbkdf));
        }
        if memory_hard && memory_kib.is_some_and(|kib| kib > MAX_MEMORY_KIB) {
            return Err(CliError::Pbkdf(PbkdfError::MemoryTooHigh(MAX_MEMORY_KIB)));
        }
        if memory_hard && options.pbkdf_parallel.is_some_and(|lanes| lanes > calibrate::MAX_LANES) {
            return Err(CliError::Pbkdf(PbkdfError::ParallelTooHigh(calibrate::MAX_LANES)));
        }
        if options.pbkdf_force_iterations.is_none() {
            return Ok(());
        }
        if options.pbkdf_force_iterations.is_some_and(|forced| forced < minimum) {
            return Err(CliError::Pbkdf(PbkdfError::TooCheap {
                kind: kind.name(),
                minimum,
            }));
        }
        if memory_hard && memory_kib.is_some_and(|kib| kib < MIN_MEMORY_KIB) {
            return Err(CliError::Pbkdf(PbkdfError::MemoryTooLow {
                kind: kind.name(),
                minimum: MIN_MEMORY_KIB,
            }));
        }
        Ok(())
    }

    /// A LUKS1 header has one cipher, for data and keyslots.
    pub(super) fn check_keyslot_cipher(&self, version: Version) -> Result<(), CliError> {
        if version == Version::Luks1 && self.options.keyslot_cipher.is_some() {
            return Err(CliError::Luks2Only(
                "Keyslot encryption parameters can be set only for LUKS2 device.",
            ));
        }
        Ok(())
    }

    /// `--pbkdf`, or the version's default.
    fn pbkdf_kind(&self, version: Version) -> PbkdfKind {
        self.options.pbkdf.unwrap_or(match version {
            Version::Luks1 => PbkdfKind::Pbkdf2,
            Version::Luks2 => PbkdfKind::Argon2id,
        })
    }

    /// The function for a new keyslot.
    pub(super) fn kdf(&self, version: Version, key_len: usize) -> Result<Kdf, CliError> {
        let options = self.options;
        let kind = self.pbkdf_kind(version);
        let hash = self.hash()?;
        let lanes = self.lanes();
        let memory_kib = match kind {
            PbkdfKind::Pbkdf2 => 0,
            PbkdfKind::Argon2i | PbkdfKind::Argon2id => self.memory_kib(),
        };
        let variant = match kind {
            PbkdfKind::Argon2i => Argon2Variant::I,
            PbkdfKind::Pbkdf2 | PbkdfKind::Argon2id => Argon2Variant::Id,
        };
        let kdf = match (options.pbkdf_force_iterations, kind) {
            (Some(iterations), PbkdfKind::Pbkdf2) => Kdf::Pbkdf2 { hash, iterations },
            (Some(time), PbkdfKind::Argon2i | PbkdfKind::Argon2id) => Kdf::Argon2 {
                variant,
                time,
                memory_kib,
                lanes,
            },
            (None, _) => {
                let kdf = match kind {
                    PbkdfKind::Pbkdf2 => TargetKdf::Pbkdf2 { hash },
                    PbkdfKind::Argon2i | PbkdfKind::Argon2id => TargetKdf::Argon2 {
                        variant,
                        max_memory_kib: memory_kib,
                        max_lanes: lanes,
                    },
                };
                let iter_time_ms = self.iter_time_ms();
                self.console
                    .debug(format_args!("Calibrating {} to {iter_time_ms} ms.", kind.name()));
                let target = Target {
                    iter_time_ms,
                    kdf,
                    key_len,
                };
                calibrate::calibrate(target, &mut clock())?
            }
        };
        // A derivation that is impossible is refused before the first prompt.
        kdf.check(&self.cost_limits())?;
        self.warn_of_less(&kdf, memory_kib);
        Ok(kdf)
    }

    /// A keyslot that is cheaper than requested, or than the defaults, causes a warning.
    fn warn_of_less(&self, kdf: &Kdf, bound_kib: u32) {
        let warn = |text: fmt::Arguments<'_>| self.console.complain(format_args!("WARNING: The new keyslot {text}."));
        let iter_time_ms = self.iter_time_ms();
        if let Kdf::Argon2 { memory_kib, lanes, .. } = *kdf {
            match self.options.pbkdf_memory.filter(|&kib| kib > 0) {
                Some(asked) if memory_kib < asked => warn(format_args!(
                    "uses {memory_kib} KiB of memory, not the {asked} KiB of --pbkdf-memory: with more it would take longer than \
                     {iter_time_ms} ms"
                )),
                None if memory_kib == bound_kib && memory_kib < calibrate::DEFAULT_MEMORY_KIB => warn(format_args!(
                    "uses {memory_kib} KiB of memory, not the default of {} KiB: this machine has no more to spare",
                    calibrate::DEFAULT_MEMORY_KIB
                )),
                _ => {}
            }
            match self.options.pbkdf_parallel {
                Some(asked) if lanes < asked => warn(format_args!(
                    "uses {lanes} threads, not the {asked} of --pbkdf-parallel: this machine has no more processors"
                )),
                _ => {}
            }
        }
        if self.options.pbkdf_force_iterations.is_none() && CostLimits::default().are_reached_by(kdf) {
            warn(format_args!(
                "takes less time than {iter_time_ms} ms: its cost is the highest that is opened without --no-pbkdf-limits"
            ));
        }
    }

    /// The cost limits for opening a keyslot.
    pub(super) fn cost_limits(&self) -> CostLimits {
        match self.options.no_pbkdf_limits {
            true => CostLimits::unlimited(),
            false => CostLimits::default(),
        }
    }

    /// Iterations of the digest of a volume key.
    pub(super) fn digest_iterations(&self, hash: Hash, digest_len: usize) -> Result<u32, CliError> {
        if self.options.pbkdf_force_iterations.is_some() {
            return Ok(calibrate::MIN_ITERATIONS);
        }
        Ok(calibrate::pbkdf2_iterations(
            hash,
            digest_len,
            DIGEST_TIME_MS,
            &mut clock(),
        )?)
    }

    /// A new LUKS2 keyslot for the data of a volume with this cipher and this length of the volume key.
    pub(super) fn new_keyslot(&self, data_cipher: &CipherName, key_len: usize) -> Result<NewKeyslot, CliError> {
        let (encryption, area_key_size) = self.keyslot_cipher(data_cipher, key_len)?;
        Ok(NewKeyslot {
            kdf: self.kdf(Version::Luks2, area_key_size as usize)?,
            af_hash: self.hash()?,
            encryption,
            area_key_size,
            priority: None,
        })
    }

    /// As [`Context::new_keyslot`], for an existing volume. A keyslot for an unbound key is protected as those of the
    /// volume are.
    pub(super) fn new_keyslot_of(&self, header: &Header, key_len: usize) -> Result<NewKeyslot, CliError> {
        let key_len = header.key_size().and_then(Bytes::to_usize).unwrap_or(key_len);
        let cipher = header
            .data()
            .map_or_else(|| CipherName::new(FALLBACK_CIPHER), |data| data.cipher);
        self.new_keyslot(&cipher, key_len)
    }

    /// The keyslot's cipher: as requested, else the data's if it can protect a keyslot.
    fn keyslot_cipher(&self, data_cipher: &CipherName, key_len: usize) -> Result<(CipherSpec, u32), CliError> {
        let asked_size = self.options.keyslot_key_size.map(|size| size.bits() / 8);
        if let Some(cipher) = &self.options.keyslot_cipher {
            let spec: CipherSpec = cipher.parse()?;
            let size = asked_size.unwrap_or(FALLBACK_KEY_SIZE);
            spec.check_key_len(size as usize)?;
            return Ok((spec, size));
        }
        let fallback = || Ok((FALLBACK_CIPHER.parse()?, FALLBACK_KEY_SIZE));
        let Ok(spec) = data_cipher.spec() else {
            return fallback();
        };
        // Not every kernel has a wide mode, and a keyslot should open anywhere.
        if spec.is_null() || spec.is_wide() || spec.check_key_len(key_len).is_err() {
            return fallback();
        }
        let size = u32::try_from(key_len).unwrap_or(FALLBACK_KEY_SIZE);
        Ok((*spec, size))
    }

    /// `--pbkdf-parallel`, or four. With forced iterations a given value is kept; else it is at most the number of
    /// processors, since they do the measuring.
    pub(super) fn lanes(&self) -> u32 {
        let given = self.options.pbkdf_parallel.filter(|&lanes| lanes > 0);
        match (given, self.options.pbkdf_force_iterations) {
            (Some(given), Some(_)) => given,
            _ => {
                let online = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
                let online = u32::try_from(online).unwrap_or(calibrate::MAX_LANES);
                given.unwrap_or(calibrate::MAX_LANES).min(online)
            }
        }
        .clamp(1, calibrate::MAX_LANES)
    }

    /// `--pbkdf-memory` as it is; if it is missing or 0, what this machine can spare of the default.
    pub(super) fn memory_kib(&self) -> u32 {
        let given = self.options.pbkdf_memory.filter(|&kib| kib > 0);
        given.unwrap_or_else(calibrate::default_memory_kib)
    }

    pub(super) fn iter_time_ms(&self) -> u32 {
        self.options
            .iter_time
            .filter(|&time| time > 0)
            .unwrap_or(calibrate::DEFAULT_ITER_TIME_MS)
    }
}

/// A clock for calibration: the time since its creation.
pub(super) fn clock() -> impl FnMut() -> std::time::Duration {
    let start = Instant::now();
    move || start.elapsed()
}
