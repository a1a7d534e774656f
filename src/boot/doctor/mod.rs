//! Will the next boot unlock this machine? Examines the entries of crypttab, and the initramfs that will boot, without
//! changing either: the facts. Remedies are the command line's.

mod archive;
mod below;
mod boot_entry;
mod contents;
mod early;
mod grub;
mod unified;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keyslots::KeyslotId;
use keyslots::header::Header;
use keyslots::kdf::Weakness;
use keyslots::luks2::format::Which;
use keyslots::secret::Passphrase;
use keyslots::units::Bytes;

use super::budget::Budget;
use super::crypttab::{Crypttab, Entry, KeySource};
use super::dependencies::Dependencies;
use super::devices::Devices;
use super::key::has_default_key;
use super::options::Kind;
use super::source::{DeviceSpec, Place};
use super::unlock::{UnlockError, assumed, header_path, says_plain};
use crate::header_device::{HeaderDevice, HeaderError, Wanted};
use crate::volume;

pub use self::below::text;
pub use self::boot_entry::{BootEntry, boot_entries};
pub use self::contents::{Contents, Hook, Images};

/// A problem that keeps, or may keep, a volume from being unlocked, or a [note](Self::is_note).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// No initramfs was found, or it cannot be listed.
    #[error("cannot tell what the initramfs holds: {0}")]
    NoInitramfs(String),
    /// The initramfs lacks an unlocker.
    #[error("the initramfs holds neither luksmith nor cryptsetup")]
    NoProgram,
    /// The initramfs lacks the list of volumes.
    #[error("the initramfs holds no crypttab")]
    NoCrypttab,
    /// The list of volumes in the initramfs names none.
    #[error("the crypttab in the initramfs is empty: nothing is unlocked before the root is needed")]
    EmptyCrypttab,
    /// No configuration names a volume.
    #[error("no entry of crypttab and no kernel argument names a volume")]
    NoEntry,
    /// An entry is needed before the root is mounted, and is not in the initramfs.
    #[error("it is needed before the root file system is mounted, but the crypttab in the initramfs lacks it")]
    NotInInitramfs(String),
    /// The machine starts from a mapping, or an entry needs one, that no entry makes.
    #[error("{0} needs /dev/mapper/{1}, and no entry makes it")]
    NoEntryMakes(String, String),
    /// A file that an entry names is not in the initramfs.
    #[error("the initramfs does not hold {}", .0.display())]
    NotInside(PathBuf),
    /// The key of a LUKS volume changes at each boot.
    #[error("{0} gives other bytes each time, and cannot be the key of a LUKS volume")]
    RandomKey(String),
    /// The device with its key is missing, and no prompt replaces it.
    #[error("there is no device {0} with its key, and the line does not allow a prompt for a passphrase")]
    NoKeyDevice(DeviceSpec),
    /// It has no key, and no prompt appears.
    #[error("it is headless, and no key is named")]
    Headless,
    /// Options of a plain volume are not named.
    #[error("it does not say how it is encrypted: {0} is assumed")]
    Assumed(String),
    /// The initramfs and the kernel lack a module.
    #[error("the initramfs holds no module {0}, and the kernel does not have it built in")]
    NoModule(String),
    /// The initramfs will assume another keyboard than the system's.
    #[error("the keyboard has the layout {0}, and the initramfs holds no keymap: it will be read as a US keyboard")]
    NoKeymap(String),
    /// The passphrase has letters that a keyboard may not produce so early.
    #[error("the passphrase has characters that are not on every keyboard, or that depend on the encoding")]
    Untypable,
    /// A line of crypttab, or a kernel argument, is invalid.
    #[error("{0}")]
    Config(String),
    /// The device is missing.
    #[error("there is no device {0}")]
    NoDevice(DeviceSpec),
    /// The disk has the signature of an array that does not hold it.
    #[error("{0}, and it is not part of an assembled array: each boot waits for one")]
    StaleArray(String),
    /// The header is missing.
    #[error("its header {0} is not there")]
    NoHeader(String),
    /// The volume cannot be opened, whatever is typed.
    #[error("{0}")]
    Unusable(UnlockError),
    /// No typed passphrase can open it.
    #[error("it has no keyslot that a passphrase could open")]
    NoKeyslot,
    /// A keyslot takes too much memory.
    #[error("keyslot {slot} needs {needed} of memory; {available} is available")]
    TooLarge {
        /// The keyslot.
        slot: KeyslotId,
        /// The memory that it needs.
        needed: Bytes,
        /// The available memory.
        available: Bytes,
    },
    /// The two copies of the header differ.
    #[error("the {} copy of its LUKS2 header is damaged or outdated", match .0 { Which::Primary => "first", Which::Secondary => "second" })]
    Copies(Which),
    /// Its key file is missing.
    #[error("its key file {} is not there", .0.display())]
    NoKeyFile(PathBuf),
    /// Others can read its key file.
    #[error("others than root can read its key file {}", .0.display())]
    OpenKeyFile(PathBuf),
    /// A keyslot protects a passphrase too little. It opens anyway.
    #[error("keyslot {slot} is cheap to attack: {weakness}")]
    WeakKeyslot {
        /// The keyslot.
        slot: KeyslotId,
        /// The value that is too low.
        weakness: Weakness,
    },
    /// There is no backup of its header.
    #[error("no backup of its header is known")]
    NoBackup,
}

impl Finding {
    /// Whether it is only informative, and does not keep a volume from being unlocked.
    pub fn is_note(&self) -> bool {
        matches!(self, Self::WeakKeyslot { .. })
    }
}

/// The inputs besides crypttab.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The initramfs, or why it is unknown.
    pub initramfs: Result<Contents, String>,
    /// The memory that derivations may take.
    pub budget: Budget,
    /// The folder with header backups.
    pub backups: Option<&'a Path>,
    /// The text of the system's keyboard settings.
    pub keyboard: &'a str,
    /// The passphrase to check, if one was given.
    pub passphrase: Option<&'a Passphrase>,
    /// The system's root: `/`, or where it is mounted.
    pub root: &'a Path,
    /// The command line of the kernel that will boot.
    pub arguments: &'a str,
    /// Whether the volumes are named by a crypttab, and not by kernel arguments alone.
    pub has_crypttab: bool,
}

/// All findings, each with its volume, if it concerns one.
pub fn examine(crypttab: &Crypttab, machine: &Machine<'_>) -> Vec<(Option<String>, Finding)> {
    let mut findings = Vec::new();
    let warnings = crypttab.warnings.iter().cloned();
    findings.extend(warnings.map(|warning| (None, Finding::Config(warning))));
    match &machine.initramfs {
        Err(reason) => findings.push((None, Finding::NoInitramfs(reason.clone()))),
        Ok(contents) => {
            let own = examine_contents(contents, machine);
            findings.extend(own.into_iter().map(|finding| (None, finding)));
        }
    }
    let typable = |passphrase: &Passphrase| passphrase.expose().iter().all(|byte| (b' '..=b'~').contains(byte));
    if machine.passphrase.is_some_and(|passphrase| !typable(passphrase)) {
        findings.push((None, Finding::Untypable));
    }
    if crypttab.entries.is_empty() && crypttab.warnings.is_empty() {
        findings.push((None, Finding::NoEntry));
    }
    let devices = Devices::now().giving_way();
    findings.extend(early::examine(crypttab, machine, &devices));
    let mut dependencies = Dependencies::of(&crypttab.entries);
    dependencies.ask_in_circles(&crypttab.entries.iter().collect::<Vec<_>>(), |_| false);
    let entries = crypttab.entries.iter().enumerate();
    for (at, entry) in entries.filter(|(_, entry)| !entry.options.noauto) {
        let circle = dependencies.circle(at).map(UnlockError::Circle);
        let mut own: Vec<Finding> = circle.map(Finding::Unusable).into_iter().collect();
        examine_volume(entry, crypttab, &devices, machine, &mut own);
        findings.extend(own.into_iter().map(|finding| (Some(entry.name.clone()), finding)));
    }
    findings
}

fn examine_volume(
    entry: &Entry,
    crypttab: &Crypttab,
    devices: &Devices,
    machine: &Machine<'_>,
    findings: &mut Vec<Finding>,
) {
    examine_key(entry, devices, machine, findings);
    findings.extend(devices.unclaimed_of(&entry.source).map(Finding::StaleArray));
    if let Some(Kind::Foreign(kind)) = entry.options.kind {
        findings.push(Finding::Unusable(UnlockError::Unsupported(kind)));
        return;
    }
    let Some(source) = devices.find(&entry.source) else {
        // A device that another entry makes appears with that.
        let is_made = |other: &Entry| entry.source == DeviceSpec::Path(Path::new("/dev/mapper").join(&other.name));
        if !crypttab.entries.iter().any(is_made) {
            findings.push(Finding::NoDevice(entry.source.clone()));
        }
        return;
    };
    if entry.options.kind == Some(Kind::Plain) {
        findings.extend(assumed(entry).map(Finding::Assumed));
        return;
    }
    let (path, _mounted) = match header_path(&entry.options, devices, &source) {
        Ok(Some(place)) => place,
        Ok(None) => {
            let place = entry.options.header.as_ref().map(ToString::to_string);
            findings.push(Finding::NoHeader(place.unwrap_or_default()));
            return;
        }
        Err(error) => {
            findings.push(Finding::Unusable(error));
            return;
        }
    };
    // Without locks: with them, reading repairs a damaged copy, and doctor changes nothing.
    match HeaderDevice::new(path, false).read(Wanted::Any) {
        Ok((header, _)) => {
            if entry.key.is_random() {
                findings.push(Finding::RandomKey(entry.fields[2].clone()));
            }
            examine_header(&header, entry, machine, findings);
        }
        Err(HeaderError::NotLuks { .. }) if entry.options.kind.is_none() && says_plain(&entry.options) => {
            findings.extend(assumed(entry).map(Finding::Assumed));
        }
        Err(error) => findings.push(Finding::Unusable(error.into())),
    }
}

fn examine_key(entry: &Entry, devices: &Devices, machine: &Machine<'_>, findings: &mut Vec<Finding>) {
    let is_plain = entry.options.kind == Some(Kind::Plain) || says_plain(&entry.options);
    // Below the root, wherever that is mounted.
    let there = |path: &Path| below::metadata(machine.root, &machine.root.join(path.strip_prefix("/").unwrap_or(path)));
    match &entry.key {
        KeySource::File(Place { path, device: None }) if !path.starts_with("/dev") => match there(path) {
            Err(_) => findings.push(Finding::NoKeyFile(path.clone())),
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                findings.push(Finding::OpenKeyFile(path.clone()));
            }
            Ok(_) => {}
        },
        // If the stick is not plugged in, a prompt appears, unless prompts are off.
        KeySource::File(Place {
            device: Some(device), ..
        })
        | KeySource::Raw(device)
            if (entry.options.headless || is_plain) && devices.find(device).is_none() =>
        {
            findings.push(Finding::NoKeyDevice(device.clone()));
        }
        KeySource::Ask if entry.options.headless && !has_default_key(entry, |path| there(path).is_ok()) => {
            findings.push(Finding::Headless);
        }
        _ => {}
    }
}

fn examine_header(header: &Header, entry: &Entry, machine: &Machine<'_>, findings: &mut Vec<Finding>) {
    if let Some(which) = header.luks2().and_then(|header| header.other_copy().needs_recovery()) {
        findings.push(Finding::Copies(which));
    }
    match volume::mappable(header) {
        Err(error) => findings.push(Finding::Unusable(error.into())),
        Ok(layout) => {
            if entry.options.header.is_none()
                && let Err(error) = volume::check_behind_header(header, &layout)
            {
                findings.push(Finding::Unusable(error.into()));
            }
            if let (Ok(contents), Ok(spec)) = (&machine.initramfs, layout.cipher.spec()) {
                let text = spec.to_string();
                // Of a wide mode only the template has a module of that name.
                let modules = text.split('-').take(2).skip(usize::from(spec.is_wide()));
                let lacking = modules.filter(|name| !contents.has_module(name));
                findings.extend(lacking.map(|name| Finding::NoModule(name.to_owned())));
            }
        }
    }
    let named = entry.options.key_slot.as_ref().map(|slot| slot.number(header));
    let derivations = match named.transpose() {
        Ok(keyslot) => {
            let derivations = header.derivations(keyslot);
            if derivations.is_empty() {
                findings.push(Finding::NoKeyslot);
            }
            derivations
        }
        Err(error) => {
            findings.push(Finding::Unusable(error.into()));
            Vec::new()
        }
    };
    let available = machine.budget.memory();
    findings.extend(
        derivations
            .iter()
            .filter(|(_, kdf)| kdf.memory() > available)
            .map(|(slot, kdf)| Finding::TooLarge {
                slot: *slot,
                needed: kdf.memory(),
                available,
            }),
    );
    let weak = header.weak_keyslots().into_iter();
    findings.extend(weak.map(|(slot, weakness)| Finding::WeakKeyslot { slot, weakness }));
    let is_backup = |path: PathBuf| {
        let backup = HeaderDevice::new(path, false).read(Wanted::Any);
        backup.is_ok_and(|(backup, _)| backup.uuid() == header.uuid())
    };
    let files = machine.backups.and_then(|folder| fs::read_dir(folder).ok());
    if !files.into_iter().flatten().flatten().any(|file| is_backup(file.path())) {
        findings.push(Finding::NoBackup);
    }
}

/// The problems of the initramfs as a whole.
fn examine_contents(contents: &Contents, machine: &Machine<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if contents.hook().is_none() {
        findings.push(Finding::NoProgram);
    }
    if machine.has_crypttab && contents.crypttab().is_none() && contents.hook() != Some(Hook::Encrypt) {
        findings.push(Finding::NoCrypttab);
    }
    if !contents.has_module("dm_crypt") {
        findings.push(Finding::NoModule("dm_crypt".into()));
    }
    if let Some(layout) = layout(machine.keyboard)
        && !contents.has_keymap()
    {
        findings.push(Finding::NoKeymap(layout));
    }
    findings
}

/// The layout that keyboard(5) or vconsole.conf(5) names, unless it is the kernel's default.
fn layout(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| {
        let (name, value) = line.trim().split_once('=')?;
        matches!(name, "XKBLAYOUT" | "KEYMAP").then(|| value.trim_matches('"').to_owned())
    })?;
    (!value.is_empty() && !value.starts_with("us")).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_counts_unless_it_is_the_kernels_own() {
        assert_eq!(layout("# x\nXKBLAYOUT=\"de\"\n").as_deref(), Some("de"));
        assert_eq!(layout("KEYMAP=fr-latin1").as_deref(), Some("fr-latin1"));
        assert_eq!(layout("XKBLAYOUT=\"us\""), None);
        assert_eq!(layout("XKBMODEL=pc105"), None);
    }
}
