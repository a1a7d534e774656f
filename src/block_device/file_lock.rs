//! A lock on a whole file that holds a volume's data: advisory, of the open-file-description kind (fcntl(2)). It goes with the
//! last descriptor of that description, be it in another process or in a loop device.

use std::fs::File;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Locks a file at once or not at all: for all readers, or for one who writes and keeps all others out.
///
/// # Errors
/// `EAGAIN` or `EACCES` where somebody else is in the way.
pub fn lock_file(file: &File, alone: bool) -> nix::Result<()> {
    let kind = if alone { libc::F_WRLCK } else { libc::F_RDLCK };
    let whole = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(()),
        // A file system without locks keeps nobody out; that is no reason to keep everybody out.
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno),
    }
}
