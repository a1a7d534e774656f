//! What a file system takes of a device, and its blocks, as its superblock says.

use std::io;

use keyslots::storage::Storage;
use keyslots::units::Bytes;

/// A file system, as its superblock describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name.
    pub name: &'static str,
    /// The size.
    pub size: Bytes,
    /// Bytes of a block; nothing shorter is written.
    pub block: u32,
}

/// The ext2, ext3, ext4, XFS or Btrfs at the start of a storage; none where there is no such file system.
///
/// # Errors
/// The system's.
pub fn file_system(storage: &mut dyn Storage) -> io::Result<Option<FileSystem>> {
    let size = storage.size()?;
    let mut read = |at: u64, buf: &mut [u8]| -> io::Result<bool> {
        let end = Bytes::new(at + buf.len() as u64);
        if size < end {
            return Ok(false);
        }
        storage.read_at(Bytes::new(at), buf).map(|()| true)
    };
    let mut super_block = [0; 1024];
    if read(1024, &mut super_block)?
        && let Some(size) = ext(&super_block)
    {
        return Ok(Some(size));
    }
    if read(0, &mut super_block)?
        && let Some(size) = xfs(&super_block)
    {
        return Ok(Some(size));
    }
    let found = read(64 << 10, &mut super_block)?;
    Ok(btrfs(&super_block).filter(|_| found))
}

/// `s_magic`, `s_log_block_size`, `s_blocks_count_lo` and `_hi`, `s_feature_compat` and `s_feature_incompat` of the kernel's
/// Documentation/filesystems/ext4.
fn ext(block: &[u8; 1024]) -> Option<FileSystem> {
    const JOURNAL: u32 = 0x4;
    const EXTENTS: u32 = 0x40;
    const BITS_64: u32 = 0x80;
    let u32_at = |at: usize| block[at..].first_chunk().copied().map_or(0, u32::from_le_bytes);
    if block[56..58] != [0x53, 0xef] {
        return None;
    }
    let (compatible, incompatible) = (u32_at(92), u32_at(96));
    let high = match incompatible & BITS_64 {
        0 => 0,
        _ => u32_at(0x150),
    };
    let blocks = u64::from(high) << 32 | u64::from(u32_at(4));
    let block = 1024_u32
        .checked_shl(u32_at(24))
        .filter(|size| (1..=64 << 10).contains(size))?;
    Some(FileSystem {
        name: match (incompatible & EXTENTS, compatible & JOURNAL) {
            (0, 0) => "ext2",
            (0, _) => "ext3",
            _ => "ext4",
        },
        size: blocks.checked_mul(block.into()).map(Bytes::new)?,
        block,
    })
}

/// `sb_blocksize`, `sb_dblocks` and `sb_sectsize` of the XFS Filesystem Structure. Its log is written in sectors.
fn xfs(block: &[u8; 1024]) -> Option<FileSystem> {
    if !block.starts_with(b"XFSB") {
        return None;
    }
    let block_size = block[4..].first_chunk().copied().map(u32::from_be_bytes)?;
    let blocks = block[8..].first_chunk().copied().map(u64::from_be_bytes)?;
    let sector = block[102..].first_chunk().copied().map(u16::from_be_bytes)?;
    Some(FileSystem {
        name: "xfs",
        size: blocks.checked_mul(block_size.into()).map(Bytes::new)?,
        block: sector.into(),
    })
}

/// `sectorsize` and `dev_item.total_bytes` of the Btrfs on-disk format: what it takes of this device.
fn btrfs(block: &[u8; 1024]) -> Option<FileSystem> {
    if block[64..72] != *b"_BHRfS_M" {
        return None;
    }
    let bytes = block[201 + 8..].first_chunk().copied().map(u64::from_le_bytes)?;
    let sector = block[144..].first_chunk().copied().map(u32::from_le_bytes)?;
    Some(FileSystem {
        name: "btrfs",
        size: Bytes::new(bytes),
        block: sector,
    })
}
