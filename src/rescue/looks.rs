//! What bytes look like: noise as all that is encrypted does, or something that was written over it.

use std::ops::Range;

use keyslots::storage::Storage;
use keyslots::units::Bytes;

use super::scan::SECTOR;

/// The sum of the squares of how often each byte is in a sector. Noise has about 1534, and a spread of 45; a sector of one
/// byte 262144, one of text some 13000.
const TOO_UNEVEN: u32 = 2200;

/// What a sector looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Looks {
    /// Random, as encrypted data do.
    Random,
    /// Zeros.
    Zeros,
    /// One byte all over, which is not zero.
    OneByte,
    /// Text.
    Text,
    /// None of these: a structure that another program wrote.
    Structure,
    /// It cannot be read.
    Unreadable,
}

impl Looks {
    pub(super) fn of(sector: &[u8]) -> Self {
        let first = sector.first().copied().unwrap_or(0);
        if sector.iter().all(|byte| *byte == first) {
            return if first == 0 { Self::Zeros } else { Self::OneByte };
        }
        let mut counts = [0_u32; 256];
        for byte in sector {
            counts[usize::from(*byte)] += 1;
        }
        if counts.iter().map(|count| count * count).sum::<u32>() <= TOO_UNEVEN {
            return Self::Random;
        }
        let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t' | b'\r');
        match sector.iter().filter(|byte| is_text(byte)).count() {
            printed if printed * 10 >= sector.len() * 9 => Self::Text,
            _ => Self::Structure,
        }
    }
}

/// What a range of a disk looks like, by sectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its place, from the start of the header.
    pub range: Range<u64>,
    /// What it looks like.
    pub looks: Looks,
}

/// The parts of a range that look alike. Beyond `most`, the last one stands for the rest.
pub(super) fn parts(storage: &mut dyn Storage, range: Range<u64>, most: usize) -> Vec<Part> {
    const CHUNK: usize = 64 * 1024;
    let mut found: Vec<Part> = Vec::new();
    let mut buffer = vec![0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(CHUNK as u64) as usize;
        let read = storage.read_at(Bytes::new(at), &mut buffer[..len]).is_ok();
        for (n, sector) in buffer[..len].chunks_mut(SECTOR).enumerate() {
            let start = at + (n * SECTOR) as u64;
            let readable = read || storage.read_at(Bytes::new(start), sector).is_ok();
            let looks = if readable { Looks::of(sector) } else { Looks::Unreadable };
            let end = start + sector.len() as u64;
            let has_room = found.len() < most;
            match found.last_mut() {
                Some(last) if last.looks == looks || !has_room => last.range.end = end,
                _ => found.push(Part {
                    range: start..end,
                    looks,
                }),
            }
        }
        at += len as u64;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslots::storage::Memory;

    #[test]
    fn each_kind_of_bytes_looks_like_itself() {
        let mut memory = Memory::zeroed(8 * SECTOR);
        for sector in [0, 3, 4] {
            let noise = &mut memory.0[sector * SECTOR..][..SECTOR];
            let mut seed = sector as u64 + 1;
            for byte in noise {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                *byte = (seed >> 56) as u8;
            }
        }
        memory.0[SECTOR..2 * SECTOR].fill(0xff);
        for (n, byte) in memory.0[5 * SECTOR..6 * SECTOR].iter_mut().enumerate() {
            *byte = b"The quick brown fox. "[n % 21];
        }
        memory.0[6 * SECTOR] = 1;
        let looks: Vec<_> = parts(&mut memory, 0..8 * SECTOR as u64, 100)
            .iter()
            .map(|part| (part.range.end / SECTOR as u64, part.looks))
            .collect();
        use Looks::{OneByte, Random, Structure, Text, Zeros};
        let expected = [
            (1, Random),
            (2, OneByte),
            (3, Zeros),
            (5, Random),
            (6, Text),
            (7, Structure),
            (8, Zeros),
        ];
        assert_eq!(looks, expected);
        assert_eq!(parts(&mut memory, 0..8 * SECTOR as u64, 2).len(), 2);
    }
}
