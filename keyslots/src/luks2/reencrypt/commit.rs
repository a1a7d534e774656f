//! What the metadata say at each step, written in one go.

use std::collections::HashSet;

use super::super::Header;
use super::super::metadata::Metadata;
use super::super::segment::Segment;
use super::convert::Disks;
use super::requirement::Requirement;
use super::state::{Part, Reencryption};
use crate::storage::Storage;
use crate::{KeyslotId, Result};

/// Changes the metadata and writes both copies of the header. On an error the header is as before, unless the change may have
/// reached the device.
pub(super) fn commit(header: &mut Header, disks: &mut Disks<'_>, change: impl FnOnce(&mut Metadata)) -> Result<()> {
    let _held = disks.hold()?;
    commit_held(header, disks.header(), change)
}

/// As [`commit`], by a caller that holds the lock.
pub(super) fn commit_held(
    header: &mut Header,
    storage: &mut dyn Storage,
    change: impl FnOnce(&mut Metadata),
) -> Result<()> {
    let before = header.copy.clone();
    change(&mut header.copy.metadata);
    header
        .write(storage)
        .inspect_err(|_| header.restore_unless_written(&before))
}

/// Puts these active segments before the backup segments, and names all of them in the digests of their keys.
pub(super) fn put_segments(metadata: &mut Metadata, found: &Reencryption, active: Vec<(Part, Segment)>) {
    let backups = [
        (Part::Old, Some(&found.previous)),
        (Part::New, Some(&found.last)),
        (Part::Old, found.moved.as_ref()),
    ];
    let backups = backups
        .into_iter()
        .filter_map(|(part, segment)| Some((part, segment?.clone())));
    put_all(metadata, found, active.into_iter().chain(backups).collect());
}

fn put_all(metadata: &mut Metadata, found: &Reencryption, segments: Vec<(Part, Segment)>) {
    for (&id, digest) in &mut metadata.digests {
        if Some(id) == found.old_digest || Some(id) == found.new_digest {
            let of_this = (0..)
                .zip(&segments)
                .filter(|(_, (part, _))| found.digests_of(*part).contains(&id));
            digest.segments = of_this.map(|(segment, _)| segment).collect();
        }
    }
    metadata.segments = (0..).zip(segments.into_iter().map(|(_, segment)| segment)).collect();
}

/// Leaves nothing of the reencryption but its result.
pub(super) fn put_result(metadata: &mut Metadata, found: &Reencryption) {
    let result = Segment {
        flags: Vec::new(),
        ..found.last.clone()
    };
    put_all(metadata, found, vec![(Part::New, result)]);
    let old = found.old_digest.filter(|_| found.old_digest != found.new_digest);
    let of_old = old.and_then(|id| metadata.digests.get(&id));
    let mut gone: HashSet<KeyslotId> = of_old.iter().flat_map(|digest| &digest.keyslots).copied().collect();
    gone.insert(found.keyslot);
    let kept = metadata.keyslots.keys().copied().filter(|id| !gone.contains(id));
    let kept: Vec<KeyslotId> = kept.collect();
    metadata.keep_only_keyslots(&kept);
    let requirements = &mut metadata.config.requirements;
    requirements.retain(|name| Requirement::parse(name).is_none());
}
