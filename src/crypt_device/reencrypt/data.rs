//! What a reencryption holds while it runs: the data, and the lock that keeps a second process out.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use keyslots::uuid::is_uuid;
use nix::libc;

use crate::block_device;
use crate::crypt_device::{CryptError, LuksDevice, ReencryptionError};
use crate::data_device::{self, Claim, DataDeviceError};
use crate::header_device::HeaderDevice;
use crate::locks::{self, Lock};
use crate::userspace::UserspaceError;

/// The data of a volume, held for this process alone.
#[derive(Debug)]
pub struct OfflineData {
    pub(super) file: File,
    pub(super) path: PathBuf,
    _claim: Claim,
}

impl OfflineData {
    /// Opens and claims the device or file.
    ///
    /// # Errors
    /// [`CryptError::Data`] where it is in use, [`CryptError::Userspace`] where it cannot be opened for writing.
    pub fn open(path: &Path) -> Result<Self, CryptError> {
        // Not for itself alone: the claim is another descriptor, and the header on it is opened too.
        let mut options = File::options();
        options
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK);
        let file = options
            .open(path)
            .map_err(|source| match block_device::is_only_readable(path, &source) {
                true => UserspaceError::NotWritable {
                    path: path.to_owned(),
                    source,
                }
                .into(),
                false => CryptError::from(DataDeviceError::open(path)(source)),
            })?;
        let claim = data_device::claim(&file, path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            _claim: claim,
        })
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Keeps other processes from reencrypting the volume, cryptsetup too.
#[derive(Debug)]
pub struct ReencryptionLock(#[expect(dead_code, reason = "released on drop")] Option<Lock>);

impl ReencryptionLock {
    /// Takes the lock of the volume with this UUID, unless locks of `device` are off.
    pub(super) fn take(device: &HeaderDevice, uuid: &str) -> Result<Self, CryptError> {
        if !device.locks() {
            return Ok(Self(None));
        }
        // It becomes the name of a file.
        if !is_uuid(uuid) {
            return Err(CryptError::BadUuid(uuid.to_owned()));
        }
        match locks::reencryption(uuid) {
            Ok(lock) => Ok(Self(Some(lock))),
            Err(error) if error.source.kind() == io::ErrorKind::TimedOut => Err(ReencryptionError::Running.into()),
            Err(error) => Err(error.into()),
        }
    }
}

impl LuksDevice {
    /// Takes the lock of this volume's reencryption, unless locks are off.
    ///
    /// # Errors
    /// [`ReencryptionError::Running`]; [`CryptError::Lock`].
    pub fn lock_reencryption(&self) -> Result<ReencryptionLock, CryptError> {
        ReencryptionLock::take(&self.device, self.header.uuid())
    }
}
