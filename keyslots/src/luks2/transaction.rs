//! Changes of a header that reach the device together, or not at all.
//!
//! A [`Transaction`] stages key material and changes the metadata in memory; [`Transaction::commit`] writes them, in the one order
//! that survives a kill at any point:
//! 1. the new metadata are encoded and read back, the header on the device is still the one that was read, and both copies are good;
//! 2. key material goes into areas that no header names, and is synced;
//! 3. both copies of the header are written, one after the other;
//! 4. the areas that no keyslot has any more are wiped.
//!
//! A keyslot that has no room beside the old one is overwritten in place: between 2 and 3, and once its new key is safe in a token,
//! see `staged`. Not for: the removal of a keyslot for its own sake, where the key is destroyed first, see [`super::update`].

use std::collections::BTreeMap;

use super::copies::{Copy, Encoded};
use super::keyslot::{Area, Keyslot, KeyslotKind};
use super::unlock::{digest_matches, matching_digest};
use super::validate::KeyslotsArea;
use super::wrapped::WrappedKeyslot;
use super::{Digest, Header, MAX_DIGESTS, Metadata, areas, staged};
use crate::kdf::CostLimits;
use crate::secret::VolumeKey;
use crate::storage::Storage;
use crate::units::Bytes;
use crate::version::Version;
use crate::wipe::{Medium, wipe_random};
use crate::{Error, KeyslotId, Result};

/// Changes of a header that are written together; see [`Header::begin`].
#[derive(Debug)]
#[must_use = "nothing changes on the device before it is committed"]
pub struct Transaction<'a> {
    header: &'a mut Header,
    pub(super) next: Copy,
    /// Keyslots with areas that no header names yet.
    beside: Vec<(KeyslotId, &'a WrappedKeyslot)>,
    /// Keyslots that have no room beside what they replace.
    in_place: Vec<(KeyslotId, &'a WrappedKeyslot)>,
}

impl Header {
    /// Begins a change. Until it is committed, the header is as it was, here and on the device.
    ///
    /// # Errors
    /// [`Error::UnmetRequirements`], [`Error::InReencryption`].
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        self.check_changeable()?;
        let mut next = self.copy.clone();
        // Their numbers are free, and no write keeps them.
        next.metadata.digests.retain(|_, digest| !digest.is_unused());
        Ok(Transaction {
            header: self,
            next,
            beside: Vec::new(),
            in_place: Vec::new(),
        })
    }

    /// Whether a keyslot has room in the header. This is checked before a new header is written over another one.
    ///
    /// # Errors
    /// [`Error::NoRoomForKeyslot`].
    pub fn check_room(&self, sealed: &WrappedKeyslot) -> Result<()> {
        place(&self.copy, &self.copy, sealed).map(drop)
    }

    /// See [`crate::header::Header::finish_change`].
    pub(crate) fn finish(
        &mut self,
        storage: &mut dyn Storage,
        slot: KeyslotId,
        sealed: &WrappedKeyslot,
        medium: Medium,
    ) -> Result<()> {
        let waits = self.waits(slot, sealed);
        let mut transaction = self.begin()?;
        let old = transaction.next.metadata.keyslots.get(&slot).filter(|_| waits);
        match old.is_some_and(|old| old.key_size == sealed.key_size) {
            true => transaction.replace(slot, sealed, None)?,
            false => return Ok(()),
        }
        transaction.commit(storage, medium)
    }

    /// Whether the key of `sealed` is in a token for `slot`.
    fn waits(&self, slot: KeyslotId, sealed: &WrappedKeyslot) -> bool {
        staged::waiting(&self.copy.metadata, slot).any(|waiting| waiting.keyslot == sealed.slot)
    }
}

impl<'a> Transaction<'a> {
    /// The metadata with the changes so far.
    pub fn metadata(&self) -> &Metadata {
        &self.next.metadata
    }

    /// The number of a new keyslot: `slot`, or the first free one.
    ///
    /// # Errors
    /// [`Error::KeyslotOutOfRange`], [`Error::KeyslotFull`], [`Error::AllKeyslotsFull`].
    pub fn free_keyslot(&self, slot: Option<KeyslotId>) -> Result<KeyslotId> {
        let keyslots = &self.next.metadata.keyslots;
        match slot {
            Some(slot) if !slot.fits(Version::Luks2) => Err(Error::KeyslotOutOfRange(slot)),
            Some(slot) if keyslots.contains_key(&slot) => Err(Error::KeyslotFull(slot)),
            Some(slot) => Ok(slot),
            None => KeyslotId::all(Version::Luks2)
                .find(|slot| !keyslots.contains_key(slot))
                .ok_or(Error::AllKeyslotsFull),
        }
    }

    /// Adds `sealed`, which holds the data's `key`, as keyslot `slot` or the first free one, and returns its number.
    ///
    /// # Errors
    /// Those of [`Transaction::free_keyslot`]; [`Error::WrongVolumeKey`], [`Error::NoRoomForKeyslot`].
    pub fn add_keyslot(
        &mut self,
        slot: Option<KeyslotId>,
        sealed: &'a WrappedKeyslot,
        key: &VolumeKey,
        limits: &CostLimits,
    ) -> Result<KeyslotId> {
        let slot = self.free_keyslot(slot)?;
        let digest = matching_digest(&self.next.metadata, key, true, limits)?;
        let area = place(&self.header.copy, &self.next, sealed)?;
        Ok(self.insert(slot, sealed, area, digest))
    }

    /// Adds a keyslot with a key of its own, of which `sealed` and `digest` were made: as `slot`, or the first free one.
    /// Returns which.
    ///
    /// # Errors
    /// Those of [`Transaction::free_keyslot`]; [`Error::AllDigestsInUse`], [`Error::NoRoomForKeyslot`].
    pub fn add_unbound_keyslot(
        &mut self,
        slot: Option<KeyslotId>,
        sealed: &'a WrappedKeyslot,
        digest: Digest,
    ) -> Result<KeyslotId> {
        let slot = self.free_keyslot(slot)?;
        let digests = &self.next.metadata.digests;
        let free = (0..MAX_DIGESTS).find(|id| !digests.contains_key(id));
        let id = free.ok_or(Error::AllDigestsInUse)?;
        let area = place(&self.header.copy, &self.next, sealed)?;
        self.next.metadata.digests.insert(id, digest);
        Ok(self.insert(slot, sealed, area, id))
    }

    /// Adds a keyslot with the key that keyslot `other` has too, and of which `sealed` was made: as `slot`, or the first free one.
    /// Returns which.
    ///
    /// # Errors
    /// Those of [`Transaction::free_keyslot`]; [`Error::KeyslotInactive`] where there is no such keyslot, [`Error::NoRoomForKeyslot`].
    pub fn add_keyslot_beside(
        &mut self,
        other: KeyslotId,
        slot: Option<KeyslotId>,
        sealed: &'a WrappedKeyslot,
    ) -> Result<KeyslotId> {
        let slot = self.free_keyslot(slot)?;
        let digest = self.next.metadata.digest_of_keyslot(other);
        let (digest, _) = digest.ok_or(Error::KeyslotInactive(other))?;
        let area = place(&self.header.copy, &self.next, sealed)?;
        Ok(self.insert(slot, sealed, area, digest))
    }

    fn insert(&mut self, slot: KeyslotId, sealed: &'a WrappedKeyslot, area: Area, digest: u32) -> KeyslotId {
        let keyslot = Keyslot {
            kind: KeyslotKind::Luks2(sealed.slot.clone()),
            key_size: sealed.key_size,
            area,
            priority: sealed.priority,
            extra: Default::default(),
        };
        self.next.metadata.keyslots.insert(slot, keyslot);
        if let Some(digest) = self.next.metadata.digests.get_mut(&digest) {
            digest.keyslots.push(slot);
            digest.keyslots.sort_unstable();
        }
        self.beside.push((slot, sealed));
        slot
    }

    /// Gives keyslot `slot` the passphrase and the parameters of `sealed`, which was made of the key that the keyslot holds: of
    /// `key`. Its priority, tokens and digest stay.
    ///
    /// The new area is beside the old one, which is destroyed last; where it does not fit there, the new key waits in a token
    /// while the area is overwritten: at every moment the old or the new passphrase opens.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`]; [`Error::WrongVolumeKey`] where the keyslot holds another key;
    /// [`Error::NoRoomForKeyslot`] where the key material is longer than the area, too.
    pub fn change_keyslot(
        &mut self,
        slot: KeyslotId,
        sealed: &'a WrappedKeyslot,
        key: &VolumeKey,
        limits: &CostLimits,
    ) -> Result<()> {
        let metadata = &self.next.metadata;
        let old = metadata.keyslots.get(&slot).ok_or(Error::KeyslotInactive(slot))?;
        let holds_key = match metadata.digest_of_keyslot(slot) {
            Some((_, digest)) if old.key_size == sealed.key_size => digest_matches(digest, key, limits)?,
            _ => false,
        };
        if !holds_key {
            return Err(Error::WrongVolumeKey);
        }
        let area = match place(&self.header.copy, &self.next, sealed) {
            Err(Error::NoRoomForKeyslot { .. }) => None,
            placed => Some(placed?),
        };
        self.replace(slot, sealed, area)
    }

    /// Puts `sealed` into `area`, or into that of the keyslot which it replaces.
    fn replace(&mut self, slot: KeyslotId, sealed: &'a WrappedKeyslot, area: Option<Area>) -> Result<()> {
        if self
            .beside
            .iter()
            .chain(&self.in_place)
            .any(|(known, _)| *known == slot)
        {
            return Err(Error::BadParameter {
                field: "keyslot",
                value: slot.to_string(),
                rule: "it is already part of this transaction",
            });
        }
        let metadata = &mut self.next.metadata;
        let old = metadata.keyslots.get(&slot).ok_or(Error::KeyslotInactive(slot))?;
        // An area need not be whole sectors, and the bytes behind it may belong to another one.
        let needed = sealed.material.len() as u64;
        if area.is_none() && Bytes::new(needed) > old.area.size {
            return Err(Error::NoRoomForKeyslot { needed });
        }
        match area {
            Some(_) => self.beside.push((slot, sealed)),
            None => self.in_place.push((slot, sealed)),
        }
        let keyslot = Keyslot {
            kind: KeyslotKind::Luks2(sealed.slot.clone()),
            key_size: sealed.key_size,
            area: area.unwrap_or_else(|| old.area.clone()),
            priority: sealed.priority.or(old.priority),
            extra: old.extra.clone(),
        };
        staged::forget(metadata, slot);
        metadata.keyslots.insert(slot, keyslot);
        Ok(())
    }

    /// Writes all changes. A wipe, and an area that is overwritten in place, take as many passes as `medium` needs.
    ///
    /// # Errors
    /// [`Error::MetadataTooLarge`] or [`Error::AllTokensInUse`] where the changes, or the token of a change in place, do not fit;
    /// the [`super::Defect`] that a reader would find; [`Error::ChangedMeanwhile`], or the storage's: the header is as before
    /// then, here and on the device. [`Error::HalfWritten`] where the changes may be in force.
    pub fn commit(self, storage: &mut dyn Storage, medium: Medium) -> Result<()> {
        let before = self.header.copy.clone();
        let freed = freed(&before.metadata, &self.next.metadata);
        if self.in_place.is_empty() {
            let material = self.material();
            self.header.copy = self.next;
            let written = self
                .header
                .write_after(storage, |storage| write_areas(storage, &material));
            written.inspect_err(|_| self.header.restore_unless_written(&before))?;
        } else {
            self.write_in_place(storage, medium)?;
        }
        // Nothing names these areas any more: one that cannot be wiped leaves the others to be wiped.
        let mut outcome = Ok(());
        for area in freed {
            let wiped = wipe_random(storage, area.offset, area.size, medium);
            outcome = outcome.and(wiped.map_err(|error| Error::HalfWritten(error.into())));
        }
        outcome
    }

    /// The key material for areas that are free, and where it goes.
    fn material(&self) -> Vec<(Bytes, &'a WrappedKeyslot)> {
        let keyslots = &self.next.metadata.keyslots;
        let beside = self.beside.iter();
        beside
            .filter_map(|&(slot, sealed)| Some((keyslots.get(&slot)?.area.offset, sealed)))
            .collect()
    }

    /// Overwrites the areas of keyslots once their new keys are safe in tokens, which come with all other changes: the program
    /// that finishes an interrupted change does not know those.
    fn write_in_place(self, storage: &mut dyn Storage, medium: Medium) -> Result<()> {
        let material = self.material();
        let (header, mut last, changed) = (self.header, self.next, self.in_place);
        // If the token does not fit, fail before anything is overwritten.
        Encoded::new(&last)?;
        let before = header.copy.clone();
        if changed.iter().all(|(slot, sealed)| header.waits(*slot, sealed)) {
            // Both copies have it before the area is overwritten.
            header.settle(storage)?;
            write_areas(storage, &material)?;
        } else {
            header.copy = with_tokens(&before, &last, &changed)?;
            let written = header.write_after(storage, |storage| write_areas(storage, &material));
            written.inspect_err(|_| header.restore_unless_written(&before))?;
        }
        let between = header.copy.clone();
        last.binary.seqid = between.binary.seqid;
        let written = (|| {
            for (slot, sealed) in changed {
                let keyslot = last.metadata.keyslots.get(&slot);
                let area = &keyslot.ok_or(Error::KeyslotInactive(slot))?.area;
                if medium == Medium::Rotational {
                    wipe_random(storage, area.offset, area.size, medium)?;
                }
                write_areas(storage, &[(area.offset, sealed)])?;
            }
            header.copy = last;
            header.write(storage)
        })();
        written.map_err(|error| {
            header.restore_unless_written(&between);
            match error {
                done @ Error::HalfWritten(_) => done,
                error => Error::HalfWritten(error.into()),
            }
        })
    }
}

/// A place for `sealed` that neither the header on the device uses nor the next one.
fn place(now: &Copy, next: &Copy, sealed: &WrappedKeyslot) -> Result<Area> {
    let size = areas::area_size(sealed.key_size).ok_or(Error::NoUsableKeyslot)?;
    let bounds = KeyslotsArea::new(next.binary.hdr_size, next.metadata.config.keyslots_size);
    let keyslots = now.metadata.keyslots.values().chain(next.metadata.keyslots.values());
    let offset = bounds.and_then(|bounds| areas::find_gap(bounds, keyslots.map(|keyslot| &keyslot.area), size));
    Ok(Area {
        kind: "raw".into(),
        offset: offset.ok_or(Error::NoRoomForKeyslot { needed: size.get() })?,
        size,
        extra: Default::default(),
    })
}

/// The areas that no keyslot has any more. Those of one header do not overlap.
fn freed(before: &Metadata, next: &Metadata) -> Vec<Area> {
    let kept: BTreeMap<Bytes, &Area> = next
        .keyslots
        .values()
        .map(|keyslot| (keyslot.area.offset, &keyslot.area))
        .collect();
    let is_free = |area: &Area| {
        let last_before_its_end = kept.range(..area.end()).next_back();
        last_before_its_end.is_none_or(|(_, kept)| !kept.overlaps(area))
    };
    let areas = before.keyslots.values().map(|keyslot| &keyslot.area);
    areas.filter(|area| is_free(area)).cloned().collect()
}

/// The header `last` with the keyslots of `before` in place of those `changed`, whose keys wait in tokens.
fn with_tokens(before: &Copy, last: &Copy, changed: &[(KeyslotId, &WrappedKeyslot)]) -> Result<Copy> {
    let mut interim = last.clone();
    let of = |copy: &Copy, slot: KeyslotId| {
        let keyslot = copy.metadata.keyslots.get(&slot).cloned();
        keyslot.ok_or(Error::KeyslotInactive(slot))
    };
    for &(slot, _) in changed {
        // The priority changes now. Finishing the change later does not touch it.
        let priority = of(last, slot)?.priority;
        let keyslot = Keyslot {
            priority,
            ..of(before, slot)?
        };
        interim.metadata.keyslots.insert(slot, keyslot);
    }
    for &(slot, sealed) in changed {
        staged::put(&mut interim.metadata, slot, &of(last, slot)?, sealed)?;
    }
    Ok(interim)
}

/// Writes key material, and waits until it is safe.
fn write_areas(storage: &mut dyn Storage, material: &[(Bytes, &WrappedKeyslot)]) -> Result<()> {
    for (offset, sealed) in material {
        storage
            .write_at(*offset, sealed.material.expose())
            .map_err(Error::io("write the keyslot area"))?;
    }
    match material.is_empty() {
        true => Ok(()),
        false => storage.sync().map_err(Error::io("sync the keyslot area")),
    }
}
