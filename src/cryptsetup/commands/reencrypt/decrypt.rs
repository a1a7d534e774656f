//! The begin of a decryption: with a header of its own, or with one that is exported first.

use std::fs;
use std::path::Path;

use keyslots::header::Version;
use keyslots::luks2::Candidates;
use keyslots::luks2::reencrypt::{Direction, Mode, Start, VolumeKeys};
use keyslots::secret::VolumeKey;
use keyslots::units::Bytes;

use super::begin::{self, block, check_hotzone, guard};
use super::begun::{Begun, check_file, claim};
use crate::console::confirm;
use crate::crypt_device::{HeaderPlace, LuksDevice};
use crate::cryptsetup::commands::context::Context;
use crate::cryptsetup::commands::secrets::passphrase_prompt;
use crate::cryptsetup::error::{CliError, ReencryptError};
use crate::header_device::{HeaderDevice, Wanted};
use crate::terminal_text::shown;

/// Begins the decryption of data whose header is elsewhere.
pub(super) fn detached(cx: &Context<'_>, device: &Path, mut volume: LuksDevice) -> Result<Begun, CliError> {
    if volume.place == HeaderPlace::WithData {
        return Err(ReencryptError::NeedsHeaderFile.into());
    }
    let lock = volume.lock_reencryption()?;
    volume.check_changeable()?;
    let layout = volume.layout(device)?;
    check_hotzone(cx.options, block(device, layout.sector_size)?)?;
    let data = claim(device)?;
    let key = key(cx, &mut volume, device)?;
    check_file(cx, device)?;
    // One that was exported from the device, where this was interrupted. The device shows whether it is that.
    let exported = layout.offset.bytes().filter(|offset| *offset > Bytes::ZERO);
    let start = Start {
        mode: Mode::Decrypt,
        direction: if exported.is_some() {
            Direction::Forward
        } else {
            Direction::Backward
        },
        guard: guard(cx.options, block(device, layout.sector_size)?, exported.is_some())?,
        shift: exported,
        ..begin::plain_start(cx, device)?
    };
    let begun = begin::begin(cx, volume, data, (start, keys(key), Vec::new()), lock);
    begun.map_err(|error| match error {
        CliError::Header(keyslots::Error::Misplaced(_)) if exported.is_some() => ReencryptError::OffsetNotZero.into(),
        error => error,
    })
}

/// Begins the decryption of a device with its header, which moves to a new file.
pub(super) fn export(cx: &Context<'_>, device: &Path) -> Result<Begun, CliError> {
    let options = cx.options;
    let Some(to) = options.header.as_deref() else {
        return Err(ReencryptError::NeedsHeaderFile.into());
    };
    let locks = !options.disable_locks;
    let on_device = HeaderDevice::new(device, locks);
    let wanted = Wanted::Only(Version::Luks2);
    let mut volume = LuksDevice::load(on_device, HeaderPlace::WithData, wanted, true)?;
    if volume.reencryption()?.is_some() {
        return Err(ReencryptError::AlreadyBegun.into());
    }
    if options.resume_only {
        return Err(ReencryptError::NotBegun.into());
    }
    let (shown_to, shown_device) = (shown(to), shown(device));
    let question = format!(
        "Header file {shown_to} does not exist. Do you want to initialize LUKS2 decryption of device {shown_device} and \
         export LUKS2 header to file {shown_to}?"
    );
    if !confirm(cx.console, &question) {
        return Err(CliError::Aborted);
    }
    let lock = volume.lock_reencryption()?;
    volume.check_changeable()?;
    let layout = volume.layout(device)?;
    check_hotzone(options, block(device, layout.sector_size)?)?;
    let key = key(cx, &mut volume, device)?;
    check_file(cx, device)?;
    let shift = layout.offset.bytes().ok_or(CliError::OffsetNotAligned)?;
    let start = Start {
        mode: Mode::Decrypt,
        direction: Direction::Forward,
        guard: guard(options, block(device, layout.sector_size)?, true)?,
        shift: Some(shift),
        ..begin::plain_start(cx, device)?
    };
    let data = claim(device)?;
    volume.export_header(to)?;
    let begun = LuksDevice::load(HeaderDevice::new(to, locks), HeaderPlace::Apart, wanted, true)
        .map_err(CliError::from)
        .and_then(|exported| begin::begin(cx, exported, data, (start, keys(key), Vec::new()), lock));
    begun.inspect_err(|_| {
        // As long as the device has its header, the file has nothing that is not there.
        let there = LuksDevice::load(HeaderDevice::new(device, locks), HeaderPlace::WithData, wanted, true);
        if there.is_ok_and(|there| there.header.uuid() == volume.header.uuid()) {
            let _ = fs::remove_file(to);
        }
    })
}

/// Whether the device still has the header of which the file has an unfinished copy.
pub(super) fn is_interrupted_export(cx: &Context<'_>, device: &Path) -> bool {
    let on_device = HeaderDevice::new(device, !cx.options.disable_locks);
    let there = LuksDevice::load(on_device, HeaderPlace::WithData, Wanted::Only(Version::Luks2), true);
    there.is_ok_and(|there| matches!(there.reencryption(), Ok(None)))
}

fn key(cx: &Context<'_>, volume: &mut LuksDevice, device: &Path) -> Result<VolumeKey, CliError> {
    if cx.options.volume_key_file.is_some() || cx.options.volume_key_keyring.is_some() {
        return cx.data_key(volume, device);
    }
    let source = cx.source();
    let prompt = passphrase_prompt(device);
    let mut asking = cx.asking(&source, &prompt);
    let slot = cx.key_slot(&volume.header)?;
    let unlocked = cx.unlock_by(volume, &mut asking, slot.map_or(Candidates::All, Candidates::Keyslot))?;
    volume
        .header
        .verify_volume_key(&unlocked.volume_key, &cx.cost_limits())?;
    Ok(unlocked.volume_key)
}

fn keys(key: VolumeKey) -> VolumeKeys {
    VolumeKeys {
        old: Some(key),
        new: None,
    }
}
