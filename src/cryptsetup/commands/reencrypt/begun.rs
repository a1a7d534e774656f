//! What all that works on a reencryption holds.

use std::path::Path;

use keyslots::luks2::reencrypt::VolumeKeys;

use crate::console::{Persona, confirm};
use crate::crypt_device::reencrypt::{OfflineData, ReencryptionLock};
use crate::crypt_device::{CryptError, LuksDevice};
use crate::cryptsetup::commands::context::Context;
use crate::cryptsetup::error::{CliError, ReencryptError};
use crate::header_device::Wanted;
use crate::terminal_text::shown;

/// A reencryption that has begun, and what it takes to go on with it.
pub(super) struct Begun {
    pub(super) volume: LuksDevice,
    pub(super) data: OfflineData,
    pub(super) keys: VolumeKeys,
    /// Held until the work ends.
    pub(super) lock: ReencryptionLock,
}

/// Opens the data, and keeps others away from them.
pub(super) fn claim(device: &Path) -> Result<OfflineData, CliError> {
    Ok(OfflineData::open(device)?)
}

/// cryptsetup does not find out whether a file is in use. We do, so that only its callers are asked.
pub(super) fn check_file(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    let asks = cx.console.persona() == Persona::Cryptsetup && !cx.options.force_offline_reencrypt;
    if !asks || !device.is_file() {
        return Ok(());
    }
    if cx.console.batch() {
        return Err(ReencryptError::NotBlockDevice(device.to_owned()).into());
    }
    let device = shown(device);
    cx.console
        .complain(format_args!("Device {device} is not a block device."));
    let question = format!(
        "Unable to decide if device {device} is activated or not.\n\
         Are you sure you want to proceed with reencryption in offline mode?\n\
         It may lead to data corruption if the device is actually activated.\n\
         To run reencryption in online mode, use --active-name parameter instead.\n"
    );
    match confirm(cx.console, &question) {
        true => Ok(()),
        false => Err(CliError::Aborted),
    }
}

/// Reads the header again, which has just been changed.
pub(super) fn reload(volume: LuksDevice) -> Result<LuksDevice, CryptError> {
    let (device, place) = (volume.device, volume.place);
    Ok(LuksDevice::load(device, place, Wanted::Any, true)?)
}

impl Begun {
    /// The same.
    pub(super) fn reload(&mut self) -> Result<(), CryptError> {
        let (device, place) = (self.volume.device.clone(), self.volume.place);
        self.volume = LuksDevice::load(device, place, Wanted::Any, true)?;
        Ok(())
    }
}
