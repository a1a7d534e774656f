//! The device that holds a volume's data: a block device, or a file behind a loop device that goes by itself.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyslots::storage::Storage as _;
use keyslots::units::Sectors;
use nix::errno::Errno;
use nix::libc;

use crate::block_device::{self, DevNo, Holder, LoopDevice, Mounts};
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
    /// The device, opened: keeps a loop device from going before a mapping holds it.
    pub file: File,
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
            file,
        })
    }
}

/// Checks that nobody has mounted or mapped the device, nor the volume in the file: what is about to be destroyed is in
/// nobody's use.
///
/// # Errors
/// As [`check_unused`].
pub fn check_destroyable(path: &Path) -> Result<(), DataDeviceError> {
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK);
    match options.read(true).write(true).open(path) {
        Ok(file) => claim(&file, path).map(drop),
        // Whoever goes on to write will be told why that cannot be.
        Err(_) => check_unused(path),
    }
}

/// What keeps others from mounting and mapping a device, for as long as it is there. A file has a lock instead, which goes
/// with the descriptor that was claimed.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "the kernel keeps others out while it is open")] Option<File>);

/// Checks that what is open as `file`, for reading and writing, is in nobody's use, and keeps it so: the file or device
/// itself, whatever `path` leads to by now.
///
/// # Errors
/// As [`check_unused`].
pub fn claim(file: &File, path: &Path) -> Result<Claim, DataDeviceError> {
    let failed = |source| DataDeviceError::Open {
        path: path.to_owned(),
        source,
    };
    let metadata = file.metadata().map_err(failed)?;
    let claim = if metadata.file_type().is_block_device() {
        // On a block device O_EXCL without O_CREAT asks for just this.
        match block_device::reopen(file, path, libc::O_EXCL) {
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                return Err(in_use(file, path));
            }
            claim => Some(claim.map_err(failed)?),
        }
    } else if metadata.is_file() {
        if block_device::lock_file(file, true).is_err() || Mounts::read().is_swap_file(&metadata) {
            return Err(in_use(file, path));
        }
        None
    } else {
        return Err(DataDeviceError::WrongKind(path.to_owned()));
    };
    // A loop device that nobody uses is no reason: scripts set one up first.
    match used_loop(&metadata, LOOPS_ON_LOOPS) {
        true => Err(in_use(file, path)),
        false => Ok(Claim(claim)),
    }
}

/// So many loop devices stand on each other at most.
const LOOPS_ON_LOOPS: u32 = 8;

/// Whether a loop device on this is in use, or one on that.
fn used_loop(below: &Metadata, deeper: u32) -> bool {
    block_device::loops_on(below).iter().any(|name| {
        let path = Path::new("/dev").join(name);
        check_unused(&path).is_err()
            || deeper > 0 && std::fs::metadata(&path).is_ok_and(|device| used_loop(&device, deeper - 1))
    })
}

fn in_use(file: &File, path: &Path) -> DataDeviceError {
    let number = DevNo::of_file(file).ok().flatten();
    DataDeviceError::InUse {
        path: path.to_owned(),
        holders: number.map(block_device::holders).unwrap_or_default(),
    }
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
