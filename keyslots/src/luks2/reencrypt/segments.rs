//! The active segments of a progress, and the progress of active segments.

use super::super::segment::{IN_REENCRYPTION, Segment, SegmentKind};
use super::placement::Placement;
use super::plan::{Plan, Progress, Zone};
use super::slot::Direction;
use super::state::Part;
use crate::units::{Bytes, SECTOR_SIZE};

impl Plan {
    /// The active segments at this progress, with `hot` being converted.
    pub fn segments(&self, at: Progress, hot: Option<Zone>) -> Vec<(Part, Segment)> {
        if self.is_done(at) {
            let flags = Vec::new();
            return vec![(
                Part::New,
                Segment {
                    flags,
                    ..self.found.last.clone()
                },
            )];
        }
        let (border, hot_len) = (at.border, hot.map_or(0, |zone| zone.len.get()));
        let forward = self.found.params.direction == Direction::Forward;
        // The data but for the moved ones, from one border to the next.
        let start = match self.found.placement {
            Placement::InPlace => 0,
            Placement::Up { shift, .. } => shift.get(),
            Placement::Down { moved, .. } => moved.get(),
        };
        let moved_hot = hot.is_some_and(|zone| zone.moved);
        let mut parts = Vec::new();
        if at.moved {
            parts.push((if moved_hot { Part::Hot } else { Part::Old }, 0, start));
        }
        let (before, behind) = if forward {
            (Part::New, Part::Old)
        } else {
            (Part::Old, Part::New)
        };
        let (from, to) = match (moved_hot, forward) {
            (true, _) => (border, border),
            (_, true) => (border, border + hot_len),
            (_, false) => (border - hot_len, border),
        };
        parts.extend([(before, start, from), (Part::Hot, from, to), (behind, to, self.size)]);
        parts.retain(|(_, from, to)| from < to);
        let last = parts.len().saturating_sub(1);
        let segment = |(index, (part, from, to)): (usize, (Part, u64, u64))| {
            let dynamic = self.dynamic && index == last && part != Part::Hot;
            (
                part,
                self.segment(part, from, (!dynamic).then_some(to - from), at.moved && index == 0),
            )
        };
        parts.into_iter().enumerate().map(segment).collect()
    }

    fn segment(&self, part: Part, start: u64, size: Option<u64>, moved: bool) -> Segment {
        let of = self.found.of_part(part);
        let offset = match (&self.found.moved, moved && part == Part::Old) {
            (Some(moved), true) => moved.offset.get(),
            _ => of.offset.get() + start,
        };
        let kind = match &of.kind {
            SegmentKind::Crypt(crypt) => {
                let mut crypt = crypt.clone();
                crypt.iv_tweak = start / SECTOR_SIZE;
                SegmentKind::Crypt(crypt)
            }
            other => other.clone(),
        };
        Segment {
            kind,
            offset: Bytes::new(offset),
            size: size.map(Bytes::new),
            flags: if part == Part::Hot {
                vec![IN_REENCRYPTION.to_owned()]
            } else {
                Vec::new()
            },
            extra: Default::default(),
        }
    }

    /// The lengths of active segments, a dynamic one's too.
    pub(super) fn lengths(&self, segments: &[(Part, Segment)]) -> Option<Vec<u64>> {
        let fixed = segments.iter().filter_map(|(_, segment)| segment.size);
        let fixed = fixed.map(Bytes::get).try_fold(0_u64, u64::checked_add)?;
        let rest = self.size.checked_sub(fixed)?;
        let length = |(_, segment): &(Part, Segment)| segment.size.map_or(rest, Bytes::get);
        Some(segments.iter().map(length).collect())
    }

    /// What the active segments say, if they say something at all.
    pub(super) fn read_progress(&self) -> Option<(Progress, Option<Zone>)> {
        let active = &self.found.active;
        let lengths = self.lengths(active)?;
        let sum = |wanted: Part| -> u64 {
            let of = active.iter().zip(&lengths).filter(|((part, _), _)| *part == wanted);
            of.map(|(_, len)| len).sum()
        };
        let (old, hot, new) = (sum(Part::Old), sum(Part::Hot), sum(Part::New));
        let first_hot = matches!(active.first(), Some((Part::Hot, _)));
        let moves = self.found.placement != Placement::InPlace;
        let forward = self.found.params.direction == Direction::Forward;
        if moves && old == 0 && hot == 0 {
            let border = if forward { self.size } else { 0 };
            return Some((Progress { border, moved: false }, None));
        }
        let border = match self.found.placement {
            _ if moves && first_hot && forward => self.size,
            _ if moves && first_hot => hot,
            Placement::InPlace if forward => new,
            Placement::InPlace | Placement::Up { .. } => old.checked_add(hot)?,
            Placement::Down { moved, .. } => new.checked_add(moved.get())?,
        };
        let now = Progress { border, moved: moves };
        if border > self.size {
            return None;
        }
        let zone = match () {
            () if hot == 0 => None,
            () if moves && first_hot => Some(self.moved_zone()),
            () if forward => Some(self.zone(border, hot)),
            () => Some(self.zone(border.checked_sub(hot)?, hot)),
        };
        // A zone that overlaps its own old bytes, or lies where it cannot.
        let fits = |zone: &Zone| zone.len.get() <= self.size && (!moves || zone.len.get() <= self.longest_moving());
        let within = match self.found.placement {
            Placement::InPlace => true,
            Placement::Up { shift, .. } => border >= shift.get(),
            Placement::Down { moved, .. } => border >= moved.get(),
        };
        (within && zone.as_ref().is_none_or(fits)).then_some((now, zone))
    }

    fn longest_moving(&self) -> u64 {
        self.found.params.resilience.shift.map_or(0, Bytes::get)
    }
}
