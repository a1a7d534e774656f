//! HCTR2 (Crowley, Huckleberry and Biggers, "Length-preserving encryption with HCTR2", 2021): a mode that makes one wide block
//! of a whole sector, out of a block cipher, its counter mode XCTR and the hash POLYVAL (RFC 8452). Linux has it as
//! `hctr2(aes)`.

use zeroize::Zeroize;

use super::block::BlockCipher;
use super::geometry::{Direction, MAX_SECTOR};
use super::tweak::xor;

/// Bytes of the tweak, which dm-crypt takes for the IV.
pub(super) const TWEAK_LEN: usize = 32;

/// The key of the hash, and the mask of the counter mode.
pub(super) struct Hctr2 {
    hash_key: u128,
    mask: u128,
}

impl Hctr2 {
    /// Under the key that `cipher` has.
    pub(super) fn new(cipher: &dyn BlockCipher) -> Box<Self> {
        let mut blocks = [0_u128.to_le_bytes(), 1_u128.to_le_bytes()];
        cipher.encrypt(blocks.as_flattened_mut());
        let hctr2 = Box::new(Self {
            hash_key: u128::from_le_bytes(blocks[0]),
            mask: u128::from_le_bytes(blocks[1]),
        });
        blocks.zeroize();
        hctr2
    }

    /// Encrypts or decrypts a sector: only what the cipher does with its first block differs. `room` takes a key stream.
    pub(super) fn crypt(
        &self,
        tweak: &[u8; TWEAK_LEN],
        sector: &mut [u8],
        (cipher, direction): (&dyn BlockCipher, Direction),
        room: &mut [u8; 2 * MAX_SECTOR],
    ) {
        let Some((first, rest)) = sector.split_first_chunk_mut::<16>() else {
            return;
        };
        let before = u128::from_le_bytes(*first) ^ self.hash(tweak, rest);
        *first = before.to_le_bytes();
        match direction {
            Direction::Encrypt => cipher.encrypt(first),
            Direction::Decrypt => cipher.decrypt(first),
        }
        let after = u128::from_le_bytes(*first);
        let start = before ^ after ^ self.mask;
        let stream = &mut room[..rest.len()];
        for (block, count) in stream.as_chunks_mut().0.iter_mut().zip(1_u128..) {
            *block = (start ^ count).to_le_bytes();
        }
        cipher.encrypt(stream);
        xor(rest, stream);
        *first = (after ^ self.hash(tweak, rest)).to_le_bytes();
    }

    /// POLYVAL of the tweak's length, the tweak and a message of whole blocks.
    fn hash(&self, tweak: &[u8; TWEAK_LEN], message: &[u8]) -> u128 {
        let blocks = tweak.as_chunks().0.iter().chain(message.as_chunks().0);
        // Twice the bits, and two for whole blocks.
        let length = 2 * 8 * TWEAK_LEN as u128 + 2;
        blocks.fold(dot(length, self.hash_key), |sum, block| {
            dot(sum ^ u128::from_le_bytes(*block), self.hash_key)
        })
    }
}

impl Drop for Hctr2 {
    fn drop(&mut self) {
        self.hash_key.zeroize();
        self.mask.zeroize();
    }
}

/// a·b·x⁻¹²⁸ modulo x¹²⁸ + x¹²⁷ + x¹²⁶ + x¹²¹ + 1. No branch and no address depends on the values, which are secret.
fn dot(a: u128, b: u128) -> u128 {
    let halves = |value: u128| (value as u64, (value >> 64) as u64);
    let ((a0, a1), (b0, b1)) = (halves(a), halves(b));
    let (low, high) = (multiply(a0, b0), multiply(a1, b1));
    let middle = multiply(a0 ^ a1, b0 ^ b1) ^ low ^ high;
    let (low, high) = (low ^ (middle << 64), high ^ (middle >> 64));
    // Adds multiples of the modulus until the lower half is zero, 64 bits at a time.
    let fold = |word: u64| {
        let word = u128::from(word);
        (word << 57) ^ (word << 62) ^ (word << 63) ^ (word << 64)
    };
    let first = fold(low as u64);
    let second = fold((low >> 64) as u64 ^ first as u64);
    high ^ (first >> 64) ^ second
}

/// The product of two polynomials.
fn multiply(a: u64, b: u64) -> u128 {
    let high = lower_half(a.reverse_bits(), b.reverse_bits()).reverse_bits() >> 1;
    u128::from(high) << 64 | u128::from(lower_half(a, b))
}

/// The lower half of a product. Of each number only every fourth bit is multiplied at a time, so that carries stay in between.
fn lower_half(a: u64, b: u64) -> u64 {
    let mask = |n: usize| 0x1111_1111_1111_1111_u64 << (n % 4);
    (0..4).fold(0, |product, n| {
        let sum = (0..4).fold(0, |sum, k| sum ^ (a & mask(k)).wrapping_mul(b & mask(n + 4 - k)));
        product | (sum & mask(n))
    })
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::algorithm::Algorithm;
    use super::*;

    /// RFC 8452, appendix A.
    #[test]
    fn polyval_is_the_standards() {
        let number = u128::from_le_bytes;
        let key = number(hex!("25629347589242761d31f826ba4b757b"));
        let blocks = [
            hex!("4f4f95668c83dfb6401762bb2d01a262"),
            hex!("d1a24ddd2721d006bbe45f20d3c9f362"),
        ];
        let sum = blocks.iter().fold(0, |sum, block| dot(sum ^ number(*block), key));
        assert_eq!(sum.to_le_bytes(), hex!("f7a3b47b846119fae5b7866cf5e5b77e"));
    }

    /// Of the paper's authors: github.com/google/hctr2, test_vectors/ours/HCTR2, those with a tweak of 32 bytes.
    #[test]
    fn sectors_are_the_authors() {
        let vectors: [(&[u8], _, &[u8], &[u8]); 4] = [
            (
                &hex!("9eebb2493c1cf5f46a99c2c4dfb1f4dd752057ea2c4fcdb2a53d7b491eabfd0f"),
                hex!("df63d4abd249f3d8338137607dfa7308d8496d80e82f6254eb0ea9395b457f8a"),
                &hex!("67c9f23084418e43fbf3b33e79367fe8"),
                &hex!("2738784716d971352e7edd7e433cb840"),
            ),
            (
                &hex!("50cc285caf62a24e02f0c05ec12980ca"),
                hex!("64a5d5f9f46826eacebb6cdda5ef39b55c93df1b9321be49ff9e864f7c4d5115"),
                &hex!("34c1083e9c280acf33db3f0d0527a4ed"),
                &hex!("7caebb374a55945bc66f8f9f685fc762"),
            ),
            (
                &hex!("59653b1d435ec0aeb89d9bdd2203bfca"),
                hex!("ec95fa5acf5ed293a3b5e5bef3017b01d1ca6c0682f0bd67d96ca4dcb4380f74"),
                &hex!(
                    "45df7587bc72ce55c9facbfc9f40822bc64f4f5b8b3b6d67a69362898c19f4e308929cc9472c6ed0a3022bdb2cf28d46"
                    "cdb09d26634c406b7943e5ce42a8ec3b5bd0eaa4e6db66557a76ecab7d2a2bbda9ab22641aa1ae84867967e9b250be12"
                    "2fb214f0db71d8a7418a88a06a6e9d2afa11374032094c47410731853da8f764"
                ),
                &hex!(
                    "2d4b9f93ca5a482601cc54e4315012f049ff594268bd878f9e6296cdb92457a40b7bf52e0ea86507ab05d5cae79c6c34"
                    "5d4234a462e975483d9e8ffa42e975084e54912bbd110f8ef082f524f1c4fcae42547fce15a8b233c086b62be844ce1f"
                    "685766946eadebf330f811bd6000c6d54c81f1202b4a5b99793bc95c7423e65d"
                ),
            ),
            (
                &hex!("a4b58cd51862f2a9d48b287872794387f8a7c8eb6e65e1e9d73b7d05d51b5ca6"),
                hex!("2e88cf9ea46609c8aef032451984d8e31bb37b7355257b5d6a201ce0e90c754a"),
                &hex!("32ebaf6afa1a552a9d39be890ffac7cb"),
                &hex!("5c5e2f197ad30de2ef12be80a7a77cab"),
            ),
        ];
        for (key, tweak, plain, expected) in vectors {
            let cipher = Algorithm::Aes.keyed(key).expect("a good key");
            let hctr2 = Hctr2::new(cipher.as_ref());
            let mut sector = plain.to_vec();
            let mut room = [0; 2 * MAX_SECTOR];
            let cipher = cipher.as_ref();
            hctr2.crypt(&tweak, &mut sector, (cipher, Direction::Encrypt), &mut room);
            assert_eq!(sector, expected);
            hctr2.crypt(&tweak, &mut sector, (cipher, Direction::Decrypt), &mut room);
            assert_eq!(sector, plain);
        }
    }
}
