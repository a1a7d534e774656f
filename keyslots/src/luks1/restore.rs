//! The order in which a backup is written over a LUKS1 header, so that a stop at any write costs no key.
//!
//! Keyslot by keyslot. What a keyslot of the backup holds goes into a spare one, which is in use in only one of the two
//! headers, or in neither; then the header names it there, the keyslot itself is overwritten, and the header names it in its
//! place. So each keyslot that both headers use opens with the old or the new passphrase at every moment. Where both use all
//! eight, there is nowhere to go: the one that is being written may be lost, the others open. The spare is free in the header
//! while it is written, so that a restore after a stop finds it again.
//!
//! If the volume key is another one, the digest changes with the keyslots. The first sector of a header has the digest and
//! the keyslots 0 to 5, and is written whole or not at all: it switches from the old header to one key of the backup, which
//! stands in one of these. Of all the keyslots of both, a stop behind that may leave this one alone.
//!
//! The bytes between header and key material come last: a passphrase in a record there (see the module `staged`) is valid
//! until its keyslot is restored.

use super::backup::{AtRisk, copy, is_active, is_there};
use super::format::{HEADER_LEN, KEYSLOTS, RawHeader, RawKeyslot, STATE_INACTIVE, same_volume_key};
use super::header::write_raw;
use super::keyslots::deactivate;
use super::layout::{AREA_ALIGNMENT, Range};
use super::staged;
use crate::storage::Storage;
use crate::units::Bytes;
use crate::{Error, Result};

/// The keyslots before this one lie in the first sector with the digest.
const IN_FIRST_SECTOR: usize = 6;

/// A restore of a backup over the header of a device.
pub(super) struct Restoring<'a> {
    pub(super) backup: &'a RawHeader,
    /// The header on the device.
    pub(super) now: RawHeader,
    pub(super) file: &'a mut dyn Storage,
    pub(super) device: &'a mut dyn Storage,
}

/// Which key of the backup comes in with its digest, and where.
struct Entry {
    source: usize,
    slot: usize,
}

/// A keyslot that takes what belongs into others for a while.
struct Spare {
    slot: usize,
    /// Whether what it holds now may be a key.
    costs: bool,
}

impl Restoring<'_> {
    /// The possible cost of a stop.
    pub(super) fn at_risk(&mut self) -> Result<AtRisk> {
        if !(0..KEYSLOTS).any(|slot| is_active(&self.now, slot)) {
            return Ok(AtRisk::Nothing);
        }
        // In a backup of a change that was interrupted, the key that waits comes after the keyslot that it is for.
        let waiting = self.waited_for()?.len();
        if waiting > 1 || !self.is_by_keyslot()? {
            return Ok(AtRisk::Header);
        }
        if !same_volume_key(self.backup, &self.now) {
            return Ok(AtRisk::AllButOne);
        }
        let costs =
            self.copy()?.is_none() && !self.changed()?.is_empty() && self.spare().is_none_or(|spare| spare.costs);
        Ok(match (costs, waiting) {
            (false, 0) => AtRisk::Nothing,
            (true, 1) => AtRisk::Header,
            _ => AtRisk::OneKeyslot,
        })
    }

    /// Writes everything except what is behind `end`.
    pub(super) fn run(mut self, end: Bytes) -> Result<()> {
        if self.is_by_keyslot()? {
            // As it was read: a sync that failed before may have left it in a cache alone, and never written it.
            write_raw(self.device, &self.now)?;
            self.restore_keyslots()?;
            // While the header still names what is dropped: it would not be missed where a stop leaves its key material.
            for slot in (0..KEYSLOTS).filter(|slot| !is_active(self.backup, *slot)) {
                self.put_material(slot, slot)?;
            }
        } else {
            self.copy_rest(end, &[])?;
        }
        // In the one case all keys are there; in the other all key material, which no header names yet.
        write_raw(self.device, self.backup)?;
        let active = (0..KEYSLOTS).filter(|slot| is_active(self.backup, *slot));
        let live: Vec<Range> = active.map(|slot| self.area(slot)).collect();
        self.copy_rest(end, &live)
    }

    /// Whether the keyslots lie at the same places, and there is one to come.
    fn is_by_keyslot(&mut self) -> Result<bool> {
        Ok(
            (0..KEYSLOTS).all(|slot| self.area(slot) == Range::of_slot(&self.now, slot))
                && (0..KEYSLOTS).any(|slot| is_active(self.backup, slot))
                && (same_volume_key(self.backup, &self.now) || self.entry()?.is_some()),
        )
    }

    fn restore_keyslots(&mut self) -> Result<()> {
        if !same_volume_key(self.backup, &self.now) {
            self.switch_volume_key()?;
        }
        let copy = self.copy()?;
        if let Some((_, source)) = copy {
            self.put(source, source)?;
        }
        let spare = copy.map(|(slot, _)| slot);
        let spare = spare.or_else(|| self.spare().map(|spare| spare.slot));
        let changed = self.changed()?;
        for slot in changed.into_iter().filter(|slot| Some(*slot) != spare) {
            if let Some(spare) = spare {
                self.put_into_spare(slot, spare)?;
            }
            self.put(slot, slot)?;
        }
        for slot in (0..KEYSLOTS).filter(|slot| is_active(self.backup, *slot)) {
            if Some(slot) == spare {
                self.put_into_spare(slot, slot)?;
            } else {
                self.put(slot, slot)?;
            }
        }
        Ok(())
    }

    /// Has the header name the volume key of the backup, and one keyslot for it.
    fn switch_volume_key(&mut self) -> Result<()> {
        let Some(Entry { source, slot }) = self.entry()? else {
            return Ok(());
        };
        self.put_material(source, slot)?;
        let mut next = self.backup.clone();
        next.keyslots.iter_mut().for_each(deactivate);
        next.keyslots[slot] = self.keyslot(source, slot);
        // The second sector stays as it is: the two may not reach the disk together.
        let open_nothing = next.keyslots.clone();
        next.keyslots[IN_FIRST_SECTOR..].clone_from_slice(&self.now.keyslots[IN_FIRST_SECTOR..]);
        self.write(next.clone())?;
        next.keyslots = open_nothing;
        self.write(next)
    }

    /// Which keyslot of the backup comes first where the volume key changes, and where it goes: best to where it stays, and
    /// over nothing that opens. Not one for which a key waits: it may be half overwritten.
    fn entry(&mut self) -> Result<Option<Entry>> {
        let waited_for = self.waited_for()?;
        let opens = |slot: &usize| is_active(self.backup, *slot) && !waited_for.contains(slot);
        let slots = || 0..IN_FIRST_SECTOR;
        let is_free = |slot: &usize| self.is_free(*slot);
        let slot = slots()
            .find(|slot| is_free(slot) && opens(slot))
            .or_else(|| slots().find(is_free))
            .or_else(|| slots().find(|slot| !is_active(&self.now, *slot)))
            .or_else(|| slots().find(opens))
            .unwrap_or(0);
        let source = Some(slot).filter(opens).or_else(|| (0..KEYSLOTS).find(opens));
        Ok(source.map(|source| Entry { source, slot }))
    }

    /// Keyslots of the backup for which a key waits there.
    fn waited_for(&mut self) -> Result<Vec<usize>> {
        let waiting = staged::waiting(self.file, self.backup)?;
        Ok(waiting.iter().map(|record| record.slot.index()).collect())
    }

    /// Keyslots that are in use in both headers, and hold other keys: where the key material is the backup's already,
    /// nothing else opens.
    fn changed(&mut self) -> Result<Vec<usize>> {
        let mut changed = Vec::new();
        for slot in 0..KEYSLOTS {
            let in_both = is_active(self.backup, slot) && is_active(&self.now, slot);
            if in_both && !self.has_material(slot, slot)? {
                changed.push(slot);
            }
        }
        Ok(changed)
    }

    /// A keyslot that is not in use in both headers: one that both leave free, if there is one.
    fn spare(&self) -> Option<Spare> {
        let slots = || 0..KEYSLOTS;
        let is_free = |slot: &usize| self.is_free(*slot);
        let only_there = |slot: &usize| is_active(&self.now, *slot) && !is_active(self.backup, *slot);
        let harmless = slots()
            .find(|slot| is_free(slot) && !is_active(self.backup, *slot))
            .or_else(|| slots().find(is_free))
            .or_else(|| slots().find(|slot| self.is_between_keys(*slot)));
        let costly = || {
            slots()
                .find(|slot| !is_active(&self.now, *slot))
                .or_else(|| slots().find(only_there))
        };
        let costs = harmless.is_none();
        harmless.or_else(costly).map(|slot| Spare { slot, costs })
    }

    fn is_free(&self, slot: usize) -> bool {
        self.now.keyslots[slot].state == STATE_INACTIVE
    }

    /// Whether a stop has left keyslot `slot` with the salt of another one of the backup over key material that it does not
    /// open. Of the salt of keyslot 6, which lies in two sectors, there may be one half.
    fn is_between_keys(&self, slot: usize) -> bool {
        let (head, tail) = self.now.keyslots[slot].salt.split_at(staged::SPLIT);
        (0..KEYSLOTS)
            .filter(|source| *source != slot && is_active(self.backup, *source))
            .map(|source| self.backup.keyslots[source].salt.split_at(staged::SPLIT))
            .any(|(ours, theirs)| head == ours || tail == theirs)
    }

    /// A keyslot whose contents belong into another one, and which, as left behind by an interrupted restore.
    fn copy(&mut self) -> Result<Option<(usize, usize)>> {
        for slot in 0..KEYSLOTS {
            for source in (0..KEYSLOTS).filter(|source| *source != slot) {
                if is_active(self.backup, source) && self.holds(source, slot)? {
                    return Ok(Some((slot, source)));
                }
            }
        }
        Ok(None)
    }

    /// Whether keyslot `slot` on the device opens as `source` of the backup does.
    fn holds(&mut self, source: usize, slot: usize) -> Result<bool> {
        Ok(self.now.keyslots[slot] == self.keyslot(source, slot) && self.has_material(source, slot)?)
    }

    fn has_material(&mut self, source: usize, slot: usize) -> Result<bool> {
        let (material, at) = (self.material(source)?, self.area(slot).start);
        // Unreadable counts as missing: writing the sector may mend it.
        Ok(is_there(self.device, at, &material).unwrap_or(false))
    }

    /// As [`Self::put`], into a keyslot that nothing but a stop has left in use.
    fn put_into_spare(&mut self, source: usize, spare: usize) -> Result<()> {
        if !self.is_free(spare) && !self.holds(source, spare)? {
            let mut next = self.now.clone();
            deactivate(&mut next.keyslots[spare]);
            self.write(next)?;
        }
        self.put(source, spare)
    }

    /// Puts keyslot `source` of the backup into keyslot `slot`: the header names it when it is there.
    fn put(&mut self, source: usize, slot: usize) -> Result<()> {
        // What is in use already is not put at risk by writing it again. Of anything else it is not known that it has reached
        // the disk, even where it reads so.
        if self.holds(source, slot)? {
            return Ok(());
        }
        self.put_material(source, slot)?;
        let mut next = self.now.clone();
        next.keyslots[slot] = self.keyslot(source, slot);
        self.write(next)
    }

    fn put_material(&mut self, source: usize, slot: usize) -> Result<()> {
        let (material, to) = (self.material(source)?, self.area(slot).start);
        self.device
            .write_at(to, &material)
            .map_err(Error::io("restore the key material"))?;
        self.device.sync().map_err(Error::io("sync the restored key material"))
    }

    fn write(&mut self, next: RawHeader) -> Result<()> {
        if next != self.now {
            write_raw(self.device, &next)?;
            self.now = next;
        }
        Ok(())
    }

    /// What no header names any more, or yet; last of it what may wait for a keyslot.
    fn copy_rest(&mut self, end: Bytes, live: &[Range]) -> Result<()> {
        let header = Bytes::new(HEADER_LEN as u64);
        for (start, end) in [
            (header, staged::START),
            (AREA_ALIGNMENT, end),
            (staged::START, AREA_ALIGNMENT.min(end)),
        ] {
            copy(self.file, self.device, Range { start, end }, live)?;
            self.device
                .sync()
                .map_err(Error::io("sync the restored key material"))?;
        }
        Ok(())
    }

    fn material(&mut self, source: usize) -> Result<Vec<u8>> {
        let area = self.area(source);
        let mut material = vec![0; area.len().to_usize().ok_or(Error::NoUsableKeyslot)?];
        self.file
            .read_at(area.start, &mut material)
            .map_err(Error::io("read the header backup"))?;
        Ok(material)
    }

    /// Keyslot `source` of the backup, in the place of `slot`.
    fn keyslot(&self, source: usize, slot: usize) -> RawKeyslot {
        RawKeyslot {
            material_offset: self.backup.keyslots[slot].material_offset,
            ..self.backup.keyslots[source].clone()
        }
    }

    fn area(&self, slot: usize) -> Range {
        Range::of_slot(self.backup, slot)
    }
}
