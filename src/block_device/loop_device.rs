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

/// A loop device that is held open. It goes by itself when this and every mapping on it are gone.
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
    /// Backs a free loop device by the file at `path`: read-only where that is asked for or the file is.
    ///
    /// The device has logical blocks of `block_size` bytes, as the encryption sectors of the volume.
    ///
    /// It keeps who would write to the volume in the file by other means ([`lock_file`]) out for as long as it is there.
    ///
    /// # Errors
    /// The system's; `NotFound` where there are no loop devices, `WouldBlock` where somebody has locked the file.
    pub fn attach(path: &Path, read_only: bool, block_size: u32) -> io::Result<Self> {
        let (file, read_only) = open_backing(path, read_only)?;
        // The kernel keeps this very description of the file, and the lock with it.
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

/// Lets a loop device take the size that the file behind it has now. Any other device has the size that it has.
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

/// The kernel's names of the loop devices on a file.
pub fn loops_on(file: &fs::Metadata) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .filter_map(|device| {
            let name = device.file_name().into_string().ok()?;
            let backing = fs::read(device.path().join("loop/backing_file")).ok()?;
            let backing = fs::metadata(backing_path(&backing)).ok()?;
            ((backing.dev(), backing.ino()) == (file.dev(), file.ino())).then_some(name)
        })
        .collect()
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
