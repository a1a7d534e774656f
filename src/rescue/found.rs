//! One header where it was found: which of its copies are sound, what they say, and what of it would be sound again.

use std::ops::Range;
use std::time::Instant;

use keyslots::hash::Hash;
use keyslots::header::{Header, Version};
use keyslots::luks1::{self, HEADER_LEN};
use keyslots::luks2::Defect;
use keyslots::luks2::copies::{self, OtherCopy, read_one};
use keyslots::luks2::format::{BINARY_HEADER_LEN, HEADER_SIZES, Which};
use keyslots::luks2::mend::{self, Damaged, How};
use keyslots::storage::Storage;
use keyslots::units::Bytes;
use keyslots::{Error, KeyslotId};

use super::content::{self, Data, KeyslotState};
use super::looks::{self, Part};
use super::window::{Overlay, Window};
use crate::block_device::signatures::{self, Signature};

/// Parts that are described for one copy or keyslot.
pub(super) const MOST_PARTS: usize = 16;

/// Where a header starts, and what the search knows of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) luks1: bool,
    /// A copy is this large, as second copies say.
    pub(super) sizes: Vec<u64>,
    /// How many JSON areas say so.
    pub(super) texts: u32,
    /// Whether the start of a header or a copy was recognized, and not a JSON area alone.
    pub(super) is_start: bool,
    /// The end of the partition that starts here, or of the disk.
    pub(super) end: u64,
}

/// A header that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its start on the disk.
    pub start: u64,
    /// Its version.
    pub version: Version,
    /// The UUID, as unvalidated text, if any copy tells it.
    pub uuid: Option<String>,
    /// Its copies: two of LUKS2, one of LUKS1.
    pub copies: Vec<CopyState>,
    /// The header as programs read it, or as they would after the repair; `None` where there is none.
    pub header: Option<Header>,
    /// What makes it whole again, if anything is needed and possible.
    pub repair: Option<Repair>,
    /// Its keyslots.
    pub keyslots: Vec<KeyslotState>,
    /// Its data.
    pub data: Option<Data>,
    /// Other formats whose signatures are where the header is.
    pub foreign: Vec<Signature>,
    /// A digest of the bytes that were looked at, by which a change is noticed.
    pub(super) seen: [u8; 32],
    /// The size that the device must have for its keyslots, where it is smaller.
    pub needed: Option<u64>,
    /// The bytes from its start on that hold its metadata.
    pub(super) metadata_len: u64,
}

/// A copy of a header.
#[derive(Clone, Debug)]
pub struct CopyState {
    /// Which.
    pub which: Which,
    /// Its place on the disk.
    pub range: Range<u64>,
    /// Its sequence number, where it has one.
    pub seqid: Option<u64>,
    /// Whether it can be used.
    pub condition: Condition,
    /// The parts that are damaged, by what they look like now, from the start of the header; empty where that is unknown.
    pub damage: Vec<Part>,
}

/// The condition of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is valid.
    Sound,
    /// It is valid, and older than the other.
    Stale,
    /// It is not valid.
    Damaged(String),
}

/// What makes a header whole again.
#[derive(Clone, Debug)]
pub struct Repair {
    /// How.
    pub kind: RepairKind,
    /// What is written, from the start of the header, in this order.
    pub(super) writes: Vec<(u64, Vec<u8>)>,
}

/// The ways to make a header whole again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairKind {
    /// This copy is written anew from the other.
    Copy(Which),
    /// This copy is restored, as its checksum proves, and the other from it.
    Mended(Which, How),
    /// Both copies are made from the JSON area of this one, which is all that is left; whether the UUID is too.
    Rebuilt(Which, bool),
    /// Fields of LUKS1 that follow from others.
    Fields(Vec<luks1::mend::Field>),
}

/// What the examination of all headers of a disk may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// When the searches for flipped bits end.
    pub(super) deadline: Instant,
    /// Bytes of metadata still to be read.
    pub(super) metadata: u64,
    /// Headers of which the keyslots and the data are still to be looked at.
    pub(super) contents: u32,
}

impl Found {
    /// Looks at the header at a place; `None` where it is none after all.
    pub(super) fn at(disk: &mut dyn Storage, place: &Place, budget: &mut Budget) -> Option<Self> {
        let len = place.end.checked_sub(place.start)?;
        let mut window = Window::new(disk, place.start, len);
        let mut found = match place.luks1 {
            true => Self::luks1(&mut window, place)?,
            false => Self::luks2(&mut window, place, budget)?,
        };
        found.seen = digest(&mut window, found.metadata_len);
        if let Some(header) = &found.header
            && budget.contents > 0
        {
            budget.contents -= 1;
            let mut overlay = Overlay::new(&mut window);
            if let Some(repair) = &found.repair {
                overlay.writes.clone_from(&repair.writes);
            }
            found.keyslots = content::keyslots(header, &mut overlay);
            found.data = content::data(header, &mut window, len);
        }
        let header_end = found
            .header
            .as_ref()
            .map_or(found.metadata_len, |header| header.size().get());
        let others = signatures::probe_readable(&mut window).unwrap_or_default();
        found.foreign = others
            .into_iter()
            .filter(|other| other.name != "crypto_LUKS" && other.offset.get() < header_end)
            .collect();
        Some(found)
    }

    /// Whether programs read it as it is.
    pub fn is_readable(&self) -> bool {
        let needs = |kind: &RepairKind| !matches!(kind, RepairKind::Copy(_));
        self.header.is_some() && !self.repair.as_ref().is_some_and(|repair| needs(&repair.kind))
    }

    /// Whether nothing of its metadata is damaged.
    pub fn is_whole(&self) -> bool {
        self.header.is_some() && self.repair.is_none()
    }

    /// The keyslots that hold the key of the data and look intact.
    pub fn usable_keyslots(&self) -> Vec<KeyslotId> {
        let usable = self
            .keyslots
            .iter()
            .filter(|keyslot| keyslot.is_for_data && keyslot.is_intact());
        usable.map(|keyslot| keyslot.slot).collect()
    }

    /// The highest sequence number of its copies.
    pub fn seqid(&self) -> Option<u64> {
        self.copies.iter().filter_map(|copy| copy.seqid).max()
    }

    /// Its copy, if that is damaged.
    pub fn damaged_copies(&self) -> impl Iterator<Item = &CopyState> {
        self.copies
            .iter()
            .filter(|copy| matches!(copy.condition, Condition::Damaged(_)))
    }

    fn luks1(window: &mut Window<'_>, place: &Place) -> Option<Self> {
        let mut bytes = [0; HEADER_LEN];
        window.read_at(Bytes::ZERO, &mut bytes).ok()?;
        let size = window.size().ok();
        let mended = luks1::mend::mend(&bytes, size);
        let read = luks1::Header::from_bytes(&bytes, size);
        let needed = match &read {
            Err(Error::Luks1(luks1::Defect::MaterialPastDevice { end, .. })) => Some(end.get()),
            _ => None,
        };
        // What programs read as it is stays: they may know a cipher that is a few bits from a known one.
        let (condition, header, repair) = match (read, mended) {
            (Ok(header), _) => (Condition::Sound, Some(header), None),
            (Err(error), None) => (Condition::Damaged(error.to_string()), None, None),
            (Err(error), Some(mended)) => {
                let repair = Repair {
                    kind: RepairKind::Fields(mended.fields),
                    writes: vec![(0, mended.header.raw().to_bytes().to_vec())],
                };
                (Condition::Damaged(error.to_string()), Some(mended.header), Some(repair))
            }
        };
        let damage = match &repair {
            Some(repair) => differing(&repair.writes[0].1, &bytes, 0),
            None => Vec::new(),
        };
        let uuid = header.as_ref().map(|header| header.uuid().to_owned());
        Some(Self {
            start: place.start,
            version: Version::Luks1,
            uuid: uuid.or_else(|| uuid_in(&bytes)),
            copies: vec![CopyState {
                which: Which::Primary,
                range: place.start..place.start + HEADER_LEN as u64,
                seqid: None,
                condition,
                damage,
            }],
            header: header.map(Header::Luks1),
            repair,
            keyslots: Vec::new(),
            data: None,
            foreign: Vec::new(),
            seen: [0; 32],
            needed,
            metadata_len: 4096,
        })
    }

    fn luks2(window: &mut Window<'_>, place: &Place, budget: &mut Budget) -> Option<Self> {
        let first = read_one(window, Bytes::ZERO);
        let sizes = copy_sizes(
            window,
            place,
            first.as_ref().ok().map(|copy| copy.binary.hdr_size.get()),
        );
        let size = *sizes.first()?;
        budget.metadata = budget.metadata.checked_sub(2 * size)?;
        let second = read_one(window, Bytes::new(size));
        let raw = [0, size].map(|at| raw(window, at, size));
        let seqids = [&first, &second].map(|copy| copy.as_ref().ok().map(|copy| copy.binary.seqid));
        let newest = seqids.into_iter().flatten().max();
        let needed = [&first, &second].into_iter().find_map(|copy| match copy {
            Err(Defect::DeviceTooSmall { needed, .. }) => Some(*needed),
            _ => None,
        });
        let uuids = [&first, &second].map(|copy| copy.as_ref().ok().map(|copy| copy.binary.uuid.clone()));
        let mut states: Vec<CopyState> = Vec::new();
        for (n, (which, copy)) in [(Which::Primary, &first), (Which::Secondary, &second)]
            .into_iter()
            .enumerate()
        {
            let start = place.start + n as u64 * size;
            states.push(CopyState {
                which,
                range: start..start + size,
                seqid: seqids[n],
                condition: match copy {
                    Err(defect) => Condition::Damaged(defect.to_string()),
                    Ok(copy) if Some(copy.binary.seqid) < newest => Condition::Stale,
                    Ok(_) => Condition::Sound,
                },
                damage: Vec::new(),
            });
        }
        let (mut header, mut repair) = (
            Header::read(window).ok().filter(|header| header.luks2().is_some()),
            None,
        );
        let mut whole = raw.clone();
        match header.as_mut() {
            Some(Header::Luks2(read)) => {
                if let Some(which) = read.other_copy().needs_recovery() {
                    let mut overlay = Overlay::new(window);
                    let restored = read.clone().recover(&mut overlay).is_ok() && is_whole(&mut overlay);
                    let writes = overlay.writes;
                    repair = restored.then_some(Repair {
                        kind: RepairKind::Copy(which),
                        writes,
                    });
                }
            }
            // It is as it should be, and the device is not.
            _ if needed.is_some() => {}
            _ => {
                // A JSON area alone has lost its checksum, which a search would need.
                let mended = place.is_start.then(|| mend_copy(window, &raw, size, budget));
                repair = mended.flatten().or_else(|| rebuild(window, &raw));
            }
        }
        if let Some(repair) = &repair {
            for (at, bytes) in &repair.writes {
                for (n, whole) in whole.iter_mut().enumerate() {
                    let start = n as u64 * size;
                    if (start..start + size).contains(at) {
                        let at = (at - start) as usize;
                        whole[at..at + bytes.len()].copy_from_slice(bytes);
                    }
                }
            }
            if header.is_none() {
                let mut overlay = Overlay::new(window);
                overlay.writes.clone_from(&repair.writes);
                header = Header::read(&mut overlay).ok();
            }
        }
        for (n, copy) in states.iter_mut().enumerate() {
            if repair.is_some() && matches!(copy.condition, Condition::Damaged(_)) {
                copy.damage = differing(&whole[n], &raw[n], n as u64 * size);
            }
        }
        let uuid = header.as_ref().map(|header| header.uuid().to_owned());
        let uuid = uuid.or_else(|| uuids.into_iter().flatten().next());
        Some(Self {
            start: place.start,
            version: Version::Luks2,
            uuid: uuid.or_else(|| raw.iter().find_map(|bytes| uuid_in(bytes))),
            copies: states,
            header,
            repair,
            keyslots: Vec::new(),
            data: None,
            foreign: Vec::new(),
            seen: [0; 32],
            needed,
            metadata_len: 2 * size,
        })
    }
}

/// The sizes that a copy may have, the likeliest first.
fn copy_sizes(window: &mut Window<'_>, place: &Place, stated: Option<u64>) -> Vec<u64> {
    let valid = place
        .sizes
        .iter()
        .copied()
        .find(|size| read_one(window, Bytes::new(*size)).is_ok());
    let mut start = [0; BINARY_HEADER_LEN];
    let read = window.read_at(Bytes::ZERO, &mut start);
    let field = read.ok().map(|()| {
        start[8..16]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    });
    let field = field.filter(|size| HEADER_SIZES.contains(&Bytes::new(*size)));
    let smallest = HEADER_SIZES[0].get();
    let all = stated
        .into_iter()
        .chain(valid)
        .chain(place.sizes.iter().copied())
        .chain(field)
        .chain([smallest]);
    all.collect()
}

/// The bytes of a copy; those that cannot be read are zeros.
fn raw(window: &mut Window<'_>, at: u64, size: u64) -> Vec<u8> {
    let mut bytes = vec![0; size as usize];
    if window.read_at(Bytes::new(at), &mut bytes).is_err() {
        for (n, sector) in bytes.chunks_mut(512).enumerate() {
            if window.read_at(Bytes::new(at + n as u64 * 512), sector).is_err() {
                sector.fill(0);
            }
        }
    }
    bytes
}

/// Restores a copy by its checksum, and the other from it.
fn mend_copy(window: &mut Window<'_>, raw: &[Vec<u8>; 2], size: u64, budget: &Budget) -> Option<Repair> {
    let deadline = budget.deadline;
    let stop = move || Instant::now() >= deadline;
    // Cheap ways first, for both copies.
    for exhaustive in [false, true] {
        for (n, which) in [Which::Primary, Which::Secondary].into_iter().enumerate() {
            let damaged = Damaged {
                bytes: &raw[n],
                which,
                other: Some(&raw[1 - n]),
            };
            if stop() || !damaged.is_plausible() {
                return None;
            }
            let mended = match exhaustive {
                true => damaged.find_flip(&stop),
                false => damaged.mend(&stop),
            };
            let Some(mended) = mended else { continue };
            let mut overlay = Overlay::new(window);
            // Whole sectors: none is written in parts.
            for sector in sectors(&mended.changed) {
                let at = n as u64 * size + sector.start as u64;
                overlay.writes.push((at, mended.bytes[sector].to_vec()));
            }
            let Ok(Header::Luks2(mut header)) = Header::read(&mut overlay) else {
                continue;
            };
            if header.recover(&mut overlay).is_ok() && is_whole(&mut overlay) {
                let kind = RepairKind::Mended(which, mended.how);
                return Some(Repair {
                    kind,
                    writes: overlay.writes,
                });
            }
        }
    }
    None
}

/// Makes both copies from a JSON area.
fn rebuild(window: &mut Window<'_>, raw: &[Vec<u8>; 2]) -> Option<Repair> {
    let uuid = raw.iter().find_map(|bytes| uuid_in(bytes));
    for (which, bytes) in [Which::Primary, Which::Secondary].into_iter().zip(raw) {
        let Some(copy) = mend::rebuild(&bytes[BINARY_HEADER_LEN..], uuid.as_deref()) else {
            continue;
        };
        let mut overlay = Overlay::new(window);
        if copy.binary.hdr_size.get() == bytes.len() as u64
            && copies::write(&mut overlay, &copy).is_ok()
            && is_whole(&mut overlay)
        {
            let kind = RepairKind::Rebuilt(which, uuid.is_some());
            return Some(Repair {
                kind,
                writes: overlay.writes,
            });
        }
    }
    None
}

fn is_whole(storage: &mut dyn Storage) -> bool {
    let header = Header::read(storage).ok();
    let whole = |header: &keyslots::luks2::Header| *header.other_copy() == OtherCopy::Agrees;
    header.is_some_and(|header| header.luks2().is_some_and(whole))
}

/// The sectors that these ranges are in, those that touch together.
fn sectors(ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        let (start, end) = (range.start / 512 * 512, range.end.next_multiple_of(512));
        match found.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => found.push(start..end),
        }
    }
    found
}

/// The sectors of a copy that are not as they should be, and what they look like.
fn differing(right: &[u8], found: &[u8], start: u64) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let sectors = right.chunks(512).zip(found.chunks(512)).enumerate();
    for (n, (_, found)) in sectors.filter(|(_, (right, found))| right != found) {
        let (at, looks) = (start + n as u64 * 512, looks::Looks::of(found));
        let has_room = parts.len() < MOST_PARTS;
        match parts.last_mut() {
            Some(last) if last.range.end == at && (last.looks == looks || !has_room) => {
                last.range.end = at + found.len() as u64;
            }
            _ if has_room => parts.push(Part {
                range: at..at + found.len() as u64,
                looks,
            }),
            _ => {}
        }
    }
    parts
}

/// The UUID field of a start of a header, where it holds one.
fn uuid_in(bytes: &[u8]) -> Option<String> {
    let field = bytes.get(168..208)?.split(|byte| *byte == 0).next()?;
    let text = std::str::from_utf8(field).ok()?;
    keyslots::uuid::is_uuid(text).then(|| text.to_owned())
}

/// A digest of the start of a storage; what cannot be read counts as zeros.
pub(super) fn digest(storage: &mut dyn Storage, len: u64) -> [u8; 32] {
    const CHUNK: u64 = 64 * 1024;
    let mut sum = [0; 32];
    let (mut at, mut bytes) = (0, vec![0; CHUNK as usize]);
    while at < len {
        let chunk = (len - at).min(CHUNK) as usize;
        if storage.read_at(Bytes::new(at), &mut bytes[..chunk]).is_err() {
            bytes[..chunk].fill(0);
        }
        let before = sum;
        Hash::Sha256.digest(&[&before, &bytes[..chunk]], &mut sum);
        at += chunk as u64;
    }
    sum
}
