//! Which device a [`DeviceSpec`] means at this moment, by a look of our own at every block device: no udev is needed.
//!
//! A member of an array shows what the array holds, and so do a leg of a mirror, a path of a multipath device and a
//! snapshot. To write to a part is to destroy the whole, so that a part is never what is meant by a UUID or a label: the
//! whole is waited for.

mod description;
mod parts;
mod seen;

use std::cell::OnceCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::source::DeviceSpec;
use crate::block_device::{self, DevNo, Identity, PartitionNames, identify, is_held, partition_names};

pub use self::description::Description;
pub(super) use self::seen::Seen;

/// The devices that there are now. What is on one is read once, and only when it is asked for.
#[derive(Debug)]
pub struct Devices(Vec<Device>);

#[derive(Debug)]
struct Device {
    kernel_name: String,
    number: DevNo,
    identity: OnceCell<Option<Identity>>,
    partition: OnceCell<PartitionNames>,
}

impl Devices {
    /// Looks which there are.
    pub fn now() -> Self {
        let devices = block_device::all().into_iter().map(|(kernel_name, number)| Device {
            kernel_name,
            number,
            identity: OnceCell::new(),
            partition: OnceCell::new(),
        });
        Self(devices.collect())
    }

    /// The path of the device or file that is meant; `None` where there is none yet.
    pub fn find(&self, spec: &DeviceSpec) -> Option<PathBuf> {
        self.all_of(spec).into_iter().next()
    }

    /// All that may be meant, the likeliest first: what nothing stands on, and of such what itself stands on others, a
    /// snapshot last. More than one are copies of each other.
    pub fn all_of(&self, spec: &DeviceSpec) -> Vec<PathBuf> {
        if let DeviceSpec::Path(path) = spec {
            return self.at_path(path).into_iter().collect();
        }
        let wholes = self.0.iter().filter(|device| device.is(spec));
        let mut wholes: Vec<&Device> = wholes
            .filter(|device| parts::whole_of(device.number).is_none())
            .collect();
        wholes.sort_by_key(|device| {
            let number = device.number;
            (is_held(number), parts::is_snapshot(number), !device.is_stacked())
        });
        wholes.into_iter().filter_map(|device| device.number.path()).collect()
    }

    /// The parts that were passed over in a search for the device, each with what it is a part of, in words; `None`
    /// where there are none.
    pub fn parts_of(&self, spec: &DeviceSpec) -> Option<String> {
        let parts = self.0.iter().filter(|device| device.is(spec)).filter_map(|device| {
            let whole = parts::whole_of(device.number)?;
            Some(format!("{} ({whole})", device.kernel_name))
        });
        let parts = parts.collect::<Vec<_>>().join(", ");
        (!parts.is_empty()).then_some(parts)
    }

    /// A path that is there. Of one of udev's links to a disk only the name at its end is known here.
    fn at_path(&self, path: &Path) -> Option<PathBuf> {
        if fs::metadata(path).is_ok() {
            return Some(path.to_owned());
        }
        // A node that is not there yet, while the kernel has the device.
        let name = path.strip_prefix("/dev").ok()?.to_str()?;
        let device = self.0.iter().find(|device| device.kernel_name == name)?;
        device.number.path()
    }
}

impl Device {
    fn is(&self, spec: &DeviceSpec) -> bool {
        let uuid = || self.identity().and_then(|identity| identity.uuid.as_deref());
        match spec {
            DeviceSpec::Path(_) => false,
            DeviceSpec::Uuid(wanted) => uuid() == Some(wanted),
            DeviceSpec::UuidPrefix(start) => {
                let luks = self.identity().is_some_and(|identity| identity.kind == "crypto_LUKS");
                luks && uuid().is_some_and(|uuid| uuid.starts_with(start.as_str()))
            }
            DeviceSpec::Label(wanted) => self.identity().and_then(|identity| identity.label.as_ref()) == Some(wanted),
            DeviceSpec::PartUuid(wanted) => self.partition().uuid.as_ref() == Some(wanted),
            DeviceSpec::PartLabel(wanted) => self.partition().label.as_ref() == Some(wanted),
            DeviceSpec::Serial(wanted) => block_device::drive(self.number).0.as_ref() == Some(wanted),
        }
    }

    fn identity(&self) -> Option<&Identity> {
        let read = || identify(&mut File::open(self.number.path()?).ok()?).ok()?;
        self.identity.get_or_init(read).as_ref()
    }

    fn partition(&self) -> &PartitionNames {
        self.partition.get_or_init(|| partition_names(self.number))
    }

    fn is_stacked(&self) -> bool {
        self.kernel_name.starts_with("dm-") || self.kernel_name.starts_with("md")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_and_described() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(1 << 20).expect("its size");
        let devices = Devices(Vec::new());
        let spec = DeviceSpec::Path(file.path().to_owned());
        assert_eq!(devices.find(&spec).as_deref(), Some(file.path()));
        assert_eq!(Description::of(file.path()).to_string(), "1 MiB");
        assert_eq!(devices.find(&DeviceSpec::Path("/nonexistent".into())), None);
        assert_eq!(devices.find(&DeviceSpec::Label("none".into())), None);
    }
}
