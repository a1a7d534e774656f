//! File descriptors that a program was started with.

use std::fs;
use std::os::fd::RawFd;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::close;

/// The kernel's own limit, unless root raises it (`fs.nr_open`).
const MOST: u64 = 1 << 20;

/// Closes all but the first three. A long-running program holds nothing of its caller's: a lock on a descriptor, or the
/// pipe that another process reads to its end. To be called before anything is opened.
pub(crate) fn close_inherited() {
    // The folder is closed before its entries are.
    let listed = fs::read_dir("/proc/self/fd").map(|folder| {
        let numbers = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.collect::<Vec<RawFd>>()
    });
    // Without /proc, close every possible number.
    let open = listed.unwrap_or_else(|_| {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(MOST, |(soft, _)| soft.min(MOST));
        (0..limit as RawFd).collect()
    });
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // The folder's own is closed already.
        let _ = close(fd);
    }
}
