//! A mapping that is there, or should not be: found by its name, and judged before a key is asked for.

use std::path::{Path, PathBuf};

use keyslots::header::Version;
use keyslots::kdf::CostLimits;
use keyslots::secret::VolumeKey;
use keyslots::units::Sectors;

use super::{CryptError, Keys, LuksDevice, open_to_look};
use crate::block_device::{self, DevNo, Topology};
use crate::data_device::DataDeviceError;
use crate::dm::{DeviceId, DeviceName, Dm, DmErrorKind, Mangling};
use crate::header_device::Wanted;
use crate::mapping::{Examined, VolumeKind};
use crate::userspace::{Registry, Served};
use crate::volume::{self, Active, VolumeError};

/// Finds the device-mapper, and the name of a mapping, given as such or as the path of its node.
///
/// # Errors
/// [`CryptError::Volume`]; without a device-mapper, that, unless the path leads nowhere.
pub fn find(name: &str) -> Result<(Dm, DeviceName), CryptError> {
    let dm = match Dm::open() {
        Err(error)
            if error.kind() == DmErrorKind::NoDeviceMapper && name.contains('/') && !Path::new(name).exists() =>
        {
            return Err(VolumeError::NotActive(name.to_owned()).into());
        }
        dm => dm?,
    };
    Ok((dm, named(name)?))
}

/// A path outside the folder of mappings cannot name an active mapping.
fn named(name: &str) -> Result<DeviceName, CryptError> {
    if name.starts_with("/dev/mapper/") || !name.contains('/') {
        return mapping_name(name);
    }
    let number = DevNo::of_path(Path::new(name)).ok().flatten();
    match number.and_then(block_device::dm_name_and_uuid) {
        // The name in the kernel's form.
        Some((name, _)) => Ok(DeviceName::new(name).map_err(VolumeError::from)?),
        None => Err(VolumeError::NotActive(name.to_owned()).into()),
    }
}

/// The name of a mapping, which may be given as its path.
fn mapping_name(name: &str) -> Result<DeviceName, CryptError> {
    let name = name.strip_prefix("/dev/mapper/").unwrap_or(name);
    Ok(DeviceName::mangled(name, Mangling::default()).map_err(VolumeError::from)?)
}

/// The volume of this name that is served without the device-mapper. It may be given as the path of its file.
pub fn served(name: &str) -> Option<Served> {
    let registry = Registry::existing()?;
    let given = Path::new(name);
    let name = match given.file_name() {
        Some(last) if given.is_absolute() && registry.path(&last.to_string_lossy()) == given => last.to_str()?,
        _ => name,
    };
    registry.find(name)
}

/// An active encrypted volume.
#[derive(Debug)]
pub struct ActiveVolume {
    pub(super) dm: Dm,
    pub(super) name: DeviceName,
    pub(super) state: Active,
}

impl ActiveVolume {
    /// Its name.
    pub fn name(&self) -> &DeviceName {
        &self.name
    }

    /// Its state.
    pub fn state(&self) -> &Active {
        &self.state
    }

    /// Its targets, decoded.
    ///
    /// # Errors
    /// [`CryptError::Volume`]: the device-mapper's.
    pub(crate) fn examine(&self) -> Result<Examined, CryptError> {
        Ok(Examined::of(&self.dm, &DeviceId::Name(self.name.clone()), false)?)
    }

    /// The volume of this name that is about to get another table; `device` is where its user expects its data.
    ///
    /// # Errors
    /// [`CryptError::NotManaged`]; [`CryptError::Volume`] where it is suspended, or on another device;
    /// [`CryptError::Data`] where the device cannot be opened.
    pub fn to_refresh(name: &str, device: Option<&Path>) -> Result<Self, CryptError> {
        let (dm, name) = (Dm::open()?, mapping_name(name)?);
        let state = match volume::state(&dm, &name) {
            Err(VolumeError::NotCrypt(name) | VolumeError::NoTable(name)) => return Err(CryptError::NotManaged(name)),
            state => state?,
        };
        let active = Self { dm, name, state };
        active.check_runs()?;
        if let Some(device) = device {
            let opened = open_to_look(device).map_err(DataDeviceError::open(device))?;
            volume::check_device(&active.name, &active.state, &opened)?;
        }
        match active.state.kind {
            Some(VolumeKind::Plain | VolumeKind::Luks1 | VolumeKind::Luks2) => Ok(active),
            Some(VolumeKind::Other) | None => Err(active.not_managed()),
        }
    }

    /// The device that it is on.
    ///
    /// # Errors
    /// [`VolumeError::NotActive`]: there is none any more.
    pub fn path(&self) -> Result<PathBuf, VolumeError> {
        let path = self.state.device.path();
        path.ok_or_else(|| VolumeError::NotActive(self.name.to_string()))
    }

    pub(super) fn not_managed(&self) -> CryptError {
        CryptError::NotManaged(self.name.to_string())
    }

    pub(super) fn check_runs(&self) -> Result<(), VolumeError> {
        match self.state.info.suspended {
            true => Err(VolumeError::Frozen(self.name.to_string())),
            false => Ok(()),
        }
    }

    /// Its header, with its data on `device`.
    pub(super) fn header<K: Keys + ?Sized>(
        &self,
        keys: &K,
        device: &Path,
        version: Version,
    ) -> Result<LuksDevice, K::Error> {
        let volume = keys.header(device, Wanted::Only(version), Some(&self.name))?;
        volume
            .check_identity(&self.name, &self.state)
            .map_err(CryptError::from)?;
        Ok(volume)
    }
}

/// The version of the header of such a volume.
pub(super) fn version_of(kind: Option<VolumeKind>) -> Option<Version> {
    match kind? {
        VolumeKind::Luks1 => Some(Version::Luks1),
        VolumeKind::Luks2 => Some(Version::Luks2),
        VolumeKind::Plain | VolumeKind::Other => None,
    }
}

/// Another size for an active volume.
#[derive(Clone, Copy, Debug)]
pub struct ResizeRequest<'a> {
    /// The size; that of the device below where none is given.
    pub size: Option<Sectors>,
    /// Whether the kernel may take the key from the keyring.
    pub may_use_keyring: bool,
    /// The limits for the cost of a digest of the key.
    pub limits: &'a CostLimits,
}

/// Makes an active volume longer or shorter. The device below it keeps its size. Its key is asked for only where the kernel
/// had it from the keyring, which has it no longer.
///
/// # Errors
/// [`CryptError`].
pub fn resize<K: Keys + ?Sized>(name: &str, request: &ResizeRequest<'_>, keys: &K) -> Result<(), K::Error> {
    let (active, path, size) = to_resize(name, request)?;
    let key = match active.state.key_location {
        volume::KeyLocation::DmCrypt => None,
        volume::KeyLocation::Keyring if !request.may_use_keyring => {
            return Err(CryptError::KeyringNeeded(active.name.to_string()).into());
        }
        volume::KeyLocation::Keyring => Some(key_of(&active, &path, request.limits, keys)?),
    };
    let resized = volume::resize(&active.dm, &active.name, size, key.as_ref());
    Ok(resized.map_err(CryptError::from)?)
}

fn to_resize(name: &str, request: &ResizeRequest<'_>) -> Result<(ActiveVolume, PathBuf, Sectors), CryptError> {
    let (dm, name) = find(name)?;
    let state = match volume::state(&dm, &name) {
        Err(VolumeError::NotCrypt(name)) => return Err(CryptError::NotManaged(name)),
        state => state?,
    };
    let active = ActiveVolume { dm, name, state };
    if active.state.kind.is_none() {
        return Err(active.not_managed());
    }
    active.check_runs()?;
    let path = active.path()?;
    if let Some(number) = active.state.device.number() {
        // The file behind a loop device may have grown since.
        block_device::update_loop_size(number).map_err(CryptError::io("ask for the size of the loop device"))?;
    }
    let device = Topology::of(&path).map_err(DataDeviceError::open(&path))?;
    let (offset, sector_size) = (active.state.offset, active.state.sector_size());
    let size = volume::size_of_data(&path, device.size.sectors(), offset, request.size, sector_size)?;
    Ok((active, path, size))
}

/// The key of the data: another one would turn them into garbage.
fn key_of<K: Keys + ?Sized>(
    active: &ActiveVolume,
    path: &Path,
    limits: &CostLimits,
    keys: &K,
) -> Result<VolumeKey, K::Error> {
    // No other kind has a header to take the key from.
    let version = version_of(active.state.kind).ok_or_else(|| active.not_managed())?;
    let mut volume = active.header(keys, path, version)?;
    let key = keys.key(&mut volume, path)?;
    let verified = volume.header.verify_volume_key(&key, limits);
    verified.map_err(CryptError::from)?;
    Ok(key)
}
