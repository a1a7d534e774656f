//! Erasing a key file after its single use, as requested by `keyfile-erase` of crypttab(5).

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc;

use crate::boot::crypttab::{Entry, KeySource};
use crate::boot::source::Place;

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// Erases the key file of an entry that asks for it. `None` if there is nothing to erase: a FIFO, a socket or a source
/// of random numbers stores nothing.
///
/// # Errors
/// The system's; also for a file on another device, for a device, and for another user's link.
pub(in crate::boot) fn erase(entry: &Entry) -> Option<io::Result<()>> {
    if !entry.options.keyfile_erase {
        return None;
    }
    let path = match &entry.key {
        KeySource::Ask | KeySource::Script { .. } => return None,
        KeySource::Raw(_) => return Some(Err(io::Error::other("it is a device"))),
        KeySource::File(Place { device: Some(_), .. }) => {
            return Some(Err(io::Error::other("it is on a device that is only read")));
        }
        KeySource::File(Place { path, device: None }) | KeySource::Search(path) => path,
    };
    match fs::metadata(path) {
        // Another program has erased it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(error)),
        Ok(metadata) if metadata.is_file() => Some(erase_file(path, &metadata)),
        Ok(metadata) if metadata.file_type().is_block_device() => Some(Err(io::Error::other("it is a device"))),
        Ok(_) => None,
    }
}

/// Links from the name to the file are followed: the key was read through them, and the key has to be destroyed, not only the
/// link. Then the named link is removed too, but not another user's: it could lead to any file of this machine.
fn erase_file(path: &Path, expected: &Metadata) -> io::Result<()> {
    let named = fs::symlink_metadata(path)?;
    let mut end = path.to_owned();
    for _ in 0..MOST_LINKS {
        let met = fs::symlink_metadata(&end)?;
        if !met.is_symlink() {
            break;
        }
        if met.uid() != 0 && met.uid() != nix::unistd::geteuid().as_raw() {
            return Err(io::Error::other("it is a link that somebody else has made"));
        }
        let leads_to = fs::read_link(&end)?;
        end = end.parent().unwrap_or(Path::new("/")).join(leads_to);
    }
    let (Some(folder), Some(name)) = (end.parent(), end.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let real = fs::canonicalize(folder)?.join(name);
    let mut file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&real)?;
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino()) != (expected.dev(), expected.ino()) {
        return Err(io::Error::other("it is another file now"));
    }
    io::copy(&mut io::repeat(0).take(opened.len()), &mut file)?;
    file.sync_all()?;
    fs::remove_file(&real)?;
    if named.is_symlink() {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::crypttab::Crypttab;
    use std::os::unix::fs::{lchown, symlink};
    use std::path::PathBuf;

    fn erased(key: &Path, options: &str) -> Option<io::Result<()>> {
        let line = format!("x /dev/x {} luks,{options}", key.display());
        erase(&Crypttab::parse(&line).entries.remove(0))
    }

    /// A key, and a second name of it that shows the remains of its bytes.
    fn key(folder: &Path) -> (PathBuf, PathBuf) {
        let (key, other) = (folder.join("key"), folder.join("other"));
        fs::write(&key, "secret").expect("written");
        fs::hard_link(&key, &other).expect("linked");
        (key, other)
    }

    /// The same, and a link to the key.
    fn linked_key(folder: &Path) -> (PathBuf, PathBuf, PathBuf) {
        let (key, other) = key(folder);
        let link = folder.join("link");
        symlink("key", &link).expect("linked");
        (key, other, link)
    }

    #[test]
    fn a_key_file_is_overwritten_and_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, other) = key(folder.path());
        assert!(erased(&key, "discard").is_none() && key.exists());
        assert!(matches!(erased(&key, "keyfile-erase"), Some(Ok(()))));
        assert!(!key.exists());
        assert_eq!(fs::read(&other).expect("read"), [0; 6]);
        assert!(erased(&key, "keyfile-erase").is_none());
    }

    #[test]
    fn what_a_link_leads_to_is_erased_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, other, link) = linked_key(folder.path());
        assert!(matches!(erased(&link, "keyfile-erase"), Some(Ok(()))));
        assert!(!key.exists() && fs::symlink_metadata(&link).is_err());
        assert_eq!(fs::read(&other).expect("read"), [0; 6]);
    }

    #[test]
    fn what_is_not_erased_is_told_where_a_key_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, other, link) = linked_key(folder.path());
        // Only root can make it another user's.
        if lchown(&link, Some(12345), None).is_ok() {
            let own = folder.path().join("own");
            symlink("link", &own).expect("linked");
            for name in [&link, &own] {
                let error = erased(name, "keyfile-erase").expect("told").expect_err("refused");
                assert!(error.to_string().contains("somebody else"), "{error}");
                assert!(key.exists() && fs::read(&other).expect("read") == b"secret");
            }
        }
        assert!(erased(Path::new("/dev/urandom"), "keyfile-erase").is_none());
        assert!(matches!(
            erased(Path::new("/key:LABEL=keys"), "keyfile-erase"),
            Some(Err(_))
        ));
    }
}
