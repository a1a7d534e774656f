//! What the kernel's command line says of volumes, in the words of systemd and dracut (`rd.luks.*`), of mkinitcpio
//! (`cryptdevice=`, `cryptkey=`, `crypto=`) and of Debian (`cryptopts=`), and what becomes of a crypttab under it.

use std::path::Path;
use std::time::Duration;

use keyslots::units::Bytes;

use super::crypttab::{Crypttab, Entry, KeySource};
use super::options::{VolumeOptions, duration};
use super::source::{DeviceSpec, Place};

/// mkinitcpio takes this file where no other key is named and the file is there.
const DEFAULT_KEY: &str = "/crypto_keyfile.bin";

/// What was said for one LUKS volume, by its UUID or the start of it.
#[derive(Debug, Default)]
struct ByUuid {
    uuid: String,
    name: Option<String>,
    data: Option<String>,
    key: Option<String>,
    options: Option<String>,
    /// Whether it is to be opened, and not only described.
    wanted: bool,
}

/// Everything that was said.
#[derive(Debug, Default)]
struct Said {
    disabled: bool,
    without_crypttab: bool,
    volumes: Vec<ByUuid>,
    others: Vec<(DeviceSpec, Option<String>)>,
    entries: Vec<Entry>,
    /// The key and the options of volumes for which none were said.
    key: Option<String>,
    options: Option<String>,
    discard: bool,
    discard_of: Vec<String>,
    timeout: Option<Duration>,
    resume: Option<DeviceSpec>,
    root: Option<DeviceSpec>,
    /// Whether `cryptopts` was given, and never with a value.
    only_empty_cryptopts: Option<bool>,
    crypto: Option<String>,
    cryptkey: Option<String>,
    warnings: Vec<String>,
}

/// What is to be unlocked: the crypttab as the kernel's command line changes it. A device to resume from comes first,
/// the root next, the others in their order.
pub fn plan(crypttab: Crypttab, command_line: &str) -> Crypttab {
    let said = Said::read(command_line);
    let mut warnings = crypttab.warnings;
    if said.disabled || said.only_empty_cryptopts == Some(true) {
        warnings.extend(said.warnings);
        return Crypttab {
            entries: Vec::new(),
            warnings,
        };
    }
    let selected = said.volumes.iter().any(|volume| volume.wanted);
    let mut entries = Vec::new();
    let mut matched = Vec::new();
    for mut entry in crypttab.entries {
        let volume = said.volumes.iter().position(|volume| volume.is_of(&entry.source));
        let wanted = volume.is_some_and(|at| said.volumes[at].wanted);
        // A volume that is named on the kernel's command line has its crypttab line for everything else.
        if !wanted && (said.without_crypttab || selected) {
            continue;
        }
        if let Some(at) = volume {
            matched.push(at);
            said.volumes[at].change(&mut entry, &mut warnings);
        }
        entries.push(entry);
    }
    for (at, volume) in said.volumes.iter().enumerate() {
        if volume.wanted && !matched.contains(&at) {
            entries.extend(volume.entry(&said, &mut warnings));
        }
    }
    entries.extend(
        said.others
            .iter()
            .filter_map(|(source, name)| said.other(source, name.as_deref())),
    );
    for entry in &said.entries {
        entries.retain(|other: &Entry| other.name != entry.name);
        entries.push(entry.clone());
    }
    for entry in &mut entries {
        entry.options.discard |= said.discard || said.discard_of.iter().any(|start| begins(&entry.source, start));
        entry.options.timeout = entry.options.timeout.or(said.timeout);
    }
    let rank = |entry: &Entry| match () {
        () if said
            .resume
            .as_ref()
            .is_some_and(|device| is_mapping(device, &entry.name)) =>
        {
            0
        }
        () if said.root.as_ref().is_some_and(|device| is_mapping(device, &entry.name)) => 1,
        () => 2,
    };
    entries.sort_by_key(rank);
    warnings.extend(said.warnings);
    let mut planned = Crypttab { entries, warnings };
    planned.keep_first_of_each_name();
    planned
}

impl Said {
    fn read(command_line: &str) -> Self {
        let mut said = Self::default();
        for word in words(command_line) {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            // What is for the initramfs alone stands behind `rd.`; it means the same here.
            said.take(name.strip_prefix("rd.").unwrap_or(name), value);
        }
        said.finish()
    }

    fn take(&mut self, name: &str, value: Option<&str>) {
        let text = value.unwrap_or_default();
        let off = matches!(text, "0" | "no" | "n" | "false" | "f" | "off");
        match name {
            "luks" => self.disabled = off,
            "luks.crypttab" => self.without_crypttab = off,
            "luks.uuid" => {
                let uuid = text.strip_prefix("keysource:").unwrap_or(text);
                if is_uuid_start(uuid) {
                    self.volume(uuid).wanted = true;
                } else {
                    self.warnings
                        .push(format!("kernel argument {name}={text} names no UUID, and is ignored"));
                }
            }
            "luks.name" => self.of_uuid(name, text, |volume, name| {
                volume.name = Some(name);
                volume.wanted = true;
            }),
            "luks.data" => self.of_uuid(name, text, |volume, data| volume.data = Some(data)),
            "luks.key" => match text.split_once('=').filter(|(uuid, _)| is_uuid_start(uuid)) {
                Some((uuid, key)) => self.volume(uuid).key = Some(key.to_owned()),
                None => self.dracut_key(text),
            },
            "luks.options" => match text.split_once('=').filter(|(uuid, _)| is_uuid_start(uuid)) {
                Some((uuid, options)) => self.volume(uuid).options = Some(options.to_owned()),
                None => self.options = Some(text.to_owned()),
            },
            "luks.allow-discards" => match value {
                None | Some("") => self.discard = true,
                Some("1" | "yes") => self.discard = true,
                Some(_) if off => {}
                Some(uuid) => self.discard_of.push(plain_uuid(uuid)),
            },
            "luks.timeout" => match duration(text) {
                Some(time) => self.timeout = Some(time),
                None => self
                    .warnings
                    .push(format!("kernel argument {name}={text} is no time, and is ignored")),
            },
            "luks.partuuid" => self
                .others
                .push((DeviceSpec::PartUuid(text.to_ascii_lowercase()), None)),
            "luks.serial" => self.others.push((DeviceSpec::Serial(text.to_owned()), None)),
            "cryptdevice" => self.cryptdevice(text),
            "cryptkey" => self.cryptkey = Some(text.to_owned()),
            "crypto" => self.crypto = Some(text.to_owned()),
            "cryptopts" => self.cryptopts(text),
            "resume" => self.resume = Some(DeviceSpec::parse(text)),
            "root" => self.root = Some(DeviceSpec::parse(text)),
            _ => {}
        }
    }

    /// What was said of a UUID so far.
    fn volume(&mut self, uuid: &str) -> &mut ByUuid {
        let uuid = plain_uuid(uuid);
        let at = self
            .volumes
            .iter()
            .position(|volume| volume.uuid == uuid)
            .unwrap_or_else(|| {
                self.volumes.push(ByUuid {
                    uuid,
                    ..ByUuid::default()
                });
                self.volumes.len() - 1
            });
        &mut self.volumes[at]
    }

    fn of_uuid(&mut self, name: &str, text: &str, set: impl FnOnce(&mut ByUuid, String)) {
        match text
            .split_once('=')
            .filter(|(uuid, value)| is_uuid_start(uuid) && !value.is_empty())
        {
            Some((uuid, value)) => set(self.volume(uuid), value.to_owned()),
            None => {
                let warning =
                    format!("kernel argument {name}={text} is not of the form <uuid>=<value>, and is ignored");
                self.warnings.push(warning);
            }
        }
    }

    /// `<path>[:<key device>[:<volume>]]`, as dracut has it; the first two as systemd has them.
    fn dracut_key(&mut self, text: &str) {
        let place = Place::parse(text);
        let of_volume = place.device.as_ref().and_then(|volume| {
            let rest = Place::parse(place.path.to_str()?);
            Some((rest.device.is_some(), place.path.to_str()?.to_owned(), volume.clone()))
        });
        match of_volume {
            Some((true, key, DeviceSpec::Uuid(uuid))) => self.volume(&uuid).key = Some(key),
            _ => self.key = Some(text.to_owned()),
        }
    }

    /// `<device>:<name>[:<options>]`, the device perhaps with colons in it.
    fn cryptdevice(&mut self, text: &str) {
        let parts: Vec<&str> = text.split(':').collect();
        let (device, name, options) = match parts.as_slice() {
            [device, name] => (*device, *name, ""),
            [device, name, options] => (*device, *name, *options),
            _ => {
                let warning =
                    format!("kernel argument cryptdevice={text} is not of the form <device>:<name>[:<options>]");
                self.warnings.push(warning);
                return;
            }
        };
        let mut problems = Vec::new();
        self.entries
            .extend(Entry::new(name, device, "none", options, &mut problems));
        self.warnings.extend(
            problems
                .into_iter()
                .map(|problem| format!("kernel argument cryptdevice: {problem}")),
        );
    }

    /// `target=…,source=…,key=…` with the options of the fourth field among them.
    fn cryptopts(&mut self, text: &str) {
        self.only_empty_cryptopts = Some(self.only_empty_cryptopts.unwrap_or(true) && text.is_empty());
        if text.is_empty() {
            return;
        }
        let (mut name, mut source, mut key, mut options) = ("cryptroot", None, "none", Vec::new());
        for word in text.split(',') {
            match word.split_once('=') {
                Some(("target", value)) => name = value,
                Some(("source", value)) => source = Some(value),
                Some(("key", value)) => key = value,
                _ => options.push(word),
            }
        }
        let Some(source) = source else {
            self.warnings
                .push("kernel argument cryptopts has no source=, and is ignored".into());
            return;
        };
        let mut problems = Vec::new();
        self.entries
            .extend(Entry::new(name, source, key, &options.join(","), &mut problems));
        self.warnings.extend(
            problems
                .into_iter()
                .map(|problem| format!("kernel argument cryptopts: {problem}")),
        );
    }

    /// `cryptkey=` and `crypto=` are for every `cryptdevice=`, wherever they stand.
    fn finish(mut self) -> Self {
        let key = self.cryptkey.take();
        let crypto = self.crypto.take();
        for entry in &mut self.entries {
            if entry.key != KeySource::Ask {
                continue;
            }
            match &key {
                Some(key) => cryptkey(key, entry, &mut self.warnings),
                None if Path::new(DEFAULT_KEY).exists() => entry.key = KeySource::File(Place::parse(DEFAULT_KEY)),
                None => {}
            }
            if let Some(crypto) = &crypto {
                plain_parameters(crypto, entry, &mut self.warnings);
            }
        }
        self
    }

    /// A volume that is named by something else than a LUKS UUID.
    fn other(&self, source: &DeviceSpec, name: Option<&str>) -> Option<Entry> {
        let name = name.map_or_else(
            || match source {
                DeviceSpec::PartUuid(value) | DeviceSpec::Serial(value) => format!("luks-{value}"),
                other => format!("luks-{other}"),
            },
            str::to_owned,
        );
        let options = self.options.clone().unwrap_or_default();
        let mut entry = Entry::new(
            &name,
            "",
            self.key.as_deref().unwrap_or("none"),
            &options,
            &mut Vec::new(),
        )?;
        entry.source = source.clone();
        Some(entry)
    }
}

impl ByUuid {
    /// Whether an entry's device is this one.
    fn is_of(&self, source: &DeviceSpec) -> bool {
        !self.uuid.is_empty() && begins(source, &self.uuid)
    }

    /// Changes a crypttab entry to what was said.
    fn change(&self, entry: &mut Entry, warnings: &mut Vec<String>) {
        if let Some(name) = &self.name {
            entry.name.clone_from(name);
        }
        if let Some(data) = &self.data {
            entry.source = DeviceSpec::parse(data);
        }
        if let Some(list) = &self.options {
            entry.options = VolumeOptions::parse(list, warnings);
        }
        if let Some(key) = &self.key {
            entry.key = KeySource::of(key, &entry.options);
        }
    }

    /// The entry of a volume that no crypttab has.
    fn entry(&self, said: &Said, warnings: &mut Vec<String>) -> Option<Entry> {
        let name = self.name.clone().unwrap_or_else(|| format!("luks-{}", self.uuid));
        let key = self.key.as_deref().or(said.key.as_deref()).unwrap_or("none");
        let options = self.options.as_deref().or(said.options.as_deref()).unwrap_or("luks");
        let mut entry = Entry::new(&name, "", key, options, warnings)?;
        entry.source = match &self.data {
            Some(data) => DeviceSpec::parse(data),
            None if self.uuid.len() == 36 => DeviceSpec::Uuid(self.uuid.clone()),
            None => DeviceSpec::UuidPrefix(self.uuid.clone()),
        };
        entry.named_by_uuid = self.name.is_none();
        Some(entry)
    }
}

/// `rootfs:<path>`, `<device>:<file system>:<path>`, or `<device>:<offset>:<size>` in bytes.
fn cryptkey(text: &str, entry: &mut Entry, warnings: &mut Vec<String>) {
    if let Some(path) = text.strip_prefix("rootfs:") {
        entry.key = KeySource::File(Place::parse(path));
        return;
    }
    let mut parts = text.splitn(3, ':');
    let (Some(device), Some(second), Some(third)) = (parts.next(), parts.next(), parts.next()) else {
        warnings.push(format!(
            "kernel argument cryptkey={text} is not of a form that mkinitcpio knows, and is ignored"
        ));
        return;
    };
    match (second.parse::<u64>(), third.parse::<u64>()) {
        (Ok(offset), Ok(size)) => {
            entry.options.keyfile_offset = Some(Bytes::new(offset));
            entry.options.keyfile_size = Some(Bytes::new(size));
            entry.key = KeySource::Raw(DeviceSpec::parse(device));
        }
        // The type of the file system is what the device says it is.
        _ => {
            entry.key = KeySource::File(Place {
                path: third.into(),
                device: Some(DeviceSpec::parse(device)),
            });
        }
    }
}

/// `<hash>:<cipher>:<key size>:<offset>:<skip>`, each of which may be empty: a plain volume.
fn plain_parameters(text: &str, entry: &mut Entry, warnings: &mut Vec<String>) {
    let parts: Vec<&str> = text.split(':').collect();
    let [hash, cipher, size, offset, skip] = parts.as_slice() else {
        warnings.push(format!(
            "kernel argument crypto={text} does not have five parts, and is ignored"
        ));
        return;
    };
    let given = [
        ("hash", hash),
        ("cipher", cipher),
        ("size", size),
        ("offset", offset),
        ("skip", skip),
    ];
    let given = given.iter().filter(|(_, value)| !value.is_empty());
    let list: Vec<_> = given.map(|(name, value)| format!("{name}={value}")).collect();
    let plain = VolumeOptions::parse(&format!("plain,{}", list.join(",")), warnings);
    let options = &mut entry.options;
    options.kind = plain.kind;
    options.hash = plain.hash;
    options.cipher = plain.cipher;
    options.size = plain.size;
    options.offset = plain.offset;
    options.skip = plain.skip;
}

/// A UUID without the `luks-` that a mapping's name starts with.
fn plain_uuid(uuid: &str) -> String {
    uuid.strip_prefix("luks-").unwrap_or(uuid).to_ascii_lowercase()
}

fn is_uuid_start(text: &str) -> bool {
    let text = text.strip_prefix("luks-").unwrap_or(text);
    text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn begins(source: &DeviceSpec, start: &str) -> bool {
    matches!(source, DeviceSpec::Uuid(uuid) | DeviceSpec::UuidPrefix(uuid) if uuid.starts_with(start))
}

fn is_mapping(device: &DeviceSpec, name: &str) -> bool {
    matches!(device, DeviceSpec::Path(path) if path == &Path::new("/dev/mapper").join(name))
}

/// The words of a command line; double quotes keep blanks together, as the kernel has it. What follows `--` is for the
/// first process.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars().chain([' ']) {
        match letter {
            '"' => quoted = !quoted,
            blank if blank.is_ascii_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word.trim_end().to_owned());
    }
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    words.truncate(end);
    words
}

#[cfg(test)]
mod tests;
