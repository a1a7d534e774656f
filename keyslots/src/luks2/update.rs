//! A new header on a device, and the removal of keyslots. Each is safe against a kill at every write.
//!
//! What is removed is removed for its own sake: the key is destroyed first, and then the header forgets it. Not for: all other
//! changes, see [`super::transaction`].

use super::copies::{self, Encoded};
use super::keyslot::{Keyslot, KeyslotKind};
use super::{Header, staged};
use crate::storage::Storage;
use crate::units::Bytes;
use crate::version::Version;
use crate::wipe::{Medium, wipe_random, wipe_zeros};
use crate::{Error, KeyslotId, Result};

impl Header {
    /// Writes a new header where there was none: the place of the copies is cleared, the keyslots area filled with
    /// random bytes, so that nothing of an older volume can be opened again, and then the header is written.
    ///
    /// # Errors
    /// [`Error::DeviceTooSmall`], or the storage's.
    pub fn write_new(&mut self, storage: &mut dyn Storage, medium: Medium) -> Result<()> {
        let size = storage.size().map_err(Error::io("get the size of the header device"))?;
        let copies = self.copy.binary.hdr_size.checked_mul(2).unwrap_or(size);
        let end = self.size();
        if end > size {
            return Err(Error::DeviceTooSmall {
                size: size.get(),
                needed: end.get(),
            });
        }
        // A header that cannot be written must not cost any existing data.
        Encoded::new(&self.copy)?;
        wipe_zeros(storage, Bytes::ZERO, copies)?;
        wipe_random(storage, copies, self.copy.metadata.config.keyslots_size, medium)?;
        copies::forget_secondaries(storage, end)?;
        self.write(storage)
    }

    /// Destroys keyslot `slot`: first its key material, then its entry in the header. Tokens forget it; a key that an
    /// interrupted change left in one is destroyed before all else.
    ///
    /// # Errors
    /// [`Error::NeededByReencryption`] where it is the last one for a key of data in reencryption; those of
    /// [`Header::destroy_keyslot`].
    pub fn remove_keyslot(&mut self, storage: &mut dyn Storage, slot: KeyslotId, medium: Medium) -> Result<()> {
        match self.is_needed(slot) {
            true => Err(Error::NeededByReencryption),
            false => self.destroy_keyslot(storage, slot, medium),
        }
    }

    /// Whether a reencryption has begun, and no other keyslot that can be opened here holds the one of its keys that this one holds.
    pub fn is_needed(&self, slot: KeyslotId) -> bool {
        let metadata = self.metadata();
        let can_open = |id: &KeyslotId| metadata.keyslots.get(id).is_some_and(Keyslot::is_known);
        // The segments are also those that the data will be.
        let of_key = metadata
            .digest_of_keyslot(slot)
            .filter(|(_, digest)| !digest.segments.is_empty());
        let is_last = of_key.is_some_and(|(_, digest)| !digest.keyslots.iter().any(|id| *id != slot && can_open(id)));
        self.in_reencryption() && is_last
    }

    /// As [`Header::remove_keyslot`], even if a reencryption is lost with the keyslot.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`]; [`Error::InReencryption`] for the keyslot that holds the state of one;
    /// [`Error::ChangedMeanwhile`], or the storage's.
    pub fn destroy_keyslot(&mut self, storage: &mut dyn Storage, slot: KeyslotId, medium: Medium) -> Result<()> {
        if !slot.fits(Version::Luks2) && !self.copy.metadata.keyslots.contains_key(&slot) {
            return Err(Error::KeyslotOutOfRange(slot));
        }
        match self.copy.metadata.keyslots.get(&slot) {
            Some(keyslot) if !matches!(keyslot.kind, KeyslotKind::Reencrypt(_)) => {}
            Some(_) => return Err(Error::InReencryption),
            None => return Err(Error::KeyslotInactive(slot)),
        }
        let mut before = self.copy.clone();
        staged::forget(&mut self.copy.metadata, slot);
        let mut begun = self.copy.metadata.tokens.len() != before.metadata.tokens.len();
        if begun {
            self.write(storage)
                .inspect_err(|_| self.restore_unless_written(&before))?;
            before = self.copy.clone();
        }
        let removed = self.copy.metadata.remove_keyslot(slot);
        let area = removed.ok_or(Error::KeyslotInactive(slot))?.area;
        let written = self.write_after(storage, |storage| {
            begun = true;
            wipe_random(storage, area.offset, area.size, medium)
        });
        let told = written.map_err(|error| match error {
            Error::Io { .. } if begun => Error::HalfWritten(error.into()),
            error => error,
        });
        told.inspect_err(|_| self.restore_unless_written(&before))
    }

    /// Destroys all keyslots that hold a key, and all leftovers of interrupted changes, also of keyslots that are gone.
    /// Returns the numbers of the keyslots.
    ///
    /// # Errors
    /// [`Error::NeededByReencryption`]; [`Error::ChangedMeanwhile`], or the storage's.
    pub fn erase(&mut self, storage: &mut dyn Storage, medium: Medium) -> Result<Vec<KeyslotId>> {
        match self.in_reencryption() {
            true => Err(Error::NeededByReencryption),
            false => self.destroy_keyslots(storage, medium),
        }
    }

    /// As [`Header::erase`], even if a reencryption is lost with the keyslots. Its state is not a key, and stays.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`], or the storage's.
    pub fn destroy_keyslots(&mut self, storage: &mut dyn Storage, medium: Medium) -> Result<Vec<KeyslotId>> {
        let keyslots = self.copy.metadata.keyslots.iter();
        let keys = keyslots.filter(|(_, keyslot)| !matches!(keyslot.kind, KeyslotKind::Reencrypt(_)));
        let slots: Vec<KeyslotId> = keys.map(|(&slot, _)| slot).collect();
        let before = self.copy.clone();
        // A stale copy may have members that the other lacks.
        if staged::forget_all(&mut self.copy.metadata) || slots.is_empty() {
            self.write(storage)
                .inspect_err(|_| self.restore_unless_written(&before))?;
        }
        for &slot in &slots {
            self.destroy_keyslot(storage, slot, medium)?;
        }
        Ok(slots)
    }
}
