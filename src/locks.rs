//! Locks on headers, as cryptsetup takes them, so that the two keep each other out.
//!
//! A block device is locked through the file `L_<major>:<minor>` in `/run/cryptsetup`, a header in a file by itself:
//! flock(2), shared to read and exclusive to write. The last user removes the lock file, so a process that has waited for one
//! checks that the path still names it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::sys::stat::{major, minor};

use crate::log;

/// The folder of the lock files of block devices.
pub const LOCK_DIR: &str = "/run/cryptsetup";

/// How often the last user of a lock file may remove it while we wait for it, before that is an error.
const RETRIES: usize = 1000;

/// How long others may hold a header's lock: none is held during a prompt or a key derivation.
const HEADER_PATIENCE: Duration = Duration::from_secs(60);
/// How long others may derive keys one after the other.
const DERIVATION_PATIENCE: Duration = Duration::from_secs(600);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The purpose of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Reading: others may read too.
    Shared,
    /// Writing: all others are locked out.
    Exclusive,
}

/// Why a lock cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot lock {}: {source}", path.display())]
pub struct LockError {
    /// The lock file, its folder, or the header file.
    pub path: PathBuf,
    /// The system's error.
    #[source]
    pub source: io::Error,
}

/// A lock that is held. It is released on drop.
#[derive(Debug)]
pub struct Lock {
    file: Flock<File>,
    /// The lock file of a block device, which the last user removes.
    resource: Option<PathBuf>,
}

impl Lock {
    /// Takes the lock of the header that has been opened as `header` at `path`, and waits a minute for others to release
    /// it.
    ///
    /// # Errors
    /// [`LockError`]; of the kind `TimedOut` if they do not.
    pub fn take(header: &File, path: &Path, mode: LockMode) -> Result<Self, LockError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| LockError { path, source }
        };
        let metadata = header.metadata().map_err(at(path))?;
        if metadata.file_type().is_block_device() {
            let number = metadata.rdev();
            let resource = Path::new(LOCK_DIR).join(format!("L_{}:{}", major(number), minor(number)));
            lock_resource(&resource, mode, HEADER_PATIENCE).map_err(at(&resource))
        } else {
            log::debug(format_args!("Locking {} ({mode:?}).", path.display()));
            let file = header
                .try_clone()
                .and_then(|file| flock(file, mode, Instant::now() + HEADER_PATIENCE))
                .map_err(at(path))?;
            Ok(Self { file, resource: None })
        }
    }
}

/// Waits, ten minutes at the most, until no other process derives a key that takes much memory, and locks others out while
/// the lock is held: `--serialize-memory-hard-pbkdf`, with the same lock file as cryptsetup's.
///
/// # Errors
/// [`LockError`].
pub fn serialize_derivations() -> Result<Lock, LockError> {
    let resource = Path::new(LOCK_DIR).join("LN_memory-hard-access");
    lock_resource(&resource, LockMode::Exclusive, DERIVATION_PATIENCE)
        .map_err(|source| LockError { path: resource, source })
}

/// Takes the lock of the reencryption of the volume with this UUID, which one process holds for as long as it works, with the same
/// lock file as cryptsetup's. Waits for nobody.
///
/// # Errors
/// [`LockError`]; of the kind `TimedOut` where another process has it.
pub fn reencryption(uuid: &str) -> Result<Lock, LockError> {
    let resource = Path::new(LOCK_DIR).join(format!("LN_LUKS2-reencryption-{uuid}"));
    lock_resource(&resource, LockMode::Exclusive, Duration::ZERO).map_err(|source| LockError { path: resource, source })
}

impl Drop for Lock {
    fn drop(&mut self) {
        log::debug(format_args!("Releasing the lock."));
        // Only the last user gets the exclusive lock at once; the lock itself is released with the file.
        if let Some(resource) = &self.resource
            && self.file.relock(FlockArg::LockExclusiveNonblock).is_ok()
            && names_file(resource, &self.file).unwrap_or(false)
        {
            // A lock file that is left behind does no harm.
            let _ = fs::remove_file(resource);
        }
    }
}

fn lock_resource(resource: &Path, mode: LockMode, patience: Duration) -> io::Result<Lock> {
    let deadline = Instant::now() + patience;
    let dir = resource.parent().unwrap_or(Path::new(LOCK_DIR));
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    log::debug(format_args!("Locking {} ({mode:?}).", resource.display()));
    // A link would lead the locks to where other programs do not look for them.
    if !fs::symlink_metadata(dir)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    for _ in 0..RETRIES {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o700)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(resource)?;
        let file = flock(file, mode, deadline)?;
        if names_file(resource, &file)? {
            return Ok(Lock {
                file,
                resource: Some(resource.to_owned()),
            });
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Tries repeatedly, since a wait inside flock(2) has no time limit.
pub(crate) fn flock(mut file: File, mode: LockMode, deadline: Instant) -> io::Result<Flock<File>> {
    let argument = match mode {
        LockMode::Shared => FlockArg::LockSharedNonblock,
        LockMode::Exclusive => FlockArg::LockExclusiveNonblock,
    };
    let mut pause = Duration::from_millis(1);
    loop {
        match Flock::lock(file, argument) {
            Ok(lock) => return Ok(lock),
            Err((_, Errno::EWOULDBLOCK)) if Instant::now() >= deadline => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another process has held the lock for too long",
                ));
            }
            Err((unlocked, Errno::EWOULDBLOCK | Errno::EINTR)) => file = unlocked,
            Err((_, errno)) => return Err(errno.into()),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether `path` still names the open file.
fn names_file(path: &Path, file: &File) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn header_file() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("header");
        fs::write(&path, b"LUKS").expect("a file");
        (dir, path)
    }

    #[test]
    fn readers_share_and_a_writer_waits() {
        let (_dir, path) = header_file();
        let open = || File::open(&path).expect("a file");
        let first = Lock::take(&open(), &path, LockMode::Shared).expect("a lock");
        let second = Lock::take(&open(), &path, LockMode::Shared).expect("a lock");
        let (sender, receiver) = mpsc::channel();
        let (file, writer_path) = (open(), path.clone());
        let writer = std::thread::spawn(move || {
            let lock = Lock::take(&file, &writer_path, LockMode::Exclusive);
            sender.send(()).expect("a receiver");
            drop(lock);
        });
        assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err());
        drop((first, second));
        receiver
            .recv_timeout(Duration::from_secs(10))
            .expect("the writer goes on");
        writer.join().expect("no panic");
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_refused() {
        let (dir, path) = header_file();
        let link = dir.path().join("L_1:1");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let refused = lock_resource(&link, LockMode::Shared, HEADER_PATIENCE).expect_err("a link");
        assert_eq!(refused.raw_os_error(), Some(libc::ELOOP));
        assert_eq!(fs::read(&path).expect("a file"), b"LUKS");
    }

    #[test]
    fn a_folder_that_is_a_link_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let (elsewhere, link) = (dir.path().join("elsewhere"), dir.path().join("cryptsetup"));
        fs::create_dir(&elsewhere).expect("a folder");
        std::os::unix::fs::symlink(&elsewhere, &link).expect("a link");
        let refused = lock_resource(&link.join("L_7:0"), LockMode::Shared, HEADER_PATIENCE).expect_err("a link");
        assert_eq!(refused.kind(), io::ErrorKind::NotADirectory);
        assert_eq!(fs::read_dir(&elsewhere).expect("a folder").count(), 0);
    }

    #[test]
    fn a_wait_has_an_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let resource = dir.path().join("L_7:0");
        let _held = lock_resource(&resource, LockMode::Shared, HEADER_PATIENCE).expect("a lock");
        let waited = lock_resource(&resource, LockMode::Exclusive, Duration::from_millis(20));
        assert_eq!(waited.expect_err("it is held").kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_last_user_removes_the_lock_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let resource = dir.path().join("L_7:0");
        let first = lock_resource(&resource, LockMode::Shared, HEADER_PATIENCE).expect("a lock");
        let second = lock_resource(&resource, LockMode::Shared, HEADER_PATIENCE).expect("a lock");
        drop(first);
        assert!(resource.exists());
        drop(second);
        assert!(!resource.exists());
    }
}
