//! The chaining modes over whole sectors.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::CipherError;
use super::adiantum::{self, Adiantum};
use super::block::BlockCipher;
use super::iv::IvGenerator;
use super::spec::{CipherSpec, Mode};
use super::tweak::{LrwTweaks, xts_tweaks};

/// The largest sector that dm-crypt has, in bytes.
pub(super) const MAX_SECTOR: usize = 4096;
/// The longest IV in bytes.
const MAX_IV: usize = adiantum::TWEAK_LEN;
const MAX_BLOCK: usize = 16;

/// A cipher with its key, for sectors of one size. The key is wiped on drop.
pub struct SectorCipher {
    spec: CipherSpec,
    cipher: Box<dyn BlockCipher>,
    chain: Chain,
    iv: IvGenerator,
    sector_size: usize,
    /// By how much the IV's sector number grows from one sector to the next.
    iv_step: u64,
    /// The numbers that there are: the kernel counts in units of 512 bytes, wraps there, and then shifts.
    iv_mask: u64,
}

enum Chain {
    Ecb,
    Cbc,
    Ctr,
    Xts(Box<dyn BlockCipher>),
    Lrw(LrwTweaks),
    Adiantum(Box<Adiantum>),
}

#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Direction {
    Encrypt,
    Decrypt,
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
        let (cipher_key, rest) = key
            .split_at_checked(spec.split_key_len(key.len())?)
            .ok_or_else(bad_key)?;
        let keyed = |key| spec.algorithm.keyed(key).ok_or_else(bad_key);
        let (chain, cipher) = match spec.mode {
            Mode::Ecb => (Chain::Ecb, keyed(cipher_key)?),
            Mode::Cbc => (Chain::Cbc, keyed(cipher_key)?),
            Mode::Ctr => (Chain::Ctr, keyed(cipher_key)?),
            Mode::Xts => (Chain::Xts(keyed(rest)?), keyed(cipher_key)?),
            Mode::Lrw => {
                let tweaks = LrwTweaks::new(rest.try_into().map_err(|_| bad_key())?);
                (Chain::Lrw(tweaks), keyed(cipher_key)?)
            }
            Mode::Adiantum => {
                let (adiantum, cipher) = Adiantum::new(spec.algorithm, cipher_key).ok_or_else(bad_key)?;
                (Chain::Adiantum(adiantum), cipher)
            }
        };
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
            iv: IvGenerator::new(spec, key).ok_or_else(bad_key)?,
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
        encrypted.copy_from_slice(data);
        self.crypt(first_sector, encrypted, Direction::Encrypt)
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
        if !data.len().is_multiple_of(self.sector_size) {
            return Err(CipherError::PartialSector {
                len: data.len(),
                sector_size: self.sector_size,
            });
        }
        if self.spec.is_null() {
            return Ok(());
        }
        // Tweaks of a sector, or its key stream.
        let mut masks = Zeroizing::new([0; MAX_SECTOR]);
        let masks = &mut masks[..self.sector_size];
        let mut iv = [0; MAX_IV];
        let iv_len = match self.chain {
            Chain::Adiantum(_) => adiantum::TWEAK_LEN,
            _ => self.spec.algorithm.block_len(),
        };
        for (n, sector) in data.chunks_exact_mut(self.sector_size).enumerate() {
            let number = first_sector.wrapping_add((n as u64).wrapping_mul(self.iv_step));
            self.iv.fill(number & self.iv_mask, &mut iv[..iv_len]);
            match &self.chain {
                Chain::Ecb => self.blocks(sector, direction),
                Chain::Cbc if direction == Direction::Encrypt => self.cbc_encrypt(&iv[..iv_len], sector),
                Chain::Cbc => self.cbc_decrypt(&iv[..iv_len], sector, masks),
                Chain::Ctr => self.ctr(&iv[..iv_len], sector, masks),
                Chain::Xts(tweak_cipher) => {
                    xts_tweaks(
                        tweak_cipher.as_ref(),
                        iv.first_chunk().unwrap_or(&[0; MAX_BLOCK]),
                        masks,
                    );
                    self.masked(sector, masks, direction);
                }
                Chain::Lrw(tweaks) => {
                    tweaks.fill(iv.first_chunk().unwrap_or(&[0; MAX_BLOCK]), masks);
                    self.masked(sector, masks, direction);
                }
                Chain::Adiantum(adiantum) => adiantum.crypt(&iv, sector, direction, self.cipher.as_ref()),
            }
        }
        Ok(())
    }

    fn blocks(&self, blocks: &mut [u8], direction: Direction) {
        match direction {
            Direction::Encrypt => self.cipher.encrypt(blocks),
            Direction::Decrypt => self.cipher.decrypt(blocks),
        }
    }

    fn masked(&self, sector: &mut [u8], masks: &[u8], direction: Direction) {
        xor(sector, masks);
        self.blocks(sector, direction);
        xor(sector, masks);
    }

    fn cbc_encrypt(&self, iv: &[u8], sector: &mut [u8]) {
        let mut previous = [0; MAX_BLOCK];
        let previous = &mut previous[..iv.len()];
        previous.copy_from_slice(iv);
        for block in sector.chunks_exact_mut(iv.len()) {
            xor(block, previous);
            self.cipher.encrypt(block);
            previous.copy_from_slice(block);
        }
    }

    fn cbc_decrypt(&self, iv: &[u8], sector: &mut [u8], previous: &mut [u8]) {
        // What each block is masked with: the IV, then all ciphertext blocks but the last.
        let (first, rest) = previous.split_at_mut(iv.len());
        first.copy_from_slice(iv);
        rest.copy_from_slice(&sector[..sector.len() - iv.len()]);
        self.cipher.decrypt(sector);
        xor(sector, previous);
    }

    fn ctr(&self, iv: &[u8], sector: &mut [u8], stream: &mut [u8]) {
        let mut counter = [0; MAX_BLOCK];
        let counter = &mut counter[..iv.len()];
        counter.copy_from_slice(iv);
        for block in stream.chunks_exact_mut(iv.len()) {
            block.copy_from_slice(counter);
            increment(counter);
        }
        self.cipher.encrypt(stream);
        xor(sector, stream);
        stream.zeroize();
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

fn xor(data: &mut [u8], masks: &[u8]) {
    for (byte, mask) in data.iter_mut().zip(masks) {
        *byte ^= mask;
    }
}

/// Adds one to a big-endian number of any length; it wraps.
fn increment(counter: &mut [u8]) {
    for byte in counter.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
}
