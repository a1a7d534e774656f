//! Every open volume and every other device of the device-mapper, whether the kernel maps it or it is served without.

use keyslots::units::{Bytes, Sectors};

use super::CryptError;
use crate::dm::{DeviceId, Dm, DmErrorKind};
use crate::mapping::health::{Reason, Thresholds};
use crate::mapping::{self, Examined, Mapping, Mappings, VolumeKind};
use crate::userspace::{Registry, Served};
use crate::volume;

/// The devices, sorted by name. A mapped volume comes before a served one of the same name.
#[derive(Debug)]
pub struct List {
    dm: Option<Dm>,
    /// The devices.
    pub entries: Vec<Entry>,
}

/// A device.
#[derive(Debug)]
pub enum Entry {
    /// A mapping, with the device that a volume is on.
    Mapped(Mapping, Option<String>),
    /// A volume that is served without the device-mapper.
    Served(Served),
}

/// What needs another query for each device.
#[derive(Debug)]
pub struct EntryDetails {
    /// The size, where it is known.
    pub size: Option<Sectors>,
    /// The types of a mapping's targets.
    pub targets: Vec<String>,
    /// What is wrong with a mapping; `None` where that was not asked.
    pub(crate) reasons: Option<Vec<Reason>>,
}

/// Lists them. A kernel without a device-mapper has mapped nothing; and a user who is denied access to it may have served
/// volumes.
///
/// # Errors
/// [`CryptError::Volume`]: the device-mapper's.
pub fn list() -> Result<List, CryptError> {
    let served = Registry::existing().map(|registry| registry.list()).unwrap_or_default();
    let dm = match Dm::open() {
        Ok(dm) => Some(dm),
        Err(error) if error.kind() == DmErrorKind::NoDeviceMapper => None,
        Err(error) if error.kind() == DmErrorKind::Denied && !served.is_empty() => None,
        Err(error) => return Err(error.into()),
    };
    let mut entries = Vec::new();
    if let Some(dm) = &dm {
        let all = Mappings::enumerate(dm)?;
        entries.extend(all.iter().map(|mapping| Entry::mapped(dm, mapping)));
    }
    entries.extend(served.into_iter().map(Entry::Served));
    entries.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(List { dm, entries })
}

impl Entry {
    fn mapped(dm: &Dm, mapping: &Mapping) -> Self {
        // Other devices are listed as the kernel lists them: without further queries.
        let volume = mapping.uuid.as_ref().and_then(VolumeKind::of_dm_uuid);
        // A device that was removed meanwhile, or is not a crypt target, has no device of its own.
        let active = volume.and_then(|_| volume::state(dm, &mapping.name).ok());
        Self::Mapped(mapping.clone(), active.map(|active| active.device_text()))
    }

    fn name(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping, _) => mapping.name.as_bytes(),
            Self::Served(served) => served.name.as_bytes(),
        }
    }
}

impl List {
    /// What another query tells of one of them.
    pub fn details(&self, entry: &Entry) -> EntryDetails {
        match entry {
            Entry::Mapped(mapping, _) => {
                let examine = |dm| Examined::of(dm, &DeviceId::Number(mapping.number), true).ok();
                // One that was removed meanwhile has none.
                let examined = self.dm.as_ref().and_then(examine);
                EntryDetails {
                    size: mapping::size(mapping.number),
                    targets: examined.as_ref().map(Examined::kinds).unwrap_or_default(),
                    reasons: examined.map(|examined| examined.reasons(Thresholds::default())),
                }
            }
            Entry::Served(served) => EntryDetails {
                size: served.size().map(Bytes::sectors),
                targets: Vec::new(),
                reasons: None,
            },
        }
    }
}
