//! Reserving room in a file before anything is written to it, and reopening an open file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use keyslots::units::Bytes;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc;

use super::is_same_file;

/// Makes a regular file at least `size` long, with all of that allocated on its disk: a full file system is reported
/// now, and not halfway through the writing. The contents stay. A block device has a fixed size.
///
/// # Errors
/// The system's; the file then has its old length.
pub fn reserve(file: &File, size: Bytes) -> io::Result<()> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || size == Bytes::ZERO {
        return Ok(());
    }
    let before = metadata.len();
    let length = i64::try_from(size.get()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let reserved = loop {
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Err(Errno::EINTR) => {}
            result => break result,
        }
    };
    match reserved {
        Ok(()) => Ok(()),
        // A file system that cannot reserve.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) if before < size.get() => file.set_len(size.get()),
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        Err(errno) => {
            // A partial reservation is given back; the first error is the one to report.
            let _ = file.set_len(before);
            Err(errno.into())
        }
    }
}

/// Reopens `file`: the same file or device, whatever `path`, by which it was found, leads to by now.
///
/// # Errors
/// The system's; without `/proc`, `ResourceBusy` where the path leads elsewhere.
pub fn reopen(file: &File, path: &Path, flags: i32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(flags | libc::O_CLOEXEC | libc::O_NONBLOCK);
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    if fs::symlink_metadata(&own).is_ok() {
        return options.open(own);
    }
    let again = options.open(path)?;
    match is_same_file(file, &again)? {
        true => Ok(again),
        false => Err(io::ErrorKind::ResourceBusy.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn room_is_there_before_a_byte_is() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(5).expect("a file");
        reserve(&file, Bytes::mib(1)).expect("room");
        let metadata = file.metadata().expect("a file");
        assert_eq!(metadata.len(), 1 << 20);
        assert!(metadata.blocks() * 512 >= 1 << 20);
        reserve(&file, Bytes::kib(1)).expect("room");
        assert_eq!(file.metadata().expect("a file").len(), 1 << 20);
        assert!(reserve(&file, Bytes::new(1 << 62)).is_err());
        assert_eq!(file.metadata().expect("a file").len(), 1 << 20);
    }

    #[test]
    fn a_file_is_opened_again_whatever_its_name_is_now() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "one").expect("a file");
        let file = File::open(&path).expect("a file");
        fs::rename(&path, folder.path().join("moved")).expect("a name");
        fs::write(&path, "two").expect("a file");
        let again = reopen(&file, &path, 0).expect("the same file");
        assert!(is_same_file(&file, &again).expect("files"));
        assert!(!is_same_file(&file, &File::open(&path).expect("a file")).expect("files"));
    }
}
