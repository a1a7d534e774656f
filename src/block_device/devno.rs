//! Device numbers, in the two encodings that the kernel uses, and the paths that lead to them and back.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::sysfs::dm_name_and_uuid;

/// The major and minor number of a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevNo {
    /// The driver; 12 bits in the kernel.
    pub major: u32,
    /// The driver's device; 20 bits in the kernel.
    pub minor: u32,
}

/// Text that is not `major:minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a device number of the form major:minor")]
pub struct DevNoError;

impl DevNo {
    /// Makes the number from its parts.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// From the 64-bit form in `st_rdev` and in device-mapper replies (the two agree on all the bits that the kernel
    /// uses).
    pub const fn from_raw(dev: u64) -> Self {
        Self {
            major: ((dev >> 8) & 0xfff) as u32,
            minor: ((dev & 0xff) | ((dev >> 12) & 0xfff00)) as u32,
        }
    }

    /// The 64-bit form of `st_rdev` and of device-mapper requests.
    pub const fn to_raw(self) -> u64 {
        let (major, minor) = (self.major as u64, self.minor as u64);
        (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)
    }

    /// The number of the block device at `path`, following symbolic links; `None` where the path leads to anything
    /// else.
    ///
    /// # Errors
    /// The system's, where the path cannot be reached.
    pub fn of_path(path: &Path) -> io::Result<Option<Self>> {
        Ok(Self::of_metadata(&fs::metadata(path)?))
    }

    /// The number of the block device that is open as `file`; `None` for anything else. A path may lead elsewhere by the
    /// next call.
    ///
    /// # Errors
    /// The system's.
    pub fn of_file(file: &fs::File) -> io::Result<Option<Self>> {
        Ok(Self::of_metadata(&file.metadata()?))
    }

    pub(super) fn of_metadata(metadata: &fs::Metadata) -> Option<Self> {
        let is_block = metadata.file_type().is_block_device();
        is_block.then(|| Self::from_raw(metadata.rdev()))
    }

    /// The device's directory in sysfs.
    pub fn sysfs(self) -> PathBuf {
        PathBuf::from(format!("/sys/dev/block/{self}"))
    }

    /// The kernel's own name for the device, such as `sda1` or `dm-3`, from sysfs.
    pub fn kernel_name(self) -> Option<String> {
        let target = fs::read_link(self.sysfs()).ok()?;
        // sysfs writes `!` for a slash in a driver's name (cciss!c0d0).
        Some(target.file_name()?.to_str()?.replace('!', "/"))
    }

    /// A path in `/dev` that opens this device: in `/dev/mapper` for a device of the device-mapper, whose number is
    /// meaningless and changes with each boot; else by the kernel's name if that node is right, otherwise by a search of
    /// `/dev`. `None` if there is no such node.
    pub fn path(self) -> Option<PathBuf> {
        let mapped = dm_name_and_uuid(self).map(|(name, _)| Path::new("/dev/mapper").join(name));
        let named = || Some(Path::new("/dev").join(self.kernel_name()?));
        let leads_here = |path: &PathBuf| matches!(Self::of_path(path), Ok(Some(found)) if found == self);
        mapped
            .filter(leads_here)
            .or_else(|| named().filter(leads_here))
            .or_else(|| search(Path::new("/dev"), self, 4))
    }
}

/// Looks for a node with this number, without following symbolic links, `depth` directories deep.
fn search(dir: &Path, wanted: DevNo, depth: u32) -> Option<PathBuf> {
    let mut below = Vec::new();
    for entry in fs::read_dir(dir).ok()?.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_block_device() {
            if entry.metadata().is_ok_and(|m| DevNo::from_raw(m.rdev()) == wanted) {
                return Some(entry.path());
            }
        } else if kind.is_dir() && depth > 0 {
            below.push(entry.path());
        }
    }
    below.iter().find_map(|dir| search(dir, wanted, depth - 1))
}

impl fmt::Display for DevNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for DevNo {
    type Err = DevNoError;

    fn from_str(text: &str) -> Result<Self, DevNoError> {
        let (major, minor) = text.split_once(':').ok_or(DevNoError)?;
        let number = |digits: &str, limit: u32| {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(DevNoError);
            }
            digits.parse().ok().filter(|n| *n < limit).ok_or(DevNoError)
        };
        Ok(Self {
            major: number(major, 1 << 12)?,
            minor: number(minor, 1 << 20)?,
        })
    }
}

/// Whether two open files are one file or block device, even by different paths.
///
/// # Errors
/// The system's.
pub fn is_same_file(one: &fs::File, other: &fs::File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok(match (DevNo::of_metadata(&one), DevNo::of_metadata(&other)) {
        (None, None) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (one, other) => one == other,
    })
}

/// Whether two paths, links or not, lead to one file or block device.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        match DevNo::of_metadata(&metadata) {
            Some(number) => Some((number.to_raw(), 0)),
            None => metadata.is_file().then(|| (metadata.dev(), metadata.ino())),
        }
    };
    one == other || identity(one).is_some_and(|one| identity(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_encoding_that_the_c_library_uses() {
        for (major, minor) in [(0, 0), (8, 1), (253, 255), (253, 256), (4095, 0xfffff)] {
            let number = DevNo::new(major, minor);
            assert_eq!(
                number.to_raw(),
                nix::sys::stat::makedev(u64::from(major), u64::from(minor))
            );
            assert_eq!(DevNo::from_raw(number.to_raw()), number);
        }
    }

    #[test]
    fn only_two_plain_numbers_are_a_device_number() {
        assert_eq!("253:7".parse(), Ok(DevNo::new(253, 7)));
        for bad in [
            "",
            ":",
            "8",
            "8:",
            ":1",
            "+8:1",
            "8:1:2",
            "8: 1",
            "4096:0",
            "8:1048576",
            "99999999999:1",
        ] {
            assert_eq!(bad.parse::<DevNo>(), Err(DevNoError), "{bad}");
        }
    }

    #[test]
    fn a_path_that_is_no_block_device_has_no_number() {
        assert_eq!(DevNo::of_path(Path::new("/dev/null")).expect("/dev/null"), None);
        assert!(DevNo::of_path(Path::new("/nonexistent")).is_err());
    }
}
