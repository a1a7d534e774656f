//! The device with the header while it is open, and reads of it under the lock.

use std::fmt;
use std::fs::File;
use std::io;

use keyslots::luks2::format::Which;
use keyslots::storage::Storage;
use keyslots::units::Bytes;

use super::{HeaderDevice, HeaderError};
use crate::block_device::DevNo;
use crate::block_device::signatures::Signature;
use crate::locks::LockMode;

/// An opened header device.
#[derive(Debug)]
pub struct Opened {
    /// The device or file, to be read and written through.
    pub file: File,
    /// Its number, where it is a block device.
    pub number: Option<DevNo>,
    /// The data over the primary copy, where the header was read without locks.
    pub foreign: Option<Signature>,
    /// The outcome of rewriting a copy of the header that was damaged or out of date.
    pub repair: Option<Repair>,
}

/// The losing copy of a header, which was or should have been rewritten.
#[derive(Debug)]
pub struct Repair {
    /// The copy.
    pub which: Which,
    /// The reason why it could not be written.
    pub failure: Option<Box<HeaderError>>,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = match self.which {
            Which::Primary => "primary",
            Which::Secondary => "secondary",
        };
        match &self.failure {
            None => write!(
                f,
                "The {which} copy of the header was damaged or out of date, and has been written anew"
            ),
            Some(error) => write!(f, "A damaged copy of the header could not be written anew: {error}"),
        }
    }
}

impl Opened {
    pub(super) fn new(file: File, number: Option<DevNo>) -> Self {
        Self {
            file,
            number,
            foreign: None,
            repair: None,
        }
    }
}

/// See [`HeaderDevice::reader`].
#[derive(Debug)]
pub struct LockedReads<'a> {
    pub(super) device: &'a HeaderDevice,
    pub(super) opened: &'a mut Opened,
    /// Why the lock could not be taken. No other read waits for it again: each would take as long.
    pub(super) refused: Option<HeaderError>,
}

impl LockedReads<'_> {
    /// The outcome of what was done with these reads: a lock that could not be taken is told as that, and not as a read that
    /// failed.
    ///
    /// # Errors
    /// [`HeaderError::Lock`], or the library's.
    pub fn outcome<T>(self, outcome: Result<T, keyslots::Error>) -> Result<T, HeaderError> {
        match (outcome, self.refused) {
            (Ok(done), _) => Ok(done),
            (Err(_), Some(refused)) => Err(refused),
            (Err(error), None) => Err(error.into()),
        }
    }
}

impl Storage for LockedReads<'_> {
    fn size(&mut self) -> io::Result<Bytes> {
        self.opened.file.size()
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        if self.refused.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.device.lock(self.opened, LockMode::Shared) {
            Ok(_lock) => self.opened.file.read_at(offset, buf),
            Err(error) => {
                let told = io::Error::other(error.to_string());
                self.refused = Some(error);
                Err(told)
            }
        }
    }

    fn write_at(&mut self, _: Bytes, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The start of a device, read at once under the lock, which is not held while megabytes of metadata are checked. Each
/// other read takes the lock for itself.
pub(super) struct Snapshot<'a> {
    pub(super) start: Vec<u8>,
    pub(super) reads: LockedReads<'a>,
}

impl Storage for Snapshot<'_> {
    fn size(&mut self) -> io::Result<Bytes> {
        self.reads.size()
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        let there = offset.to_usize().and_then(|offset| self.start.get(offset..));
        match there.and_then(|there| there.get(..buf.len())) {
            Some(there) => {
                buf.copy_from_slice(there);
                Ok(())
            }
            None => self.reads.read_at(offset, buf),
        }
    }

    fn write_at(&mut self, offset: Bytes, bytes: &[u8]) -> io::Result<()> {
        self.reads.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.reads.sync()
    }
}
