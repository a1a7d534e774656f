//! Files below a root that may be another system's: nothing there leads out of it, or keeps anybody waiting.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// The longest text that is read: a long configuration of GRUB has a tenth of it.
const LONGEST: u64 = 1 << 20;

/// The text of a regular file below `root`, links followed as that system has them; `None` where there is none, or one that
/// is too long.
pub fn text_of(root: &Path, path: &Path) -> Option<String> {
    let file = open(root, path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= LONGEST).then_some(text)
}

fn open(root: &Path, path: &Path) -> io::Result<File> {
    // A FIFO would wait for somebody who writes.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let below = path.strip_prefix(root).unwrap_or(path);
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    match openat2(File::open(root)?, below, how) {
        Ok(fd) => Ok(fd.into()),
        // Kernels before 5.6.
        Err(Errno::ENOSYS) => {
            let flags = flags | OFlag::O_NOFOLLOW;
            OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
        }
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
        }
        for name in ["out", "up", "zero", "fifo", "etc", "etc/long", "gone"] {
            assert_eq!(text(name), None, "{name}");
        }
        assert_eq!(
            text_of(Path::new("/"), &root.join("etc/plain")).as_deref(),
            Some("inside")
        );
        assert_eq!(text_of(Path::new("/"), Path::new("/dev/zero")), None);
    }
}
