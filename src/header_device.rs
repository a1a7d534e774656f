//! The device or file that holds a header: opened, locked and read, for as long as that takes and no longer.
//!
//! No lock is held while a person is asked for something. What reads keeps the header that it has validated; what
//! writes takes the exclusive lock, reads again, and works on that.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyslots::header::{Header, Version};
use keyslots::luks2::Defect;
use keyslots::luks2::copies::Loser;
use keyslots::luks2::format::Which;
use keyslots::storage::Storage;
use keyslots::units::Bytes;
use keyslots::wipe::Medium;
use nix::libc;

use crate::block_device::signatures::{self, Signature};
use crate::block_device::{self, DevNo};
use crate::locks::{Lock, LockError, LockMode};
use crate::log;

/// Which versions a caller takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Both.
    Any,
    /// One.
    Only(Version),
}

/// Why a header cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The device cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is neither a block device nor a file.
    #[error("{} is neither a block device nor a file", .0.display())]
    WrongKind(PathBuf),
    /// There is no header, or none of the wanted version.
    #[error("{} has no {} header", path.display(), wanted.name())]
    NotLuks {
        /// The device.
        path: PathBuf,
        /// The wanted version.
        wanted: Wanted,
    },
    /// The primary copy is damaged, and something else stands where it was.
    #[error("{} has a {found} where the primary LUKS2 header was", path.display())]
    Ambiguous {
        /// The device.
        path: PathBuf,
        /// What stands there.
        found: Signature,
    },
    /// The device ends inside the header.
    #[error("{} is too small for its header, which needs {needed}", path.display())]
    TooSmall {
        /// The device.
        path: PathBuf,
        /// Size of the header.
        needed: Bytes,
    },
    /// The lock cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The header is unusable, or what was to be done with it failed.
    #[error(transparent)]
    Luks(#[from] keyslots::Error),
}

impl Wanted {
    /// The name of the format, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "LUKS",
            Self::Only(Version::Luks1) => "LUKS1",
            Self::Only(Version::Luks2) => "LUKS2",
        }
    }

    /// Whether a header of that version is one of them.
    pub fn takes(self, version: Version) -> bool {
        self == Self::Any || self == Self::Only(version)
    }
}

/// Where a header is.
#[derive(Clone, Debug)]
pub struct HeaderDevice {
    path: PathBuf,
    locks: bool,
}

/// An opened header device.
#[derive(Debug)]
pub struct Opened {
    /// The device or file, to be read and written through.
    pub file: File,
    /// Its number, where it is a block device.
    pub number: Option<DevNo>,
    /// Why a damaged copy of the header could not be written anew, where that was tried.
    pub unrepaired: Option<Box<HeaderError>>,
}

impl Opened {
    fn new(file: File, number: Option<DevNo>) -> Self {
        Self {
            file,
            number,
            unrepaired: None,
        }
    }
}

/// See [`HeaderDevice::reader`].
struct LockedReads<'a> {
    device: &'a HeaderDevice,
    opened: &'a mut Opened,
}

impl Storage for LockedReads<'_> {
    fn size(&mut self) -> io::Result<Bytes> {
        self.opened.file.size()
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        let _lock = self
            .device
            .lock(self.opened, LockMode::Shared)
            .map_err(io::Error::other)?;
        self.opened.file.read_at(offset, buf)
    }

    fn write_at(&mut self, _: Bytes, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl HeaderDevice {
    /// The header on `path`. Without `locks`, nobody else is kept out.
    pub fn new(path: impl Into<PathBuf>, locks: bool) -> Self {
        Self {
            path: path.into(),
            locks,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the device.
    ///
    /// # Errors
    /// [`HeaderError::Open`], [`HeaderError::WrongKind`].
    pub fn open(&self, write: bool) -> Result<Opened, HeaderError> {
        let failed = |source| HeaderError::Open {
            path: self.path.clone(),
            source,
        };
        let access = if write { "reading and writing" } else { "reading" };
        log::debug(format_args!("Opening {} for {access}.", self.path.display()));
        // A FIFO would block.
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .write(write)
            .custom_flags(flags)
            .open(&self.path)
            .map_err(failed)?;
        let kind = file.metadata().map_err(failed)?;
        if kind.file_type().is_block_device() {
            let number = DevNo::of_file(&file).map_err(failed)?;
            Ok(Opened::new(file, number))
        } else if kind.is_file() {
            Ok(Opened::new(file, None))
        } else {
            Err(HeaderError::WrongKind(self.path.clone()))
        }
    }

    /// Reads and validates the header under the shared lock. The file stays open, the lock does not stay. A damaged or
    /// outdated copy is written anew, unless locks are off; what is returned is the header as it was read.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn read(&self, wanted: Wanted) -> Result<(Header, Opened), HeaderError> {
        let mut opened = self.open(false)?;
        let header = {
            let _lock = self.lock(&opened, LockMode::Shared)?;
            self.read_header(&mut opened.file, wanted)?
        };
        let damaged = header
            .luks2()
            .is_some_and(|header| header.loser().needs_recovery().is_some());
        if damaged && self.locks {
            opened.unrepaired = self.recover().err().map(Box::new);
        }
        Ok((header, opened))
    }

    /// Writes the copy of a LUKS2 header that lost anew, from the one that won.
    fn recover(&self) -> Result<(), HeaderError> {
        self.exclusive(Wanted::Only(Version::Luks2), |header, storage| {
            if let Header::Luks2(header) = header {
                header.recover(storage)?;
            }
            Ok(())
        })
    }

    /// An opened device, of which each read takes the shared lock: none is held while a key is derived.
    pub fn reader<'a>(&'a self, opened: &'a mut Opened) -> impl Storage + 'a {
        LockedReads { device: self, opened }
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
            let mut header = self.read_header(file, wanted)?;
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

    /// What the header stands on, as far as it matters for wiping.
    pub fn medium(&self) -> Medium {
        match DevNo::of_path(&self.path) {
            Ok(Some(number)) if block_device::is_rotational(number) => Medium::Rotational,
            _ => Medium::Other,
        }
    }

    /// Makes a header file that is shorter than `size` as long as that; a block device has its size.
    ///
    /// # Errors
    /// [`HeaderError::Luks`].
    pub fn grow_file(&self, file: &File, size: Bytes) -> Result<(), HeaderError> {
        let grown = file.metadata().and_then(|metadata| {
            if metadata.is_file() && metadata.len() < size.get() {
                file.set_len(size.get())?;
            }
            Ok(())
        });
        Ok(grown.map_err(keyslots::Error::io("make the header file longer"))?)
    }

    fn lock(&self, opened: &Opened, mode: LockMode) -> Result<Option<Lock>, HeaderError> {
        if !self.locks {
            return Ok(None);
        }
        Ok(Some(Lock::take(&opened.file, &self.path, mode)?))
    }

    fn read_header(&self, storage: &mut dyn Storage, wanted: Wanted) -> Result<Header, HeaderError> {
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
                self.check_alone(&header, storage)?;
                Ok(header)
            }
            Ok(_) | Err(keyslots::Error::NotLuks) => Err(not_luks()),
            Err(keyslots::Error::Luks2(Defect::DeviceTooSmall { needed, .. })) => Err(HeaderError::TooSmall {
                path: self.path.clone(),
                needed: Bytes::new(needed),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// A file system over the primary copy is somebody's data: no repair may overwrite it, so that nothing goes on. Without
    /// locks nothing is repaired, and the other copy will do.
    fn check_alone(&self, header: &Header, storage: &mut dyn Storage) -> Result<(), HeaderError> {
        let over_primary = header
            .luks2()
            .is_some_and(|header| matches!(header.loser(), Loser::Damaged(Which::Primary, _)));
        if !over_primary || !self.locks {
            return Ok(());
        }
        let found = signatures::probe_storage(storage).map_err(|source| HeaderError::Open {
            path: self.path.clone(),
            source,
        })?;
        match found.into_iter().find(|signature| signature.name != "crypto_LUKS") {
            Some(found) => Err(HeaderError::Ambiguous {
                path: self.path.clone(),
                found,
            }),
            None => Ok(()),
        }
    }
}
