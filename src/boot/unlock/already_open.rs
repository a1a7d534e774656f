//! Volumes that are open beforehand: the program may be run twice, or after another one.

use super::volume::Volume;
use super::{Engine, Outcome, UnlockError};
use crate::block_device::DevNo;
use crate::boot::devices::{Description, Devices};
use crate::boot::source::DeviceSpec;
use crate::dm::{DeviceId, DeviceName, Dm, DmError, Mangling, Which};
use crate::mapping::VolumeKind;

impl Engine<'_> {
    /// Skips a volume that is already mapped. A mapping that only has the name does not count.
    pub(super) fn mark_open(&mut self, dm: &Dm) -> Result<(), DmError> {
        let devices = Devices::now();
        for volume in &mut self.volumes {
            let Some(name) = name_of(volume, dm)? else { continue };
            match dm.info_and_deps(&DeviceId::Name(name), Which::Live) {
                Ok((info, below)) => match info.uuid.as_ref().and_then(VolumeKind::of_dm_uuid) {
                    Some((_, uuid)) if is_it(volume, uuid.as_deref(), &below, &devices) => {
                        volume.outcome = Some(Outcome::WasOpen);
                    }
                    _ => volume.fail(UnlockError::NameTaken),
                },
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The actual or future name of its mapping. One that ends in a UUID of which only the start is known is looked for
/// among the existing ones.
fn name_of(volume: &Volume, dm: &Dm) -> Result<Option<DeviceName>, DmError> {
    if volume.entry.named_by_uuid
        && let DeviceSpec::UuidPrefix(start) = volume.source()
    {
        let start = format!("luks-{start}");
        let mut all = dm.list()?.into_iter().map(|entry| entry.name);
        return Ok(all.find(|name| name.as_bytes().starts_with(start.as_bytes())));
    }
    Ok(DeviceName::mangled(&volume.entry.name, Mangling::default()).ok())
}

/// Whether a mapping of a LUKS volume of this UUID, or of no LUKS volume, on `below`, is the volume. The UUID decides if
/// both have one: the mapping may be on a snapshot, or on the leg of a mirror.
fn is_it(volume: &Volume, uuid: Option<&str>, below: &[DevNo], devices: &Devices) -> bool {
    let source = volume.source();
    let found = devices.all_of(source);
    if let Some(uuid) = uuid {
        let mut wanted: Vec<String> = found.iter().filter_map(|path| Description::of(path).uuid).collect();
        if let DeviceSpec::Uuid(uuid) = source {
            wanted.push(uuid.clone());
        }
        let starts = matches!(source, DeviceSpec::UuidPrefix(start) if uuid.starts_with(start.as_str()));
        if starts || wanted.iter().any(|wanted| wanted.as_str() == uuid) {
            return true;
        }
        // A header elsewhere has a UUID of its own.
        if !wanted.is_empty() && volume.entry.options.header.is_none() {
            return false;
        }
    }
    // A file has a loop device of its own, and the device may no longer exist.
    let mut numbers = found.iter().filter_map(|path| DevNo::of_path(path).ok()?).peekable();
    numbers.peek().is_none() || numbers.any(|number| below.contains(&number))
}
