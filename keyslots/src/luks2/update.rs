//! Changes of keyslots, and of the metadata with them. Each change is safe against a kill at every write.
//!
//! The order is always the same: new data are on the device before the header refers to them, and old data are destroyed
//! only when no header names them any more, except for a removal, where the key is destroyed first.

use super::copies::Encoded;
use super::create::new_digest;
use super::edit::Edit;
use super::keyslot::{Area, Keyslot, KeyslotKind};
use super::unlock::{NewKeyslot, Sealed, digest_matches};
use super::{Header, MAX_DIGESTS, MAX_KEYSLOTS, areas, staged};
use crate::hash::Hash;
use crate::kdf::CostLimits;
use crate::secret::{Passphrase, VolumeKey};
use crate::storage::Storage;
use crate::units::Bytes;
use crate::wipe::{Medium, wipe_random, wipe_zeros};
use crate::{Error, Result};

/// The key of a new keyslot.
#[derive(Clone, Copy, Debug)]
pub enum KeyFor {
    /// The key of the data, with its existing digest.
    Data,
    /// A key of its own, with a new digest of this hash and these iterations.
    Unbound(Hash, u32),
}

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
        super::copies::Encoded::new(&self.copy)?;
        wipe_zeros(storage, Bytes::ZERO, copies)?;
        wipe_random(storage, copies, self.copy.metadata.config.keyslots_size, medium)?;
        super::copies::forget_secondaries(storage, end)?;
        self.write(storage)
    }

    /// Adds a keyslot with `key` under `passphrase`: into `slot`, or the first free one. Returns which.
    ///
    /// # Errors
    /// Those of [`NewKeyslot::seal`] and [`Header::add_sealed`].
    #[allow(clippy::too_many_arguments)] // each is a different thing, and a struct would only rename them
    pub fn add_keyslot(
        &mut self,
        storage: &mut dyn Storage,
        key: &VolumeKey,
        passphrase: &Passphrase,
        new: &NewKeyslot,
        slot: Option<u32>,
        key_for: KeyFor,
        limits: &CostLimits,
    ) -> Result<u32> {
        self.check_changeable()?;
        self.free_keyslot(slot)?;
        let sealed = new.seal(passphrase, key, limits)?;
        self.add_sealed(storage, key, &sealed, slot, key_for, limits)
    }

    /// Whether a keyslot has room in the header. This is checked before a new header is written over another one.
    ///
    /// # Errors
    /// [`Error::NoRoomForKeyslot`].
    pub fn check_room(&self, sealed: &Sealed) -> Result<()> {
        self.place(sealed).map(|_| ())
    }

    /// Adds a keyslot that was made of `key`: into `slot`, or the first free one. Returns which.
    ///
    /// # Errors
    /// [`Error::KeyslotFull`], [`Error::AllKeyslotsFull`], [`Error::NoRoomForKeyslot`], [`Error::WrongVolumeKey`],
    /// [`Error::ChangedMeanwhile`], …; the header on the device is as before then. [`Error::HalfWritten`] where the
    /// keyslot may be in force anyway.
    pub fn add_sealed(
        &mut self,
        storage: &mut dyn Storage,
        key: &VolumeKey,
        sealed: &Sealed,
        slot: Option<u32>,
        key_for: KeyFor,
        limits: &CostLimits,
    ) -> Result<u32> {
        self.add_sealed_and(storage, key, sealed, slot, key_for, limits, |_, _| Ok(()))
    }

    /// As [`Header::add_sealed`], with the changes of `also` for the new keyslot in the same write.
    ///
    /// # Errors
    /// Those of [`Header::add_sealed`], and that of `also`, with which the header on the device is as before.
    #[allow(clippy::too_many_arguments)] // as for add_keyslot
    pub fn add_sealed_and<E: From<Error>>(
        &mut self,
        storage: &mut dyn Storage,
        key: &VolumeKey,
        sealed: &Sealed,
        slot: Option<u32>,
        key_for: KeyFor,
        limits: &CostLimits,
        also: impl FnOnce(&mut Edit<'_>, u32) -> std::result::Result<(), E>,
    ) -> std::result::Result<u32, E> {
        self.check_changeable()?;
        let slot = self.free_keyslot(slot)?;
        let (digest_id, new_digest) = match key_for {
            KeyFor::Data => (self.verify_volume_key(key, true, limits)?, None),
            KeyFor::Unbound(hash, iterations) => {
                let free = (0..MAX_DIGESTS).find(|id| !self.copy.metadata.digests.contains_key(id));
                let id = free.ok_or(Error::AllDigestsInUse)?;
                (id, Some(new_digest(key, hash, iterations, limits)?))
            }
        };
        let keyslot = self.place(sealed)?;
        self.change_with_area(storage, keyslot, sealed, |header, keyslot| {
            let metadata = &mut header.copy.metadata;
            metadata.keyslots.insert(slot, keyslot);
            if let Some(digest) = new_digest {
                metadata.digests.insert(digest_id, digest);
            }
            if let Some(digest) = metadata.digests.get_mut(&digest_id) {
                digest.keyslots.push(slot);
                digest.keyslots.sort_unstable();
            }
            also(&mut Edit::new(&mut header.copy), slot)
        })?;
        Ok(slot)
    }

    /// Gives keyslot `slot` another passphrase or other parameters. The key inside stays, and so do priority,
    /// tokens and digest.
    ///
    /// # Errors
    /// Those of [`NewKeyslot::seal`] and [`Header::change_sealed`].
    #[allow(clippy::too_many_arguments)] // as for add_keyslot
    pub fn change_keyslot(
        &mut self,
        storage: &mut dyn Storage,
        slot: u32,
        key: &VolumeKey,
        passphrase: &Passphrase,
        new: &NewKeyslot,
        medium: Medium,
        limits: &CostLimits,
    ) -> Result<()> {
        self.check_changeable()?;
        let sealed = new.seal(passphrase, key, limits)?;
        self.change_sealed(storage, slot, key, &sealed, medium, limits)
    }

    /// Puts a keyslot that was made of `key` in the place of keyslot `slot`, which holds the same key.
    ///
    /// The new area is written beside the old one, which is destroyed last; where it does not fit there, the new key waits
    /// in a token while the area is overwritten: at every moment the old or the new passphrase opens.
    ///
    /// # Errors
    /// [`Error::MetadataTooLarge`] or [`Error::AllTokensInUse`] where the token does not fit either.
    /// [`Error::WrongVolumeKey`] where the keyslot holds another key; [`Error::KeyslotInactive`],
    /// [`Error::ChangedMeanwhile`], or the storage's. [`Error::HalfWritten`] where the new passphrase may be in force,
    /// and the key material of the old one still there.
    pub fn change_sealed(
        &mut self,
        storage: &mut dyn Storage,
        slot: u32,
        key: &VolumeKey,
        sealed: &Sealed,
        medium: Medium,
        limits: &CostLimits,
    ) -> Result<()> {
        self.change_sealed_and(storage, slot, key, sealed, medium, limits, |_| Ok(()))
    }

    /// As [`Header::change_sealed`], with the changes of `also` in the same write, or in that of the token.
    ///
    /// # Errors
    /// Those of [`Header::change_sealed`] and of `also`.
    #[allow(clippy::too_many_arguments)] // as for add_keyslot
    pub fn change_sealed_and<E: From<Error>>(
        &mut self,
        storage: &mut dyn Storage,
        slot: u32,
        key: &VolumeKey,
        sealed: &Sealed,
        medium: Medium,
        limits: &CostLimits,
        also: impl FnOnce(&mut Edit<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.check_changeable()?;
        let metadata = &self.copy.metadata;
        let old = metadata
            .keyslots
            .get(&slot)
            .cloned()
            .ok_or(Error::KeyslotInactive(slot))?;
        let holds_key = match metadata.digest_of_keyslot(slot) {
            Some((_, digest)) if old.key_size == sealed.key_size => digest_matches(digest, key, limits)?,
            _ => false,
        };
        if !holds_key {
            return Err(Error::WrongVolumeKey.into());
        }
        let placed = match self.place(sealed) {
            Err(Error::NoRoomForKeyslot { .. }) => None,
            placed => Some(placed?.area),
        };
        let in_place = placed.is_none();
        let keyslot = Keyslot {
            kind: KeyslotKind::Luks2(sealed.slot.clone()),
            key_size: sealed.key_size,
            area: placed.unwrap_or_else(|| old.area.clone()),
            priority: sealed.priority.or(old.priority),
            extra: old.extra.clone(),
        };
        if in_place {
            return self.change_in_place(storage, slot, keyslot, sealed, medium, also);
        }
        self.change_with_area(storage, keyslot, sealed, |header, keyslot| {
            header.copy.metadata.keyslots.insert(slot, keyslot);
            staged::forget(&mut header.copy.metadata, slot);
            also(&mut Edit::new(&mut header.copy))
        })?;
        let wiped = wipe_random(storage, old.area.offset, old.area.size, medium);
        Ok(wiped.map_err(|error| Error::HalfWritten(error.into()))?)
    }

    /// See [`crate::header::Header::finish_change`].
    pub(crate) fn finish(
        &mut self,
        storage: &mut dyn Storage,
        slot: u32,
        sealed: &Sealed,
        medium: Medium,
    ) -> Result<()> {
        self.check_changeable()?;
        let waits = self.waits(slot, sealed);
        let old = self.copy.metadata.keyslots.get(&slot).filter(|_| waits);
        let Some(old) = old.filter(|old| old.key_size == sealed.key_size) else {
            return Ok(());
        };
        let keyslot = Keyslot {
            kind: KeyslotKind::Luks2(sealed.slot.clone()),
            priority: sealed.priority.or(old.priority),
            ..old.clone()
        };
        self.change_in_place(storage, slot, keyslot, sealed, medium, |_| Ok(()))
    }

    /// Whether the key of `sealed` is in a token for `slot`.
    fn waits(&self, slot: u32, sealed: &Sealed) -> bool {
        staged::waiting(&self.copy.metadata, slot).any(|waiting| waiting.keyslot == sealed.slot)
    }

    /// Overwrites the area of `slot` once its new key is safe in a token.
    fn change_in_place<E: From<Error>>(
        &mut self,
        storage: &mut dyn Storage,
        slot: u32,
        keyslot: Keyslot,
        sealed: &Sealed,
        medium: Medium,
        also: impl FnOnce(&mut Edit<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let before = self.copy.clone();
        let area = keyslot.area.clone();
        // An area need not be whole sectors, and the bytes behind it may belong to another one.
        let needed = sealed.material.len() as u64;
        if Bytes::new(needed) > area.size {
            return Err(Error::NoRoomForKeyslot { needed }.into());
        }
        // With the first write: the program that finishes an interrupted change does not know the other changes.
        let mut asked = before.clone();
        also(&mut Edit::new(&mut asked))?;
        let mut last = asked.clone();
        staged::forget(&mut last.metadata, slot);
        last.metadata.keyslots.insert(slot, keyslot.clone());
        // If the token does not fit, fail before anything is overwritten.
        Encoded::new(&last)?;
        if !self.waits(slot, sealed) {
            self.copy = asked;
            staged::put(&mut self.copy.metadata, slot, &keyslot, sealed)
                .and_then(|()| self.write(storage))
                .inspect_err(|_| self.restore_unless_written(&before))?;
        } else {
            // Both copies have it before the area is overwritten.
            self.settle(storage)?;
        }
        let between = self.copy.clone();
        last.binary.seqid = between.binary.seqid;
        let written = (|| {
            if medium == Medium::Rotational {
                wipe_random(storage, area.offset, area.size, medium)?;
            }
            storage
                .write_at(area.offset, sealed.material.expose())
                .map_err(Error::io("write the keyslot area"))?;
            storage.sync().map_err(Error::io("sync the keyslot area"))?;
            self.copy = last;
            self.write(storage)
        })();
        written.map_err(|error| {
            self.restore_unless_written(&between);
            match error {
                done @ Error::HalfWritten(_) => done.into(),
                error => Error::HalfWritten(error.into()).into(),
            }
        })
    }

    /// Destroys keyslot `slot`: first its key material, then its entry in the header. Tokens forget it; a key that an
    /// interrupted change left in one is destroyed before all else.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`]; [`Error::InReencryption`] for the keyslot that holds the state of one;
    /// [`Error::ChangedMeanwhile`], or the storage's.
    pub fn remove_keyslot(&mut self, storage: &mut dyn Storage, slot: u32, medium: Medium) -> Result<()> {
        if slot >= MAX_KEYSLOTS && !self.copy.metadata.keyslots.contains_key(&slot) {
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
        let metadata = &mut self.copy.metadata;
        let Some(keyslot) = metadata.keyslots.remove(&slot) else {
            return Err(Error::KeyslotInactive(slot));
        };
        let lists = metadata.tokens.values_mut().map(|token| &mut token.keyslots);
        for keyslots in lists.chain(metadata.digests.values_mut().map(|digest| &mut digest.keyslots)) {
            keyslots.retain(|&id| id != slot);
        }
        let area = keyslot.area;
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
    /// Returns the numbers of the keyslots. The state of a reencryption is not a key, and stays.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`], or the storage's.
    pub fn erase(&mut self, storage: &mut dyn Storage, medium: Medium) -> Result<Vec<u32>> {
        let keyslots = self.copy.metadata.keyslots.iter();
        let keys = keyslots.filter(|(_, keyslot)| !matches!(keyslot.kind, KeyslotKind::Reencrypt(_)));
        let slots: Vec<u32> = keys.map(|(&slot, _)| slot).collect();
        let before = self.copy.clone();
        // A stale copy may have members that the other lacks.
        if staged::forget_all(&mut self.copy.metadata) || slots.is_empty() {
            self.write(storage)
                .inspect_err(|_| self.restore_unless_written(&before))?;
        }
        for &slot in &slots {
            self.remove_keyslot(storage, slot, medium)?;
        }
        Ok(slots)
    }

    fn free_keyslot(&self, slot: Option<u32>) -> Result<u32> {
        let keyslots = &self.copy.metadata.keyslots;
        match slot {
            Some(slot) if slot >= MAX_KEYSLOTS => Err(Error::KeyslotOutOfRange(slot)),
            Some(slot) if keyslots.contains_key(&slot) => Err(Error::KeyslotFull(slot)),
            Some(slot) => Ok(slot),
            None => (0..MAX_KEYSLOTS)
                .find(|slot| !keyslots.contains_key(slot))
                .ok_or(Error::AllKeyslotsFull),
        }
    }

    /// Finds a gap for a sealed key. Nothing is written.
    fn place(&self, sealed: &Sealed) -> Result<Keyslot> {
        let size = areas::area_size(sealed.key_size).ok_or(Error::NoUsableKeyslot)?;
        let offset = areas::find_gap(&self.copy.metadata, self.copy.binary.hdr_size, size)?;
        let area = Area {
            kind: "raw".into(),
            offset,
            size,
            extra: Default::default(),
        };
        Ok(Keyslot {
            kind: KeyslotKind::Luks2(sealed.slot.clone()),
            key_size: sealed.key_size,
            area,
            priority: sealed.priority,
            extra: Default::default(),
        })
    }

    /// Changes the header in memory; then writes the area of `keyslot`, waits until it is safe there, and writes the
    /// header. On an error the header is as before, here and on the device, except for [`Error::HalfWritten`].
    fn change_with_area<E: From<Error>>(
        &mut self,
        storage: &mut dyn Storage,
        keyslot: Keyslot,
        sealed: &Sealed,
        change: impl FnOnce(&mut Self, Keyslot) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let before = self.copy.clone();
        let offset = keyslot.area.offset;
        let written = change(self, keyslot).and_then(|()| {
            Ok(self.write_after(storage, |storage| {
                storage
                    .write_at(offset, sealed.material.expose())
                    .map_err(Error::io("write the keyslot area"))?;
                storage.sync().map_err(Error::io("sync the keyslot area"))
            })?)
        });
        written.inspect_err(|_| self.restore_unless_written(&before))
    }
}
