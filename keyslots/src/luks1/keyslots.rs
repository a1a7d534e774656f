//! Keyslots: open, add, change, remove. LUKS1 On-Disk Format 1.2.3, §4 "LUKS operations".
//!
//! The order of writes keeps keys from being lost, see each function. A header write changes one keyslot at a time,
//! since its two sectors may reach the disk without each other, and slot 6 lies across them.

use super::format::{
    DIGEST_LEN, RawHeader, RawKeyslot, SALT_LEN, STATE_ACTIVE, STATE_INACTIVE, STRIPES, same_volume_key,
};
use super::header::{Header, KeyslotState};
use super::layout::Range;
use super::staged::{self, Record};
use super::wrapped::WrappedKeyslot;
use crate::kdf::{CostLimits, Kdf};
use crate::material::{self, Wrapping};
use crate::secret::{Passphrase, Secret, VolumeKey};
use crate::storage::Storage;
use crate::unlocked::{Unfinished, Unlocked};
use crate::version::Version;
use crate::wipe::{Medium, wipe_random};
use crate::{Error, KeyslotId, Result};
use subtle::ConstantTimeEq;

/// The least iterations of PBKDF2 that are written, as in RFC 2898 and cryptsetup.
pub const MIN_ITERATIONS: u32 = 1000;

/// The destination of a changed passphrase.
#[derive(Clone, Copy, Debug)]
pub enum ChangeTo<'a> {
    /// To the first free keyslot; the old one is free then.
    FirstFree(&'a WrappedKeyslot),
    /// Back to its own keyslot, by way of the first free one.
    SameSlot {
        /// What is written to the first free keyslot; to its own, where none is free.
        new: &'a WrappedKeyslot,
        /// What is written to its own.
        back: &'a WrappedKeyslot,
    },
}

impl Header {
    /// Finds the keyslot that `passphrase` opens: `slot` where it is named, else the active ones in their order.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`]; [`Error::NoUsableKeyslot`] where none is active; [`Error::KeyslotInactive`] or
    /// [`Error::KeyslotOutOfRange`] for a named one. A keyslot whose derivation is refused or whose area cannot be read
    /// is skipped, and its error is returned if no other one opens.
    pub fn unlock(
        &self,
        storage: &mut dyn Storage,
        passphrase: &Passphrase,
        slot: Option<KeyslotId>,
        limits: &CostLimits,
    ) -> Result<Unlocked> {
        if let Some(slot) = slot {
            let keyslot = self.keyslot(slot).ok_or(Error::KeyslotOutOfRange(slot))?;
            if keyslot.state == KeyslotState::Inactive {
                return Err(Error::KeyslotInactive(slot));
            }
            return match self.open_keyslot(storage, passphrase, slot, limits) {
                Err(error) => self.open_staged(storage, passphrase, Some(slot), limits).ok_or(error),
                Ok(unlocked) => Ok(self.with_leftovers(storage, unlocked)),
            };
        }
        let mut failure = None;
        for slot in self.active_keyslots() {
            match self.open_keyslot(storage, passphrase, slot, limits) {
                Ok(unlocked) => return Ok(self.with_leftovers(storage, unlocked)),
                Err(Error::WrongPassphrase) => failure = failure.or(Some(Error::WrongPassphrase)),
                // The reason why a keyslot could not be tried says more than that another one did not open.
                Err(error) => {
                    failure = failure
                        .filter(|first| !matches!(first, Error::WrongPassphrase))
                        .or(Some(error))
                }
            }
        }
        let failure = failure.unwrap_or(Error::NoUsableKeyslot);
        self.open_staged(storage, passphrase, None, limits).ok_or(failure)
    }

    /// Says it where a change that is through, or can never be, has left its record.
    fn with_leftovers(&self, storage: &mut dyn Storage, mut unlocked: Unlocked) -> Unlocked {
        if staged::is_untidy(storage, &self.raw).unwrap_or(false) {
            unlocked.unfinished = Some(Box::new(Unfinished::Luks1Record));
        }
        unlocked
    }

    /// Tries the keys that an interrupted change left behind.
    fn open_staged(
        &self,
        storage: &mut dyn Storage,
        passphrase: &Passphrase,
        slot: Option<KeyslotId>,
        limits: &CostLimits,
    ) -> Option<Unlocked> {
        let waiting = staged::waiting(storage, &self.raw).unwrap_or_default().into_iter();
        waiting
            .filter(|record| slot.is_none_or(|slot| record.slot == slot))
            .find_map(|record| self.open_record(passphrase, record, limits).ok())
    }

    fn open_record(&self, passphrase: &Passphrase, record: Record, limits: &CostLimits) -> Result<Unlocked> {
        let spec = self.cipher_spec()?;
        if spec.is_null() {
            return Err(Error::WrongPassphrase);
        }
        let key_len = self.raw.key_bytes as usize;
        let area_key = self.area_key(passphrase, &record.salt, record.iterations, limits)?;
        let sealed = Secret::copy_from(&record.material).map_err(Error::io("get memory for key material"))?;
        let wrapping = Wrapping {
            cipher: &spec,
            af_hash: self.hash,
            stripes: material::spare_stripes(key_len),
        };
        let volume_key = wrapping.unseal(sealed, area_key.expose(), key_len)?;
        self.verify_volume_key(&volume_key, limits)?;
        let sealed = self.seal_with(&volume_key, &area_key, record.salt, record.iterations)?;
        Ok(Unlocked {
            keyslot: record.slot,
            volume_key,
            unfinished: Some(Box::new(Unfinished::Luks1(sealed))),
        })
    }

    /// Checks `key` against the volume key digest, in constant time.
    ///
    /// # Errors
    /// [`Error::WrongVolumeKey`], also where the length is wrong; [`Error::Kdf`].
    pub fn verify_volume_key(&self, key: &VolumeKey, limits: &CostLimits) -> Result<()> {
        if key.len() as u64 != self.key_size().get() {
            return Err(Error::WrongVolumeKey);
        }
        let mut digest = [0; DIGEST_LEN];
        let kdf = Kdf::Pbkdf2 {
            hash: self.hash,
            iterations: self.raw.mk_iterations,
        };
        kdf.derive(key.expose(), &self.raw.mk_salt, &mut digest, limits)?;
        if bool::from(digest.ct_eq(&self.raw.mk_digest)) {
            Ok(())
        } else {
            Err(Error::WrongVolumeKey)
        }
    }

    /// Adds a keyslot with what [`Header::seal`] made: as `slot`, or the first free one. Returns which.
    ///
    /// Writes the area, syncs, and then the header: until that is there, all is as it was.
    ///
    /// # Errors
    /// [`Error::AllKeyslotsFull`], [`Error::KeyslotFull`] (a keyslot in an invalid state counts as full),
    /// [`Error::KeyslotOutOfRange`]; [`Error::ChangedMeanwhile`], also where it was made for another volume key;
    /// [`Error::Overwritten`], [`Error::Io`].
    pub fn add_keyslot(
        &mut self,
        storage: &mut dyn Storage,
        slot: Option<KeyslotId>,
        sealed: &WrappedKeyslot,
    ) -> Result<KeyslotId> {
        let slot = self.free_keyslot(slot)?;
        if !same_volume_key(&self.raw, &sealed.made_for) {
            return Err(Error::ChangedMeanwhile);
        }
        self.settle(storage)?;
        staged::tidy(storage, &self.raw, Medium::Other)?;
        self.write_area(storage, slot, &sealed.material)?;
        self.activate(storage, slot, sealed)?;
        Ok(slot)
    }

    fn activate(&mut self, storage: &mut dyn Storage, slot: KeyslotId, sealed: &WrappedKeyslot) -> Result<()> {
        self.written[slot.index()] = Some(staged::checksum(&[], sealed.material.expose()));
        self.replace_keyslot(storage, slot, |keyslot| {
            keyslot.state = STATE_ACTIVE;
            keyslot.iterations = sealed.iterations;
            keyslot.salt = sealed.salt;
        })?;
        self.expect_material(storage, slot, &sealed.material)
    }

    /// Other programs take no lock: one that wrote at the same time may have chosen the same keyslot.
    fn expect_material(&self, storage: &mut dyn Storage, slot: KeyslotId, material: &Secret) -> Result<()> {
        let mut there = Secret::zeroed(material.len()).map_err(Error::io("get memory for key material"))?;
        storage
            .read_at(Range::of_slot(&self.raw, slot.index()).start, there.expose_mut())
            .map_err(Error::io("read the keyslot area back"))?;
        match there.ct_eq(material.expose()) {
            true => Ok(()),
            false => Err(Error::Overwritten(slot)),
        }
    }

    /// Changes the passphrase of keyslot `slot` to that of `to`, and returns the number of the keyslot that has it.
    ///
    /// The new keyslot is complete before the old one is touched. Where none is free, the new key is put behind the
    /// header before the keyslot is overwritten in place: see the module `staged`.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`]; [`Error::AllKeyslotsFull`] where the sectors behind the header are in use too; and
    /// those of [`Header::add_keyslot`].
    pub fn change_keyslot(
        &mut self,
        storage: &mut dyn Storage,
        slot: KeyslotId,
        to: ChangeTo<'_>,
        medium: Medium,
    ) -> Result<KeyslotId> {
        self.used_keyslot(slot)?;
        let (ChangeTo::FirstFree(new) | ChangeTo::SameSlot { new, .. }) = to;
        if self.free_keyslot(None).is_err() {
            self.change_in_place(storage, slot, new, medium)?;
            return Ok(slot);
        }
        let made = self.add_keyslot(storage, None, new)?;
        self.remove_keyslot(storage, slot, medium)?;
        let ChangeTo::SameSlot { back, .. } = to else {
            return Ok(made);
        };
        self.add_keyslot(storage, Some(slot), back)?;
        self.remove_keyslot(storage, made, medium)?;
        Ok(slot)
    }

    /// The keyslots whose change was interrupted and is not finished.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn unfinished_changes(&self, storage: &mut dyn Storage) -> Result<Vec<KeyslotId>> {
        let waiting = staged::waiting(storage, &self.raw)?;
        Ok(waiting.into_iter().map(|record| record.slot).collect())
    }

    /// Wipes the leftovers of changes that are finished, or can never be.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`], [`Error::Io`].
    pub fn tidy(&self, storage: &mut dyn Storage, medium: Medium) -> Result<()> {
        self.settle(storage)?;
        staged::tidy(storage, &self.raw, medium)
    }

    /// See [`crate::header::Header::finish_change`].
    pub(crate) fn finish(
        &mut self,
        storage: &mut dyn Storage,
        slot: KeyslotId,
        sealed: &WrappedKeyslot,
        medium: Medium,
    ) -> Result<()> {
        let waiting = staged::waiting(storage, &self.raw)?;
        match waiting.iter().any(|it| (it.slot, it.salt) == (slot, sealed.salt)) {
            true => self.change_in_place(storage, slot, sealed, medium),
            false => Ok(()),
        }
    }

    /// Overwrites keyslot `slot` once its new key is safe elsewhere.
    fn change_in_place(
        &mut self,
        storage: &mut dyn Storage,
        slot: KeyslotId,
        new: &WrappedKeyslot,
        medium: Medium,
    ) -> Result<()> {
        self.used_keyslot(slot)?;
        if !same_volume_key(&self.raw, &new.made_for) {
            return Err(Error::ChangedMeanwhile);
        }
        self.tidy(storage, medium)?;
        staged::put(storage, &self.raw, slot, new)?;
        let overwritten = (|| {
            if medium == Medium::Rotational {
                self.wipe_area(storage, slot, medium)?;
            }
            self.write_area(storage, slot, &new.material)?;
            self.activate(storage, slot, new)?;
            self.wipe_records(storage, slot, medium)
        })();
        overwritten.map_err(|error| Error::HalfWritten(error.into()))
    }

    /// Wipes the records for `slot`, and those for no keyslot any more.
    fn wipe_records(&self, storage: &mut dyn Storage, slot: KeyslotId, medium: Medium) -> Result<()> {
        let raw = &self.raw;
        staged::wipe(storage, raw, medium, |record| {
            record.slot == slot || !record.counts(raw)
        })
    }

    /// Destroys keyslot `slot`: wipes the leftovers of an interrupted change, then its area, syncs, and marks it inactive.
    /// The last keyslot can be destroyed too.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`], [`Error::KeyslotOutOfRange`], [`Error::ChangedMeanwhile`], [`Error::Io`].
    pub fn remove_keyslot(&mut self, storage: &mut dyn Storage, slot: KeyslotId, medium: Medium) -> Result<()> {
        self.used_keyslot(slot)?;
        self.settle(storage)?;
        self.wipe_records(storage, slot, medium)?;
        self.wipe_area(storage, slot, medium)?;
        self.note_wiped(storage, slot);
        self.replace_keyslot(storage, slot, deactivate)
    }

    /// Destroys all keyslots and returns the numbers of those that were in use. Afterwards nothing opens the volume.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`], [`Error::Io`].
    pub fn erase(&mut self, storage: &mut dyn Storage, medium: Medium) -> Result<Vec<KeyslotId>> {
        let used: Vec<KeyslotId> = KeyslotId::all(Version::Luks1)
            .zip(&self.keyslots)
            .filter(|(_, k)| k.state != KeyslotState::Inactive)
            .map(|(slot, _)| slot)
            .collect();
        self.settle(storage)?;
        staged::wipe(storage, &self.raw, medium, |_| true)?;
        let mut raw = self.raw.clone();
        for &slot in &used {
            self.wipe_area(storage, slot, medium)?;
            self.note_wiped(storage, slot);
            deactivate(&mut raw.keyslots[slot.index()]);
        }
        self.replace(storage, raw)?;
        Ok(used)
    }

    /// The first free keyslot, or `slot` where that is free.
    ///
    /// # Errors
    /// Those of [`Header::add_keyslot`].
    pub fn free_keyslot(&self, slot: Option<KeyslotId>) -> Result<KeyslotId> {
        let Some(slot) = slot else {
            let mut keyslots = KeyslotId::all(Version::Luks1).zip(&self.keyslots);
            let free = keyslots.find(|(_, keyslot)| keyslot.state == KeyslotState::Inactive);
            return free.map(|(slot, _)| slot).ok_or(Error::AllKeyslotsFull);
        };
        match self.keyslot(slot).ok_or(Error::KeyslotOutOfRange(slot))?.state {
            KeyslotState::Inactive => Ok(slot),
            KeyslotState::Active | KeyslotState::Invalid(_) => Err(Error::KeyslotFull(slot)),
        }
    }

    fn used_keyslot(&self, slot: KeyslotId) -> Result<()> {
        match self.keyslot(slot).ok_or(Error::KeyslotOutOfRange(slot))?.state {
            KeyslotState::Inactive => Err(Error::KeyslotInactive(slot)),
            KeyslotState::Active | KeyslotState::Invalid(_) => Ok(()),
        }
    }

    /// Recovery of the volume key: derive the area key, decrypt the area, merge it, compare the digest.
    fn open_keyslot(
        &self,
        storage: &mut dyn Storage,
        passphrase: &Passphrase,
        slot: KeyslotId,
        limits: &CostLimits,
    ) -> Result<Unlocked> {
        let keyslot = self.keyslot(slot).ok_or(Error::KeyslotOutOfRange(slot))?;
        let spec = self.cipher_spec()?;
        // Any passphrase would open it, and its user would trust in it.
        if spec.is_null() && !passphrase.is_empty() {
            return Err(Error::WrongPassphrase);
        }
        let key_len = self.raw.key_bytes as usize;
        let area_key = self.area_key(passphrase, &keyslot.salt, keyslot.iterations, limits)?;
        let area = Range::of_slot(&self.raw, slot.index());
        let len = area.len().to_usize().ok_or(Error::NoUsableKeyslot)?;
        let mut sealed = Secret::zeroed(len).map_err(Error::io("get memory for key material"))?;
        storage
            .read_at(area.start, sealed.expose_mut())
            .map_err(Error::io("read the keyslot area"))?;
        let wrapping = Wrapping {
            cipher: &spec,
            af_hash: self.hash,
            stripes: STRIPES,
        };
        let volume_key = wrapping.unseal(sealed, area_key.expose(), key_len)?;
        match self.verify_volume_key(&volume_key, limits) {
            Ok(()) => Ok(Unlocked {
                keyslot: slot,
                volume_key,
                unfinished: None,
            }),
            Err(Error::WrongVolumeKey) => Err(Error::WrongPassphrase),
            Err(error) => Err(error),
        }
    }

    /// The other way round: key material for any keyslot. It derives a key, and needs no lock.
    ///
    /// # Errors
    /// [`Error::WrongVolumeKey`]; [`Error::BadParameter`] below [`MIN_ITERATIONS`] or where the cipher is the null
    /// cipher; [`Error::Kdf`], [`Error::Cipher`], [`Error::Io`] where there is no memory.
    pub fn seal(
        &self,
        volume_key: &VolumeKey,
        passphrase: &Passphrase,
        iterations: u32,
        limits: &CostLimits,
    ) -> Result<WrappedKeyslot> {
        self.verify_volume_key(volume_key, limits)?;
        check_iterations("keyslot iterations", iterations)?;
        let spec = self.cipher_spec()?;
        if spec.is_null() {
            return Err(Error::BadParameter {
                field: "cipher",
                value: spec.to_string(),
                rule: "a keyslot that encrypts nothing is never made",
            });
        }
        let mut salt = [0; SALT_LEN];
        getrandom::fill(&mut salt)
            .map_err(std::io::Error::from)
            .map_err(Error::io("get random bytes for a salt"))?;
        let area_key = self.area_key(passphrase, &salt, iterations, limits)?;
        self.seal_with(volume_key, &area_key, salt, iterations)
    }

    fn seal_with(
        &self,
        volume_key: &VolumeKey,
        area_key: &Secret,
        salt: [u8; SALT_LEN],
        iterations: u32,
    ) -> Result<WrappedKeyslot> {
        let spec = self.cipher_spec()?;
        let (key, spare) = (volume_key.expose(), material::spare_stripes(volume_key.len()));
        // Under the same key, but the encrypted data are random in both.
        let seal = |stripes| {
            let wrapping = Wrapping {
                cipher: &spec,
                af_hash: self.hash,
                stripes,
            };
            wrapping.seal(key, area_key.expose())
        };
        Ok(WrappedKeyslot {
            material: seal(STRIPES)?,
            spare: seal(spare)?,
            salt,
            iterations,
            made_for: Box::new(self.raw.clone()),
        })
    }

    fn area_key(
        &self,
        passphrase: &Passphrase,
        salt: &[u8; SALT_LEN],
        iterations: u32,
        limits: &CostLimits,
    ) -> Result<Secret> {
        let len = self.raw.key_bytes as usize;
        let mut area_key = Secret::zeroed(len).map_err(Error::io("get memory for an area key"))?;
        let kdf = Kdf::Pbkdf2 {
            hash: self.hash,
            iterations,
        };
        kdf.derive(passphrase.expose(), salt, area_key.expose_mut(), limits)?;
        Ok(area_key)
    }

    fn write_area(&self, storage: &mut dyn Storage, slot: KeyslotId, sealed: &Secret) -> Result<()> {
        let area = Range::of_slot(&self.raw, slot.index());
        storage
            .write_at(area.start, sealed.expose())
            .map_err(Error::io("write the keyslot area"))?;
        storage.sync().map_err(Error::io("sync the keyslot area"))
    }

    fn wipe_area(&self, storage: &mut dyn Storage, slot: KeyslotId, medium: Medium) -> Result<()> {
        let area = Range::of_slot(&self.raw, slot.index());
        wipe_random(storage, area.start, area.len(), medium)
    }

    fn replace_keyslot(
        &mut self,
        storage: &mut dyn Storage,
        slot: KeyslotId,
        change: impl FnOnce(&mut RawKeyslot),
    ) -> Result<()> {
        let mut raw: RawHeader = self.raw.clone();
        change(
            raw.keyslots
                .get_mut(slot.index())
                .ok_or(Error::KeyslotOutOfRange(slot))?,
        );
        self.replace(storage, raw)
    }
}

pub(super) fn check_iterations(field: &'static str, iterations: u32) -> Result<()> {
    match iterations {
        MIN_ITERATIONS.. => Ok(()),
        _ => Err(Error::BadParameter {
            field,
            value: iterations.to_string(),
            rule: "at least 1000 are needed",
        }),
    }
}

/// A free keyslot as cryptsetup writes it: offset and stripes stay.
pub(super) fn deactivate(keyslot: &mut RawKeyslot) {
    keyslot.state = STATE_INACTIVE;
    keyslot.iterations = 0;
    keyslot.salt = [0; SALT_LEN];
}
