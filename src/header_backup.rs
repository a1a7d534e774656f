//! Header backups in files: written once, readable by their owner alone, and read back before they count.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use keyslots::header::Header;
use keyslots::storage::Storage;
use keyslots::units::Bytes;

use crate::block_device::reserve;

/// Bytes compared at a time.
const CHUNK: usize = 1024 * 1024;

/// Why a backup could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file already exists. A backup never overwrites anything.
    #[error("{} already exists", .0.display())]
    Exists(PathBuf),
    /// The file cannot be made.
    #[error("cannot create {}: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file cannot be written or read.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The backup does not read back as the header.
    #[error("{} does not read back as it was written", .0.display())]
    Differs(PathBuf),
    /// The device failed while the header was being copied.
    #[error(transparent)]
    Luks(#[from] keyslots::Error),
    /// The header cannot be read, and so cannot be backed up.
    #[error("{0}")]
    Unreadable(#[source] keyslots::Error),
}

/// Writes a backup of the header on `storage` to the new file `path`, syncs it, reads it back and compares.
///
/// # Errors
/// [`BackupError`]; an unfinished file is removed.
pub fn write(header: &Header, storage: &mut dyn Storage, path: &Path) -> Result<(), BackupError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(path.to_owned()),
        _ => BackupError::Create {
            path: path.to_owned(),
            source,
        },
    };
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path)
        .map_err(failed)?;
    let written = fill(header, storage, &mut file, path);
    if written.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Writes a backup into a folder, under a name with the volume and the time. Returns the file.
///
/// # Errors
/// As [`write()`].
pub fn into_folder(header: &Header, storage: &mut dyn Storage, folder: &Path) -> Result<PathBuf, BackupError> {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    // A UUID is unvalidated text: it must not lead to another folder.
    let uuid: String = header
        .uuid()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    for n in 0.. {
        let number = if n == 0 { String::new() } else { format!("-{n}") };
        let path = folder.join(format!("luks-header-{uuid}-{seconds}{number}.img"));
        match write(header, storage, &path) {
            Err(BackupError::Exists(_)) if n < 1000 => {}
            result => return result.map(|()| path),
        }
    }
    unreachable!("the loop returns at the latest after a thousand files")
}

fn fill(header: &Header, storage: &mut dyn Storage, file: &mut File, path: &Path) -> Result<(), BackupError> {
    // A full disk is reported before a byte is written.
    let size = match header {
        Header::Luks1(header) => header.backup_size(storage)?,
        Header::Luks2(header) => header.size(),
    };
    reserve(file, size).map_err(|source| BackupError::File {
        path: path.to_owned(),
        source,
    })?;
    let size = match header {
        Header::Luks1(header) => header.backup(storage, file)?,
        Header::Luks2(header) => header.backup(storage, file)?,
    };
    // The name has to survive the loss of the header as well.
    file.sync_all()
        .and_then(|()| sync_folder_of(path))
        .map_err(|source| BackupError::File {
            path: path.to_owned(),
            source,
        })?;
    compare(storage, file, size, path)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()) {
        // A folder that may be written to but not read, or a file system that cannot sync one.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

fn compare(storage: &mut dyn Storage, file: &mut File, size: Bytes, path: &Path) -> Result<(), BackupError> {
    let (mut ours, mut theirs) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = Bytes::ZERO;
    while let Some(rest) = size.checked_sub(at).filter(|&rest| rest > Bytes::ZERO) {
        let now = rest.to_usize().unwrap_or(CHUNK).min(CHUNK);
        let failed = |source| BackupError::File {
            path: path.to_owned(),
            source,
        };
        file.read_at(at, &mut ours[..now]).map_err(failed)?;
        storage.read_at(at, &mut theirs[..now]).map_err(failed)?;
        if ours[..now] != theirs[..now] {
            return Err(BackupError::Differs(path.to_owned()));
        }
        at = at.checked_add(Bytes::new(now as u64)).unwrap_or(size);
    }
    Ok(())
}
