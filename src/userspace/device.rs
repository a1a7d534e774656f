//! The device or file under a volume: opened once, and kept from being opened twice.
//!
//! Two writers that know nothing of each other destroy a volume. A block device is opened with `O_EXCL`, which the kernel's
//! own mounts and mappings respect; a file gets a lock ([`block_device::lock_file`]), which a background server inherits and
//! a loop device keeps. It is another lock than the one of the header ([`crate::locks`]), so headers stay readable.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

use super::UserspaceError;
use crate::block_device;
use crate::data_device;

/// The access that a volume is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Others may read too.
    Read,
    /// All others are locked out.
    Write,
}

/// As [`open_device`], for as long as a volume is open: even a block device that is only read is locked against writers,
/// as the kernel does below a read-only mapping.
///
/// # Errors
/// As [`open_device`].
pub fn claim_device(path: &Path, access: Access) -> Result<File, UserspaceError> {
    open(path, access, true)
}

/// Opens the device or file at `path` for the data of a volume. Others are locked out until the file is closed.
///
/// # Errors
/// [`UserspaceError::Open`], [`UserspaceError::NotWritable`], [`UserspaceError::WrongKind`], [`UserspaceError::InUse`].
pub fn open_device(path: &Path, access: Access) -> Result<File, UserspaceError> {
    open(path, access, access == Access::Write)
}

fn open(path: &Path, access: Access, claim: bool) -> Result<File, UserspaceError> {
    let failed = |source| UserspaceError::Open {
        path: path.to_owned(),
        source,
    };
    let not_writable = |source| UserspaceError::NotWritable {
        path: path.to_owned(),
        source,
    };
    let write = access == Access::Write;
    let kind = std::fs::metadata(path).map_err(failed)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(UserspaceError::WrongKind(path.to_owned()));
    }
    let exclusive = kind.is_block_device() && claim;
    let file = OpenOptions::new()
        .read(true)
        .write(write)
        // The path may lead to a FIFO by now, which would block.
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK | if exclusive { libc::O_EXCL } else { 0 })
        .open(path)
        .map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EBUSY) => UserspaceError::InUse(path.to_owned()),
            _ if write && block_device::is_only_readable(path, &error) => not_writable(error),
            _ => failed(error),
        })?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.file_type() != kind {
        return Err(UserspaceError::WrongKind(path.to_owned()));
    }
    if kind.is_file() {
        block_device::lock_file(&file, write).map_err(|errno| match errno {
            Errno::EAGAIN | Errno::EACCES => UserspaceError::InUse(path.to_owned()),
            errno => failed(errno.into()),
        })?;
    } else if write && block_device::is_read_only(&file).map_err(failed)? {
        // It opens for writing too, and fails at the first write.
        return Err(not_writable(io::ErrorKind::ReadOnlyFilesystem.into()));
    }
    // Not every program that sets up a loop device locks the file, and none claims a device.
    if write
        && (!block_device::loops_on(&metadata).is_empty()
            || data_device::is_used_through_loop(&file).map_err(failed)?)
    {
        return Err(UserspaceError::InUse(path.to_owned()));
    }
    Ok(file)
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
