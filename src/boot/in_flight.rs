//! Devices that are being read and may never answer. Whoever reads can be ended, but the kernel closes a device for the
//! last time only when all that was to be read has come: a program that ends with such a device open stays, as does everybody
//! who opens the device after that. So it is left to a program of its own, which is in nobody's way.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::libc;

/// The word that makes this program such a one.
pub(crate) const WAITS: &str = "wait-for";

#[derive(Debug, Default)]
struct Open {
    last: u64,
    files: BTreeMap<u64, File>,
}

static OPEN: Mutex<Open> = Mutex::new(Open {
    last: 0,
    files: BTreeMap::new(),
});

fn all() -> MutexGuard<'static, Open> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device that is being read, until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight(u64);

impl InFlight {
    /// The device, or file, at a path is about to be read.
    ///
    /// # Errors
    /// The system's, where it cannot be opened.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path)?;
        let mut open = all();
        open.last += 1;
        let own = open.last;
        open.files.insert(own, file);
        Ok(Self(own))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let file = all().files.remove(&self.0);
        // Closed without the lock.
        drop(file);
    }
}

/// Leaves all of them to programs that end when the devices have answered, so that this one can end. For its end: what reads
/// them here goes on until then.
pub(super) fn leave_behind() {
    let files = std::mem::take(&mut all().files);
    for file in files.into_values() {
        let mut reader = Command::new("/proc/self/exe");
        reader.arg0("luksmith").args([WAITS, "-"]);
        reader.env_clear().current_dir("/");
        reader.stdin(file).stdout(Stdio::null()).stderr(Stdio::null());
        // Where it cannot be started, this program waits for the devices.
        let _ = reader.process_group(0).spawn();
    }
}

/// What such a program does: it waits for the device that is its standard input. It does nothing but read, since whoever
/// seeks keeps others from reading, who cannot be ended then.
pub(crate) fn wait_for_answer() {
    // Whatever the answer is, it is one.
    let _ = io::stdin().lock().read(&mut [0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_held_as_long_as_it_is_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let held = InFlight::at(file.path()).expect("open");
        let other = InFlight::at(file.path()).expect("open");
        assert_ne!(held.0, other.0);
        assert!(all().files.contains_key(&held.0));
        let own = held.0;
        drop(held);
        assert!(!all().files.contains_key(&own) && all().files.contains_key(&other.0));
        assert!(InFlight::at(Path::new("/nonexistent")).is_err());
    }
}
