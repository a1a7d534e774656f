//! From a name on the command line to a mapping that should exist, or should not.

use std::path::Path;

use crate::block_device::{self, DevNo};
use crate::cryptsetup::error::{CliError, MappingError};
use crate::dm::{DeviceName, Dm, Mangling};
use crate::volume::{self, VolumeError};

/// The device-mapper, and the mapping's name, given as such or as the path of its node. Without a device-mapper there is
/// no mapping either, and the exit code is that of a missing mapping, as with cryptsetup.
pub(super) fn find(name: &str) -> Result<(Dm, DeviceName), CliError> {
    let dm = match Dm::open().map_err(CliError::from) {
        Err(CliError::NoDeviceMapper) if name.contains('/') && !Path::new(name).exists() => {
            return Err(CliError::Mapping(MappingError::NotActive(name.to_owned())));
        }
        Err(CliError::NoDeviceMapper) => return Err(CliError::NothingMapped),
        dm => dm?,
    };
    Ok((dm, named(name)?))
}

/// A path outside the folder of mappings cannot name an active mapping.
fn named(name: &str) -> Result<DeviceName, CliError> {
    if name.starts_with("/dev/mapper/") || !name.contains('/') {
        return device_name(name);
    }
    let number = DevNo::of_path(Path::new(name)).ok().flatten();
    match number.and_then(block_device::dm_name_and_uuid) {
        // The name in the kernel's form.
        Some((name, _)) => DeviceName::new(name).map_err(|error| VolumeError::from(error).into()),
        None => Err(CliError::Mapping(MappingError::NotActive(name.to_owned()))),
    }
}

/// The name of a mapping, which may be given as its path.
pub(super) fn device_name(name: &str) -> Result<DeviceName, CliError> {
    let name = name.strip_prefix("/dev/mapper/").unwrap_or(name);
    DeviceName::mangled(name, Mangling::default()).map_err(|error| VolumeError::from(error).into())
}

/// The device-mapper, and a name that is free.
pub(super) fn free_mapping(name: &str) -> Result<(Dm, DeviceName), CliError> {
    let name = volume::new_name(name.strip_prefix("/dev/mapper/").unwrap_or(name))?;
    let dm = Dm::open()?;
    volume::check_free(&dm, &name)?;
    Ok((dm, name))
}
