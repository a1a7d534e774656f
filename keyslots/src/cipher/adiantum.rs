//! Adiantum (Crowley and Biggers, "Adiantum: length-preserving encryption for entry-level processors", 2018): a mode that
//! makes one wide block of a whole sector, out of a stream cipher, a hash and one call of a block cipher.
//!
//! The hash is NH and Poly1305 over the sector, plus Poly1305 over the tweak; the numbers below are those of the paper's
//! section 5, and what Linux has as `adiantum(xchacha12,aes)`.

use chacha20::cipher::{KeyIvInit, StreamCipher};
use chacha20::{XChaCha12, XChaCha20};
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use zeroize::{Zeroize, Zeroizing};

use super::algorithm::Algorithm;
use super::block::BlockCipher;
use super::geometry::{Direction, MAX_SECTOR};

/// Bytes of the key, which is that of the stream cipher.
pub(super) const KEY_LEN: usize = 32;
/// Bytes of the tweak, which dm-crypt takes for the IV.
pub(super) const TWEAK_LEN: usize = 32;
/// Bytes at the end of the sector that the block cipher works on.
const RIGHT_LEN: usize = 16;

/// NH takes this many bytes of a message at a time, and gives four words of 64 bits for them.
const NH_MESSAGE: usize = 1024;
/// Each of NH's four passes has its key 16 bytes further on.
const NH_PASSES: usize = 4;
const NH_UNIT: usize = 16;
const NH_KEY: usize = NH_MESSAGE + (NH_PASSES - 1) * NH_UNIT;

/// XChaCha under the key, and the hash whose keys come out of its stream.
pub(super) struct Adiantum {
    xchacha12: bool,
    stream_key: Zeroizing<[u8; KEY_LEN]>,
    tweak_hash: Zeroizing<[u8; 32]>,
    message_hash: Zeroizing<[u8; 32]>,
    nh_key: Zeroizing<[u32; NH_KEY / 4]>,
}

impl Adiantum {
    /// With the block cipher, whose key comes out of the same stream. `None` where the length is wrong.
    pub(super) fn new(algorithm: Algorithm, key: &[u8]) -> Option<(Box<Self>, Box<dyn BlockCipher>)> {
        // In one place before any key is in it: what is moved leaves a copy behind.
        let mut adiantum = Box::new(Self {
            xchacha12: algorithm == Algorithm::XChaCha12Aes,
            stream_key: Zeroizing::default(),
            tweak_hash: Zeroizing::default(),
            message_hash: Zeroizing::default(),
            nh_key: Zeroizing::new([0; NH_KEY / 4]),
        });
        adiantum
            .stream_key
            .copy_from_slice(Some(key).filter(|key| key.len() == KEY_LEN)?);
        let mut keys = Zeroizing::new([0; 32 + 16 + 16 + NH_KEY]);
        adiantum.stream(&[], keys.as_mut_slice());
        let (block_key, rest) = keys.split_at(32);
        // The second half of a Poly1305 key is a number that is added at the end: zero.
        adiantum.tweak_hash[..16].copy_from_slice(&rest[..16]);
        adiantum.message_hash[..16].copy_from_slice(&rest[16..32]);
        for (word, bytes) in adiantum.nh_key.iter_mut().zip(rest[32..].as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Some((adiantum, Algorithm::Aes.keyed(block_key)?))
    }

    /// Encrypts a sector, or decrypts it: only what the block cipher does with the right part differs.
    pub(super) fn crypt(
        &self,
        tweak: &[u8; TWEAK_LEN],
        sector: &mut [u8],
        direction: Direction,
        cipher: &dyn BlockCipher,
    ) {
        let Some((left, right)) = sector.split_last_chunk_mut::<RIGHT_LEN>() else {
            return;
        };
        let tweak_hash = self.hash_tweak(tweak, left.len());
        let sum = |right: &[u8; RIGHT_LEN], hash: u128| u128::from_le_bytes(*right).wrapping_add(hash);
        *right = sum(right, tweak_hash.wrapping_add(self.hash(left))).to_le_bytes();
        if direction == Direction::Encrypt {
            cipher.encrypt(right);
        }
        self.stream(right, left);
        if direction == Direction::Decrypt {
            cipher.decrypt(right);
        }
        let hash = tweak_hash.wrapping_add(self.hash(left));
        *right = sum(right, hash.wrapping_neg()).to_le_bytes();
    }

    /// Adds the key stream of a nonce of up to 16 bytes, which a one ends.
    fn stream(&self, nonce: &[u8], data: &mut [u8]) {
        let mut padded = [0; 24];
        padded[..nonce.len()].copy_from_slice(nonce);
        padded[nonce.len()] = 1;
        let key = (&*self.stream_key).into();
        if self.xchacha12 {
            XChaCha12::new(key, &padded.into()).apply_keystream(data);
        } else {
            XChaCha20::new(key, &padded.into()).apply_keystream(data);
        }
        padded.zeroize();
    }

    /// Poly1305 of the message's length in bits and of the tweak.
    fn hash_tweak(&self, tweak: &[u8; TWEAK_LEN], message_len: usize) -> u128 {
        let mut blocks = [[0; 16]; 3];
        blocks[0] = (message_len as u128 * 8).to_le_bytes();
        blocks[1].copy_from_slice(&tweak[..16]);
        blocks[2].copy_from_slice(&tweak[16..]);
        poly1305(&self.tweak_hash, &blocks)
    }

    /// Poly1305 of what NH makes of each part of the message.
    fn hash(&self, message: &[u8]) -> u128 {
        let mut hashes = Zeroizing::new([[0; 16]; 2 * MAX_PARTS]);
        let parts = message.chunks(NH_MESSAGE);
        let count = 2 * parts.len();
        for (part, hash) in parts.zip(hashes.chunks_exact_mut(2)) {
            let [a, b, c, d] = self.nh(part);
            hash[0] = (u128::from(a) | u128::from(b) << 64).to_le_bytes();
            hash[1] = (u128::from(c) | u128::from(d) << 64).to_le_bytes();
        }
        poly1305(&self.message_hash, &hashes[..count])
    }

    /// NH of a part whose length is a multiple of 16 bytes.
    fn nh(&self, part: &[u8]) -> [u64; NH_PASSES] {
        let mut sums = [0_u64; NH_PASSES];
        for (unit, key) in part
            .as_chunks::<NH_UNIT>()
            .0
            .iter()
            .zip(self.nh_key.windows(NH_PASSES * 4).step_by(4))
        {
            let word = |n: usize| u32::from_le_bytes([unit[4 * n], unit[4 * n + 1], unit[4 * n + 2], unit[4 * n + 3]]);
            let words = [word(0), word(1), word(2), word(3)];
            for (sum, key) in sums.iter_mut().zip(key.as_chunks::<4>().0) {
                let added = |n: usize| u64::from(words[n].wrapping_add(key[n]));
                *sum = sum
                    .wrapping_add(added(0).wrapping_mul(added(2)))
                    .wrapping_add(added(1).wrapping_mul(added(3)));
            }
        }
        sums
    }
}

/// Parts that the largest sector has.
const MAX_PARTS: usize = MAX_SECTOR / NH_MESSAGE;

fn poly1305(key: &[u8; 32], blocks: &[[u8; 16]]) -> u128 {
    let mut state = Poly1305::new(key.into());
    state.update(cipher::Array::cast_slice_from_core(blocks));
    u128::from_le_bytes(state.finalize().into())
}
