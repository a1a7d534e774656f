//! The device or file under a volume: opened once, and kept from being opened twice.
//!
//! Two writers that know nothing of each other destroy a volume. A block device is opened with `O_EXCL`, which the kernel's
//! own mounts and mappings respect; a file gets an advisory lock of the open-file-description kind, which goes with the
//! last descriptor, and which a background server inherits. It is another lock than the one of the header
//! ([`crate::locks`]), so headers stay readable.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::UserspaceError;

/// What a volume is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Others may read too.
    Read,
    /// Nobody else may do anything.
    Write,
}

/// Opens the device or file at `path` for the data of a volume. What this keeps out is kept out until the file is closed.
///
/// # Errors
/// [`UserspaceError::Open`], [`UserspaceError::WrongKind`], [`UserspaceError::InUse`].
pub fn open_device(path: &Path, access: Access) -> Result<File, UserspaceError> {
    let failed = |source| UserspaceError::Open {
        path: path.to_owned(),
        source,
    };
    let kind = std::fs::metadata(path).map_err(failed)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(UserspaceError::WrongKind(path.to_owned()));
    }
    let exclusive = kind.is_block_device() && access == Access::Write;
    let file = OpenOptions::new()
        .read(true)
        .write(access == Access::Write)
        .custom_flags(libc::O_CLOEXEC | if exclusive { libc::O_EXCL } else { 0 })
        .open(path)
        .map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EBUSY) => UserspaceError::InUse(path.to_owned()),
            _ => failed(error),
        })?;
    if kind.is_file() {
        lock(&file, access).map_err(|errno| match errno {
            Errno::EAGAIN | Errno::EACCES => UserspaceError::InUse(path.to_owned()),
            errno => failed(errno.into()),
        })?;
    }
    Ok(file)
}

fn lock(file: &File, access: Access) -> nix::Result<()> {
    let kind = match access {
        Access::Read => libc::F_RDLCK,
        Access::Write => libc::F_WRLCK,
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_alone_and_readers_are_not() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let open = |access| open_device(file.path(), access);
        let (first, second) = (open(Access::Read), open(Access::Read));
        assert!(first.is_ok() && second.is_ok());
        assert!(matches!(open(Access::Write), Err(UserspaceError::InUse(_))));
        drop((first, second));
        let writer = open(Access::Write).expect("nobody else");
        assert!(matches!(open(Access::Read), Err(UserspaceError::InUse(_))));
        // A copy of the descriptor, as a server inherits it, keeps the lock.
        let inherited = writer.try_clone().expect("a descriptor");
        drop(writer);
        assert!(matches!(open(Access::Write), Err(UserspaceError::InUse(_))));
        drop(inherited);
        assert!(open(Access::Write).is_ok());
    }

    #[test]
    fn what_is_no_file_is_refused_by_name() {
        assert!(matches!(
            open_device("/dev/null".as_ref(), Access::Read),
            Err(UserspaceError::WrongKind(_))
        ));
        assert!(matches!(
            open_device("/nowhere".as_ref(), Access::Read),
            Err(UserspaceError::Open { .. })
        ));
    }
}
