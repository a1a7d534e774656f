//! The process that serves a volume: started by the program that unlocked it, and alive until the file is unmounted.
//!
//! No fork: the program executes itself again (`serve-volume NAME`), so no thread, lock or secret of the first process is
//! in the second. It gets the device as its standard input, which passes the locks on it along; the description and the
//! key come through a socket that is its standard output, and "ready" or an error is returned through it. The first
//! process ends only after that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use fuser::{Config, MountOption, Session};
use keyslots::secret::{Secret, VolumeKey};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::MntFlags;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, geteuid, setsid};
use serde_json::Value;

use super::description::Description;
use super::fuse::VolumeFile;
use super::served::{Registry, check_name};
use super::{Access, ServeError, Volume, VolumeOptions};
use crate::descriptors::close_inherited;

/// The argument that makes this program a server. It is not for users: the volume comes from the process that starts it.
pub const SERVE_WORD: &str = "serve-volume";

/// Threads that answer requests, at most; a request of many sectors is spread over the processors besides.
const MAX_THREADS: usize = 8;
/// The longest key.
const MAX_KEY: usize = 4096;
/// Locks only touched pages: a thread's stack is mostly empty. From `linux/mman.h`; nix has no name for it.
const MCL_ONFAULT: i32 = 4;

/// Starts a server for the volume on `device`, which has been opened with [`open_device`](super::open_device), and returns
/// the path of the plaintext. It stays there until [`Registry::close`].
///
/// # Errors
/// [`ServeError::Exists`], [`ServeError::Start`], [`ServeError::Server`] with the server's message.
pub fn start(name: &str, description: &Description, device: File, key: &VolumeKey) -> Result<PathBuf, ServeError> {
    check_name(name)?;
    let registry = Registry::open()?;
    let _lock = registry.lock()?;
    match registry.find(name) {
        Some(served) if served.alive => return Err(ServeError::Exists(name.to_owned())),
        // Its server was killed: the file gives nothing but errors.
        Some(_) => registry.clear(name)?,
        None => {}
    }
    let (mut ours, theirs) = UnixStream::pair().map_err(ServeError::Start)?;
    let keep = ["PATH", "XDG_RUNTIME_DIR"];
    let environment = keep
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    // The command holds copies of the descriptors that it passes on; they are closed with it.
    Command::new("/proc/self/exe")
        .arg0("luksmith")
        .args([SERVE_WORD, name])
        .env_clear()
        .envs(environment)
        .current_dir("/")
        .stdin(Stdio::from(device))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        .spawn()
        .map_err(ServeError::Start)?;
    let mut answer = String::new();
    let told = ours
        .write_all(format!("{}\n", description.to_json()).as_bytes())
        .and_then(|()| ours.write_all(key.expose()))
        .and_then(|()| ours.read_to_string(&mut answer));
    match (answer.as_str(), told) {
        ("ready\n", _) => Ok(registry.path(name)),
        ("", Err(error)) => Err(ServeError::Start(error)),
        ("", Ok(_)) => Err(ServeError::Server("it ended before it was ready".into())),
        (text, _) => Err(ServeError::Server(text.trim_end().to_owned())),
    }
}

/// Runs a server, from its start by another process to the end of the mount. Returns whether it succeeded.
pub fn serve(name: &str) -> bool {
    close_inherited();
    let (Ok(device), Ok(parent)) = (
        io::stdin().as_fd().try_clone_to_owned(),
        io::stdout().as_fd().try_clone_to_owned(),
    ) else {
        return false;
    };
    let mut parent = UnixStream::from(parent);
    match Server::prepare(name, device.into(), &mut parent) {
        Ok(server) => {
            let ready = parent.write_all(b"ready\n").and_then(|()| leave_terminal());
            drop(parent);
            let served = server.run();
            ready.is_ok() && served
        }
        Err(error) => {
            // If the reader is gone, the message is lost.
            let _ = writeln!(parent, "{error}");
            false
        }
    }
}

struct Server {
    registry: Registry,
    name: String,
    volume: Arc<Volume>,
    session: Session<VolumeFile>,
    /// Held until the process ends.
    _state: Flock<File>,
}

impl Server {
    fn prepare(name: &str, device: File, parent: &mut UnixStream) -> Result<Self, ServeError> {
        check_name(name)?;
        // If it already leads a group, it has none to leave.
        let _ = setsid();
        lock_memory();
        // Before any other thread starts, so that all of them leave these signals to the one that waits for them.
        let signals = ending_signals();
        signals
            .thread_block()
            .map_err(|errno| ServeError::Start(errno.into()))?;

        let description = read_description(parent)?;
        let access = if description.read_only {
            Access::Read
        } else {
            Access::Write
        };
        let options = VolumeOptions {
            access,
            iv_large_sectors: description.iv_large_sectors,
            allow_discards: description.allow_discards,
        };
        let key = read_key(parent, description.key_len)?;
        let volume = Arc::new(Volume::new(device, &description.layout(), &key, options)?);
        drop(key);

        let registry = Registry::open()?;
        let state = write_state(&registry, name, &description)?;
        let path = registry.path(name);
        let mut file = OpenOptions::new();
        file.write(true).create(true).truncate(false).mode(0o600);
        let session = file.open(&path).and_then(|file| {
            drop(file);
            Session::new(VolumeFile::new(volume.clone()), &path, &mount_config(&volume))
        });
        match session {
            Ok(session) => Ok(Self {
                registry,
                name: name.to_owned(),
                volume,
                session,
                _state: state,
            }),
            Err(source) => {
                // The first error is the one to report.
                let _ = registry.clear(name);
                Err(ServeError::Mount { path, source })
            }
        }
    }

    /// Answers requests until the file is unmounted. Returns whether all written data are on the device.
    fn run(self) -> bool {
        let (registry, name, volume) = (self.registry.clone(), self.name.clone(), self.volume.clone());
        // Without it, only an unmount ends the service.
        let _ = thread::Builder::new().spawn(move || {
            let signals = ending_signals();
            while signals.wait().is_ok() {
                // While the file is in use it stays, but no written data are lost.
                let _ = volume.sync();
                let _ = registry.unmount(&name, MntFlags::UMOUNT_NOFOLLOW);
            }
        });
        let answered = self.session.run();
        let synced = self.volume.sync();
        // The closing process does so too, and waits for this one to end.
        let _ = self.registry.clear(&self.name);
        answered.is_ok() && (synced.is_ok() || !self.volume.is_writable())
    }
}

fn ending_signals() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect()
}

fn mount_config(volume: &Volume) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("luksmith".into()),
        MountOption::Subtype("luksmith".into()),
        MountOption::DefaultPermissions,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoExec,
        MountOption::NoAtime,
        if volume.is_writable() {
            MountOption::RW
        } else {
            MountOption::RO
        },
    ];
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    config.n_threads = Some((processors + 1).min(MAX_THREADS));
    config.clone_fd = true;
    config
}

/// Keeps the key schedules from being swapped out. Best effort: an ordinary user may lock next to nothing.
fn lock_memory() {
    if geteuid().is_root() {
        let flags =
            MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MlockAllFlags::from_bits_retain(MCL_ONFAULT);
        let _ = mlockall(flags);
    }
}

/// Reads one line, and nothing after it.
fn read_description(parent: &mut UnixStream) -> Result<Description, ServeError> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        parent.read_exact(&mut byte).map_err(ServeError::Start)?;
        if byte == *b"\n" {
            break;
        }
        line.push(byte[0]);
    }
    let value: Value = serde_json::from_slice(&line).unwrap_or_default();
    Description::from_json(&value).ok_or_else(|| ServeError::Server("it was not told what to serve".into()))
}

fn read_key(parent: &mut UnixStream, len: usize) -> Result<VolumeKey, ServeError> {
    if len > MAX_KEY {
        return Err(ServeError::Server(format!("a key of {len} bytes is none")));
    }
    let mut key = Secret::zeroed(len).map_err(ServeError::Start)?;
    parent.read_exact(key.expose_mut()).map_err(ServeError::Start)?;
    Ok(VolumeKey::new(key))
}

/// Writes the description of the volume, and locks it for as long as this process lives. It is complete and locked when
/// it gets its name: a process that reads all states at that moment does not interfere.
fn write_state(registry: &Registry, name: &str, description: &Description) -> Result<Flock<File>, ServeError> {
    let path = registry.state_path(name);
    // No volume has such a name.
    let new = registry.state_path(&format!(".new-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&new).and_then(|file| {
        let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        let mut state = description.to_json();
        state["pid"] = std::process::id().into();
        file.write_all(state.to_string().as_bytes())?;
        fs::rename(&new, &path)?;
        Ok(file)
    });
    written.map_err(|source| {
        // The first error is the one to report.
        let _ = fs::remove_file(&new);
        ServeError::Folder { path, source }
    })
}

/// Releases the terminal, the socket and the extra descriptor of the device.
fn leave_terminal() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Reading the states took the lock for a moment, in which no server could start.
    #[test]
    fn who_looks_is_not_in_the_way_and_sees_all_or_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Registry::in_folder(folder.path());
        let description = Description {
            device: "/dev/sda".into(),
            ..Description::default()
        };
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        for served in registry.list() {
                            assert_eq!((&*served.name, &served.description), ("x", &description));
                        }
                    }
                });
            }
            let failures = (0..500)
                .filter(|_| write_state(&registry, "x", &description).is_err())
                .count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(failures, 0);
        });
    }
}
