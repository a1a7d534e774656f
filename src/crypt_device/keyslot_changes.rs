//! Adding, changing and destroying keyslots.
//!
//! The slow part, the derivation of a key, comes before the lock. Under the lock the header is read again, and a keyslot that
//! has been replaced since it was looked at is left alone.

use std::path::Path;

use keyslots::Error;
use keyslots::KeyslotId;
use keyslots::hash::Hash;
use keyslots::header::{Header, SlotState};
use keyslots::luks1::ChangeTo;
use keyslots::luks2::Digest;
use keyslots::secret::{Passphrase, VolumeKey};

use super::ask::{agree, agree_to_loss};
use super::cost::WrappedKeyslot;
use super::{Changing, Confirm, CryptError, KeyslotCost, LuksDevice, Others, Question};
use crate::header_device::Wanted;
use crate::slot_names;

/// The purpose of the key in a new keyslot.
#[derive(Clone, Copy, Debug)]
pub enum KeyFor {
    /// It is the key of the data.
    Data,
    /// It is a key of its own, with a digest of this hash and these iterations.
    Unbound(Hash, u32),
}

/// A keyslot to add.
#[derive(Debug)]
pub struct NewKeyslot<'a> {
    /// The key in it.
    pub key: &'a VolumeKey,
    /// The purpose of the key.
    pub key_for: KeyFor,
    /// The passphrase that will open it.
    pub passphrase: &'a Passphrase,
    /// Its parameters.
    pub cost: &'a KeyslotCost,
    /// Its number; the first free one where none is given.
    pub slot: Option<KeyslotId>,
    /// Its name, and whether that protects it.
    pub name: Option<(&'a str, bool)>,
    /// The token that should open it too.
    pub token: Option<u32>,
    /// The keyslot that `key` came out of, if one did: an erased or removed one gives no key to a new one.
    pub opened: Option<KeyslotId>,
}

/// A keyslot that gets another passphrase, or other parameters.
#[derive(Debug)]
pub struct ChangedKeyslot<'a> {
    /// The key in it.
    pub key: &'a VolumeKey,
    /// The passphrase that will open it.
    pub passphrase: &'a Passphrase,
    /// Its parameters.
    pub cost: &'a KeyslotCost,
    /// The keyslot.
    pub slot: KeyslotId,
    /// Whether it stays where it is in LUKS1 too, where it otherwise moves to a free place.
    pub stays: bool,
    /// Its new name.
    pub name: Option<&'a str>,
    /// The name that its user knows it by, needed if it is protected.
    pub known_as: Option<&'a str>,
}

impl LuksDevice {
    /// Checks that keyslots can be changed at all, before anyone waits or is prompted.
    ///
    /// # Errors
    /// [`CryptError::Header`]: a requirement of the header is not met.
    pub fn check_changeable(&self) -> Result<(), CryptError> {
        match &self.header {
            Header::Luks2(header) => Ok(header.check_changeable()?),
            Header::Luks1(_) => Ok(()),
        }
    }

    /// Checks that a keyslot is free, or that one is, before anyone waits or is prompted.
    ///
    /// # Errors
    /// [`CryptError::NoSuchKeyslot`], [`Error::KeyslotFull`], [`Error::AllKeyslotsFull`].
    pub fn check_free_keyslot(&self, slot: Option<KeyslotId>) -> Result<(), CryptError> {
        let version = self.header.version();
        match slot {
            None if self.header.used_keyslots().len() >= KeyslotId::all(version).count() => {
                Err(Error::AllKeyslotsFull.into())
            }
            None => Ok(()),
            Some(slot) => match self.header.slot_state(slot) {
                SlotState::Inactive => Ok(()),
                SlotState::OutOfRange => {
                    let last = KeyslotId::last(version);
                    Err(CryptError::NoSuchKeyslot { slot, last })
                }
                SlotState::Active | SlotState::ActiveLast | SlotState::Other => Err(Error::KeyslotFull(slot).into()),
            },
        }
    }

    /// Checks that a keyslot is in use, before anyone waits or is prompted.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`].
    pub fn check_used_keyslot(&self, slot: KeyslotId) -> Result<(), CryptError> {
        match self.header.slot_state(slot) {
            SlotState::Inactive | SlotState::OutOfRange => Err(Error::KeyslotInactive(slot).into()),
            SlotState::Active | SlotState::ActiveLast | SlotState::Other => Ok(()),
        }
    }

    /// Adds a keyslot, and returns its number.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn add_keyslot(&self, changing: &Changing<'_>, new: NewKeyslot<'_>) -> Result<KeyslotId, CryptError> {
        self.check_changeable()?;
        let secrets = (new.key, new.passphrase);
        let sealed = new.cost.seal(&self.header, secrets, changing, false)?;
        changing.change(&self.device, self.same_version(), Others::May, |header, storage| {
            if let Some(opened) = new.opened {
                header.expect_same_keyslot(&self.header, opened)?;
            }
            match (header, &sealed) {
                (Header::Luks2(header), WrappedKeyslot::Luks2(sealed)) => {
                    let mut change = header.begin()?;
                    let made = match new.key_for {
                        KeyFor::Data => change.add_keyslot(new.slot, sealed, new.key, changing.limits)?,
                        KeyFor::Unbound(hash, iterations) => {
                            let digest = Digest::new(new.key, hash, iterations, changing.limits)?;
                            change.add_unbound_keyslot(new.slot, sealed, digest)?
                        }
                    };
                    if let Some((name, protect)) = new.name {
                        slot_names::set(&mut change, made, name, Some(protect))?;
                    }
                    if let Some(token) = new.token {
                        change.assign_token(token, made, true)?;
                    }
                    change.commit(storage, self.device.medium())?;
                    Ok(made)
                }
                (Header::Luks1(header), WrappedKeyslot::Luks1(sealed, _)) => {
                    Ok(header.add_keyslot(storage, new.slot, sealed)?)
                }
                _ => Err(Error::ChangedMeanwhile.into()),
            }
        })
    }

    /// Changes a keyslot, and returns the number that it has then.
    ///
    /// # Errors
    /// [`CryptError`]; [`Error::ChangedMeanwhile`] where it is another keyslot by now,
    /// [`crate::header_device::HeaderError::OpenElsewhere`] where a LUKS1 header could be written back over it.
    pub fn change_keyslot(&self, changing: &Changing<'_>, new: &ChangedKeyslot<'_>) -> Result<KeyslotId, CryptError> {
        let (slot, medium) = (new.slot, self.device.medium());
        self.check_changeable()?;
        let secrets = (new.key, new.passphrase);
        let sealed = new.cost.seal(&self.header, secrets, changing, new.stays)?;
        changing.change(&self.device, self.same_version(), Others::MustNot, |header, storage| {
            header.expect_same_keyslot(&self.header, slot)?;
            if let Some(name) = new.name {
                slot_names::check_rename(header, slot, name, new.known_as)?;
            }
            match (header, &sealed) {
                (Header::Luks2(header), WrappedKeyslot::Luks2(sealed)) => {
                    let mut change = header.begin()?;
                    change.change_keyslot(slot, sealed, new.key, changing.limits)?;
                    if let Some(name) = new.name {
                        slot_names::set(&mut change, slot, name, None)?;
                    }
                    change.commit(storage, medium)?;
                    Ok(slot)
                }
                (Header::Luks1(header), WrappedKeyslot::Luks1(new, back)) => {
                    let to = match back {
                        Some(back) => ChangeTo::SameSlot { new, back },
                        None => ChangeTo::FirstFree(new),
                    };
                    Ok(header.change_keyslot(storage, slot, to, medium)?)
                }
                _ => Err(Error::ChangedMeanwhile.into()),
            }
        })
    }

    /// Destroys a keyslot for a user who calls it `name`. If it has become the last one since it was looked at, it stays.
    ///
    /// # Errors
    /// [`CryptError`]; [`Error::ChangedMeanwhile`] where it is another keyslot by now.
    pub fn remove_keyslot(
        &self,
        changing: &Changing<'_>,
        slot: KeyslotId,
        name: Option<&str>,
    ) -> Result<(), CryptError> {
        let medium = self.device.medium();
        let was_last = self.header.slot_state(slot) == SlotState::ActiveLast;
        changing.change(&self.device, self.same_version(), Others::May, |header, storage| {
            // What the user agreed to must still be true: another process may have taken the others.
            header.expect_same_keyslot(&self.header, slot)?;
            if !was_last && header.slot_state(slot) == SlotState::ActiveLast {
                return Err(Error::ChangedMeanwhile.into());
            }
            slot_names::check_removable(header, slot, name)?;
            // The last one that a reencryption needs goes only where that was agreed to.
            match self.is_needed(slot) {
                true => header.destroy_keyslot(storage, slot, medium)?,
                false => header.remove_keyslot(storage, slot, medium)?,
            }
            Ok(slot_names::tidy(header, storage)?)
        })
    }

    /// Destroys all keyslots for a user who calls a protected one `name`, and the device `data`. Returns their numbers.
    ///
    /// # Errors
    /// [`CryptError`]; [`CryptError::Declined`], [`Error::ChangedMeanwhile`] where it is another volume by now.
    pub fn erase_keyslots(
        &self,
        changing: &Changing<'_>,
        confirm: &dyn Confirm,
        data: &Path,
        name: Option<&str>,
    ) -> Result<Vec<KeyslotId>, CryptError> {
        let loses = self.header.in_reencryption();
        match loses {
            true => agree_to_loss(confirm, &Question::EraseInReencryption(data))?,
            false => agree(confirm, &Question::EraseKeyslots(data))?,
        }
        let medium = self.device.medium();
        changing.change(&self.device, self.same_version(), Others::May, |header, storage| {
            // A volume made in its place meanwhile is not what was agreed to.
            if header.uuid() != self.header.uuid() {
                return Err(Error::ChangedMeanwhile.into());
            }
            slot_names::check_all_removable(header, name)?;
            let slots = match header {
                // Those too that are marked neither as used nor as free.
                Header::Luks1(header) => return Ok(header.erase(storage, medium)?),
                // The state of a reencryption stays, as with cryptsetup.
                Header::Luks2(header) if loses => header.destroy_keyslots(storage, medium)?,
                Header::Luks2(header) => header.erase(storage, medium)?,
            };
            slot_names::tidy(header, storage)?;
            Ok(slots)
        })
    }

    pub(super) fn same_version(&self) -> Wanted {
        Wanted::Only(self.header.version())
    }
}
