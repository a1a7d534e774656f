//! Why a backup is not restored.

use std::path::PathBuf;

use keyslots::Error;
use keyslots::backup::BackupRefused;

/// Why a backup is not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Its file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It is invalid or damaged.
    #[error("{} is not a backup of a header: {source}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The defect.
        source: Error,
    },
    /// It is on the very device that it would be written to.
    #[error("{} cannot be read and overwritten at the same time", .0.display())]
    Itself(PathBuf),
    /// It does not fit the device.
    #[error("the backup does not fit {}: {refused}", device.display())]
    Refused {
        /// The device.
        device: PathBuf,
        /// The reason.
        #[source]
        refused: BackupRefused,
    },
    /// It was made during a reencryption, in which the device is not.
    #[error("{} was made during a reencryption, in which the device is not", .0.display())]
    OfReencryption(PathBuf),
    /// It failed after it had begun to write.
    #[error("{0}")]
    Unfinished(#[source] Error),
}
