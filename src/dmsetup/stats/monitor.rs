//! dmfilemapd: keeps the regions of a group in step with the extents of its file, by checking periodically. It is started
//! by `stats create --filemap` and `update_filemap`, or by hand as described in dmfilemapd(8).
//!
//! No fork: the program executes itself again, with the file as its standard input. It ends with the group, with the
//! file, or by a signal, and leaves the group as it is.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{close, dup2_stdin, setsid};

use super::filemap::{Mapped, Plan, find, remap};
use super::region;
use crate::block_device::is_only_holder;
use crate::descriptors::close_inherited;
use crate::dm::DeviceId;
use crate::dmsetup::error::Failure;
use crate::dmsetup::options::{Opt, digits};
use crate::dmsetup::session::Session;

/// The name of this verb alone.
pub(in crate::dmsetup) const OWN_NAME: &str = "dmfilemapd";
/// The last argument when another process starts it, to detach it from the terminal.
const DETACHED: &str = "detached";
const USAGE: &str =
    "Usage: dmfilemapd <file_descriptor> <group_id> <abs_path> inode|path [<foreground> [<log_level>]]\n";

/// The interval of the checks.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a file that is followed by its path may be missing (dmstats(8), "File follow modes").
const TOLERANCE: Duration = Duration::from_secs(1);

/// How a file is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// The file, wherever it is moved.
    Inode,
    /// The path, whatever file is there.
    Path,
}

impl Follow {
    /// Parses the mode; the default is the file.
    pub(super) fn of(session: &Session) -> Result<Self, Failure> {
        if session.options.has(Opt::NoMonitor) && session.options.has(Opt::Follow) {
            return Err(Failure::because("Use of --follow is incompatible with --nomonitor."));
        }
        session
            .options
            .text(Opt::Follow)
            .map_or(Ok(Self::Inode), |text| Self::from_name(&text))
    }

    fn from_name(name: &str) -> Result<Self, Failure> {
        match name {
            "inode" => Ok(Self::Inode),
            "path" => Ok(Self::Path),
            _ => Err(Failure::because(format_args!(
                "Could not parse dmfilemapd mode: {name}"
            ))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Inode => "inode",
            Self::Path => "path",
        }
    }
}

/// Follows a file from now on: in a new process, or with `--foreground` in this one.
pub(super) fn begin(session: &Session, mapped: Mapped, group: u64, path: &Path, follow: Follow) -> Result<(), Failure> {
    if session.options.has(Opt::Foreground) {
        session.out().flush()?;
        return watch(session, mapped, group, path, follow);
    }
    start(mapped.file, group, path, follow)
}

fn start(file: File, group: u64, path: &Path, follow: Follow) -> Result<(), Failure> {
    let started = Command::new("/proc/self/exe")
        .arg0(OWN_NAME)
        .args(["0", &group.to_string()])
        .arg(path)
        .args([follow.name(), "1", "0", DETACHED])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(file))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::because(format_args!(
            "Failed to start filemap monitoring daemon: {error}"
        ))),
    }
}

/// The arguments after the name `dmfilemapd`.
pub(in crate::dmsetup) fn run(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let usage = || Failure::Report(USAGE.to_owned());
    let is_detached = words.last().is_some_and(|word| word == DETACHED);
    if is_detached {
        close_inherited();
    }
    let [descriptor, group, path, mode, rest @ ..] = words else {
        return Err(usage());
    };
    let number = |word: &OsString| digits::<u64>(&word.to_string_lossy()).ok_or_else(usage);
    let descriptor = i32::try_from(number(descriptor)?).map_err(|_| usage())?;
    let (group, path, follow) = (
        number(group)?,
        Path::new(path),
        Follow::from_name(&mode.to_string_lossy())?,
    );
    let file = taken_over(descriptor).map_err(|error| {
        Failure::because(format_args!(
            "File descriptor {descriptor} cannot be monitored: {error}"
        ))
    })?;
    let stays = rest.first().is_some_and(|word| word == "1");
    if !stays {
        return start(file, group, path, follow);
    }
    if is_detached {
        // It does not lead a group yet, so that this cannot fail.
        let _ = setsid();
    }
    watch(session, Mapped::of(file)?, group, path, follow)
}

/// The file behind a descriptor, which is closed: a file that is followed by its path may be removed.
fn taken_over(descriptor: i32) -> io::Result<File> {
    let file = File::open(format!("/proc/self/fd/{descriptor}"))?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    if descriptor == 0 {
        dup2_stdin(File::open("/dev/null")?)?;
    } else if descriptor > 2 {
        close(descriptor)?;
    }
    Ok(file)
}

/// Checks until the group or the file is gone.
fn watch(session: &Session, mut mapped: Mapped, mut group: u64, path: &Path, follow: Follow) -> Result<(), Failure> {
    let device = mapped.device.clone();
    loop {
        match step(session, &mapped, group)? {
            Some(number) => group = number,
            None => return Ok(()),
        }
        match follow {
            Follow::Inode => {
                thread::sleep(PAUSE);
                if mapped.file.metadata()?.nlink() == 0 && is_only_holder(&mapped.file) {
                    return Ok(());
                }
            }
            Follow::Path => {
                // Not held open meanwhile: it may be removed, and its file system unmounted.
                drop(mapped);
                thread::sleep(PAUSE);
                match reopened(path, &device) {
                    Some(file) => mapped = file,
                    None => return Ok(()),
                }
            }
        }
    }
}

/// One check. Returns the group's number, or `None` if it is gone.
fn step(session: &Session, mapped: &Mapped, group: u64) -> Result<Option<u64>, Failure> {
    let there = region::list(session, &mapped.device, None)?;
    let Ok((_, found)) = find(&there, group) else {
        return Ok(None);
    };
    // A file with nothing on the disk at the moment, or whose extents are unavailable, is checked again later.
    let Ok(extents) = mapped.extents(false) else {
        return Ok(Some(group));
    };
    let members = there.iter().filter(|region| found.members.contains(&region.id));
    if Plan::of(members, &extents).is_nothing() {
        return Ok(Some(group));
    }
    remap(session, &mapped.device, group, &extents).map(Some)
}

/// The file that is at the path now; `None` if none appears in time, or one on another device.
fn reopened(path: &Path, device: &DeviceId) -> Option<Mapped> {
    let begin = Instant::now();
    while fs::metadata(path).is_err() {
        if begin.elapsed() > TOLERANCE {
            return None;
        }
        thread::sleep(TOLERANCE / 10);
    }
    Mapped::open(path).ok().filter(|mapped| mapped.device == *device)
}
