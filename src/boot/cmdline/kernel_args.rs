//! Parsing the arguments one by one.

use std::path::Path;
use std::time::Duration;

use super::mkinitcpio::{cryptkey, plain_parameters};
use super::tokenize::words;
use super::uuid_spec::{ByUuid, is_uuid_start, plain_uuid};
use crate::boot::crypttab::{Entry, KeySource};
use crate::boot::options::duration;
use crate::boot::source::{DeviceSpec, Place};

/// mkinitcpio uses this file if no other key is named and the file exists.
const DEFAULT_KEY: &str = "/crypto_keyfile.bin";

/// The contents of all arguments.
#[derive(Debug, Default)]
pub(super) struct KernelArgs {
    pub(super) disabled: bool,
    pub(super) without_crypttab: bool,
    pub(super) volumes: Vec<ByUuid>,
    pub(super) others: Vec<(DeviceSpec, Option<String>)>,
    pub(super) entries: Vec<Entry>,
    /// The key and the options of volumes without their own.
    pub(super) key: Option<String>,
    pub(super) options: Option<String>,
    pub(super) discard: bool,
    pub(super) discard_of: Vec<String>,
    pub(super) timeout: Option<Duration>,
    pub(super) resume: Option<DeviceSpec>,
    pub(super) root: Option<DeviceSpec>,
    /// Whether `cryptopts` was given, and never with a value.
    pub(super) only_empty_cryptopts: Option<bool>,
    pub(super) crypto: Option<String>,
    pub(super) cryptkey: Option<String>,
    pub(super) warnings: Vec<String>,
}

impl KernelArgs {
    pub(super) fn read(command_line: &str) -> Self {
        let mut args = Self::default();
        for word in words(command_line) {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            // Arguments for the initramfs alone start with `rd.`; they mean the same here.
            args.take(name.strip_prefix("rd.").unwrap_or(name), value);
        }
        args.finish()
    }

    fn take(&mut self, name: &str, value: Option<&str>) {
        let text = value.unwrap_or_default();
        let off = matches!(text, "0" | "no" | "n" | "false" | "f" | "off");
        match name {
            "luks" | "luks.enabled" => self.disabled = off,
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

    /// The arguments for a UUID so far.
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

    /// `<path>[:<key device>[:<volume>]]`, as in dracut; the first two as in systemd.
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

    /// `target=…,source=…,key=…` mixed with the options of the fourth field.
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

    /// `cryptkey=` and `crypto=` apply to every `cryptdevice=`, in any order.
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

    /// A volume that is named by something other than a LUKS UUID.
    pub(super) fn other(&self, source: &DeviceSpec, name: Option<&str>) -> Option<Entry> {
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
        self.search_for_key(&mut entry);
        Some(entry)
    }

    /// A key that only has a path may be on any device, as in dracut.
    pub(super) fn search_for_key(&self, entry: &mut Entry) {
        if let KeySource::File(place) = &entry.key
            && place.device.is_none()
            && !place.path.starts_with("/dev")
            && self.key.is_some()
        {
            entry.key = KeySource::Search(place.path.clone());
        }
    }
}
