//! Mapping a volume: layout and key become a crypt table.

use std::path::Path;

use keyslots::header::DataLayout;
use keyslots::secret::{Secret, VolumeKey};
use keyslots::units::{SECTOR_SIZE, Sectors};
use nix::errno::Errno;

use super::cipher_check::lacks_dm_crypt;
use super::{Flags, Identity, VolumeError};
use crate::block_device::DevNo;
use crate::dm::DeviceName;
use crate::dm::DmErrorKind;
use crate::dm::table::{CryptKey, CryptTarget, DeviceRef, KeyKind, Table, TableText, Target};
use crate::dm::{DeviceId, Dm, NewDevice, SuspendOptions};
use crate::keyring;
use crate::log;

/// The source of the volume key for the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// From the table itself.
    Table,
    /// From the keyring of this thread, as a logon key of this description; it is gone from there when the table is
    /// loaded.
    Keyring(String),
}

/// A volume to map.
#[derive(Debug)]
pub struct Activate<'a> {
    /// The name of the mapping.
    pub name: &'a DeviceName,
    /// The identity of the volume.
    pub identity: Identity,
    /// The data device, for messages.
    pub path: &'a Path,
    /// The data device.
    pub device: DevNo,
    /// Its size.
    pub device_size: Sectors,
    /// The encryption and the place of its data.
    pub layout: &'a DataLayout,
    /// Whether IVs count encryption sectors instead of 512-byte ones.
    pub iv_large_sectors: bool,
    /// The flags of the mapping.
    pub flags: Flags,
    /// The source of the key for the kernel.
    pub key_place: KeyPlace,
}

impl Activate<'_> {
    /// The size of the mapping.
    ///
    /// # Errors
    /// As [`size_of_data`], or [`VolumeError::IvNotAligned`].
    pub fn size(&self) -> Result<Sectors, VolumeError> {
        let (iv_offset, sector_size) = (self.layout.iv_offset, self.layout.sector_size);
        if !is_aligned(iv_offset, sector_size) {
            return Err(VolumeError::IvNotAligned { iv_offset, sector_size });
        }
        size_of_data(
            self.path,
            self.device_size,
            self.layout.offset,
            self.layout.size,
            sector_size,
        )
    }

    /// The table, with the key or where it is.
    fn table(&self, key: &VolumeKey) -> Result<TableText, VolumeError> {
        let crypt_key = match &self.key_place {
            // The null cipher has no key in the kernel, whatever the header keeps for it.
            _ if self.layout.cipher.is_null() => CryptKey::Raw(Secret::zeroed(0).map_err(VolumeError::Memory)?),
            KeyPlace::Table => CryptKey::Raw(Secret::copy_from(key.expose()).map_err(VolumeError::Memory)?),
            KeyPlace::Keyring(description) => CryptKey::Keyring {
                len: key.len(),
                kind: KeyKind::Logon,
                description: description.clone(),
            },
        };
        let target = CryptTarget {
            cipher: self.layout.cipher.to_string(),
            key: crypt_key,
            iv_offset: self.layout.iv_offset,
            device: DeviceRef::Number(self.device),
            offset: self.layout.offset,
            options: self.flags.to_options(self.layout.sector_size, self.iv_large_sectors),
        };
        Ok(Table::single(self.size()?, Target::Crypt(target)).to_text()?)
    }

    fn tell(&self, what: &str) {
        let key = match &self.key_place {
            KeyPlace::Table => "the table",
            KeyPlace::Keyring(_) => "the keyring",
        };
        let layout = self.layout;
        log::debug(format_args!(
            "{what} {} on {} ({}): cipher {}, offset {}, sectors of {} bytes, {:?}, key in {key}.",
            self.name,
            self.path.display(),
            self.device,
            layout.cipher,
            layout.offset.get(),
            layout.sector_size,
            self.flags,
        ));
    }

    /// Loads the table by `load`, with the key in the keyring while that lasts.
    fn with_key<T>(
        &self,
        dm: &Dm,
        key: &VolumeKey,
        load: impl FnOnce(&TableText) -> Result<T, VolumeError>,
    ) -> Result<T, VolumeError> {
        let table = self.table(key)?;
        let _in_keyring = match &self.key_place {
            KeyPlace::Table => None,
            KeyPlace::Keyring(description) => Some(keyring::add_logon_key(description, key.expose())?),
        };
        load(&table).map_err(|error| self.explain(dm, error, key))
    }

    /// The kernel's errors for a cipher that it does not have.
    fn explain(&self, dm: &Dm, error: VolumeError, key: &VolumeKey) -> VolumeError {
        match error {
            VolumeError::Dm(source) if source.errno() == Some(Errno::EINVAL) && lacks_dm_crypt(dm) => {
                VolumeError::NoDmCrypt(source)
            }
            VolumeError::Dm(source) if self.flags.high_priority && source.errno() == Some(Errno::EINVAL) => {
                VolumeError::OptionsRefused(source)
            }
            VolumeError::Dm(source) if matches!(source.errno(), Some(Errno::ENOENT | Errno::EINVAL)) => {
                VolumeError::CipherRefused {
                    cipher: self.layout.cipher.to_string(),
                    key_bits: key.len() * 8,
                    source,
                }
            }
            other => other,
        }
    }
}

/// The size of the data on a device of `device_size`: `wanted`, or all from `offset` on.
///
/// # Errors
/// [`VolumeError::NoData`] where the device ends before the data, [`VolumeError::TooSmall`] where it ends inside them,
/// [`VolumeError::SizeNotAligned`].
pub fn size_of_data(
    device: &Path,
    device_size: Sectors,
    offset: Sectors,
    wanted: Option<Sectors>,
    sector_size: u32,
) -> Result<Sectors, VolumeError> {
    let available = device_size.checked_sub(offset).unwrap_or_default();
    if available == Sectors::ZERO {
        return Err(VolumeError::NoData {
            device: device.to_owned(),
            offset,
            size: device_size,
        });
    }
    let size = wanted.unwrap_or(available);
    if size > available {
        return Err(VolumeError::TooSmall {
            device: device.to_owned(),
            wanted: size,
            available,
        });
    }
    if size == Sectors::ZERO || !is_aligned(size, sector_size) {
        return Err(VolumeError::SizeNotAligned { size, sector_size });
    }
    Ok(size)
}

/// Whether a place or a length is a multiple of the encryption sector size.
fn is_aligned(sectors: Sectors, sector_size: u32) -> bool {
    sectors
        .get()
        .is_multiple_of(u64::from(sector_size).div_ceil(SECTOR_SIZE))
}

/// Checks that no device has the name.
///
/// # Errors
/// [`VolumeError::Exists`], or the device-mapper's.
pub fn check_free(dm: &Dm, name: &DeviceName) -> Result<(), VolumeError> {
    match dm.info(&DeviceId::Name(name.clone())) {
        Ok(_) => Err(VolumeError::Exists(name.to_string())),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Maps the volume.
///
/// # Errors
/// [`VolumeError`]; no mapping is left behind then.
pub fn activate(dm: &Dm, volume: &Activate<'_>, key: &VolumeKey) -> Result<(), VolumeError> {
    let uuid = volume.identity.dm_uuid(volume.name)?;
    volume.tell("Mapping");
    volume.with_key(dm, key, |table| {
        let new = NewDevice {
            read_only: volume.flags.read_only,
            ..NewDevice::new(volume.name, Some(&uuid), table)
        };
        match dm.create(&new) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == DmErrorKind::Exists => Err(VolumeError::Exists(volume.name.to_string())),
            Err(error) => Err(error.into()),
        }
    })
}

/// Gives an active mapping of the same volume another table: other flags, another size.
///
/// # Errors
/// [`VolumeError`]; the mapping is as before then.
pub fn reload(dm: &Dm, volume: &Activate<'_>, key: &VolumeKey) -> Result<(), VolumeError> {
    let id = DeviceId::Name(volume.name.clone());
    volume.tell("Loading another table for");
    volume.with_key(dm, key, |table| {
        dm.replace(&id, table, volume.flags.read_only, SuspendOptions::default())?;
        Ok(())
    })
}
