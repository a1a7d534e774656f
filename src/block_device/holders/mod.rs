//! The users that keep a block device from being removed or overwritten: devices on top of it, mounted file systems,
//! swap, loop devices, and programs that have it open.

mod descriptors;
mod mounts;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

pub use descriptors::{libcryptsetup_users, lock_waiters};
pub use mounts::Mounts;
use mounts::{mounts_of, unescape};

use super::{DevNo, loops_on, sysfs};
use crate::terminal_text::clean;

/// A holder of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A device on top of it: a mapping, a RAID, a bcache.
    Device {
        /// The kernel's name, such as `dm-3`.
        kernel_name: String,
        /// The name in `/dev/mapper`, for a device of the device-mapper.
        mapped: Option<String>,
    },
    /// A partition of it that is itself held.
    Partition {
        /// The kernel's name.
        kernel_name: String,
    },
    /// A file system mounted from it.
    Mount {
        /// The mount point.
        point: PathBuf,
    },
    /// A file system mounted from it in another mount namespace, of a container or a service.
    MountElsewhere {
        /// The mount point there.
        point: PathBuf,
        /// A process in that namespace.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// A swap area that is in use.
    Swap,
    /// An active volume that uses its header.
    Volume {
        /// Its name.
        name: String,
    },
    /// A program that has it open.
    Process {
        /// The process id.
        pid: u32,
        /// Its name.
        name: String,
    },
}

/// All holders of a device that are visible to the caller: mounts of other mount namespaces, other users' programs and
/// files behind loop devices are visible to root alone.
pub fn holders(number: DevNo) -> Vec<Holder> {
    let mut found: Vec<Holder> = sysfs::linked(number, "holders")
        .into_iter()
        .map(|(kernel_name, holder)| {
            let mapped = sysfs::dm_name_and_uuid(holder).map(|(name, _)| name);
            Holder::Device { kernel_name, mapped }
        })
        .collect();
    for (kernel_name, partition) in sysfs::partitions(number) {
        if !holders(partition).is_empty() {
            found.push(Holder::Partition { kernel_name });
        }
    }
    let loops = number.path().and_then(|path| fs::metadata(path).ok());
    let loops = loops.map(|device| loops_on(&device)).unwrap_or_default();
    found.extend(loops.into_iter().map(|kernel_name| Holder::Device {
        kernel_name,
        mapped: None,
    }));
    let mounts = Mounts::read();
    found.extend(mounts.points(number).into_iter().map(|point| Holder::Mount { point }));
    found.extend(mounts_elsewhere(number));
    if mounts.is_swap(number) {
        found.push(Holder::Swap);
    }
    found.extend(processes(number));
    found.sort();
    found.dedup();
    found
}

fn processes(number: DevNo) -> Vec<Holder> {
    let own = std::process::id();
    let mut pids = pids();
    pids.retain(|pid| *pid != own && has_open(*pid, number));
    pids.into_iter().map(process).collect()
}

fn process(pid: u32) -> Holder {
    Holder::Process {
        pid,
        name: process_name(pid),
    }
}

fn pids() -> Vec<u32> {
    read_pids().unwrap_or_default()
}

fn read_pids() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(pids)
}

fn process_name(pid: u32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(name.trim_ascii_end()).into_owned()
}

/// The mounts of a device in other mount namespaces, each by one process that sees it.
fn mounts_elsewhere(number: DevNo) -> Vec<Holder> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let mut seen: Vec<_> = namespace("self").into_iter().collect();
    let mut found = Vec::new();
    for pid in pids() {
        let Some(namespace) = namespace(&pid.to_string()).filter(|namespace| !seen.contains(namespace)) else {
            continue;
        };
        let mountinfo = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        found.extend(mounts_of(&mountinfo, number).map(|mount| Holder::MountElsewhere {
            point: PathBuf::from(unescape(mount.point)),
            pid,
            name: process_name(pid),
        }));
        seen.push(namespace);
    }
    found
}

fn has_open(pid: u32, number: DevNo) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let path = descriptor.path();
        // The target's text first: following a link to a dead network file system would hang.
        let in_dev = fs::read_link(&path).is_ok_and(|target| target.as_os_str().as_bytes().starts_with(b"/dev/"));
        in_dev
            && fs::metadata(&path).is_ok_and(|m| m.file_type().is_block_device() && DevNo::from_raw(m.rdev()) == number)
    })
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device {
                kernel_name,
                mapped: Some(name),
            } => write!(f, "device {name} ({kernel_name})"),
            Self::Device {
                kernel_name,
                mapped: None,
            } => write!(f, "device {kernel_name}"),
            Self::Partition { kernel_name } => write!(f, "partition {kernel_name}"),
            Self::Mount { point } => write!(f, "file system mounted on {}", point.display()),
            Self::MountElsewhere { point, pid, name } => write!(
                f,
                "file system mounted on {} in the mount namespace of process {pid} ({})",
                point.display(),
                clean(name)
            ),
            Self::Swap => f.write_str("swap area in use"),
            Self::Volume { name } => write!(f, "volume {name}, whose header it is"),
            Self::Process { pid, name } => write!(f, "process {pid} ({})", clean(name)),
        }
    }
}
