//! Changing the live table of a mapping: its length, or how it is encrypted on which processor. The rest stays as the
//! kernel has it, the key included.

use keyslots::cipher::CipherName;
use keyslots::secret::VolumeKey;
use keyslots::units::Sectors;

use super::{Flags, VolumeError};
use crate::dm::table::{CryptKey, CryptTarget, KeyKind, Table, Target};
use crate::dm::{DeviceId, DeviceName, Dm, SuspendOptions, Which};
use crate::keyring;

/// Sets the size of an active mapping to `size`. `key` is needed if the kernel got the key from a keyring, which no
/// longer has it.
///
/// # Errors
/// [`VolumeError::Frozen`], [`VolumeError::KeyNeeded`], [`VolumeError::NotActive`], [`VolumeError::NotCrypt`], the
/// keyring's or the device-mapper's. The mapping is as before then.
pub fn resize(dm: &Dm, name: &DeviceName, size: Sectors, key: Option<&VolumeKey>) -> Result<(), VolumeError> {
    change(dm, name, key, |length, _| {
        *length = size;
        Ok(())
    })
}

/// Changes the flags of an active plain mapping, except whether it can be written to. The cipher, the sector size and
/// the key have to match.
///
/// # Errors
/// [`VolumeError::Mismatch`], or as [`resize`].
pub fn refresh_plain(
    dm: &Dm,
    name: &DeviceName,
    (cipher, sector_size): (&CipherName, u32),
    key: &VolumeKey,
    flags: Flags,
) -> Result<(), VolumeError> {
    change(dm, name, None, |_, crypt| {
        let same_key = matches!(&crypt.key, CryptKey::Raw(active) if active.ct_eq(key.expose()));
        let active_size = crypt.options.sector_size.unwrap_or(512);
        if !same_key || !cipher.is_same(&CipherName::new(&crypt.cipher)) || active_size != sector_size {
            return Err(VolumeError::Mismatch(name.to_string()));
        }
        crypt.options = flags.to_options(sector_size, crypt.options.iv_large_sectors);
        Ok(())
    })
}

/// Loads the live table again as changed by `edit`, and makes it live.
fn change(
    dm: &Dm,
    name: &DeviceName,
    key: Option<&VolumeKey>,
    edit: impl FnOnce(&mut Sectors, &mut CryptTarget) -> Result<(), VolumeError>,
) -> Result<(), VolumeError> {
    let id = DeviceId::Name(name.clone());
    let (info, text) = match dm.table(&id, Which::Live) {
        Ok(answer) => answer,
        Err(error) if error.is_not_found() => return Err(VolumeError::NotActive(name.to_string())),
        Err(error) => return Err(error.into()),
    };
    if info.suspended {
        return Err(VolumeError::Frozen(name.to_string()));
    }
    let mut table = Table::from_text(&text)?;
    let not_crypt = || VolumeError::NotCrypt(name.to_string());
    let [line] = table.lines.as_mut_slice() else {
        return Err(not_crypt());
    };
    let Target::Crypt(crypt) = &mut line.target else {
        return Err(not_crypt());
    };
    edit(&mut line.length, crypt)?;
    // A key of another type than logon is still where the kernel found it the first time.
    let _in_keyring = match (&crypt.key, key) {
        (
            CryptKey::Keyring {
                kind: KeyKind::Logon,
                description,
                ..
            },
            Some(key),
        ) => Some(keyring::add_logon_key(description, key.expose())?),
        (
            CryptKey::Keyring {
                kind: KeyKind::Logon, ..
            },
            None,
        ) => {
            return Err(VolumeError::KeyNeeded(name.to_string()));
        }
        _ => None,
    };
    dm.replace(&id, &table.to_text()?, info.read_only, SuspendOptions::default())?;
    Ok(())
}
