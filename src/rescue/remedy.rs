//! The ways out, each of which was tried in memory: what is offered works, as far as anyone can know without the passphrase.

use std::ops::Range;
use std::path::PathBuf;

use keyslots::KeyslotId;

use super::backups;
use super::content::DataLooks;
use super::found::{Found, RepairKind};
use super::partitions::{Partition, Table, TableKind};
use super::report::{Report, Request};
use super::scan::Disk;
use super::window::Window;
use crate::block_device::signatures;

/// Backups of which more would not help.
const MOST_BACKUPS: usize = 5;
/// A table of partitions ends before this, and so do partitions begin behind it.
const TABLE_END: u64 = 1 << 20;
/// What a DOS partition table can address.
const DOS_END: u64 = 1 << 41;

/// A way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What is done.
    pub kind: RemedyKind,
    /// The header that it is for.
    pub start: u64,
    /// Its UUID, as unvalidated text, where it is known.
    pub uuid: Option<String>,
    /// Keyslots that look intact with it.
    pub keyslots: Vec<KeyslotId>,
    /// What the data look like with it.
    pub data: Option<DataLooks>,
}

/// The kinds of ways out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemedyKind {
    /// The header is made whole again.
    Repair(RepairKind),
    /// The header is restored from a backup.
    Backup {
        /// The backup.
        file: PathBuf,
        /// Whether something on the disk says that it is of this volume.
        same_volume: bool,
        /// Whether the disk has a later state of the header.
        is_older: bool,
        /// Keyslots that changed since.
        changed: Vec<KeyslotId>,
    },
    /// The volume is opened where it is, of this size.
    Open {
        /// From the header to the end of the data.
        size: u64,
    },
    /// The partition that was is made again, or one that is there is changed.
    Partition {
        /// The kind of table; `None` where there is none yet.
        table: Option<TableKind>,
        /// The partition to be changed.
        change: Option<u32>,
        /// The sectors that the table counts in.
        sector: u64,
        /// The size of the partition in bytes.
        size: u64,
    },
}

/// All remedies for what was found.
pub(super) fn remedies(disk: &mut dyn Disk, report: &Report, request: &Request) -> Vec<Remedy> {
    let mut all = Vec::new();
    let mut found: Vec<&Found> = report.found.iter().collect();
    found.sort_by_key(|found| (found.start != report.from, found.start));
    let at_start = report.found.iter().find(|found| found.start == 0);
    all.extend(
        found
            .iter()
            .filter(|found| found.start == report.from)
            .filter_map(|found| repair(report, found)),
    );
    if report.from == 0 {
        let needed =
            at_start.is_none_or(|found| !found.is_whole() || found.keyslots.iter().any(|slot| !slot.is_intact()));
        let usable = request.backups.iter().filter(|_| needed);
        let usable = usable
            .filter_map(|file| backups::look(file, disk, at_start))
            .take(MOST_BACKUPS);
        let restore = |backup: backups::Usable| Remedy {
            kind: RemedyKind::Backup {
                file: backup.file,
                same_volume: backup.same_volume,
                is_older: backup.is_older,
                changed: backup.changed,
            },
            start: 0,
            uuid: at_start.and_then(|found| found.uuid.clone()),
            keyslots: backup.keyslots,
            data: None,
        };
        all.extend(usable.map(restore));
    }
    for found in found {
        if found.start != report.from {
            all.extend(repair(report, found));
        }
        if found.start == 0 || !found.is_readable() || found.is_overwritten() || found.usable_keyslots().is_empty() {
            continue;
        }
        let is_partition = report
            .table
            .as_ref()
            .is_some_and(|table| table.at(found.start).is_some());
        let Some(size) = size(report, found).filter(|_| !is_partition) else {
            continue;
        };
        let open = of(found, RemedyKind::Open { size });
        match partition(disk, report, found, size).filter(|_| request.is_disk) {
            // A new table is a last resort.
            Some(kind @ RemedyKind::Partition { table: None, .. }) => all.extend([open, of(found, kind)]),
            Some(kind) => all.extend([of(found, kind), open]),
            None => all.push(open),
        }
    }
    all
}

fn of(found: &Found, kind: RemedyKind) -> Remedy {
    Remedy {
        kind,
        start: found.start,
        uuid: found.uuid.clone(),
        keyslots: found.usable_keyslots(),
        data: found.data.as_ref().map(|data| data.looks.clone()),
    }
}

/// The header made whole, unless no passphrase would open it, or another header or its keys are where it would be written.
fn repair(report: &Report, found: &Found) -> Option<Remedy> {
    let repair = found.repair.as_ref()?;
    let written = found.start..found.start + found.metadata_len;
    let overlaps = |other: &Found| {
        let is_hit = |range: Range<u64>| range.start < written.end && written.start < range.end;
        let slots = other.keyslots.iter();
        let mut material =
            slots.map(|keyslot| other.start + keyslot.material.start..other.start + keyslot.material.end);
        other.is_readable() && (is_hit(other.start..other.start + other.metadata_len) || material.any(is_hit))
    };
    let others = report.found.iter().filter(|other| !std::ptr::eq(*other, found));
    if found.usable_keyslots().is_empty() || others.into_iter().any(overlaps) {
        return None;
    }
    Some(of(found, RemedyKind::Repair(repair.kind.clone())))
}

/// The partition in which the header is, or that starts inside it.
fn in_the_way<'a>(table: &'a Table, found: &Found) -> Option<&'a Partition> {
    let data = found.data.as_ref().map_or(0, |data| data.range.start);
    let inside = |partition: &&Partition| partition.start > found.start && partition.start - found.start < data;
    table
        .around(found.start)
        .or_else(|| table.partitions.iter().find(inside))
}

/// How long the volume may be: to the end of its data, or to the next thing on the disk.
fn size(report: &Report, found: &Found) -> Option<u64> {
    let data = found.data.as_ref().filter(|data| data.looks != DataLooks::Elsewhere)?;
    let table = report.table.as_ref();
    // A GPT has its second copy in the last 33 sectors.
    let gpt = table
        .filter(|table| table.kind == TableKind::Gpt)
        .map_or(0, |table| 33 * table.sector);
    let around = table.and_then(|table| in_the_way(table, found));
    // One that starts before the data of the volume is the very one that it was in.
    let behind = |partition: &&Partition| partition.start >= found.start.saturating_add(data.range.start);
    let next = table.and_then(|table| table.partitions.iter().find(behind));
    let others = report
        .found
        .iter()
        .filter(|other| other.start > found.start && other.is_readable());
    let ends = [
        Some(report.size.checked_sub(gpt)?),
        around.map(|partition| partition.start.saturating_add(partition.size)),
        next.map(|partition| partition.start),
        others.map(|other| other.start).min(),
    ];
    let most = ends.into_iter().flatten().min()?.checked_sub(found.start)?;
    let start = data.range.start;
    let wanted = match data.is_dynamic {
        false => data.range.end,
        true => most,
    };
    // Whole sectors of the encryption.
    let sector = found
        .header
        .as_ref()?
        .data()
        .map_or(512, |data| u64::from(data.sector_size))
        .max(512);
    let whole = wanted.min(most).checked_sub(start)? / sector * sector;
    let size = start.checked_add(whole)?;
    (whole > 0 && (data.is_dynamic || size >= wanted)).then_some(size)
}

/// The partition that the volume was in, where it is clear that there was one: no other starts there, and it is not in a
/// file system, as an image is.
fn partition(disk: &mut dyn Disk, report: &Report, found: &Found, size: u64) -> Option<RemedyKind> {
    let table = report.table.as_ref();
    let sector = table.map_or(512, |table| table.sector);
    if !found.start.is_multiple_of(sector) || found.start < TABLE_END.min(34 * sector) {
        return None;
    }
    let around = table.and_then(|table| in_the_way(table, found));
    let end = found.start.checked_add(size)?;
    match (table, around) {
        (None, _) => {
            let free = report.signatures.is_empty() && found.start >= TABLE_END && end <= DOS_END;
            free.then_some(())?;
        }
        (Some(_), Some(around)) => {
            let mut inside = Window::new(
                disk,
                around.start,
                around.size.min(report.size.checked_sub(around.start)?),
            );
            let others = signatures::probe_readable(&mut inside).ok()?;
            let here = |other: &signatures::Signature| match found.start.checked_sub(around.start) {
                Some(before) => other.offset.get() >= before,
                // Inside the volume, where there is noise, or the keyslots.
                None => other.offset.get() >= TABLE_END,
            };
            others.iter().all(here).then_some(())?;
        }
        (Some(_), None) => {}
    }
    Some(RemedyKind::Partition {
        table: table.map(|table| table.kind),
        change: around.map(|partition| partition.number),
        sector,
        size: size / sector * sector,
    })
}
