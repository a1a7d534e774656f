//! Every rule that spans several objects of the metadata.
//!
//! The rules of one object by itself are checked during parsing. Only metadata that pass here are used.

use std::collections::BTreeMap;

use super::Defect;
use super::digest_index::DigestIndex;
use super::format::BINARY_HEADER_SIZE;
use super::keyslot::{Keyslot, KeyslotKind};
use super::metadata::Metadata;
use super::reencrypt::is_online;
use super::segment::{Segment, SegmentKind};
use crate::KeyslotId;
use crate::units::Bytes;

/// Largest keyslots area that the specification allows.
pub const MAX_KEYSLOTS_SIZE: Bytes = Bytes::mib(128);
/// Unit of keyslot areas and of the keyslots area as a whole.
pub const AREA_ALIGNMENT: Bytes = Bytes::kib(4);

/// The bounds of the keyslots area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyslotsArea {
    /// Behind both copies.
    pub start: Bytes,
    /// Its end.
    pub end: Bytes,
}

impl KeyslotsArea {
    /// Behind two copies of `hdr_size`. `None` on overflow.
    pub fn new(hdr_size: Bytes, keyslots_size: Bytes) -> Option<Self> {
        let start = hdr_size.checked_mul(2)?;
        Some(Self {
            start,
            end: start.checked_add(keyslots_size)?,
        })
    }
}

/// Checks the metadata of copies of `hdr_size`.
///
/// # Errors
/// The first [`Defect`].
pub fn validate(metadata: &Metadata, hdr_size: Bytes) -> Result<(), Defect> {
    let area = config(metadata, hdr_size)?;
    references(metadata)?;
    let digests = DigestIndex::new(metadata);
    segments(metadata, &digests, area)?;
    keyslots(metadata, &digests, area)?;
    reencryption(metadata)
}

/// Checks that the whole keyslots area lies on a device of `size`: a keyslot may be put anywhere in it.
///
/// # Errors
/// [`Defect::DeviceTooSmall`].
pub fn fits_device(metadata: &Metadata, hdr_size: Bytes, size: Bytes) -> Result<(), Defect> {
    match KeyslotsArea::new(hdr_size, metadata.config.keyslots_size) {
        Some(area) if area.end > size => Err(Defect::DeviceTooSmall {
            size: size.get(),
            needed: area.end.get(),
        }),
        _ => Ok(()),
    }
}

fn config(metadata: &Metadata, hdr_size: Bytes) -> Result<KeyslotsArea, Defect> {
    let config = &metadata.config;
    if config.json_size.checked_add(BINARY_HEADER_SIZE) != Some(hdr_size) {
        return Err(Defect::JsonSize {
            json_size: config.json_size.get(),
            hdr_size: hdr_size.get(),
        });
    }
    if !config.keyslots_size.is_multiple_of(AREA_ALIGNMENT) || config.keyslots_size > MAX_KEYSLOTS_SIZE {
        return Err(Defect::KeyslotsSize(config.keyslots_size.get()));
    }
    KeyslotsArea::new(hdr_size, config.keyslots_size).ok_or(Defect::KeyslotsSize(config.keyslots_size.get()))
}

fn references(metadata: &Metadata) -> Result<(), Defect> {
    let dangling = |object: &str, of: u32, member: &str, id: Option<u32>| match id {
        Some(id) => {
            let path = format!("{object}.{of}.{member}");
            Err(Defect::DanglingReference { path, id })
        }
        None => Ok(()),
    };
    let keyslot = |ids: &[KeyslotId]| {
        let mut missing = ids.iter().filter(|id| !metadata.keyslots.contains_key(id));
        missing.next().map(|id| id.get())
    };
    for (&id, token) in &metadata.tokens {
        dangling("tokens", id, "keyslots", keyslot(&token.keyslots))?;
    }
    for (&id, digest) in &metadata.digests {
        dangling("digests", id, "keyslots", keyslot(&digest.keyslots))?;
        let mut segments = digest.segments.iter().filter(|id| !metadata.segments.contains_key(id));
        dangling("digests", id, "segments", segments.next().copied())?;
    }
    Ok(())
}

fn segments(metadata: &Metadata, digests: &DigestIndex<'_>, area: KeyslotsArea) -> Result<(), Defect> {
    let segments = &metadata.segments;
    if segments.is_empty() {
        return Err(Defect::NoSegment);
    }
    let mut backup_seen = false;
    for (expected, (&id, segment)) in (0..).zip(segments) {
        if id != expected {
            return Err(Defect::SegmentGap(expected));
        }
        if backup_seen && !segment.is_backup() {
            return Err(Defect::SegmentOrder(id));
        }
        backup_seen |= segment.is_backup();
        let has_digest = digests.of_segment(id).is_some();
        if matches!(segment.kind, SegmentKind::Crypt(_) | SegmentKind::HwOpal { .. }) && !has_digest {
            return Err(Defect::SegmentWithoutDigest(id));
        }
    }
    regular_segments(
        &segments
            .iter()
            .filter(|(_, segment)| !segment.is_backup())
            .collect::<Vec<_>>(),
        area,
    )
}

fn regular_segments(regular: &[(&u32, &Segment)], area: KeyslotsArea) -> Result<(), Defect> {
    let Some((last, _)) = regular.last() else {
        return Err(Defect::NoRegularSegment);
    };
    if let Some((id, _)) = regular
        .iter()
        .find(|(id, segment)| segment.size.is_none() && id != last)
    {
        return Err(Defect::DynamicNotLast(**id));
    }
    let mut by_offset = regular.to_vec();
    by_offset.sort_by_key(|(_, segment)| segment.offset);
    // A single one may end past any device, and past 2^64: mapping it fails as on any device that is too small.
    if let [_, _, ..] = regular
        && let Some((id, _)) = regular
            .iter()
            .find(|(_, segment)| segment.size.is_some() && segment.end().is_none())
    {
        return Err(Defect::SegmentEnd(**id));
    }
    for pair in by_offset.windows(2) {
        if pair[0].1.end().is_none_or(|end| end > pair[1].1.offset) {
            return Err(Defect::SegmentOverlap(*pair[0].0, *pair[1].0));
        }
    }
    // Offset 0: the data are on a device of their own.
    match by_offset.first() {
        Some((id, first)) if first.offset != Bytes::ZERO && first.offset < area.end => {
            Err(Defect::SegmentInsideHeader {
                id: **id,
                offset: first.offset.get(),
                end: area.end.get(),
            })
        }
        _ => Ok(()),
    }
}

fn keyslots(metadata: &Metadata, digests: &DigestIndex<'_>, area: KeyslotsArea) -> Result<(), Defect> {
    let mut by_offset: BTreeMap<Bytes, (KeyslotId, Bytes)> = BTreeMap::new();
    for (&id, slot) in &metadata.keyslots {
        let end = keyslot(digests, id, slot, area)?;
        if let Some((other, _)) = by_offset.insert(slot.area.offset, (id, end)) {
            return Err(Defect::AreaOverlap(other, id));
        }
    }
    let areas: Vec<_> = by_offset.into_iter().collect();
    for pair in areas.windows(2) {
        let ((_, (first, end)), (start, (second, _))) = (pair[0], pair[1]);
        if end > start {
            return Err(Defect::AreaOverlap(first, second));
        }
    }
    Ok(())
}

/// Returns where the area of the keyslot ends.
fn keyslot(digests: &DigestIndex<'_>, id: KeyslotId, slot: &Keyslot, area: KeyslotsArea) -> Result<Bytes, Defect> {
    let (offset, size) = (slot.area.offset, slot.area.size);
    let end = offset
        .checked_add(size)
        .filter(|&end| offset >= area.start && end <= area.end);
    let Some(end) = end else {
        let (start, end) = (area.start.get(), area.end.get());
        return Err(Defect::AreaOutside {
            id,
            offset: offset.get(),
            size: size.get(),
            start,
            end,
        });
    };
    if slot.is_luks2() {
        let count = digests.count(id);
        if count != 1 {
            return Err(Defect::KeyslotDigests { id, count });
        }
        let needed = Keyslot::material_size(slot.key_size);
        if needed.is_none_or(|needed| needed > size) {
            let needed = needed.map_or(u64::MAX, Bytes::get);
            return Err(Defect::AreaTooSmall {
                id,
                size: size.get(),
                needed,
            });
        }
    }
    Ok(end)
}

fn reencryption(metadata: &Metadata) -> Result<(), Defect> {
    let slots = metadata
        .keyslots
        .values()
        .filter(|slot| matches!(slot.kind, KeyslotKind::Reencrypt(_)))
        .count();
    if !metadata.config.requirements.iter().any(|name| is_online(name)) {
        return if slots == 0 {
            Ok(())
        } else {
            Err(Defect::Reencryption("a reencrypt keyslot without the requirement"))
        };
    }
    if slots != 1 {
        return Err(Defect::Reencryption("it needs exactly one reencrypt keyslot"));
    }
    let flagged = |flag: &str| {
        metadata
            .segments
            .values()
            .find(|segment| segment.flags.iter().any(|name| name == flag))
    };
    let (Some(last), Some(first)) = (flagged("backup-final"), flagged("backup-previous")) else {
        return Err(Defect::Reencryption(
            "the backup-final or the backup-previous segment is missing",
        ));
    };
    let mut regular = metadata.segments.values().filter(|segment| !segment.is_backup());
    if regular.all(|segment| segment.is_encrypted_as(last) || segment.is_encrypted_as(first)) {
        Ok(())
    } else {
        Err(Defect::Reencryption(
            "a segment matches neither backup-final nor backup-previous",
        ))
    }
}
