//! From a device on the command line to its header, and from a keyslot's name to its number.

use std::path::Path;

use keyslots::header::{Header, SlotState, Version};
use keyslots::storage::Storage;

use super::context::Context;
use crate::crypt_device::LuksDevice;
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::{CliError, KeyslotError};
use crate::header_device::{HeaderDevice, HeaderError, Opened, Wanted};
use crate::policy::Policy;
use crate::terminal_text::shown;

impl Context<'_> {
    /// The header versions that `--type` lets an action take; no other kind of device has one.
    pub(super) fn wanted(&self, device: &Path) -> Result<Wanted, CliError> {
        match self.options.device_type.as_deref().and_then(DeviceType::from_name) {
            None => Ok(Wanted::Any),
            Some(device_type) if device_type.is_luks() => Ok(wanted(device_type)),
            Some(_) => Err(CliError::NotLuks {
                device: device.to_owned(),
                kind: Wanted::Any.name(),
            }),
        }
    }

    /// The device that has the header: `--header`, or the data device itself.
    pub(super) fn header_device(&self, device: &Path) -> HeaderDevice {
        let path = self.options.header.as_deref().unwrap_or(device);
        HeaderDevice::new(path, !self.options.disable_locks)
    }

    /// Reads the header of `device`, which may be elsewhere, and reports on standard error a copy of it that was rewritten, or
    /// could not be.
    pub(super) fn read(&self, device: &Path, wanted: Wanted) -> Result<LuksDevice, HeaderError> {
        // A read-only volume is not written to at all.
        let volume = LuksDevice::load(self.header_device(device), self.place(), wanted, self.options.readonly)?;
        self.tell_repair(&volume.device, &volume.opened);
        Ok(volume)
    }

    /// Reports that a copy of the header was rewritten, or could not be.
    pub(super) fn tell_repair(&self, device: &HeaderDevice, opened: &Opened) {
        if let Some(repair) = &opened.repair {
            self.console
                .complain(format_args!("{}: {repair}.", shown(device.path())));
        }
    }

    /// The number that `--key-slot` names, where it is there.
    pub(super) fn key_slot(&self, header: &Header) -> Result<Option<u32>, CliError> {
        let slot = self.options.key_slot.as_ref();
        Ok(slot.map(|slot| slot.number(header)).transpose()?)
    }

    /// Checks a new keyslot's number before the first prompt.
    pub(super) fn check_free_slot(&self, header: &Header, slot: Option<u32>) -> Result<(), CliError> {
        let last = last_slot(header.version());
        match slot {
            None if header.used_keyslots().len() > last as usize => {
                Err(CliError::Keyslot(KeyslotError::AllKeyslotsFull))
            }
            None => Ok(()),
            Some(slot) => match header.slot_state(slot) {
                SlotState::Inactive => Ok(()),
                SlotState::OutOfRange => Err(CliError::Keyslot(KeyslotError::Invalid { slot, last })),
                SlotState::Active | SlotState::ActiveLast | SlotState::Other => {
                    Err(CliError::Keyslot(KeyslotError::Full(slot)))
                }
            },
        }
    }

    /// With `--policy`, rejects a header that violates it.
    pub(super) fn check_policy(&self, header: &Header) -> Result<(), CliError> {
        let Some(file) = &self.options.policy else {
            return Ok(());
        };
        let unusable = |reason: String| CliError::PolicyUnusable {
            file: file.clone(),
            reason,
        };
        let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
        let policy = Policy::parse(&text).map_err(|error| unusable(error.to_string()))?;
        match policy.check(header) {
            violations if violations.is_empty() => Ok(()),
            violations => Err(CliError::PolicyViolated {
                file: file.clone(),
                violations,
            }),
        }
    }

    /// With `--backup`, writes a backup before the change.
    pub(super) fn back_up(&self, header: &Header, storage: &mut dyn Storage) -> Result<(), CliError> {
        Ok(self.changing(|changing| changing.back_up(header, storage))?)
    }
}

/// The highest keyslot number of a version.
pub(super) fn last_slot(version: Version) -> u32 {
    match version {
        Version::Luks1 => keyslots::luks1::KEYSLOTS as u32 - 1,
        Version::Luks2 => keyslots::luks2::MAX_KEYSLOTS - 1,
    }
}

/// The header versions of a type on the command line.
pub(super) fn wanted(device_type: DeviceType) -> Wanted {
    match device_type {
        DeviceType::Luks1 => Wanted::Only(Version::Luks1),
        DeviceType::Luks2 => Wanted::Only(Version::Luks2),
        _ => Wanted::Any,
    }
}
