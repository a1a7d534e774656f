//! Finding the device that a [`DeviceSpec`] means, by scanning every block device: no udev is needed.
//!
//! A member of an array looks like the contents of the array, and so do a leg of a mirror, a path of a multipath device
//! and a snapshot. Writing to a part destroys the whole, so that a UUID or a label never means a part: the whole is
//! waited for.
//!
//! The signature of an array at a disk's end may be a remnant of the disk's former use, though. A partition of such a
//! disk is not a part as long as no array holds the disk: it is skipped at first, and used after a wait
//! ([`Devices::giving_way`]).

mod description;
mod membership;
mod probe_cache;

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use self::membership::Part;
use self::probe_cache::Slow;
use super::in_flight::InFlight;
use super::source::DeviceSpec;
use crate::block_device::{
    self, DevNo, Identity, PartitionNames, Probe, disk_of_partition, identify, is_held, partition_names,
};

pub use self::description::Description;

/// How long a device may take to return its signature; disks spin up in that time.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// A delay that a person does not notice.
const GLANCE: Duration = Duration::from_millis(500);

static IDENTITIES: Slow<Option<Identity>> = Slow::new();
static PARTITIONS: Slow<PartitionNames> = Slow::new();

/// The present devices. The signature of each is read once, and only on demand.
#[derive(Clone, Debug)]
pub struct Devices {
    all: Rc<[Device]>,
    /// Whether partitions of unclaimed disks are among them.
    unclaimed: bool,
}

#[derive(Debug)]
struct Device {
    kernel_name: String,
    number: DevNo,
    patience: Duration,
    identity: OnceCell<Option<Identity>>,
    partition: OnceCell<PartitionNames>,
}

impl Devices {
    /// Scans the devices.
    pub fn now() -> Self {
        Self::with_patience(PATIENCE)
    }

    /// Scans the devices, without waiting for those that do not answer at once: they count as missing until they have.
    pub fn at_a_glance() -> Self {
        Self::with_patience(GLANCE)
    }

    fn with_patience(patience: Duration) -> Self {
        let devices = block_device::all().into_iter().map(|(kernel_name, number)| Device {
            kernel_name,
            number,
            patience,
            identity: OnceCell::new(),
            partition: OnceCell::new(),
        });
        Self {
            all: devices.collect(),
            unclaimed: false,
        }
    }

    /// The same devices, and with them the partitions of disks that have the signature of an array, while no array holds
    /// them.
    pub fn giving_way(&self) -> Self {
        Self {
            all: self.all.clone(),
            unclaimed: true,
        }
    }

    /// The path of the device or file; `None` if it does not exist yet.
    pub fn find(&self, spec: &DeviceSpec) -> Option<PathBuf> {
        self.all_of(spec).into_iter().next()
    }

    /// All candidates, the likeliest first: those with nothing on top, and of such those that are on others. A snapshot
    /// comes last, even if its origin has something on top: its data are those of another day. If there is more than one,
    /// they are copies of each other.
    pub fn all_of(&self, spec: &DeviceSpec) -> Vec<PathBuf> {
        if let DeviceSpec::Path(path) = spec {
            return self.at_path(path).into_iter().collect();
        }
        let found = self.all.iter().filter(|device| device.is(spec)).filter_map(|device| {
            let part = membership::whole_of(device.number);
            let taken = part.as_ref().is_none_or(|part| self.unclaimed && !part.is_certain);
            taken.then_some((part.is_some(), device))
        });
        let mut found: Vec<(bool, &Device)> = found.collect();
        found.sort_by_key(|(unclaimed, device)| {
            let number = device.number;
            let is_stacked = device.is_stacked();
            (
                *unclaimed,
                membership::is_snapshot(number),
                is_held(number),
                !is_stacked,
            )
        });
        found
            .into_iter()
            .filter_map(|(_, device)| device.number.path())
            .collect()
    }

    /// All that may hold a file: their signature is known, and is not that of a container.
    pub fn with_file_systems(&self) -> Vec<PathBuf> {
        let holds_files = |device: &&Device| {
            let kind = device.identity().map(|identity| identity.kind);
            kind.is_some_and(|kind| !matches!(kind, "crypto_LUKS" | "swap" | "LVM2_member"))
                && membership::whole_of(device.number).is_none_or(|part| self.unclaimed && !part.is_certain)
        };
        let all = self.all.iter().filter(holds_files);
        all.filter_map(|device| device.number.path()).collect()
    }

    /// Whether some device has yet to answer: a device that was not found may exist anyway.
    pub fn owe_answers(&self) -> bool {
        IDENTITIES.is_owed(None) || PARTITIONS.is_owed(None) || membership::owe_answers()
    }

    /// Whether a path can be read without a wait: a block device that answers, or no block device.
    pub fn answers(&self, path: &Path) -> bool {
        let Some(number) = number_of(path) else {
            return true;
        };
        let device = self.all.iter().find(|device| device.number == number);
        // It has been probed by now.
        device.and_then(Device::identity);
        !IDENTITIES.is_owed(Some(number))
    }

    /// Whether the device at a path is a snapshot of another one.
    pub fn is_snapshot(&self, path: &Path) -> bool {
        number_of(path).is_some_and(membership::is_snapshot)
    }

    /// The parts that were skipped in a search for the device, each with its whole, as text; `None` if there are none.
    pub fn parts_of(&self, spec: &DeviceSpec) -> Option<String> {
        self.passed_over(spec, |_| true)
    }

    /// Those of them that [`Self::giving_way`] uses.
    pub fn unclaimed_of(&self, spec: &DeviceSpec) -> Option<String> {
        self.passed_over(spec, |part| !part.is_certain)
    }

    fn passed_over(&self, spec: &DeviceSpec, which: impl Fn(&Part) -> bool) -> Option<String> {
        let parts = self.all.iter().filter(|device| device.is(spec)).filter_map(|device| {
            let part = membership::whole_of(device.number).filter(&which)?;
            Some(format!("{} ({})", device.kernel_name, part.whole))
        });
        let parts = parts.collect::<Vec<_>>().join(", ");
        (!parts.is_empty()).then_some(parts)
    }

    /// A path that exists. Of one of udev's links to a disk only the name at its end is known here.
    fn at_path(&self, path: &Path) -> Option<PathBuf> {
        if fs::metadata(path).is_ok() {
            return Some(path.to_owned());
        }
        // A node that does not exist yet, while the kernel has the device.
        let name = path.strip_prefix("/dev").ok()?.to_str()?;
        let device = self.all.iter().find(|device| device.kernel_name == name)?;
        device.number.path()
    }
}

/// The number of the block device at a path.
fn number_of(path: &Path) -> Option<DevNo> {
    let metadata = fs::metadata(path).ok()?;
    let is_device = metadata.file_type().is_block_device();
    is_device.then(|| DevNo::from_raw(metadata.rdev()))
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
        let number = self.number;
        let read = move || {
            let _held = InFlight::at(&number.path()?).ok()?;
            identify(&mut Probe::open(number).ok()?).ok()?
        };
        let ask = || IDENTITIES.ask(number, self.patience, read).flatten();
        self.identity.get_or_init(ask).as_ref()
    }

    fn partition(&self) -> &PartitionNames {
        let number = self.number;
        let read = move || {
            let disk = disk_of_partition(number).and_then(DevNo::path);
            let _held = disk.map(|disk| InFlight::at(&disk));
            partition_names(number)
        };
        let ask = || PARTITIONS.ask(number, self.patience, read);
        self.partition.get_or_init(|| ask().unwrap_or_default())
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
        let devices = Devices {
            all: Rc::new([]),
            unclaimed: false,
        };
        let spec = DeviceSpec::Path(file.path().to_owned());
        assert_eq!(devices.find(&spec).as_deref(), Some(file.path()));
        assert_eq!(Description::of(file.path()).to_string(), "1 MiB");
        assert_eq!(devices.find(&DeviceSpec::Path("/nonexistent".into())), None);
        assert_eq!(devices.find(&DeviceSpec::Label("none".into())), None);
    }
}
