//! The kernel's command line, as far as it concerns volumes, in the syntax of systemd and dracut (`rd.luks.*`), of
//! mkinitcpio (`cryptdevice=`, `cryptkey=`, `crypto=`) and of Debian (`cryptopts=`), and its effect on a crypttab.

mod kernel_args;
mod mkinitcpio;
mod tokenize;
mod uuid_spec;

use std::path::Path;

use self::kernel_args::KernelArgs;
use self::uuid_spec::begins;
use super::crypttab::{Crypttab, Entry};
use super::dependencies::Dependencies;
use super::source::DeviceSpec;

/// The volumes to unlock: the crypttab as changed by the kernel's command line. A device to resume from comes first, the
/// root next, the others in their order.
pub fn plan(crypttab: Crypttab, command_line: &str) -> Crypttab {
    let args = KernelArgs::read(command_line);
    let mut warnings = crypttab.warnings;
    if args.disabled || args.only_empty_cryptopts == Some(true) {
        let by = if args.disabled { "luks" } else { "cryptopts" };
        warnings.push(format!("kernel argument {by} keeps all volumes from being unlocked"));
        warnings.extend(args.warnings);
        return Crypttab {
            entries: Vec::new(),
            warnings,
        };
    }
    let selected = args.volumes.iter().any(|volume| volume.wanted);
    let mut entries = Vec::new();
    let mut matched = Vec::new();
    for mut entry in crypttab.entries {
        let volume = args.volumes.iter().position(|volume| volume.is_of(&entry.source));
        let wanted = volume.is_some_and(|at| args.volumes[at].wanted);
        // A volume that is named on the kernel's command line takes everything else from its crypttab line.
        if !wanted && (args.without_crypttab || selected) {
            continue;
        }
        if let Some(at) = volume {
            matched.push(at);
            args.volumes[at].change(&mut entry, &mut warnings);
        }
        let devices = || args.root.iter().chain(&args.resume);
        if entry.options.noauto && (wanted || devices().any(|device| is_mapping(device, &entry.name))) {
            // The machine cannot start without it.
            entry.options.noauto = false;
        } else if entry.options.noauto && is_for_initramfs(&entry) {
            warnings.push(format!(
                "{}: noauto keeps it from being unlocked in the initramfs",
                entry.name
            ));
        }
        entries.push(entry);
    }
    for (at, volume) in args.volumes.iter().enumerate() {
        if volume.wanted && !matched.contains(&at) {
            entries.extend(volume.entry(&args, &mut warnings));
        }
    }
    entries.extend(
        args.others
            .iter()
            .filter_map(|(source, name)| args.other(source, name.as_deref())),
    );
    for entry in &args.entries {
        entries.retain(|other: &Entry| other.name != entry.name);
        entries.push(entry.clone());
    }
    for entry in &mut entries {
        entry.options.discard |= args.discard || args.discard_of.iter().any(|start| begins(&entry.source, start));
        entry.options.timeout = entry.options.timeout.or(args.timeout);
    }
    for (position, entry) in entries.iter_mut().enumerate() {
        entry.position = position;
    }
    let rank = |entry: &Entry| match () {
        () if args
            .resume
            .as_ref()
            .is_some_and(|device| is_mapping(device, &entry.name)) =>
        {
            0
        }
        () if args.root.as_ref().is_some_and(|device| is_mapping(device, &entry.name)) => 1,
        () => 2,
    };
    entries.sort_by_key(rank);
    warnings.extend(args.warnings);
    let mut planned = Crypttab { entries, warnings };
    planned.keep_first_of_each_name();
    unlock_what_is_needed(&mut planned.entries);
    planned
}

/// Entries that an unlocked entry needs are unlocked too, even with `noauto`. They do not count as required: if one fails,
/// the entry that needs it reports so.
fn unlock_what_is_needed(entries: &mut [Entry]) {
    let dependencies = Dependencies::of(entries);
    let mut wanted: Vec<usize> = (0..entries.len()).filter(|at| !entries[*at].options.noauto).collect();
    while let Some(at) = wanted.pop() {
        for &needed in dependencies.needs(at) {
            if std::mem::take(&mut entries[needed].options.noauto) {
                entries[needed].options.nofail = true;
                wanted.push(needed);
            }
        }
    }
}

/// Whether an entry asks to be unlocked before the root is mounted.
pub(super) fn is_for_initramfs(entry: &Entry) -> bool {
    let mut given = entry.options.given.iter();
    given.any(|(name, _)| matches!(name.as_str(), "initramfs" | "x-initrd.attach"))
}

/// The devices that a command line names as root, and to resume from.
pub(super) fn root_and_resume(command_line: &str) -> (Option<DeviceSpec>, Option<DeviceSpec>) {
    let args = KernelArgs::read(command_line);
    (args.root, args.resume)
}

fn is_mapping(device: &DeviceSpec, name: &str) -> bool {
    matches!(device, DeviceSpec::Path(path) if path == &Path::new("/dev/mapper").join(name))
}

#[cfg(test)]
mod tests;
