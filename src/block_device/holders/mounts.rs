//! What is mounted, and what is used for swap.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::block_device::DevNo;

/// The present mounts and swap areas.
#[derive(Debug)]
pub struct Mounts {
    mountinfo: Vec<u8>,
    swaps: Vec<PathBuf>,
}

impl Mounts {
    /// As far as the caller may see; nothing without `/proc`.
    pub fn read() -> Self {
        Self {
            mountinfo: fs::read("/proc/self/mountinfo").unwrap_or_default(),
            swaps: swap_paths(&fs::read("/proc/swaps").unwrap_or_default()),
        }
    }

    /// The mount point of a device's file system.
    pub fn points(&self, number: DevNo) -> Vec<PathBuf> {
        mounts_of(&self.mountinfo, number)
            .map(|mount| PathBuf::from(unescape(mount.point)))
            .collect()
    }

    /// The type of a device's mounted file system.
    pub fn kind(&self, number: DevNo) -> Option<String> {
        let mount = mounts_of(&self.mountinfo, number).next()?;
        Some(String::from_utf8_lossy(mount.kind).into_owned())
    }

    /// Whether a file is in use as swap.
    pub fn is_swap_file(&self, file: &fs::Metadata) -> bool {
        let id = |file: &fs::Metadata| (file.dev(), file.ino());
        self.swaps
            .iter()
            .any(|path| fs::metadata(path).is_ok_and(|swap| id(&swap) == id(file)))
    }

    /// Whether a device is in use as swap.
    pub fn is_swap(&self, number: DevNo) -> bool {
        self.swaps
            .iter()
            .any(|path| matches!(DevNo::of_path(path), Ok(Some(swap)) if swap == number))
    }
}

pub(super) struct Mount<'a> {
    number: &'a [u8],
    pub(super) point: &'a [u8],
    kind: &'a [u8],
    source: &'a [u8],
}

/// The mounts of a device, from a text in the form of `/proc/self/mountinfo` (proc(5)). A file system of several devices
/// (btrfs) has a number of its own, of no driver: then the device that it was mounted by decides.
pub(super) fn mounts_of(mountinfo: &[u8], wanted: DevNo) -> impl Iterator<Item = Mount<'_>> {
    let number = wanted.to_string();
    let mounts = mountinfo.split(|b| *b == b'\n').filter_map(|line| {
        let mut fields = line.split(|b| *b == b' ');
        let (number, point) = (fields.nth(2)?, fields.nth(1)?);
        fields.find(|field| *field == b"-")?;
        let (kind, source) = (fields.next()?, fields.next()?);
        Some(Mount {
            number,
            point,
            kind,
            source,
        })
    });
    mounts.filter(move |mount| {
        let by_source = || {
            let path = PathBuf::from(unescape(mount.source));
            path.starts_with("/dev") && matches!(DevNo::of_path(&path), Ok(Some(source)) if source == wanted)
        };
        mount.number == number.as_bytes() || mount.number.starts_with(b"0:") && by_source()
    })
}

/// The first column of `/proc/swaps`, below its heading.
fn swap_paths(swaps: &[u8]) -> Vec<PathBuf> {
    let lines = swaps.split(|b| *b == b'\n').skip(1);
    lines
        .filter_map(|line| {
            let path = line.split(|b| b.is_ascii_whitespace()).next()?;
            (path.first() == Some(&b'/')).then(|| PathBuf::from(unescape(path)))
        })
        .collect()
}

/// Decodes the `\040` and the like that `/proc` writes for white space and backslashes.
pub(super) fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn mounts_are_found_by_number() {
        let mountinfo = b"22 1 253:3 / /mnt/with\\040space rw - ext4 /dev/mapper/x rw\n\
            23 1 253:30 / /other rw - ext4 /dev/y rw\n24 1 253:3 /sub /bind\\134 rw - ext4 /dev/mapper/x rw\nshort\n";
        let mounts = Mounts {
            mountinfo: mountinfo.to_vec(),
            swaps: Vec::new(),
        };
        assert_eq!(
            mounts.points(DevNo::new(253, 3)),
            [Path::new("/mnt/with space"), Path::new("/bind\\")]
        );
        assert_eq!(mounts.kind(DevNo::new(253, 3)).as_deref(), Some("ext4"));
        assert!(mounts.points(DevNo::new(1, 1)).is_empty());
    }

    #[test]
    fn swaps_are_found_by_path() {
        let swaps = b"Filename\tType\tSize\n/dev/dm-1   partition\t1\t0\t-2\n/swap\\040file file 1 0 -3\n";
        assert_eq!(swap_paths(swaps), [Path::new("/dev/dm-1"), Path::new("/swap file")]);
    }

    #[test]
    fn a_broken_escape_stays_as_it_is() {
        assert_eq!(unescape(b"a\\04"), "a\\04");
        assert_eq!(unescape(b"\\777"), "\\777");
        assert_eq!(unescape(b"\\011"), "\t");
    }
}
