//! The Elephant diffuser of BitLocker before Windows 8 (Ferguson, "AES-CBC + Elephant diffuser: a disk encryption algorithm
//! for Windows Vista", 2006): what a sector goes through before it is encrypted with CBC, so that no bit of it changes
//! alone.
//!
//! A sector key, made of the sector's place, is added to the sector; then two diffusers without a key mix it, each in a
//! number of rounds over all words of 32 bits. The numbers below are those of the paper's section 4.

use zeroize::Zeroize;

use super::algorithm::Algorithm;
use super::block::BlockCipher;

/// Words of the largest sector.
const MAX_WORDS: usize = super::geometry::MAX_SECTOR / 4;
const ROUNDS_A: usize = 5;
const ROUNDS_B: usize = 3;
const ROTATIONS_A: [u32; 4] = [9, 0, 13, 0];
const ROTATIONS_B: [u32; 4] = [0, 10, 0, 25];

/// The diffuser with the key of the sector keys.
pub(super) struct Elephant {
    cipher: Box<dyn BlockCipher>,
}

impl Elephant {
    /// The key is one of AES, whatever encrypts the data. `None` where the length is wrong.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        Some(Self {
            cipher: Algorithm::Aes.keyed(key)?,
        })
    }

    /// Before the sector that starts at byte `offset` is encrypted.
    pub(super) fn mix(&self, offset: u64, sector: &mut [u8]) {
        self.add_sector_key(offset, sector);
        with_words(sector, |words| {
            diffuse(words, ROUNDS_A, |d, i, n| {
                let mixed = d[(i + n - 2) % n] ^ d[(i + n - 5) % n].rotate_left(ROTATIONS_A[i % 4]);
                d[i] = d[i].wrapping_sub(mixed);
            });
            diffuse(words, ROUNDS_B, |d, i, n| {
                let mixed = d[(i + 2) % n] ^ d[(i + 5) % n].rotate_left(ROTATIONS_B[i % 4]);
                d[i] = d[i].wrapping_sub(mixed);
            });
        });
    }

    /// After the sector that starts at byte `offset` was decrypted.
    pub(super) fn unmix(&self, offset: u64, sector: &mut [u8]) {
        with_words(sector, |words| {
            undiffuse(words, ROUNDS_B, |d, i, n| {
                let mixed = d[(i + 2) % n] ^ d[(i + 5) % n].rotate_left(ROTATIONS_B[i % 4]);
                d[i] = d[i].wrapping_add(mixed);
            });
            undiffuse(words, ROUNDS_A, |d, i, n| {
                let mixed = d[(i + n - 2) % n] ^ d[(i + n - 5) % n].rotate_left(ROTATIONS_A[i % 4]);
                d[i] = d[i].wrapping_add(mixed);
            });
        });
        self.add_sector_key(offset, sector);
    }

    fn add_sector_key(&self, offset: u64, sector: &mut [u8]) {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&offset.to_le_bytes());
        key[16..24].copy_from_slice(&offset.to_le_bytes());
        key[31] = 0x80;
        self.cipher.encrypt(&mut key);
        for part in sector.as_chunks_mut::<32>().0 {
            for (byte, key) in part.iter_mut().zip(key) {
                *byte ^= key;
            }
        }
        key.zeroize();
    }
}

fn with_words(sector: &mut [u8], work: impl FnOnce(&mut [u32])) {
    let mut words = [0; MAX_WORDS];
    let words = &mut words[..sector.len() / 4];
    for (word, bytes) in words.iter_mut().zip(sector.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    work(words);
    for (bytes, word) in sector.as_chunks_mut().0.iter_mut().zip(words.iter()) {
        *bytes = word.to_le_bytes();
    }
    words.zeroize();
}

/// Encryption undoes what decryption does, from the last word to the first.
fn diffuse(words: &mut [u32], rounds: usize, step: impl Fn(&mut [u32], usize, usize)) {
    let n = words.len();
    for _ in 0..rounds {
        for i in (0..n).rev() {
            step(words, i, n);
        }
    }
}

fn undiffuse(words: &mut [u32], rounds: usize, step: impl Fn(&mut [u32], usize, usize)) {
    let n = words.len();
    for _ in 0..rounds {
        for i in 0..n {
            step(words, i, n);
        }
    }
}
