//! Mappings: the devices of the device-mapper, and their relations to each other and to the rest of the system.
//!
//! The one source for `list`, `info`, `status`, `deps` and a volume's own status. It returns types and prints nothing.

pub(crate) mod describe;
mod device_text;
mod examine;
pub(crate) mod health;
mod kind;
pub(crate) mod lvm;
mod stack;
mod tree;

use std::fs;
use std::path::Path;

use keyslots::units::Sectors;

use crate::block_device::{DevNo, Holder, holders};
use crate::dm::{
    DeviceId, DeviceInfo, DeviceName, DeviceUuid, Dm, DmError, DmErrorKind, Mangling, NameError, Table, TableError,
    Which, nodes,
};

pub(crate) use device_text::device_text;
pub(crate) use examine::{Examined, ExaminedTarget};
pub use kind::VolumeKind;
pub use stack::{Layer, LayerKind, Stack};
pub use tree::{Node, Tree};

/// All devices, as of one point in time.
#[derive(Debug)]
pub struct Mappings {
    entries: Vec<Mapping>,
}

/// One device of the device-mapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its name.
    pub name: DeviceName,
    /// Its number.
    pub number: DevNo,
    /// Its UUID, where it has one.
    pub uuid: Option<DeviceUuid>,
    /// The number of its last event.
    pub event_nr: u32,
}

/// A text that does not name a device.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It is not a valid device name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It is a path that leads to something other than a device of the device-mapper.
    #[error("{path} is not a device of the device-mapper")]
    NotMapped {
        /// The path.
        path: String,
    },
}

impl Mappings {
    /// Lists all devices: one request, or one more for each device where an old kernel's list lacks the UUIDs.
    ///
    /// # Errors
    /// The device-mapper's.
    pub fn enumerate(dm: &Dm) -> Result<Self, DmError> {
        // Collected into the allocation of the list.
        let entries = dm.list()?.into_iter().filter_map(|entry| {
            let (uuid, event_nr) = match (entry.uuid, entry.event_nr) {
                (Some(uuid), Some(event_nr)) => (uuid, event_nr),
                _ => match dm.info(&DeviceId::Number(entry.number)) {
                    Ok(info) => (info.uuid, info.event_nr),
                    // It was removed since it was listed.
                    Err(error) if error.is_not_found() => return None,
                    Err(error) => return Some(Err(error)),
                },
            };
            Some(Ok(Mapping {
                name: entry.name,
                number: entry.number,
                uuid,
                event_nr,
            }))
        });
        let entries = entries.collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// The devices in the kernel's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Mapping> {
        self.entries.iter()
    }

    /// The number of devices.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The device with this number.
    pub fn by_number(&self, number: DevNo) -> Option<&Mapping> {
        self.entries.iter().find(|mapping| mapping.number == number)
    }

    /// The device with this name.
    pub fn by_name(&self, name: &DeviceName) -> Option<&Mapping> {
        self.entries.iter().find(|mapping| mapping.name == *name)
    }

    /// The device with this UUID.
    pub fn by_uuid(&self, uuid: &DeviceUuid) -> Option<&Mapping> {
        self.entries.iter().find(|mapping| mapping.uuid.as_ref() == Some(uuid))
    }
}

impl<'a> IntoIterator for &'a Mappings {
    type Item = &'a Mapping;
    type IntoIter = std::slice::Iter<'a, Mapping>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Finds the device that a person named: by a path to a node, or by name. A path that ends in the mapper directory names
/// a device even where its node is missing.
///
/// # Errors
/// [`LookupError`].
pub fn resolve(text: &str, mangling: Mangling) -> Result<DeviceId, LookupError> {
    if !text.contains('/') {
        return Ok(DeviceId::Name(DeviceName::mangled(text, mangling)?));
    }
    let path = Path::new(text);
    let not_mapped = || LookupError::NotMapped { path: text.to_owned() };
    if let Ok(Some(number)) = DevNo::of_path(path) {
        return if is_mapped(number) {
            Ok(DeviceId::Number(number))
        } else {
            Err(not_mapped())
        };
    }
    let name = path
        .strip_prefix(nodes::mapper_dir())
        .ok()
        .and_then(Path::to_str)
        .filter(|name| !name.contains('/'));
    Ok(DeviceId::Name(DeviceName::mangled(
        name.ok_or_else(not_mapped)?,
        mangling,
    )?))
}

/// Whether a number belongs to the device-mapper.
pub fn is_mapped(number: DevNo) -> bool {
    let devices = fs::read_to_string("/proc/devices").unwrap_or_default();
    majors_of(&devices, "device-mapper").contains(&number.major)
}

/// The block majors of a driver, from a text in the form of `/proc/devices`.
fn majors_of(devices: &str, driver: &str) -> Vec<u32> {
    let block = devices.lines().skip_while(|line| !line.starts_with("Block devices"));
    block
        .filter_map(|line| line.trim().split_once(' '))
        .filter(|(_, name)| *name == driver)
        .filter_map(|(major, _)| major.parse().ok())
        .collect()
}

/// The state of a device, `None` if there is no such device.
///
/// # Errors
/// The device-mapper's, except that there is no such device.
pub fn find(dm: &Dm, id: &DeviceId) -> Result<Option<DeviceInfo>, DmError> {
    match dm.info(id) {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.kind() == DmErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A device with its live table by type.
#[derive(Debug)]
pub struct Details {
    /// Its state, from the kernel.
    pub info: DeviceInfo,
    /// Its table; it may hold a key.
    pub table: Table,
}

/// The size of a device, from sysfs.
pub fn size(number: DevNo) -> Option<Sectors> {
    let text = fs::read_to_string(number.sysfs().join("size")).ok()?;
    text.trim().parse().ok().map(Sectors::new)
}

/// Errors of reading and parsing a table.
#[derive(Debug, thiserror::Error)]
pub enum DetailsError {
    /// The device-mapper refused.
    #[error(transparent)]
    Dm(#[from] DmError),
    /// The table is invalid.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A device with its live table, `None` if there is no such device.
///
/// # Errors
/// [`DetailsError`].
pub fn details(dm: &Dm, id: &DeviceId) -> Result<Option<Details>, DetailsError> {
    match dm.table(id, Which::Live) {
        Ok((info, text)) => Ok(Some(Details {
            info,
            table: Table::from_text(&text)?,
        })),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The users of a device: devices and file systems on it, and processes that have it open.
pub fn users(info: &DeviceInfo) -> Vec<Holder> {
    holders(info.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majors_are_those_of_block_devices() {
        let devices =
            "Character devices:\n 10 misc\n253 device-mapper\n\nBlock devices:\n  7 loop\n254 device-mapper\n";
        assert_eq!(majors_of(devices, "device-mapper"), [254]);
        assert!(majors_of("", "device-mapper").is_empty());
    }

    #[test]
    fn a_device_is_named_by_name_or_by_path() {
        let name = |text: &str| DeviceId::Name(DeviceName::new(text).expect("a name"));
        assert_eq!(resolve("vg-root", Mangling::Auto).expect("a name"), name("vg-root"));
        assert_eq!(resolve("a b", Mangling::Auto).expect("a name"), name("a\\x20b"));
        assert_eq!(
            resolve("/dev/mapper/nosuch", Mangling::Auto).expect("a name"),
            name("nosuch")
        );
        assert!(matches!(
            resolve("/dev/null", Mangling::Auto),
            Err(LookupError::NotMapped { .. })
        ));
        assert!(matches!(
            resolve("/dev/mapper/a/b", Mangling::Auto),
            Err(LookupError::NotMapped { .. })
        ));
        assert!(matches!(
            resolve("", Mangling::Auto),
            Err(LookupError::Name(NameError::Empty { .. }))
        ));
    }
}
