//! A cipher with its key, over whole sectors.

use std::fmt;

use super::CipherError;
use super::adiantum::{self, Adiantum};
use super::block::BlockCipher;
use super::elephant::Elephant;
use super::geometry::{Direction, MAX_BLOCK, MAX_SECTOR, SectorBuffer};
use super::hctr2::Hctr2;
use super::iv::IvGenerator;
use super::modes::{Chain, Sectors};
use super::spec::{CipherSpec, Mode};
use super::tweak::LrwTweaks;

/// The longest IV in bytes.
const MAX_IV: usize = adiantum::TWEAK_LEN;
/// Bytes that are processed together: a multiple of every sector size, and small enough for the processor's first cache.
const RUN: usize = 32 * 1024;

/// A cipher with its key, for sectors of one size. The key is wiped on drop.
pub struct SectorCipher {
    spec: CipherSpec,
    pub(super) cipher: Box<dyn BlockCipher>,
    pub(super) chain: Chain,
    iv: IvGenerator,
    diffuser: Option<Elephant>,
    sector_size: usize,
    /// By how much the IV's sector number grows from one sector to the next.
    iv_step: u64,
    /// The range of the numbers: the kernel counts in units of 512 bytes, wraps there, and then shifts.
    iv_mask: u64,
}

impl SectorCipher {
    /// Takes the whole key of `spec` (both halves for `xts`). With `iv_large_sectors` the IV counts sectors of
    /// `sector_size`, without it sectors of 512 bytes, as dm-crypt's option of that name says.
    ///
    /// # Errors
    /// [`CipherError::BadKeyLength`] and [`CipherError::BadSectorSize`].
    pub fn new(spec: &CipherSpec, key: &[u8], sector_size: usize, iv_large_sectors: bool) -> Result<Self, CipherError> {
        if !matches!(sector_size, 512 | 1024 | 2048 | 4096) {
            return Err(CipherError::BadSectorSize(sector_size));
        }
        let bad_key = || CipherError::BadKeyLength {
            spec: spec.to_string(),
            len: key.len(),
        };
        let (for_cipher, for_mode) = spec.split_key_len(key.len())?;
        let (key, for_iv) = key.split_at_checked(for_cipher + for_mode).ok_or_else(bad_key)?;
        let (cipher_key, rest) = key.split_at_checked(for_cipher).ok_or_else(bad_key)?;
        let keyed = |key| spec.algorithm.keyed(key).ok_or_else(bad_key);
        let (chain, cipher) = match spec.mode {
            Mode::Ecb => (Chain::Ecb, keyed(cipher_key)?),
            Mode::Cbc => (Chain::Cbc, keyed(cipher_key)?),
            Mode::Ctr => (Chain::Ctr, keyed(cipher_key)?),
            Mode::Pcbc => (Chain::Pcbc, keyed(cipher_key)?),
            Mode::Cfb => (Chain::Cfb, keyed(cipher_key)?),
            Mode::Ofb => (Chain::Ofb, keyed(cipher_key)?),
            Mode::Xts => (Chain::Xts(keyed(rest)?), keyed(cipher_key)?),
            Mode::Lrw => {
                let tweaks = LrwTweaks::new(rest.try_into().map_err(|_| bad_key())?);
                (Chain::Lrw(tweaks), keyed(cipher_key)?)
            }
            Mode::Adiantum => {
                let (adiantum, cipher) = Adiantum::new(spec.algorithm, cipher_key).ok_or_else(bad_key)?;
                (Chain::Adiantum(adiantum), cipher)
            }
            Mode::Hctr2 => {
                let cipher = keyed(cipher_key)?;
                (Chain::Hctr2(Hctr2::new(cipher.as_ref())), cipher)
            }
        };
        let diffuser = spec.has_diffuser().then(|| Elephant::new(for_iv).ok_or_else(bad_key));
        let units = sector_size as u64 / 512;
        let (iv_step, iv_mask) = if iv_large_sectors {
            (1, u64::MAX / units)
        } else {
            (units, u64::MAX)
        };
        Ok(Self {
            spec: *spec,
            cipher,
            chain,
            iv: IvGenerator::new(spec, key, sector_size).ok_or_else(bad_key)?,
            diffuser: diffuser.transpose()?,
            sector_size,
            iv_step,
            iv_mask,
        })
    }

    /// Encrypts whole sectors in place. `first_sector` is the IV's number of the first one: in units of 512 bytes, or
    /// of the sector size with `iv_large_sectors`. It wraps as the kernel's does.
    ///
    /// # Errors
    /// [`CipherError::PartialSector`], with nothing done.
    pub fn encrypt(&self, first_sector: u64, data: &mut [u8]) -> Result<(), CipherError> {
        self.crypt(first_sector, data, Direction::Encrypt)
    }

    /// Encrypts whole sectors from one buffer into another of the same length; see [`SectorCipher::encrypt`].
    ///
    /// # Errors
    /// [`CipherError::PartialSector`], with nothing done.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn encrypt_to(&self, first_sector: u64, data: &[u8], encrypted: &mut [u8]) -> Result<(), CipherError> {
        assert_eq!(data.len(), encrypted.len(), "both are as long");
        self.check_len(data)?;
        let mut buffer = SectorBuffer([0; 2 * MAX_SECTOR]);
        // A run at a time: if a mode needs a copy first, that is still in the processor's cache when it is encrypted.
        for ((data, run), number) in data
            .chunks(RUN)
            .zip(encrypted.chunks_mut(RUN))
            .zip(self.run_numbers(first_sector))
        {
            self.run(number, (Some(data), run), &mut buffer, Direction::Encrypt);
        }
        Ok(())
    }

    /// Decrypts whole sectors in place; see [`SectorCipher::encrypt`].
    ///
    /// # Errors
    /// [`CipherError::PartialSector`], with nothing done.
    pub fn decrypt(&self, first_sector: u64, data: &mut [u8]) -> Result<(), CipherError> {
        self.crypt(first_sector, data, Direction::Decrypt)
    }

    /// Size of a sector in bytes.
    pub fn sector_size(&self) -> usize {
        self.sector_size
    }

    fn crypt(&self, first_sector: u64, data: &mut [u8], direction: Direction) -> Result<(), CipherError> {
        self.check_len(data)?;
        let mut buffer = SectorBuffer([0; 2 * MAX_SECTOR]);
        for (run, number) in data.chunks_mut(RUN).zip(self.run_numbers(first_sector)) {
            self.run(number, (None, run), &mut buffer, direction);
        }
        Ok(())
    }

    fn check_len(&self, data: &[u8]) -> Result<(), CipherError> {
        if data.len().is_multiple_of(self.sector_size) {
            return Ok(());
        }
        Err(CipherError::PartialSector {
            len: data.len(),
            sector_size: self.sector_size,
        })
    }

    /// The first sector's number of each run.
    fn run_numbers(&self, first_sector: u64) -> impl Iterator<Item = u64> {
        let step = ((RUN / self.sector_size) as u64).wrapping_mul(self.iv_step);
        std::iter::successors(Some(first_sector), move |number| Some(number.wrapping_add(step)))
    }

    /// Up to [`RUN`] bytes, which are in `data`, or come there from `source`: first all their IVs, then as many sectors at once
    /// as the mode allows.
    fn run(
        &self,
        first_sector: u64,
        (mut source, data): (Option<&[u8]>, &mut [u8]),
        buffer: &mut SectorBuffer,
        direction: Direction,
    ) {
        let copy = |data: &mut [u8], source: Option<&[u8]>| {
            if let Some(source) = source {
                data.copy_from_slice(source);
            }
        };
        if self.spec.is_null() {
            return copy(data, source);
        }
        let iv_len = match self.chain {
            Chain::Adiantum(_) | Chain::Hctr2(_) => MAX_IV,
            _ => self.spec.algorithm.block_len(),
        };
        let mut ivs = [0; RUN / 512 * MAX_IV];
        let ivs = &mut ivs[..data.len() / self.sector_size * iv_len];
        let number = |n: usize| first_sector.wrapping_add((n as u64).wrapping_mul(self.iv_step)) & self.iv_mask;
        for (n, iv) in ivs.chunks_exact_mut(iv_len).enumerate() {
            self.iv.fill(number(n), iv);
        }
        self.iv.encrypt(ivs);
        if self.iv.is_encrypted() {
            for iv in ivs.chunks_exact_mut(iv_len) {
                let mut block = [0; MAX_BLOCK];
                let sectors = Sectors {
                    ivs: &mut *iv,
                    source: None,
                    data: &mut block[..iv_len],
                    size: iv_len,
                };
                self.chain(sectors, buffer, Direction::Encrypt);
                iv.copy_from_slice(&block[..iv_len]);
            }
        }
        let offset = |n| number(n).wrapping_mul(self.sector_size as u64);
        if let Some(diffuser) = self.diffuser.as_ref().filter(|_| direction == Direction::Encrypt) {
            copy(data, source.take());
            for (n, sector) in data.chunks_exact_mut(self.sector_size).enumerate() {
                diffuser.mix(offset(n), sector);
            }
        }
        let sectors = Sectors {
            ivs,
            source,
            data: &mut *data,
            size: self.sector_size,
        };
        self.chain(sectors, buffer, direction);
        if let Some(diffuser) = self.diffuser.as_ref().filter(|_| direction == Direction::Decrypt) {
            for (n, sector) in data.chunks_exact_mut(self.sector_size).enumerate() {
                diffuser.unmix(offset(n), sector);
            }
        }
    }
}

impl fmt::Debug for SectorCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SectorCipher")
            .field("spec", &self.spec.to_string())
            .field("sector_size", &self.sector_size)
            .field("iv_step", &self.iv_step)
            .finish_non_exhaustive()
    }
}
