//! Loop devices: a file as a block device.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;

use super::{DevNo, ioctl, lock_file};
use crate::log;

/// How often another process may take the free loop device before us.
const RETRIES: usize = 64;

/// A loop device that is held open. It is detached automatically when this and every mapping on it are gone.
#[derive(Debug)]
pub struct LoopDevice {
    /// The device, opened.
    pub device: File,
    /// Its path.
    pub path: PathBuf,
    /// Whether it cannot be written to.
    pub read_only: bool,
}

impl LoopDevice {
    /// Backs a free loop device by the file at `path`: read-only on request, or if the file is.
    ///
    /// The device has logical blocks of `block_size` bytes, as the encryption sectors of the volume.
    ///
    /// Other programs that would write to the volume in the file are locked out ([`lock_file`]) for as long as it
    /// exists.
    ///
    /// # Errors
    /// The system's; `NotFound` if there are no loop devices, `WouldBlock` if another process has locked the file.
    pub fn attach(path: &Path, read_only: bool, block_size: u32) -> io::Result<Self> {
        let (file, read_only) = open_backing(path, read_only)?;
        // The kernel keeps this open file description, and the lock with it.
        lock_file(&file, false).map_err(|errno| match errno {
            Errno::EAGAIN | Errno::EACCES => io::ErrorKind::WouldBlock.into(),
            errno => io::Error::from(errno),
        })?;
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
        let name = fs::canonicalize(path)?;
        for _ in 0..RETRIES {
            let path = PathBuf::from(format!("/dev/loop{}", ioctl::free_loop_device(&control)?));
            let mut options = OpenOptions::new();
            let device = options
                .read(true)
                .write(!read_only)
                .custom_flags(libc::O_CLOEXEC)
                .open(&path)?;
            match ioctl::attach_loop(&device, &file, name.as_os_str().as_bytes(), read_only, block_size) {
                Ok(()) => {
                    log::debug(format_args!("Attached {} to {}.", path.display(), name.display()));
                    return Ok(Self {
                        device,
                        path,
                        read_only,
                    });
                }
                Err(Errno::EBUSY) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

fn open_backing(path: &Path, read_only: bool) -> io::Result<(File, bool)> {
    let open = |write| OpenOptions::new().read(true).write(write).open(path);
    if read_only {
        return Ok((open(false)?, true));
    }
    match open(true) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Ok((open(false)?, true))
        }
        file => Ok((file?, false)),
    }
}

/// Updates a loop device to the present size of its file. Any other device has a fixed size.
///
/// # Errors
/// The system's.
pub fn update_loop_size(number: DevNo) -> io::Result<()> {
    let (Some(_), Some(path)) = (loop_backing_file(number), number.path()) else {
        return Ok(());
    };
    let device = OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC).open(path)?;
    Ok(ioctl::update_loop_size(&device)?)
}

/// Every attached loop device, with the kernel's name.
pub fn loops() -> Vec<(String, DevNo)> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .filter_map(|device| {
            let name = device.file_name().into_string().ok()?;
            let dir = device.path();
            dir.join("loop").exists().then_some(())?;
            let number = fs::read_to_string(dir.join("dev")).ok()?.trim().parse().ok()?;
            Some((name, number))
        })
        .collect()
}

/// The kernel's names of the loop devices on a file or a block device.
pub fn loops_on(below: &fs::Metadata) -> Vec<String> {
    let below_device = DevNo::of_metadata(below);
    loops()
        .into_iter()
        .filter_map(|(name, number)| {
            let backing = backing(number, &number.sysfs(), true)?;
            let on_it = match below_device {
                Some(number) => backing.device == Some(number),
                None => backing.device.is_none() && backing.file == (below.dev(), below.ino()),
            };
            on_it.then_some(name)
        })
        .collect()
}

/// The file or device behind a loop device.
pub(super) struct Backing {
    /// The block device, where it is one.
    pub(super) device: Option<DevNo>,
    /// Else the file: its device and its number there.
    pub(super) file: (u64, u64),
    /// The start of the loop device on it.
    pub(super) offset: u64,
    /// The end of the loop device; 0 for the end of the file.
    pub(super) size_limit: u64,
}

/// The backing of the loop device with this directory in sysfs; `None` for any other device. Querying the device itself
/// (`ask`) is more reliable: the name in sysfs may be gone, or be another file's in this mount namespace.
pub(super) fn backing(number: DevNo, dir: &Path, ask: bool) -> Option<Backing> {
    let name = fs::read(dir.join("loop/backing_file")).ok()?;
    let open = |path| OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC).open(path);
    let device = number.path().filter(|_| ask).and_then(|path| open(path).ok());
    if let Some(info) = device.and_then(|device| ioctl::loop_status(&device).ok()) {
        // Kernels before 5.8 write the file system's number here for a file on one without a device.
        let behind = Some(DevNo::from_raw(info.rdevice)).filter(|behind| behind.major != 0);
        return Some(Backing {
            device: behind,
            file: (DevNo::from_raw(info.device).to_raw(), info.inode),
            offset: info.offset,
            size_limit: info.sizelimit,
        });
    }
    let file = fs::metadata(backing_path(&name)).ok()?;
    let read = |what: &str| {
        fs::read_to_string(dir.join("loop").join(what))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    Some(Backing {
        device: DevNo::of_metadata(&file),
        file: (file.dev(), file.ino()),
        offset: read("offset")?,
        size_limit: read("sizelimit")?,
    })
}

/// The block device behind a loop device, where it is one.
pub fn loop_backing_device(number: DevNo) -> Option<DevNo> {
    backing(number, &number.sysfs(), true)?.device
}

/// The file behind a loop device, `None` for any other device.
pub fn loop_backing_file(number: DevNo) -> Option<PathBuf> {
    let text = fs::read(number.sysfs().join("loop/backing_file")).ok()?;
    Some(backing_path(&text).to_owned())
}

fn backing_path(text: &[u8]) -> &Path {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    Path::new(std::ffi::OsStr::from_bytes(text))
}
