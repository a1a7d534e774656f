//! Will the next boot unlock this machine? What crypttab names is looked at, and what the initramfs holds, without a
//! change to either: the facts. Remedies are the command line's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keyslots::header::Header;
use keyslots::luks2::format::Which;
use keyslots::secret::Passphrase;
use keyslots::units::Bytes;

use super::budget::Budget;
use super::crypttab::{Crypttab, Entry, KeySource};
use super::devices::Devices;
use super::options::Kind;
use super::source::DeviceSpec;
use super::unlock::{UnlockError, header_path};
use crate::header_device::{HeaderDevice, Wanted};
use crate::volume;

/// Something that keeps, or may keep, a volume from being unlocked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// No initramfs was found, or it cannot be listed.
    #[error("what the initramfs holds cannot be told: {0}")]
    NoInitramfs(String),
    /// The initramfs lacks an unlocker.
    #[error("the initramfs holds neither luksmith nor cryptsetup")]
    NoProgram,
    /// The initramfs lacks the list of volumes.
    #[error("the initramfs holds no crypttab")]
    NoCrypttab,
    /// The initramfs and the kernel lack a module.
    #[error("the initramfs holds no module {0}, and the kernel has it not built in")]
    NoModule(String),
    /// The system's keyboard is not what the initramfs will take it for.
    #[error(
        "the keyboard has the layout {0}, and the initramfs holds no keymap: what is typed there is taken for a US keyboard's"
    )]
    NoKeymap(String),
    /// The passphrase has letters that a keyboard may not give so early.
    #[error("the passphrase has characters that are not on every keyboard, or that depend on the encoding")]
    Untypable,
    /// A line of crypttab, or a kernel argument, means nothing.
    #[error("{0}")]
    Config(String),
    /// The device is not there.
    #[error("there is no device {0}")]
    NoDevice(DeviceSpec),
    /// The disk has the signature of an array that does not hold it.
    #[error("{0}, and no array holds it: each start waits for one")]
    StaleArray(String),
    /// The header is not there.
    #[error("its header {0} is not there")]
    NoHeader(String),
    /// The volume could not be opened, whatever is typed.
    #[error("{0}")]
    Unusable(UnlockError),
    /// Nothing can be typed that opens it.
    #[error("it has no keyslot that a passphrase could open")]
    NoKeyslot,
    /// A keyslot takes too much memory.
    #[error("keyslot {slot} needs {needed} of memory, {available} are there")]
    TooLarge {
        /// The keyslot.
        slot: u32,
        /// What it needs.
        needed: Bytes,
        /// What there is.
        available: Bytes,
    },
    /// The two copies of the header differ.
    #[error("the {} copy of its LUKS2 header is damaged or outdated", match .0 { Which::Primary => "first", Which::Secondary => "second" })]
    Copies(Which),
    /// Its key file is not there.
    #[error("its key file {} is not there", .0.display())]
    NoKeyFile(PathBuf),
    /// Others can read its key file.
    #[error("others than root can read its key file {}", .0.display())]
    OpenKeyFile(PathBuf),
    /// There is no backup of its header.
    #[error("no backup of its header is known")]
    NoBackup,
}

/// What the initramfs holds.
#[derive(Debug)]
pub struct Contents {
    /// The paths in it.
    pub names: Vec<String>,
    /// The list of what its kernel has built in.
    pub builtin: String,
}

/// What is looked at beside crypttab.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The initramfs, or why it is not known.
    pub initramfs: Result<Contents, String>,
    /// The memory that derivations may take.
    pub budget: Budget,
    /// The folder with header backups.
    pub backups: Option<&'a Path>,
    /// The text of the system's keyboard settings.
    pub keyboard: &'a str,
    /// The passphrase, where it is to be looked at.
    pub passphrase: Option<&'a Passphrase>,
    /// Whether the volumes are named by a crypttab, and not by kernel arguments alone.
    pub has_crypttab: bool,
}

/// All that is wrong, each with the volume that it is wrong with, if it is one.
pub fn examine(crypttab: &Crypttab, machine: &Machine<'_>) -> Vec<(Option<String>, Finding)> {
    let mut findings = Vec::new();
    let warnings = crypttab.warnings.iter().cloned();
    findings.extend(warnings.map(|warning| (None, Finding::Config(warning))));
    match &machine.initramfs {
        Err(reason) => findings.push((None, Finding::NoInitramfs(reason.clone()))),
        Ok(contents) => findings.extend(contents.examine(machine).into_iter().map(|finding| (None, finding))),
    }
    let typable = |passphrase: &Passphrase| passphrase.expose().iter().all(|byte| (b' '..=b'~').contains(byte));
    if machine.passphrase.is_some_and(|passphrase| !typable(passphrase)) {
        findings.push((None, Finding::Untypable));
    }
    let devices = Devices::now().giving_way();
    for entry in crypttab.entries.iter().filter(|entry| !entry.options.noauto) {
        let mut own = Vec::new();
        examine_volume(entry, &devices, machine, &mut own);
        findings.extend(own.into_iter().map(|finding| (Some(entry.name.clone()), finding)));
    }
    findings
}

fn examine_volume(entry: &Entry, devices: &Devices, machine: &Machine<'_>, findings: &mut Vec<Finding>) {
    if let KeySource::File(place) = &entry.key
        && place.device.is_none()
        && !place.path.starts_with("/dev")
    {
        match fs::metadata(&place.path) {
            Err(_) => findings.push(Finding::NoKeyFile(place.path.clone())),
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                findings.push(Finding::OpenKeyFile(place.path.clone()));
            }
            Ok(_) => {}
        }
    }
    findings.extend(devices.unclaimed_of(&entry.source).map(Finding::StaleArray));
    let Some(source) = devices.find(&entry.source) else {
        findings.push(Finding::NoDevice(entry.source.clone()));
        return;
    };
    if entry.options.kind == Some(Kind::Plain) {
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
    // Without locks, since whoever reads with them mends a damaged copy: here nothing is changed.
    match HeaderDevice::new(path, false).read(Wanted::Any) {
        Ok((header, _)) => examine_header(&header, entry, machine, findings),
        Err(error) => findings.push(Finding::Unusable(error.into())),
    }
}

fn examine_header(header: &Header, entry: &Entry, machine: &Machine<'_>, findings: &mut Vec<Finding>) {
    if let Some(which) = header.luks2().and_then(|header| header.loser().needs_recovery()) {
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
    let derivations = header.derivations(entry.options.key_slot);
    if derivations.is_empty() {
        findings.push(Finding::NoKeyslot);
    }
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
    let is_backup = |path: PathBuf| {
        let backup = HeaderDevice::new(path, false).read(Wanted::Any);
        backup.is_ok_and(|(backup, _)| backup.uuid() == header.uuid())
    };
    let files = machine.backups.and_then(|folder| fs::read_dir(folder).ok());
    if !files.into_iter().flatten().flatten().any(|file| is_backup(file.path())) {
        findings.push(Finding::NoBackup);
    }
}

impl Contents {
    fn examine(&self, machine: &Machine<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let ends = |ends: &[&str]| self.names.iter().any(|name| ends.iter().any(|end| name.ends_with(end)));
        if !ends(&["bin/luksmith", "bin/cryptsetup", "/systemd-cryptsetup"]) {
            findings.push(Finding::NoProgram);
        }
        if machine.has_crypttab && !ends(&["etc/crypttab", "cryptroot/crypttab"]) {
            findings.push(Finding::NoCrypttab);
        }
        if !self.has_module("dm_crypt") {
            findings.push(Finding::NoModule("dm_crypt".into()));
        }
        if let Some(layout) = layout(machine.keyboard)
            && !self
                .names
                .iter()
                .any(|name| name.contains("keymap") || name.contains(".kmap") || name.ends_with("vconsole.conf"))
        {
            findings.push(Finding::NoKeymap(layout));
        }
        findings
    }

    /// Whether a module of that name, or one that is named after it (`aesni-intel`), is there or built in.
    fn has_module(&self, name: &str) -> bool {
        let named = |path: &str| {
            let file = path.rsplit('/').next().unwrap_or(path).replace('-', "_");
            file.starts_with(name) && file.contains(".ko")
        };
        self.names.iter().any(|path| named(path)) || self.builtin.lines().any(named)
    }
}

/// The layout that keyboard(5) or vconsole.conf(5) names, unless it is the one that the kernel has by itself.
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

    #[test]
    fn modules_are_found_by_their_names_packed_or_built_in() {
        let contents = Contents {
            names: vec![
                "lib/modules/6/kernel/arch/x86/crypto/aesni-intel.ko.xz".into(),
                "bin/xts".into(),
            ],
            builtin: "kernel/crypto/cbc.ko\n".into(),
        };
        assert!(contents.has_module("aes") && contents.has_module("cbc"));
        assert!(!contents.has_module("xts") && !contents.has_module("dm_crypt"));
    }
}
