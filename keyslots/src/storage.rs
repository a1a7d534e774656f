//! The storage of a header: the one way in which this crate reads and writes.
//!
//! [`Storage`] is implemented for [`std::fs::File`] (a file or a block device) and for [`Memory`]. The crate opens
//! nothing by itself: the caller chooses flags and locks.

pub mod fault;

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use crate::units::Bytes;

/// Something with a size that can be read and written at any byte.
pub trait Storage {
    /// The size in bytes.
    ///
    /// # Errors
    /// The system's.
    fn size(&mut self) -> io::Result<Bytes>;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` where the storage ends before the buffer, else the system's.
    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    /// The system's. It is then unknown what was written.
    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> io::Result<()>;

    /// Returns when all writes will survive a power loss.
    ///
    /// # Errors
    /// The system's, and then nothing written since the last sync may be relied on.
    fn sync(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn size(&mut self) -> io::Result<Bytes> {
        self.seek(SeekFrom::End(0)).map(Bytes::new)
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buf, offset.get())
    }

    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> io::Result<()> {
        self.write_all_at(buf, offset.get())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A storage of a fixed size in memory, for examples and tests.
#[derive(Debug, Clone, Default)]
pub struct Memory(pub Vec<u8>);

impl Memory {
    /// `size` zero bytes.
    pub fn zeroed(size: usize) -> Self {
        Self(vec![0; size])
    }

    fn range(&self, offset: Bytes, len: usize) -> io::Result<std::ops::Range<usize>> {
        let start = offset.to_usize().ok_or(io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(len).ok_or(io::ErrorKind::UnexpectedEof)?;
        if end > self.0.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(start..end)
    }
}

impl Storage for Memory {
    fn size(&mut self) -> io::Result<Bytes> {
        Ok(Bytes::new(self.0.len() as u64))
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        let range = self.range(offset, buf.len())?;
        buf.copy_from_slice(&self.0[range]);
        Ok(())
    }

    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> io::Result<()> {
        let range = self.range(offset, buf.len())?;
        self.0[range].copy_from_slice(buf);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A storage that reports a size of 1 MiB, and fails with EIO on any access.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unreadable;

#[cfg(test)]
impl Storage for Unreadable {
    fn size(&mut self) -> io::Result<Bytes> {
        Ok(Bytes::mib(1))
    }

    fn read_at(&mut self, _: Bytes, _: &mut [u8]) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(5))
    }

    fn write_at(&mut self, _: Bytes, _: &[u8]) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(5))
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(5))
    }
}
