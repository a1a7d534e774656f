//! Why a volume cannot be read or written without the device-mapper.

use std::io;
use std::path::PathBuf;

use keyslots::cipher::CipherError;
use keyslots::units::Sectors;

/// Why a volume cannot be used here. Once it is open, its errors are those of the device ([`io::Error`]).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserspaceError {
    /// Only the kernel can compute this cipher.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// The device failed.
    #[error("cannot use the data: {0}")]
    Io(#[from] io::Error),
    /// The device ends before the data start.
    #[error("the data start at sector {}, behind the end of the device", .0.get())]
    NoData(Sectors),
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
    /// Another program has it open for the same or for writing, or the kernel has mounted or mapped it.
    #[error("{} is in use", .0.display())]
    InUse(PathBuf),
}
