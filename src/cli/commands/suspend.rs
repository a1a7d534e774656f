//! `luksSuspend` and `luksResume`.

use keyslots::header::Version;

use super::Context;
use super::open::{Volume, device_name, key_place};
use crate::cli::error::CliError;
use crate::dm::{DeviceName, Dm};
use crate::header_device::Wanted;
use crate::volume::{self, Active, VolumeKind};

/// Freezes a mapping and takes its key away.
pub(super) fn suspend(_cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    let (dm, name) = (Dm::open()?, device_name(name)?);
    let (active, _) = luks(&dm, &name)?;
    Ok(volume::suspend(&dm, &name, &active)?)
}

/// Asks for a passphrase, and gives the key back.
pub(super) fn resume(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    let (dm, name) = (Dm::open()?, device_name(name)?);
    let (active, version) = luks(&dm, &name)?;
    if !active.info.suspended {
        return Err(volume::VolumeError::NotSuspended(name.to_string()).into());
    }
    let device = active
        .device
        .path()
        .ok_or_else(|| CliError::NotActive(name.to_string()))?;
    let mut opened = Volume::read(cx, &device, Wanted::Only(version))?;
    if active.uuid.as_deref().is_some_and(|uuid| uuid != opened.header.uuid()) {
        return Err(CliError::NotThatVolume(name.to_string()));
    }
    let key = opened.key(cx, &device)?;
    let place = key_place(cx, &opened.header, &key)?;
    Ok(volume::resume(&dm, &name, &active, &key, &place)?)
}

/// An active LUKS volume, and its version.
fn luks(dm: &Dm, name: &DeviceName) -> Result<(Active, Version), CliError> {
    let active = volume::state(dm, name)?;
    match active.kind {
        Some(VolumeKind::Luks1) => Ok((active, Version::Luks1)),
        Some(VolumeKind::Luks2) => Ok((active, Version::Luks2)),
        _ => Err(CliError::NotLuks {
            device: name.to_string().into(),
            kind: "LUKS",
        }),
    }
}
