//! What a change has written, looked at once more when programs have ended that take no lock.
//!
//! One that has read the header before the change writes it back later: with its own keyslot, and the others as they were. The
//! key material of ours is then still there, and the header names another salt for it.

use super::format::{KEYSLOTS, RawHeader};
use super::header::{Header, read_raw};
use super::layout::Range;
use super::staged::checksum;
use crate::storage::Storage;
use crate::units::Bytes;
use crate::{Error, Result};

/// Where the keyslots stand in the header, and how long each is.
const FIRST: usize = 208;
const LEN: usize = 48;

impl Header {
    /// Checks that the device still has what was changed since `before`, or all of the header where that is not given. A keyslot whose
    /// key material is what was written, and whose place in the header is not, is put back there; their numbers are returned. What
    /// others have changed stays.
    ///
    /// # Errors
    /// [`Error::Overwritten`] with the first keyslot that is lost, [`Error::ChangedMeanwhile`] where something else is another,
    /// [`Error::NotLuks`], [`Error::UnknownVersion`], [`Error::Io`].
    pub fn put_back(&self, storage: &mut dyn Storage, before: Option<&RawHeader>) -> Result<Vec<u32>> {
        let mut there = read_raw(storage)?;
        let mut beside = there.clone();
        beside.keyslots.clone_from(&self.raw.keyslots);
        if beside != self.raw {
            return Err(Error::ChangedMeanwhile);
        }
        let (mut back, mut lost) = (Vec::new(), None);
        for slot in 0..KEYSLOTS {
            let ours = &self.raw.keyslots[slot];
            if before.is_some_and(|before| before.keyslots[slot] == *ours) {
                continue;
            }
            let named = there.keyslots[slot] == *ours;
            match self.has_material(storage, slot)? {
                None | Some(true) if named => {}
                Some(true) => {
                    there.keyslots[slot].clone_from(ours);
                    let (bytes, at) = (there.to_bytes(), FIRST + slot * LEN);
                    // Nothing else: the rest is what somebody else has just written.
                    storage
                        .write_at(Bytes::new(at as u64), &bytes[at..at + LEN])
                        .map_err(Error::io("put a keyslot back into the LUKS1 header"))?;
                    back.push(slot as u32);
                }
                _ => lost = lost.or(Some(slot as u32)),
            }
        }
        if !back.is_empty() {
            storage.sync().map_err(Error::io("sync the LUKS1 header"))?;
        }
        match lost {
            Some(slot) => Err(Error::Overwritten(slot)),
            None => Ok(back),
        }
    }

    /// Whether the key material of a keyslot is what was written; `None` where none was.
    fn has_material(&self, storage: &mut dyn Storage, slot: usize) -> Result<Option<bool>> {
        let Some(written) = self.written[slot] else {
            return Ok(None);
        };
        let area = Range::of_slot(&self.raw, slot);
        let mut there = vec![0; area.len().to_usize().ok_or(Error::NoUsableKeyslot)?];
        storage
            .read_at(area.start, &mut there)
            .map_err(Error::io("read the keyslot area back"))?;
        Ok(Some(checksum(&[], &there) == written))
    }
}
