//! `doctor`: whether the next boot will unlock this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::utsname::uname;
use serde_json::{Value, json};

use super::Context;
use super::secrets::Source;
use super::unlock::{CRYPTTAB, planned};
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::initramfs::budget::Budget;
use crate::initramfs::doctor::{self, Contents, Finding, Machine};

/// What lists the files in an initramfs: Debian's, dracut's and mkinitcpio's.
const LISTERS: [&str; 3] = ["lsinitramfs", "lsinitrd", "lsinitcpio"];
/// Where the system's keyboard is set: Debian's file, and systemd's.
const KEYBOARD: [&str; 2] = ["/etc/default/keyboard", "/etc/vconsole.conf"];

pub(super) fn doctor(cx: &Context<'_>) -> Result<(), CliError> {
    let crypttab = planned(cx)?;
    let passphrase = match cx.options.test_passphrase {
        true => Some(cx.passphrase(&Source::Ask, "Enter passphrase: ")?),
        false => None,
    };
    let keyboard = KEYBOARD.iter().filter_map(|path| fs::read_to_string(path).ok());
    let machine = Machine {
        initramfs: contents(cx.options.initramfs.as_deref()),
        budget: Budget::new(cx.options.memory_budget),
        backups: cx.options.backup.as_deref(),
        keyboard: &keyboard.collect::<String>(),
        passphrase: passphrase.as_ref(),
        has_crypttab: cx.options.crypttab.as_deref().unwrap_or(Path::new(CRYPTTAB)).exists(),
    };
    let findings = doctor::examine(&crypttab, &machine);
    let names: Vec<_> = crypttab.entries.iter().map(|entry| entry.name.as_str()).collect();
    cx.console.answer(
        || json!({ "volumes": names, "findings": findings.iter().map(as_json).collect::<Vec<Value>>() }),
        || match findings.len() {
            0 => format!("Nothing stands in the way of unlocking {}.\n", names.join(", ")),
            _ => findings.iter().map(as_text).collect(),
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

fn as_text((volume, finding): &(Option<String>, Finding)) -> String {
    let of = volume.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    format!("{of}{finding}.\n    {}\n", remedy(finding))
}

fn as_json((volume, finding): &(Option<String>, Finding)) -> Value {
    json!({ "volume": volume, "message": finding.to_string(), "remedy": remedy(finding) })
}

fn remedy(finding: &Finding) -> &'static str {
    match finding {
        Finding::NoInitramfs(_) => "Say which one with --initramfs: the file, or a folder with what is in it.",
        Finding::NoProgram | Finding::NoCrypttab => {
            "Install a hook of contrib/, give the entry the option x-initrd.attach, and make the initramfs anew."
        }
        Finding::NoModule(_) => {
            "Add it to the modules of the initramfs (initramfs-tools/modules, add_drivers, MODULES)."
        }
        Finding::NoKeymap(_) => "Put the keymap into the initramfs (KEYMAP=y, i18n, keymap), and make it anew.",
        Finding::Untypable => "Add a passphrase of plain letters, digits and signs with luksAddKey.",
        Finding::Config(_) => "Mend the line in crypttab, or the kernel argument.",
        Finding::NoDevice(_) | Finding::NoHeader(_) => "Plug it in, or mend its name: blkid shows the names there are.",
        Finding::StaleArray(_) => {
            "Assemble the array; or, if the disk is in none any more, take its signature away: wipefs --backup."
        }
        Finding::Unusable(_) => "luksmith luksDump shows what it is.",
        Finding::NoKeyslot => "Add a passphrase with luksAddKey.",
        Finding::TooLarge { .. } => "Give it a smaller cost: luksConvertKey --pbkdf-memory.",
        Finding::Copies(_) => "luksmith repair writes it anew from the other copy.",
        Finding::NoKeyFile(_) => "Mend its path in crypttab, or put it there.",
        Finding::OpenKeyFile(_) => "chmod 0400 it.",
        Finding::NoBackup => {
            "Make one with luksHeaderBackup, keep it on another disk, and name its folder with --backup."
        }
    }
}

/// What the initramfs holds: that of a folder, or of a file that a program of the generators can list.
fn contents(named: Option<&Path>) -> Result<Contents, String> {
    let release = uname().map(|names| names.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let usual = [
        "/boot/initrd.img-{}",
        "/boot/initramfs-{}.img",
        "/boot/initramfs-linux.img",
    ];
    let usual = usual.iter().map(|path| PathBuf::from(path.replace("{}", &release)));
    let path = match named {
        Some(path) => path.to_owned(),
        None => usual
            .into_iter()
            .find(|path| path.exists())
            .ok_or("there is none in /boot")?,
    };
    let mut names = Vec::new();
    if path.is_dir() {
        walk(&path, &mut names).map_err(|error| format!("{}: {error}", path.display()))?;
    } else {
        let listed = LISTERS
            .iter()
            .find_map(|lister| Command::new(lister).arg(&path).output().ok());
        let listed = listed.filter(|output| output.status.success());
        let listed = listed.ok_or_else(|| format!("{} cannot be listed", path.display()))?;
        // Some print a whole line of `ls -l`.
        let words = listed.stdout.split(u8::is_ascii_whitespace);
        names.extend(words.map(|word| String::from_utf8_lossy(word).into_owned()));
    }
    let version = names
        .iter()
        .find_map(|name| name.split_once("lib/modules/")?.1.split('/').next());
    let version = version.filter(|version| !version.is_empty()).unwrap_or(&release);
    let builtin = Path::new("/lib/modules").join(version).join("modules.builtin");
    let builtin = fs::read_to_string(builtin).unwrap_or_default();
    Ok(Contents { names, builtin })
}

fn walk(folder: &Path, names: &mut Vec<String>) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        names.push(file.path().to_string_lossy().into_owned());
        if file.file_type()?.is_dir() {
            walk(&file.path(), names)?;
        }
    }
    Ok(())
}
