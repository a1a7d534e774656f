//! The fields of a report for an area, a region or a group.

use std::time::Duration;

use super::histogram::{Before, Style};
use super::region::{Counters, Region, ranges};
use super::size::Unit;
use crate::dm::Printable;
use crate::dmsetup::device_row::{DeviceRow, Untold};
use crate::dmsetup::report::{Cell, Id, Needs, Row};

/// The format of numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) unit: Unit,
    pub(super) style: Style,
}

/// The object of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// One area, by its number.
    Area(u64),
    Region,
    /// Its members.
    Group,
}

/// One row.
pub(super) struct StatsRow<'a> {
    pub(super) device: &'a DeviceRow<'a>,
    /// The region, or the first of a group.
    pub(super) region: &'a Region,
    pub(super) object: Object,
    /// The group that it is in: its first region.
    pub(super) group: Option<&'a Region>,
    /// Begin and length, in sectors.
    pub(super) extent: (u64, u64),
    /// The counters, and their period.
    pub(super) counted: Option<(Counters, Duration)>,
    pub(super) form: Form,
}

impl StatsRow<'_> {
    fn about_region(&self, id: Id) -> Option<Cell> {
        let (start, length) = self.extent;
        let size = |sectors| Cell::shown(self.form.unit.show(sectors), sectors);
        let is_group = self.object == Object::Group;
        let area = match self.object {
            Object::Area(area) => area,
            _ => 0,
        };
        let offset = area.saturating_mul(self.region.step);
        let group = self.group.and_then(|first| Some((first, first.group.as_ref()?)));
        Some(match id {
            Id::RegionId => match group {
                Some((first, group)) if is_group => Cell::shown(ranges(&group.members), first.id),
                _ => Cell::number(self.region.id),
            },
            Id::RegionStart => size(start),
            Id::RegionLen => size(length),
            Id::AreaId => Cell::number(area),
            Id::AreaStart => size(start.saturating_add(offset)),
            Id::AreaOffset => size(offset),
            Id::AreaLen => size(if is_group { length } else { self.region.step }),
            Id::AreaCount => Cell::number(if is_group { 1 } else { self.region.areas() }),
            Id::GroupId => match group {
                Some((first, _)) => Cell::number(first.id),
                None => Cell::shown("-", u64::MAX),
            },
            Id::ProgramId => shown(&self.region.program),
            Id::UserData if is_group => Cell::text(""),
            Id::UserData => shown(&self.region.user_data),
            Id::Precise => Cell::text(if self.region.precise { "1" } else { "0" }),
            Id::HistBins => Cell::text(match self.region.bounds.len() {
                0 => "0".into(),
                bounds => (bounds + 1).to_string(),
            }),
            Id::HistBounds => Cell::text(self.form.style.bounds(&self.region.bounds)),
            Id::HistRanges => Cell::text(self.form.style.ranges(&self.region.bounds)),
            Id::StatsName => match group {
                // The kernel stores one word: a blank in a file's name is mangled there.
                Some((_, group)) if !group.alias.is_empty() => shown(&group.alias.replace(r"\x20", " ")),
                _ => return self.device.cell(Id::Name).ok(),
            },
            Id::ObjType => Cell::text(match self.object {
                Object::Area(_) => "area",
                Object::Region => "region",
                Object::Group => "group",
            }),
            _ => return None,
        })
    }

    fn about_counters(&self, id: Id) -> Option<Cell> {
        let (counters, time) = self.counted.as_ref()?;
        let [
            reads,
            reads_merged,
            read_sectors,
            read_time,
            writes,
            writes_merged,
            write_sectors,
            write_time,
            in_progress,
            io,
            queue,
            read_ticks,
            write_ticks,
        ] = counters.numbers;
        let seconds = time.as_secs_f64();
        let real = |value: f64| Cell::shown(format!("{value:.2}"), value as u64);
        let per = |value: u64, of: f64| if of > 0.0 { value as f64 / of } else { 0.0 };
        let per_second = |value: u64| real(per(value, seconds));
        let size_per_second = |sectors: u64| {
            let sectors = per(sectors, seconds) as u64;
            Cell::shown(self.form.unit.show(sectors), sectors)
        };
        // In milliseconds.
        let wait = |time: u64, requests: u64| real(per(time, requests as f64) / 1e6);
        let requests = reads.saturating_add(writes);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let histogram = |before, relative| {
            let (bounds, counts) = (&self.region.bounds, &counters.histogram);
            Cell::text(self.form.style.counts(bounds, counts, before, relative))
        };
        Some(match id {
            Id::ReadCount => Cell::number(reads),
            Id::ReadsMergedCount => Cell::number(reads_merged),
            Id::ReadSectorCount => Cell::number(read_sectors),
            Id::ReadTime => Cell::number(read_time),
            Id::WriteCount => Cell::number(writes),
            Id::WritesMergedCount => Cell::number(writes_merged),
            Id::WriteSectorCount => Cell::number(write_sectors),
            Id::WriteTime => Cell::number(write_time),
            Id::InProgressCount => Cell::number(in_progress),
            Id::IoTicks => Cell::number(io),
            Id::QueueTicks => Cell::number(queue),
            Id::ReadTicks => Cell::number(read_ticks),
            Id::WriteTicks => Cell::number(write_ticks),
            Id::ReadsMergedPerSec => per_second(reads_merged),
            Id::WritesMergedPerSec => per_second(writes_merged),
            Id::ReadsPerSec => per_second(reads),
            Id::WritesPerSec => per_second(writes),
            Id::ReadSizePerSec => size_per_second(read_sectors),
            Id::WriteSizePerSec => size_per_second(write_sectors),
            Id::AvgRequestSize => {
                let sectors = read_sectors
                    .saturating_add(write_sectors)
                    .checked_div(requests)
                    .unwrap_or(0);
                Cell::shown(self.form.unit.show(sectors), sectors)
            }
            Id::QueueSize => real(per(queue, nanoseconds as f64)),
            Id::Await => wait(read_time.saturating_add(write_time), requests),
            Id::ReadAwait => wait(read_time, reads),
            Id::WriteAwait => wait(write_time, writes),
            Id::Throughput => per_second(requests),
            Id::ServiceTime => wait(io.min(nanoseconds), requests),
            Id::Util => real((per(io, nanoseconds as f64) * 100.0).min(100.0)),
            Id::HistCount => histogram(Before::Nothing, false),
            Id::HistCountBounds => histogram(Before::Bound, false),
            Id::HistCountRanges => histogram(Before::Range, false),
            Id::HistPercent => histogram(Before::Nothing, true),
            Id::HistPercentBounds => histogram(Before::Bound, true),
            Id::HistPercentRanges => histogram(Before::Range, true),
            Id::IntervalNs => Cell::number(nanoseconds),
            Id::Interval => Cell::shown(format!("{seconds:.6}"), time.as_secs()),
            _ => return None,
        })
    }
}

fn shown(text: &str) -> Cell {
    Cell::text(Printable(text.as_bytes()).to_string())
}

impl Row<Untold> for StatsRow<'_> {
    fn cell(&self, id: Id) -> Result<Cell, Untold> {
        let cell = match id.needs() {
            Needs::Region => self.about_region(id),
            Needs::Stats => self.about_counters(id),
            _ => return self.device.cell(id),
        };
        cell.map_or_else(|| self.device.cell(id), Ok)
    }
}
