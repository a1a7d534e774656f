//! The device or file that holds a header: opened, locked and read, for as long as that takes and no longer.
//!
//! No lock is held during a prompt. A reader keeps the header that it has validated; a writer takes the exclusive lock,
//! reads again, and works on that.

mod error;
mod opened;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyslots::header::{Header, Version};
use keyslots::luks2::copies::OtherCopy;
use keyslots::luks2::format::{BinaryHeader, Which};
use keyslots::luks2::{self, Defect};
use keyslots::storage::Storage;
use keyslots::units::Bytes;
use keyslots::wipe::Medium;
use nix::libc;

use crate::block_device::signatures::{self, Signature, SignatureKind};
use crate::block_device::{self, DevNo};
use crate::locks::{Lock, LockMode};
use crate::log;

pub use error::{HeaderError, Wanted};
use opened::Snapshot;
pub use opened::{LockedReads, Opened, Repair};

/// Where a header is.
#[derive(Clone, Debug)]
pub struct HeaderDevice {
    path: PathBuf,
    locks: bool,
}

impl HeaderDevice {
    /// The header on `path`. Without `locks`, other programs are not locked out.
    pub fn new(path: impl Into<PathBuf>, locks: bool) -> Self {
        Self {
            path: path.into(),
            locks,
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether locks are taken on it.
    pub fn locks(&self) -> bool {
        self.locks
    }

    /// Opens the device.
    ///
    /// # Errors
    /// [`HeaderError::Open`], [`HeaderError::NotWritable`], [`HeaderError::WrongKind`].
    pub fn open(&self, write: bool) -> Result<Opened, HeaderError> {
        let failed = |source| HeaderError::Open {
            path: self.path.clone(),
            source,
        };
        let access = if write { "reading and writing" } else { "reading" };
        log::debug(format_args!("Opening {} for {access}.", self.path.display()));
        let file = self.open_flags().write(write).open(&self.path).map_err(|source| {
            match write && block_device::is_only_readable(&self.path, &source) {
                true => self.not_writable(source),
                false => failed(source),
            }
        })?;
        let kind = file.metadata().map_err(failed)?;
        if kind.file_type().is_block_device() {
            // A read-only device opens for writing too, and fails at the first write.
            if write && block_device::is_read_only(&file).map_err(failed)? {
                return Err(self.not_writable(io::ErrorKind::ReadOnlyFilesystem.into()));
            }
            let number = DevNo::of_file(&file).map_err(failed)?;
            Ok(Opened::new(file, number))
        } else if kind.is_file() {
            Ok(Opened::new(file, None))
        } else {
            Err(HeaderError::WrongKind(self.path.clone()))
        }
    }

    fn open_flags(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        // A FIFO would block.
        options.read(true).custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK);
        options
    }

    fn not_writable(&self, source: io::Error) -> HeaderError {
        HeaderError::NotWritable {
            path: self.path.clone(),
            source,
        }
    }

    /// Reads the header under the shared lock, validates it without, and writes nothing. The file stays open. For commands
    /// that ask for confirmation before they change anything.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn peek(&self, wanted: Wanted) -> Result<(Header, Opened), HeaderError> {
        let mut opened = self.open(false)?;
        let (header, foreign) = self.read_header(&mut self.snapshot(&mut opened)?, wanted)?;
        opened.foreign = foreign;
        Ok((header, opened))
    }

    /// As [`HeaderDevice::peek`], and rewrites a damaged or outdated copy, unless locks are off; returns the header as it
    /// was read.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn read(&self, wanted: Wanted) -> Result<(Header, Opened), HeaderError> {
        let (header, mut opened) = self.peek(wanted)?;
        if let Some(which) = header.luks2().and_then(|header| header.other_copy().needs_recovery())
            && self.locks
        {
            let failure = self.recover().err().map(Box::new);
            opened.repair = Some(Repair { which, failure });
        }
        Ok((header, opened))
    }

    /// Reads both copies of the metadata. Unreadable sectors are left to later reads.
    fn snapshot<'a>(&'a self, opened: &'a mut Opened) -> Result<Snapshot<'a>, HeaderError> {
        let lock = self.lock(opened, LockMode::Shared)?;
        let size = opened.file.size().map_or(0, Bytes::get);
        let mut start = Vec::new();
        let mut read_to = |end: u64| {
            let (from, end) = (start.len(), end.min(size));
            start.resize(usize::try_from(end).unwrap_or_default().max(from), 0);
            let read = opened.file.read_at(Bytes::new(from as u64), &mut start[from..]);
            if read.is_err() {
                start.truncate(from);
            }
            start.first_chunk().copied()
        };
        if let Some(first) = read_to(16 * 1024)
            && let Ok(binary) = BinaryHeader::parse(&first, Which::Primary)
        {
            read_to(binary.hdr_size.get().saturating_mul(2));
        }
        drop(lock);
        Ok(Snapshot {
            start,
            reads: self.reader(opened),
        })
    }

    /// Rewrites the losing copy of a LUKS2 header from the winning one.
    fn recover(&self) -> Result<(), HeaderError> {
        self.exclusive(Wanted::Only(Version::Luks2), |header, storage| {
            if let Header::Luks2(header) = header {
                header.recover(storage)?;
            }
            Ok(())
        })
    }

    /// An opened device, of which each read takes the shared lock: none is held while a key is derived.
    pub fn reader<'a>(&'a self, opened: &'a mut Opened) -> LockedReads<'a> {
        LockedReads {
            device: self,
            opened,
            refused: None,
        }
    }

    /// Runs `action` on an opened device under the shared lock.
    ///
    /// # Errors
    /// [`HeaderError::Lock`], or the action's.
    pub fn shared<T, E: From<HeaderError>>(
        &self,
        opened: &mut Opened,
        action: impl FnOnce(&mut dyn Storage) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = self.lock(opened, LockMode::Shared)?;
        action(&mut opened.file)
    }

    /// Reads the header again under the exclusive lock and runs `action` on it.
    ///
    /// # Errors
    /// [`HeaderError`], or the action's.
    pub fn exclusive<T, E: From<HeaderError>>(
        &self,
        wanted: Wanted,
        action: impl FnOnce(&mut Header, &mut dyn Storage) -> Result<T, E>,
    ) -> Result<T, E> {
        self.exclusive_raw(|file| {
            let (mut header, _) = self.read_header(file, wanted)?;
            action(&mut header, file)
        })
    }

    /// Runs `action` under the exclusive lock, without a look at what is there.
    ///
    /// # Errors
    /// [`HeaderError`], or the action's.
    pub fn exclusive_raw<T, E: From<HeaderError>>(
        &self,
        action: impl FnOnce(&mut File) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut opened = self.open(true)?;
        let _lock = self.lock(&opened, LockMode::Exclusive)?;
        action(&mut opened.file)
    }

    /// The medium of the header, as far as it matters for wiping.
    pub fn medium(&self) -> Medium {
        match DevNo::of_path(&self.path) {
            Ok(Some(number)) if block_device::is_rotational(number) => Medium::Rotational,
            _ => Medium::Other,
        }
    }

    /// Extends a header file to `size`, with all of it allocated on its disk: a full disk is reported before a byte is
    /// written. A block device has a fixed size.
    ///
    /// # Errors
    /// [`HeaderError::Luks`].
    pub fn grow_file(&self, file: &File, size: Bytes) -> Result<(), HeaderError> {
        Ok(block_device::reserve(file, size).map_err(keyslots::Error::io("reserve space for the header"))?)
    }

    /// Locks what is open, unless locks are off.
    ///
    /// # Errors
    /// [`HeaderError::Lock`].
    pub(crate) fn lock(&self, opened: &Opened, mode: LockMode) -> Result<Option<Lock>, HeaderError> {
        if !self.locks {
            return Ok(None);
        }
        let lock = Lock::take(&opened.file, &self.path, mode);
        lock.map(Some).map_err(|source| HeaderError::Lock {
            path: self.path.clone(),
            mode,
            source,
        })
    }

    /// The header, and what stands over its primary copy.
    pub(crate) fn read_header(
        &self,
        storage: &mut dyn Storage,
        wanted: Wanted,
    ) -> Result<(Header, Option<Signature>), HeaderError> {
        let not_luks = || HeaderError::NotLuks {
            path: self.path.clone(),
            wanted,
        };
        let read = Header::read(storage);
        let path = self.path.display();
        match &read {
            Ok(header) => log::debug(format_args!(
                "{path} has a {:?} header with the UUID {}.",
                header.version(),
                header.uuid()
            )),
            Err(error) => log::debug(format_args!("{path} has no usable header: {error}.")),
        }
        match read {
            Ok(header) if wanted.takes(header.version()) => {
                let foreign = match header.luks2() {
                    Some(header) => self.foreign_over(header, storage)?,
                    None => None,
                };
                match foreign {
                    Some(found) if self.locks => Err(HeaderError::Ambiguous {
                        path: self.path.clone(),
                        found,
                    }),
                    foreign => Ok((header, foreign)),
                }
            }
            Ok(_) | Err(keyslots::Error::NotLuks) => Err(not_luks()),
            Err(keyslots::Error::Luks2(Defect::DeviceTooSmall { needed, .. })) => Err(HeaderError::TooSmall {
                path: self.path.clone(),
                needed: Bytes::new(needed),
            }),
            Err(source @ (keyslots::Error::Luks1(_) | keyslots::Error::Luks2(_))) => Err(HeaderError::Damaged {
                path: self.path.clone(),
                wanted,
                source,
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Finds what overwrote a damaged primary copy. These are other data: no repair may overwrite them, so that the
    /// operation stops. Without locks nothing is repaired, and the other copy will do.
    ///
    /// # Errors
    /// [`HeaderError::Luks`], if the system does not report the device's size. Sectors that cannot be read do not make the
    /// other copy unavailable.
    pub fn foreign_over(
        &self,
        header: &luks2::Header,
        storage: &mut dyn Storage,
    ) -> Result<Option<Signature>, HeaderError> {
        let Some(header) =
            Some(header).filter(|header| matches!(header.other_copy(), OtherCopy::Damaged(Which::Primary, _)))
        else {
            return Ok(None);
        };
        let found = signatures::probe_readable(storage).map_err(keyslots::Error::io("look for signatures"))?;
        // A backup partition table at the end does not concern the first sectors; the metadata of an array, there, do.
        let start = header.binary().hdr_size;
        Ok(found.into_iter().find(|found| {
            found.name != "crypto_LUKS" && (found.kind == SignatureKind::Superblock || found.offset < start)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_refused_is_not_waited_for_again_and_told_as_what_it_is() {
        let file = tempfile::tempfile().expect("a file");
        let mut opened = Opened::new(file, None);
        let device = HeaderDevice {
            path: "device".into(),
            locks: true,
        };
        let mut reads = device.reader(&mut opened);
        reads.refused = Some(HeaderError::NotLuks {
            path: "device".into(),
            wanted: Wanted::Any,
        });
        let read = reads.read_at(Bytes::ZERO, &mut [0]);
        assert_eq!(read.expect_err("no lock").kind(), io::ErrorKind::WouldBlock);
        let outcome = reads.outcome::<()>(Err(keyslots::Error::NoUsableKeyslot));
        assert!(matches!(outcome, Err(HeaderError::NotLuks { .. })));
    }
}
