//! Why a volume is not open: the facts. Remedies and exit codes are the command line's.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use keyslots::KeyslotId;
use keyslots::units::Bytes;

use crate::boot::source::{DeviceSpec, Place};
use crate::crypt_device::CryptError;
use crate::data_device::DataDeviceError;
use crate::header_device::HeaderError;
use crate::passphrase::FinalNewline;
use crate::slot_names::SlotNameError;
use crate::userspace::ServeError;
use crate::volume::{PlainKeyError, VolumeError};

/// An error of one volume.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// The device did not appear.
    #[error("{device} did not appear within {} s", waited.as_secs())]
    DeviceMissing {
        /// The device.
        device: DeviceSpec,
        /// The length of the wait.
        waited: Duration,
    },
    /// Only parts of the device appeared.
    #[error("{device} did not appear within {} s; only some members were found: {parts}", waited.as_secs())]
    OnlyParts {
        /// The device.
        device: DeviceSpec,
        /// The parts.
        parts: String,
        /// The length of the wait.
        waited: Duration,
    },
    /// The device that was looked at has been replaced, or is gone.
    #[error("{} is no longer the same device", .0.display())]
    Replaced(PathBuf),
    /// Its name is that of another volume.
    #[error("a volume or mapping of that name exists already, and is not this volume")]
    NameTaken,
    /// The device with the header, or the header's file, did not appear.
    #[error("the header {header} did not appear within {} s", waited.as_secs())]
    HeaderMissing {
        /// The expected place.
        header: Place,
        /// The length of the wait.
        waited: Duration,
    },
    /// The file system with the header cannot be mounted.
    #[error("cannot access the header {header}: {source}")]
    HeaderMount {
        /// The expected place.
        header: Place,
        /// The system's error.
        source: io::Error,
    },
    /// The type is not one that Luksmith can open.
    #[error("Luksmith cannot open volumes of type {0}")]
    Unsupported(&'static str),
    /// There is no LUKS header, and the options do not say that there should be none.
    #[error("{} has no LUKS header, and no option says how it is encrypted", .0.display())]
    Unknown(PathBuf),
    /// No keyslot fits into the memory.
    #[error("its keyslots need {needed} of memory; {available} is available")]
    OutOfMemory {
        /// The memory that the smallest of them needs.
        needed: Bytes,
        /// The available memory.
        available: Bytes,
    },
    /// Every try was wrong.
    #[error("no key available with this passphrase")]
    WrongPassphrase,
    /// The key opens nothing; with the other line ending, it would.
    #[error("the {fault} {keyslot}")]
    FinalNewline {
        /// The flaw of the key.
        fault: FinalNewline,
        /// The keyslot.
        keyslot: KeyslotId,
    },
    /// The decrypted data fail a check.
    #[error("the check '{check}' failed: {found}")]
    CheckFailed {
        /// The check.
        check: String,
        /// The data that were found.
        found: String,
    },
    /// No answer came in time.
    #[error("no passphrase was given within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// There is no console, standard input or program to give a passphrase.
    #[error("there is no way to ask for a passphrase")]
    NobodyToAsk,
    /// A token could not be tried.
    #[error("its tokens could not be tried: {0}")]
    Token(#[source] Box<UnlockError>),
    /// The program was interrupted.
    #[error("interrupted")]
    Stopped,
    /// Its entry is in a circle of entries that need each other.
    #[error("it can never be opened: {0}")]
    Circle(String),
    /// It needs the mapping of another entry, which is not open.
    #[error("it needs {0}, which is not open")]
    NeedsOther(String),
    /// A typed passphrase of a plain volume does not decrypt the expected contents.
    #[error("with this passphrase there is no {0} behind it")]
    NothingInside(&'static str),
    /// Its key is unavailable, and prompts are off.
    #[error("there is no key: {0}")]
    NoKey(String),
    /// A plain volume's key has fewer bytes than its cipher takes: padding it with zeros would make it guessable.
    #[error("its key has {found} bytes, and {needed} are needed")]
    ShortKey {
        /// The length of the key.
        found: usize,
        /// The length that the cipher takes.
        needed: usize,
    },
    /// The data would be destroyed.
    #[error("{} holds {found}, which {tool} would destroy", device.display())]
    WouldDestroy {
        /// The device.
        device: PathBuf,
        /// The data on it.
        found: String,
        /// The cause.
        tool: String,
    },
    /// A required program failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// The program.
        program: String,
        /// The reason.
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
    /// The keyslot that its options name.
    #[error(transparent)]
    SlotName(#[from] SlotNameError),
    /// Another operation on the device failed.
    #[error(transparent)]
    Operation(CryptError),
}

impl From<CryptError> for UnlockError {
    fn from(error: CryptError) -> Self {
        match error {
            CryptError::Header(error) => error.into(),
            CryptError::Data(error) => error.into(),
            CryptError::Volume(error) => error.into(),
            CryptError::PlainKey(error) => error.into(),
            CryptError::SlotName(error) => error.into(),
            CryptError::Replaced(path) => Self::Replaced(path),
            CryptError::Serve(ServeError::Exists(_)) => Self::NameTaken,
            other => Self::Operation(other),
        }
    }
}

impl UnlockError {
    /// Whether another passphrase could succeed.
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
