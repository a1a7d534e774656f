//! The volumes that are served from userspace: their names, their files and their servers.
//!
//! `/run/luksmith/NAME` is the plaintext; for an ordinary user it is `$XDG_RUNTIME_DIR/luksmith/NAME`, or
//! `/tmp/luksmith-UID/NAME` if there is no such folder. `.state/NAME` beside it describes the volume. Its server holds a
//! lock on that for as long as it lives; a state without a lock means that the server was killed. Opening and closing
//! hold the lock of the whole folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use keyslots::header::Header;
use keyslots::units::Bytes;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::mount::{MntFlags, umount2};
use nix::unistd::geteuid;
use serde_json::Value;

use super::ServeError;
use super::description::Description;
use crate::locks::{LockMode, flock};
use crate::volume::is_header_of;

/// How long others may open or close.
const PATIENCE: Duration = Duration::from_secs(600);

/// The folder with the served volumes of this user.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
}

/// How often to look whether a server is stopped.
const LOOK: Duration = Duration::from_millis(200);

/// A served volume.
#[derive(Clone, Debug)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// Its plaintext.
    pub path: PathBuf,
    /// Its description.
    pub description: Description,
    /// Process id of its server.
    pub pid: u32,
    /// Whether the server lives; if not, it was killed, and [`Registry::close`] cleans up.
    pub alive: bool,
}

impl Served {
    /// Whether the server is stopped, by a signal or a debugger: every access to the file waits until it is continued.
    pub fn is_stopped(&self) -> bool {
        self.alive && matches!(process_state(self.pid), Some((b'T' | b't', _)))
    }

    /// The size of its data. A server that is stopped or dead would not answer.
    pub fn size(&self) -> Option<Bytes> {
        let answers = self.alive && !self.is_stopped();
        let file = answers.then(|| fs::metadata(&self.path).ok()).flatten()?;
        Some(Bytes::new(file.len()))
    }
}

/// The right to open and close; it is released on drop.
#[derive(Debug)]
pub struct RegistryLock {
    _file: Flock<File>,
}

impl Registry {
    /// The folder of this user, created if it is missing.
    ///
    /// # Errors
    /// [`ServeError::Folder`] where it cannot be made, or has another owner.
    pub fn open() -> Result<Self, ServeError> {
        let registry = Self::place();
        registry.make().map_err(|source| ServeError::Folder {
            path: registry.folder.clone(),
            source,
        })?;
        Ok(registry)
    }

    fn make(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        // In /tmp it may be another user's link, through which nothing may be created.
        builder.create(&self.folder)?;
        self.check_owner()?;
        builder.create(self.folder.join(".state"))
    }

    /// The folder of this user, if it exists and is trustworthy.
    pub fn existing() -> Option<Self> {
        let registry = Self::place();
        registry.check_owner().ok().map(|()| registry)
    }

    /// A registry for a single test.
    #[cfg(test)]
    pub(super) fn in_folder(folder: &Path) -> Self {
        let registry = Self {
            folder: folder.to_owned(),
        };
        registry.make().expect("a folder");
        registry
    }

    fn place() -> Self {
        let user = geteuid();
        let folder = match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
            _ if user.is_root() => "/run/luksmith".into(),
            Some(folder) if folder.is_absolute() && folder.is_dir() => folder.join("luksmith"),
            _ => format!("/tmp/luksmith-{user}").into(),
        };
        Self { folder }
    }

    /// In another user's folder, any file could have the name.
    fn check_owner(&self) -> io::Result<()> {
        let metadata = fs::symlink_metadata(&self.folder)?;
        if metadata.is_dir() && metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0 {
            Ok(())
        } else {
            Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the folder belongs to somebody else, or others may write to it",
            ))
        }
    }

    /// The path of the plaintext of `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn state_path(&self, name: &str) -> PathBuf {
        self.folder.join(".state").join(name)
    }

    /// Waits until no other process opens or closes, ten minutes at the most: a close waits for all data to be on the
    /// device.
    ///
    /// # Errors
    /// [`ServeError::Folder`].
    pub fn lock(&self) -> Result<RegistryLock, ServeError> {
        let path = self.folder.join(".state/.lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options
            .open(&path)
            .and_then(|file| flock(file, LockMode::Exclusive, Instant::now() + PATIENCE));
        match file {
            Ok(file) => Ok(RegistryLock { _file: file }),
            Err(source) => Err(ServeError::Folder { path, source }),
        }
    }

    /// The served volume of this name.
    pub fn find(&self, name: &str) -> Option<Served> {
        check_name(name).ok()?;
        let text = fs::read_to_string(self.state_path(name)).ok()?;
        let state: Value = serde_json::from_str(&text).unwrap_or_default();
        let file = File::open(self.state_path(name)).ok()?;
        let alive = matches!(
            Flock::lock(file, FlockArg::LockSharedNonblock),
            Err((_, Errno::EWOULDBLOCK))
        );
        Some(Served {
            name: name.to_owned(),
            path: self.path(name),
            description: Description::from_json(&state).unwrap_or_default(),
            pid: state["pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap_or(0),
            alive,
        })
    }

    /// All served volumes, sorted by name.
    pub fn list(&self) -> Vec<Served> {
        let entries = fs::read_dir(self.folder.join(".state")).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names.iter().filter_map(|name| self.find(name)).collect()
    }

    /// The served volumes whose only header this may be: they have its UUID, and no header of their own where their data are.
    pub fn users_of_header(&self, header: &Header) -> Vec<String> {
        let mut served = self.list();
        served.retain(|served| {
            let own =
                || File::open(&served.description.device).is_ok_and(|mut device| is_header_of(&mut device, header));
            served.alive && served.description.uuid.as_deref() == Some(header.uuid()) && !own()
        });
        served.into_iter().map(|served| served.name).collect()
    }

    /// Ends the service of `name`: afterwards all written data are on the device, and the file and the server are gone.
    /// After a killed server, cleans up.
    ///
    /// # Errors
    /// [`ServeError::NotServed`]; [`ServeError::Busy`] with nothing changed; [`ServeError::Stopped`]; [`ServeError::Sync`] where what was written
    /// may be lost; [`ServeError::Unmount`].
    pub fn close(&self, name: &str) -> Result<(), ServeError> {
        let _lock = self.lock()?;
        let served = self.find(name).ok_or_else(|| ServeError::NotServed(name.to_owned()))?;
        if !served.alive {
            self.clear(name)?;
            return sync_device(name, &served.description);
        }
        // All of it waits for the server, which may be stopped before or meanwhile, and would block this for ever.
        let (this, name) = (self.clone(), name.to_owned());
        let (tell, told) = channel();
        let server = served.clone();
        thread::Builder::new()
            .spawn(move || tell.send(this.end(&name, &server)))
            .map_err(ServeError::Start)?;
        loop {
            match told.recv_timeout(LOOK) {
                Ok(ended) => return ended,
                Err(RecvTimeoutError::Timeout) if served.is_stopped() => {
                    return Err(ServeError::Stopped {
                        name: served.name,
                        pid: served.pid,
                    });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(ServeError::Start(io::Error::other("a thread has panicked")));
                }
            }
        }
    }

    /// Ends a living server; this may take its time.
    fn end(&self, name: &str, served: &Served) -> Result<(), ServeError> {
        let server = File::open(self.state_path(name)).map_err(|source| ServeError::Folder {
            path: self.state_path(name),
            source,
        })?;
        let synced = File::open(&served.path).and_then(|file| file.sync_all());
        self.unmount(name, MntFlags::UMOUNT_NOFOLLOW)?;
        // The server releases its lock when everything is on the device, and the device when it ends.
        drop(Flock::lock(server, FlockArg::LockExclusive));
        wait_for_end(served.pid);
        self.clear(name)?;
        match synced {
            // It was killed just now: clean up as usual.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)) => {
                sync_device(name, &served.description)
            }
            synced => synced.map_err(|source| ServeError::Sync {
                name: name.to_owned(),
                source,
            }),
        }
    }

    /// Removes the files of a volume that has no server.
    pub(super) fn clear(&self, name: &str) -> Result<(), ServeError> {
        match self.unmount(name, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH) {
            Ok(()) => {}
            // A mount that cannot be removed only blocks this name.
            Err(error) => return Err(error),
        }
        let gone = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ServeError::Folder {
                path: path.to_owned(),
                source: error,
            }),
            _ => Ok(()),
        };
        gone(&self.path(name))?;
        gone(&self.state_path(name))
    }

    /// Unmounts the file; if it is not mounted, there is nothing to do.
    pub(super) fn unmount(&self, name: &str, flags: MntFlags) -> Result<(), ServeError> {
        let path = self.path(name);
        let failed = |source| ServeError::Unmount {
            path: path.clone(),
            source,
        };
        match umount2(&path, flags) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
            Err(Errno::EBUSY) => Err(ServeError::Busy(name.to_owned())),
            Err(Errno::EPERM) if is_mounted(&path) => {
                let mut helper = Command::new("fusermount3");
                helper.arg("-u");
                if flags.contains(MntFlags::MNT_DETACH) {
                    helper.arg("-z");
                }
                let output = helper
                    .arg("--")
                    .arg(&path)
                    .env("LC_ALL", "C")
                    .output()
                    .map_err(failed)?;
                let said = String::from_utf8_lossy(&output.stderr);
                match output.status.success() {
                    true => Ok(()),
                    false if said.contains("busy") => Err(ServeError::Busy(name.to_owned())),
                    false => Err(failed(io::Error::other(said.trim().to_owned()))),
                }
            }
            // An ordinary user gets this error whether or not something is mounted.
            Err(Errno::EPERM) => Ok(()),
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

/// Whether something is mounted at exactly this path.
fn is_mounted(path: &Path) -> bool {
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else {
        return true;
    };
    let wanted = path.to_string_lossy().replace('\\', "\\134").replace(' ', "\\040");
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|mounted| mounted == wanted)
}

/// Checks that a name is a valid file name.
///
/// # Errors
/// [`ServeError::Name`].
pub fn check_name(name: &str) -> Result<(), ServeError> {
    let unfit = |c: char| c == '/' || c.is_control();
    let fits = !name.is_empty() && name.len() <= 127 && !name.starts_with('.') && !name.contains(unfit);
    if fits {
        Ok(())
    } else {
        Err(ServeError::Name(name.to_owned()))
    }
}

/// Waits until a process has closed its files, ten seconds at the most.
fn wait_for_end(pid: u32) {
    for _ in 0..2000 {
        // A zombie has nothing left but its number, once all its threads have ended.
        if matches!(process_state(pid), None | Some((b'Z', 1))) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Syncs what a killed server had written, but not synced.
fn sync_device(name: &str, description: &Description) -> Result<(), ServeError> {
    // An unreadable state names no device.
    if description.read_only || description.device.as_os_str().is_empty() {
        return Ok(());
    }
    let device = File::open(&description.device);
    device
        .and_then(|file| file.sync_all())
        .map_err(|source| ServeError::Sync {
            name: name.to_owned(),
            source,
        })
}

/// The letter of `/proc/PID/stat`, and the number of threads; `None` if there is no such process.
fn process_state(pid: u32) -> Option<(u8, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may have blanks and brackets too.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let letter = *fields.next()?.as_bytes().first()?;
    Some((letter, fields.nth(16)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        for name in ["data", "a b", "ä", "x.json"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", ".state", "a/b", "a\nb", "\x1b[2J", &"x".repeat(128)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_process_is_seen_with_its_threads() {
        let (letter, threads) = process_state(std::process::id()).expect("this one");
        assert!(matches!(letter, b'R' | b'S') && threads >= 1, "{letter} {threads}");
        assert_eq!(process_state(u32::MAX), None);
    }

    #[test]
    fn what_is_left_of_a_killed_server_is_cleared_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Registry::in_folder(folder.path());
        assert!(registry.find("x").is_none());
        assert!(matches!(registry.close("x"), Err(ServeError::NotServed(_))));
        fs::write(registry.path("x"), "").expect("a file");
        fs::write(registry.state_path("x"), "no JSON at all").expect("a file");
        assert!(!registry.find("x").expect("a state").alive);
        assert_eq!(registry.list().len(), 1);
        let server = Flock::lock(
            File::open(registry.state_path("x")).expect("a file"),
            FlockArg::LockExclusive,
        );
        assert!(registry.find("x").expect("a state").alive);
        drop(server);
        registry.close("x").expect("nothing in the way");
        assert!(registry.list().is_empty() && !registry.path("x").exists());
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Registry {
            folder: folder.path().join("link"),
        };
        std::os::unix::fs::symlink(folder.path(), &registry.folder).expect("a link");
        assert!(registry.make().is_err());
        assert!(!folder.path().join(".state").exists());
        fs::remove_file(&registry.folder).expect("the link");
        registry.make().expect("a folder");
        assert!(registry.folder.join(".state").is_dir());
    }
}
