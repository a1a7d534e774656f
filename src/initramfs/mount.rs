//! A file system that is mounted read-only for as long as a key or a header is read from it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::block_device::identify;

/// Where this program keeps what does not outlive it.
pub(super) const RUN: &str = "/run/luksmith";

/// A mounted file system; unmounted on drop.
#[derive(Debug)]
pub(super) struct Mounted {
    point: PathBuf,
}

impl Mounted {
    /// Mounts what is on `device`, so that nothing on it is changed, run or taken for a device.
    ///
    /// # Errors
    /// The system's; `InvalidInput` where the kernel knows no file system for it.
    pub(super) fn new(device: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let own = COUNT.fetch_add(1, Ordering::Relaxed);
        let point = Path::new(RUN).join(format!("key-{}-{own}", std::process::id()));
        DirBuilder::new().recursive(true).mode(0o700).create(&point)?;
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let mut refused = io::Error::from(io::ErrorKind::InvalidInput);
        for kind in kinds(device)? {
            match mount(Some(device), &point, Some(kind.as_str()), flags, None::<&str>) {
                Ok(()) => return Ok(Self { point }),
                // Not of this kind, or a kind that the kernel does not have.
                Err(Errno::EINVAL | Errno::ENODEV) => {}
                Err(errno) => refused = errno.into(),
            }
        }
        let _ = fs::remove_dir(&point);
        Err(refused)
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
        // Whoever still has a file of it open keeps it until that is closed.
        let _ = umount2(&self.point, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.point);
    }
}

/// The kinds of file system to try: the one that the device shows, or else all that the kernel has.
fn kinds(device: &Path) -> io::Result<Vec<String>> {
    let known: &[&str] = match identify(&mut File::open(device)?)?.map(|found| found.kind) {
        Some("ext") => &["ext4", "ext3", "ext2"],
        Some("ntfs") => &["ntfs3", "ntfs"],
        Some("crypto_LUKS" | "swap" | "LVM2_member") => return Err(io::ErrorKind::InvalidInput.into()),
        Some(kind) => &[kind],
        None => {
            let text = fs::read_to_string("/proc/filesystems").unwrap_or_default();
            let kinds = text.lines().filter(|line| !line.starts_with("nodev"));
            return Ok(kinds.map(|line| line.trim().to_owned()).collect());
        }
    };
    Ok(known.iter().map(|kind| (*kind).to_owned()).collect())
}
