//! The volumes that the initramfs has to unlock: the root, the device to resume from, and their dependencies; and whether
//! it can.

use std::path::{Path, PathBuf};

use super::below::text_of;
use super::contents::{Contents, Hook};
use super::{Finding, Machine};
use crate::block_device::{DevNo, dm_name_and_uuid, made_of};
use crate::boot::cmdline::{self, plan};
use crate::boot::crypttab::{Crypttab, Entry, KeySource};
use crate::boot::dependencies::mappings;
use crate::boot::devices::Devices;
use crate::boot::options::VolumeOptions;
use crate::boot::source::{DeviceSpec, Place};

/// Where Debian's crypttab(5) looks for a key script.
const SCRIPTS: &str = "/lib/cryptsetup/scripts";

/// A device that the machine starts from.
struct Start {
    /// The argument that names it: `root=…`.
    named: String,
    /// The mappings that it is, or is on; `None` if that is unknown.
    mappings: Option<Vec<String>>,
}

/// Examines the volumes that are unlocked before the root is mounted.
pub(super) fn examine(host: &Crypttab, machine: &Machine<'_>, devices: &Devices) -> Vec<(Option<String>, Finding)> {
    let contents = machine.initramfs.as_ref().ok();
    let has_list = contents.is_some_and(|contents| contents.crypttab().is_some());
    // mkinitcpio's hook has no list; a missing one is reported elsewhere.
    let text = contents.and_then(Contents::crypttab).unwrap_or_default();
    let is_known = has_list || contents.is_some_and(|contents| contents.hook() == Some(Hook::Encrypt));
    let early = plan(Crypttab::parse(text), machine.arguments);
    let starts = starts(machine, devices);
    let mut findings = Vec::new();
    if host.entries.is_empty() && early.entries.is_empty() {
        return findings;
    }
    if has_list && early.entries.is_empty() {
        // Unless it is certain that there is nothing to unlock so early.
        let needs_some = starts.is_empty()
            || starts
                .iter()
                .any(|start| start.mappings.as_ref().is_none_or(|names| !names.is_empty()));
        findings.extend(needs_some.then_some((None, Finding::EmptyCrypttab)));
        return findings;
    }
    let early = if is_known { &early.entries } else { &host.entries };
    let mut lacking = |name: &str, named: &str| {
        if !early.iter().any(|entry| entry.name == name) && !is_made_by_others(name, contents) {
            let finding = match host.entries.iter().any(|entry| entry.name == name) {
                true => Finding::NotInInitramfs(name.to_owned()),
                false => Finding::NoEntryMakes(named.to_owned(), name.to_owned()),
            };
            let of = matches!(finding, Finding::NotInInitramfs(_)).then(|| name.to_owned());
            findings.push((of, finding));
        }
    };
    for start in &starts {
        for name in start.mappings.iter().flatten() {
            lacking(name, &start.named);
        }
    }
    for entry in early {
        for name in mappings(entry) {
            lacking(&name, &entry.name);
        }
    }
    if is_known {
        for entry in host.entries.iter().filter(|entry| cmdline::is_for_initramfs(entry)) {
            lacking(&entry.name, &entry.name);
        }
        if let Some(contents) = contents {
            for entry in early {
                let lacking = lacking_files(entry, contents).into_iter().map(Finding::NotInside);
                findings.extend(lacking.map(|finding| (Some(entry.name.clone()), finding)));
            }
        }
    }
    findings
}

/// The files that an entry names and that are missing when it is unlocked.
fn lacking_files(entry: &Entry, contents: &Contents) -> Vec<PathBuf> {
    let is_here = |place: &Place| place.device.is_none() && place.path.is_absolute() && !place.path.starts_with("/dev");
    let mut needed: Vec<PathBuf> = Vec::new();
    match &entry.key {
        KeySource::File(place) if is_here(place) => needed.push(place.path.clone()),
        KeySource::Script { program, .. } => needed.push(Path::new(SCRIPTS).join(program)),
        _ => {}
    }
    let VolumeOptions { header, .. } = &entry.options;
    needed.extend(
        header
            .as_ref()
            .filter(|place| is_here(place))
            .map(|place| place.path.clone()),
    );
    needed.retain(|path| {
        let in_scripts = path.file_name().map(|name| Path::new(SCRIPTS).join(name));
        let is_script = matches!(entry.key, KeySource::Script { .. });
        !contents.has(path) && !in_scripts.is_some_and(|path| is_script && contents.has(&path))
    });
    needed
}

/// The devices that the kernel's arguments and fstab(5) name as root, and to resume from.
fn starts(machine: &Machine<'_>, devices: &Devices) -> Vec<Start> {
    let (root, resume) = cmdline::root_and_resume(machine.arguments);
    let of_fstab = || {
        let text = text_of(machine.root, &machine.root.join("etc/fstab"))?;
        text.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let device = words.next().filter(|device| !device.starts_with('#'))?;
            (words.next() == Some("/")).then(|| DeviceSpec::parse(device))
        })
    };
    let root = root
        .map(|device| ("root=", device))
        .or_else(|| Some(("/etc/fstab: ", of_fstab()?)));
    let resume = resume.map(|device| ("resume=", device));
    let start = |(argument, device): (&str, DeviceSpec)| Start {
        named: format!("{argument}{device}"),
        mappings: mappings_below(&device, devices),
    };
    root.into_iter().chain(resume).map(start).collect()
}

/// The mappings that a device is, or is on, by name.
fn mappings_below(device: &DeviceSpec, devices: &Devices) -> Option<Vec<String>> {
    let named = match device {
        DeviceSpec::Path(path) => path.strip_prefix("/dev/mapper").ok().and_then(|name| name.to_str()),
        _ => None,
    };
    let number = devices.find(device).and_then(|path| DevNo::of_path(&path).ok()?);
    let Some(number) = number else {
        return Some(vec![named?.to_owned()]);
    };
    let (mut names, mut below) = (Vec::new(), vec![number]);
    let mut at = 0;
    while let Some(&number) = below.get(at) {
        at += 1;
        if let Some((name, uuid)) = dm_name_and_uuid(number)
            && uuid.starts_with("CRYPT-")
        {
            names.push(name);
        }
        let more: Vec<DevNo> = made_of(number)
            .into_iter()
            .filter(|number| !below.contains(number))
            .collect();
        below.extend(more);
    }
    Some(names)
}

/// Whether a mapping of that name is not a volume, but made by another program: by LVM, most often.
fn is_made_by_others(name: &str, contents: Option<&Contents>) -> bool {
    let path = Path::new("/dev/mapper").join(name);
    let there = DevNo::of_path(&path).ok().flatten().and_then(dm_name_and_uuid);
    match there {
        Some((_, uuid)) => !uuid.starts_with("CRYPT-"),
        // `group-volume`, where a dash in either is doubled.
        None => name.replace("--", "").contains('-') && contents.is_none_or(|contents| contents.has_program("lvm")),
    }
}
