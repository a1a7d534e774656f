//! `open` and `refresh` of LUKS volumes; plain ones are in [`super::plain`], and those without the device-mapper in
//! [`super::serve`].

use std::path::Path;

use keyslots::header::Version;

use super::access::wanted;
use super::active::{device_name, free_mapping};
use super::context::Context;
use super::keyring_keys::{Link, linked};
use super::{plain, serve};
use crate::console::Persona;
use crate::crypt_device::{LookedAt, LuksDevice, MapRequest, RefreshRequest, open_to_look};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::{CliError, MappingError};
use crate::dm::Dm;
use crate::header_device::Wanted;
use crate::mapping::VolumeKind;
use crate::volume::{self, VolumeError};

/// `open`: with a name it maps the volume, without one it tests a passphrase.
pub(super) fn open(
    cx: &Context<'_>,
    device: &Path,
    name: Option<&str>,
    device_type: DeviceType,
) -> Result<(), CliError> {
    match (device_type, name) {
        (DeviceType::Plain, Some(name)) => {
            if let Some(why) = serve::wanted(cx) {
                return serve::open_plain(cx, device, name, why);
            }
            serve::check_not_served(name)?;
            return plain::open(cx, device, name);
        }
        (DeviceType::Plain, None) => return Err(CliError::NameMissing),
        _ if !device_type.is_luks() => return Err(CliError::TypeUnsupported(device_type)),
        _ => {}
    }
    if let Some(name) = name.filter(|_| !cx.options.test_passphrase) {
        if let Some(why) = serve::wanted(cx) {
            return serve::open(cx, device, name, wanted(device_type), why);
        }
        serve::check_not_served(name)?;
    }
    // Errors that are certain are reported before the prompt for a passphrase.
    let mapping = match name.filter(|_| !cx.options.test_passphrase) {
        None => None,
        Some(name) => match free_mapping(name) {
            // A device that is not a volume is reported before a kernel that cannot map it.
            Err(CliError::NoDeviceMapper) => Some(Err(CliError::NoDeviceMapper)),
            free => Some(Ok(free?)),
        },
    };
    let link = Link::from_options(cx)?;
    // With a detached header, nothing else checks the data before the prompt for a passphrase.
    if cx.options.header.is_some() && !device.exists() {
        return Err(CliError::DeviceMissing(device.to_owned()));
    }
    let mut volume = cx.load(device, wanted(device_type))?;
    let Some((dm, name)) = mapping.transpose()? else {
        let key = cx.volume_key(&mut volume, device)?;
        return linked(link.as_ref(), &key, || Ok(()));
    };
    volume.layout(device)?;
    check_stores_flags(cx, &volume)?;
    let looked_at = LookedAt::at(device).map_err(|_| CliError::DeviceMissing(device.to_owned()))?;
    let key = cx.volume_key(&mut volume, device)?;
    let request = MapRequest {
        name: &name,
        path: device,
        looked_at: &looked_at,
        flags: cx.flags(),
        shared: false,
    };
    linked(link.as_ref(), &key, || {
        Ok(volume.map(&dm, &request, &cx.luks_mapping(&cx.cost_limits()), &key)?)
    })?;
    if cx.options.persistent {
        remember_flags_of_active(cx, &volume)?;
    }
    Ok(())
}

/// `refresh`: gives an active mapping other flags.
pub(super) fn refresh(
    cx: &Context<'_>,
    name: &str,
    device: Option<&Path>,
    device_type: Option<DeviceType>,
) -> Result<(), CliError> {
    let (dm, name) = (Dm::open()?, device_name(name)?);
    let active = match volume::state(&dm, &name) {
        Err(VolumeError::NotCrypt(name) | VolumeError::NoTable(name)) => {
            return Err(CliError::Mapping(MappingError::NotManaged(name)));
        }
        state => state?,
    };
    if active.info.suspended {
        return Err(CliError::Mapping(MappingError::Frozen(name.to_string())));
    }
    if let Some(device) = device {
        let device = open_to_look(device).map_err(|_| CliError::DeviceMissing(device.to_owned()))?;
        volume::check_device(&name, &active, &device)?;
    }
    match active.kind {
        Some(VolumeKind::Plain) => return plain::refresh(cx, &dm, &name, &active),
        Some(VolumeKind::Luks1 | VolumeKind::Luks2) => {}
        Some(VolumeKind::Other) | None => return Err(CliError::Mapping(MappingError::NotManaged(name.to_string()))),
    }
    let path = match device {
        Some(device) => device.to_owned(),
        None => active
            .device
            .path()
            .ok_or_else(|| CliError::Mapping(MappingError::NotActive(name.to_string())))?,
    };
    let link = Link::from_options(cx)?;
    let mut volume = cx.load(&path, device_type.map_or(Wanted::Any, wanted))?;
    volume.check_identity(&name, &active)?;
    check_stores_flags(cx, &volume)?;
    let key = cx.volume_key(&mut volume, &path)?;
    let request = RefreshRequest {
        name: &name,
        path: &path,
        active: &active,
        flags: cx.flags(),
    };
    linked(link.as_ref(), &key, || {
        Ok(volume.refresh(&dm, &request, &cx.luks_mapping(&cx.cost_limits()), &key)?)
    })?;
    if cx.options.persistent {
        remember_flags_of_active(cx, &volume)?;
    }
    Ok(())
}

/// `--persistent` with LUKS1, which stores no flags, is refused before anything is mapped; cryptsetup maps first.
fn check_stores_flags(cx: &Context<'_>, volume: &LuksDevice) -> Result<(), CliError> {
    match volume.header.version() {
        Version::Luks1 if cx.options.persistent && cx.console.persona() == Persona::Luksmith => {
            Err(CliError::OnlyLuks2)
        }
        _ => Ok(()),
    }
}

/// As [`Context::remember_flags`], for an existing mapping: to cryptsetup it is no failure that they are not stored.
fn remember_flags_of_active(cx: &Context<'_>, volume: &LuksDevice) -> Result<(), CliError> {
    let stored = match volume.header.version() {
        Version::Luks1 => Err(CliError::OnlyLuks2),
        Version::Luks2 => cx.remember_flags(volume),
    };
    match stored {
        Err(error) if cx.console.persona() == Persona::Cryptsetup => {
            cx.console.complain(error);
            cx.console
                .complain("Device activated but cannot make flags persistent.");
            Ok(())
        }
        stored => stored,
    }
}
