//! The dm-integrity device that cryptsetup puts under a volume with integrity protection, as `<name>_dif`. Luksmith makes
//! none; an existing one is shown as a part of its volume, and removed with it.

use crate::block_device::DevNo;
use crate::dm::table::{DeviceRef, TargetType};
use crate::dm::{DeviceId, DeviceName, Dm, Which};

/// A dm-integrity device under a volume.
pub(super) struct Inner {
    /// Its name.
    pub(super) id: DeviceId,
    /// The device below it: the volume's data device.
    pub(super) device: DeviceRef,
}

impl Inner {
    /// The one that the volume `name` is on; `below` are the devices of its table.
    pub(super) fn of(dm: &Dm, name: &DeviceName, below: &[DevNo]) -> Option<Self> {
        let inner = [name.as_bytes(), b"_dif"].concat();
        let id = DeviceId::Name(DeviceName::new(inner).ok()?);
        let (info, table) = dm.table(&id, Which::Live).ok()?;
        let ours = info
            .uuid
            .as_ref()
            .is_some_and(|uuid| uuid.as_bytes().starts_with(b"CRYPT-"));
        if !ours || !below.contains(&info.number) {
            return None;
        }
        let line = table.lines().next().filter(|line| line.kind == TargetType::INTEGRITY)?;
        let device = line.params.split(|byte| *byte == b' ').next()?;
        Some(Self {
            device: DeviceRef::parse(device)?,
            id,
        })
    }
}
