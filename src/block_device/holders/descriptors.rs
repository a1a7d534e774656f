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

/// The programs that change headers by way of libcryptsetup, and have a file or device open that is the one. Only root can look
/// into the programs of other users; nobody sees those of other PID namespaces that are not below their own.
///
/// # Errors
/// It is not known: [`io::ErrorKind::TimedOut`] after `deadline`, since a file system on a network, or in a program of another
/// user, may answer late or never; [`io::ErrorKind::NotFound`] without `/proc`; what the system or `is_the_one` lacks for a look.
pub fn libcryptsetup_users(
    deadline: Instant,
    is_the_one: impl Fn(&File) -> io::Result<bool> + Send + 'static,
) -> io::Result<Vec<Holder>> {
    let (tell, told) = mpsc::channel();
    // Who asked has gone where nobody takes the answer.
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
            // Its name is all that is seen of it.
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
    io::Error::new(io::ErrorKind::TimedOut, "looking through all programs took too long")
}

/// What cannot be looked at has gone, or belongs to somebody else; but where this process or the system has run out of something,
/// it may be there.
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
