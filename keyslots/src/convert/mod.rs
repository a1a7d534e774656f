//! From LUKS1 to LUKS2 and back, so that a stop at any write leaves a header that opens with every passphrase.
//!
//! Each way prepares everything that the new header needs beside the old one, and then changes which of the two is read
//! with the write of a single sector. A valid LUKS1 header wins over the secondary copy of a LUKS2 header, and a damaged
//! LUKS2 primary loses to it. Not for: reencryption; the volume key and the data stay what they are.

mod refused;
mod to_luks1;
mod to_luks2;

pub use refused::ConvertRefused;
pub use to_luks1::to_luks1;
pub use to_luks2::to_luks2;

use crate::storage::Storage;
use crate::units::{Bytes, SECTOR_SIZE};
use crate::{Error, Result};

/// Writes the one sector at `offset` and syncs it.
fn write_synced(storage: &mut dyn Storage, offset: Bytes, bytes: &[u8]) -> Result<()> {
    debug_assert!(bytes.len() as u64 <= SECTOR_SIZE, "only a sector is written as a whole");
    storage.write_at(offset, bytes).map_err(Error::io("write the header"))?;
    storage.sync().map_err(Error::io("sync the header"))
}

/// An area on the device: where it starts and ends, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    start: u64,
    end: u64,
}

impl Place {
    fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// The first place of `len` bytes, at a multiple of `alignment`, from `start` to `end`, that overlaps none of `taken`.
fn free_place(start: u64, end: u64, len: u64, alignment: u64, taken: &[Place]) -> Option<Place> {
    let mut at = start.checked_next_multiple_of(alignment)?;
    loop {
        let place = Place {
            start: at,
            end: at.checked_add(len)?,
        };
        if place.end > end {
            return None;
        }
        match taken
            .iter()
            .filter(|other| place.overlaps(**other))
            .map(|other| other.end)
            .max()
        {
            None => return Some(place),
            Some(after) => at = after.checked_next_multiple_of(alignment)?,
        }
    }
}

#[cfg(test)]
mod tests;
