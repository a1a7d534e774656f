//! The first three file descriptors, before the standard library looks at them: where one is closed it opens `/dev/null`, and
//! aborts where there is none, as in an initramfs whose `/dev` is empty.
#![allow(unsafe_code)]

use std::os::fd::IntoRawFd as _;
use std::os::unix::net::UnixStream;

use nix::libc;

/// Puts one end of a stream without another end in the place of each that is closed: what reads it finds the end, and what is
/// written fails. A file that the program opens later gets none of their numbers.
extern "C" fn open_closed() {
    for fd in 0..3 {
        // SAFETY: F_GETFD takes two numbers and touches no memory.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1
            && let Ok((end, _)) = UnixStream::pair()
        {
            // The lowest number that is free is this one.
            let _ = end.into_raw_fd();
        }
    }
}

/// Run by the C library before `main`.
// SAFETY: the section holds pointers to functions that the C library calls with at most three arguments, which one without
// parameters passes over; it needs nothing but descriptors.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = open_closed;
