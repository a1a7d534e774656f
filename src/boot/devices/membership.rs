//! Whether a device is a part of another one, or a copy of it, which must not be taken for the whole.

use std::time::Duration;

use super::probe_cache::Slow;
use crate::block_device::{self, DevNo, Probe, disk_of_partition, dm_name_and_uuid, made_of, signatures};
use crate::boot::in_flight::InFlight;

/// Members that look like the whole, since the signature of membership is at their ends. Names as `blkid` prints them.
const MEMBERS: &[&str] = &["linux_raid_member", "isw_raid_member", "ddf_raid_member", "drbd"];
/// How long a device may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

static ENDS: Slow<Option<&'static str>> = Slow::new();

/// LVM's reserved names for the volumes that a logical volume is made of.
const HIDDEN: &[&str] = &[
    "_cdata", "_cmeta", "_corig", "_cvol", "_imeta", "_iorig", "_mimage", "_mlog", "_pmspare", "_rimage", "_rmeta",
    "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig",
];

/// The whole that a device is a part of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The whole, as text.
    pub(super) whole: String,
    /// Whether that is certain. It is not if only the end of its disk says so, and no array holds the disk.
    pub(super) is_certain: bool,
}

/// Whether the end of some device has yet to be read.
pub(super) fn owe_answers() -> bool {
    ENDS.is_owed(None)
}

/// The whole that a device is a part of; `None` if it is independent.
pub(super) fn whole_of(number: DevNo) -> Option<Part> {
    let holder = |number| {
        let holders = block_device::held_by(number);
        // An open volume hides nothing of its device.
        let holder = holders.into_iter().find(|(_, holder)| !is_volume(*holder))?;
        Some(format!("part of {}", holder.0))
    };
    let disk = disk_of_partition(number);
    let certain = holder(number)
        .or_else(|| disk.and_then(holder))
        .or_else(|| dm_name_and_uuid(number).and_then(|(name, uuid)| hidden_volume(&name, &uuid)))
        .or_else(|| match member_of(number) {
            End::Member(kind) => Some(format!("a {kind}")),
            End::Silent => Some("whose end cannot be read".into()),
            End::Nothing => None,
        });
    let part = |whole, is_certain| Part { whole, is_certain };
    certain
        .map(|whole| part(whole, true))
        .or_else(|| match member_of(disk?) {
            End::Member(kind) => Some(part(format!("on a disk that says it is a {kind}"), false)),
            End::Silent => Some(part("on a disk whose end cannot be read".into(), false)),
            End::Nothing => None,
        })
}

/// The signature at the end of a device.
#[derive(Clone, Copy)]
enum End {
    Nothing,
    Member(&'static str),
    /// It has not answered so far.
    Silent,
}

fn member_of(number: DevNo) -> End {
    let read = move || {
        let _held = InFlight::at(&number.path()?).ok()?;
        let found = signatures::probe_storage(&mut Probe::open(number).ok()?).ok()?;
        MEMBERS
            .iter()
            .copied()
            .find(|name| found.iter().any(|signature| signature.name == *name))
    };
    match ENDS.ask(number, PATIENCE, read) {
        Some(None) => End::Nothing,
        Some(Some(name)) => End::Member(name),
        None => End::Silent,
    }
}

fn is_volume(number: DevNo) -> bool {
    dm_name_and_uuid(number).is_some_and(|(_, uuid)| uuid.starts_with("CRYPT-"))
}

/// `LVM-`, 64 letters, and a layer unless the volume is independent.
fn hidden_volume(name: &str, uuid: &str) -> Option<String> {
    let id = uuid.strip_prefix("LVM-")?;
    // `group-volume`, with hyphens inside a name doubled.
    let single = name.replace("--", " ");
    let volume = single.rsplit('-').next().unwrap_or_default();
    let hidden = id.get(64..).is_some_and(|layer| !layer.is_empty()) || HIDDEN.iter().any(|part| volume.contains(part));
    hidden.then(|| "part of a logical volume".to_owned())
}

/// Whether a logical volume is a snapshot of another one: it has a store for the changes.
pub(super) fn is_snapshot(number: DevNo) -> bool {
    let is_store = |part: DevNo| dm_name_and_uuid(part).is_some_and(|(_, uuid)| uuid.ends_with("-cow"));
    made_of(number).into_iter().any(is_store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_logical_volume_is_made_of_is_known_by_its_name_or_its_layer() {
        let id = "0123456789abcdef".repeat(4);
        let is_hidden = |name: &str, uuid: &str| hidden_volume(name, uuid).is_some();
        assert!(!is_hidden("vg-root", &format!("LVM-{id}")));
        assert!(!is_hidden("my_tdata-root", &format!("LVM-{id}")));
        assert!(is_hidden("vg-my--root_tdata", &format!("LVM-{id}")));
        assert!(is_hidden("vg-root-real", &format!("LVM-{id}-real")));
        assert!(is_hidden("vg-root_mimage_0", &format!("LVM-{id}")));
        assert!(is_hidden("vg-root_rimage_1", &format!("LVM-{id}")));
        assert!(!is_hidden("my_mimage", "CRYPT-PLAIN-my_mimage"));
    }
}
