//! Errors of copying data in userspace.

use std::path::PathBuf;

/// An error of copying data in userspace.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The data do not fit in the volume.
    #[error("The volume is full: only {written} bytes were written.")]
    VolumeEnds {
        /// The bytes that fitted.
        written: u64,
    },
    /// The range to read is beyond the end of the volume.
    #[error("The volume ends at byte {size}, before byte {end}.")]
    VolumeShort {
        /// The size of the volume.
        size: u64,
        /// The end of the range.
        end: u64,
    },
    /// An image was cut off.
    #[error("The data ended after {came} of {wanted} bytes: the image is incomplete, and the target was not finished.")]
    ImageShort {
        /// Bytes of data that were read.
        came: u64,
        /// Bytes that were expected.
        wanted: u64,
    },
    /// An image would overwrite data, and no confirmation is possible.
    #[error("{} exists already.", .0.display())]
    TargetExists(PathBuf),
    /// An image would be read from its own target.
    #[error("{} cannot be read and overwritten at the same time.", .0.display())]
    SourceIsTarget(PathBuf),
    /// The image is already a LUKS volume.
    #[error("{} is a LUKS volume already.", .0.display())]
    AlreadyEncrypted(PathBuf),
    /// Binary data would be written to a terminal.
    #[error("Standard output is a terminal.")]
    OutputIsTerminal,
}
