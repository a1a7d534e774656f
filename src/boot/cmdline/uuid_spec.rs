//! The arguments for one LUKS volume, by its UUID or the start of it.

use super::kernel_args::KernelArgs;
use crate::boot::crypttab::{Entry, KeySource};
use crate::boot::options::VolumeOptions;
use crate::boot::source::DeviceSpec;

/// The arguments for one LUKS volume, by its UUID or the start of it.
#[derive(Debug, Default)]
pub(super) struct ByUuid {
    pub(super) uuid: String,
    pub(super) name: Option<String>,
    pub(super) data: Option<String>,
    pub(super) key: Option<String>,
    pub(super) options: Option<String>,
    /// Whether it is unlocked, and not only described.
    pub(super) wanted: bool,
}

impl ByUuid {
    /// Whether an entry's device is this one.
    pub(super) fn is_of(&self, source: &DeviceSpec) -> bool {
        !self.uuid.is_empty() && begins(source, &self.uuid)
    }

    /// Applies the arguments to a crypttab entry.
    pub(super) fn change(&self, entry: &mut Entry, warnings: &mut Vec<String>) {
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

    /// The entry of a volume that is in no crypttab.
    pub(super) fn entry(&self, args: &KernelArgs, warnings: &mut Vec<String>) -> Option<Entry> {
        let name = self.name.clone().unwrap_or_else(|| format!("luks-{}", self.uuid));
        let key = self.key.as_deref().or(args.key.as_deref()).unwrap_or("none");
        let options = self.options.as_deref().or(args.options.as_deref()).unwrap_or("luks");
        let mut entry = Entry::new(&name, "", key, options, warnings)?;
        if self.key.is_none() {
            args.search_for_key(&mut entry);
        }
        entry.source = match &self.data {
            Some(data) => DeviceSpec::parse(data),
            None if self.uuid.len() == 36 => DeviceSpec::Uuid(self.uuid.clone()),
            None => DeviceSpec::UuidPrefix(self.uuid.clone()),
        };
        entry.named_by_uuid = self.name.is_none();
        Some(entry)
    }
}

/// A UUID without the `luks-` that a mapping's name starts with.
pub(super) fn plain_uuid(uuid: &str) -> String {
    uuid.strip_prefix("luks-").unwrap_or(uuid).to_ascii_lowercase()
}

pub(super) fn is_uuid_start(text: &str) -> bool {
    let text = text.strip_prefix("luks-").unwrap_or(text);
    text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

pub(super) fn begins(source: &DeviceSpec, start: &str) -> bool {
    matches!(source, DeviceSpec::Uuid(uuid) | DeviceSpec::UuidPrefix(uuid) if uuid.starts_with(start))
}
