//! From a request to the costs and the cipher of a keyslot, calibrated on this machine.

use std::time::{Duration, Instant};

use keyslots::cipher::{CipherName, CipherSpec};
use keyslots::header::{Header, Version};
use keyslots::kdf::calibrate::{self, Target, TargetKdf};
use keyslots::kdf::{Argon2Variant, CostLimits, Kdf};
use keyslots::luks2;
use keyslots::units::Bytes;

use super::{CostRequest, PbkdfKind};
use crate::crypt_device::{Changing, CostError, CryptError, Event, KeyslotCost, LuksDevice, Observer, Shortfall};
use crate::log;

/// The cipher of keyslots if that of the data cannot protect one.
const FALLBACK_CIPHER: &str = "aes-xts-plain64";
/// Bytes of its key.
const FALLBACK_KEY_SIZE: u32 = 64;

impl CostRequest<'_> {
    /// The function with its costs.
    fn kdf(&self, version: Version, key_len: usize, changing: &Changing<'_>) -> Result<Kdf, CryptError> {
        let kind = self.kind(version);
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
        let kdf = match (self.force_iterations, kind) {
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
                log::debug(format_args!("Calibrating {} to {iter_time_ms} ms.", kind.name()));
                let target = Target {
                    iter_time_ms,
                    kdf,
                    key_len,
                };
                calibrate::calibrate(target, &mut clock())?
            }
        };
        // A derivation that is impossible is refused before the first prompt.
        kdf.check(changing.limits)?;
        self.tell_shortfalls(&kdf, memory_kib, changing.observer);
        Ok(kdf)
    }

    /// Tells how a keyslot is cheaper than requested, or than the defaults.
    fn tell_shortfalls(&self, kdf: &Kdf, bound_kib: u32, observer: &dyn Observer) {
        let iter_time_ms = self.iter_time_ms();
        let tell = |shortfall| {
            observer.notice(Event::CheaperKeyslot {
                shortfall,
                iter_time_ms,
            });
        };
        if let Kdf::Argon2 { memory_kib, lanes, .. } = *kdf {
            let default = calibrate::DEFAULT_MEMORY_KIB;
            match self.memory_kib.filter(|&kib| kib > 0) {
                Some(wanted) if memory_kib < wanted => tell(Shortfall::Memory {
                    kib: memory_kib,
                    wanted,
                }),
                None if memory_kib == bound_kib && memory_kib < default => tell(Shortfall::MachineMemory {
                    kib: memory_kib,
                    default,
                }),
                _ => {}
            }
            match self.lanes {
                Some(wanted) if lanes < wanted => tell(Shortfall::Lanes { lanes, wanted }),
                _ => {}
            }
        }
        if self.force_iterations.is_none() && CostLimits::default().are_reached_by(kdf) {
            tell(Shortfall::Time);
        }
    }

    /// PBKDF2's iterations of a LUKS1 keyslot.
    ///
    /// # Errors
    /// [`CryptError`].
    pub(in crate::crypt_device) fn luks1(&self, key_len: usize, changing: &Changing<'_>) -> Result<u32, CryptError> {
        match self.kdf(Version::Luks1, key_len, changing)? {
            Kdf::Pbkdf2 { iterations, .. } => Ok(iterations),
            Kdf::Argon2 { .. } => Err(CostError::Luks1Pbkdf.into()),
        }
    }

    /// A LUKS2 keyslot for the data of a volume with this cipher and this length of the volume key.
    ///
    /// # Errors
    /// [`CryptError`].
    pub(in crate::crypt_device) fn luks2(
        &self,
        data_cipher: &CipherName,
        key_len: usize,
        changing: &Changing<'_>,
    ) -> Result<luks2::NewKeyslot, CryptError> {
        let (encryption, area_key_size) = self.keyslot_cipher(data_cipher, key_len)?;
        Ok(luks2::NewKeyslot {
            kdf: self.kdf(Version::Luks2, area_key_size as usize, changing)?,
            af_hash: self.hash()?,
            encryption,
            area_key_size,
            priority: None,
        })
    }

    /// The keyslot's cipher: as requested, else the data's if it can protect a keyslot.
    fn keyslot_cipher(&self, data_cipher: &CipherName, key_len: usize) -> Result<(CipherSpec, u32), CryptError> {
        if let Some(cipher) = self.cipher {
            let spec: CipherSpec = cipher.parse()?;
            let size = self.key_size.unwrap_or(FALLBACK_KEY_SIZE);
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
}

impl LuksDevice {
    /// The cost of a new keyslot for a key of this length. A keyslot for an unbound key is protected as those of the volume are.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn keyslot_cost(
        &self,
        changing: &Changing<'_>,
        request: &CostRequest<'_>,
        key_len: usize,
    ) -> Result<KeyslotCost, CryptError> {
        self.check_changeable()?;
        request.check(self.header.version())?;
        match &self.header {
            Header::Luks1(_) => {
                let iterations = request.luks1(key_len, changing)?;
                Ok(KeyslotCost::Luks1 { iterations })
            }
            header @ Header::Luks2(_) => {
                let key_len = header.key_size().and_then(Bytes::to_usize).unwrap_or(key_len);
                let data = header.data();
                let cipher = data.map_or_else(|| CipherName::new(FALLBACK_CIPHER), |data| data.cipher);
                let new = request.luks2(&cipher, key_len, changing)?;
                Ok(KeyslotCost::Luks2(new))
            }
        }
    }
}

/// A clock for calibration: the time since its creation.
pub fn clock() -> impl FnMut() -> Duration {
    let start = Instant::now();
    move || start.elapsed()
}
