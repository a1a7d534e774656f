//! The first three file descriptors, before the standard library looks at them: where one is closed it opens `/dev/null`, and
//! aborts where there is none, as in an initramfs whose `/dev` is empty.
#![allow(unsafe_code)]

use nix::libc;

/// Opens a substitute for each that is closed: reading from it fails or finds the end, and writing to it fails. Files that
/// the program opens later get none of these numbers, nor do those of the programs that it starts: the descriptors are
/// inherited.
extern "C" fn open_closed() {
    for fd in 0..3 {
        // SAFETY: F_GETFD takes two numbers and touches no memory.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            // The lowest free number is this one.
            if fd == libc::STDIN_FILENO || !open_sealed() {
                // SAFETY: open reads the text up to its zero.
                unsafe { libc::open(c"/".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) };
            }
        }
    }
}

/// An empty file that cannot be written to. The standard library takes EBADF, which a folder gives, for success.
fn open_sealed() -> bool {
    const SEALS: libc::c_int = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: memfd_create reads the text up to its zero.
    let fd = unsafe { libc::memfd_create(c"closed".as_ptr(), libc::MFD_ALLOW_SEALING) };
    // SAFETY: F_ADD_SEALS takes numbers and touches no memory.
    if fd != -1 && unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, SEALS) } == -1 {
        // SAFETY: the descriptor is ours, and has no other owner yet.
        unsafe { libc::close(fd) };
        return false;
    }
    fd != -1
}

/// Run by the C library before `main`.
// SAFETY: the section holds pointers to functions that the C library calls with at most three arguments, which a function
// without parameters ignores; it needs nothing but descriptors.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = open_closed;
