//! Steps after mapping: the checks of Debian's crypttab, and the swap area or file system for a volume that has another
//! key at each boot.

mod swap;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyslots::storage::Storage as _;
use keyslots::units::{Bytes, Sectors};

use self::swap::{make_swap, swap_end};
use super::UnlockError;
use crate::block_device::signatures::{self, Signature};
use crate::boot::options::VolumeOptions;
use crate::boot::program::spawn;

/// Where Debian's crypttab(5) looks for a check that is not named by its path.
const CHECKS: &str = "/lib/cryptsetup/checks";

/// Checks a mapping according to `check=` and `checkargs=`.
pub(super) fn check(source: &Path, mapping: &Path, options: &VolumeOptions) -> Result<(), UnlockError> {
    let Some(check) = &options.check else { return Ok(()) };
    let wanted = options.checkargs.as_deref();
    let name = check.rsplit('/').next().unwrap_or(check);
    let failed = |found: String| UnlockError::CheckFailed {
        check: check.clone(),
        found,
    };
    let built_in = match name {
        "blkid" => Some(wanted != Some("none")),
        "un_blkid" => Some(false),
        _ => None,
    };
    let Some(should_be_there) = built_in else {
        return run_check(check, mapping, wanted, source, options);
    };
    let found = signatures::probe(mapping).map_err(|error| failed(error.to_string()))?;
    let wanted = wanted.filter(|kind| *kind != "none");
    let there = match wanted {
        Some(kind) => found.iter().any(|signature| signature.name == kind),
        None => !found.is_empty(),
    };
    if there == should_be_there {
        Ok(())
    } else {
        Err(failed(listed(&found)))
    }
}

fn listed(found: &[Signature]) -> String {
    if found.is_empty() {
        return "nothing that is known".into();
    }
    found
        .iter()
        .map(|signature| signature.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn run_check(
    check: &str,
    mapping: &Path,
    wanted: Option<&str>,
    source: &Path,
    options: &VolumeOptions,
) -> Result<(), UnlockError> {
    let path = if check.starts_with('/') {
        PathBuf::from(check)
    } else {
        Path::new(CHECKS).join(check)
    };
    let mut command = Command::new(&path);
    command.arg(mapping).args(wanted).env("CRYPTTAB_SOURCE", source);
    for (option, value) in &options.given {
        command.env(format!("CRYPTTAB_OPTION_{}", option.replace('-', "_")), value);
    }
    run(command, &path.display().to_string()).map_err(|reason| UnlockError::CheckFailed {
        check: check.to_owned(),
        found: reason,
    })
}

/// Whether a volume's key outlives the machine's run, and whether it is proven to be the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyLasts {
    /// It is random: data written with another one cannot be read any more.
    No,
    /// It is permanent, and nothing proves it right.
    Yes,
    /// The same, typed by a person.
    Typed,
    /// It is permanent, and a header has proven it right.
    Proven,
}

/// The volume that a swap area or a file system is made on.
pub(super) struct Place<'a> {
    /// The device below.
    pub(super) source: &'a Path,
    /// The decrypted volume.
    pub(super) mapping: &'a Path,
    /// Whether its key outlives the machine's run: then its contents were meant to stay.
    pub(super) key: KeyLasts,
    /// The start of its data on the device below.
    pub(super) offset: Sectors,
}

/// Makes the swap area or the file system, unless that would destroy existing data. An existing swap area is left as it is:
/// it may hold the image of a hibernated machine. So may data that a wrong key turns into noise: without `may_destroy` only a
/// random key makes anything, and a typed, unproven passphrase never does. Returns messages to show.
pub(super) fn make(
    place: &Place<'_>,
    options: &VolumeOptions,
    may_destroy: bool,
) -> Result<Option<String>, UnlockError> {
    let Place { source, mapping, .. } = *place;
    let tool = options
        .tmp
        .as_ref()
        .map_or_else(|| "mkswap".to_owned(), |kind| format!("mkfs.{kind}"));
    let probe = |path: &Path| {
        signatures::probe(path).map_err(|error| UnlockError::Program {
            program: tool.clone(),
            reason: error.to_string(),
        })
    };
    let inside = probe(mapping)?;
    if options.swap && inside.iter().any(is_swap) {
        return Ok(None);
    }
    let outside = probe(source)?;
    let would_destroy = |device: &Path, found: &[Signature]| UnlockError::WouldDestroy {
        device: device.to_owned(),
        found: listed(found),
        tool: tool.clone(),
    };
    // A hibernated machine's: it must not be overwritten. An image in front of the volume is not affected.
    let start = place.offset.bytes().unwrap_or(Bytes::ZERO);
    let is_in_front = || swap_end(source).is_some_and(|end| end <= start);
    for (device, found) in [(mapping, &inside), (source, &outside)] {
        if found.iter().any(is_suspended) && !(device == source && is_in_front()) {
            return Err(would_destroy(device, found));
        }
    }
    match place.key {
        KeyLasts::Typed if inside.is_empty() => return Err(UnlockError::NothingInside(wanted(options))),
        KeyLasts::Typed => return Err(would_destroy(mapping, &inside)),
        KeyLasts::Yes if inside.is_empty() && !may_destroy => {
            return Ok(Some(format!(
                "there is no {} behind it, and none is made, since its key is not random: if this is its first use, run \
                 {tool} {}",
                wanted(options),
                mapping.display()
            )));
        }
        KeyLasts::No | KeyLasts::Yes | KeyLasts::Proven => {}
    }
    if !may_destroy {
        // Data need not have a known signature.
        if place.key != KeyLasts::No || !inside.is_empty() {
            return Err(would_destroy(mapping, &inside));
        }
        // Data that end in front of the volume are kept, and are often there on purpose, to find it by.
        let kept = ext_end(source).is_some_and(|end| place.offset.bytes().is_some_and(|start| end <= start));
        let harmless = |found: &Signature| is_swap(found) || kept && found.name.starts_with("ext");
        let outside: Vec<_> = outside.into_iter().filter(|found| !harmless(found)).collect();
        if !outside.is_empty() {
            return Err(would_destroy(source, &outside));
        }
    }
    let failed = |reason| UnlockError::Program {
        program: tool.clone(),
        reason,
    };
    if options.tmp.is_some() {
        let mut command = Command::new(&tool);
        command.arg("-q").arg(mapping);
        run(command, &tool).map_err(failed)?;
    } else {
        make_swap(mapping).map_err(|error| failed(error.to_string()))?;
    }
    Ok(None)
}

/// The contents that the options require.
fn wanted(options: &VolumeOptions) -> &'static str {
    if options.tmp.is_some() {
        "file system"
    } else {
        "swap area"
    }
}

fn is_suspended(found: &Signature) -> bool {
    found.name == "swsuspend"
}

fn is_swap(found: &Signature) -> bool {
    found.name == "swap" || is_suspended(found)
}

/// The end of an ext2, ext3 or ext4 file system, if there is one: `struct ext2_super_block` of the kernel's documentation
/// (filesystems/ext4), of which the counts of 32 bits are enough for a small one.
fn ext_end(device: &Path) -> Option<Bytes> {
    let mut superblock = [0; 64];
    let mut file = OpenOptions::new().read(true).open(device).ok()?;
    file.read_at(Bytes::kib(1), &mut superblock).ok()?;
    let number = |at: usize| Some(u32::from_le_bytes(*superblock.get(at..)?.first_chunk()?));
    let is_ext = superblock[56..58] == 0xef53_u16.to_le_bytes();
    let block = 1024_u64.checked_shl(number(24)?).filter(|_| is_ext)?;
    u64::from(number(4)?).checked_mul(block).map(Bytes::new)
}

fn run(mut command: Command, name: &str) -> Result<(), String> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = spawn(command).and_then(|mut child| child.wait());
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name}: {status}")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

#[cfg(test)]
mod tests;
