//! `rescue --map`: the disk to scale, with what was found on it.

use serde_json::Value;

use super::findings::Findings;
use super::remedies::copy;
use crate::cryptsetup::commands::dump::{Map, MapKind};
use crate::rescue::{Condition, DataLooks, Found};

pub(super) fn text(findings: &Findings<'_>) -> String {
    format!("\n{}", drawn(findings).text(findings.device))
}

pub(super) fn to_json(findings: &Findings<'_>) -> Value {
    drawn(findings).to_json()
}

fn drawn(findings: &Findings<'_>) -> Map {
    let report = findings.report;
    let mut parts = Vec::new();
    for found in &report.found {
        add(found, report.size, &mut parts);
    }
    for range in &report.unreadable {
        parts.push((MapKind::Damaged, range.clone(), "cannot be read".to_owned()));
    }
    if let Some(table) = &report.table {
        for partition in &table.partitions {
            let end = partition.start.saturating_add(partition.size).min(report.size);
            parts.push((
                MapKind::Foreign,
                partition.start..end,
                format!("partition {}", partition.number),
            ));
        }
    }
    let headers = report.found.iter().map(|found| {
        let data = found.data.as_ref().map_or(0, |data| data.range.start);
        found.start..found.start + data
    });
    Map::of_found(parts, &headers.collect::<Vec<_>>(), report.size)
}

type Drawn = (MapKind, std::ops::Range<u64>, String);

fn add(found: &Found, size: u64, parts: &mut Vec<Drawn>) {
    let start = found.start;
    for one in &found.copies {
        let (kind, state) = match one.condition {
            Condition::Sound => (MapKind::Metadata, ""),
            Condition::Stale => (MapKind::Metadata, ", out of date"),
            Condition::Damaged(_) => (MapKind::Damaged, ", damaged"),
        };
        parts.push((
            kind,
            one.range.clone(),
            format!("{} copy of the header{state}", copy(one.which)),
        ));
    }
    for keyslot in &found.keyslots {
        let (kind, state) = match keyslot.is_intact() {
            true => (MapKind::Keyslot(keyslot.slot), ""),
            false => (MapKind::Damaged, ", damaged"),
        };
        let range = start + keyslot.material.start..start + keyslot.material.end;
        parts.push((kind, range, format!("keyslot {}{state}", keyslot.slot)));
    }
    if let Some(data) = found
        .data
        .as_ref()
        .filter(|data| !matches!(data.looks, DataLooks::Elsewhere | DataLooks::Missing))
    {
        let range = start + data.range.start..start.saturating_add(data.range.end).min(size);
        parts.push((MapKind::Data, range, "data".to_owned()));
    }
}
