//! Which header is wanted, and why there is none.

use std::io;
use std::path::PathBuf;

use keyslots::header::Version;
use keyslots::units::Bytes;

use crate::block_device::Holder;
use crate::block_device::signatures::Signature;
use crate::locks::{LockError, LockMode};

/// The versions that a caller accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Both.
    Any,
    /// One.
    Only(Version),
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

    /// Whether it accepts a header of that version.
    pub fn takes(self, version: Version) -> bool {
        self == Self::Any || self == Self::Only(version)
    }
}

/// Why a header is unavailable.
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
    /// The device can be read, but not written.
    #[error("cannot write to {}: {source}", path.display())]
    NotWritable {
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
    /// The primary copy is damaged, and its place was overwritten by something else.
    #[error("the primary LUKS2 header on {} is damaged, and there is a {found} at byte {}", path.display(), found.offset.get())]
    Ambiguous {
        /// The device.
        path: PathBuf,
        /// The name of what is there.
        found: Signature,
    },
    /// The header is invalid.
    #[error("the header on {} is damaged: {source}", path.display())]
    Damaged {
        /// The device.
        path: PathBuf,
        /// The wanted version.
        wanted: Wanted,
        /// The defect.
        source: keyslots::Error,
    },
    /// The device ends inside the header.
    #[error("{} is too small for its header, which needs {needed}", path.display())]
    TooSmall {
        /// The device.
        path: PathBuf,
        /// Size of the header.
        needed: Bytes,
    },
    /// The lock cannot be taken.
    #[error("{source}")]
    Lock {
        /// The device.
        path: PathBuf,
        /// The purpose of the lock.
        mode: LockMode,
        /// The reason.
        source: LockError,
    },
    /// A program that takes no lock has the LUKS1 header open.
    #[error("{user} has {} open, and can write its LUKS1 header back as it was", path.display())]
    OpenElsewhere {
        /// The device.
        path: PathBuf,
        /// The program.
        user: Holder,
    },
    /// There may be such a program.
    #[error("cannot find out whether another program has {} open and can write its LUKS1 header back as it was: {source}", path.display())]
    OthersUnknown {
        /// The device.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The header is unusable, or what was to be done with it failed.
    #[error(transparent)]
    Luks(#[from] keyslots::Error),
}
