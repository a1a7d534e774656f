//! LUKS1 to LUKS2.
//!
//! 1. Key material in the place of the future copies is copied to a free place and synced; then the LUKS1 header says
//!    so, in one sector.
//! 2. The secondary copy is written. LUKS1 still counts.
//! 3. The first sector becomes that of the primary copy, still without its checksum: the secondary counts from here on.
//! 4. The primary copy is completed.

use std::collections::BTreeMap;

use super::{ConvertRefused, Place, free_place, write_synced};
use crate::luks1::{self, KEYSLOTS, KeyslotState, RawHeader, STATE_INACTIVE};
use crate::luks2::copies::{self, Copy};
use crate::luks2::create::DEFAULT_METADATA_SIZE;
use crate::luks2::format::{BINARY_HEADER_SIZE, BinaryHeader, Label, Which};
use crate::luks2::json::Object;
use crate::luks2::keyslot::{Area, KeyslotKind, Luks2Keyslot, SlotKdf};
use crate::luks2::metadata::{Config, Digest, DigestKind, Metadata};
use crate::luks2::segment::{Crypt, Segment, SegmentKind};
use crate::luks2::validate::{self, AREA_ALIGNMENT, MAX_KEYSLOTS_SIZE};
use crate::luks2::{self, Keyslot, areas};
use crate::storage::Storage;
use crate::units::{Bytes, SECTOR_SIZE};
use crate::version::Version;
use crate::wipe::{Medium, wipe_random};
use crate::{Error, KeyslotId, Result};

/// The first byte behind both copies.
const AREAS_START: u64 = 2 * DEFAULT_METADATA_SIZE.get();

/// The material offsets of keyslots 0 to 5 are in the first sector of a LUKS1 header, those of 6 and 7 in the second:
/// only two of the same sector can be changed at once.
const FIRST_OF_SECOND_SECTOR: usize = 6;

/// Bytes of the gap that are checked at a time.
const CHUNK: usize = 1024 * 1024;

/// Converts the LUKS1 header on `storage`; returns the LUKS2 header. The caller holds the exclusive lock.
///
/// Data that other programs keep between the key material and the data are not touched: the keyslots area ends before
/// them.
///
/// # Errors
/// [`Error::CannotConvert`], and nothing was written then; [`Error::ChangedMeanwhile`], [`Error::Io`].
pub fn to_luks2(header: &luks1::Header, storage: &mut dyn Storage, medium: Medium) -> Result<luks2::Header> {
    if let Some(&slot) = header.unfinished_changes(storage)?.first() {
        return Err(ConvertRefused::UnfinishedChange(slot).into());
    }
    let size = storage.size().map_err(Error::io("get the size of the header device"))?;
    let end = areas_end(header, storage, size)?;
    let moves = plan(header.raw(), header.area_size().get(), end)?;
    let mut planned = header.raw().clone();
    for step in &moves {
        step.apply(&mut planned);
    }
    let copy = luks2_copy(header, &planned, end)?;

    let mut header = header.clone();
    header.settle(storage)?;
    for step in &moves {
        step.carry_out(&mut header, storage)?;
    }
    copies::recover(storage, &copy, Which::Secondary)?;
    // The second sector of a LUKS1 header may not change while the first still is one.
    header.expect_unchanged(storage)?;
    let first_sector = &copy.binary.to_bytes(Which::Primary)[..SECTOR_SIZE as usize];
    write_synced(storage, Bytes::ZERO, first_sector)?;
    copies::recover(storage, &copy, Which::Primary)?;
    for step in &moves {
        step.wipe_rest(&planned, header.area_size().get(), storage, medium)?;
    }
    luks2::Header::read(storage)
}

/// The end of the keyslots area: at the data, or before what other programs keep in front of them.
fn areas_end(header: &luks1::Header, storage: &mut dyn Storage, size: Bytes) -> Result<u64> {
    let payload = header.payload_offset().bytes().unwrap_or_default();
    let detached = payload == Bytes::ZERO;
    let end = if detached { size } else { payload.min(size) };
    let most = AREAS_START + MAX_KEYSLOTS_SIZE.get();
    let end = end.get().min(most) / AREA_ALIGNMENT.get() * AREA_ALIGNMENT.get();
    let material_end = header.metadata_size().get();
    let kept = Place {
        start: material_end,
        end,
    };
    let end = if is_blank(storage, kept)? { end } else { material_end };
    let end = end / AREA_ALIGNMENT.get() * AREA_ALIGNMENT.get();
    if end < AREAS_START {
        return Err(ConvertRefused::NoRoomForHeader { payload }.into());
    }
    Ok(end)
}

fn is_blank(storage: &mut dyn Storage, place: Place) -> Result<bool> {
    let mut chunk = vec![0; CHUNK];
    let mut at = place.start;
    while at < place.end {
        let now = (place.end - at).min(CHUNK as u64);
        let part = &mut chunk[..now as usize];
        storage
            .read_at(Bytes::new(at), part)
            .map_err(Error::io("read what stands before the data"))?;
        if part.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += now;
    }
    Ok(true)
}

/// One keyslot's material is moved. If the destination is the place of an unused keyslot, the two change places.
struct Move {
    slot: usize,
    swapped_with: Option<usize>,
    from: Place,
    to: Place,
}

/// Plans which material to move where, without ever overwriting material that is in use.
fn plan(raw: &RawHeader, len: u64, end: u64) -> Result<Vec<Move>> {
    let place_of = |raw: &RawHeader, slot: usize| {
        let start = u64::from(raw.keyslots[slot].material_offset) * SECTOR_SIZE;
        Place {
            start,
            end: start.saturating_add(len),
        }
    };
    let is_free = |raw: &RawHeader, slot: usize| raw.keyslots[slot].state == STATE_INACTIVE;
    let stays = |place: Place| {
        let full = place.end.checked_next_multiple_of(AREA_ALIGNMENT.get());
        place.start >= AREAS_START
            && place.start.is_multiple_of(AREA_ALIGNMENT.get())
            && full.is_some_and(|full| full <= end)
    };
    let mut raw = raw.clone();
    let mut moves = Vec::new();
    for id in KeyslotId::all(Version::Luks1) {
        let slot = id.index();
        if is_free(&raw, slot) {
            continue;
        }
        let from = place_of(&raw, slot);
        if stays(from) {
            continue;
        }
        let full = len
            .checked_next_multiple_of(AREA_ALIGNMENT.get())
            .ok_or(ConvertRefused::NoRoomToMove(id))?;
        let all: Vec<Place> = (0..KEYSLOTS).map(|other| place_of(&raw, other)).collect();
        let anywhere = free_place(AREAS_START, end, full, AREA_ALIGNMENT.get(), &all);
        let partner = (0..KEYSLOTS).find(|&other| {
            let same_sector = (slot < FIRST_OF_SECOND_SECTOR) == (other < FIRST_OF_SECOND_SECTOR);
            is_free(&raw, other) && same_sector && stays(all[other])
        });
        let (to, swapped_with) = match (anywhere, partner) {
            (Some(to), _) => (to, None),
            (None, Some(partner)) => (all[partner], Some(partner)),
            (None, None) => return Err(ConvertRefused::NoRoomToMove(id).into()),
        };
        let step = Move {
            slot,
            swapped_with,
            from,
            to,
        };
        step.apply(&mut raw);
        moves.push(step);
    }
    Ok(moves)
}

impl Move {
    fn apply(&self, raw: &mut RawHeader) {
        // Both are places that a LUKS1 header can name: see `plan` and `validate`.
        let sector = |place: Place| u32::try_from(place.start / SECTOR_SIZE).unwrap_or(u32::MAX);
        raw.keyslots[self.slot].material_offset = sector(self.to);
        if let Some(other) = self.swapped_with {
            raw.keyslots[other].material_offset = sector(self.from);
        }
    }

    fn carry_out(&self, header: &mut luks1::Header, storage: &mut dyn Storage) -> Result<()> {
        let len = header.area_size().to_usize().ok_or(Error::NoUsableKeyslot)?;
        header.expect_unchanged(storage)?;
        let mut material = vec![0; len];
        storage
            .read_at(Bytes::new(self.from.start), &mut material)
            .map_err(Error::io("read the keyslot area"))?;
        storage
            .write_at(Bytes::new(self.to.start), &material)
            .map_err(Error::io("write the keyslot area"))?;
        storage.sync().map_err(Error::io("sync the keyslot area"))?;
        let mut raw = header.raw().clone();
        self.apply(&mut raw);
        header.replace(storage, raw)
    }

    /// Destroys the rest of the old material behind the copies, unless the place has been reused by now.
    fn wipe_rest(&self, raw: &RawHeader, len: u64, storage: &mut dyn Storage, medium: Medium) -> Result<()> {
        let rest = Place {
            start: self.from.start.max(AREAS_START),
            end: self.from.end,
        };
        let in_use = (0..KEYSLOTS).any(|slot| {
            let start = u64::from(raw.keyslots[slot].material_offset) * SECTOR_SIZE;
            let place = Place {
                start,
                end: start.saturating_add(len),
            };
            raw.keyslots[slot].state != STATE_INACTIVE && place.overlaps(rest)
        });
        match rest.end.checked_sub(rest.start) {
            Some(len) if len > 0 && !in_use => wipe_random(storage, Bytes::new(rest.start), Bytes::new(len), medium),
            _ => Ok(()),
        }
    }
}

/// The same volume as a LUKS2 header.
fn luks2_copy(header: &luks1::Header, raw: &RawHeader, end: u64) -> Result<Copy> {
    let encryption = format!("{}-{}", header.cipher_name(), header.cipher_mode());
    let key_size = raw.key_bytes;
    let mut keyslots = BTreeMap::new();
    for (id, keyslot) in KeyslotId::all(Version::Luks1).zip(header.keyslots()) {
        match keyslot.state {
            KeyslotState::Active => {}
            KeyslotState::Inactive => continue,
            KeyslotState::Invalid(_) => return Err(ConvertRefused::DamagedKeyslot(id).into()),
        }
        let offset = u64::from(raw.keyslots[id.index()].material_offset) * SECTOR_SIZE;
        let size = areas::area_size(key_size).ok_or(ConvertRefused::NoRoomToMove(id))?;
        let slot = Luks2Keyslot {
            kdf: SlotKdf::Pbkdf2 {
                hash: header.hash().into(),
                iterations: keyslot.iterations,
            },
            salt: keyslot.salt.to_vec(),
            af_hash: header.hash().into(),
            encryption: encryption.clone(),
            area_key_size: key_size,
        };
        keyslots.insert(
            id,
            Keyslot {
                kind: KeyslotKind::Luks2(slot),
                key_size,
                area: Area {
                    kind: "raw".into(),
                    offset: Bytes::new(offset),
                    size,
                    extra: Object::new(),
                },
                priority: None,
                extra: Object::new(),
            },
        );
    }
    let segment = Segment {
        kind: SegmentKind::Crypt(Crypt {
            iv_tweak: 0,
            encryption,
            sector_size: SECTOR_SIZE as u32,
            integrity: None,
        }),
        offset: header.payload_offset().bytes().unwrap_or_default(),
        size: None,
        flags: Vec::new(),
        extra: Object::new(),
    };
    let digest = Digest {
        kind: DigestKind::Pbkdf2 {
            hash: header.hash().into(),
            iterations: header.mk_iterations(),
            salt: header.mk_salt().to_vec(),
            digest: header.mk_digest().to_vec(),
        },
        keyslots: keyslots.keys().copied().collect(),
        segments: vec![0],
        extra: Object::new(),
    };
    let metadata = Metadata {
        keyslots,
        tokens: BTreeMap::new(),
        segments: BTreeMap::from([(0, segment)]),
        digests: BTreeMap::from([(0, digest)]),
        config: Config {
            json_size: DEFAULT_METADATA_SIZE
                .checked_sub(BINARY_HEADER_SIZE)
                .unwrap_or_default(),
            keyslots_size: Bytes::new(end - AREAS_START),
            flags: Vec::new(),
            requirements: Vec::new(),
            extra: Object::new(),
            requirements_extra: Object::new(),
        },
        extra: Object::new(),
    };
    validate::validate(&metadata, DEFAULT_METADATA_SIZE)?;
    let binary = BinaryHeader {
        hdr_size: DEFAULT_METADATA_SIZE,
        seqid: 1,
        label: Label::default(),
        checksum_hash: crate::hash::Hash::Sha256,
        salt: [0; 64],
        uuid: header.uuid().to_owned(),
        subsystem: Label::default(),
        hdr_offset: Bytes::ZERO,
    };
    Ok(Copy { binary, metadata })
}
