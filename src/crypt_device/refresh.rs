//! Other flags for an active volume.

use std::path::Path;

use keyslots::cipher::CipherName;
use keyslots::header::Version;
use keyslots::secret::VolumeKey;

use super::active::ActiveVolume;
use super::{CryptError, KeyLink, Keys, LuksDevice, LuksMapping};
use crate::data_device::DataDevice;
use crate::header_device::Wanted;
use crate::volume::{self, Activate, Flags};

/// A LUKS volume that gets other flags.
#[derive(Clone, Copy, Debug)]
pub struct RefreshRequest<'a> {
    /// The device with the data, as the user named it.
    pub device: Option<&'a Path>,
    /// The version that the header should have.
    pub wanted: Wanted,
    /// Whether the header has to have a place for flags.
    pub stores_flags: bool,
    /// The flags, and how they get there.
    pub how: &'a LuksMapping<'a>,
}

impl ActiveVolume {
    /// Gives a LUKS volume a table with other flags. Whether it can be written to stays. Returns its header.
    ///
    /// # Errors
    /// [`CryptError`], or that of `keys`.
    pub fn refresh<K: Keys + ?Sized>(&self, request: &RefreshRequest<'_>, keys: &K) -> Result<LuksDevice, K::Error> {
        let path = match request.device {
            Some(device) => device.to_owned(),
            None => self.path().map_err(CryptError::from)?,
        };
        let link = keys.link()?;
        let mut volume = keys.header(&path, request.wanted, None)?;
        volume
            .check_identity(&self.name, &self.state)
            .map_err(CryptError::from)?;
        if request.stores_flags {
            volume.check_stores_flags()?;
        }
        let key = keys.key(&mut volume, &path)?;
        KeyLink::during(link.as_ref(), &key, || self.reload(&volume, &path, request.how, &key))?;
        Ok(volume)
    }

    fn reload(
        &self,
        volume: &LuksDevice,
        path: &Path,
        how: &LuksMapping<'_>,
        key: &VolumeKey,
    ) -> Result<(), CryptError> {
        let layout = volume::mappable(&volume.header)?;
        let mut flags = volume.flags(how.flags, how.without_stored_flags);
        flags.read_only = self.state.flags.read_only;
        // A container file is behind the loop device that it is mapped from.
        let data = DataDevice::open(&self.path()?, flags.read_only, false, layout.sector_size)?;
        volume.check_data(&layout, path, &data.file)?;
        let key_place = volume.key_place(how, key)?;
        flags.read_only |= data.read_only;
        let mapping = Activate {
            name: &self.name,
            identity: volume::identity(&volume.header),
            path,
            device: data.number,
            device_size: data.size,
            layout: &layout,
            iv_large_sectors: false,
            flags,
            key_place,
        };
        Ok(volume::reload(&self.dm, &mapping, key)?)
    }

    /// Gives a volume without a header other flags. Its cipher, sector size and key have to be these: nothing else can verify
    /// them.
    ///
    /// # Errors
    /// [`CryptError::Volume`], or that of `key`.
    pub fn refresh_plain<E: From<CryptError>>(
        &self,
        cipher: (&CipherName, u32),
        flags: Flags,
        key: impl FnOnce(&Path) -> Result<VolumeKey, E>,
    ) -> Result<(), E> {
        let path = self.path().map_err(CryptError::from)?;
        let (name, sector_size) = cipher;
        if !name.is_same(&CipherName::new(&self.state.cipher)) || self.state.sector_size() != sector_size {
            return Err(CryptError::from(volume::VolumeError::Mismatch(self.name.to_string())).into());
        }
        let key = key(&path)?;
        let refreshed = volume::refresh_plain(&self.dm, &self.name, cipher, &key, flags);
        Ok(refreshed.map_err(CryptError::from)?)
    }
}

impl LuksDevice {
    /// Checks that the header can store flags.
    ///
    /// # Errors
    /// [`CryptError::OnlyLuks2`].
    pub fn check_stores_flags(&self) -> Result<(), CryptError> {
        match self.header.version() {
            Version::Luks1 => Err(CryptError::OnlyLuks2),
            Version::Luks2 => Ok(()),
        }
    }
}
