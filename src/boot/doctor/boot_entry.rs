//! Which initramfs will boot, and with which kernel arguments: the default of GRUB, systemd-boot (also unified kernel images)
//! or extlinux, or else the newest image in /boot. All files are read below one folder, the system's root.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use super::below::{self, text_of};
use super::grub::{self, Start, Starts};
use super::unified;

/// Mount points of the file system that the loader reads.
const BOOTS: [&str; 4] = ["boot", "efi", "boot/efi", ""];

/// The most boot entries that are examined: each may cost the unpacking of an image.
const MOST_ENTRIES: usize = 100;

/// One boot entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BootEntry {
    /// The loader, as text.
    pub from: String,
    /// The images that are loaded together.
    pub images: Vec<PathBuf>,
    /// The kernel's command line, where it is known.
    pub arguments: Option<String>,
}

/// The boot entries of the system below `root`: of each boot loader the default one, or all that may be the default.
pub fn boot_entries(root: &Path) -> Vec<BootEntry> {
    let mut entries = Vec::new();
    for folder in ["boot/grub", "boot/grub2"] {
        match grub::read(root, &root.join(folder)) {
            Some(Starts::Default(start)) => entries.extend(of_grub(root, start, "the default")),
            Some(Starts::AnyOf(all)) => {
                entries.extend(all.into_iter().filter_map(|start| of_grub(root, start, "an entry")));
            }
            Some(Starts::LoaderEntries(name)) => {
                let found = loader_entries(&root.join("boot"), root, "GRUB");
                entries.extend(default_of(found, name.as_deref(), true));
            }
            None => {}
        }
    }
    for boot in BOOTS.iter().map(|boot| root.join(boot)) {
        let Some(text) = text_of(root, &boot.join("loader/loader.conf")) else {
            // Without a configuration, unified images may still boot by themselves.
            if entries.is_empty() {
                entries.extend(unified_images(&boot, root).into_iter().map(|(_, entry)| entry));
            }
            continue;
        };
        let chosen = text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("default")).then(|| words.next().map(str::to_owned))?
        });
        let mut found = loader_entries(&boot, root, "systemd-boot");
        found.extend(unified_images(&boot, root));
        entries.extend(default_of(found, chosen.as_deref(), false));
    }
    for path in ["boot/extlinux/extlinux.conf", "extlinux/extlinux.conf"] {
        entries.extend(extlinux(&root.join(path), root));
    }
    if entries.is_empty() {
        entries.extend(newest_image(&root.join("boot"), root));
    }
    entries.truncate(MOST_ENTRIES);
    entries
}

fn of_grub(root: &Path, start: Start, which: &str) -> Option<BootEntry> {
    let images = start
        .initrds
        .iter()
        .filter_map(|path| find(root, path))
        .collect::<Vec<_>>();
    let entry = BootEntry {
        from: format!("GRUB, {which} \"{}\"", start.title),
        images,
        arguments: Some(start.arguments),
    };
    (!entry.images.is_empty()).then_some(entry)
}

/// The file of a boot loader's path: on the loader's own file system, or in a subvolume.
fn find(root: &Path, path: &str) -> Option<PathBuf> {
    // A variable that names a device, or a device.
    let path = path
        .rsplit_once(')')
        .map_or(path, |(_, path)| path)
        .trim_start_matches('/');
    let in_boot = path.find("boot/").map(|at| &path[at..]);
    let below = BOOTS.iter().rev().map(|boot| root.join(boot).join(path));
    below
        .chain(in_boot.map(|path| root.join(path)))
        .find(|path| below::is_file(root, path))
}

/// The entries of the Boot Loader Specification, each with its name.
fn loader_entries(boot: &Path, root: &Path, loader: &str) -> Vec<(String, BootEntry)> {
    let of_file = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".conf")?.to_owned();
        let text = text_of(root, &path)?;
        let mut entry = BootEntry {
            from: format!("{loader}, the entry {name}"),
            ..BootEntry::default()
        };
        let mut arguments = Vec::new();
        let mut unified = None;
        for line in text.lines() {
            let (key, value) = line.trim().split_once(char::is_whitespace).unwrap_or_default();
            match key {
                "initrd" => {
                    // GRUB's entries may name several in one line, and end with the name of a variable.
                    let paths = value.split_whitespace().filter(|path| !path.starts_with('$'));
                    entry
                        .images
                        .extend(paths.filter_map(|path| find_from(boot, root, path)));
                }
                "options" => arguments.push(value.trim()),
                "uki" | "efi" => unified = find_from(boot, root, value.trim()),
                _ => {}
            }
        }
        entry.arguments = Some(arguments.join(" "));
        if let Some(image) = unified.filter(|_| entry.images.is_empty()) {
            entry = of_unified(root, &image, &entry.from)?;
        }
        (!entry.images.is_empty()).then_some((format!("{name}.conf"), entry))
    };
    files(&boot.join("loader/entries"), root)
        .into_iter()
        .filter_map(of_file)
        .collect()
}

fn find_from(boot: &Path, root: &Path, path: &str) -> Option<PathBuf> {
    let here = boot.join(path.trim_start_matches('/'));
    if below::is_file(root, &here) {
        Some(here)
    } else {
        find(root, path)
    }
}

/// The images that need no entry.
fn unified_images(boot: &Path, root: &Path) -> Vec<(String, BootEntry)> {
    let of_file = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        let entry = of_unified(root, &path, &format!("the unified kernel image {name}"))?;
        name.ends_with(".efi").then_some((name, entry))
    };
    let found = files(&boot.join("EFI/Linux"), root);
    found.into_iter().filter_map(of_file).collect()
}

fn of_unified(root: &Path, image: &Path, from: &str) -> Option<BootEntry> {
    let file = below::file(root, image).ok()?;
    unified::section(&file, b".initrd")?;
    Some(BootEntry {
        from: from.to_owned(),
        images: vec![image.to_owned()],
        arguments: unified::text(&file, b".cmdline"),
    })
}

/// The entry that a name or a pattern selects, the newest of several; without one the `newest`, or all.
fn default_of(mut found: Vec<(String, BootEntry)>, chosen: Option<&str>, newest: bool) -> Vec<BootEntry> {
    found.sort_by(|(one, _), (other, _)| by_version(one, other));
    let matches = |name: &str| {
        let stem = name.strip_suffix(".conf").unwrap_or(name);
        chosen.is_some_and(|pattern| is_like(pattern, name) || is_like(pattern, stem))
    };
    let at = found.iter().rposition(|(name, _)| matches(name));
    match at.or_else(|| newest.then(|| found.len().checked_sub(1))?) {
        Some(at) => vec![found.swap_remove(at).1],
        None => found.into_iter().map(|(_, entry)| entry).collect(),
    }
}

/// Whether a name matches a pattern, in which `*` matches anything.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The default label, or the only one.
fn extlinux(path: &Path, root: &Path) -> Option<BootEntry> {
    let text = text_of(root, path)?;
    let (mut chosen, mut labels) = (None, Vec::<(String, BootEntry)>::new());
    for line in text.lines() {
        let (key, value) = line.trim().split_once(char::is_whitespace).unwrap_or_default();
        let value = value.trim();
        let images = |paths: &str| {
            // From its own folder, too.
            let folder = path.parent().unwrap_or(root);
            let paths = paths.split(',').filter_map(|path| find_from(folder, root, path));
            paths.collect::<Vec<_>>()
        };
        let last = labels.last_mut().map(|(_, entry)| entry);
        match (key.to_ascii_lowercase().as_str(), last) {
            ("default", _) => chosen = Some(value.to_owned()),
            ("label", _) => labels.push((
                value.to_owned(),
                BootEntry {
                    from: format!("extlinux, the label {value}"),
                    ..BootEntry::default()
                },
            )),
            ("initrd", Some(entry)) => entry.images.extend(images(value)),
            ("append", Some(entry)) => {
                let named = value.split_whitespace().filter_map(|word| word.strip_prefix("initrd="));
                entry.images.extend(named.flat_map(images));
                entry.arguments = Some(value.to_owned());
            }
            _ => {}
        }
    }
    let at = labels
        .iter()
        .position(|(label, _)| Some(label) == chosen.as_ref())
        .unwrap_or(0);
    let entry = (at < labels.len()).then(|| labels.swap_remove(at).1)?;
    (!entry.images.is_empty()).then_some(entry)
}

/// The image of the newest kernel in a folder.
fn newest_image(boot: &Path, root: &Path) -> Option<BootEntry> {
    let version = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        let name = name.strip_suffix(".img").unwrap_or(name);
        let version = name
            .strip_prefix("initrd.img-")
            .or_else(|| name.strip_prefix("initramfs-"))?;
        let is_spare = version.contains("fallback") || version.contains("rescue") || version.ends_with(".bak");
        (!is_spare).then(|| version.to_owned())
    };
    let images = files(boot, root)
        .into_iter()
        .filter_map(|path| Some((version(&path)?, path)));
    let (version, path) = images.max_by(|(one, _), (other, _)| by_version(one, other))?;
    Some(BootEntry {
        from: format!("no boot loader's configuration is known, the newest kernel {version}"),
        images: vec![path],
        arguments: None,
    })
}

/// The files in a folder, in no particular order.
fn files(folder: &Path, root: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().flatten();
    all.map(|file| file.path())
        .filter(|path| below::is_file(root, path))
        .collect()
}

/// Numbers in a name compare as numbers.
fn by_version(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| {
        let mut parts: Vec<(u64, String)> = vec![(0, String::new())];
        for letter in text.chars() {
            let is_digit = letter.is_ascii_digit();
            if is_digit && parts.last().is_some_and(|(_, word)| !word.is_empty()) {
                parts.push((0, String::new()));
            }
            let Some((number, word)) = parts.last_mut() else {
                continue;
            };
            match letter.to_digit(10).filter(|_| is_digit) {
                Some(digit) => *number = number.saturating_mul(10).saturating_add(digit.into()),
                None => word.push(letter),
            }
        }
        parts
    };
    parts(one).cmp(&parts(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (less, more) in [
            ("6.9.1", "6.10.0"),
            ("6.1.0-9-amd64", "6.1.0-57-amd64"),
            ("linux", "linux2"),
            ("5", "6"),
        ] {
            assert_eq!(by_version(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(by_version(more, less), Ordering::Greater);
        }
    }

    #[test]
    fn patterns_have_stars() {
        for (pattern, name, like) in [
            ("debian-*", "debian-6.1.conf", true),
            ("*", "x", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("a", "ab", false),
            ("*.efi", "x.efi", true),
        ] {
            assert_eq!(is_like(pattern, name), like, "{pattern} {name}");
        }
    }
}
