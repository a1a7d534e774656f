//! Which device a [`DeviceSpec`] means at this moment, by a look of our own at every block device: no udev is needed.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use keyslots::storage::Storage as _;
use keyslots::units::Bytes;

use super::source::DeviceSpec;
use crate::block_device::{self, DevNo, Identity, PartitionNames, identify, is_held, partition_names};

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
        if let DeviceSpec::Path(path) = spec {
            return self.at_path(path);
        }
        let mut found: Vec<&Device> = self.0.iter().filter(|device| device.is(spec)).collect();
        // A member of an array shows what the array holds, and so does a path of a multipath device: the device that
        // nothing stands on is the one to take, and of such the one that stands on others.
        found.sort_by_key(|device| (is_held(device.number), !device.is_stacked()));
        found.into_iter().find_map(|device| device.number.path())
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

/// What a person knows a device by: label, size, UUID, model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The label of what is on it.
    pub label: Option<String>,
    /// Its size.
    pub size: Option<Bytes>,
    /// The UUID of what is on it.
    pub uuid: Option<String>,
    /// The model of the drive.
    pub model: Option<String>,
}

impl Description {
    /// Asks the device, or the file.
    pub fn of(path: &Path) -> Self {
        let mut file = File::open(path).ok();
        let identity = file.as_mut().and_then(|file| identify(file).ok()?).unwrap_or_default();
        let number = DevNo::of_path(path).ok().flatten();
        Self {
            label: identity.label,
            uuid: identity.uuid,
            size: file.and_then(|mut file| file.size().ok()),
            model: number.and_then(|number| block_device::drive(number).1),
        }
    }
}

impl std::fmt::Display for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            self.label.as_ref().map(|label| format!("label {label}")),
            self.size.map(in_round_units),
            self.model.clone(),
            self.uuid.as_ref().map(|uuid| format!("UUID {uuid}")),
        ];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        // Whoever can write to the disk has written the label: it may not act on a terminal.
        f.write_str(&text.replace(char::is_control, "\u{fffd}"))
    }
}

/// A size as a person says it: three digits at the most, where that loses no more than a tenth.
fn in_round_units(size: Bytes) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut whole, mut tenths, mut unit) = (size.get(), 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = (whole % 1024) * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if whole < 10 && tenths > 0 {
        format!("{whole}.{tenths} {}", UNITS[unit])
    } else {
        format!("{whole} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_round() {
        let text = |bytes| in_round_units(Bytes::new(bytes));
        assert_eq!(text(512), "512 B");
        assert_eq!(text(16 << 20), "16 MiB");
        assert_eq!(text((3 << 30) + (600 << 20)), "3.5 GiB");
        assert_eq!(text(500_107_862_016), "465 GiB");
        assert_eq!(text(u64::MAX), "16383 PiB");
    }

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
