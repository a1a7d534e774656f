//! Freezing a mapping and taking its key away, and giving it back.

use keyslots::secret::{Secret, VolumeKey};

use super::{Active, KeyPlace, VolumeError};
use crate::dm::DeviceName;
use crate::dm::table::put_hex;
use crate::dm::{DeviceId, Dm, SuspendOptions};
use crate::keyring;

/// Suspends the mapping and wipes its key from the kernel: nothing can be read until [`resume`].
///
/// # Errors
/// [`VolumeError::Suspended`], [`VolumeError::NeedsIntegrity`], or the device-mapper's. Where the key cannot be wiped, the mapping runs again.
pub fn suspend(dm: &Dm, name: &DeviceName, active: &Active) -> Result<(), VolumeError> {
    if active.info.suspended {
        return Err(VolumeError::Suspended(name.to_string()));
    }
    // What cannot be resumed is not suspended: resume does not give a key to a mapping with authentication tags.
    if active.options.integrity.is_some() {
        return Err(VolumeError::NeedsIntegrity);
    }
    let id = DeviceId::Name(name.clone());
    dm.suspend(&id, SuspendOptions::default())?;
    match dm.message(&id, 0, b"key wipe") {
        Ok(_) => Ok(()),
        Err(error) => {
            // The first error is the one to report.
            let _ = dm.resume(&id, SuspendOptions::default());
            Err(error.into())
        }
    }
}

/// Gives the key back and lets the mapping run.
///
/// # Errors
/// [`VolumeError::NotSuspended`], the keyring's or the device-mapper's.
pub fn resume(
    dm: &Dm,
    name: &DeviceName,
    active: &Active,
    key: &VolumeKey,
    place: &KeyPlace,
) -> Result<(), VolumeError> {
    if !active.info.suspended {
        return Err(VolumeError::NotSuspended(name.to_string()));
    }
    let id = DeviceId::Name(name.clone());
    let message = key_set_message(key, place, active.key_len == 0).map_err(VolumeError::Memory)?;
    let _in_keyring = match place {
        KeyPlace::Table => None,
        KeyPlace::Keyring(description) => Some(keyring::add_logon_key(description, key.expose())?),
    };
    dm.message(&id, 0, message.expose())?;
    dm.resume(&id, SuspendOptions::default())?;
    Ok(())
}

/// The null cipher has no key in the kernel, whatever the header keeps for it.
fn key_set_message(key: &VolumeKey, place: &KeyPlace, keyless: bool) -> std::io::Result<Secret> {
    const COMMAND: &[u8] = b"key set ";
    if keyless {
        return Secret::copy_from(b"key set -");
    }
    if let KeyPlace::Keyring(description) = place {
        return Secret::copy_from(format!("key set :{}:logon:{description}", key.len()).as_bytes());
    }
    let mut message = Secret::zeroed(COMMAND.len() + key.len() * 2)?;
    let (command, hex) = message.expose_mut().split_at_mut(COMMAND.len());
    command.copy_from_slice(COMMAND);
    put_hex(hex, key.expose());
    Ok(message)
}
