//! In which order a backup is written over a LUKS1 header, so that a stop at any write costs no key.
//!
//! Keyslot by keyslot. What a keyslot of the backup holds goes into one that is in use in only one of the two headers, or in
//! neither; then the header names it there, the keyslot itself is overwritten, and the header names it in its place. So each
//! keyslot that both headers use opens with the old or the new passphrase at every moment. Where both use all eight, there is
//! nowhere to go: the one that is being written may be lost, the others open.
//!
//! Where the volume key is another one, the digest changes with the keyslots. The first sector of a header has the digest and
//! the keyslots 0 to 5, and is written whole or not at all: it switches from the old header to one key of the backup, which
//! stands in one of these.
//!
//! The bytes between header and key material come last: a passphrase that waits there (see the module `staged`) counts until
//! its keyslot is restored.

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

/// How one key of the backup comes in with its digest.
struct Entry {
    source: usize,
    slot: usize,
    /// Whether a key of the old header makes room for it.
    costs: bool,
}

impl Restoring<'_> {
    /// What a stop could cost.
    pub(super) fn at_risk(&mut self) -> Result<AtRisk> {
        if !(0..KEYSLOTS).any(|slot| is_active(&self.now, slot)) {
            return Ok(AtRisk::Nothing);
        }
        if !self.is_by_keyslot() {
            return Ok(AtRisk::Header);
        }
        // A backup of a change that was interrupted: the key that waits comes after the keyslot that it is for.
        if !staged::waiting(self.file, self.backup)?.is_empty() {
            return Ok(AtRisk::OneKeyslot);
        }
        let costs = match same_volume_key(self.backup, &self.now) {
            true => self.copy()?.is_none() && self.spare().is_none() && !self.changed()?.is_empty(),
            false => self.entry().is_none_or(|entry| entry.costs),
        };
        Ok(if costs { AtRisk::OneKeyslot } else { AtRisk::Nothing })
    }

    /// Writes all but what lies behind `end`.
    pub(super) fn run(mut self, end: Bytes) -> Result<()> {
        if self.is_by_keyslot() {
            self.restore_keyslots()?;
        } else {
            self.copy_rest(end)?;
        }
        // In the one case all keys are there; in the other all key material, which no header names yet.
        write_raw(self.device, self.backup)?;
        self.copy_rest(end)
    }

    /// Whether the keyslots lie at the same places, and there is one to come.
    fn is_by_keyslot(&self) -> bool {
        (0..KEYSLOTS).all(|slot| self.area(slot) == Range::of_slot(&self.now, slot))
            && (0..KEYSLOTS).any(|slot| is_active(self.backup, slot))
    }

    fn restore_keyslots(&mut self) -> Result<()> {
        if !same_volume_key(self.backup, &self.now) {
            self.switch_volume_key()?;
        }
        let copy = self.copy()?;
        if let Some((_, source)) = copy {
            self.put(source, source)?;
        }
        let spare = copy.map(|(slot, _)| slot).or_else(|| self.spare());
        let changed = self.changed()?;
        for slot in changed.into_iter().filter(|slot| Some(*slot) != spare) {
            if let Some(spare) = spare {
                self.put(slot, spare)?;
            }
            self.put(slot, slot)?;
        }
        for slot in (0..KEYSLOTS).filter(|slot| is_active(self.backup, *slot)) {
            self.put(slot, slot)?;
        }
        Ok(())
    }

    /// Lets the header name the volume key of the backup, and one keyslot for it.
    fn switch_volume_key(&mut self) -> Result<()> {
        let Some(Entry { source, slot, .. }) = self.entry() else {
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
    /// over nothing that opens.
    fn entry(&self) -> Option<Entry> {
        let any = (0..KEYSLOTS).find(|slot| is_active(self.backup, *slot))?;
        let slots = || 0..IN_FIRST_SECTOR;
        let is_free = |slot: &usize| self.now.keyslots[*slot].state == STATE_INACTIVE;
        let is_home = |slot: &usize| is_active(self.backup, *slot);
        let opens_nothing = |slot: &usize| !is_active(&self.now, *slot);
        let slot = slots()
            .find(|slot| is_free(slot) && is_home(slot))
            .or_else(|| slots().find(is_free))
            .or_else(|| slots().find(opens_nothing))
            .or_else(|| slots().find(is_home))
            .unwrap_or(0);
        Some(Entry {
            source: if is_home(&slot) { slot } else { any },
            slot,
            costs: !opens_nothing(&slot),
        })
    }

    /// Keyslots that are in use in both headers, and differ.
    fn changed(&mut self) -> Result<Vec<usize>> {
        let mut changed = Vec::new();
        for slot in 0..KEYSLOTS {
            let in_both = is_active(self.backup, slot) && is_active(&self.now, slot);
            if in_both && !self.holds(slot, slot)? {
                changed.push(slot);
            }
        }
        Ok(changed)
    }

    /// A keyslot that is not in use in both headers: one that both leave free, if there is one.
    fn spare(&self) -> Option<usize> {
        let slots = || 0..KEYSLOTS;
        let is_free = |slot: &usize| self.now.keyslots[*slot].state == STATE_INACTIVE;
        slots()
            .find(|slot| is_free(slot) && !is_active(self.backup, *slot))
            .or_else(|| slots().find(is_free))
            .or_else(|| slots().find(|slot| is_active(&self.now, *slot) && !is_active(self.backup, *slot)))
    }

    /// A keyslot that holds what belongs into another one, and which, as an interrupted restore leaves it.
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
        if self.now.keyslots[slot] != self.keyslot(source, slot) {
            return Ok(false);
        }
        let material = self.material(source)?;
        let at = self.area(slot).start;
        is_there(self.device, at, &material)
    }

    /// Puts keyslot `source` of the backup into keyslot `slot`: the header names it when it is there.
    fn put(&mut self, source: usize, slot: usize) -> Result<()> {
        self.put_material(source, slot)?;
        let mut next = self.now.clone();
        next.keyslots[slot] = self.keyslot(source, slot);
        self.write(next)
    }

    fn put_material(&mut self, source: usize, slot: usize) -> Result<()> {
        let (material, to) = (self.material(source)?, self.area(slot).start);
        // What is there is on the disk, and not put at risk by writing it again.
        if is_there(self.device, to, &material)? {
            return Ok(());
        }
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
    fn copy_rest(&mut self, end: Bytes) -> Result<()> {
        let header = Bytes::new(HEADER_LEN as u64);
        for (start, end) in [
            (header, staged::START),
            (AREA_ALIGNMENT, end),
            (staged::START, AREA_ALIGNMENT.min(end)),
        ] {
            copy(self.file, self.device, start, end)?;
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
