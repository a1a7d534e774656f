//! Discarding, allocating and growing.

use std::io;
use std::sync::atomic::Ordering;

use keyslots::units::Bytes;
use nix::fcntl::{FallocateFlags, fallocate};

use super::Volume;
use super::ranges::Use;
use super::span::Span;
use super::volume::CHUNK;

impl Volume {
    /// Makes `len` bytes from `offset` on read as zeros, as far as the volume extends. With `allow_discards` whole
    /// sectors are discarded instead of being written, if the device supports that.
    ///
    /// # Errors
    /// As [`Volume::write_at`].
    pub fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let end = offset.saturating_add(len).min(self.size().get());
        let mut at = offset;
        if self.options.allow_discards && at < end {
            let span = Span::of(at, end - at, self.sector_size);
            let first = at + span.head;
            if span.body > 0 && self.punch(first, span.body)? {
                self.write_zeros(at, first)?;
                at = first + span.body;
            }
        }
        self.write_zeros(at, end)
    }

    /// Asks the file system under the volume for room for `len` bytes from `offset` on, so that writing them later does not
    /// fail for lack of it. The contents do not change.
    ///
    /// # Errors
    /// `StorageFull` past the end of the volume, `Unsupported` where the device cannot, or the device's.
    pub fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        if offset.saturating_add(len) > self.size().get() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (Ok(from), Ok(len)) = ((self.start + offset).try_into(), len.try_into()) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        fallocate(&self.device, FallocateFlags::FALLOC_FL_KEEP_SIZE, from, len).map_err(io::Error::from)
    }

    /// Makes the volume longer by making the file under it longer. Only a volume in a file whose size is that of the file
    /// grows; the new bytes read as zeros.
    ///
    /// # Errors
    /// `InvalidInput` for a smaller size, `Unsupported` for a volume that cannot grow, or the file system's.
    pub fn grow(&self, size: Bytes) -> io::Result<()> {
        self.check_writable()?;
        if !self.dynamic || !self.device.metadata()?.is_file() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let wanted = size.get().checked_next_multiple_of(self.sector_size);
        let end = wanted.and_then(|wanted| Some((wanted, wanted.checked_add(self.start)?)));
        let (wanted, end) = end.ok_or(io::ErrorKind::FileTooLarge)?;
        let _all = self.ranges.hold(0..u64::MAX, Use::Write);
        let old = self.size().get();
        if wanted < old {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // A header in front of the data has a fixed size; the file may end inside the last sector.
        // Another program may have made it longer than that meanwhile, and that part must not be cut off.
        if self.device.metadata()?.len() < end {
            self.device.set_len(end)?;
        }
        self.device.sync_all()?;
        self.size.store(wanted, Ordering::Release);
        drop(_all);
        self.write_zeros(old, wanted)
    }

    fn write_zeros(&self, mut from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; (to.saturating_sub(from)).min(4 * CHUNK as u64) as usize];
        while from < to {
            let len = (to - from).min(zeros.len() as u64) as usize;
            self.write_at(from, &zeros[..len])?;
            from += len as u64;
        }
        Ok(())
    }

    /// Discards whole sectors; returns whether the device supports that.
    fn punch(&self, offset: u64, len: u64) -> io::Result<bool> {
        let sectors = offset / self.sector_size..(offset + len) / self.sector_size;
        let _writing = self.ranges.hold(sectors, Use::Write);
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (Ok(from), Ok(len)) = ((self.start + offset).try_into(), len.try_into()) else {
            return Ok(false);
        };
        match fallocate(&self.device, flags, from, len) {
            Ok(()) => Ok(true),
            Err(nix::Error::EOPNOTSUPP | nix::Error::ENOSYS) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}
