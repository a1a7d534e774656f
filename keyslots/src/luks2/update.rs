//! What changes a header: keyslots, tokens, labels, flags. Each change is safe against a kill at every write.
//!
//! The order is always the same: what is new is on the device before the header says so, and what is old is destroyed
//! only when no header names it any more, save for a removal, where the key goes first.

use super::create::new_digest;
use super::format::{LABEL_LEN, UUID_LEN};
use super::keyslot::{Area, Keyslot, KeyslotKind, Priority};
use super::tokens::Token;
use super::unlock::{NewKeyslot, seal};
use super::{Header, MAX_KEYSLOTS, MAX_TOKENS, areas};
use crate::hash::Hash;
use crate::kdf::CostLimits;
use crate::secret::{Passphrase, Secret, VolumeKey};
use crate::storage::Storage;
use crate::units::Bytes;
use crate::wipe::{Medium, wipe_random, wipe_zeros};
use crate::{Error, Result};

/// Which key a new keyslot holds.
#[derive(Clone, Copy, Debug)]
pub enum KeyFor {
    /// The key of the data; its digest is looked for.
    Data,
    /// A key of its own, with a new digest of this hash and these iterations.
    Unbound(Hash, u32),
}

impl Header {
    /// Writes a new header where there was none: the place of the copies is cleared, the keyslots area filled with
    /// random bytes, so that nothing of an older volume can be opened again, and then the header written.
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
        wipe_zeros(storage, Bytes::ZERO, copies)?;
        wipe_random(storage, copies, self.copy.metadata.config.keyslots_size, medium)?;
        self.write(storage)
    }

    /// Adds a keyslot with `key` under `passphrase`: into `slot`, or the first free one. Returns which.
    ///
    /// # Errors
    /// [`Error::KeyslotFull`], [`Error::AllKeyslotsFull`], [`Error::NoRoomForKeyslot`], [`Error::WrongVolumeKey`], …;
    /// the header on the device is as before then.
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
        self.check_requirements()?;
        let slot = self.free_keyslot(slot)?;
        let (new_digest_id, digest) = match key_for {
            KeyFor::Data => (self.verify_volume_key(key, true, limits)?, None),
            KeyFor::Unbound(hash, iterations) => {
                let id = (0..)
                    .find(|id| !self.copy.metadata.digests.contains_key(id))
                    .unwrap_or(u32::MAX);
                (id, Some(new_digest(key, hash, iterations, limits)?))
            }
        };
        let keyslot = self.write_area(storage, key, passphrase, new, limits)?;

        let before = self.copy.clone();
        self.copy.metadata.keyslots.insert(slot, keyslot);
        let digests = &mut self.copy.metadata.digests;
        if let Some(digest) = digest {
            digests.insert(new_digest_id, digest);
        }
        if let Some(digest) = digests.get_mut(&new_digest_id) {
            digest.keyslots.push(slot);
            digest.keyslots.sort_unstable();
        }
        self.write(storage).inspect_err(|_| self.copy = before)?;
        Ok(slot)
    }

    /// Gives keyslot `slot` another passphrase or other parameters. The key inside stays, and so do priority,
    /// tokens and digest.
    ///
    /// The new area is written beside the old one, which is destroyed last: at every moment the old or the new
    /// passphrase opens.
    ///
    /// # Errors
    /// [`Error::NoRoomForKeyslot`] where the new area does not fit beside the old one: nothing is gambled with.
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
        self.check_requirements()?;
        let old = self
            .copy
            .metadata
            .keyslots
            .get(&slot)
            .cloned()
            .ok_or(Error::KeyslotInactive(slot))?;
        let mut keyslot = self.write_area(storage, key, passphrase, new, limits)?;
        keyslot.priority = new.priority.or(old.priority);
        keyslot.extra = old.extra.clone();

        let before = self.copy.clone();
        self.copy.metadata.keyslots.insert(slot, keyslot);
        self.write(storage).inspect_err(|_| self.copy = before)?;
        wipe_random(storage, old.area.offset, old.area.size, medium)
    }

    /// Destroys keyslot `slot`: first its key material, then its place in the header. Tokens forget it.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`], or the storage's.
    pub fn remove_keyslot(&mut self, storage: &mut dyn Storage, slot: u32, medium: Medium) -> Result<()> {
        if slot >= MAX_KEYSLOTS && !self.copy.metadata.keyslots.contains_key(&slot) {
            return Err(Error::KeyslotOutOfRange(slot));
        }
        let keyslot = self
            .copy
            .metadata
            .keyslots
            .get(&slot)
            .ok_or(Error::KeyslotInactive(slot))?;
        wipe_random(storage, keyslot.area.offset, keyslot.area.size, medium)?;
        let before = self.copy.clone();
        let metadata = &mut self.copy.metadata;
        metadata.keyslots.remove(&slot);
        let lists = metadata.tokens.values_mut().map(|token| &mut token.keyslots);
        for keyslots in lists.chain(metadata.digests.values_mut().map(|digest| &mut digest.keyslots)) {
            keyslots.retain(|&id| id != slot);
        }
        metadata.digests.retain(|_, digest| !digest.is_unused());
        self.write(storage).inspect_err(|_| self.copy = before)
    }

    /// Sets the priority of a keyslot.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`], or the storage's.
    pub fn set_priority(&mut self, storage: &mut dyn Storage, slot: u32, priority: Priority) -> Result<()> {
        self.change(storage, |header| {
            let keyslot = header
                .copy
                .metadata
                .keyslots
                .get_mut(&slot)
                .ok_or(Error::KeyslotInactive(slot))?;
            // The reference leaves a normal priority unsaid.
            keyslot.priority = (priority != Priority::Normal).then_some(priority);
            Ok(())
        })
    }

    /// Sets label and subsystem; `None` leaves one as it is.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for one that is too long, or the storage's.
    pub fn set_labels(
        &mut self,
        storage: &mut dyn Storage,
        label: Option<&str>,
        subsystem: Option<&str>,
    ) -> Result<()> {
        self.change(storage, |header| {
            if let Some(label) = label {
                header.copy.binary.label = checked_text("label", label, LABEL_LEN)?;
            }
            if let Some(subsystem) = subsystem {
                header.copy.binary.subsystem = checked_text("subsystem", subsystem, LABEL_LEN)?;
            }
            Ok(())
        })
    }

    /// Sets the UUID.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for one that is too long, or the storage's.
    pub fn set_uuid(&mut self, storage: &mut dyn Storage, uuid: &str) -> Result<()> {
        self.change(storage, |header| {
            header.copy.binary.uuid = checked_text("uuid", uuid, UUID_LEN)?;
            Ok(())
        })
    }

    /// Sets the persistent activation flags.
    ///
    /// # Errors
    /// The storage's.
    pub fn set_flags(&mut self, storage: &mut dyn Storage, flags: Vec<String>) -> Result<()> {
        self.change(storage, |header| {
            header.copy.metadata.config.flags = flags;
            Ok(())
        })
    }

    /// Puts `token` into `id`, or the first free place; one that is there already only goes where `replace` says so.
    ///
    /// # Errors
    /// [`Error::TokenInUse`], [`Error::AllTokensInUse`], a [`super::Defect`] for a keyslot that does not exist, or
    /// the storage's.
    pub fn put_token(
        &mut self,
        storage: &mut dyn Storage,
        token: Token,
        id: Option<u32>,
        replace: bool,
    ) -> Result<u32> {
        let tokens = &self.copy.metadata.tokens;
        let id = match id {
            Some(id) if id >= MAX_TOKENS => return Err(Error::TokenOutOfRange(id)),
            Some(id) if tokens.contains_key(&id) && !replace => return Err(Error::TokenInUse(id)),
            Some(id) => id,
            None => (0..MAX_TOKENS)
                .find(|id| !tokens.contains_key(id))
                .ok_or(Error::AllTokensInUse)?,
        };
        self.change(storage, |header| {
            header.copy.metadata.tokens.insert(id, token);
            Ok(())
        })?;
        Ok(id)
    }

    /// Removes a token.
    ///
    /// # Errors
    /// [`Error::TokenNotInUse`], or the storage's.
    pub fn remove_token(&mut self, storage: &mut dyn Storage, id: u32) -> Result<()> {
        self.change(storage, |header| {
            header
                .copy
                .metadata
                .tokens
                .remove(&id)
                .map(drop)
                .ok_or(Error::TokenNotInUse(id))
        })
    }

    /// Makes a token name `keyslot`, or no longer name it where `assign` is false.
    ///
    /// # Errors
    /// [`Error::TokenNotInUse`], [`Error::KeyslotInactive`], or the storage's.
    pub fn assign_token(&mut self, storage: &mut dyn Storage, id: u32, keyslot: u32, assign: bool) -> Result<()> {
        self.change(storage, |header| {
            let metadata = &mut header.copy.metadata;
            if !metadata.keyslots.contains_key(&keyslot) {
                return Err(Error::KeyslotInactive(keyslot));
            }
            let token = metadata.tokens.get_mut(&id).ok_or(Error::TokenNotInUse(id))?;
            token.keyslots.retain(|&named| named != keyslot);
            if assign {
                token.keyslots.push(keyslot);
                token.keyslots.sort_unstable();
            }
            Ok(())
        })
    }

    /// Changes the header in memory and writes it; on an error it is as before, here and on the device.
    fn change(&mut self, storage: &mut dyn Storage, change: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.check_requirements()?;
        let before = self.copy.clone();
        let result = change(self).and_then(|()| self.write(storage));
        result.inspect_err(|_| self.copy = before)
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

    /// Finds a gap, fills it with the sealed key and waits until it is safe there.
    fn write_area(
        &self,
        storage: &mut dyn Storage,
        key: &VolumeKey,
        passphrase: &Passphrase,
        new: &NewKeyslot,
        limits: &CostLimits,
    ) -> Result<Keyslot> {
        let too_long = || Error::BadParameter {
            field: "key size",
            value: key.len().to_string(),
            rule: "must fit a keyslot area",
        };
        let key_size = u32::try_from(key.len()).map_err(|_| too_long())?;
        let size = areas::area_size(key_size).ok_or_else(too_long)?;
        let offset = areas::find_gap(&self.copy.metadata, self.copy.binary.hdr_size, size)?;
        let (slot, sealed): (_, Secret) = seal(new, passphrase, key, limits)?;
        storage
            .write_at(offset, sealed.expose())
            .map_err(Error::io("write the keyslot area"))?;
        storage.sync().map_err(Error::io("sync the keyslot area"))?;
        let area = Area {
            kind: "raw".into(),
            offset,
            size,
            extra: Default::default(),
        };
        Ok(Keyslot {
            kind: KeyslotKind::Luks2(slot),
            key_size,
            area,
            priority: new.priority,
            extra: Default::default(),
        })
    }
}

fn checked_text(field: &'static str, text: &str, room: usize) -> Result<String> {
    if text.len() >= room || text.contains('\0') {
        let rule = "is longer than its field, or has a NUL";
        return Err(Error::BadParameter {
            field,
            value: text.to_owned(),
            rule,
        });
    }
    Ok(text.to_owned())
}
