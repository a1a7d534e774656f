//! Why a volume is not open: the facts. Remedies and exit codes are the command line's.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use keyslots::units::Bytes;

use crate::boot::source::{DeviceSpec, Place};
use crate::crypt_device::CryptError;
use crate::data_device::DataDeviceError;
use crate::header_device::HeaderError;
use crate::passphrase::FinalNewline;
use crate::volume::{PlainKeyError, VolumeError};

/// An error of one volume.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// The device did not appear.
    #[error("{device} did not appear within {} s", waited.as_secs())]
    DeviceMissing {
        /// Which one.
        device: DeviceSpec,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Only parts of the device appeared.
    #[error("{device} did not appear within {} s; only some members were found: {parts}", waited.as_secs())]
    OnlyParts {
        /// Which one.
        device: DeviceSpec,
        /// The parts.
        parts: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Another device has come in the place of the one that was looked at, or none.
    #[error("{} is no longer the same device", .0.display())]
    Replaced(PathBuf),
    /// Its name is that of another mapping.
    #[error("a mapping of that name is there already, and is not this volume")]
    NameTaken,
    /// The device with the header, or the header's file, did not appear.
    #[error("the header {header} did not appear within {} s", waited.as_secs())]
    HeaderMissing {
        /// Where it should be.
        header: Place,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The file system with the header cannot be mounted.
    #[error("cannot get at the header {header}: {source}")]
    HeaderMount {
        /// Where it should be.
        header: Place,
        /// The system's error.
        source: io::Error,
    },
    /// The type is one that Luksmith does not open.
    #[error("Luksmith cannot open volumes of type {0}")]
    Unsupported(&'static str),
    /// Neither is there a LUKS header, nor do the options say that there should be none.
    #[error("{} has no LUKS header, and no option says how it is encrypted", .0.display())]
    Unknown(PathBuf),
    /// No keyslot fits into the memory.
    #[error("its keyslots need {needed} of memory; {available} is available")]
    OutOfMemory {
        /// What the least of them needs.
        needed: Bytes,
        /// What there is.
        available: Bytes,
    },
    /// Every try was wrong.
    #[error("no key available with this passphrase")]
    WrongPassphrase,
    /// The key opens nothing; with the other end, it would.
    #[error("the {fault} {keyslot}")]
    FinalNewline {
        /// What is wrong with it.
        fault: FinalNewline,
        /// The keyslot.
        keyslot: u32,
    },
    /// What was decrypted is not what it should be.
    #[error("the check '{check}' failed: {found}")]
    CheckFailed {
        /// Which check.
        check: String,
        /// What there was.
        found: String,
    },
    /// Nobody answered in time.
    #[error("no passphrase was given within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// No console, no standard input and no program can give a passphrase.
    #[error("there is no way to ask for a passphrase")]
    NobodyToAsk,
    /// Somebody ended the program.
    #[error("interrupted")]
    Stopped,
    /// Its entry is in a circle of entries that need each other.
    #[error("it can never be opened: {0}")]
    Circle(String),
    /// It needs the mapping of another entry, which is not open.
    #[error("it needs {0}, which is not open")]
    NeedsOther(String),
    /// A typed passphrase of a plain volume does not show what should be there.
    #[error("with this passphrase there is no {0} behind it")]
    NothingInside(&'static str),
    /// Its key cannot be had, and nobody may be asked.
    #[error("there is no key: {0}")]
    NoKey(String),
    /// A plain volume's key has fewer bytes than its cipher takes: zeros in their place would make it one that others know.
    #[error("its key has {found} bytes, and {needed} are needed")]
    ShortKey {
        /// Bytes there are.
        found: usize,
        /// Bytes that the cipher takes.
        needed: usize,
    },
    /// The data would be destroyed.
    #[error("{} holds {found}, which {tool} would destroy", device.display())]
    WouldDestroy {
        /// The device.
        device: PathBuf,
        /// What is on it.
        found: String,
        /// By what.
        tool: String,
    },
    /// A program that was to be run failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// Which one.
        program: String,
        /// Why.
        reason: String,
    },
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The data device.
    #[error(transparent)]
    Data(#[from] DataDeviceError),
    /// The key of a plain volume.
    #[error(transparent)]
    PlainKey(#[from] PlainKeyError),
    /// The mapping.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Another operation on the device.
    #[error(transparent)]
    Operation(CryptError),
}

impl From<CryptError> for UnlockError {
    fn from(error: CryptError) -> Self {
        match error {
            CryptError::Header(error) => error.into(),
            CryptError::Data(error) => error.into(),
            CryptError::Volume(error) => error.into(),
            CryptError::Replaced(path) => Self::Replaced(path),
            other => Self::Operation(other),
        }
    }
}

impl UnlockError {
    /// Whether another passphrase could do what this one did not.
    pub fn is_wrong_passphrase(&self) -> bool {
        matches!(
            self,
            Self::WrongPassphrase
                | Self::FinalNewline { .. }
                | Self::CheckFailed { .. }
                | Self::ShortKey { .. }
                | Self::NothingInside(_)
        )
    }
}
