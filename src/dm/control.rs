//! The control node, `/dev/mapper/control`: opened, and made by hand where no udev fills `/dev`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::error::DmError;
use super::nodes;
use crate::log;

/// The number that the kernel reserves for the control node, so that opening the node loads the module.
const RESERVED_MINOR: u32 = 236;
/// The driver of miscellaneous devices, of which the control node is one.
const MISC_MAJOR: u32 = 10;

/// Opens the node for reading and writing.
pub(super) fn open_node() -> Result<File, DmError> {
    let path = nodes::mapper_dir().join("control");
    log::debug(format_args!("Opening {}.", path.display()));
    match open(&path) {
        Ok(file) => Ok(file),
        Err(source) if matches!(source.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => {
            make(&path)?;
            open(&path).map_err(|source| match source.raw_os_error() {
                Some(libc::ENODEV | libc::ENXIO) => DmError::NoDeviceMapper,
                _ => DmError::Control { path, source },
            })
        }
        Err(source) => Err(DmError::Control { path, source }),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW)
        .open(path)?;
    if !file.metadata()?.file_type().is_char_device() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(file)
}

/// Makes the node with the number in `/proc/misc`, or with the reserved one, whose first use loads the module.
fn make(path: &Path) -> Result<(), DmError> {
    let failed = |source: io::Error| DmError::Control {
        path: path.to_owned(),
        source,
    };
    let misc = fs::read_to_string("/proc/misc").unwrap_or_default();
    let devices = fs::read_to_string("/proc/devices").unwrap_or_default();
    let listed = number_in(&misc, "device-mapper");
    if listed.is_none() && !may_be_loaded() {
        return Err(DmError::NoDeviceMapper);
    }
    let major = number_in(&devices, "misc").unwrap_or(MISC_MAJOR);
    let minor = listed.unwrap_or(RESERVED_MINOR);
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(dir)
            .map_err(failed)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let number = makedev(u64::from(major), u64::from(minor));
    mknod(path, SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IWUSR, number).map_err(|errno| failed(errno.into()))
}

/// Whether the kernel can load modules at all; without them, no device-mapper will appear later.
fn may_be_loaded() -> bool {
    Path::new("/proc/modules").exists()
}

/// The number in front of `name` in a list such as `/proc/misc` or the first part of `/proc/devices`.
fn number_in(list: &str, name: &str) -> Option<u32> {
    list.lines()
        .take_while(|line| !line.starts_with("Block devices"))
        .find_map(|line| {
            let (number, found) = line.trim().split_once(' ')?;
            (found.trim() == name).then(|| number.parse().ok()).flatten()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_from_the_lists_of_the_kernel() {
        let misc = "236 device-mapper\n237 loop-control\n  1 psaux\n";
        assert_eq!(number_in(misc, "device-mapper"), Some(236));
        assert_eq!(number_in(misc, "psaux"), Some(1));
        assert_eq!(number_in(misc, "mapper"), None);
        let devices = "Character devices:\n  1 mem\n 10 misc\n\nBlock devices:\n  7 loop\n253 device-mapper\n";
        assert_eq!(number_in(devices, "misc"), Some(10));
        assert_eq!(number_in(devices, "loop"), None);
    }
}
