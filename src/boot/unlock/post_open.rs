//! Steps after mapping: the checks of Debian's crypttab, and the swap area or file system for a volume that has another
//! key at each boot.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyslots::storage::Storage as _;
use keyslots::units::{Bytes, Sectors};

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

/// The end of a swap area, also one with a hibernation image: its last page is in `union swap_header` of linux/swap.h.
fn swap_end(device: &Path) -> Option<Bytes> {
    let mut last = [0; 4];
    let mut file = OpenOptions::new().read(true).open(device).ok()?;
    file.read_at(Bytes::new(1028), &mut last).ok()?;
    let pages = u64::from(u32::from_ne_bytes(last)).checked_add(1)?;
    pages.checked_mul(page_size().ok()? as u64).map(Bytes::new)
}

fn page_size() -> io::Result<usize> {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
    page.and_then(|page| usize::try_from(page).ok())
        .ok_or_else(|| io::ErrorKind::Unsupported.into())
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

/// Writes the header of a swap area: `union swap_header` of linux/swap.h, in the page size of this kernel.
fn make_swap(mapping: &Path) -> io::Result<()> {
    let mut device = OpenOptions::new().read(true).write(true).open(mapping)?;
    let page = page_size()?;
    let pages = device.size()?.get() / page as u64;
    let header = swap_header(page, pages)?;
    device.write_at(Bytes::ZERO, &header)?;
    device.sync()
}

fn swap_header(page: usize, pages: u64) -> io::Result<Vec<u8>> {
    const MAGIC: &[u8] = b"SWAPSPACE2";
    // mkswap requires as many.
    if pages < 10 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the device is too small for swap",
        ));
    }
    let last = u32::try_from(pages - 1).unwrap_or(u32::MAX);
    let mut header = vec![0; page];
    header[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
    header[1028..1032].copy_from_slice(&last.to_ne_bytes());
    header[1036..1052].copy_from_slice(keyslots::secret::Secret::random(16)?.expose());
    // The version and the variant of a random UUID (RFC 9562).
    header[1042] = header[1042] & 0x0f | 0x40;
    header[1044] = header[1044] & 0x3f | 0x80;
    header[page - MAGIC.len()..].copy_from_slice(MAGIC);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn options(list: &str) -> VolumeOptions {
        VolumeOptions::parse(list, &mut Vec::new())
    }

    #[test]
    fn a_swap_area_is_one_that_is_known() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(1 << 20).expect("its size");
        make_swap(file.path()).expect("made");
        let names: Vec<_> = signatures::probe(file.path())
            .expect("probed")
            .iter()
            .map(|found| found.name)
            .collect();
        assert_eq!(names, ["swap"]);
        let bytes = fs::read(file.path()).expect("read");
        assert_eq!(bytes[1028..1032], 255_u32.to_ne_bytes());
        assert!(swap_header(4096, 9).is_err());
    }

    #[test]
    fn checks_look_at_what_was_decrypted() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(1 << 20).expect("its size");
        let passes = |list: &str| check(Path::new("/source"), file.path(), &options(list)).is_ok();
        assert!(passes("luks") && !passes("check") && passes("check=un_blkid") && passes("check,checkargs=none"));
        make_swap(file.path()).expect("made");
        assert!(passes("check") && passes("check=blkid,checkargs=swap") && !passes("check,checkargs=ext4"));
        assert!(
            !passes("check=un_blkid") && passes("check=un_blkid,checkargs=ext4") && !passes("check,checkargs=none")
        );
        assert!(passes("check=/bin/true") && !passes("check=/bin/false") && !passes("check=no-such-check"));
    }

    #[test]
    fn what_was_there_before_is_not_destroyed() {
        let source = tempfile::NamedTempFile::new().expect("a file");
        source.as_file().set_len(1 << 20).expect("its size");
        let mut header = vec![0; 600];
        header[512..520].copy_from_slice(b"EFI PART");
        fs::write(source.path(), &header).expect("written");
        let mapping = tempfile::NamedTempFile::new().expect("a file");
        mapping.as_file().set_len(1 << 20).expect("its size");
        let made = |key, offset, may_destroy| {
            let place = Place {
                source: source.path(),
                mapping: mapping.path(),
                key,
                offset: Sectors::new(offset),
            };
            mapping.as_file().set_len(0).expect("emptied");
            mapping.as_file().set_len(1 << 20).expect("its size");
            make(&place, &options("swap"), may_destroy)
        };
        let refused = |made| matches!(made, Err(UnlockError::WouldDestroy { .. }));
        let random = KeyLasts::No;
        assert!(refused(made(random, 0, false)) && refused(made(random, 2048, false)));
        assert!(made(random, 0, true).is_ok());
        // A small file system in front of the volume, by which it is found, is no reason.
        let mut ext = vec![0; 2048];
        ext[1024 + 4..1024 + 8].copy_from_slice(&512_u32.to_le_bytes());
        ext[1024 + 56..1024 + 58].copy_from_slice(&0xef53_u16.to_le_bytes());
        ext[1024 + 76] = 1;
        fs::write(source.path(), &ext).expect("written");
        assert!(made(random, 1024, false).is_ok() && refused(made(random, 1023, false)));
        // Nor is an empty volume; but one with a permanent key must not be overwritten.
        fs::write(source.path(), vec![0; 2048]).expect("written");
        assert!(made(random, 0, false).is_ok() && refused(made(KeyLasts::Proven, 4096, false)));
    }

    /// Data that a wrong key turns into noise may be a hibernation image.
    #[test]
    fn only_a_random_key_makes_anything() {
        let source = tempfile::NamedTempFile::new().expect("a file");
        source.as_file().set_len(1 << 20).expect("its size");
        let mapping = tempfile::NamedTempFile::new().expect("a file");
        for list in ["swap", "tmp=ext4"] {
            for (key, may_destroy, makes) in [
                (KeyLasts::Typed, false, false),
                (KeyLasts::Typed, true, false),
                (KeyLasts::Yes, false, false),
                (KeyLasts::Yes, true, true),
                (KeyLasts::Proven, true, true),
                (KeyLasts::No, false, true),
            ] {
                fs::write(mapping.path(), vec![0x5a; 1 << 20]).expect("noise");
                let place = Place {
                    source: source.path(),
                    mapping: mapping.path(),
                    key,
                    offset: Sectors::ZERO,
                };
                let made = make(&place, &options(list), may_destroy);
                let changed = fs::read(mapping.path()).expect("read") != vec![0x5a; 1 << 20];
                assert_eq!(changed, makes, "{list} {key:?} {may_destroy}: {made:?}");
                match key {
                    // Another prompt appears.
                    KeyLasts::Typed => assert!(made.is_err_and(|error| error.is_wrong_passphrase())),
                    KeyLasts::Yes if !may_destroy => assert!(made.is_ok_and(|note| note.is_some())),
                    _ => assert!(made.is_ok_and(|note| note.is_none())),
                }
            }
        }
    }

    #[test]
    fn no_image_of_a_machine_that_sleeps_is_overwritten() {
        const KINDS: [&[u8]; 5] = [
            b"S1SUSPEND\0",
            b"S2SUSPEND\0",
            b"ULSUSPEND\0",
            b"LINHIB0001",
            b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c",
        ];
        let outside = tempfile::NamedTempFile::new().expect("a file");
        let inside = tempfile::NamedTempFile::new().expect("a file");
        for magic in KINDS {
            for in_front in [false, true] {
                let mut image = vec![0; 1 << 20];
                image[4086..4086 + magic.len()].copy_from_slice(magic);
                let blank = vec![0; 1 << 20];
                let (front, behind) = if in_front { (&image, &blank) } else { (&blank, &image) };
                fs::write(outside.path(), front).expect("written");
                fs::write(inside.path(), behind).expect("written");
                for key in [KeyLasts::No, KeyLasts::Yes, KeyLasts::Typed, KeyLasts::Proven] {
                    let place = Place {
                        source: outside.path(),
                        mapping: inside.path(),
                        key,
                        offset: Sectors::ZERO,
                    };
                    for list in ["swap", "tmp=ext4"] {
                        let made = make(&place, &options(list), true);
                        let kept = list == "swap" && !in_front;
                        assert_eq!(made.is_ok(), kept, "{list} {key:?} {magic:?}: {made:?}");
                        assert!(fs::read(inside.path()).expect("read") == *behind);
                    }
                }
            }
        }
    }

    #[test]
    fn an_image_that_ends_in_front_of_the_volume_is_no_reason() {
        let outside = tempfile::NamedTempFile::new().expect("a file");
        let inside = tempfile::NamedTempFile::new().expect("a file");
        let page = page_size().expect("known");
        let mut image = vec![0; 1 << 20];
        image[page - 10..page].copy_from_slice(b"S1SUSPEND\0");
        image[1028..1032].copy_from_slice(&9_u32.to_ne_bytes());
        fs::write(outside.path(), image).expect("written");
        let end = page as u64 / 512 * 10;
        for (offset, made) in [(0, false), (end - 1, false), (end, true)] {
            fs::write(inside.path(), vec![0; 1 << 20]).expect("written");
            let place = Place {
                source: outside.path(),
                mapping: inside.path(),
                key: KeyLasts::No,
                offset: Sectors::new(offset),
            };
            assert_eq!(make(&place, &options("swap"), false).is_ok(), made, "{offset}");
        }
    }

    #[test]
    fn a_swap_area_and_what_sleeps_in_it_are_left_alone() {
        let source = tempfile::NamedTempFile::new().expect("a file");
        let mapping = tempfile::NamedTempFile::new().expect("a file");
        mapping.as_file().set_len(1 << 20).expect("its size");
        make_swap(mapping.path()).expect("made");
        let before = fs::read(mapping.path()).expect("read");
        for (key, may_destroy) in [(KeyLasts::Proven, false), (KeyLasts::No, false), (KeyLasts::Yes, true)] {
            let place = Place {
                source: source.path(),
                mapping: mapping.path(),
                key,
                offset: Sectors::ZERO,
            };
            make(&place, &options("swap"), may_destroy).expect("it is there");
            assert!(fs::read(mapping.path()).expect("read") == before);
            if !may_destroy {
                let made = make(&place, &options("tmp=ext4"), false);
                assert!(matches!(made, Err(UnlockError::WouldDestroy { .. })));
            }
        }
    }
}
