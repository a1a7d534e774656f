//! `luksSuspend` and `luksResume`.

use keyslots::header::Version;

use super::access::wanted;
use super::active::find;
use super::context::Context;
use super::keyring_keys::{Link, linked};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::{CliError, MappingError};
use crate::dm::{DeviceId, DeviceName, Dm};
use crate::header_device::Wanted;
use crate::mapping::VolumeKind;
use crate::volume::{self, Active, VolumeError};

/// Freezes a mapping and takes its key away.
pub(super) fn suspend(_cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    let (dm, name) = find(name)?;
    let Some((active, _)) = luks(&dm, &name)? else {
        let uuid = dm.info(&DeviceId::Name(name.clone()))?.uuid;
        return Err(match uuid.as_ref().and_then(VolumeKind::of_dm_uuid) {
            Some(_) => CliError::Mapping(MappingError::OnlyLuks),
            None => CliError::Mapping(MappingError::NoVolume(name.to_string())),
        });
    };
    Ok(volume::suspend(&dm, &name, &active)?)
}

/// Asks for a passphrase, and gives the key back.
pub(super) fn resume(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    let (dm, name) = find(name)?;
    let asked = cx.options.device_type.as_deref().and_then(DeviceType::from_name);
    let asked = asked.map_or(Wanted::Any, wanted);
    let not_luks = |wanted: Wanted| {
        CliError::Mapping(MappingError::NotActiveLuks {
            name: name.to_string(),
            kind: wanted.name(),
        })
    };
    let (active, version) = luks(&dm, &name)?.ok_or_else(|| not_luks(Wanted::Any))?;
    if matches!(asked, Wanted::Only(asked) if asked != version) {
        return Err(not_luks(asked));
    }
    if !active.info.suspended {
        return Err(VolumeError::NotSuspended(name.to_string()).into());
    }
    let device = active
        .device
        .path()
        .ok_or_else(|| CliError::Mapping(MappingError::NotActive(name.to_string())))?;
    let link = Link::from_options(cx)?;
    let mut opened = cx.load(&device, Wanted::Only(version)).map_err(|error| match error {
        CliError::NotLuks { .. } if cx.options.header.is_none() => not_luks(Wanted::Any),
        error => error,
    })?;
    opened.check_identity(&name, &active)?;
    let key = cx.volume_key(&mut opened, &device)?;
    let place = opened.key_place(&cx.luks_mapping(&cx.cost_limits()), &key)?;
    linked(link.as_ref(), &key, || {
        Ok(volume::resume(&dm, &name, &active, &key, &place)?)
    })
}

/// An active LUKS volume, and its version; `None` for any other mapping.
fn luks(dm: &Dm, name: &DeviceName) -> Result<Option<(Active, Version)>, CliError> {
    let active = match volume::state(dm, name) {
        Err(VolumeError::NotCrypt(_)) => return Ok(None),
        state => state?,
    };
    Ok(match active.kind {
        Some(VolumeKind::Luks1) => Some((active, Version::Luks1)),
        Some(VolumeKind::Luks2) => Some((active, Version::Luks2)),
        Some(VolumeKind::Plain | VolumeKind::Other) | None => None,
    })
}
