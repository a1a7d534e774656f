//! Whether a name is free for a new volume: no mapping has it, and no volume that is served without the device-mapper.

use super::CryptError;
use super::active::served;
use crate::dm::{DeviceName, Dm};
use crate::userspace::{ServeError, check_name};
use crate::volume;

/// Finds the device-mapper, and checks that a name is free for a mapping. It may be given as the mapping's path.
///
/// # Errors
/// [`CryptError::Volume`], [`CryptError::Serve`].
pub fn free_name(name: &str) -> Result<(Dm, DeviceName), CryptError> {
    check_not_served(name)?;
    let name = volume::new_name(without_folder(name))?;
    let dm = Dm::open()?;
    volume::check_free(&dm, &name)?;
    Ok((dm, name))
}

/// Checks that a name is free for a volume that is served, and returns it without the folder of mappings. A name that the
/// kernel would not take is invalid here too; without a device-mapper there is no mapping that could have it.
///
/// # Errors
/// As [`free_name`].
pub fn free_served_name(name: &str) -> Result<&str, CryptError> {
    let name = without_folder(name);
    let mapping = volume::new_name(name)?;
    check_name(name)?;
    check_not_served(name)?;
    if let Ok(dm) = Dm::open() {
        volume::check_free(&dm, &mapping)?;
    }
    Ok(name)
}

fn check_not_served(name: &str) -> Result<(), ServeError> {
    match served(name) {
        Some(served) if served.alive => Err(ServeError::Exists(served.name)),
        _ => Ok(()),
    }
}

fn without_folder(name: &str) -> &str {
    name.strip_prefix("/dev/mapper/").unwrap_or(name)
}
