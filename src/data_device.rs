//! The device that holds a volume's data: a block device, or a file behind a loop device that is detached automatically.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyslots::storage::Storage as _;
use keyslots::units::Sectors;
use nix::errno::Errno;
use nix::libc;

use crate::block_device::{self, DevNo, Holder, LoopDevice, Mounts};
use crate::log;
use crate::same_bytes;

/// Why a device cannot hold data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDeviceError {
    /// It is missing, or cannot be opened.
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
        /// Its users, as far as they are visible.
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
    /// A device that cannot be opened.
    pub fn open(path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |source| Self::Open {
            path: path.to_owned(),
            source,
        }
    }

    /// A device that is in use, with its users.
    pub fn in_use(path: PathBuf) -> Self {
        let number = DevNo::of_path(&path).ok().flatten();
        Self::InUse {
            path,
            holders: number.map(block_device::holders).unwrap_or_default(),
        }
    }
}

/// An opened data device. A loop device lives as long as this does, and as long as a mapping uses it.
#[derive(Debug)]
pub struct DataDevice {
    /// Its number.
    pub number: DevNo,
    /// Its size.
    pub size: Sectors,
    /// Whether it cannot be written to.
    pub read_only: bool,
    /// The device, opened: keeps a loop device from being detached before a mapping holds it.
    pub file: File,
}

impl DataDevice {
    /// Opens the block device, or attaches a loop device to the file. With `exclusive`, a device that is mounted or
    /// mapped is refused.
    ///
    /// # Errors
    /// [`DataDeviceError`].
    pub fn open(path: &Path, read_only: bool, exclusive: bool, sector_size: u32) -> Result<Self, DataDeviceError> {
        let failed = DataDeviceError::open(path);
        let how = if exclusive { " for itself alone" } else { "" };
        log::debug(format_args!("Opening {} for data{how}.", path.display()));
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if kind.is_file() {
            let attached = LoopDevice::attach(path, read_only, sector_size);
            let attached = attached.map_err(|source| match source.kind() {
                // A process writes to the volume without the kernel.
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
        let failed = DataDeviceError::open(path);
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

/// Checks that neither the device nor the volume in the file is mounted or mapped: the data about to be destroyed are
/// not in use.
///
/// # Errors
/// As [`check_unused`].
pub fn check_destroyable(path: &Path) -> Result<(), DataDeviceError> {
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK);
    match options.read(true).write(true).open(path) {
        Ok(file) => claim(&file, path).map(drop),
        // The write that follows reports why it cannot be done.
        Err(_) => check_unused(path),
    }
}

/// Keeps others from mounting and mapping a device, for as long as it lives. A file has a lock instead, which is released
/// with the descriptor that was claimed.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "the kernel keeps others out while it is open")] Option<File>);

/// Checks that the open `file`, for reading and writing, is not in use, and keeps it so: the file or device itself,
/// whatever `path` leads to by now.
///
/// # Errors
/// As [`check_unused`].
pub fn claim(file: &File, path: &Path) -> Result<Claim, DataDeviceError> {
    let failed = DataDeviceError::open(path);
    let metadata = file.metadata().map_err(failed)?;
    let claim = if metadata.file_type().is_block_device() {
        // On a block device this is the meaning of O_EXCL without O_CREAT.
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
    match is_used_through_loop(file).map_err(failed)? {
        true => Err(in_use(file, path)),
        false => Ok(Claim(claim)),
    }
}

/// Whether some of the bytes of a file or device are in use through a loop device: one on it, on its disk, on a partition of
/// it, or beside it on the same file. No claim keeps those out. An unused loop device does not count: scripts set one up
/// first.
///
/// # Errors
/// The system's, where the descriptor cannot be queried.
pub fn is_used_through_loop(file: &File) -> io::Result<bool> {
    let (ground, own) = (same_bytes::ground(file)?, DevNo::of_file(file)?);
    let reaches = |number: DevNo| same_bytes::ground_of_device(number).overlaps(&ground);
    let used = |name: &str| check_unused(&Path::new("/dev").join(name)).is_err();
    let found = block_device::loops().into_iter().any(|(name, number)| {
        if !reaches(number) || own.is_some_and(|own| claims(own, number)) {
            return false;
        }
        let partitions = block_device::partitions(number);
        let mut taken = partitions.iter().filter(|(name, _)| used(name)).peekable();
        // The disk of a partition in use looks used as well.
        match taken.peek() {
            Some(_) => taken.any(|(_, number)| reaches(*number)),
            None => used(&name),
        }
    });
    Ok(found)
}

/// Whether the user of a loop device is the device itself, its disk or its partition, which the kernel keeps apart, or a
/// mapping or an array that it is made of.
fn claims(own: DevNo, loop_device: DevNo) -> bool {
    let disk = |number| block_device::disk_of_partition(number).unwrap_or(number);
    // With whether each is used by the one above it: the file behind a loop device is not.
    let mut below = vec![(disk(own), true)];
    let mut at = 0;
    while let Some(&(number, claimed)) = below.get(at) {
        if claimed && number == loop_device {
            return true;
        }
        let parts = block_device::made_of(number).into_iter().map(|part| (disk(part), true));
        let behind = block_device::loop_backing_device(number).map(|behind| (behind, false));
        for part in parts.chain(behind) {
            if !below.contains(&part) {
                below.push(part);
            }
        }
        at += 1;
    }
    false
}

fn in_use(file: &File, path: &Path) -> DataDeviceError {
    let number = DevNo::of_file(file).ok().flatten();
    DataDeviceError::InUse {
        path: path.to_owned(),
        holders: number.map(block_device::holders).unwrap_or_default(),
    }
}

/// Checks that the device is neither mounted nor mapped. A file is never in use in this sense.
///
/// # Errors
/// [`DataDeviceError::InUse`], [`DataDeviceError::Open`], [`DataDeviceError::WrongKind`].
pub fn check_unused(path: &Path) -> Result<(), DataDeviceError> {
    let failed = DataDeviceError::open(path);
    let kind = std::fs::metadata(path).map_err(failed)?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if !kind.is_block_device() {
        return Err(DataDeviceError::WrongKind(path.to_owned()));
    }
    // On a block device this is the meaning of O_EXCL without O_CREAT.
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
