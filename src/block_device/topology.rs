//! What a block device says of its sectors.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use keyslots::units::Bytes;

use super::{DevNo, ioctl};

/// Sizes and alignments of a block device, or of a file that is to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The size.
    pub size: Bytes,
    /// The smallest unit that is written at once without reading first.
    pub physical_block_size: u32,
    /// The smallest unit that can be addressed.
    pub logical_block_size: u32,
    /// The unit that the device likes best, zero where it does not say.
    pub optimal_io_size: Bytes,
    /// Where the first such unit starts.
    pub alignment_offset: Bytes,
}

impl Topology {
    /// Asks the device.
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
                optimal_io_size: Bytes::ZERO,
                alignment_offset: Bytes::ZERO,
            });
        }
        let number = DevNo::of_path(path)?;
        let queue = |name: &str| {
            number
                .and_then(|number| queue_value(number, name))
                .map_or(Bytes::ZERO, Bytes::new)
        };
        Ok(Self {
            size,
            physical_block_size: ioctl::physical_block_size(&file)?,
            logical_block_size: ioctl::logical_block_size(&file)?,
            optimal_io_size: queue("queue/optimal_io_size"),
            alignment_offset: queue("alignment_offset"),
        })
    }

    /// A multiple of this is a good place for data: 1 MiB, or what the device likes best where that is more.
    pub fn alignment(&self) -> Bytes {
        const DEFAULT: Bytes = Bytes::mib(1);
        // Some USB bridges report sizes that are none.
        let sane = self.optimal_io_size.is_multiple_of(Bytes::kib(4)) && self.optimal_io_size <= Bytes::mib(64);
        if sane && self.optimal_io_size > DEFAULT {
            self.optimal_io_size
        } else {
            DEFAULT
        }
    }

    /// 4096 where the device writes so much at once and its size is a multiple of that, else 512: the reference chooses
    /// none between.
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

/// Whether the device is a rotating disk.
pub fn is_rotational(number: DevNo) -> bool {
    queue_value(number, "queue/rotational") == Some(1)
}

/// A partition has no queue of its own: its disk has.
fn queue_value(number: DevNo, name: &str) -> Option<u64> {
    let sysfs = number.sysfs();
    let text = fs::read_to_string(sysfs.join(name))
        .or_else(|_| fs::read_to_string(sysfs.join("..").join(name)))
        .ok()?;
    text.trim().parse().ok()
}

/// Whether a block device is read-only.
///
/// # Errors
/// The system's.
pub fn is_read_only(device: &File) -> io::Result<bool> {
    Ok(ioctl::is_read_only(device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(size: u64, physical: u32) -> Topology {
        Topology {
            size: Bytes::new(size),
            physical_block_size: physical,
            logical_block_size: 512,
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
    }
}
