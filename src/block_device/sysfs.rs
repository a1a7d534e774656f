//! Relations between block devices according to sysfs, which needs no access to the devices themselves.

use std::fs;
use std::io;
use std::path::Path;

use super::DevNo;

/// The name and the UUID of a device-mapper device (the latter empty if it has none), without asking the device-mapper.
pub fn dm_name_and_uuid(number: DevNo) -> Option<(String, String)> {
    let dir = number.sysfs().join("dm");
    let read = |file: &str| {
        Some(
            fs::read_to_string(dir.join(file))
                .ok()?
                .trim_end_matches('\n')
                .to_owned(),
        )
    };
    Some((read("name")?, read("uuid").unwrap_or_default()))
}

/// The devices in one of a device's directories of links, `holders` or `slaves`, by the kernel's names.
pub(super) fn linked(number: DevNo, dir: &str) -> Vec<(String, DevNo)> {
    entries_of(&number.sysfs().join(dir)).collect()
}

/// The devices in a directory of links.
pub(super) fn links_in(dir: &Path) -> impl Iterator<Item = DevNo> {
    entries_of(dir).map(|(_, number)| number)
}

fn entries_of(dir: &Path) -> impl Iterator<Item = (String, DevNo)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| numbered(&entry.path()))
}

/// The devices that a device is made of, in the order of their names.
pub fn made_of(number: DevNo) -> Vec<DevNo> {
    let mut parts = linked(number, "slaves");
    parts.sort();
    parts.into_iter().map(|(_, part)| part).collect()
}

/// The disk of a partition; `None` if it is not a partition.
pub fn disk_of_partition(number: DevNo) -> Option<DevNo> {
    let dir = fs::canonicalize(number.sysfs()).ok()?;
    dir.join("partition").exists().then_some(())?;
    Some(numbered(dir.parent()?)?.1)
}

/// A disk's partitions, by the kernel's names.
pub fn partitions(number: DevNo) -> Vec<(String, DevNo)> {
    let Ok(entries) = fs::read_dir(number.sysfs()) else {
        return Vec::new();
    };
    let dirs = entries.flatten().map(|entry| entry.path());
    dirs.filter(|dir| dir.join("partition").exists())
        .filter_map(|dir| numbered(&dir))
        .collect()
}

/// The kernel's name and the number of the device with this directory.
fn numbered(dir: &Path) -> Option<(String, DevNo)> {
    let number = fs::read_to_string(dir.join("dev")).ok()?.trim().parse().ok()?;
    Some((dir.file_name()?.to_str()?.replace('!', "/"), number))
}

/// The kernel's readahead, in sectors of 512 bytes; `None` if sysfs does not report it.
pub fn read_ahead(number: DevNo) -> Option<u64> {
    let kib = fs::read_to_string(number.sysfs().join("queue/read_ahead_kb")).ok()?;
    kib.trim().parse::<u64>().ok()?.checked_mul(2)
}

/// Sets the kernel's readahead, in sectors of 512 bytes; it rounds to its own pages.
///
/// # Errors
/// The system's.
pub fn set_read_ahead(number: DevNo, sectors: u64) -> io::Result<()> {
    fs::write(
        number.sysfs().join("queue/read_ahead_kb"),
        sectors.div_ceil(2).to_string(),
    )
}

/// Every block device that has a size, by the kernel's name.
pub fn all() -> Vec<(String, DevNo)> {
    let Ok(entries) = fs::read_dir("/sys/class/block") else {
        return Vec::new();
    };
    let sized = |dir: &Path| fs::read_to_string(dir.join("size")).is_ok_and(|size| size.trim() != "0");
    let dirs = entries.flatten().map(|entry| entry.path()).filter(|dir| sized(dir));
    let mut found: Vec<_> = dirs.filter_map(|dir| numbered(&dir)).collect();
    found.sort();
    found
}

/// Whether another device is on top of this one.
pub fn is_held(number: DevNo) -> bool {
    !linked(number, "holders").is_empty()
}

/// The devices on top of this one, by the kernel's names.
pub fn held_by(number: DevNo) -> Vec<(String, DevNo)> {
    linked(number, "holders")
}

/// The kernel's sequence number of a disk, or of a partition's disk, set when it appeared and never reused. `None`
/// before Linux 5.15.
pub fn disk_sequence(number: DevNo) -> Option<u64> {
    let dirs = [number.sysfs(), number.sysfs().join("..")];
    let text = dirs
        .iter()
        .find_map(|dir| fs::read_to_string(dir.join("diskseq")).ok())?;
    text.trim().parse().ok()
}

/// The serial number and the model of the drive that a device is or is a part of, as far as its driver reports them.
pub fn drive(number: DevNo) -> (Option<String>, Option<String>) {
    let read = |name: &str| {
        let dirs = [number.sysfs(), number.sysfs().join("..")];
        let text = dirs.iter().find_map(|dir| fs::read_to_string(dir.join(name)).ok())?;
        let text = text.trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    (read("device/serial").or_else(|| read("serial")), read("device/model"))
}
