//! File descriptors that a program was started with.

use std::fs;
use std::os::fd::RawFd;

use nix::unistd::close;

/// Closes all but the first three. A program that goes on for long holds nothing of whoever started it: a lock on a
/// descriptor, or the pipe that somebody reads to its end. To be called before anything is opened.
pub(crate) fn close_inherited() {
    // The folder is closed before its entries are.
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // The folder's own is closed already.
        let _ = close(fd);
    }
}
