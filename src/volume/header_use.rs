//! Which active volumes a header belongs to, and whether it belongs to a given one.

use std::fs::File;
use std::io;

use keyslots::header::Header;

use super::{Active, VolumeError, identity, state};
use crate::block_device;
use crate::dm::{DeviceName, Dm};
use crate::mapping::Mappings;
use crate::same_bytes::is_same;

/// Checks that an active mapping is one of the volume with this header. What cannot be compared counts as different: the
/// key of another volume turns all data into garbage, and what is written is lost.
///
/// # Errors
/// [`VolumeError::OtherVolume`].
pub fn check_identity(name: &DeviceName, active: &Active, header: &Header) -> Result<(), VolumeError> {
    let uuid = active.info.uuid.as_ref();
    if uuid.is_some_and(|uuid| identity(header).is_of(uuid)) {
        return Ok(());
    }
    Err(VolumeError::OtherVolume {
        name: name.to_string(),
        mapped: uuid.map_or_else(String::new, |uuid| {
            String::from_utf8_lossy(uuid.as_bytes()).into_owned()
        }),
        header: header.uuid().to_owned(),
    })
}

/// Checks that an active mapping is on this device, or on a loop device on this file. Copies of a disk have one UUID.
///
/// # Errors
/// [`VolumeError::OtherDevice`], [`VolumeError::Ground`].
pub fn check_device(name: &DeviceName, active: &Active, device: &File) -> Result<(), VolumeError> {
    let below = open_below(active).map_err(VolumeError::Ground)?;
    match is_same(&below, device).map_err(VolumeError::Ground)? {
        true => Ok(()),
        false => Err(VolumeError::OtherDevice(name.to_string())),
    }
}

fn open_below(active: &Active) -> io::Result<File> {
    File::open(active.device.path().ok_or(io::ErrorKind::NotFound)?)
}

/// The active volumes whose only header this may be: they have its UUID, and no header of their own where their data are.
/// A copy of a whole disk does not count.
///
/// # Errors
/// The device-mapper's.
pub fn users_of_header(dm: &Dm, header: &Header) -> Result<Vec<String>, VolumeError> {
    let volume = identity(header);
    let mut users = Vec::new();
    for mapping in &Mappings::enumerate(dm)? {
        if !mapping.uuid.as_ref().is_some_and(|uuid| volume.is_of(uuid)) {
            continue;
        }
        match state(dm, &mapping.name) {
            Ok(active) if has_own_header(&active, header) => {}
            // One that is not known to have its own may use this one.
            Ok(_) | Err(VolumeError::NotCrypt(_) | VolumeError::NoTable(_)) => users.push(mapping.name.to_string()),
            Err(VolumeError::NotActive(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(users)
}

/// With integrity protection, another mapping is between the volume and the device with its header.
fn has_own_header(active: &Active, header: &Header) -> bool {
    let below = active.device.number().map(block_device::made_of).unwrap_or_default();
    let further = below.into_iter().filter_map(|number| File::open(number.path()?).ok());
    open_below(active)
        .into_iter()
        .chain(further)
        .any(|mut device| is_header_of(&mut device, header))
}

/// Whether a device starts with a header of the same volume.
pub(crate) fn is_header_of(device: &mut File, header: &Header) -> bool {
    Header::read(device).is_ok_and(|own| own.uuid() == header.uuid())
}
