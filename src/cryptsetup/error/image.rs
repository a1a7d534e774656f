//! Data that this program itself would copy.

use std::path::PathBuf;

/// Data that this program itself would copy.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The data go on where the volume does not.
    #[error("The volume is full: only {written} bytes were written.")]
    VolumeEnds {
        /// Bytes that fitted.
        written: u64,
    },
    /// What is to be read is behind the end of the volume.
    #[error("The volume ends at byte {size}, before byte {end}.")]
    VolumeShort {
        /// How long it is.
        size: u64,
        /// How far it should have been read.
        end: u64,
    },
    /// An image was cut off.
    #[error("The data end after {came} bytes of {wanted}: the image is not whole, and the target was not finished.")]
    ImageShort {
        /// Bytes of data that came.
        came: u64,
        /// Bytes that there should be.
        wanted: u64,
    },
    /// An image would overwrite something, and nobody can be asked.
    #[error("{} exists already.", .0.display())]
    TargetExists(PathBuf),
    /// An image would be read from where it is written to.
    #[error("{} cannot be read and overwritten at the same time.", .0.display())]
    SourceIsTarget(PathBuf),
    /// The image is a LUKS volume already.
    #[error("{} is a LUKS volume already.", .0.display())]
    AlreadyEncrypted(PathBuf),
    /// Binary data would go to a terminal.
    #[error("Standard output is a terminal.")]
    OutputIsTerminal,
}
