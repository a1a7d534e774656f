//! What a change has written, looked at once more when programs have ended that take no lock.
//!
//! One that has read the header before the change writes it back later: with its own keyslot, and the others as they were. The
//! key material of ours is then still there, and the header names another salt for it.

use super::format::{CHECKSUM, RawHeader, STATE_ACTIVE, same_volume_key};
use super::header::{Header, KeyslotState, read_raw};
use super::layout::Range;
use super::staged::checksum;
use crate::storage::Storage;
use crate::units::Bytes;
use crate::version::Version;
use crate::{Error, KeyslotId, Result};

/// Where the keyslots stand in the header, and how long each is.
const FIRST: usize = 208;
const LEN: usize = 48;

/// What was put back into a header that another program has written.
#[derive(Debug, Default)]
pub struct PutBack {
    /// The keyslots that the header names again.
    pub keyslots: Vec<KeyslotId>,
    /// Removed keyslots that the header named again, and does not name now: their key material is gone.
    pub removed: Vec<KeyslotId>,
    /// Those of `keyslots` where the other program had put a new keyslot of its own, whose key material is gone.
    pub overwritten: Vec<KeyslotId>,
    /// What could not be mended: [`Error::Overwritten`] with the first keyslot that is lost, or [`Error::ChangedMeanwhile`].
    pub problem: Option<Error>,
}

impl PutBack {
    /// Whether the header was written.
    pub fn wrote(&self) -> bool {
        !self.keyslots.is_empty() || !self.removed.is_empty()
    }
}

impl Header {
    /// Checks that the device still has what changed since `before`, or the whole header without it. Names a keyslot again if the
    /// device still has its key material, and removes a keyslot again if its area is still as wiped. Changes by other programs
    /// stay.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`]: it is the header of another volume key or of another layout, and nothing is written.
    /// [`Error::NotLuks`], [`Error::UnknownVersion`], [`Error::Io`].
    pub fn put_back(&self, storage: &mut dyn Storage, before: Option<&RawHeader>) -> Result<PutBack> {
        let mut there = read_raw(storage)?;
        if !same_volume_key(&there, &self.raw) || !same_layout(&there, &self.raw) {
            return Err(Error::ChangedMeanwhile);
        }
        let mut outcome = PutBack::default();
        if there.uuid != self.raw.uuid {
            outcome.problem = Some(Error::ChangedMeanwhile);
        }
        let (mut lost, mut unreadable, mut revived) = (None, None, Vec::new());
        for id in KeyslotId::all(Version::Luks1) {
            let slot = id.index();
            let ours = &self.raw.keyslots[slot];
            // One that was used in between has been written too.
            if self.written[slot].is_none() && before.is_some_and(|before| before.keyslots[slot] == *ours) {
                continue;
            }
            let named = there.keyslots[slot] == *ours;
            let as_before = before.map(|before| before.keyslots[slot] == there.keyslots[slot]);
            let as_written = match self.has_written(storage, slot) {
                Ok(as_written) => as_written,
                // The other keyslots can still be put back.
                Err(error) => {
                    unreadable = Some(error);
                    continue;
                }
            };
            match (self.keyslots[slot].state, as_before) {
                (KeyslotState::Inactive, _) if named => {}
                // Its area still holds random data from the wipe, so that no passphrase opens it.
                (KeyslotState::Inactive, Some(_)) if as_written == Some(true) => revived.push(id),
                // Another program has put a keyslot where one was removed.
                (KeyslotState::Inactive, Some(_)) => {}
                _ if named && as_written != Some(false) => {}
                _ if as_written == Some(true) => {
                    if as_before == Some(false) && there.keyslots[slot].state == STATE_ACTIVE {
                        outcome.overwritten.push(id);
                    }
                    self.name_again(storage, &mut there, slot)?;
                    outcome.keyslots.push(id);
                }
                _ => lost = lost.or(Some(id)),
            }
        }
        // After a loss, leave the header as the other program wrote it.
        if lost.is_none() && unreadable.is_none() {
            for id in revived {
                self.name_again(storage, &mut there, id.index())?;
                outcome.removed.push(id);
            }
        }
        if outcome.wrote() {
            storage.sync().map_err(Error::io("sync the LUKS1 header"))?;
        }
        outcome.problem = lost.map(Error::Overwritten).or(unreadable).or(outcome.problem);
        Ok(outcome)
    }

    /// Writes one keyslot's fields, and nothing else: the rest is what another program has just written.
    fn name_again(&self, storage: &mut dyn Storage, there: &mut RawHeader, slot: usize) -> Result<()> {
        there.keyslots[slot].clone_from(&self.raw.keyslots[slot]);
        let (bytes, at) = (there.to_bytes(), FIRST + slot * LEN);
        storage
            .write_at(Bytes::new(at as u64), &bytes[at..at + LEN])
            .map_err(Error::io("put a keyslot back into the LUKS1 header"))
    }

    /// Whether the area of a keyslot has what was written or wiped there; `None` where nothing was.
    fn has_written(&self, storage: &mut dyn Storage, slot: usize) -> Result<Option<bool>> {
        let Some(written) = self.written[slot] else {
            return Ok(None);
        };
        Ok(Some(self.area_checksum(storage, slot)? == written))
    }

    /// Remembers what an area was wiped with, if it can be read.
    pub(super) fn note_wiped(&mut self, storage: &mut dyn Storage, slot: KeyslotId) {
        let slot = slot.index();
        self.written[slot] = self.area_checksum(storage, slot).ok();
    }

    fn area_checksum(&self, storage: &mut dyn Storage, slot: usize) -> Result<[u8; CHECKSUM]> {
        let area = Range::of_slot(&self.raw, slot);
        let mut there = vec![0; area.len().to_usize().ok_or(Error::NoUsableKeyslot)?];
        storage
            .read_at(area.start, &mut there)
            .map_err(Error::io("read the keyslot area back"))?;
        Ok(checksum(&[], &there))
    }
}

fn same_layout(one: &RawHeader, other: &RawHeader) -> bool {
    let places = |raw: &RawHeader| raw.keyslots.each_ref().map(|slot| (slot.material_offset, slot.stripes));
    one.payload_offset == other.payload_offset && places(one) == places(other)
}
