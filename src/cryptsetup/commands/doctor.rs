//! `doctor`: whether the next boot will unlock this machine.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use nix::sys::utsname::uname;
use serde_json::{Value, json};

use super::context::Context;
use super::secrets::Source;
use super::unlock::{CRYPTTAB, read};
use crate::boot::budget::Budget;
use crate::boot::cmdline;
use crate::boot::crypttab::Crypttab;
use crate::boot::doctor::{self, BootEntry, Contents, Finding, Hook, Images, Machine};
use crate::boot::unlock::UnlockError;
use crate::console::ExitCode;
use crate::cryptsetup::error::CliError;

/// The files with the system's keyboard layout: Debian's, and systemd's.
const KEYBOARD: [&str; 2] = ["etc/default/keyboard", "etc/vconsole.conf"];

/// The most volumes that are examined: their dependencies take more than linear time.
const MOST_VOLUMES: usize = 1000;

/// The findings, each with its volume.
type Found = (Option<String>, Finding);

pub(super) fn doctor(cx: &Context<'_>) -> Result<(), CliError> {
    let options = cx.options;
    let root = options.root.as_deref().unwrap_or(Path::new("/"));
    let usual = root.join(CRYPTTAB.trim_start_matches('/'));
    let path = options.crypttab.as_deref().unwrap_or(&usual);
    // Unlike a named file, another system's may be a FIFO, or a link that leads out of it.
    let read_there = |path: &Path| match doctor::text(root, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(|source| CliError::ConfigUnreadable {
            path: path.to_owned(),
            source,
        }),
    };
    let text = match &options.crypttab {
        Some(path) => read(path, false)?,
        None => read_there(&usual)?,
    };
    let given = options
        .kernel_arguments
        .as_deref()
        .map(|path| read(path, false))
        .transpose()?;
    let passphrase = match options.test_passphrase {
        true => Some(cx.passphrase(&Source::Ask, "Enter passphrase: ")?),
        false => None,
    };
    let keyboard = KEYBOARD
        .iter()
        .filter_map(|path| doctor::text(root, &root.join(path)).ok());
    let keyboard: String = keyboard.collect();
    let (mut findings, mut looked_at, mut names) = (Vec::<Found>::new(), Vec::new(), Vec::<String>::new());
    let (mut told_before, mut named_before) = (HashSet::new(), HashSet::new());
    let mut images = Images::default();
    for entry in boots(options.initramfs.as_deref(), root) {
        let arguments = given.clone().or_else(|| entry.arguments.clone());
        let arguments = arguments.map_or_else(|| read_there(&root.join("proc/cmdline")), Ok)?;
        let crypttab = cmdline::plan(Crypttab::parse(&text), &arguments);
        if crypttab.entries.len() > MOST_VOLUMES {
            return Err(CliError::ConfigUnreadable {
                path: path.to_owned(),
                source: io::Error::other(format!("it names more than {MOST_VOLUMES} volumes")),
            });
        }
        let machine = Machine {
            initramfs: contents(&entry, root, &mut images),
            budget: Budget::new(options.memory_budget),
            backups: options.backup.as_deref(),
            keyboard: &keyboard,
            passphrase: passphrase.as_ref(),
            root,
            arguments: &arguments,
            has_crypttab: path.exists(),
        };
        for found in doctor::examine(&crypttab, &machine) {
            if told_before.insert(as_text(&found)) {
                findings.push(found);
            }
        }
        names.extend(
            crypttab
                .entries
                .into_iter()
                .map(|entry| entry.name)
                .filter(|name| named_before.insert(name.clone()))
                .collect::<Vec<_>>(),
        );
        looked_at.push((entry, machine.initramfs.ok().and_then(|contents| contents.hook())));
    }
    // A user who named one knows it.
    let told = if options.initramfs.is_some() {
        &[]
    } else {
        looked_at.as_slice()
    };
    let (notes, findings): (Vec<_>, Vec<_>) = findings.into_iter().partition(|(_, finding)| finding.is_note());
    cx.console.answer(
        || {
            let boots: Vec<Value> = looked_at.iter().map(boot_as_json).collect();
            let [findings, notes] = [&findings, &notes].map(|of| of.iter().map(as_json).collect::<Vec<_>>());
            json!({ "volumes": names, "boots": boots, "findings": findings, "notes": notes })
        },
        || {
            let mut text: String = told.iter().map(boot_as_text).collect();
            match findings.len() {
                0 => text += &format!("Nothing stands in the way of unlocking {}.\n", names.join(", ")),
                _ => text.extend(findings.iter().map(as_text)),
            }
            text.extend(notes.iter().map(|note| format!("Note: {}", as_text(note))));
            text
        },
    );
    if findings.is_empty() {
        Ok(())
    } else {
        let text = match findings.len() {
            1 => "There is a finding.".to_owned(),
            count => format!("There are {count} findings."),
        };
        Err(CliError::Quiet(ExitCode::Failure, text))
    }
}

/// The initramfs that is named, or those that the machine may boot.
fn boots(named: Option<&Path>, root: &Path) -> Vec<BootEntry> {
    let entries = match named {
        Some(path) => vec![BootEntry {
            from: "--initramfs".into(),
            images: vec![path.to_owned()],
            arguments: None,
        }],
        None => doctor::boot_entries(root),
    };
    if entries.is_empty() {
        vec![BootEntry::default()]
    } else {
        entries
    }
}

fn contents(entry: &BootEntry, root: &Path, images: &mut Images) -> Result<Contents, String> {
    if entry.images.is_empty() {
        return Err("no boot loader names one, and there is none in /boot".into());
    }
    let release = uname().map(|names| names.release().to_string_lossy().into_owned());
    images.contents(&entry.images, root, &release.unwrap_or_default())
}

fn images(entry: &BootEntry) -> Vec<String> {
    entry.images.iter().map(|path| path.display().to_string()).collect()
}

fn boot_as_text((entry, hook): &(BootEntry, Option<Hook>)) -> String {
    let hook = hook
        .map(|hook| format!(", unlocking by {}", hook.name()))
        .unwrap_or_default();
    match images(entry).as_slice() {
        [] => String::new(),
        images => format!("Checked {} ({}){hook}.\n", images.join(", "), entry.from),
    }
}

fn boot_as_json((entry, hook): &(BootEntry, Option<Hook>)) -> Value {
    json!({ "from": entry.from, "images": images(entry), "hook": hook.map(Hook::name) })
}

fn as_text((volume, finding): &(Option<String>, Finding)) -> String {
    let of = volume.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    format!("{of}{finding}.\n    {}\n", remedy(finding))
}

fn as_json((volume, finding): &(Option<String>, Finding)) -> Value {
    json!({ "volume": volume, "message": finding.to_string(), "remedy": remedy(finding) })
}

fn remedy(finding: &Finding) -> &'static str {
    match finding {
        Finding::NoInitramfs(_) => "Name it with --initramfs: the file, or a folder with what is in it.",
        Finding::NoProgram | Finding::NoCrypttab => {
            "Install a hook of contrib/, give the entry the option x-initrd.attach, and rebuild the initramfs."
        }
        Finding::EmptyCrypttab | Finding::NotInInitramfs(_) => {
            "Give its entry in /etc/crypttab the option x-initrd.attach (Debian: initramfs), and rebuild the initramfs."
        }
        Finding::NoEntry => "Write an entry into /etc/crypttab for each volume, or name it with rd.luks.name=.",
        Finding::NoEntryMakes(..) => {
            "Correct the name, or add an entry of that name to /etc/crypttab, and rebuild the initramfs."
        }
        Finding::NotInside(_) => {
            "Have it copied there (a hook or KEYFILE_PATTERN, install_items, FILES), name a device that it is on, or \
             rebuild the initramfs."
        }
        Finding::RandomKey(_) => "Name a key file or none; /dev/urandom is for plain volumes with swap or tmp.",
        Finding::NoKeyDevice(_) => "Plug it in, correct its name, or remove the option headless.",
        Finding::Headless => "Name a key file, or remove the option headless.",
        Finding::Assumed(_) => "Name cipher=, size= and hash= in the entry: other versions and programs assume others.",
        Finding::NoModule(_) => {
            "Add it to the modules of the initramfs (initramfs-tools/modules, add_drivers, MODULES)."
        }
        Finding::NoKeymap(_) => "Put the keymap into the initramfs (KEYMAP=y, i18n, keymap), and rebuild it.",
        Finding::Untypable => "Add a passphrase of plain letters, digits and signs with luksAddKey.",
        Finding::Config(_) => "Correct the line in crypttab, or the kernel argument.",
        Finding::NoDevice(_) | Finding::NoHeader(_) => {
            "Plug it in, or correct its name: blkid shows the names of all devices."
        }
        Finding::StaleArray(_) => {
            "Assemble the array; or, if the disk is no longer part of one, remove its signature: wipefs --backup."
        }
        Finding::Unusable(UnlockError::Unsupported(_)) => "Unlock it with cryptsetup, or remove its entry.",
        Finding::Unusable(UnlockError::Circle(_)) => "Put the key, the header or the device of one of them elsewhere.",
        Finding::Unusable(_) => "luksmith luksDump shows what it is.",
        Finding::NoKeyslot => "Add a passphrase with luksAddKey.",
        Finding::TooLarge { .. } => "Give it a smaller cost: luksConvertKey --pbkdf-memory.",
        Finding::Copies(_) => "luksmith repair restores it from the other copy.",
        Finding::NoKeyFile(_) => "Correct its path in crypttab, or put it there.",
        Finding::OpenKeyFile(_) => "Run chmod 0400 on it.",
        Finding::WeakKeyslot { .. } => "Give it higher costs: luksConvertKey.",
        Finding::NoBackup => {
            "Make one with luksHeaderBackup, keep it on another disk, and name its folder with --backup."
        }
    }
}
