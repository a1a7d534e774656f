//! Tweaks of the modes that mask each block: XTS and LRW.
//!
//! Both compute the masks of whole sectors ahead, so that the cipher then works on many blocks at once.

use zeroize::Zeroize;

/// Chains of tweaks that are computed side by side: doubling has to wait for itself.
const CHAINS: usize = 4;

/// Fills `tweaks` with those of XTS (IEEE 1619) for one sector: the encrypted IV, doubled for each block in GF(2^128),
/// little-endian. Adds them to the sector meanwhile.
pub(super) fn mask_xts(encrypted_iv: &[u8; 16], tweaks: &mut [u8], sector: &mut [u8]) {
    let (tweaks, blocks): (&mut [[u8; 16]], &mut [[u8; 16]]) = (tweaks.as_chunks_mut().0, sector.as_chunks_mut().0);
    let each = blocks.len() / CHAINS;
    let start = u128::from_le_bytes(*encrypted_iv);
    let second = times_x_to(each, start);
    let third = times_x_to(each, second);
    let (mut a, mut b, mut c, mut d) = (start, second, third, times_x_to(each, third));
    let (tweaks_a, tweaks_b, tweaks_c, tweaks_d) = quarters(tweaks, each);
    let (blocks_a, blocks_b, blocks_c, blocks_d) = quarters(blocks, each);
    let of_a = tweaks_a.iter_mut().zip(blocks_a);
    let of_b = tweaks_b.iter_mut().zip(blocks_b);
    let of_c = tweaks_c.iter_mut().zip(blocks_c);
    // All four are as long where the blocks are a multiple of four, as in every sector; else the last is longer.
    let mut of_d = tweaks_d.iter_mut().zip(blocks_d);
    for ((in_a, in_b), in_c) in of_a.zip(of_b).zip(of_c) {
        let Some(in_d) = of_d.next() else { break };
        a = mask_block(a, in_a);
        b = mask_block(b, in_b);
        c = mask_block(c, in_c);
        d = mask_block(d, in_d);
    }
    for in_d in of_d {
        d = mask_block(d, in_d);
    }
}

/// Puts a tweak down and adds it to a block; returns the next one.
#[inline(always)]
fn mask_block(value: u128, (tweak, block): (&mut [u8; 16], &mut [u8; 16])) -> u128 {
    *tweak = value.to_le_bytes();
    *block = (u128::from_le_bytes(*block) ^ value).to_le_bytes();
    double(value)
}

type Blocks<'a> = &'a mut [[u8; 16]];

fn quarters(blocks: Blocks<'_>, each: usize) -> (Blocks<'_>, Blocks<'_>, Blocks<'_>, Blocks<'_>) {
    let (first, rest) = blocks.split_at_mut(each);
    let (second, rest) = rest.split_at_mut(each);
    let (third, fourth) = rest.split_at_mut(each);
    (first, second, third, fourth)
}

/// Times x, modulo x^128 + x^7 + x^2 + x + 1. No branch depends on the value, which is secret.
fn double(value: u128) -> u128 {
    (value << 1) ^ (0x87 & (value >> 127).wrapping_neg())
}

/// Times x to the power of `by`, which is not secret.
fn times_x_to(mut by: usize, mut value: u128) -> u128 {
    const AT_ONCE: usize = 64;
    while by >= AT_ONCE {
        let carry = value >> (128 - AT_ONCE);
        value = (value << AT_ONCE) ^ carry ^ (carry << 1) ^ (carry << 2) ^ (carry << 7);
        by -= AT_ONCE;
    }
    if by > 0 {
        let carry = value >> (128 - by);
        value = (value << by) ^ carry ^ (carry << 1) ^ (carry << 2) ^ (carry << 7);
    }
    value
}

/// Adds masks to as many bytes.
pub(super) fn xor(data: &mut [u8], masks: &[u8]) {
    // The release is optimised for size at the link, where no loop becomes vectors: so it goes by the longest words.
    let (chunks, rest) = data.as_chunks_mut::<64>();
    let (masks, rest_of_masks) = masks.as_chunks::<64>();
    for (chunk, mask) in chunks.iter_mut().zip(masks) {
        let (words, mask): ([u64; 8], [u64; 8]) = (bytemuck::cast(*chunk), bytemuck::cast(*mask));
        *chunk = bytemuck::cast([
            words[0] ^ mask[0],
            words[1] ^ mask[1],
            words[2] ^ mask[2],
            words[3] ^ mask[3],
            words[4] ^ mask[4],
            words[5] ^ mask[5],
            words[6] ^ mask[6],
            words[7] ^ mask[7],
        ]);
    }
    let (words, rest) = rest.as_chunks_mut();
    let (masks, rest_of_masks) = rest_of_masks.as_chunks();
    for (word, mask) in words.iter_mut().zip(masks) {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(*mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(rest_of_masks) {
        *byte ^= mask;
    }
}

/// Tweaks of LRW: the number of each block times the tweak key in GF(2^128), big-endian.
pub(super) struct LrwTweaks {
    /// The key times 1 + x + … + x^n.
    sums: Box<[u128; 128]>,
}

impl LrwTweaks {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        let mut sums = Box::new([0; 128]);
        let (mut power, mut sum) = (u128::from_be_bytes(*key), 0);
        for slot in sums.iter_mut() {
            sum ^= power;
            *slot = sum;
            power = double(power);
        }
        Self { sums }
    }

    /// Fills `tweaks` with those of a sector, and adds them to the sector meanwhile.
    pub(super) fn mask(&self, iv: &[u8; 16], tweaks: &mut [u8], sector: &mut [u8]) {
        let mut index = u128::from_be_bytes(*iv);
        let mut tweak = self.times(index);
        for (mask, block) in tweaks.as_chunks_mut().0.iter_mut().zip(sector.as_chunks_mut().0) {
            *mask = tweak.to_be_bytes();
            *block = (u128::from_be_bytes(*block) ^ tweak).to_be_bytes();
            // Counting up flips a run of low bits; multiplication is linear, so the tweak changes by their products.
            tweak ^= self.sums[(index.trailing_ones() as usize).min(127)];
            index = index.wrapping_add(1);
        }
    }

    /// The number of a block is no secret.
    fn times(&self, mut factor: u128) -> u128 {
        let mut product = 0;
        while factor != 0 {
            let bit = factor.trailing_zeros() as usize;
            let below = bit.checked_sub(1).map_or(0, |below| self.sums[below]);
            product ^= self.sums[bit] ^ below;
            factor &= factor - 1;
        }
        product
    }
}

impl Drop for LrwTweaks {
    fn drop(&mut self) {
        self.sums.as_mut_slice().zeroize();
    }
}
