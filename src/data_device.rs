//! The device that holds a volume's data: a block device, or a file behind a loop device that goes by itself.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyslots::storage::Storage as _;
use keyslots::units::Sectors;
use nix::errno::Errno;
use nix::libc;

use crate::block_device::{self, DevNo, Holder, LoopDevice};
use crate::log;

/// Why a device cannot hold data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDeviceError {
    /// It is not there, or may not be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is neither a block device nor a file.
    #[error("{} is neither a block device nor a file", .0.display())]
    WrongKind(PathBuf),
    /// It is mounted or mapped.
    #[error("{} is in use", path.display())]
    InUse {
        /// The device.
        path: PathBuf,
        /// Who uses it, as far as that can be seen.
        holders: Vec<Holder>,
    },
    /// There is no loop device for the file.
    #[error("cannot attach a loop device to {}: {source}", path.display())]
    Loop {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl DataDeviceError {
    /// A device that is in use, with who uses it.
    pub fn in_use(path: PathBuf) -> Self {
        let number = DevNo::of_path(&path).ok().flatten();
        Self::InUse {
            path,
            holders: number.map(block_device::holders).unwrap_or_default(),
        }
    }
}

/// An opened data device. A loop device lives as long as this does, and as long as a mapping stands on it.
#[derive(Debug)]
pub struct DataDevice {
    /// Its number.
    pub number: DevNo,
    /// Its size.
    pub size: Sectors,
    /// Whether it cannot be written to.
    pub read_only: bool,
    /// Keeps a loop device from going before a mapping holds it.
    _open: File,
}

impl DataDevice {
    /// Opens the block device, or attaches a loop device to the file. With `exclusive`, a device that is mounted or
    /// mapped is refused.
    ///
    /// # Errors
    /// [`DataDeviceError`].
    pub fn open(path: &Path, read_only: bool, exclusive: bool, sector_size: u32) -> Result<Self, DataDeviceError> {
        let failed = |source| DataDeviceError::Open {
            path: path.to_owned(),
            source,
        };
        let how = if exclusive { " for itself alone" } else { "" };
        log::debug(format_args!("Opening {} for data{how}.", path.display()));
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if kind.is_file() {
            let attached = LoopDevice::attach(path, read_only, sector_size);
            let attached = attached.map_err(|source| match source.kind() {
                // Somebody writes to the volume without the kernel.
                io::ErrorKind::WouldBlock => DataDeviceError::in_use(path.to_owned()),
                _ => DataDeviceError::Loop {
                    path: path.to_owned(),
                    source,
                },
            })?;
            return Self::new(attached.device, &attached.path, attached.read_only);
        }
        if !kind.is_block_device() {
            return Err(DataDeviceError::WrongKind(path.to_owned()));
        }
        if exclusive {
            check_unused(path)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_CLOEXEC)
            .open(path)
            .map_err(failed)?;
        let read_only = read_only || block_device::is_read_only(&file).map_err(failed)?;
        Self::new(file, path, read_only)
    }

    fn new(mut file: File, path: &Path, read_only: bool) -> Result<Self, DataDeviceError> {
        let failed = |source| DataDeviceError::Open {
            path: path.to_owned(),
            source,
        };
        let size = file.size().map_err(failed)?.sectors();
        let number = DevNo::of_file(&file).map_err(failed)?;
        let number = number.ok_or_else(|| DataDeviceError::WrongKind(path.to_owned()))?;
        let access = if read_only { ", read-only" } else { "" };
        log::debug(format_args!(
            "{} is {number}, with {} sectors{access}.",
            path.display(),
            size.get()
        ));
        Ok(Self {
            number,
            size,
            read_only,
            _open: file,
        })
    }
}

/// Checks that nobody has mounted or mapped the device, nor the volume in the file: what is about to be destroyed is in
/// nobody's use.
///
/// # Errors
/// As [`check_unused`].
pub fn check_destroyable(path: &Path) -> Result<(), DataDeviceError> {
    check_unused(path)?;
    let Ok(file) = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)
    else {
        // Whoever goes on to write will be told why that cannot be.
        return Ok(());
    };
    let failed = |source| DataDeviceError::Open {
        path: path.to_owned(),
        source,
    };
    let metadata = file.metadata().map_err(failed)?;
    // A loop device that nobody uses is no reason: scripts set one up first.
    let is_used = |name: &String| check_unused(&Path::new("/dev").join(name)).is_err();
    if metadata.is_file()
        && (block_device::lock_file(&file, true).is_err() || block_device::loops_on(&metadata).iter().any(is_used))
    {
        return Err(DataDeviceError::in_use(path.to_owned()));
    }
    Ok(())
}

/// Checks that nobody has mounted or mapped the device. A file is never in use in this sense.
///
/// # Errors
/// [`DataDeviceError::InUse`], [`DataDeviceError::Open`], [`DataDeviceError::WrongKind`].
pub fn check_unused(path: &Path) -> Result<(), DataDeviceError> {
    let failed = |source| DataDeviceError::Open {
        path: path.to_owned(),
        source,
    };
    let kind = std::fs::metadata(path).map_err(failed)?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if !kind.is_block_device() {
        return Err(DataDeviceError::WrongKind(path.to_owned()));
    }
    // On a block device O_EXCL without O_CREAT asks for just this.
    match OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_EXCL | libc::O_CLOEXEC)
        .open(path)
    {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
            Err(DataDeviceError::in_use(path.to_owned()))
        }
        Err(source) => Err(failed(source)),
    }
}
