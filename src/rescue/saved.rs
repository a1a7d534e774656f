//! What a repair overwrites, in a file first: written once, readable by its owner alone, and read back before it counts.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use keyslots::storage::Storage;
use keyslots::units::Bytes;

/// Saves `len` bytes of a storage to a new file in a folder; sectors that cannot be read are zeros there. Returns its path.
///
/// # Errors
/// The system's; an unfinished file is removed.
pub(super) fn save(storage: &mut dyn Storage, len: u64, folder: &Path) -> io::Result<PathBuf> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    for n in 0..1000 {
        let number = if n == 0 { String::new() } else { format!("-{n}") };
        let path = folder.join(format!("luksmith-rescue-{since}{number}.img"));
        let mut file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            file => file?,
        };
        let saved = fill(storage, len, &mut file, folder);
        if saved.is_err() {
            // The first error is the one to report.
            let _ = std::fs::remove_file(&path);
        }
        return saved.map(|()| path);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn fill(storage: &mut dyn Storage, len: u64, file: &mut File, folder: &Path) -> io::Result<()> {
    let size = storage.size()?.get();
    let len = len.min(size);
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?];
    if storage.read_at(Bytes::ZERO, &mut bytes).is_err() {
        for (n, sector) in (0..).zip(bytes.chunks_mut(512)) {
            if storage.read_at(Bytes::new(n * 512), sector).is_err() {
                sector.fill(0);
            }
        }
    }
    file.write_at(Bytes::ZERO, &bytes)?;
    file.sync_all()?;
    // The name has to survive as well.
    File::open(folder)?.sync_all()?;
    let mut back = vec![0; bytes.len()];
    file.read_at(Bytes::ZERO, &mut back)?;
    match back == bytes {
        true => Ok(()),
        false => Err(io::Error::other("it does not read back as it was written")),
    }
}
