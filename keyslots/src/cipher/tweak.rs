//! Tweaks of the modes that mask each block: XTS and LRW.
//!
//! Both compute the masks of whole sectors ahead, so that the cipher then works on many blocks at once.

use zeroize::Zeroize;

/// Chains of tweaks that are computed side by side: doubling has to wait for itself.
const CHAINS: usize = 4;
/// Bytes that masks are added to in one round of a loop: a block of each chain.
const AT_ONCE: usize = CHAINS * 16;

type Block = [u8; 16];

/// Fills `tweaks` with those of XTS (IEEE 1619) for one sector: the encrypted IV, doubled for each block in GF(2^128),
/// little-endian. Besides adds `masks` to `data`, which are as long as each other: the processor does both in nearly the time
/// of one where they are a sector too.
pub(super) fn mask_xts(encrypted_iv: &Block, tweaks: &mut [u8], data: &mut [u8], masks: &[u8]) {
    match tweaks.len() {
        4096 => in_chains::<64>(encrypted_iv, tweaks, data, masks),
        2048 => in_chains::<32>(encrypted_iv, tweaks, data, masks),
        1024 => in_chains::<16>(encrypted_iv, tweaks, data, masks),
        512 => in_chains::<8>(encrypted_iv, tweaks, data, masks),
        // An IV that is encrypted as a sector is.
        _ => {
            let mut value = u128::from_le_bytes(*encrypted_iv);
            for tweak in tweaks.as_chunks_mut().0 {
                *tweak = value.to_le_bytes();
                value = double(value);
            }
            xor(data, masks);
        }
    }
}

/// For a sector of so many blocks in each chain: where the compiler knows the number, one address does for all chains.
fn in_chains<const EACH: usize>(encrypted_iv: &Block, tweaks: &mut [u8], data: &mut [u8], masks: &[u8]) {
    type Groups<const EACH: usize> = [[u8; AT_ONCE]; EACH];
    let data_groups: Option<&mut Groups<EACH>> = data.as_chunks_mut().0.try_into().ok();
    let mask_groups: Option<&Groups<EACH>> = masks.as_chunks().0.try_into().ok();
    match (data_groups, mask_groups) {
        (Some(data), Some(masks)) => chains::<EACH>(encrypted_iv, tweaks, |n| data[n] = sum(&data[n], &masks[n])),
        _ => {
            chains::<EACH>(encrypted_iv, tweaks, |_| ());
            xor(data, masks);
        }
    }
}

/// Calls `beside` for each block of a chain.
#[inline(always)]
fn chains<const EACH: usize>(encrypted_iv: &Block, tweaks: &mut [u8], mut beside: impl FnMut(usize)) {
    let start = u128::from_le_bytes(*encrypted_iv);
    let second = times_x_to(EACH, start);
    let third = times_x_to(EACH, second);
    let (mut a, mut b, mut c, mut d) = (start, second, third, times_x_to(EACH, third));
    let chains: &mut [[Block; EACH]] = tweaks.as_chunks_mut().0.as_chunks_mut().0;
    let [of_a, of_b, of_c, of_d]: &mut [_; CHAINS] = chains.first_chunk_mut().expect("four chains are a sector");
    for n in 0..EACH {
        of_a[n] = a.to_le_bytes();
        of_b[n] = b.to_le_bytes();
        of_c[n] = c.to_le_bytes();
        of_d[n] = d.to_le_bytes();
        (a, b, c, d) = (double(a), double(b), double(c), double(d));
        beside(n);
    }
}

/// Times x, modulo x^128 + x^7 + x^2 + x + 1. No branch depends on the value, which is secret.
#[inline(always)]
fn double(value: u128) -> u128 {
    let out = 0x87 & (value >> 127).wrapping_neg();
    #[cfg(not(target_arch = "x86_64"))]
    let twice = value << 1;
    #[cfg(target_arch = "x86_64")]
    let twice = {
        // A shift over two words is slow on many of these processors, and an addition is not.
        use std::arch::x86_64::_addcarry_u64;
        let (mut low, mut high) = (value as u64, (value >> 64) as u64);
        let carry = _addcarry_u64(0, low, low, &mut low);
        _addcarry_u64(carry, high, high, &mut high);
        u128::from(high) << 64 | u128::from(low)
    };
    twice ^ out
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
    // The release is optimised for size at the link, where no loop becomes vectors; words of 128 bits do.
    let (groups, rest) = data.as_chunks_mut::<AT_ONCE>();
    let (masks, rest_of_masks) = masks.as_chunks::<AT_ONCE>();
    for (group, masks) in groups.iter_mut().zip(masks) {
        *group = sum(group, masks);
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

/// Puts the sum of `source` and `masks` into `data`; all have the same length.
pub(super) fn xor_to(source: &[u8], masks: &[u8], data: &mut [u8]) {
    let (groups, rest) = data.as_chunks_mut::<AT_ONCE>();
    let (sources, rest_of_source) = source.as_chunks();
    let (masks, rest_of_masks) = masks.as_chunks();
    for ((group, source), masks) in groups.iter_mut().zip(sources).zip(masks) {
        *group = sum(source, masks);
    }
    rest.copy_from_slice(rest_of_source);
    xor(rest, rest_of_masks);
}

#[inline(always)]
fn sum(a: &[u8; AT_ONCE], b: &[u8; AT_ONCE]) -> [u8; AT_ONCE] {
    let (a, b): ([u128; 4], [u128; 4]) = (bytemuck::cast(*a), bytemuck::cast(*b));
    bytemuck::cast([a[0] ^ b[0], a[1] ^ b[1], a[2] ^ b[2], a[3] ^ b[3]])
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

    /// Fills `tweaks` with those of a sector.
    pub(super) fn fill(&self, iv: &Block, tweaks: &mut [u8]) {
        let mut index = u128::from_be_bytes(*iv);
        let mut tweak = self.times(index);
        for mask in tweaks.as_chunks_mut().0 {
            *mask = tweak.to_be_bytes();
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
