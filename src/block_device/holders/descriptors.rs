//! Processes with libcryptsetup that have a device open.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use nix::libc;

use super::{Holder, process, process_name, read_pids};

/// The processes with libcryptsetup that have the file or device open that `is_the_one` accepts. Only root can look into those
/// of other users; processes of PID namespaces that are not below the caller's are invisible.
///
/// # Errors
/// It is unknown: [`io::ErrorKind::TimedOut`] after `deadline`, since a network file system, or one run by another user, may
/// answer late or never; [`io::ErrorKind::NotFound`] without `/proc`; running out of memory or descriptors.
pub fn libcryptsetup_users(
    deadline: Instant,
    is_the_one: impl Fn(&File) -> io::Result<bool> + Send + 'static,
) -> io::Result<Vec<Holder>> {
    let (tell, told) = mpsc::channel();
    // If nobody receives the answer, the caller has stopped waiting.
    let look = move || drop(tell.send(find_libcryptsetup_users(deadline, &is_the_one)));
    thread::Builder::new().spawn(look)?;
    let left = deadline.saturating_duration_since(Instant::now());
    told.recv_timeout(left).unwrap_or_else(|_| Err(too_late()))
}

fn find_libcryptsetup_users(
    deadline: Instant,
    is_the_one: &dyn Fn(&File) -> io::Result<bool>,
) -> io::Result<Vec<Holder>> {
    const LIBRARY: &[u8] = b"/libcryptsetup.";
    let own = std::process::id();
    let mut found = Vec::new();
    let pids = read_pids()?;
    if !pids.contains(&own) {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no /proc of this process",
        ));
    }
    for pid in pids.into_iter().filter(|pid| *pid != own) {
        if Instant::now() >= deadline {
            return Err(too_late());
        }
        let maps = match fs::read(format!("/proc/{pid}/maps")) {
            // Only its name is visible.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && process_name(pid) == "cryptsetup" => {
                return Err(error);
            }
            maps => unless_exhausted(maps)?.unwrap_or_default(),
        };
        if !maps.windows(LIBRARY.len()).any(|part| part == LIBRARY) {
            continue;
        }
        let descriptors = unless_exhausted(fs::read_dir(format!("/proc/{pid}/fd")))?;
        for descriptor in descriptors.into_iter().flatten() {
            if Instant::now() >= deadline {
                return Err(too_late());
            }
            let Some(descriptor) = unless_exhausted(descriptor)? else {
                continue;
            };
            let file = unless_exhausted(look_at(&descriptor.path()))?.flatten();
            if let Some(file) = file
                && unless_exhausted(is_the_one(&file))? == Some(true)
            {
                found.push(process(pid));
                break;
            }
        }
    }
    Ok(found)
}

/// The processes that wait for a lock on a file (proc_locks(5)).
pub fn lock_waiters() -> Vec<u32> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let waiting = locks.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        (words.next()? == "->").then(|| words.nth(3)?.parse().ok()).flatten()
    });
    waiting.collect()
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "searching all processes took too long")
}

/// What cannot be looked at is gone, or belongs to another user. But if this process or the system has run out of a resource,
/// it may still be there.
fn unless_exhausted<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    const EXHAUSTED: [i32; 4] = [libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::EAGAIN];
    match looked {
        Ok(seen) => Ok(Some(seen)),
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Err(error),
        Err(error) if error.raw_os_error().is_some_and(|errno| EXHAUSTED.contains(&errno)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// A file or device that another program has open, to be asked what it is. It is not opened: that could wait for a lease on it
/// to end, or for who is at the other end of a FIFO.
fn look_at(descriptor: &Path) -> io::Result<Option<File>> {
    if !fs::read_link(descriptor)?.is_absolute() {
        return Ok(None);
    }
    let file = File::options().read(true).custom_flags(libc::O_PATH).open(descriptor)?;
    let kind = file.metadata()?.file_type();
    Ok((kind.is_file() || kind.is_block_device()).then_some(file))
}
