//! The examination of a disk: the search, a look at each header, and what follows.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use keyslots::luks2::format::{BINARY_HEADER_SIZE, HEADER_SIZES};
use keyslots::luks2::mend::rebuild;
use keyslots::units::Bytes;

use super::found::{Budget, Found, Place, RepairKind};
use super::partitions::Table;
use super::remedy;
use super::report::{Report, Request};
use super::scan::{self, Disk, TraceKind, Traces, search};
use crate::block_device::signatures;

/// How long all searches for flipped bits may take together.
const FLIPS: Duration = Duration::from_secs(60);
/// Bytes of metadata that are looked at: those of a thousand headers of the usual size, and of sixty of the largest.
const METADATA: u64 = 512 << 20;
/// Both copies of the largest header.
const LARGEST: u64 = 8 << 20;
/// JSON areas that are read for where their headers start.
const MOST_TEXTS: usize = 256;
/// Headers of which the keyslots and the data are looked at.
const CONTENTS: u32 = 64;

/// Searches a disk for headers, and for ways to get at their data. Writes nothing. `progress` is told how far the search is.
///
/// # Errors
/// The system's, where it does not report the size of the disk.
pub fn examine(disk: &mut dyn Disk, request: &Request, progress: &mut dyn FnMut(u64)) -> io::Result<Report> {
    let size = disk.size()?.get();
    let from = request.from - request.from % scan::SECTOR as u64;
    let end = if request.only_there {
        from.saturating_add(LARGEST)
    } else {
        size
    };
    let traces = search(disk, from, end, progress)?;
    let table = Table::read(disk);
    let mut cut_off = Vec::new();
    let mut places = places(&traces, &mut cut_off);
    // Headers of which nothing is left that could be recognized are looked for where one should be.
    for luks1 in [false, true] {
        let start = from;
        places.entry((start, luks1)).or_insert_with(|| Place {
            start,
            luks1,
            ..Place::default()
        });
    }
    add_texts(disk, &traces, &mut places);
    let mut budget = Budget {
        deadline: Instant::now() + FLIPS,
        metadata: METADATA,
        contents: CONTENTS,
    };
    let (mut found, mut not_examined) = (Vec::new(), traces.more);
    for ((start, _), mut place) in places {
        let partition = table.as_ref().and_then(|table| table.at(start));
        place.end = partition.map_or(size, |partition| size.min(start.saturating_add(partition.size)));
        match Found::at(disk, &place, &mut budget) {
            Some(header) if header.header.is_some() || place.is_start => found.push((header, place.texts)),
            Some(_) => {}
            None => not_examined += u64::from(place.is_start),
        }
    }
    let found = without_doubles(found, from);
    let mut signatures = signatures::probe_readable(disk)?;
    signatures.retain(|signature| signature.name != "crypto_LUKS");
    let mut report = Report {
        size,
        from,
        found,
        not_examined,
        cut_off,
        table,
        signatures,
        unreadable: traces.unreadable,
        more_unreadable: traces.more_unreadable,
        remedies: Vec::new(),
    };
    report.remedies = remedy::remedies(disk, &report, request);
    Ok(report)
}

/// The starts of headers that the traces are of.
fn places(traces: &Traces, cut_off: &mut Vec<u64>) -> BTreeMap<(u64, bool), Place> {
    let mut places: BTreeMap<(u64, bool), Place> = BTreeMap::new();
    for trace in &traces.found {
        let (start, luks1, size) = match trace.kind {
            TraceKind::Luks1 => (Some(trace.offset), true, None),
            TraceKind::Primary => (Some(trace.offset), false, None),
            TraceKind::Secondary(size) => (trace.offset.checked_sub(size), false, Some(size)),
            TraceKind::Json => continue,
        };
        let Some(start) = start else {
            cut_off.push(trace.offset);
            continue;
        };
        let place = places.entry((start, luks1)).or_default();
        (place.start, place.luks1) = (start, luks1);
        place.sizes.extend(size);
        place.is_start = true;
    }
    places
}

/// Adds the headers that may start where a JSON area says: it is that of the first copy, or that of the second.
fn add_texts(disk: &mut dyn Disk, traces: &Traces, places: &mut BTreeMap<(u64, bool), Place>) {
    let texts = traces.found.iter().filter(|trace| trace.kind == TraceKind::Json);
    for text in texts.take(MOST_TEXTS) {
        let Some(copy) = text.offset.checked_sub(BINARY_HEADER_SIZE.get()) else {
            continue;
        };
        let Some(size) = size_in_text(disk, text.offset) else {
            continue;
        };
        for start in [Some(copy), copy.checked_sub(size)].into_iter().flatten() {
            let place = places.entry((start, false)).or_insert_with(|| Place {
                start,
                ..Place::default()
            });
            place.texts += 1;
            place.sizes.push(size);
        }
    }
}

/// The size of a copy, by the JSON text that starts here.
fn size_in_text(disk: &mut dyn Disk, offset: u64) -> Option<u64> {
    let rest = disk.size().ok()?.get().checked_sub(offset)?;
    for size in HEADER_SIZES {
        let mut area = vec![0; rest.min(size.get() - BINARY_HEADER_SIZE.get()) as usize];
        disk.read_at(Bytes::new(offset), &mut area).ok()?;
        if area.contains(&0) {
            return Some(rebuild(&area, None)?.binary.hdr_size.get());
        }
    }
    None
}

/// Without headers that are at other places too: of one that was only guessed from a JSON area, the likeliest place, and none
/// where there is another at the same place.
fn without_doubles(found: Vec<(Found, u32)>, from: u64) -> Vec<Found> {
    let is_guess = |found: &Found| {
        let kind = found.repair.as_ref().map(|repair| &repair.kind);
        matches!(kind, Some(RepairKind::Rebuilt(..)))
    };
    let rank = |(found, texts): &(Found, u32)| (found.usable_keyslots().len(), *texts, found.start == from);
    let overlap = |one: &Found, other: &Found| {
        one.start < other.start + other.metadata_len && other.start < one.start + one.metadata_len
    };
    let keep: Vec<bool> = (0..found.len())
        .map(|n| {
            let this = &found[n];
            let others = || found.iter().enumerate().filter(|(other, _)| *other != n);
            let same_place = |other: &Found| other.start == this.0.start && other.header.is_some();
            if this.0.header.is_none() && others().any(|(_, other)| same_place(&other.0)) {
                return false;
            }
            let better = |(at, other): (usize, &(Found, u32))| {
                overlap(&this.0, &other.0)
                    && other.0.header.is_some()
                    && (!is_guess(&other.0) || (rank(other), at) > (rank(this), n))
            };
            !is_guess(&this.0) || !others().any(better)
        })
        .collect();
    let kept = found.into_iter().zip(keep).filter(|(_, keep)| *keep);
    kept.map(|((found, _), _)| found).collect()
}
