//! A file system that is mounted read-only for as long as a key or a header is read from it.
//!
//! Read-only alone does not mean unchanged: a journal is replayed anyway, and a hibernated machine would wake up on a file
//! system that has changed. So it is mounted from a loop device that cannot be written to, and without its journal;
//! without loop devices, only file systems with an option to ignore their journal are mounted.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::in_flight::InFlight;
use crate::block_device::{LoopDevice, identify};

/// The folder for this program's temporary files.
pub(super) const RUN: &str = "/run/luksmith";

/// A mounted file system; unmounted on drop.
#[derive(Debug)]
pub(super) struct Mounted {
    point: PathBuf,
    /// Behind it, where there are loop devices.
    _loop: Option<LoopDevice>,
    _held: InFlight,
}

impl Mounted {
    /// Mounts the file system on `device`, so that nothing on it is changed, run or taken for a device.
    ///
    /// # Errors
    /// The system's; `InvalidInput` if the kernel knows no file system for it, `ReadOnlyFilesystem` if mounting it would
    /// change it.
    pub(super) fn new(device: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let held = InFlight::at(device)?;
        check_answers(device)?;
        let kinds = kinds(device)?;
        let own = COUNT.fetch_add(1, Ordering::Relaxed);
        let point = Path::new(RUN).join(format!("key-{}-{own}", std::process::id()));
        DirBuilder::new().recursive(true).mode(0o700).create(&point)?;
        let mounted = match LoopDevice::attach(device, true, 512) {
            Ok(behind) => mount_one_of(&kinds, &behind.path, &point, true).map(|()| Some(behind)),
            Err(_) => mount_one_of(&kinds, device, &point, false).map(|()| None),
        };
        match mounted {
            Ok(behind) => Ok(Self {
                point,
                _loop: behind,
                _held: held,
            }),
            Err(error) => {
                let _ = fs::remove_dir(&point);
                Err(error)
            }
        }
    }

    /// Unmounts it. A file that is still open keeps it until that is closed.
    pub(super) fn detach(&self) {
        let _ = umount2(&self.point, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.point);
    }

    /// The path here of a file on it. Its `..` and links that lead out of it are not followed.
    ///
    /// # Errors
    /// The system's; `PermissionDenied` for a link that leads out.
    pub(super) fn file(&self, path: &Path) -> io::Result<PathBuf> {
        let inside = path.components().filter(|part| matches!(part, Component::Normal(_)));
        let path = fs::canonicalize(self.point.join(inside.collect::<PathBuf>()))?;
        if path.starts_with(fs::canonicalize(&self.point)?) {
            Ok(path)
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Reads from the device itself, and not from the kernel's cache. A reader that waits here can be ended; one that waits
/// inside of mount(2) cannot, and neither can a program with a thread that waits there.
fn check_answers(device: &Path) -> io::Result<()> {
    let mut file = File::open(device)?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    file.read_exact(&mut [0; 512])
}

/// The options that make a file system leave its journal alone; `None` if no such option is known. They are in the
/// kernel's documents (filesystems/ext4, xfs, btrfs, f2fs). Of several, the first that the kernel accepts.
fn without_journal(kind: &str) -> Option<&'static [&'static str]> {
    match kind {
        "ext3" | "ext4" => Some(&["noload"]),
        "xfs" => Some(&["norecovery,nouuid", "norecovery"]),
        "btrfs" => Some(&["rescue=nologreplay", "nologreplay", "norecovery"]),
        "f2fs" => Some(&["norecovery", "disable_roll_forward"]),
        "ext2" | "vfat" | "msdos" | "exfat" | "iso9660" | "udf" | "squashfs" | "erofs" | "cramfs" | "romfs" => {
            Some(&[""])
        }
        _ => None,
    }
}

/// Mounts it as the first kind that works; `guarded` means that nothing can be written to the device.
fn mount_one_of(kinds: &[String], device: &Path, point: &Path, guarded: bool) -> io::Result<()> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mut refused = io::Error::from(io::ErrorKind::InvalidInput);
    for kind in kinds {
        let options = match without_journal(kind) {
            Some(options) => options,
            None if guarded => &[""][..],
            None => {
                refused = io::ErrorKind::ReadOnlyFilesystem.into();
                continue;
            }
        };
        for options in options {
            let options = Some(*options).filter(|options| !options.is_empty());
            match mount(Some(device), point, Some(kind.as_str()), flags, options) {
                Ok(()) => return Ok(()),
                // Not of this kind, or a kind or an option that the kernel lacks.
                Err(Errno::EINVAL | Errno::ENODEV) => {}
                Err(errno) => refused = errno.into(),
            }
        }
    }
    Err(refused)
}

/// The kinds of file system to try: the detected one, or else all that the kernel has.
fn kinds(device: &Path) -> io::Result<Vec<String>> {
    let known: &[&str] = match identify(&mut File::open(device)?)?.map(|found| found.kind) {
        Some("ext2" | "ext3" | "ext4" | "ext4dev") => &["ext4", "ext3", "ext2"],
        Some("ntfs") => &["ntfs3", "ntfs"],
        Some("crypto_LUKS" | "jbd" | "swap" | "LVM2_member") => return Err(io::ErrorKind::InvalidInput.into()),
        Some(kind) => &[kind],
        None => {
            let text = fs::read_to_string("/proc/filesystems").unwrap_or_default();
            let kinds = text.lines().filter(|line| !line.starts_with("nodev"));
            return Ok(kinds.map(|line| line.trim().to_owned()).collect());
        }
    };
    Ok(known.iter().map(|kind| (*kind).to_owned()).collect())
}
