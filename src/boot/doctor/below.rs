//! Files below a root that may be another system's: no path leads out of it, and no file blocks the reader.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// The longest text that is read: ten times a long configuration of GRUB.
const LONGEST: u64 = 1 << 20;

/// The text of a regular file below `root`, with links resolved as in that system; `None` if it is missing or too long.
pub(super) fn text_of(root: &Path, path: &Path) -> Option<String> {
    text(root, path).ok()
}

/// As `text_of`, with the reason.
pub fn text(root: &Path, path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    file(root, path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A regular file below `root`.
pub(super) fn file(root: &Path, path: &Path) -> io::Result<File> {
    // A FIFO would wait for a writer.
    let file = open(root, path, OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

/// The file type and mode of `path` below `root`; the file is not opened.
pub(super) fn metadata(root: &Path, path: &Path) -> io::Result<Metadata> {
    open(root, path, OFlag::O_PATH)?.metadata()
}

pub(super) fn is_file(root: &Path, path: &Path) -> bool {
    metadata(root, path).is_ok_and(|metadata| metadata.is_file())
}

fn open(root: &Path, path: &Path, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_CLOEXEC;
    let plainly = |flags: OFlag| OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    // A user may name a file elsewhere.
    let Some(below) = path.strip_prefix(root).ok().filter(|_| root != Path::new("/")) else {
        return plainly(flags);
    };
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    match openat2(File::open(root)?, below, how) {
        Ok(fd) => Ok(fd.into()),
        // Kernels before 5.6.
        Err(Errno::ENOSYS) => plainly(flags | OFlag::O_NOFOLLOW),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_is_in_the_root_is_read_and_nothing_waits() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("etc")).expect("folders");
        fs::write(folder.path().join("secret"), "outside").expect("written");
        fs::write(root.join("etc/plain"), "inside").expect("written");
        fs::write(root.join("etc/latin"), b"caf\xe9").expect("written");
        fs::write(root.join("etc/long"), "x".repeat((1 << 20) + 1)).expect("written");
        symlink("/etc/plain", root.join("absolute")).expect("a link");
        symlink("etc/plain", root.join("relative")).expect("a link");
        symlink(folder.path().join("secret"), root.join("out")).expect("a link");
        symlink("../secret", root.join("up")).expect("a link");
        symlink("/dev/zero", root.join("zero")).expect("a link");
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        let text = |name: &str| text_of(&root, &root.join(name));
        for name in ["etc/plain", "absolute", "relative"] {
            assert_eq!(text(name).as_deref(), Some("inside"), "{name}");
            assert!(is_file(&root, &root.join(name)), "{name}");
        }
        assert_eq!(text("etc/latin").as_deref(), Some("caf\u{fffd}"));
        for name in ["out", "up", "zero", "fifo", "etc", "gone"] {
            assert_eq!(text(name), None, "{name}");
            assert!(!is_file(&root, &root.join(name)), "{name}");
        }
        assert_eq!(text("etc/long"), None);
        let top = Path::new("/");
        assert_eq!(text_of(top, &root.join("etc/plain")).as_deref(), Some("inside"));
        assert_eq!(text_of(top, &root.join("out")).as_deref(), Some("outside"));
        assert_eq!(text_of(top, Path::new("/dev/zero")), None);
    }
}
