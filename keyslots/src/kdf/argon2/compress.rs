//! The compression function of Argon2 over blocks of 1 KiB, portable and for AVX2.
//!
//! The only `unsafe` of the crate is here: entering code that needs a CPU feature, and a cache hint.

#![allow(unsafe_code)]

use zeroize::Zeroize;

/// A block: 128 words, on a cache line of its own.
#[derive(Copy, Clone, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(super) struct Block(pub(super) [u64; 128]);

impl Block {
    pub(super) const ZERO: Self = Self([0; 128]);

    pub(super) fn xor(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word ^= other;
        }
    }

    /// From words in memory order to little-endian bytes, or back: nothing, on a little-endian machine.
    pub(super) fn swap_little_endian(&mut self) {
        for word in &mut self.0 {
            *word = word.to_le();
        }
    }

    /// Prefetches the block into the CPU's cache, where it has an instruction for that. It changes no value.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        for line in self.0.chunks_exact(8) {
            // SAFETY: a prefetch reads nothing that the program could see, and the address is that of a reference.
            unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast()) }
        }
    }
}

impl Zeroize for Block {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// One compression: `new` becomes G(`previous`, `reference`), added to what it was if `add` is set.
pub(super) struct Job<'a> {
    pub(super) previous: &'a Block,
    pub(super) reference: &'a Block,
    pub(super) new: &'a mut Block,
    pub(super) add: bool,
    /// Room for the state; the caller wipes it.
    pub(super) scratch: &'a mut Block,
}

/// A way to compute the compression function.
pub(super) trait Compressor: Copy + Send + Sync {
    /// Runs the job. `early` gets the first word of the new block as soon as it is known.
    fn compress(self, job: Job<'_>, early: impl FnOnce(u64));
}

/// The portable implementation.
#[derive(Copy, Clone)]
pub(super) struct Portable;

impl Compressor for Portable {
    fn compress(
        self,
        Job {
            previous,
            reference,
            new,
            add,
            scratch,
        }: Job<'_>,
        early: impl FnOnce(u64),
    ) {
        for (n, state) in scratch.0.iter_mut().enumerate() {
            *state = previous.0[n] ^ reference.0[n];
            new.0[n] = if add { new.0[n] ^ *state } else { *state };
        }
        for row in 0..8 {
            permute(&mut scratch.0, |n| 16 * row + n);
        }
        for column in 0..8 {
            permute(&mut scratch.0, |n| 2 * column + 16 * (n / 2) + n % 2);
        }
        new.xor(scratch);
        early(new.0[0]);
    }
}

/// P: a round of BLAKE2b with multiplications over 16 words, whose places `at` gives.
#[inline(always)]
fn permute(state: &mut [u64; 128], at: impl Fn(usize) -> usize) {
    let mut v: [u64; 16] = std::array::from_fn(|n| state[at(n)]);
    for n in 0..4 {
        mix(&mut v, n, n + 4, n + 8, n + 12);
    }
    for n in 0..4 {
        mix(&mut v, n, (n + 1) % 4 + 4, (n + 2) % 4 + 8, (n + 3) % 4 + 12);
    }
    for (n, word) in v.iter().enumerate() {
        state[at(n)] = *word;
    }
}

#[inline(always)]
fn mix(v: &mut [u64; 16], a: usize, b: usize, c: usize, d: usize) {
    v[a] = add_product(v[a], v[b]);
    v[d] = (v[d] ^ v[a]).rotate_right(32);
    v[c] = add_product(v[c], v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(24);
    v[a] = add_product(v[a], v[b]);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = add_product(v[c], v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(63);
}

/// x + y + 2·(lower half of x)·(lower half of y).
#[inline(always)]
fn add_product(x: u64, y: u64) -> u64 {
    let product = u64::from(x as u32) * u64::from(y as u32);
    x.wrapping_add(y).wrapping_add(product << 1)
}

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;

/// The same on vectors of four words.
#[cfg(target_arch = "x86_64")]
#[expect(
    clippy::needless_range_loop,
    reason = "rows and columns are indices of two arrays at once"
)]
mod avx2 {
    use super::{Compressor, Job};
    use core::arch::x86_64::*;

    /// Proof that the CPU has AVX2.
    #[derive(Copy, Clone)]
    pub(in super::super) struct Avx2(());

    impl Avx2 {
        pub(in super::super) fn detect() -> Option<Self> {
            is_x86_feature_detected!("avx2").then_some(Self(()))
        }
    }

    impl Compressor for Avx2 {
        #[inline(always)]
        fn compress(self, job: Job<'_>, early: impl FnOnce(u64)) {
            // SAFETY: `self` is only made by `detect`, where the CPU has the feature.
            unsafe { compress(job, early) }
        }
    }

    type Vector = __m256i;
    /// Two instances of P side by side, each with its 16 words as the rows a, b, c, d of a square.
    type Pair = [[Vector; 2]; 4];

    #[target_feature(enable = "avx2")]
    fn compress(
        Job {
            previous,
            reference,
            new,
            add,
            scratch,
        }: Job<'_>,
        early: impl FnOnce(u64),
    ) {
        let previous: &[Vector] = bytemuck::cast_slice(&previous.0);
        let reference: &[Vector] = bytemuck::cast_slice(&reference.0);
        let new: &mut [Vector] = bytemuck::cast_slice_mut(&mut new.0);
        let state: &mut [Vector] = bytemuck::cast_slice_mut(&mut scratch.0);
        let zero = _mm256_setzero_si256();

        for pair in 0..4 {
            // Each row of the block is four vectors: one instance of P.
            let at = |instance: usize, row: usize| 8 * pair + 4 * instance + row;
            let mut v: Pair = [[zero; 2]; 4];
            for row in 0..4 {
                for instance in 0..2 {
                    let n = at(instance, row);
                    let sum = _mm256_xor_si256(previous[n], reference[n]);
                    v[row][instance] = sum;
                    new[n] = if add { _mm256_xor_si256(new[n], sum) } else { sum };
                }
            }
            permute_rows(&mut v);
            for row in 0..4 {
                for instance in 0..2 {
                    state[at(instance, row)] = v[row][instance];
                }
            }
        }

        let mut columns = |pair: usize| {
            // A vector holds half a row of each of two instances: their words are two columns wide.
            let at = |row: usize, half: usize| 4 * (2 * row + half) + pair;
            let mut v: Pair = [[zero; 2]; 4];
            for row in 0..4 {
                for half in 0..2 {
                    v[row][half] = state[at(row, half)];
                }
            }
            permute_columns(&mut v);
            for row in 0..4 {
                for half in 0..2 {
                    let n = at(row, half);
                    new[n] = _mm256_xor_si256(new[n], v[row][half]);
                    state[n] = v[row][half];
                }
            }
            _mm256_extract_epi64::<0>(new[0]) as u64
        };
        early(columns(0));
        for pair in 1..4 {
            columns(pair);
        }
    }

    /// P on two instances, each vector a whole row.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn permute_rows(v: &mut Pair) {
        mix(v);
        for n in 0..2 {
            v[1][n] = _mm256_permute4x64_epi64::<0b00_11_10_01>(v[1][n]);
            v[2][n] = _mm256_permute4x64_epi64::<0b01_00_11_10>(v[2][n]);
            v[3][n] = _mm256_permute4x64_epi64::<0b10_01_00_11>(v[3][n]);
        }
        mix(v);
        for n in 0..2 {
            v[1][n] = _mm256_permute4x64_epi64::<0b10_01_00_11>(v[1][n]);
            v[2][n] = _mm256_permute4x64_epi64::<0b01_00_11_10>(v[2][n]);
            v[3][n] = _mm256_permute4x64_epi64::<0b00_11_10_01>(v[3][n]);
        }
    }

    /// P on two instances, each vector half a row of both, so that rows are turned within halves of vectors.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn permute_columns(v: &mut Pair) {
        mix(v);
        let ([b0, b1], [d0, d1]) = (v[1], v[3]);
        v[1] = [_mm256_alignr_epi8::<8>(b1, b0), _mm256_alignr_epi8::<8>(b0, b1)];
        v[2].swap(0, 1);
        v[3] = [_mm256_alignr_epi8::<8>(d0, d1), _mm256_alignr_epi8::<8>(d1, d0)];
        mix(v);
        let ([b0, b1], [d0, d1]) = (v[1], v[3]);
        v[1] = [_mm256_alignr_epi8::<8>(b0, b1), _mm256_alignr_epi8::<8>(b1, b0)];
        v[2].swap(0, 1);
        v[3] = [_mm256_alignr_epi8::<8>(d1, d0), _mm256_alignr_epi8::<8>(d0, d1)];
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn mix([a, b, c, d]: &mut Pair) {
        for n in 0..2 {
            a[n] = add_product(a[n], b[n]);
            d[n] = _mm256_shuffle_epi32::<0b10_11_00_01>(_mm256_xor_si256(d[n], a[n]));
        }
        for n in 0..2 {
            c[n] = add_product(c[n], d[n]);
            b[n] = _mm256_shuffle_epi8(_mm256_xor_si256(b[n], c[n]), rotation(3));
        }
        for n in 0..2 {
            a[n] = add_product(a[n], b[n]);
            d[n] = _mm256_shuffle_epi8(_mm256_xor_si256(d[n], a[n]), rotation(2));
        }
        for n in 0..2 {
            c[n] = add_product(c[n], d[n]);
            let sum = _mm256_xor_si256(b[n], c[n]);
            b[n] = _mm256_xor_si256(_mm256_srli_epi64::<63>(sum), _mm256_add_epi64(sum, sum));
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add_product(x: Vector, y: Vector) -> Vector {
        let product = _mm256_mul_epu32(x, y);
        _mm256_add_epi64(_mm256_add_epi64(x, y), _mm256_add_epi64(product, product))
    }

    /// The shuffle that turns each word right by whole bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn rotation(bytes: u64) -> Vector {
        let low = 0x0706_0504_0302_0100_u64.rotate_right(8 * bytes as u32) as i64;
        let high = 0x0f0e_0d0c_0b0a_0908_u64.rotate_right(8 * bytes as u32) as i64;
        _mm256_setr_epi64x(low, high, low, high)
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    fn run(compressor: impl Compressor, add: bool) -> (Block, u64) {
        let mut seed = 1_u64;
        let mut random = || {
            let mut block = Block::ZERO;
            for word in &mut block.0 {
                seed = seed
                    .wrapping_mul(0x5851_f42d_4c95_7f2d)
                    .wrapping_add(0x1405_7b7e_f767_814f);
                *word = seed ^ seed >> 29;
            }
            block
        };
        let (previous, reference, mut new, mut scratch) = (random(), random(), random(), Block::ZERO);
        let job = Job {
            previous: &previous,
            reference: &reference,
            new: &mut new,
            add,
            scratch: &mut scratch,
        };
        let mut first = 0;
        compressor.compress(job, |word| first = word);
        (new, first)
    }

    #[test]
    fn vectors_compute_what_words_do() {
        let Some(avx2) = Avx2::detect() else { return };
        for add in [false, true] {
            let (expected, first) = run(Portable, add);
            assert_eq!(expected.0[0], first);
            let (block, first) = run(avx2, add);
            assert_eq!(block.0, expected.0);
            assert_eq!(block.0[0], first);
        }
    }
}
