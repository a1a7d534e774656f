//! Closing every unused volume, as at shutdown, after the devices on top of it.

use std::thread;
use std::time::Duration;

use super::CryptError;
use crate::block_device::{Holder, holders};
use crate::dm::{DeviceId, DeviceName, Dm, Removal, RemoveOptions, Which};
use crate::mapping::{Mapping, Mappings, VolumeKind};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// The outcome for each volume.
#[derive(Debug, Default)]
pub struct ClosedAll {
    /// Those that were removed, with the devices on top of them, in the order of removal.
    pub closed: Vec<DeviceName>,
    /// Those that are removed when their last user closes them.
    pub deferred: Vec<DeviceName>,
    /// Those that are still in use, and their users.
    pub in_use: Vec<(DeviceName, Vec<Holder>)>,
}

/// Removes all unused encrypted volumes, and the unused mappings on them, such as logical volumes. With `deferred`, a
/// volume that is in use is removed as soon as it is not.
///
/// # Errors
/// [`CryptError::Volume`]: the device-mapper's.
pub fn close_all(deferred: bool) -> Result<ClosedAll, CryptError> {
    let dm = &Dm::open()?;
    let mut result = ClosedAll::default();
    let mut at_once = RemoveOptions::default();
    // A udev rule that probes a device keeps it open for a moment.
    let mut patience = 10;
    loop {
        let mappings = Mappings::enumerate(dm)?;
        let volumes: Vec<&Mapping> = mappings.iter().filter(|mapping| is_volume(mapping)).collect();
        let mut doomed: Vec<&Mapping> = volumes.clone();
        // What is on a doomed one is doomed too, up to the top.
        let mut at = 0;
        while let Some(lower) = doomed.get(at).copied() {
            for mapping in &mappings {
                let stands = dm.deps(&DeviceId::Name(mapping.name.clone()), Which::Live);
                let stands = stands.is_ok_and(|below| below.contains(&lower.number));
                if stands && !doomed.iter().any(|other| other.number == mapping.number) {
                    doomed.push(mapping);
                }
            }
            at += 1;
        }
        let before = result.closed.len();
        for mapping in doomed.iter().rev() {
            match dm.remove(&DeviceId::Name(mapping.name.clone()), at_once) {
                Ok(Removal::Removed(_)) => result.closed.push(mapping.name.clone()),
                Ok(Removal::Deferred) => result.deferred.push(mapping.name.clone()),
                Err(error) if error.is_busy() || error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        if result.closed.len() > before {
            continue;
        }
        let is_looked_at = |mapping: &&Mapping| {
            let users = holders(mapping.number);
            users.iter().all(|user| matches!(user, Holder::Process { .. }))
        };
        if patience > 0 && doomed.iter().any(is_looked_at) {
            patience -= 1;
            thread::sleep(PAUSE);
            continue;
        }
        if deferred && !at_once.deferred {
            at_once.deferred = true;
            continue;
        }
        let left = volumes.iter().filter(|volume| !result.deferred.contains(&volume.name));
        result.in_use = left
            .map(|volume| (volume.name.clone(), holders(volume.number)))
            .collect();
        return Ok(result);
    }
}

fn is_volume(mapping: &Mapping) -> bool {
    mapping.uuid.as_ref().and_then(VolumeKind::of_dm_uuid).is_some()
}
