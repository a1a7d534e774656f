//! `resize`: makes an active mapping longer or shorter. The device below it keeps its size.

use std::path::Path;

use keyslots::header::Version;
use keyslots::secret::VolumeKey;
use keyslots::units::{Bytes, Sectors};

use super::active::find;
use super::context::Context;
use crate::block_device::{self, Topology};
use crate::cryptsetup::error::{CliError, MappingError};
use crate::dm::DeviceName;
use crate::header_device::Wanted;
use crate::mapping::VolumeKind;
use crate::volume::{self, Active, KeyLocation, VolumeError};

pub(super) fn resize(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    let (dm, name) = find(name)?;
    let active = match volume::state(&dm, &name) {
        // A mapping that is not encrypted.
        Err(VolumeError::NotCrypt(name)) => return Err(CliError::Mapping(MappingError::NotManaged(name))),
        state => state?,
    };
    if active.kind.is_none() {
        return Err(CliError::Mapping(MappingError::NotManaged(name.to_string())));
    }
    if active.info.suspended {
        return Err(CliError::Mapping(MappingError::Frozen(name.to_string())));
    }
    let path = active.device.path();
    let path = path.ok_or_else(|| CliError::Mapping(MappingError::NotActive(name.to_string())))?;
    let size = wanted_size(cx, &active, &path)?;
    let key = match active.key_location {
        KeyLocation::DmCrypt => None,
        KeyLocation::Keyring if cx.options.disable_keyring => {
            return Err(CliError::Mapping(MappingError::ResizeNeedsKeyring));
        }
        KeyLocation::Keyring => Some(key(cx, &name, &active, &path)?),
    };
    Ok(volume::resize(&dm, &name, size, key.as_ref())?)
}

/// The requested size, else the whole device. A size of zero means the whole device, as with cryptsetup.
fn wanted_size(cx: &Context<'_>, active: &Active, path: &Path) -> Result<Sectors, CliError> {
    if let Some(number) = active.device.number() {
        // The file behind a loop device may have grown since.
        block_device::update_loop_size(number).map_err(CliError::io("ask for the size of the loop device"))?;
    }
    let device = Topology::of(path).map_err(|_| CliError::DeviceMissing(path.to_owned()))?;
    let asked = cx.options.size.or(cx.options.device_size.map(Bytes::sectors));
    let asked = asked.filter(|size| *size > Sectors::ZERO);
    Ok(volume::size_of_data(
        path,
        device.size.sectors(),
        active.offset,
        asked,
        active.sector_size(),
    )?)
}

/// The volume key again, from a token or a passphrase: it left the keyring when the mapping was made.
fn key(cx: &Context<'_>, name: &DeviceName, active: &Active, path: &Path) -> Result<VolumeKey, CliError> {
    let version = match active.kind {
        Some(VolumeKind::Luks1) => Version::Luks1,
        Some(VolumeKind::Luks2) => Version::Luks2,
        // No other kind has a header to take the key from.
        _ => return Err(CliError::Mapping(MappingError::NotManaged(name.to_string()))),
    };
    let mut volume = cx.load(path, Wanted::Only(version)).map_err(|error| match error {
        CliError::NotLuks { .. } if cx.options.header.is_none() => CliError::Mapping(MappingError::NotActiveLuks {
            name: name.to_string(),
            kind: "LUKS",
        }),
        error => error,
    })?;
    volume.check_identity(name, active)?;
    cx.data_key(&mut volume, path)
}
