//! A lock on a whole file that holds a volume's data: advisory, of the open-file-description kind (fcntl(2)). It is released
//! with the last descriptor of that description, even one in another process or in a loop device.

use std::fs::File;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Locks a file without waiting: shared for readers, or exclusive for a writer.
///
/// # Errors
/// `EAGAIN` or `EACCES` if another lock conflicts.
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
        // A file system without locks cannot lock others out; the file is usable anyway.
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno),
    }
}
