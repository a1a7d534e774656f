//! The users that keep a block device from being removed or overwritten: devices on top of it, mounted file systems,
//! swap, loop devices, and programs that have it open.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use nix::libc;

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

/// The present mounts and swap areas.
#[derive(Debug)]
pub struct Mounts {
    mountinfo: Vec<u8>,
    swaps: Vec<PathBuf>,
}

impl Mounts {
    /// As far as the caller may see; nothing without `/proc`.
    pub fn read() -> Self {
        Self {
            mountinfo: fs::read("/proc/self/mountinfo").unwrap_or_default(),
            swaps: swap_paths(&fs::read("/proc/swaps").unwrap_or_default()),
        }
    }

    /// The mount point of a device's file system.
    pub fn points(&self, number: DevNo) -> Vec<PathBuf> {
        mounts_of(&self.mountinfo, number)
            .map(|mount| PathBuf::from(unescape(mount.point)))
            .collect()
    }

    /// The type of a device's mounted file system.
    pub fn kind(&self, number: DevNo) -> Option<String> {
        let mount = mounts_of(&self.mountinfo, number).next()?;
        Some(String::from_utf8_lossy(mount.kind).into_owned())
    }

    /// Whether a file is in use as swap.
    pub fn is_swap_file(&self, file: &fs::Metadata) -> bool {
        let id = |file: &fs::Metadata| (file.dev(), file.ino());
        self.swaps
            .iter()
            .any(|path| fs::metadata(path).is_ok_and(|swap| id(&swap) == id(file)))
    }

    /// Whether a device is in use as swap.
    pub fn is_swap(&self, number: DevNo) -> bool {
        self.swaps
            .iter()
            .any(|path| matches!(DevNo::of_path(path), Ok(Some(swap)) if swap == number))
    }
}

struct Mount<'a> {
    number: &'a [u8],
    point: &'a [u8],
    kind: &'a [u8],
    source: &'a [u8],
}

/// The mounts of a device, from a text in the form of `/proc/self/mountinfo` (proc(5)). A file system of several devices
/// (btrfs) has a number of its own, of no driver: then the device that it was mounted by decides.
fn mounts_of(mountinfo: &[u8], wanted: DevNo) -> impl Iterator<Item = Mount<'_>> {
    let number = wanted.to_string();
    let mounts = mountinfo.split(|b| *b == b'\n').filter_map(|line| {
        let mut fields = line.split(|b| *b == b' ');
        let (number, point) = (fields.nth(2)?, fields.nth(1)?);
        fields.find(|field| *field == b"-")?;
        let (kind, source) = (fields.next()?, fields.next()?);
        Some(Mount {
            number,
            point,
            kind,
            source,
        })
    });
    mounts.filter(move |mount| {
        let by_source = || {
            let path = PathBuf::from(unescape(mount.source));
            path.starts_with("/dev") && matches!(DevNo::of_path(&path), Ok(Some(source)) if source == wanted)
        };
        mount.number == number.as_bytes() || mount.number.starts_with(b"0:") && by_source()
    })
}

/// The first column of `/proc/swaps`, below its heading.
fn swap_paths(swaps: &[u8]) -> Vec<PathBuf> {
    let lines = swaps.split(|b| *b == b'\n').skip(1);
    lines
        .filter_map(|line| {
            let path = line.split(|b| b.is_ascii_whitespace()).next()?;
            (path.first() == Some(&b'/')).then(|| PathBuf::from(unescape(path)))
        })
        .collect()
}

/// Decodes the `\040` and the like that `/proc` writes for white space and backslashes.
fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(plain)
}

fn processes(number: DevNo) -> Vec<Holder> {
    let own = std::process::id();
    let mut pids = pids();
    pids.retain(|pid| *pid != own && has_open(*pid, number));
    pids.into_iter().map(process).collect()
}

/// The programs that change headers by way of libcryptsetup, and have a file or device open that is the one. Only root can look
/// into the programs of other users; nobody sees those of other PID namespaces that are not below their own.
///
/// # Errors
/// It is not known: [`io::ErrorKind::TimedOut`] after `deadline`, since a file system on a network, or in a program of another
/// user, may answer late or never; [`io::ErrorKind::NotFound`] without `/proc`; what the system or `is_the_one` lacks for a look.
pub fn libcryptsetup_users(
    deadline: Instant,
    is_the_one: impl Fn(&File) -> io::Result<bool> + Send + 'static,
) -> io::Result<Vec<Holder>> {
    let (tell, told) = mpsc::channel();
    // Who asked has gone where nobody takes the answer.
    let look = move || drop(tell.send(find_libcryptsetup_users(deadline, &is_the_one)));
    thread::Builder::new().spawn(look)?;
    let left = deadline.saturating_duration_since(Instant::now());
    told.recv_timeout(left).unwrap_or_else(|_| Err(too_late()))
}

fn find_libcryptsetup_users(
    deadline: Instant,
    is_the_one: &dyn Fn(&File) -> io::Result<bool>,
) -> io::Result<Vec<Holder>> {
    const LIBRARY: &[u8] = b"/libcryptsetup.";
    let own = std::process::id();
    let mut found = Vec::new();
    let pids = read_pids()?;
    if !pids.contains(&own) {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no /proc of this process",
        ));
    }
    for pid in pids.into_iter().filter(|pid| *pid != own) {
        if Instant::now() >= deadline {
            return Err(too_late());
        }
        let maps = match fs::read(format!("/proc/{pid}/maps")) {
            // Its name is all that is seen of it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && process_name(pid) == "cryptsetup" => {
                return Err(error);
            }
            maps => unless_exhausted(maps)?.unwrap_or_default(),
        };
        if !maps.windows(LIBRARY.len()).any(|part| part == LIBRARY) {
            continue;
        }
        let descriptors = unless_exhausted(fs::read_dir(format!("/proc/{pid}/fd")))?;
        for descriptor in descriptors.into_iter().flatten() {
            if Instant::now() >= deadline {
                return Err(too_late());
            }
            let Some(descriptor) = unless_exhausted(descriptor)? else {
                continue;
            };
            let file = unless_exhausted(look_at(&descriptor.path()))?.flatten();
            if let Some(file) = file
                && unless_exhausted(is_the_one(&file))? == Some(true)
            {
                found.push(process(pid));
                break;
            }
        }
    }
    Ok(found)
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "looking through all programs took too long")
}

/// What cannot be looked at has gone, or belongs to somebody else; but where this process or the system has run out of something,
/// it may be there.
fn unless_exhausted<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    const EXHAUSTED: [i32; 4] = [libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::EAGAIN];
    match looked {
        Ok(seen) => Ok(Some(seen)),
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Err(error),
        Err(error) if error.raw_os_error().is_some_and(|errno| EXHAUSTED.contains(&errno)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// A file or device that another program has open, to be asked what it is. It is not opened: that could wait for a lease on it
/// to end, or for who is at the other end of a FIFO.
fn look_at(descriptor: &Path) -> io::Result<Option<File>> {
    if !fs::read_link(descriptor)?.is_absolute() {
        return Ok(None);
    }
    let file = File::options().read(true).custom_flags(libc::O_PATH).open(descriptor)?;
    let kind = file.metadata()?.file_type();
    Ok((kind.is_file() || kind.is_block_device()).then_some(file))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_number() {
        let mountinfo = b"22 1 253:3 / /mnt/with\\040space rw - ext4 /dev/mapper/x rw\n\
            23 1 253:30 / /other rw - ext4 /dev/y rw\n24 1 253:3 /sub /bind\\134 rw - ext4 /dev/mapper/x rw\nshort\n";
        let mounts = Mounts {
            mountinfo: mountinfo.to_vec(),
            swaps: Vec::new(),
        };
        assert_eq!(
            mounts.points(DevNo::new(253, 3)),
            [Path::new("/mnt/with space"), Path::new("/bind\\")]
        );
        assert_eq!(mounts.kind(DevNo::new(253, 3)).as_deref(), Some("ext4"));
        assert!(mounts.points(DevNo::new(1, 1)).is_empty());
    }

    #[test]
    fn swaps_are_found_by_path() {
        let swaps = b"Filename\tType\tSize\n/dev/dm-1   partition\t1\t0\t-2\n/swap\\040file file 1 0 -3\n";
        assert_eq!(swap_paths(swaps), [Path::new("/dev/dm-1"), Path::new("/swap file")]);
    }

    #[test]
    fn a_broken_escape_stays_as_it_is() {
        assert_eq!(unescape(b"a\\04"), "a\\04");
        assert_eq!(unescape(b"\\777"), "\\777");
        assert_eq!(unescape(b"\\011"), "\t");
    }
}
