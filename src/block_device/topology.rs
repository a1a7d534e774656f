//! The sector sizes and alignments of a block device.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use keyslots::units::Bytes;
use nix::libc;

use super::{DevNo, ioctl};

/// Sizes and alignments of a block device, or of a file that will become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The size.
    pub size: Bytes,
    /// The smallest unit that is written at once without reading first.
    pub physical_block_size: u32,
    /// The smallest unit that can be addressed.
    pub logical_block_size: u32,
    /// The smallest unit that is written without loss.
    pub minimum_io_size: Bytes,
    /// The device's preferred unit, zero if it does not report one.
    pub optimal_io_size: Bytes,
    /// The start of the first such unit.
    pub alignment_offset: Bytes,
}

impl Topology {
    /// Queries the device.
    ///
    /// # Errors
    /// The system's.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let size = keyslots::storage::Storage::size(&mut file)?;
        let metadata = file.metadata()?;
        if !metadata.file_type().is_block_device() {
            let block_size = u32::try_from(metadata.blksize()).unwrap_or(512).clamp(512, 4096);
            return Ok(Self {
                size,
                physical_block_size: block_size,
                logical_block_size: 512,
                minimum_io_size: Bytes::ZERO,
                optimal_io_size: Bytes::ZERO,
                alignment_offset: Bytes::ZERO,
            });
        }
        Ok(Self {
            size,
            physical_block_size: ioctl::physical_block_size(&file)?,
            logical_block_size: ioctl::logical_block_size(&file)?,
            minimum_io_size: bytes(ioctl::minimum_io_size(&file)),
            optimal_io_size: bytes(ioctl::optimal_io_size(&file)),
            // Negative if it starts nowhere.
            alignment_offset: bytes(ioctl::alignment_offset(&file)),
        })
    }

    /// A multiple of this is a good place for data: 1 MiB, or the device's preference if 1 MiB is not a multiple of that.
    pub fn alignment(&self) -> Bytes {
        const DEFAULT: Bytes = Bytes::mib(1);
        // Some USB bridges report nonsense.
        let sane = |size: &Bytes| *size > Bytes::ZERO && size.is_multiple_of(Bytes::kib(4)) && *size <= Bytes::mib(64);
        let sizes = [self.minimum_io_size, self.optimal_io_size];
        let best = sizes.into_iter().filter(sane).max().unwrap_or(DEFAULT);
        if DEFAULT.is_multiple_of(best) { DEFAULT } else { best }
    }

    /// 4096 if the device writes that much at once and its size is a multiple of that, else 512: cryptsetup chooses
    /// nothing in between.
    pub fn encryption_sector_size(&self) -> u32 {
        const LARGE: u32 = 4096;
        let at_once = self.physical_block_size.max(self.logical_block_size) >= LARGE;
        if at_once && self.size.is_multiple_of(Bytes::new(LARGE.into())) {
            LARGE
        } else {
            512
        }
    }
}

fn bytes(answer: Result<u32, nix::errno::Errno>) -> Bytes {
    answer.map_or(Bytes::ZERO, |bytes| Bytes::new(bytes.into()))
}

/// Whether the device is a zoned disk that is written in order only, so that nothing on it can be rewritten in place.
pub fn is_host_managed(number: DevNo) -> bool {
    queue_text(number, "queue/zoned").is_some_and(|text| text.trim() == "host-managed")
}

/// Whether the device is a rotating disk.
pub fn is_rotational(number: DevNo) -> bool {
    queue_text(number, "queue/rotational").is_some_and(|text| text.trim() == "1")
}

/// A partition has no queue of its own: its disk has.
fn queue_text(number: DevNo, name: &str) -> Option<String> {
    let sysfs = number.sysfs();
    fs::read_to_string(sysfs.join(name))
        .or_else(|_| fs::read_to_string(sysfs.join("..").join(name)))
        .ok()
}

/// Whether a block device is read-only.
///
/// # Errors
/// The system's.
pub fn is_read_only(device: &File) -> io::Result<bool> {
    Ok(ioctl::is_read_only(device)?)
}

/// Whether a file that could not be opened for writing, with `error`, can be read.
pub fn is_only_readable(path: &Path, error: &io::Error) -> bool {
    let is_denial = matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    );
    // A FIFO would block.
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    is_denial && fs::OpenOptions::new().read(true).custom_flags(flags).open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(size: u64, physical: u32) -> Topology {
        Topology {
            size: Bytes::new(size),
            physical_block_size: physical,
            logical_block_size: 512,
            minimum_io_size: Bytes::ZERO,
            optimal_io_size: Bytes::ZERO,
            alignment_offset: Bytes::ZERO,
        }
    }

    #[test]
    fn the_encryption_sector_fits_device_and_size() {
        assert_eq!(topology(1 << 20, 4096).encryption_sector_size(), 4096);
        assert_eq!(topology((1 << 20) + 2048, 4096).encryption_sector_size(), 512);
        assert_eq!(topology(1 << 20, 2048).encryption_sector_size(), 512);
        assert_eq!(topology((1 << 20) + 512, 4096).encryption_sector_size(), 512);
        assert_eq!(topology(1 << 20, 512).encryption_sector_size(), 512);
    }

    #[test]
    fn data_start_where_the_device_likes_it() {
        let with = |optimal| {
            Topology {
                optimal_io_size: Bytes::new(optimal),
                ..topology(1 << 30, 512)
            }
            .alignment()
        };
        assert_eq!(with(0), Bytes::mib(1));
        assert_eq!(with(65536), Bytes::mib(1));
        assert_eq!(with(4 << 20), Bytes::mib(4));
        assert_eq!(with(33_553_920), Bytes::mib(1));
        assert_eq!(with(768 << 10), Bytes::kib(768));
    }
}
