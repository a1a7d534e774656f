//! Where on its device the data of a file lie, according to the file system (FIEMAP, the kernel's
//! Documentation/filesystems/fiemap.rst).

use std::fs::File;
use std::io;

use super::ioctl;

/// A contiguous piece of a file on its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its start on the device, in sectors.
    pub start: u64,
    /// Its length, in sectors.
    pub length: u64,
}

const LAST: u32 = 0x1;
/// Unknown, not yet allocated, encoded, encrypted, not aligned, inline or in the tail of another: then the file has no
/// sectors of its own.
/// file's own then.
const PLACELESS: u32 = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400;
const SECTOR: u64 = 512;

/// The extents of a file in the order of its bytes. `sync` writes delayed data out first.
///
/// # Errors
/// The system's; "not supported" if the file system does not report extents.
pub fn extents(file: &File, sync: bool) -> io::Result<Vec<Extent>> {
    let mut found = Vec::new();
    let mut start = 0;
    loop {
        let some = ioctl::extents(file, start, sync)?;
        for extent in &some {
            if let Some(extent) = placed(extent.physical, extent.length, extent.flags) {
                push(&mut found, extent);
            }
        }
        let Some(last) = some.last().filter(|last| last.flags & LAST == 0) else {
            return Ok(found);
        };
        match last.logical.checked_add(last.length) {
            Some(next) if next > start => start = next,
            // Guards against an endless loop.
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Whether only this process has a file open.
pub fn is_only_holder(file: &File) -> bool {
    ioctl::is_only_holder(file)
}

/// Adds an extent: one that begins where the last ends is merged with it, however the file system stores them.
fn push(found: &mut Vec<Extent>, extent: Extent) {
    match found.last_mut() {
        Some(last) if last.start.checked_add(last.length) == Some(extent.start) => {
            last.length = last.length.saturating_add(extent.length);
        }
        _ => found.push(extent),
    }
}

fn placed(physical: u64, length: u64, flags: u32) -> Option<Extent> {
    let whole = physical.is_multiple_of(SECTOR) && length.is_multiple_of(SECTOR) && length > 0;
    (whole && flags & PLACELESS == 0).then_some(Extent {
        start: physical / SECTOR,
        length: length / SECTOR,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_sectors_of_its_own_is_no_extent() {
        let extent = Extent { start: 8, length: 16 };
        assert_eq!(placed(4096, 8192, LAST), Some(extent));
        // Allocated, but not written yet.
        assert_eq!(placed(4096, 8192, 0x800), Some(extent));
        for flags in [0x2, 0x4, 0x8, 0x80, 0x100, 0x200, 0x400] {
            assert_eq!(placed(4096, 8192, flags), None, "{flags:#x}");
        }
        assert_eq!(placed(4096, 0, 0), None);
        assert_eq!(placed(4097, 512, 0), None);
        assert_eq!(placed(4096, 100, 0), None);
    }

    #[test]
    fn what_lies_in_one_run_is_one_extent() {
        let mut found = Vec::new();
        for (start, length) in [(8, 8), (16, 4), (40, 8), (32, 8), (40, 8)] {
            push(&mut found, Extent { start, length });
        }
        let runs: Vec<_> = found.iter().map(|extent| (extent.start, extent.length)).collect();
        assert_eq!(runs, [(8, 12), (40, 8), (32, 16)]);
    }
}
