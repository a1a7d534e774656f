//! The begin of a reencryption: what the metadata say at first, and the data that have to be moved to make room.
//!
//! The header that is changed is always one that the data do not depend on yet, or do not depend on any more: that of the device
//! where nothing moves, else one in a file of its own. A kill at any point leaves the data as they were, under the header that they
//! had, or as they are meant to be, under the new one.

use super::super::copies::Encoded;
use super::super::keyslot::{Area, Keyslot, KeyslotKind, Priority};
use super::super::metadata::{Digest, Metadata};
use super::super::segment::{Crypt, Segment, SegmentKind};
use super::super::validate::{AREA_ALIGNMENT, KeyslotsArea};
use super::super::{Defect, Header, MAX_DIGESTS, areas};
use super::commit::{commit, put_segments};
use super::convert::Disks;
use super::digest::{VolumeKeys, make_digest};
use super::guard::check_guard;
use super::misplaced::check_before;
use super::placement::Placement;
use super::plan::{Plan, ZoneLimits};
use super::relocate::{copy, forget_header};
use super::requirement::Version;
use super::slot::{Direction, Guard, Mode, ReencryptKeyslot, Resilience};
use super::state::{FINAL, MOVED, PREVIOUS, Part, Reencryption, State, Status};
use crate::hash::Hash;
use crate::kdf::CostLimits;
use crate::secret::VolumeKey;
use crate::units::{Bytes, SECTOR_SIZE};
use crate::{Error, KeyslotId, Result, version};

/// The largest moved segment of a decryption.
const MAX_MOVED: Bytes = Bytes::mib(20);

/// The parameters of a new reencryption.
#[derive(Clone, Debug)]
pub struct Start {
    /// Reencryption, encryption or decryption.
    pub mode: Mode,
    /// The order of the zones where nothing moves; else it follows from the mode.
    pub direction: Direction,
    /// What protects a zone that is overwritten in place.
    pub guard: Guard,
    /// The logical block size of the data device.
    pub block: Bytes,
    /// The size of the data, where they do not take all of the device: what lies behind them is left alone. But with
    /// [`Mode::Encrypt`] and a shift, as much of it as they move by is overwritten.
    pub size: Option<Bytes>,
    /// By how much the data move: with [`Mode::Encrypt`] up, to make room for the header, and with [`Mode::Decrypt`] down, to its
    /// place.
    pub shift: Option<Bytes>,
    /// With [`Mode::Reencrypt`], the new cipher specification and its sector size.
    pub encryption: Option<(String, u32)>,
    /// Hash of new digests.
    pub digest_hash: Hash,
    /// Iterations of new digests.
    pub digest_iterations: u32,
}

/// Begins a reencryption.
///
/// `header` is that of the volume as it is ([`Mode::Reencrypt`], [`Mode::Decrypt`]), or as it will be ([`Mode::Encrypt`]), with all
/// keyslots that it will have in the end. Where data move, it is in a file of its own: of [`super::export`], or made there and
/// then put onto the device with [`super::install`].
///
/// # Errors
/// [`Error::InReencryption`]; [`Error::WrongVolumeKey`]; [`Error::BadParameter`] for what cannot be done to this volume;
/// [`Error::NoRoomForKeyslot`], [`Error::AllKeyslotsFull`], [`Error::AllDigestsInUse`]; or the storage's.
pub fn begin(
    header: &mut Header,
    disks: &mut Disks<'_>,
    start: &Start,
    keys: &VolumeKeys,
    limits: &CostLimits,
) -> Result<()> {
    header.check_changeable()?;
    let device = disks.data_size()?;
    let (next, found) = with_start(header, start, device, keys, limits)?;
    let plan = Plan::new(&found, device)?;
    let limits = ZoneLimits {
        block: start.block,
        ..ZoneLimits::default()
    };
    check_guard(&plan, limits)?;
    check_before(header, disks, &found)?;
    // A header that cannot be written must not cost any data.
    let mut copied = header.copy.clone();
    copied.metadata = next.clone();
    Encoded::new(&copied)?;
    header.settle(disks.header())?;
    match found.placement {
        Placement::InPlace => {}
        Placement::Up { shift, moved, .. } => {
            copy(disks, Bytes::ZERO, moved, shift)?;
        }
        Placement::Down { shift, moved } => {
            forget_header(disks.data(), shift)?;
            copy(disks, shift, Bytes::ZERO, moved)?;
        }
    }
    commit(header, disks, |metadata| *metadata = next)
}

/// The metadata of `header` with the first state.
fn with_start(
    header: &Header,
    start: &Start,
    device: Bytes,
    keys: &VolumeKeys,
    limits: &CostLimits,
) -> Result<(Metadata, Reencryption)> {
    let mut next = header.metadata().clone();
    let metadata = &mut next;
    let resilience = Resilience {
        guard: start.guard.clone(),
        shift: start.shift,
    };
    let (area_offset, area_size) = room(metadata, header.binary().hdr_size, &resilience)?;
    let (previous, last, moved) = segments(metadata, start, device, protected(&start.guard, area_size))?;
    let digest_of = |key: Option<&_>, of_data| -> Result<Option<u32>> {
        let key = key.ok_or(Error::WrongVolumeKey)?;
        header.verify_volume_key(key, of_data, limits).map(Some)
    };
    let (old_digest, new_digest) = match start.mode {
        Mode::Reencrypt => {
            let old = digest_of(keys.old.as_ref(), true)?;
            let new = match &keys.new {
                None => old,
                Some(key) => match digest_of(Some(key), false) {
                    // No keyslot has it: its owner keeps it elsewhere.
                    Err(Error::WrongVolumeKey) => Some(add_digest(metadata, key, start, limits)?),
                    found => found?,
                },
            };
            (old, new)
        }
        Mode::Encrypt => (None, digest_of(keys.new.as_ref(), true)?),
        Mode::Decrypt => (digest_of(keys.old.as_ref(), true)?, None),
    };
    let keyslot = KeyslotId::all(version::Version::Luks2).find(|id| !metadata.keyslots.contains_key(id));
    let digest = (0..MAX_DIGESTS).find(|id| !metadata.digests.contains_key(id));
    let direction = match (start.shift, start.mode) {
        (None, _) => start.direction,
        (Some(_), Mode::Encrypt) => Direction::Backward,
        (Some(_), _) => Direction::Forward,
    };
    let params = ReencryptKeyslot {
        mode: start.mode,
        direction,
        resilience,
    };
    let mut found = Reencryption {
        state: State::Clean,
        version: match (start.mode, start.shift) {
            (Mode::Decrypt, Some(_)) => Version::V3,
            _ => Version::V2,
        },
        keyslot: keyslot.ok_or(Error::AllKeyslotsFull)?,
        placement: Placement::of(&params, &previous, &last, moved.as_ref())?,
        params,
        area_offset,
        area_size,
        active: Vec::new(),
        previous,
        last,
        moved,
        old_digest,
        new_digest,
        digest: digest.ok_or(Error::AllDigestsInUse)?,
    };
    found.active = first_segments(&found, start.size.or(found.previous.size), device);
    let digest = make_digest(&found, keys, start.digest_hash, start.digest_iterations, limits)?;
    metadata.digests.insert(found.digest, digest);
    let area = Area {
        kind: found.params.resilience.type_name().to_owned(),
        offset: area_offset,
        size: area_size,
        extra: Default::default(),
    };
    let slot = Keyslot {
        kind: KeyslotKind::Reencrypt(found.params.clone()),
        key_size: 1,
        area,
        priority: Some(Priority::Ignore),
        extra: Default::default(),
    };
    metadata.keyslots.insert(found.keyslot, slot);
    put_segments(metadata, &found, found.active.clone());
    metadata.config.requirements.push(found.version.name().to_owned());
    match Status::read(metadata)? {
        Status::Running(read) if *read == found => Ok((next, found)),
        _ => Err(Defect::NotReadAsWritten.into()),
    }
}

fn add_digest(metadata: &mut Metadata, key: &VolumeKey, start: &Start, limits: &CostLimits) -> Result<u32> {
    let free = (0..MAX_DIGESTS).find(|id| !metadata.digests.contains_key(id));
    let id = free.ok_or(Error::AllDigestsInUse)?;
    let digest = Digest::new(key, start.digest_hash, start.digest_iterations, limits)?;
    metadata.digests.insert(id, digest);
    Ok(id)
}

/// How much of the data an area of this size protects at once.
fn protected(guard: &Guard, area: Bytes) -> Bytes {
    let size = match guard {
        Guard::None => 0,
        Guard::Journal => area.get(),
        Guard::Checksum { hash, block } => {
            let blocks = hash.known().map_or(0, |hash| area.get() / hash.output_len() as u64);
            blocks.saturating_mul((*block).into())
        }
    };
    Bytes::new(size / AREA_ALIGNMENT.get() * AREA_ALIGNMENT.get())
}

/// The backup segments: the data as they are, as they will be, and what moves first.
fn segments(
    metadata: &Metadata,
    start: &Start,
    device: Bytes,
    most: Bytes,
) -> Result<(Segment, Segment, Option<Segment>)> {
    let mut active = metadata.segments.values();
    let (Some(only), None) = (active.next(), active.next()) else {
        return Err(Defect::Reencryption("the volume has several segments").into());
    };
    let bad = |value: Bytes, rule| Error::BadParameter {
        field: "data shift",
        value: value.get().to_string(),
        rule,
    };
    let bad_size = |value: Bytes, rule| Error::BadParameter {
        field: "data size",
        value: value.get().to_string(),
        rule,
    };
    if let (Some(size), Some(most)) = (start.size, only.size)
        && size > most
    {
        return Err(bad_size(size, "the volume is smaller"));
    }
    let (mut previous, mut last) = (only.clone(), only.clone());
    let mut moved = None;
    match (start.mode, start.shift) {
        (Mode::Reencrypt, None) => {
            if let (SegmentKind::Crypt(crypt), Some((encryption, sector_size))) = (&mut last.kind, &start.encryption) {
                crypt.encryption.clone_from(encryption);
                crypt.sector_size = *sector_size;
            }
        }
        (Mode::Encrypt, None) => previous.kind = SegmentKind::Linear,
        (Mode::Decrypt, None) => last.kind = SegmentKind::Linear,
        (Mode::Encrypt, Some(shift)) => {
            let small = || bad(shift, "it must be at most a third of the data device");
            let behind = device.checked_sub(shift).ok_or_else(small)?;
            let room = behind.checked_sub(shift).filter(|size| *size >= shift);
            let room = room.ok_or_else(small)?;
            let size = start.size.unwrap_or(room);
            if size > room || size < shift {
                return Err(bad_size(
                    size,
                    "with the shift it must fit the device twice, and must not be below it",
                ));
            }
            previous = Segment {
                kind: SegmentKind::Linear,
                offset: Bytes::ZERO,
                size: Some(size),
                ..previous
            };
            moved = Some((&previous, behind, shift));
        }
        (Mode::Decrypt, Some(shift)) if shift == only.offset => {
            last = Segment {
                kind: SegmentKind::Linear,
                offset: Bytes::ZERO,
                ..last
            };
            let data = device.checked_sub(shift).unwrap_or_default();
            let data = start.size.or(only.size).unwrap_or(data).min(data);
            moved = Some((&previous, Bytes::ZERO, shift.min(MAX_MOVED).min(most).min(data)));
        }
        (Mode::Reencrypt, Some(shift)) => return Err(bad(shift, "this mode does not move the data")),
        (Mode::Decrypt, Some(shift)) => return Err(bad(shift, "the data do not start there")),
    }
    let moved = moved.map(|(of, offset, size)| Segment {
        offset,
        size: Some(size),
        ..of.clone()
    });
    let flag = |segment: &mut Segment, flag: &str| segment.flags = vec![flag.to_owned()];
    flag(&mut previous, PREVIOUS);
    flag(&mut last, FINAL);
    let moved = moved.map(|mut moved| {
        flag(&mut moved, MOVED);
        moved
    });
    Ok((previous, last, moved))
}

/// The active segments before the first zone, for data of a fixed size or as much as there are.
fn first_segments(found: &Reencryption, fixed: Option<Bytes>, device: Bytes) -> Vec<(Part, Segment)> {
    let plain = |segment: &Segment| Segment {
        flags: Vec::new(),
        ..segment.clone()
    };
    let previous = plain(&found.previous);
    let Some(moved) = found.moved.as_ref().map(plain) else {
        let size = fixed.or(previous.size);
        return vec![(Part::Old, Segment { size, ..previous })];
    };
    // What moves first is at the start of the data.
    let len = moved.size.unwrap_or_default();
    let fixed = match found.placement {
        Placement::Up { size, .. } => Some(size),
        _ => fixed,
    };
    let data = fixed.or(device.checked_sub(previous.offset)).unwrap_or_default();
    let mut segments = vec![(Part::Old, moved)];
    if data > len {
        let kind = match previous.kind.clone() {
            SegmentKind::Crypt(crypt) => SegmentKind::Crypt(Crypt {
                iv_tweak: len.get() / SECTOR_SIZE,
                ..crypt
            }),
            other => other,
        };
        let offset = previous.offset.checked_add(len).unwrap_or(device);
        let size = fixed.and_then(|size| size.checked_sub(len));
        segments.push((
            Part::Old,
            Segment {
                kind,
                offset,
                size,
                ..previous
            },
        ));
    }
    segments
}

/// The area for the protection of zones: the largest gap, or the smallest area where none is needed.
fn room(metadata: &Metadata, hdr_size: Bytes, resilience: &Resilience) -> Result<(Bytes, Bytes)> {
    let least = AREA_ALIGNMENT;
    let full = || Error::NoRoomForKeyslot { needed: least.get() };
    let area = KeyslotsArea::new(hdr_size, metadata.config.keyslots_size).ok_or_else(full)?;
    if resilience.guard == Guard::None && resilience.shift.is_some() {
        let taken = metadata.keyslots.values().map(|slot| &slot.area);
        return Ok((areas::find_gap(area, taken, least).ok_or_else(full)?, least));
    }
    let mut taken: Vec<_> = metadata
        .keyslots
        .values()
        .map(|slot| (slot.area.offset, slot.area.size))
        .collect();
    taken.sort_unstable();
    let (mut at, mut best) = (area.start, (area.start, Bytes::ZERO));
    for (offset, size) in taken.into_iter().chain([(area.end, Bytes::ZERO)]) {
        let gap = offset.checked_sub(at).unwrap_or_default();
        if gap > best.1 {
            best = (at, gap);
        }
        let end = offset.checked_add(size).and_then(|end| end.round_up(AREA_ALIGNMENT));
        at = end.unwrap_or(area.end).max(at);
    }
    match best.1.get() / least.get() * least.get() {
        0 => Err(full()),
        size => Ok((best.0, Bytes::new(size))),
    }
}
