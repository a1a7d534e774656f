//! From a key to a mapping: the one place that maps a volume, or gives its mapping another table.

use std::path::Path;

use keyslots::header::{DataLayout, Header};
use keyslots::kdf::CostLimits;
use keyslots::secret::VolumeKey;

use super::{CryptError, LookedAt, LuksDevice};
use crate::data_device::DataDevice;
use crate::dm::{DeviceName, Dm};
use crate::volume::{self, Activate, Active, Flags, Identity, KeyPlace, VolumeError};

/// A mapping to make.
#[derive(Debug)]
pub struct MapRequest<'a> {
    /// Its name.
    pub name: &'a DeviceName,
    /// The device with the data, as the user named it.
    pub path: &'a Path,
    /// The device that was looked at before the prompt for a passphrase: no other is mapped in its place.
    pub looked_at: &'a LookedAt,
    /// The requested flags.
    pub flags: Flags,
    /// Whether the device may have other users.
    pub shared: bool,
}

/// An active mapping that gets other flags.
#[derive(Debug)]
pub struct RefreshRequest<'a> {
    /// Its name.
    pub name: &'a DeviceName,
    /// The device with the data, as the user named it.
    pub path: &'a Path,
    /// Its state.
    pub active: &'a Active,
    /// The requested flags.
    pub flags: Flags,
}

/// The parameters of a volume without a header.
#[derive(Debug)]
pub struct PlainVolume<'a> {
    /// The encryption and the place of its data.
    pub layout: &'a DataLayout,
    /// Whether IVs count encryption sectors instead of 512-byte ones.
    pub iv_large_sectors: bool,
}

/// How a LUKS volume is mapped, besides the request.
#[derive(Clone, Copy, Debug)]
pub struct LuksMapping<'a> {
    /// Whether the flags that the header stores are left out, since others replace them.
    pub without_stored_flags: bool,
    /// Whether the kernel may take the key from the keyring.
    pub may_use_keyring: bool,
    /// The limits for the cost of a digest of the key.
    pub limits: &'a CostLimits,
}

impl MapRequest<'_> {
    fn open_data(&self, read_only: bool, sector_size: u32) -> Result<DataDevice, CryptError> {
        let data = DataDevice::open(self.path, read_only, !self.shared, sector_size)?;
        // The open device is mapped, and not the one that the path leads to by now.
        match self.looked_at.is(data.number) {
            true => Ok(data),
            false => Err(CryptError::Replaced(self.path.to_owned())),
        }
    }

    /// Maps a volume without a header. A wrong key cannot be detected.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn map_plain(&self, dm: &Dm, volume: &PlainVolume<'_>, key: &VolumeKey) -> Result<(), CryptError> {
        let mut flags = self.flags;
        let data = self.open_data(flags.read_only, volume.layout.sector_size)?;
        flags.read_only |= data.read_only;
        let mapping = Activate {
            name: self.name,
            identity: Identity::Plain,
            path: self.path,
            device: data.number,
            device_size: data.size,
            layout: volume.layout,
            iv_large_sectors: volume.iv_large_sectors,
            flags,
            key_place: KeyPlace::Table,
        };
        Ok(volume::activate(dm, &mapping, key)?)
    }
}

impl LuksDevice {
    /// The flags of an activation that was given `given`.
    pub fn flags(&self, given: Flags, without_stored: bool) -> Flags {
        match &self.header {
            Header::Luks1(_) => given,
            Header::Luks2(header) => given.with_stored(&header.metadata().config.flags, without_stored),
        }
    }

    /// Maps the volume.
    ///
    /// # Errors
    /// [`CryptError`]; also where the key is not that of the data.
    pub fn map(
        &self,
        dm: &Dm,
        request: &MapRequest<'_>,
        how: &LuksMapping<'_>,
        key: &VolumeKey,
    ) -> Result<(), CryptError> {
        let layout = volume::mappable(&self.header)?;
        let flags = self.flags(request.flags, how.without_stored_flags);
        let data = request.open_data(flags.read_only, layout.sector_size)?;
        self.check_data(&layout, request.path, &data.file)?;
        let place = self.key_place(how, key)?;
        let mapping = self.activation((request.name, request.path), (&layout, &data), flags, place);
        Ok(volume::activate(dm, &mapping, key)?)
    }

    /// Gives an active mapping of this volume a table with other flags. Whether it can be written to stays.
    ///
    /// # Errors
    /// [`CryptError`].
    pub fn refresh(
        &self,
        dm: &Dm,
        request: &RefreshRequest<'_>,
        how: &LuksMapping<'_>,
        key: &VolumeKey,
    ) -> Result<(), CryptError> {
        let layout = volume::mappable(&self.header)?;
        let mut flags = self.flags(request.flags, how.without_stored_flags);
        flags.read_only = request.active.flags.read_only;
        // A container file is behind the loop device that it is mapped from.
        let below = request.active.device.path();
        let below = below.ok_or_else(|| VolumeError::NotActive(request.name.to_string()))?;
        let data = DataDevice::open(&below, flags.read_only, false, layout.sector_size)?;
        self.check_data(&layout, request.path, &data.file)?;
        let place = self.key_place(how, key)?;
        let mapping = self.activation((request.name, request.path), (&layout, &data), flags, place);
        Ok(volume::reload(dm, &mapping, key)?)
    }

    fn activation<'a>(
        &self,
        (name, path): (&'a DeviceName, &'a Path),
        (layout, data): (&'a DataLayout, &DataDevice),
        mut flags: Flags,
        key_place: KeyPlace,
    ) -> Activate<'a> {
        flags.read_only |= data.read_only;
        Activate {
            name,
            identity: volume::identity(&self.header),
            path,
            device: data.number,
            device_size: data.size,
            layout,
            iv_large_sectors: false,
            flags,
            key_place,
        }
    }

    /// Where the kernel gets the key, after a check that it is the key of the data.
    ///
    /// # Errors
    /// That of the digest, where the key is not the volume's.
    pub fn key_place(&self, how: &LuksMapping<'_>, key: &VolumeKey) -> Result<KeyPlace, VolumeError> {
        volume::key_place(&self.header, key, how.may_use_keyring, how.limits)
    }
}
