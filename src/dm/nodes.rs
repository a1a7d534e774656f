//! Nodes in `/dev/mapper`, made, moved and removed by hand where udev does not do it, and checked where it does.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{Gid, Group, Uid, chown};

use super::error::DmError;
use super::names::DeviceName;
use crate::block_device::DevNo;
use crate::log;

/// The owner of a node that is made by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeOwner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The permissions.
    pub mode: u32,
}

impl Default for NodeOwner {
    /// `root:disk`, 0660, as udev's own rules give every disk.
    fn default() -> Self {
        let gid = Group::from_name("disk")
            .ok()
            .flatten()
            .map_or(DEBIAN_DISK, |group| group.gid.as_raw());
        Self {
            uid: 0,
            gid,
            mode: 0o660,
        }
    }
}

/// The group `disk` where no `/etc/group` says otherwise, as in an initramfs.
const DEBIAN_DISK: u32 = 6;

/// The prefix of nodes that are not in their place yet.
const STAGED: &str = ".luksmith-";

/// The directory of the nodes: `/dev/mapper`, or `mapper` in the directory that `DM_DEV_DIR` names.
pub fn mapper_dir() -> PathBuf {
    let dev = env::var_os("DM_DEV_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute());
    dev.unwrap_or_else(|| PathBuf::from("/dev")).join("mapper")
}

/// The path of a device's node.
pub fn node_path(name: &DeviceName) -> PathBuf {
    mapper_dir().join(name.as_os_str())
}

/// Makes sure that the node is there and leads to the device. A right one, or a symbolic link of udev's to a right one,
/// stays as it is.
pub fn ensure(name: &DeviceName, number: DevNo, owner: NodeOwner) -> Result<(), DmError> {
    let path = node_path(name);
    if matches!(DevNo::of_path(&path), Ok(Some(found)) if found == number) {
        return Ok(());
    }
    make(&path, number, owner).map_err(|source| DmError::Node { path, source })
}

/// As [`ensure`], where udev is running but late: what is missing is made as udev makes it, a link to the kernel's own node.
/// A node in its place would keep udev from making the link.
pub fn ensure_as_udev(name: &DeviceName, number: DevNo, owner: NodeOwner) -> Result<(), DmError> {
    let path = node_path(name);
    let leads_there = |path: &Path| matches!(DevNo::of_path(path), Ok(Some(found)) if found == number);
    let target = number
        .kernel_name()
        .map(|kernel_name| Path::new("..").join(kernel_name));
    let target = target.filter(|target| leads_there(&mapper_dir().join(target)));
    if leads_there(&path) || fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_symlink()) {
        return ensure(name, number, owner);
    }
    let linked = target.is_some_and(|target| link(&path, &target, number).is_ok());
    if linked { Ok(()) } else { ensure(name, number, owner) }
}

fn link(path: &Path, target: &Path, number: DevNo) -> io::Result<()> {
    log::debug(format_args!(
        "Making the link {} to {}.",
        path.display(),
        target.display()
    ));
    let staged = staged(path, number)?;
    symlink(target, &staged)?;
    fs::rename(&staged, path).inspect_err(|_| {
        let _ = fs::remove_file(&staged);
    })
}

/// The place where a node is made before it is moved into place. Only for this process and this device: another thread
/// may be working on another one.
fn staged(path: &Path, number: DevNo) -> io::Result<PathBuf> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let staged = dir.join(format!("{STAGED}{}-{number}", std::process::id()));
    let _ = fs::remove_file(&staged);
    Ok(staged)
}

/// Removes the node if it is still there. A link that leads to another live device belongs to another program, and
/// stays.
pub fn remove(name: &DeviceName, number: DevNo) -> Result<(), DmError> {
    let path = node_path(name);
    let Ok(metadata) = fs::symlink_metadata(&path) else {
        return Ok(());
    };
    let kind = metadata.file_type();
    let foreign = if kind.is_block_device() {
        DevNo::from_raw(metadata.rdev()) != number
    } else if kind.is_symlink() {
        matches!(DevNo::of_path(&path), Ok(Some(found)) if found != number)
    } else {
        true
    };
    if foreign {
        return Ok(());
    }
    log::debug(format_args!("Removing the node {}.", path.display()));
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DmError::Node { path, source }),
        _ => Ok(()),
    }
}

/// The contents of the directory of the nodes, less the control node and nodes that are being made.
///
/// # Errors
/// The system's; a directory that is not there is empty.
pub fn names() -> Result<Vec<OsString>, DmError> {
    let path = mapper_dir();
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries,
    };
    let names = entries.and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .filter(|name| {
                name.as_ref().map_or(true, |name| {
                    name != "control" && !name.as_bytes().starts_with(STAGED.as_bytes())
                })
            })
            .collect()
    });
    names.map_err(|source| DmError::Node { path, source })
}

/// Removes the node or the link with the name of a device that is gone. Other files are not ours, and stay.
///
/// # Errors
/// The system's.
pub fn remove_stale(name: &OsStr) -> Result<(), DmError> {
    let path = mapper_dir().join(name);
    let Ok(metadata) = fs::symlink_metadata(&path) else {
        return Ok(());
    };
    if !metadata.file_type().is_block_device() && !metadata.file_type().is_symlink() {
        return Ok(());
    }
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DmError::Node { path, source }),
        _ => Ok(()),
    }
}

/// Makes the node under a temporary name and moves it into place, so that no one ever finds it missing or half made.
fn make(path: &Path, number: DevNo, owner: NodeOwner) -> io::Result<()> {
    log::debug(format_args!("Making the node {} for {number}.", path.display()));
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    if fs::symlink_metadata(path).is_ok_and(|m| !m.file_type().is_block_device() && !m.file_type().is_symlink()) {
        // Not ours to replace.
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let staged = staged(path, number)?;
    mknod(
        &staged,
        SFlag::S_IFBLK,
        Mode::from_bits_truncate(0o600),
        number.to_raw(),
    )?;
    let placed = own(&staged, owner).and_then(|()| fs::rename(&staged, path));
    if placed.is_err() {
        let _ = fs::remove_file(&staged);
    }
    placed
}

fn own(path: &Path, owner: NodeOwner) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    chown(path, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    fs::set_permissions(path, fs::Permissions::from_mode(owner.mode))
}
