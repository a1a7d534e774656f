//! Tweaks of the modes that mask each block: XTS and LRW.
//!
//! Both compute the masks of a whole sector ahead, so that the cipher then works on all its blocks at once.

use super::block::BlockCipher;

/// Tweaks of XTS (IEEE 1619): the encrypted IV, doubled for each block in GF(2^128), little-endian.
pub(super) fn xts_tweaks(tweak_cipher: &dyn BlockCipher, iv: &[u8; 16], tweaks: &mut [u8]) {
    let mut first = *iv;
    tweak_cipher.encrypt(&mut first);
    let mut tweak = u128::from_le_bytes(first);
    for block in tweaks.as_chunks_mut().0 {
        *block = tweak.to_le_bytes();
        tweak = double(tweak);
    }
}

/// Times x, modulo x^128 + x^7 + x^2 + x + 1. No branch depends on the value, which is secret.
fn double(value: u128) -> u128 {
    (value << 1) ^ (0x87 & (value >> 127).wrapping_neg())
}

/// Tweaks of LRW: the number of each block times the tweak key in GF(2^128), big-endian.
pub(super) struct LrwTweaks {
    /// The key times x^n.
    powers: Box<[u128; 128]>,
}

impl LrwTweaks {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        let mut powers = Box::new([0; 128]);
        let mut power = u128::from_be_bytes(*key);
        for slot in powers.iter_mut() {
            *slot = power;
            power = double(power);
        }
        Self { powers }
    }

    pub(super) fn fill(&self, iv: &[u8; 16], tweaks: &mut [u8]) {
        let mut index = u128::from_be_bytes(*iv);
        let mut tweak = self.times(index);
        for block in tweaks.as_chunks_mut().0 {
            *block = tweak.to_be_bytes();
            // Counting up flips a run of low bits; multiplication is linear, so the tweak changes by their products.
            let next = index.wrapping_add(1);
            tweak ^= self.times(index ^ next);
            index = next;
        }
    }

    fn times(&self, mut factor: u128) -> u128 {
        let mut product = 0;
        while factor != 0 {
            product ^= self.powers[factor.trailing_zeros() as usize];
            factor &= factor - 1;
        }
        product
    }
}

impl Drop for LrwTweaks {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(self.powers.as_mut_slice());
    }
}
