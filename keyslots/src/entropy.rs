//! Whether the key material on a device can still be intact: encrypted, it looks like noise. Zeros, a pattern or text
//! that overwrote it do not, and then no passphrase opens it any more.

use std::ops::Range;

use crate::storage::Storage;
use crate::units::Bytes;
use crate::{Error, KeyslotId, Result};

/// The size of a block that is judged as a whole.
pub const BLOCK: usize = 128;

/// The sum of the squares of how often each byte is in a block. Noise has about 192, and a spread of 11; a block of text
/// has 1100, one of one byte 16384.
const TOO_UNEVEN: u32 = 1000;

/// A keyslot whose key material may be damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The keyslot.
    pub slot: KeyslotId,
    /// Where on the device the blocks start that are not noise.
    pub offsets: Vec<Bytes>,
    /// The area cannot be read.
    pub unreadable: bool,
}

/// Finds the blocks of an area that are not noise.
///
/// # Errors
/// The storage's.
pub(crate) fn uneven_blocks(storage: &mut dyn Storage, area: Range<u64>) -> Result<Vec<Bytes>> {
    const CHUNK: usize = 512 * BLOCK;
    let mut found = Vec::new();
    let mut bytes = vec![0; CHUNK];
    let mut at = area.start;
    while at < area.end {
        let len = (area.end - at).min(CHUNK as u64) as usize;
        storage
            .read_at(Bytes::new(at), &mut bytes[..len])
            .map_err(Error::io("read the keyslot area"))?;
        let blocks = bytes[..len].chunks_exact(BLOCK).zip((at..).step_by(BLOCK));
        found.extend(
            blocks
                .filter(|(block, _)| is_uneven(block))
                .map(|(_, at)| Bytes::new(at)),
        );
        at += len as u64;
    }
    Ok(found)
}

fn is_uneven(block: &[u8]) -> bool {
    let mut counts = [0u32; 256];
    for byte in block {
        counts[usize::from(*byte)] += 1;
    }
    counts.iter().map(|count| count * count).sum::<u32>() > TOO_UNEVEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn noise_is_even_and_what_people_write_is_not() {
        let mut memory = Memory::zeroed(1 << 20);
        getrandom::fill(&mut memory.0).expect("random bytes");
        let noise = |memory: &mut Memory| uneven_blocks(memory, 4096..1 << 20).expect("memory can be read");
        assert_eq!(noise(&mut memory), []);
        let text = b"The quick brown fox jumps over the lazy dog, and the dog, who has seen it all, goes on sleeping as if it had been nothing at all.";
        memory.0[8192..8192 + 128].copy_from_slice(&text[..128]);
        memory.0[100_096..100_096 + 128].fill(0);
        memory.0[200_064..200_128].fill(0xff);
        assert_eq!(noise(&mut memory), [8192, 100_096, 200_064].map(Bytes::new));
    }
}
