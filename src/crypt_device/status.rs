//! The state of a volume, as one answer for text and for programs.

use keyslots::units::Bytes;

use super::CryptError;
use super::active::{ActiveVolume, find, served};
use crate::dm::{DeviceId, DeviceInfo, DeviceName, Dm};
use crate::mapping::VolumeKind;
use crate::userspace::Served;
use crate::volume::{self, VolumeError};

/// The answer.
#[derive(Debug)]
pub enum Status {
    /// Nothing of this path is active.
    Inactive(String),
    /// An encrypted volume.
    Volume(Box<ActiveVolume>),
    /// A mapping that is not an encrypted volume.
    Other(Dm, DeviceName),
    /// A device without a table.
    NoTable(DeviceName),
    /// A volume that is served without the device-mapper.
    Served(ServedStatus),
}

/// The state of a served volume.
#[derive(Debug)]
pub struct ServedStatus {
    /// The volume, and its server.
    pub served: Served,
    /// Whether its server is stopped, and would not answer.
    pub stopped: bool,
    /// The size of its data, as far as its server answers.
    pub size: Option<Bytes>,
}

/// A mapping that is not an encrypted volume.
#[derive(Debug)]
pub struct OtherMapping {
    /// The device's state.
    pub info: DeviceInfo,
    /// The kind, according to its UUID: a volume whose table was wiped, or one of another program.
    pub kind: Option<OtherKind>,
}

/// The kind of a mapping, according to its UUID alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherKind {
    /// An encrypted volume.
    Volume(VolumeKind),
    /// dm-verity.
    Verity,
    /// dm-integrity.
    Integrity,
}

/// The state of the volume of this name.
///
/// # Errors
/// [`CryptError`].
pub fn status(name: &str) -> Result<Status, CryptError> {
    if let Some(served) = served(name) {
        return Ok(Status::Served(ServedStatus::of(served)));
    }
    let (dm, name) = match find(name) {
        Err(CryptError::Volume(VolumeError::NotActive(path))) => return Ok(Status::Inactive(path)),
        found => found?,
    };
    Ok(match volume::state(&dm, &name) {
        Ok(state) => Status::Volume(Box::new(ActiveVolume { dm, name, state })),
        Err(VolumeError::NotActive(_)) => Status::Inactive(format!("/dev/mapper/{name}")),
        Err(VolumeError::NoTable(_)) => Status::NoTable(name),
        Err(VolumeError::NotCrypt(_)) => Status::Other(dm, name),
        Err(error) => return Err(error.into()),
    })
}

impl ServedStatus {
    fn of(served: Served) -> Self {
        Self {
            stopped: served.is_stopped(),
            size: served.size(),
            served,
        }
    }
}

impl OtherMapping {
    /// Asks the device-mapper.
    ///
    /// # Errors
    /// Its own.
    pub fn of(dm: &Dm, name: &DeviceName) -> Result<Self, CryptError> {
        let info = dm.info(&DeviceId::Name(name.clone()))?;
        let kind = info
            .uuid
            .as_ref()
            .and_then(|uuid| match VolumeKind::of_dm_uuid(uuid)?.0 {
                VolumeKind::Other if uuid.as_bytes().starts_with(b"CRYPT-VERITY-") => Some(OtherKind::Verity),
                VolumeKind::Other if uuid.as_bytes().starts_with(b"CRYPT-INTEGRITY-") => Some(OtherKind::Integrity),
                VolumeKind::Other => None,
                kind => Some(OtherKind::Volume(kind)),
            });
        Ok(Self { info, kind })
    }
}
