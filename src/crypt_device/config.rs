//! What a header says beside its keys: label, subsystem, UUID, flags; the names and priorities of keyslots.

use keyslots::Error;
use keyslots::KeyslotId;
use keyslots::header::{Header, Version};
use keyslots::luks2::Priority;
use keyslots::uuid::is_uuid;
use keyslots::wipe::Medium;

use super::ask::agree;
use super::{Changing, Confirm, CryptError, LuksDevice, Others, Question};
use crate::header_device::{HeaderDevice, Wanted};
use crate::slot_names::{self, SlotRef};
use crate::volume::Flags;

/// Settings of a LUKS2 header; those that are `None` stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// The label.
    pub label: Option<&'a str>,
    /// The subsystem label.
    pub subsystem: Option<&'a str>,
    /// Those of a keyslot.
    pub keyslot: Option<KeyslotSettings<'a>>,
}

/// Settings of a keyslot.
#[derive(Clone, Copy, Debug)]
pub struct KeyslotSettings<'a> {
    /// The keyslot. To rename a protected one, or to take its protection away, it must be given by its name.
    pub slot: &'a SlotRef,
    /// Its priority.
    pub priority: Option<Priority>,
    /// Its name, and whether that protects it.
    pub name: Option<(&'a str, bool)>,
}

/// Changes settings of a LUKS2 header: all of them, or none.
///
/// # Errors
/// [`CryptError`]; [`Error::KeyslotInactive`] where the keyslot has no key.
pub fn configure(changing: &Changing<'_>, device: &HeaderDevice, settings: &Settings<'_>) -> Result<(), CryptError> {
    changing.change(device, Wanted::Only(Version::Luks2), Others::May, |header, storage| {
        // Before anything is written.
        let keyslot = match &settings.keyslot {
            Some(keyslot) => Some((keyslot.check(header)?, keyslot)),
            None => None,
        };
        let Header::Luks2(header) = header else { return Ok(()) };
        // One write: all of it, or nothing.
        let mut change = header.begin()?;
        if settings.label.is_some() || settings.subsystem.is_some() {
            change.set_labels(settings.label, settings.subsystem)?;
        }
        if let Some((slot, keyslot)) = keyslot {
            if let Some(priority) = keyslot.priority {
                change.set_priority(slot, priority)?;
            }
            if let Some((name, protect)) = keyslot.name {
                slot_names::set(&mut change, slot, name, Some(protect))?;
            }
        }
        Ok(change.commit(storage, Medium::Other)?)
    })
}

impl KeyslotSettings<'_> {
    /// The number of the keyslot, if it may be changed so.
    fn check(&self, header: &Header) -> Result<KeyslotId, CryptError> {
        let slot = self.slot.number(header)?;
        if !header.used_keyslots().contains(&slot) {
            return Err(Error::KeyslotInactive(slot).into());
        }
        if let Some((name, protect)) = self.name {
            // Reducing the protection, too, is for those who know the name.
            let known = self.slot.name();
            slot_names::check_rename(header, slot, name, known)?;
            if !protect {
                slot_names::check_removable(header, slot, known)?;
            }
        }
        Ok(slot)
    }
}

impl LuksDevice {
    /// Gives the volume another UUID.
    ///
    /// # Errors
    /// [`CryptError::BadUuid`], [`CryptError::Declined`], and those of a change.
    pub fn set_uuid(&self, changing: &Changing<'_>, confirm: &dyn Confirm, uuid: &str) -> Result<(), CryptError> {
        if !is_uuid(uuid) {
            return Err(CryptError::BadUuid(uuid.to_owned()));
        }
        agree(confirm, &Question::ChangeUuid)?;
        changing.change(&self.device, self.same_version(), Others::May, |header, storage| {
            // A volume made in its place meanwhile is not what was agreed to.
            if header.uuid() != self.header.uuid() {
                return Err(Error::ChangedMeanwhile.into());
            }
            Ok(header.set_uuid(storage, uuid)?)
        })
    }

    /// Stores flags that every later activation gets. LUKS1 has no place for them.
    ///
    /// # Errors
    /// [`CryptError`]; [`HeaderError::NotLuks`](crate::header_device::HeaderError::NotLuks) for LUKS1.
    pub fn store_flags(&self, changing: &Changing<'_>, flags: Flags) -> Result<(), CryptError> {
        changing.change_luks2(&self.device, |header, storage| {
            let flags = flags.to_persistent(&header.metadata().config.flags);
            Ok(header.set_flags(storage, flags)?)
        })
    }
}
