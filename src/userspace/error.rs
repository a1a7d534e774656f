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
    #[error("the data start at sector {}, past the end of the device", .0.get())]
    NoData(Sectors),
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
    /// Another program has it open for the same or for writing, or the kernel has mounted or mapped it.
    #[error("{} is in use", .0.display())]
    InUse(PathBuf),
}

/// Why a volume cannot be served as a file, or stop being served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The name is not a valid file name.
    #[error("{0:?} cannot be the name of a file")]
    Name(String),
    /// A volume of this name is already served.
    #[error("{0} is served already")]
    Exists(String),
    /// No volume of this name is served.
    #[error("{0} is not served")]
    NotServed(String),
    /// A process has the file open.
    #[error("{0} is in use")]
    Busy(String),
    /// Its server is stopped, and does not answer until it is continued.
    #[error("the server of {name}, process {pid}, is stopped")]
    Stopped {
        /// The name.
        name: String,
        /// The server.
        pid: u32,
    },
    /// The folder of the served volumes, or a file in it, cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The server cannot be started.
    #[error("cannot start a server: {0}")]
    Start(#[source] io::Error),
    /// The server failed before it was ready.
    #[error("the server failed: {0}")]
    Server(String),
    /// The file cannot be mounted.
    #[error("cannot mount {}: {source}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// FUSE's error.
        source: io::Error,
    },
    /// The file cannot be unmounted.
    #[error("cannot unmount {}: {source}", path.display())]
    Unmount {
        /// Where.
        path: PathBuf,
        /// The error of the kernel or the helper.
        source: io::Error,
    },
    /// Closed, but the device could not store the written data.
    #[error("{name} is closed, but what was written last may be lost: {source}")]
    Sync {
        /// The name.
        name: String,
        /// The device's error.
        source: io::Error,
    },
    /// The volume itself cannot be used.
    #[error(transparent)]
    Volume(#[from] UserspaceError),
}
