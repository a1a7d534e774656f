//! The very device that was looked at: a path, and a number too, may mean another one a moment later.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;

use crate::block_device::{DevNo, disk_sequence};

/// A device or a file that was looked at. It is kept open, so that its number is not reused meanwhile.
#[derive(Debug)]
pub struct LookedAt {
    path: PathBuf,
    which: Which,
    _open: File,
}

#[derive(Debug, PartialEq, Eq)]
enum Which {
    /// Its number, and the kernel's sequence number of the disk, where there is one.
    Device(DevNo, Option<u64>),
    /// Its file system, its inode.
    File(u64, u64),
}

impl LookedAt {
    /// Opens the device or file that is now at a path.
    ///
    /// # Errors
    /// The system's.
    pub fn at(path: &Path) -> io::Result<Self> {
        Self::new(open_to_look(path)?, path)
    }

    /// As [`LookedAt::at`], for what is open already.
    ///
    /// # Errors
    /// The system's.
    pub fn new(open: File, path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            which: Which::of(&open)?,
            _open: open,
        })
    }

    /// Whether an open device or file is the one that was looked at, by whatever path.
    ///
    /// # Errors
    /// The system's.
    pub fn is_open_as(&self, file: &File) -> io::Result<bool> {
        Ok(Which::of(file)? == self.which)
    }

    /// Whether the path still leads to it.
    pub fn is_there(&self) -> bool {
        Self::at(&self.path).is_ok_and(|now| now.which == self.which)
    }

    /// Whether a device that was opened by the same path is the one that was looked at; for a file, which is then behind
    /// a loop device, only the path can tell.
    pub fn is(&self, opened: DevNo) -> bool {
        match self.which {
            Which::Device(..) => self.which == Which::Device(opened, disk_sequence(opened)),
            Which::File(..) => self.is_there(),
        }
    }
}

/// Opens a device or a file without waiting and without locking others out.
///
/// # Errors
/// The system's.
pub fn open_to_look(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)
}

impl Which {
    fn of(file: &File) -> io::Result<Self> {
        match DevNo::of_file(file)? {
            Some(number) => Ok(Self::Device(number, disk_sequence(number))),
            None => {
                let metadata = file.metadata()?;
                Ok(Self::File(metadata.dev(), metadata.ino()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn another_device_is_another_one_and_so_is_another_disk_of_the_same_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut seen = LookedAt::at(folder.path()).expect("seen");
        // It has no driver, so that the kernel has no sequence number for it.
        let number = DevNo::new(4095, 7);
        seen.which = Which::Device(number, None);
        assert!(seen.is(number) && !seen.is(DevNo::new(4095, 8)));
        seen.which = Which::Device(number, Some(3));
        assert!(!seen.is(number));
    }

    #[test]
    fn another_file_of_the_same_name_is_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        fs::write(&path, "one").expect("written");
        let seen = LookedAt::at(&path).expect("seen");
        assert!(seen.is_there());
        fs::rename(&path, folder.path().join("away")).expect("renamed");
        assert!(!seen.is_there());
        fs::write(&path, "two").expect("written");
        assert!(!seen.is_there());
        let moved = File::open(folder.path().join("away")).expect("a file");
        let new = File::open(&path).expect("a file");
        assert!(seen.is_open_as(&moved).expect("a file") && !seen.is_open_as(&new).expect("a file"));
    }
}
