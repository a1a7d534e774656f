//! `open` and `refresh` of LUKS volumes; plain ones are in [`super::plain`], and those without the device-mapper in
//! [`super::serve`].

use std::path::Path;

use super::access::wanted;
use super::context::Context;
use super::keyring_keys::key_link;
use super::{plain, serve};
use crate::console::Persona;
use crate::crypt_device::{ActiveVolume, ClosedVolume, Format, KeyLink, LuksDevice, RefreshRequest, free_name};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::CliError;
use crate::header_device::Wanted;
use crate::mapping::VolumeKind;

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
            return plain::open(cx, device, name);
        }
        (DeviceType::Plain, None) => return Err(CliError::NameMissing),
        _ if !device_type.is_luks() => return Err(CliError::TypeUnsupported(device_type)),
        _ => {}
    }
    let name = name.filter(|_| !cx.options.test_passphrase);
    if let Some(name) = name
        && let Some(why) = serve::wanted(cx)
    {
        return serve::open(cx, device, name, wanted(device_type), why);
    }
    // Errors that are certain are reported before the prompt for a passphrase.
    let mapping = match name {
        None => None,
        Some(name) => match free_name(name).map_err(CliError::from) {
            // A device that is not a volume is reported before a kernel that cannot map it.
            Err(CliError::NoDeviceMapper) => Some(Err(CliError::NoDeviceMapper)),
            free => Some(Ok(free?)),
        },
    };
    let link = key_link(cx)?;
    // With a detached header, nothing else checks the data before the prompt for a passphrase.
    if cx.options.header.is_some() && !device.exists() {
        return Err(CliError::DeviceMissing(device.to_owned()));
    }
    let mut volume = cx.load(device, wanted(device_type))?;
    let Some((dm, name)) = mapping.transpose()? else {
        let key = cx.volume_key(&mut volume, device)?;
        return KeyLink::during(link.as_ref(), &key, || Ok(()));
    };
    let closed = ClosedVolume::luks(device, &volume)?;
    if stores_flags(cx) {
        volume.check_stores_flags()?;
    }
    let key = cx.volume_key(&mut volume, device)?;
    KeyLink::during(link.as_ref(), &key, || {
        let (format, limits) = (Format::Luks(&volume), cx.cost_limits());
        closed.map((&dm, &name), format, &cx.luks_mapping(&limits), &key)
    })?;
    match cx.options.persistent {
        true => remember_flags_of_active(cx, &volume),
        false => Ok(()),
    }
}

/// `refresh`: gives an active mapping other flags.
pub(super) fn refresh(
    cx: &Context<'_>,
    name: &str,
    device: Option<&Path>,
    device_type: Option<DeviceType>,
) -> Result<(), CliError> {
    let active = ActiveVolume::to_refresh(name, device)?;
    if active.state().kind == Some(VolumeKind::Plain) {
        return plain::refresh(cx, &active);
    }
    let limits = cx.cost_limits();
    let request = RefreshRequest {
        device,
        wanted: device_type.map_or(Wanted::Any, wanted),
        stores_flags: stores_flags(cx),
        how: &cx.luks_mapping(&limits),
    };
    let volume = active.refresh(&request, cx)?;
    match cx.options.persistent {
        true => remember_flags_of_active(cx, &volume),
        false => Ok(()),
    }
}

/// `--persistent` with LUKS1, which stores no flags, is refused before anything is mapped; cryptsetup maps first.
fn stores_flags(cx: &Context<'_>) -> bool {
    cx.options.persistent && cx.console.persona() == Persona::Luksmith
}

/// As [`Context::remember_flags`], for an existing mapping: to cryptsetup it is no failure that they are not stored.
fn remember_flags_of_active(cx: &Context<'_>, volume: &LuksDevice) -> Result<(), CliError> {
    let stored = volume.check_stores_flags().map_err(CliError::from);
    match stored.and_then(|()| cx.remember_flags(volume)) {
        Err(error) if cx.console.persona() == Persona::Cryptsetup => {
            cx.console.complain(error);
            cx.console
                .complain("Device activated but cannot make flags persistent.");
            Ok(())
        }
        stored => stored,
    }
}
