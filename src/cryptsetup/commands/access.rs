//! From a device on the command line to its header, and from a keyslot's name to its number.

use std::path::Path;

use keyslots::KeyslotId;
use keyslots::header::{Header, Version};

use super::context::Context;
use crate::crypt_device::LuksDevice;
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::CliError;
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
    pub(super) fn key_slot(&self, header: &Header) -> Result<Option<KeyslotId>, CliError> {
        let slot = self.options.key_slot.as_ref();
        Ok(slot.map(|slot| slot.number(header)).transpose()?)
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
}

/// The header versions of a type on the command line.
pub(super) fn wanted(device_type: DeviceType) -> Wanted {
    match device_type {
        DeviceType::Luks1 => Wanted::Only(Version::Luks1),
        DeviceType::Luks2 => Wanted::Only(Version::Luks2),
        _ => Wanted::Any,
    }
}
