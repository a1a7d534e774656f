//! The geometry of a reencryption on a data device of a certain size: which zone comes next, where its bytes are before and
//! after, and what the segments are then.
//!
//! Offsets within the data are *logical*: they do not change when data move.

use super::super::Defect;
use super::super::segment::Segment;
use super::placement::Placement;
use super::slot::{Direction, Guard};
use super::state::{Part, Reencryption};
use crate::units::{Bytes, SECTOR_SIZE};

/// The length of a zone that nothing else bounds.
const DEFAULT_ZONE: u64 = 20 << 20;
/// The largest block that is hashed as one: as much is read at once.
const MAX_BLOCK: u64 = 1 << 20;
/// The largest zone that cryptsetup makes.
const MAX_ZONE: u64 = 1 << 30;

/// A part of the data that is converted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its logical start.
    pub start: Bytes,
    /// Its length.
    pub len: Bytes,
    /// The place of its old bytes on the data device.
    pub from: Bytes,
    /// The place of its new bytes; the same one where it is converted in place.
    pub to: Bytes,
    /// Whether it is the one that was moved out of the way. It comes last.
    pub moved: bool,
}

impl Zone {
    /// Whether it is overwritten where it is, so that only its keyslot's area has what is lost by an interruption.
    pub fn in_place(&self) -> bool {
        self.from == self.to
    }

    /// Its logical end.
    pub fn end(&self) -> Bytes {
        self.start.checked_add(self.len).unwrap_or(Bytes::new(u64::MAX))
    }

    /// The number of its first sector, for the IV.
    pub fn first_sector(&self) -> u64 {
        self.start.get() / SECTOR_SIZE
    }
}

/// How far the data are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Forward, what is before this logical offset is converted, backward what is behind it; but for the moved data.
    pub(super) border: u64,
    /// Whether there are moved data that are not converted.
    pub(super) moved: bool,
}

/// What bounds the length of a zone beside its keyslot's area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneLimits {
    /// The requested length.
    pub wanted: Option<Bytes>,
    /// The largest zone allowed.
    pub memory: Option<Bytes>,
    /// The logical block size of the data device.
    pub block: Bytes,
}

/// A reencryption on a data device of a certain size.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) found: Reencryption,
    /// The size of the data.
    pub(super) size: u64,
    device: u64,
    /// Whether the data take all of the device.
    pub(super) dynamic: bool,
    now: Progress,
    hot: Option<Zone>,
}

impl Plan {
    /// Plans `found` on a data device of this size, and checks that the active segments are what some progress of it gives.
    ///
    /// # Errors
    /// The [`Defect`].
    pub fn new(found: &Reencryption, device: Bytes) -> Result<Self, Defect> {
        let (size, natural) = data_size(found, device).ok_or(NO_ROOM)?;
        let mut plan = Self {
            size,
            device: device.get(),
            dynamic: found.previous.size.is_none() && size == natural,
            now: Progress {
                border: 0,
                moved: false,
            },
            hot: None,
            found: found.clone(),
        };
        plan.check_alignment()?;
        let unexpected = Defect::Reencryption("the active segments are not those of any progress");
        let (now, hot) = plan.read_progress().ok_or(unexpected.clone())?;
        (plan.now, plan.hot) = (now, hot);
        let expected = plan.segments(now, hot);
        let same = |(ours, theirs): (&(Part, Segment), &(Part, Segment))| {
            ours.0 == theirs.0
                && ours.1.offset == theirs.1.offset
                && ours.1.crypt().map(|crypt| crypt.iv_tweak) == theirs.1.crypt().map(|crypt| crypt.iv_tweak)
        };
        let ends = |segments: &[(Part, Segment)]| plan.lengths(segments);
        let active = &plan.found.active;
        match expected.len() == active.len() && expected.iter().zip(active).all(same) && ends(&expected) == ends(active)
        {
            true => Ok(plan),
            false => Err(unexpected),
        }
    }

    /// The reencryption.
    pub fn reencryption(&self) -> &Reencryption {
        &self.found
    }

    /// How far the metadata say it is; within a zone, how far it was before.
    pub fn progress(&self) -> Progress {
        self.now
    }

    /// The zone that was being converted when it was interrupted.
    pub fn interrupted(&self) -> Option<Zone> {
        self.hot
    }

    /// The size of the data.
    pub fn size(&self) -> Bytes {
        Bytes::new(self.size)
    }

    /// Whether all data are converted.
    pub fn is_done(&self, at: Progress) -> bool {
        match (self.found.placement, self.found.params.direction) {
            (Placement::InPlace, Direction::Forward) => at.border == self.size,
            (Placement::InPlace, Direction::Backward) => at.border == 0,
            _ => !at.moved,
        }
    }

    /// How many bytes are converted, and of how many, as progress shows it.
    pub fn bytes_done(&self, at: Progress) -> (Bytes, Bytes) {
        let (done, all) = match (self.found.placement, self.found.params.direction) {
            (Placement::InPlace, Direction::Forward) => (at.border, self.size),
            (Placement::InPlace, Direction::Backward) => (self.size - at.border, self.size),
            (Placement::Up { shift, .. }, _) => {
                let all = self.device - shift.get();
                (if at.moved { all - at.border } else { all }, all)
            }
            (Placement::Down { moved, .. }, _) => {
                (if at.moved { at.border - moved.get() } else { self.size }, self.size)
            }
        };
        (Bytes::new(done), Bytes::new(all))
    }

    /// The length of zones within `limits`.
    ///
    /// # Errors
    /// The [`Defect`] of a keyslot's area that holds no zone at all, or of a hash that is unknown.
    pub fn zone_length(&self, limits: ZoneLimits) -> Result<Bytes, Defect> {
        if let Some(shift) = self.found.params.resilience.shift {
            return Ok(shift);
        }
        let wanted = limits.wanted.map(Bytes::get);
        let room = match self.room()? {
            Some(room) => room,
            None => wanted.unwrap_or(DEFAULT_ZONE),
        };
        let memory = limits.memory.map_or(MAX_ZONE, Bytes::get);
        let most = room.min(MAX_ZONE).min(memory).min(wanted.unwrap_or(MAX_ZONE));
        let unit = match self.found.params.resilience.guard {
            Guard::Checksum { block, .. } if Bytes::new(block.into()) < limits.block => {
                return Err(self.bad_area(
                    "sector_size",
                    block,
                    "must not be below the logical block size of the data device",
                ));
            }
            Guard::Checksum { block, .. } => block.into(),
            _ => self.sector_size().max(limits.block.get()),
        };
        match most / unit * unit {
            0 => Err(Defect::Reencryption("there is no room for the protection of a zone")),
            len => Ok(Bytes::new(len)),
        }
    }

    /// The longest zone whose protection the keyslot's area holds; `None` where it needs none.
    fn room(&self) -> Result<Option<u64>, Defect> {
        let area = self.found.area_size.get();
        Ok(match &self.found.params.resilience.guard {
            Guard::None => None,
            Guard::Journal => Some(area),
            Guard::Checksum { hash, block } => {
                let unknown = || self.bad_area("hash", hash.as_str(), "is not a hash that is known here");
                let known = hash.known().ok_or_else(unknown)?;
                Some((area / known.output_len() as u64).saturating_mul((*block).into()))
            }
        })
    }

    /// The zone that comes next, at most `len` long; `None` where all are converted.
    pub fn next_zone(&self, at: Progress, len: Bytes) -> Option<Zone> {
        if self.is_done(at) {
            return None;
        }
        let Progress { border, .. } = at;
        Some(match (self.found.placement, self.found.params.direction) {
            (Placement::InPlace, Direction::Forward) => self.zone(border, len.get().min(self.size - border)),
            (Placement::InPlace, Direction::Backward) => {
                let len = len.get().min(border);
                self.zone(border - len, len)
            }
            (Placement::Up { shift, .. }, _) if border == shift.get() => self.moved_zone(),
            (Placement::Up { shift, .. }, _) => {
                let start = border.saturating_sub(shift.get()).max(shift.get());
                self.zone(start, border - start)
            }
            (Placement::Down { .. }, _) if border == self.size => self.moved_zone(),
            (Placement::Down { shift, .. }, _) => self.zone(border, shift.get().min(self.size - border)),
        })
    }

    /// The progress when `zone`, which comes after `at`, is converted.
    pub fn after(&self, at: Progress, zone: &Zone) -> Progress {
        match (self.found.params.direction, zone.moved) {
            (_, true) => Progress { moved: false, ..at },
            (Direction::Forward, _) => Progress {
                border: zone.start.get() + zone.len.get(),
                ..at
            },
            (Direction::Backward, _) => Progress {
                border: zone.start.get(),
                ..at
            },
        }
    }

    /// From where to where data have been converted from the begin of this plan to `at`, where none move.
    pub(super) fn converted_since(&self, at: Progress) -> (Bytes, Bytes) {
        let (one, other) = (Bytes::new(self.now.border), Bytes::new(at.border));
        (one.min(other), one.max(other))
    }

    pub(super) fn zone(&self, start: u64, len: u64) -> Zone {
        Zone {
            start: Bytes::new(start),
            len: Bytes::new(len),
            from: Bytes::new(self.found.previous.offset.get() + start),
            to: Bytes::new(self.found.last.offset.get() + start),
            moved: false,
        }
    }

    /// The moved data, which start where all data do.
    pub(super) fn moved_zone(&self) -> Zone {
        let (from, len) = match self.found.placement {
            Placement::Up { shift, moved, .. } => (moved, shift),
            Placement::Down { moved, .. } => (Bytes::ZERO, moved),
            Placement::InPlace => (self.found.last.offset, Bytes::ZERO),
        };
        Zone {
            from,
            len,
            moved: true,
            ..self.zone(0, 0)
        }
    }

    fn bad_area(&self, member: &str, value: impl ToString, rule: &'static str) -> Defect {
        Defect::Value {
            path: format!("keyslots.{}.area.{member}", self.found.keyslot),
            value: value.to_string(),
            rule,
        }
    }

    /// The largest sector of both encryptions: data are converted in multiples of it.
    pub fn sector_size(&self) -> u64 {
        let of = |segment: &Segment| segment.crypt().map_or(SECTOR_SIZE, |crypt| crypt.sector_size.into());
        of(&self.found.previous).max(of(&self.found.last))
    }

    fn check_alignment(&self) -> Result<(), Defect> {
        let sector = self.sector_size();
        let resilience = &self.found.params.resilience;
        if let Guard::Checksum { block, .. } = resilience.guard
            && !(sector..=MAX_BLOCK).contains(&block.into())
        {
            let rule = "must be from the encryption's sector size to 1 MiB";
            return Err(self.bad_area("sector_size", block, rule));
        }
        if let Some(shift) = resilience.shift.filter(|shift| !shift.get().is_multiple_of(sector)) {
            let rule = "must be a multiple of the encryption's sector size";
            return Err(self.bad_area("shift_size", shift.get(), rule));
        }
        if let Placement::Down { moved, .. } = self.found.placement
            && self.room()?.is_none_or(|room| room < moved.get())
        {
            return Err(Defect::Reencryption(
                "there is no room for the protection of the moved segment",
            ));
        }
        let sizes = self.found.active.iter().map(|(_, segment)| segment.size);
        let mut sizes = sizes.flatten().map(Bytes::get).chain([self.size]);
        match sizes.find(|size| !size.is_multiple_of(sector)) {
            Some(_) => Err(Defect::Reencryption("the data are not a multiple of the sector size")),
            None => Ok(()),
        }
    }
}

const NO_ROOM: Defect = Defect::Reencryption("the data device is too small for its segments");

/// The size of the data, and what it would be if they took all of the device. With this, no place of the data lies behind the
/// end of the device, so that later sums cannot overflow.
fn data_size(found: &Reencryption, device: Bytes) -> Option<(u64, u64)> {
    let mut sizes = found.active.iter().map(|(_, segment)| segment.size.map(Bytes::get));
    let fixed = sizes.try_fold(0_u64, |sum, size| sum.checked_add(size?));
    let reserved = match found.placement {
        Placement::InPlace => found.last.offset,
        Placement::Up { shift, .. } | Placement::Down { shift, .. } => shift,
    };
    let natural = device.checked_sub(reserved)?.get();
    let size = match found.placement {
        Placement::Up { moved, shift, size } => {
            moved.checked_add(shift).filter(|end| *end <= device)?;
            size.get()
        }
        _ => fixed.unwrap_or(natural),
    };
    let fits = match found.placement {
        Placement::Down { moved, .. } => size <= natural && size >= moved.get(),
        _ => size <= natural,
    };
    // The active segments are not verified: they may not reach behind data of a fixed size.
    let within = found.previous.size.is_none_or(|most| size <= most.get());
    (fits && within && size > 0).then_some((size, natural))
}
