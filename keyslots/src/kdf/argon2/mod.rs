//! Argon2i and Argon2id, version 0x13, as RFC 9106 defines them.
//!
//! A core of our own, since most of unlocking is this: [`compress`] works on vectors if the CPU has them, [`fill`] knows
//! the next block early enough to prefetch it, and the memory is on huge pages.

mod compress;
mod fill;

use blake2::Blake2bVarCore;
use digest::block_api::{UpdateCore, VariableOutputCore};
use digest::block_buffer::LazyBuffer;
use zeroize::{Zeroize, Zeroizing};

use self::compress::Block;
use super::memory::WorkingMemory;
use super::{Argon2Variant, KdfError};

const VERSION: u32 = 0x13;
/// The shortest salt and the shortest key that the function is defined for, in bytes.
const MIN_SALT_LEN: usize = 8;
const MIN_KEY_LEN: usize = 4;
/// Slices of a lane, which are the points where lanes wait for each other.
const SLICES: usize = 4;

/// The costs of one derivation. They were checked against their limits: no lane is shorter than eight blocks.
#[derive(Copy, Clone, Debug)]
pub(super) struct Costs {
    pub(super) variant: Argon2Variant,
    pub(super) time: u32,
    pub(super) memory_kib: u32,
    pub(super) lanes: u32,
}

impl Costs {
    /// Blocks in one slice of one lane.
    fn segment_blocks(self) -> usize {
        (self.memory_kib / self.lanes) as usize / SLICES
    }

    fn blocks(self) -> usize {
        self.segment_blocks() * SLICES * self.lanes as usize
    }
}

/// Fills `out` with the derived key.
pub(super) fn derive(costs: Costs, password: &[u8], salt: &[u8], out: &mut [u8]) -> Result<(), KdfError> {
    let seed = seed(costs, password, salt, out.len())?;
    let mut memory = WorkingMemory::allocate(costs.blocks(), size_of::<Block>())?;
    let blocks: &mut [Block] = bytemuck::cast_slice_mut(memory.bytes_mut());
    start_lanes(costs, blocks, &seed);
    fill::fill(costs, blocks);
    finish(costs, blocks, out);
    Ok(())
}

/// H_0: the hash of every input.
fn seed(costs: Costs, password: &[u8], salt: &[u8], key_len: usize) -> Result<Zeroizing<[u8; 64]>, KdfError> {
    let number = |what, len: usize, minimum| match u32::try_from(len) {
        Ok(number) if len >= minimum => Ok(number.to_le_bytes()),
        _ => Err(KdfError::BadLength { what, len: len as u64 }),
    };
    let mut seed = Zeroizing::new([0; 64]);
    crate::hash::Hash::Blake2b512.digest(
        &[
            &costs.lanes.to_le_bytes(),
            &number("the key", key_len, MIN_KEY_LEN)?,
            &costs.memory_kib.to_le_bytes(),
            &costs.time.to_le_bytes(),
            &VERSION.to_le_bytes(),
            &fill::variant_number(costs.variant).to_le_bytes(),
            &number("the passphrase", password.len(), 0)?,
            password,
            &number("the salt", salt.len(), MIN_SALT_LEN)?,
            salt,
            // Neither a secret value nor associated data.
            &[0; 8],
        ],
        &mut seed[..],
    );
    Ok(seed)
}

/// Makes the first two blocks of each lane.
fn start_lanes(costs: Costs, blocks: &mut [Block], seed: &[u8; 64]) {
    for (lane, blocks) in (0u32..).zip(blocks.chunks_exact_mut(costs.segment_blocks() * SLICES)) {
        for (column, block) in (0u32..2).zip(blocks) {
            let bytes = bytemuck::bytes_of_mut(block);
            long_hash(&[seed, &column.to_le_bytes(), &lane.to_le_bytes()], bytes);
            block.swap_little_endian();
        }
    }
}

/// Hashes the sum of the last blocks of all lanes.
fn finish(costs: Costs, blocks: &[Block], out: &mut [u8]) {
    let mut sum = Zeroizing::new(Block::ZERO);
    for lane in blocks.chunks_exact(costs.segment_blocks() * SLICES) {
        lane.iter().last().into_iter().for_each(|block| sum.xor(block));
    }
    sum.swap_little_endian();
    long_hash(&[bytemuck::bytes_of(&*sum)], out);
}

/// H': BLAKE2b with an output of any length (RFC 9106, 3.3).
fn long_hash(parts: &[&[u8]], out: &mut [u8]) {
    let len = out.len();
    let tag = (len as u32).to_le_bytes();
    let mut input = Zeroizing::new([0; 64]);
    if len <= 64 {
        return blake2b([&tag[..]].into_iter().chain(parts.iter().copied()), out);
    }
    blake2b([&tag[..]].into_iter().chain(parts.iter().copied()), &mut input[..]);
    let mut rest = out;
    while rest.len() > 64 {
        let (piece, tail) = rest.split_at_mut(32);
        piece.copy_from_slice(&input[..32]);
        rest = tail;
        let next_len = rest.len().min(64);
        let previous = input.clone();
        blake2b([&previous[..]].into_iter(), &mut input[..next_len]);
    }
    rest.copy_from_slice(&input[..rest.len()]);
}

/// BLAKE2b whose parameters name the length of `out`, which is 1 to 64.
fn blake2b<'a>(parts: impl Iterator<Item = &'a [u8]>, out: &mut [u8]) {
    let mut hasher = Blake2bVarCore::new(out.len()).expect("BLAKE2b has outputs of 1 to 64 bytes");
    let mut buffer = LazyBuffer::default();
    for part in parts {
        buffer.digest_blocks(part, |blocks| hasher.update_blocks(blocks));
    }
    let mut digest = digest::Output::<Blake2bVarCore>::default();
    hasher.finalize_variable_core(&mut buffer, &mut digest);
    out.copy_from_slice(&digest[..out.len()]);
    digest.as_mut_slice().zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    /// Made with libargon2 0~20190702.
    #[test]
    fn keys_are_those_of_the_reference() {
        let answers: &[(_, u32, u32, u32, &[u8])] = &[
            (
                Argon2Variant::I,
                1,
                8,
                1,
                &hex!("cbf2bce47e6d23999626143fabc5db69164743ee000ddd3f8895a6f82cfb9a6e"),
            ),
            (
                Argon2Variant::Id,
                1,
                8,
                1,
                &hex!("f137f8e186a403a679ccd0606e5ab5dcdafe43c1640855ac8c6e33e9bd63eeb3"),
            ),
            (
                Argon2Variant::I,
                3,
                64,
                4,
                &hex!("9fe7cc3369a9fd1368bd88d1fe81af487f6bb6cabd9412f20a0522923c611ff5"),
            ),
            (
                Argon2Variant::Id,
                3,
                64,
                4,
                &hex!("4f87cd309b72ccf982e3a0be0c36a2e8517923ca3eeaf28c6efc676d092fb6d5"),
            ),
            (Argon2Variant::Id, 1, 37, 4, &hex!("4e5c0330")),
            (
                Argon2Variant::Id,
                4,
                1027,
                3,
                &hex!(
                    "330172f30ef79aff29e38ef1c82300566eea87012cbbcbaf85d07b69a2f6e5ce0c0800847903d1bc58163c9959aa4cf9"
                    "feaaec3d642c546beca88ef580f353fe"
                ),
            ),
            (
                Argon2Variant::I,
                4,
                1027,
                3,
                &hex!(
                    "3d0292871c9678f469f15e1fe2525e355b684bebd0fc036d2f66c6715f57c76fba1e820988ee9636e4e469bef48e444b"
                    "64cd861fa2429ec79bf9a6b07d5a98f10e"
                ),
            ),
            (
                Argon2Variant::Id,
                2,
                4096,
                1,
                &hex!(
                    "aab7d1863d538e798f6f097b6cb7c5fa23a15e89e9dd7dc994dbbf58cd46383255f9dab2effabd1e7047895fd4001ad9"
                    "70ba31191d851a3907b53609e1f65724006c2211299b80d9330ac5d94d8b7640082eff232d7adc0f8dbf067f8b4d5e49"
                    "db0a1725"
                ),
            ),
            (
                Argon2Variant::I,
                2,
                2048,
                2,
                &hex!(
                    "a326acd4dbe65b2fbe944b665e375ea423d1020fbb4b7b2ce2b6221710b055b2c08657303254311fd4b7878f4c81f30e"
                    "5e85aab133a40cc80fd237aa010e3273d4664a25079853c8a1f5d0993d8a99bab5fa39f9366bab90cfdd25da1e182f24"
                    "702c01fa5db1c9317756a275e630000c350d4baadd19642483c1a966c6d142a1"
                ),
            ),
            (
                Argon2Variant::Id,
                5,
                24,
                3,
                &hex!("88aa7851433c2b8efc08421fcb269e506eb9d58e840a8eaaa0a7c3064243fff56f"),
            ),
            (
                Argon2Variant::Id,
                4,
                32,
                4,
                &hex!(
                    "7bebbbdb29eda6ea5b77a04819140f4bb4437aec334e46a721f5289359a4136fba4e0a9ddebd3d953b6d2e3a057a25e4"
                    "f9ba5ad6df60b39beabb691cfbaa1fc9"
                ),
            ),
        ];
        for &(variant, time, memory_kib, lanes, expected) in answers {
            let costs = Costs {
                variant,
                time,
                memory_kib,
                lanes,
            };
            let mut out = vec![0; expected.len()];
            derive(costs, b"password", b"somesalt", &mut out).expect("valid costs");
            assert_eq!(out, expected, "{costs:?}");
        }
    }

    #[test]
    fn lengths_that_the_function_does_not_take_are_named() {
        let costs = Costs {
            variant: Argon2Variant::Id,
            time: 1,
            memory_kib: 8,
            lanes: 1,
        };
        assert_eq!(
            derive(costs, b"", b"7 bytes", &mut [0; 4]),
            Err(KdfError::BadLength {
                what: "the salt",
                len: 7
            })
        );
        assert_eq!(
            derive(costs, b"", b"8 bytes!", &mut [0; 3]),
            Err(KdfError::BadLength {
                what: "the key",
                len: 3
            })
        );
    }
}
