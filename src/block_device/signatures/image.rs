//! A device that is looked at: its start is read at once, and each part only once.

use std::collections::BTreeSet;
use std::io;

use keyslots::storage::Storage;
use keyslots::units::Bytes;

/// A device whose start has been read at once; the rest is read on demand.
pub(super) struct Image<'a> {
    storage: &'a mut dyn Storage,
    pub(super) size: u64,
    head: Vec<u8>,
    /// The unreadable blocks, if they are not fatal. None of them is tried twice: a failing disk takes its time for each.
    unreadable: Option<BTreeSet<u64>>,
}

impl<'a> Image<'a> {
    /// The size of the first read: a ZFS label ends here.
    const HEAD: u64 = 256 * 1024;
    /// The amount that is lost with an unreadable sector.
    const BLOCK: u64 = 4096;

    pub(super) fn read(storage: &'a mut dyn Storage) -> io::Result<Self> {
        let size = storage.size()?.get();
        let mut head = vec![0; size.min(Self::HEAD) as usize];
        storage.read_at(Bytes::ZERO, &mut head)?;
        Ok(Self {
            storage,
            size,
            head,
            unreadable: None,
        })
    }

    /// The same for a disk with unreadable parts.
    pub(super) fn readable(storage: &'a mut dyn Storage) -> io::Result<Self> {
        let size = storage.size()?.get();
        let mut head = vec![0; size.min(Self::HEAD) as usize];
        let mut unreadable = BTreeSet::new();
        if storage.read_at(Bytes::ZERO, &mut head).is_err() {
            for (block, bytes) in (0..).zip(head.chunks_mut(Self::BLOCK as usize)) {
                if storage.read_at(Bytes::new(block * Self::BLOCK), bytes).is_err() {
                    unreadable.insert(block);
                }
            }
        }
        Ok(Self {
            storage,
            size,
            head,
            unreadable: Some(unreadable),
        })
    }

    /// One whose parts are read on demand.
    pub(super) fn unread(storage: &'a mut dyn Storage) -> io::Result<Self> {
        Ok(Self {
            size: storage.size()?.get(),
            storage,
            head: Vec::new(),
            unreadable: None,
        })
    }

    /// This many bytes at an offset; `None` past the end, and if they are unreadable but that is not fatal.
    pub(super) fn at(&mut self, offset: u64, len: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(end) = offset.checked_add(len as u64).filter(|end| *end <= self.size) else {
            return Ok(None);
        };
        let blocks = offset / Self::BLOCK..=end.saturating_sub(1) / Self::BLOCK;
        if let Some(unreadable) = &self.unreadable
            && !blocks.is_empty()
            && unreadable.range(blocks.clone()).next().is_some()
        {
            return Ok(None);
        }
        if end <= self.head.len() as u64 {
            return Ok(Some(self.head[offset as usize..end as usize].to_vec()));
        }
        let mut bytes = vec![0; len];
        match (
            self.storage.read_at(Bytes::new(offset), &mut bytes),
            &mut self.unreadable,
        ) {
            (Ok(()), _) => Ok(Some(bytes)),
            (Err(_), Some(unreadable)) => {
                unreadable.extend(blocks);
                Ok(None)
            }
            (Err(error), None) => Err(error),
        }
    }

    pub(super) fn le32(&mut self, offset: u64) -> io::Result<Option<u32>> {
        let bytes = self.at(offset, 4)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes))
    }
}
