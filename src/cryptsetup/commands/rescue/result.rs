//! The findings as JSON. Offsets are in bytes; those inside a header count from its start.

use serde_json::{Value, json};

use super::findings::Findings;
use super::map;
use super::remedies::{checks, command, kind, sentence};
use super::text::{undo, verdict};
use crate::block_device::Signature;
use crate::rescue::apply::Applied;
use crate::rescue::{Condition, CopyState, Data, DataLooks, Found, KeyslotState, Looks, Part, TableKind, Verdict};
use keyslots::header::Version;
use keyslots::luks2::format::Which;

pub(super) fn to_json(findings: &Findings<'_>, with_map: bool) -> Value {
    let report = findings.report;
    let table = report.table.as_ref().map(|table| {
        let partitions = table.partitions.iter();
        let partitions =
            partitions.map(|part| json!({ "number": part.number, "start": part.start, "size": part.size }));
        json!({
            "kind": if table.kind == TableKind::Gpt { "gpt" } else { "dos" },
            "partitions": partitions.collect::<Vec<_>>(),
        })
    });
    let remedies = (1..).zip(&report.remedies).map(|(number, remedy)| {
        json!({
            "number": number,
            "kind": kind(remedy),
            "start": remedy.start,
            "text": sentence(remedy),
            "command": command(findings, number, remedy),
            "verified": true,
            "checks": checks(remedy),
            "keyslots": remedy.keyslots.iter().map(|slot| slot.get()).collect::<Vec<_>>(),
        })
    });
    let mut result = json!({
        "size": report.size,
        "from": report.from,
        "verdict": { "kind": verdict_kind(&report.verdict()), "text": verdict(findings) },
        "disk": findings.disk.as_ref().map(|disk| disk.display().to_string()),
        "headers": report.found.iter().map(header).collect::<Vec<_>>(),
        "not_examined": report.not_examined,
        "second_copies_of_earlier_headers": report.cut_off,
        "partition_table": table,
        "signatures": report.signatures.iter().map(signature).collect::<Vec<_>>(),
        "unreadable": report.unreadable.iter().map(|range| json!({ "offset": range.start, "length": range.end - range.start })).collect::<Vec<_>>(),
        "more_unreadable": report.more_unreadable,
        "remedies": remedies.collect::<Vec<_>>(),
    });
    if with_map {
        result["map"] = map::to_json(findings);
    }
    result
}

pub(super) fn applied(findings: &Findings<'_>, applied: &Applied) -> Value {
    json!({ "saved": applied.saved.display().to_string(), "offset": applied.start, "undo": undo(findings, applied) })
}

fn verdict_kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Sound => "sound",
        Verdict::InPartitions(_) => "in-partitions",
        Verdict::Repairable => "repairable",
        Verdict::SomeKeyslots(_) => "some-keyslots",
        Verdict::NoKeyslot => "no-keyslot",
        Verdict::Elsewhere(_) => "elsewhere",
        Verdict::CutOff(_) => "cut-off",
        Verdict::BackupOnly => "backup-only",
        Verdict::Lost => "lost",
        Verdict::StartsBefore => "starts-before",
        Verdict::Nothing => "nothing",
    }
}

fn header(found: &Found) -> Value {
    json!({
        "start": found.start,
        "version": if found.version == Version::Luks1 { 1 } else { 2 },
        "uuid": found.uuid,
        "readable": found.is_readable(),
        "whole": found.is_whole(),
        "copies": found.copies.iter().map(copy).collect::<Vec<_>>(),
        "keyslots": found.keyslots.iter().map(keyslot).collect::<Vec<_>>(),
        "data": found.data.as_ref().map(data),
        "foreign": found.foreign.iter().map(signature).collect::<Vec<_>>(),
    })
}

fn copy(copy: &CopyState) -> Value {
    let (condition, defect) = match &copy.condition {
        Condition::Sound => ("sound", None),
        Condition::Stale => ("stale", None),
        Condition::Damaged(defect) => ("damaged", Some(defect)),
    };
    json!({
        "which": if copy.which == Which::Primary { "first" } else { "second" },
        "offset": copy.range.start,
        "size": copy.range.end - copy.range.start,
        "sequence_number": copy.seqid.map(|seqid| seqid.to_string()),
        "condition": condition,
        "defect": defect,
        "damage": parts(&copy.damage),
    })
}

fn keyslot(keyslot: &KeyslotState) -> Value {
    json!({
        "keyslot": keyslot.slot.get(),
        "for_data": keyslot.is_for_data,
        "intact": keyslot.is_intact(),
        "unreadable": keyslot.unreadable,
        "offset": keyslot.material.start,
        "size": keyslot.material.end - keyslot.material.start,
        "damaged_blocks": keyslot.bad_blocks,
        "damage": parts(&keyslot.damage),
    })
}

fn data(data: &Data) -> Value {
    let (looks, format) = match data.looks {
        DataLooks::Encrypted => ("encrypted", None),
        DataLooks::Blank => ("blank", None),
        DataLooks::Holds(name) => ("other-format", Some(name)),
        DataLooks::Plain => ("not-encrypted", None),
        DataLooks::Elsewhere => ("elsewhere", None),
        DataLooks::Missing => ("missing", None),
    };
    json!({
        "offset": data.range.start,
        "size": data.range.end - data.range.start,
        "to_end_of_device": data.is_dynamic,
        "looks": looks,
        "format": format,
        "missing": data.missing,
    })
}

fn parts(parts: &[Part]) -> Vec<Value> {
    let name = |looks: Looks| match looks {
        Looks::Random => "random",
        Looks::Zeros => "zeros",
        Looks::OneByte => "one-byte",
        Looks::Text => "text",
        Looks::Structure => "structure",
        Looks::Unreadable => "unreadable",
    };
    let one = |part: &Part| json!({ "offset": part.range.start, "length": part.range.end - part.range.start, "looks": name(part.looks) });
    parts.iter().map(one).collect()
}

fn signature(signature: &Signature) -> Value {
    json!({ "name": signature.name, "offset": signature.offset.get(), "length": signature.length.get() })
}
