//! The state of an active mapping.

use std::path::PathBuf;

use keyslots::units::Sectors;

use super::integrity::Inner;
use super::{Flags, VolumeError};
use crate::block_device;
use crate::dm::DeviceName;
use crate::dm::table::{CryptKey, CryptOptions, DeviceRef, Table};
use crate::dm::{DeviceId, DeviceInfo, Dm, Which};
use crate::mapping::VolumeKind;

/// The source of an active mapping's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// From the table.
    DmCrypt,
    /// From a keyring.
    Keyring,
}

/// An active encrypted volume. It has the length of the key, never the key.
#[derive(Clone, Debug)]
pub struct Active {
    /// The device's state, from the device-mapper.
    pub info: DeviceInfo,
    /// The kind of volume, `None` where its UUID does not tell.
    pub kind: Option<VolumeKind>,
    /// The volume's own UUID, for LUKS part of the device's.
    pub uuid: Option<String>,
    /// Cipher specification.
    pub cipher: String,
    /// Length of the key in bytes.
    pub key_len: usize,
    /// The source of the kernel's key.
    pub key_location: KeyLocation,
    /// Description of the key in the keyring.
    pub key_description: Option<String>,
    /// The data device.
    pub device: DeviceRef,
    /// The start of the data on it.
    pub offset: Sectors,
    /// Size of the mapping.
    pub size: Sectors,
    /// Added to the sector number for the IV.
    pub iv_offset: Sectors,
    /// The options of the crypt target.
    pub options: CryptOptions,
    /// The flags that it was mapped with.
    pub flags: Flags,
}

impl Active {
    /// The state according to the live table, `None` if that is not a crypt table.
    pub(crate) fn of_table(info: DeviceInfo, table: &Table) -> Option<Self> {
        let (line, crypt) = table.as_crypt()?;
        let (kind, uuid) = info.uuid.as_ref().and_then(VolumeKind::of_dm_uuid).unzip();
        let (key_location, key_description) = match &crypt.key {
            CryptKey::Raw(_) => (KeyLocation::DmCrypt, None),
            CryptKey::Keyring { description, .. } => (KeyLocation::Keyring, Some(description.clone())),
        };
        Some(Self {
            kind,
            uuid: uuid.flatten(),
            cipher: crypt.cipher.clone(),
            key_len: crypt.key.len(),
            key_location,
            key_description,
            device: crypt.device.clone(),
            offset: crypt.offset,
            size: line.length,
            iv_offset: crypt.iv_offset,
            flags: Flags::of_table(&crypt.options, info.read_only),
            options: crypt.options.clone(),
            info,
        })
    }

    /// Bytes encrypted as one.
    pub fn sector_size(&self) -> u32 {
        self.options.sector_size.unwrap_or(512)
    }

    /// The device below, or its number where it has no node.
    pub fn device_text(&self) -> String {
        let path = self.device.path().map(|path| path.display().to_string());
        path.unwrap_or_else(|| self.device.to_string())
    }

    /// The file behind the device below, where that is a loop device.
    pub fn loop_file(&self) -> Option<PathBuf> {
        block_device::loop_backing_file(self.device.number()?)
    }
}

/// The state of mapping `name`. The kernel is asked with the secure-data flag, since its answer has the key in it.
///
/// # Errors
/// [`VolumeError::NotActive`], [`VolumeError::NoTable`], [`VolumeError::NotCrypt`], or the device-mapper's.
pub fn state(dm: &Dm, name: &DeviceName) -> Result<Active, VolumeError> {
    let (info, text) = match dm.table(&DeviceId::Name(name.clone()), Which::Live) {
        Ok(answer) => answer,
        Err(error) if error.is_not_found() => return Err(VolumeError::NotActive(name.to_string())),
        Err(error) => return Err(error.into()),
    };
    if !info.live_table {
        return Err(VolumeError::NoTable(name.to_string()));
    }
    let not_crypt = || VolumeError::NotCrypt(name.to_string());
    let mut active = Active::of_table(info, &Table::from_text(&text)?).ok_or_else(not_crypt)?;
    // The data device of the volume is below the device that keeps its tags.
    if active.options.integrity.is_some()
        && let Some(below) = active.device.number()
        && let Some(inner) = Inner::of(dm, name, &[below])
    {
        active.device = inner.device;
    }
    Ok(active)
}
