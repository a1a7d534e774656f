//! A device that is read to identify its contents.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

use keyslots::storage::Storage;
use keyslots::units::{Bytes, Sectors};

use super::DevNo;

/// A device that is read to identify its contents. Its size is taken from sysfs: a seek to its end would wait, without a
/// way to end it, for all pending reads of the device.
#[derive(Debug)]
pub struct Probe {
    file: File,
    size: Bytes,
}

impl Probe {
    /// Opens the device.
    ///
    /// # Errors
    /// The system's; `NotFound` where there is no node, or no such device.
    pub fn open(number: DevNo) -> io::Result<Self> {
        let sectors = fs::read_to_string(number.sysfs().join("size"))?;
        let sectors = sectors.trim().parse().ok().map(Sectors::new);
        let size = sectors.and_then(Sectors::bytes).ok_or(io::ErrorKind::InvalidData)?;
        let path = number.path().ok_or(io::ErrorKind::NotFound)?;
        Ok(Self {
            file: File::open(path)?,
            size,
        })
    }
}

impl Storage for Probe {
    fn size(&mut self) -> io::Result<Bytes> {
        Ok(self.size)
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset.get())
    }

    fn write_at(&mut self, _: Bytes, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_device_is_an_error() {
        assert!(Probe::open(DevNo::new(4095, 1)).is_err());
    }
}
