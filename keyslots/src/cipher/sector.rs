//! The chaining modes over whole sectors.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::CipherError;
use super::adiantum::{self, Adiantum};
use super::block::BlockCipher;
use super::elephant::Elephant;
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
    diffuser: Option<Elephant>,
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
    Pcbc,
    Cfb,
    Ofb,
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
            let number = first_sector.wrapping_add((n as u64).wrapping_mul(self.iv_step)) & self.iv_mask;
            let iv = &mut iv[..iv_len];
            self.iv.fill(number, iv);
            if self.iv.is_encrypted() {
                let mut block = [0; MAX_BLOCK];
                self.chain(iv, &mut block[..iv_len], &mut masks[..iv_len], Direction::Encrypt);
                iv.copy_from_slice(&block[..iv_len]);
            }
            let offset = number.wrapping_mul(self.sector_size as u64);
            if let Some(diffuser) = self.diffuser.as_ref().filter(|_| direction == Direction::Encrypt) {
                diffuser.mix(offset, sector);
            }
            self.chain(iv, sector, masks, direction);
            if let Some(diffuser) = self.diffuser.as_ref().filter(|_| direction == Direction::Decrypt) {
                diffuser.unmix(offset, sector);
            }
        }
        Ok(())
    }

    /// One sector, or one block as if it were one. `masks` are as long, and hold nothing of use.
    fn chain(&self, iv: &[u8], sector: &mut [u8], masks: &mut [u8], direction: Direction) {
        match &self.chain {
            Chain::Ecb => self.blocks(sector, direction),
            Chain::Cbc if direction == Direction::Encrypt => self.cbc_encrypt(iv, sector),
            Chain::Cbc => self.cbc_decrypt(iv, sector, masks),
            Chain::Ctr => self.ctr(iv, sector, masks),
            Chain::Pcbc => self.pcbc(iv, sector, direction),
            Chain::Cfb if direction == Direction::Encrypt => self.cfb_encrypt(iv, sector),
            Chain::Cfb => {
                previous_blocks(iv, sector, masks);
                self.cipher.encrypt(masks);
                xor(sector, masks);
            }
            Chain::Ofb => self.ofb(iv, sector),
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
            Chain::Adiantum(adiantum) => {
                let tweak = iv.first_chunk().unwrap_or(&[0; adiantum::TWEAK_LEN]);
                adiantum.crypt(tweak, sector, direction, self.cipher.as_ref());
            }
        }
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
        previous_blocks(iv, sector, previous);
        self.cipher.decrypt(sector);
        xor(sector, previous);
    }

    /// Each block is masked with the plaintext and the ciphertext of the one before.
    fn pcbc(&self, iv: &[u8], sector: &mut [u8], direction: Direction) {
        let (mut mask, mut before) = ([0; MAX_BLOCK], [0; MAX_BLOCK]);
        let (mask, before) = (&mut mask[..iv.len()], &mut before[..iv.len()]);
        mask.copy_from_slice(iv);
        for block in sector.chunks_exact_mut(iv.len()) {
            before.copy_from_slice(block);
            if direction == Direction::Encrypt {
                xor(block, mask);
            }
            self.blocks(block, direction);
            if direction == Direction::Decrypt {
                xor(block, mask);
            }
            mask.copy_from_slice(before);
            xor(mask, block);
        }
        mask.zeroize();
        before.zeroize();
    }

    fn cfb_encrypt(&self, iv: &[u8], sector: &mut [u8]) {
        let mut mask = [0; MAX_BLOCK];
        let mask = &mut mask[..iv.len()];
        mask.copy_from_slice(iv);
        for block in sector.chunks_exact_mut(iv.len()) {
            self.cipher.encrypt(mask);
            xor(block, mask);
            mask.copy_from_slice(block);
        }
    }

    fn ofb(&self, iv: &[u8], sector: &mut [u8]) {
        let mut mask = [0; MAX_BLOCK];
        let mask = &mut mask[..iv.len()];
        mask.copy_from_slice(iv);
        for block in sector.chunks_exact_mut(iv.len()) {
            self.cipher.encrypt(mask);
            xor(block, mask);
        }
        mask.zeroize();
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

/// What stands before each block of ciphertext: the IV, then all blocks but the last.
fn previous_blocks(iv: &[u8], sector: &[u8], previous: &mut [u8]) {
    let (first, rest) = previous.split_at_mut(iv.len());
    first.copy_from_slice(iv);
    rest.copy_from_slice(&sector[..sector.len() - iv.len()]);
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
