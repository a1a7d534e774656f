//! Freezing a LUKS volume and taking its key away, and giving it back.

use keyslots::header::Version;

use super::active::{ActiveVolume, find, version_of};
use super::{CryptError, KeyLink, Keys, LuksMapping};
use crate::dm::{DeviceId, DeviceName, Dm};
use crate::header_device::Wanted;
use crate::mapping::VolumeKind;
use crate::volume::{self, Active, VolumeError};

/// Freezes a volume and wipes its key from the kernel.
///
/// # Errors
/// [`CryptError::OnlyLuks`], [`CryptError::Volume`].
pub fn suspend(name: &str) -> Result<(), CryptError> {
    let (dm, name) = find(name)?;
    if let Some((state, _)) = luks(&dm, &name)? {
        return Ok(volume::suspend(&dm, &name, &state)?);
    }
    let uuid = dm.info(&DeviceId::Name(name.clone()))?.uuid;
    Err(CryptError::OnlyLuks {
        name: name.to_string(),
        is_volume: uuid.as_ref().and_then(VolumeKind::of_dm_uuid).is_some(),
    })
}

/// Gives the key back to a suspended volume of the wanted version, and lets it run.
///
/// # Errors
/// [`CryptError::NotActiveLuks`]; [`CryptError::Volume`]; or that of `keys`.
pub fn resume<K: Keys + ?Sized>(name: &str, wanted: Wanted, how: &LuksMapping<'_>, keys: &K) -> Result<(), K::Error> {
    let (active, version) = suspended(name, wanted)?;
    let device = active.path().map_err(CryptError::from)?;
    let link = keys.link()?;
    let mut volume = active.header(keys, &device, version)?;
    let key = keys.key(&mut volume, &device)?;
    let place = volume.key_place(how, &key).map_err(CryptError::from)?;
    KeyLink::during(link.as_ref(), &key, || {
        let resumed = volume::resume(&active.dm, &active.name, &active.state, &key, &place);
        Ok(resumed.map_err(CryptError::from)?)
    })
}

fn suspended(name: &str, wanted: Wanted) -> Result<(ActiveVolume, Version), CryptError> {
    let (dm, name) = find(name)?;
    let not_luks = |wanted| CryptError::NotActiveLuks {
        name: name.to_string(),
        wanted,
    };
    let (state, version) = luks(&dm, &name)?.ok_or_else(|| not_luks(Wanted::Any))?;
    if !wanted.takes(version) {
        return Err(not_luks(wanted));
    }
    if !state.info.suspended {
        return Err(VolumeError::NotSuspended(name.to_string()).into());
    }
    Ok((ActiveVolume { dm, name, state }, version))
}

/// An active LUKS volume, and its version; `None` for any other mapping.
fn luks(dm: &Dm, name: &DeviceName) -> Result<Option<(Active, Version)>, CryptError> {
    let state = match volume::state(dm, name) {
        Err(VolumeError::NotCrypt(_)) => return Ok(None),
        state => state?,
    };
    let version = version_of(state.kind);
    Ok(version.map(|version| (state, version)))
}
