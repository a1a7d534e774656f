//! Devices that are being read and may never answer. The reader can be ended, but the kernel closes a device for the last
//! time only when all pending reads have returned: a program that ends with such a device open hangs, and so do all that open
//! the device after that. So it is left to a program of its own, whose hanging disturbs no one.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::libc;

/// The argument that starts this program in that role.
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
    /// Registers the device, or file, at a path that is about to be read.
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

/// Hands all of them to programs that end when the devices have answered, so that this one can end. For the end of the
/// program: reads here continue until then.
pub(super) fn leave_behind() {
    let files = std::mem::take(&mut all().files);
    for file in files.into_values() {
        let mut reader = Command::new("/proc/self/exe");
        reader.arg0("luksmith").args([WAITS, "-"]);
        reader.env_clear().current_dir("/");
        reader.stdin(file).stdout(Stdio::null()).stderr(Stdio::null());
        // If it cannot be started, this program waits for the devices.
        let _ = reader.process_group(0).spawn();
    }
}

/// Runs such a program: it waits for the device that is its standard input. It only reads, since a seek would block
/// other readers, which then could not be ended.
pub(crate) fn wait_for_answer() {
    // Any answer will do.
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
