//! Twofish with key-dependent tables ("full keying" in its specification, 1998).
//!
//! The `twofish` crate computes each S-box entry anew and manages 2 MB/s: a keyslot would take longer to decrypt than
//! its key to derive.

use zeroize::Zeroize;

use super::block::BlockCipher;

const ROUNDS: usize = 16;
const BLOCK: usize = 16;

/// The nibble tables of the permutations q0 and q1.
const Q: [[[u8; 16]; 4]; 2] = [
    [
        [
            0x8, 0x1, 0x7, 0xd, 0x6, 0xf, 0x3, 0x2, 0x0, 0xb, 0x5, 0x9, 0xe, 0xc, 0xa, 0x4,
        ],
        [
            0xe, 0xc, 0xb, 0x8, 0x1, 0x2, 0x3, 0x5, 0xf, 0x4, 0xa, 0x6, 0x7, 0x0, 0x9, 0xd,
        ],
        [
            0xb, 0xa, 0x5, 0xe, 0x6, 0xd, 0x9, 0x0, 0xc, 0x8, 0xf, 0x3, 0x2, 0x4, 0x7, 0x1,
        ],
        [
            0xd, 0x7, 0xf, 0x4, 0x1, 0x2, 0x6, 0xe, 0x9, 0xb, 0x3, 0x0, 0x8, 0x5, 0xc, 0xa,
        ],
    ],
    [
        [
            0x2, 0x8, 0xb, 0xd, 0xf, 0x7, 0x6, 0xe, 0x3, 0x1, 0x9, 0x4, 0x0, 0xa, 0xc, 0x5,
        ],
        [
            0x1, 0xe, 0x2, 0xb, 0x4, 0xc, 0x3, 0x7, 0x6, 0xd, 0xa, 0x5, 0xf, 0x9, 0x0, 0x8,
        ],
        [
            0x4, 0xc, 0x7, 0x5, 0x1, 0x6, 0x9, 0xa, 0x0, 0xe, 0xd, 0x8, 0x2, 0xb, 0x3, 0xf,
        ],
        [
            0xb, 0x9, 0x5, 0x1, 0xc, 0x3, 0xd, 0xe, 0x6, 0x4, 0x7, 0xf, 0x2, 0x0, 0x8, 0xa,
        ],
    ],
];

/// Which permutation byte n of a word goes through in each stage, the last stage first.
const STAGES: [[usize; 5]; 4] = [[1, 0, 0, 1, 1], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 1]];

/// The columns of the MDS matrix, and the rows of the RS matrix.
const MDS: [[u8; 4]; 4] = [
    [0x01, 0x5b, 0xef, 0xef],
    [0xef, 0xef, 0x5b, 0x01],
    [0x5b, 0xef, 0x01, 0xef],
    [0x5b, 0x01, 0xef, 0x5b],
];
const RS: [[u8; 8]; 4] = [
    [0x01, 0xa4, 0x55, 0x87, 0x5a, 0x58, 0xdb, 0x9e],
    [0xa4, 0x56, 0x82, 0xf3, 0x1e, 0xc6, 0x68, 0xe5],
    [0x02, 0xa1, 0xfc, 0xc1, 0x47, 0xae, 0x3d, 0x19],
    [0xa4, 0x55, 0x87, 0x5a, 0x58, 0xdb, 0x9e, 0x03],
];

/// The reduction polynomials of the fields that the two matrices are over.
const MDS_POLYNOMIAL: u8 = 0x69;
const RS_POLYNOMIAL: u8 = 0x4d;

/// A key, expanded.
pub(super) struct Twofish {
    /// For whitening (eight words), then two for each round.
    keys: [u32; 8 + 2 * ROUNDS],
    /// The function g, by byte of its input.
    tables: Box<[[u32; 256]; 4]>,
}

impl Twofish {
    /// Expands a key of 16, 24 or 32 bytes. Others were refused earlier.
    pub(super) fn new(key: &[u8]) -> Self {
        let words = key.as_chunks::<8>().0;
        let words = &words[..words.len().min(4)];
        // The even and the odd words of the key, and the words that the RS code makes of it, all as lists for h.
        let (mut even, mut odd, mut code) = ([[0; 4]; 4], [[0; 4]; 4], [[0; 4]; 4]);
        for (n, word) in words.iter().enumerate() {
            even[n].copy_from_slice(&word[..4]);
            odd[n].copy_from_slice(&word[4..]);
            for (byte, row) in code[words.len() - 1 - n].iter_mut().zip(&RS) {
                *byte = word
                    .iter()
                    .zip(row)
                    .fold(0, |sum, (a, b)| sum ^ multiply(*a, *b, RS_POLYNOMIAL));
            }
        }
        let stages = words.len();
        let mut keys = [0; 8 + 2 * ROUNDS];
        for (n, pair) in (0u8..).zip(keys.as_chunks_mut::<2>().0) {
            let a = h([2 * n; 4], &even[..stages]);
            let b = h([2 * n + 1; 4], &odd[..stages]).rotate_left(8);
            *pair = [a.wrapping_add(b), a.wrapping_add(b).wrapping_add(b).rotate_left(9)];
        }
        let mut tables = Box::new([[0; 256]; 4]);
        for (place, table) in tables.iter_mut().enumerate() {
            for (byte, entry) in (0u8..=255).zip(table) {
                *entry = h_byte(byte, place, &code[..stages]);
            }
        }
        even.zeroize();
        odd.zeroize();
        code.zeroize();
        Self { keys, tables }
    }

    fn g(&self, word: u32) -> u32 {
        let bytes = word.to_le_bytes();
        self.tables[0][bytes[0] as usize]
            ^ self.tables[1][bytes[1] as usize]
            ^ self.tables[2][bytes[2] as usize]
            ^ self.tables[3][bytes[3] as usize]
    }

    /// What a round makes of its left half.
    fn f(&self, left: [u32; 2], round: usize) -> [u32; 2] {
        let a = self.g(left[0]);
        let b = self.g(left[1].rotate_left(8));
        let sum = a.wrapping_add(b);
        let keys = 8 + 2 * round;
        [
            sum.wrapping_add(self.keys[keys]),
            sum.wrapping_add(b).wrapping_add(self.keys[keys + 1]),
        ]
    }

    fn whiten(&self, words: [u32; 4], keys: usize) -> [u32; 4] {
        std::array::from_fn(|n| words[n] ^ self.keys[keys + n])
    }
}

impl BlockCipher for Twofish {
    fn encrypt(&self, blocks: &mut [u8]) {
        for block in blocks.as_chunks_mut::<BLOCK>().0 {
            let [a, b, c, d] = self.whiten(load(block), 0);
            let (mut left, mut right) = ([a, b], [c, d]);
            for round in 0..ROUNDS {
                let f = self.f(left, round);
                let next = [(right[0] ^ f[0]).rotate_right(1), right[1].rotate_left(1) ^ f[1]];
                (left, right) = (next, left);
            }
            store(self.whiten([right[0], right[1], left[0], left[1]], 4), block);
        }
    }

    fn decrypt(&self, blocks: &mut [u8]) {
        for block in blocks.as_chunks_mut::<BLOCK>().0 {
            let [c, d, a, b] = self.whiten(load(block), 4);
            let (mut left, mut right) = ([a, b], [c, d]);
            for round in (0..ROUNDS).rev() {
                let f = self.f(right, round);
                let next = [left[0].rotate_left(1) ^ f[0], (left[1] ^ f[1]).rotate_right(1)];
                (left, right) = (right, next);
            }
            store(self.whiten([left[0], left[1], right[0], right[1]], 0), block);
        }
    }
}

impl Drop for Twofish {
    fn drop(&mut self) {
        self.keys.zeroize();
        self.tables.iter_mut().for_each(Zeroize::zeroize);
    }
}

fn load(block: &[u8; BLOCK]) -> [u32; 4] {
    std::array::from_fn(|n| u32::from_le_bytes([block[4 * n], block[4 * n + 1], block[4 * n + 2], block[4 * n + 3]]))
}

fn store(words: [u32; 4], block: &mut [u8; BLOCK]) {
    for (bytes, word) in block.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
}

/// The function h of the specification, over a list of two to four words.
fn h(word: [u8; 4], list: &[[u8; 4]]) -> u32 {
    word.iter()
        .enumerate()
        .fold(0, |sum, (place, byte)| sum ^ h_byte(*byte, place, list))
}

/// What one byte of the word adds to h.
fn h_byte(byte: u8, place: usize, list: &[[u8; 4]]) -> u32 {
    let stages = &STAGES[place];
    let mut byte = permute(stages[list.len()], byte);
    for (word, stage) in list.iter().zip(stages).rev() {
        byte = permute(*stage, byte ^ word[place]);
    }
    u32::from_le_bytes(MDS[place].map(|factor| multiply(byte, factor, MDS_POLYNOMIAL)))
}

/// The permutations q0 and q1.
fn permute(which: usize, byte: u8) -> u8 {
    let q = &Q[which];
    let mix = |a: u8, b: u8| ((a ^ b) as usize, ((a ^ (b >> 1) ^ (b << 3) ^ (a << 3)) & 15) as usize);
    let (a, b) = mix(byte >> 4, byte & 15);
    let (a, b) = mix(q[0][a], q[1][b]);
    q[3][b] << 4 | q[2][a]
}

/// Multiplication in GF(2^8).
fn multiply(a: u8, b: u8, polynomial: u8) -> u8 {
    (0..8).rev().fold(0, |product: u8, bit| {
        let doubled = (product << 1) ^ (polynomial & (product >> 7).wrapping_neg());
        doubled ^ (a & (b >> bit & 1).wrapping_neg())
    })
}
