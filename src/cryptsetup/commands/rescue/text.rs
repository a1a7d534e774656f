//! The findings in words: first the verdict in one sentence, then what was found, then the ways out.

use super::findings::Findings;
use super::remedies::{checks, command, copy, quoted, sentence, slots};
use crate::block_device::Signature;
use crate::console::amount;
use crate::rescue::apply::Applied;
use crate::rescue::{
    Condition, CopyState, Data, DataLooks, Found, KeyslotState, Looks, Part, RemedyKind, RepairKind, Verdict,
};
use crate::terminal_text::{clean, shown};
use keyslots::header::Version;

/// Headers and unreadable ranges that are shown one by one.
const SHOWN: usize = 20;

pub(super) fn text(findings: &Findings<'_>) -> String {
    let report = findings.report;
    let mut text = format!("{}\n", verdict(findings));
    for line in explanation(findings) {
        text += &format!("{line}\n");
    }
    for found in report.found.iter().take(SHOWN) {
        text += "\n";
        text += &header(findings, found);
    }
    let hidden = report.found.len().saturating_sub(SHOWN) as u64 + report.not_examined;
    if hidden > 0 {
        text += &format!(
            "\n{hidden} more traces of headers were not looked at. To look further on: luksmith rescue {} --from <bytes>\n",
            quoted(findings.device)
        );
    }
    for range in report.unreadable.iter().take(SHOWN) {
        text += &format!("\nCannot be read: bytes {} to {}.", range.start, range.end - 1);
    }
    if report.unreadable.len() > SHOWN || report.more_unreadable {
        text += "\nThere are more ranges that cannot be read: copy the disk with ddrescue, and examine the copy.";
    }
    if !report.unreadable.is_empty() {
        text += "\n";
    }
    if !report.remedies.is_empty() {
        text += "\nWhat can be done (nothing was written):\n";
    }
    for (number, remedy) in (1..).zip(&report.remedies) {
        text += &format!(
            "  {number}. {}\n       {}\n",
            sentence(remedy),
            command(findings, number, remedy)
        );
        let checks = checks(remedy);
        text += &format!("     Checked: {}.\n", checks.join("; "));
    }
    if report
        .remedies
        .iter()
        .any(|remedy| matches!(remedy.kind, RemedyKind::Repair(_)))
    {
        text += "What a repair overwrites is saved to a file first: in this folder, or in that of --save-to.\n";
    }
    text
}

/// The one sentence.
pub(super) fn verdict(findings: &Findings<'_>) -> String {
    let (report, device) = (findings.report, shown(findings.device));
    let main = report.main();
    let place = |found: &Found| match found.start == report.from && report.from == 0 {
        true => device.clone(),
        false => format!("{device} at byte {}", found.start),
    };
    let at = main.map_or_else(|| device.clone(), place);
    match report.verdict() {
        Verdict::Sound => format!("The header on {at} is sound, and the key material of all keyslots looks intact."),
        Verdict::InPartitions(1) => {
            format!("{device} has a LUKS volume in one of its partitions, and its header is sound.")
        }
        Verdict::InPartitions(count) => {
            format!("{device} has {count} LUKS volumes in its partitions, and their headers are sound.")
        }
        Verdict::Repairable => main.map_or_else(String::new, |found| repairable(found, &at)),
        Verdict::SomeKeyslots(usable) => {
            let damaged = main.map_or(&[][..], |found| &found.keyslots[..]);
            let damaged: Vec<_> = damaged
                .iter()
                .filter(|slot| !slot.is_intact())
                .map(|slot| slot.slot)
                .collect();
            format!(
                "The header on {at} is sound, but the key material of {} is damaged: {} can still be opened.",
                slots(&damaged),
                slots(&usable)
            )
        }
        Verdict::NoKeyslot => format!(
            "The header on {at} can be read, but the key material of every keyslot is damaged: no passphrase opens it any more."
        ),
        Verdict::Elsewhere(start) => format!(
            "There is no header at the start of {device}, but there is one at byte {start} (sector {}).",
            start / 512
        ),
        Verdict::CutOff(missing) => {
            format!("The header on {at} is there, but the device is {missing} bytes too small for the volume.")
        }
        Verdict::BackupOnly => format!("The header on {at} cannot be used any more, but a backup can replace it."),
        Verdict::Lost => format!("There are traces of a LUKS header on {at}, but no copy of it can be restored."),
        Verdict::StartsBefore => format!(
            "{device} starts inside a LUKS volume: the second copy of its header is there, and the first is in front of the device."
        ),
        _ => format!("There is no trace of a LUKS header on {device}."),
    }
}

fn repairable(found: &Found, at: &str) -> String {
    let foreign = found.foreign.first().filter(|_| found.is_overwritten());
    let by = foreign.map_or_else(String::new, |foreign| {
        format!(": {} was written over it", name(foreign))
    });
    match found.repair.as_ref().map(|repair| &repair.kind) {
        Some(RepairKind::Copy(which)) => {
            let other = found.copies.iter().find(|other| other.which != *which);
            let (this, other) = (copy(*which), other.map_or("other", |other| copy(other.which)));
            match found.is_stale() {
                true => format!("The {this} copy of the header on {at} is out of date; the {other} copy is sound."),
                false => format!("The {this} copy of the header on {at} is damaged{by}. The {other} copy is sound."),
            }
        }
        Some(RepairKind::Rebuilt(..)) => {
            format!("Both copies of the header on {at} are damaged{by}, but the metadata of one are whole.")
        }
        Some(RepairKind::Mended(..)) => {
            format!("Both copies of the header on {at} are damaged{by}. What they were is known: a checksum proves it.")
        }
        _ => format!("The header on {at} is damaged{by}, in fields that follow from others."),
    }
}

/// What the verdict means for the user.
fn explanation(findings: &Findings<'_>) -> Vec<String> {
    let report = findings.report;
    let mut lines = Vec::new();
    let whole_disk = |lines: &mut Vec<String>| {
        if let Some(disk) = &findings.disk {
            lines.push(format!(
                "{} is a partition. The volume may start elsewhere on the disk:",
                shown(findings.device)
            ));
            lines.push(format!("  luksmith rescue {}", quoted(disk)));
        }
    };
    match report.verdict() {
        Verdict::Sound => {
            lines.push("If a passphrase does not open it, check the keyboard layout, Caps Lock, and whether it is the right device.".into());
        }
        Verdict::NoKeyslot | Verdict::Lost => {
            lines.push(
                "The key of the data is gone. Only a backup of the header helps (--header-backup-file FILE, --backup DIR), or the volume \
                 itself where it is still open: do not close it, and copy its data. Without these nobody can decrypt it, whatever they charge."
                    .into(),
            );
            whole_disk(&mut lines);
        }
        Verdict::Elsewhere(_) => {
            lines.push("The partition that it was in was deleted, moved or resized, or it is in a file, such as the image of a disk.".into());
            whole_disk(&mut lines);
        }
        Verdict::CutOff(_) => {
            lines.push(
                "The partition, the disk or the file is smaller than it was, and what was at its end is missing."
                    .into(),
            );
            whole_disk(&mut lines);
        }
        Verdict::StartsBefore | Verdict::Nothing => {
            whole_disk(&mut lines);
            if findings.disk.is_none() {
                lines.push("If it had a header, that was overwritten. A backup helps: --header-backup-file FILE, or --backup DIR.".into());
            }
        }
        _ => {}
    }
    let shown = |one: &&Signature| {
        !report
            .found
            .iter()
            .any(|found| found.start == 0 && found.foreign.contains(one))
    };
    let foreign: Vec<String> = report.signatures.iter().filter(shown).map(name).collect();
    if !foreign.is_empty() && !matches!(report.verdict(), Verdict::InPartitions(_)) {
        lines.push(format!("Also there: {}.", foreign.join(", ")));
    }
    lines
}

fn header(findings: &Findings<'_>, found: &Found) -> String {
    let version = match found.version {
        Version::Luks1 => "LUKS1",
        Version::Luks2 => "LUKS2",
    };
    let uuid = found
        .uuid
        .as_deref()
        .map_or_else(String::new, |uuid| format!(" {}", clean(uuid)));
    let table = findings.report.table.as_ref();
    let partition = match table.and_then(|table| Some((table.at(found.start), table.around(found.start)?))) {
        Some((Some(partition), _)) => format!(", the start of partition {}", partition.number),
        Some((None, around)) => format!(", inside partition {}", around.number),
        None => String::new(),
    };
    let mut text = format!("{version} header{uuid} at byte {}{partition}\n", found.start);
    for one in &found.copies {
        text += &line(&copy_name(found, one), &condition(one));
    }
    for keyslot in &found.keyslots {
        text += &line(&format!("keyslot {}", keyslot.slot), &keyslot_text(keyslot));
    }
    if let Some(data) = &found.data {
        text += &line("data", &data_text(data));
    }
    for foreign in &found.foreign {
        text += &line("also there", &name(foreign));
    }
    text
}

fn line(name: &str, what: &str) -> String {
    format!("  {name:12}  {what}\n")
}

fn copy_name(found: &Found, one: &CopyState) -> String {
    match found.version {
        Version::Luks1 => "header".into(),
        Version::Luks2 => format!("{} copy", copy(one.which)),
    }
}

fn condition(one: &CopyState) -> String {
    let seqid = one
        .seqid
        .map_or_else(String::new, |seqid| format!(", sequence number {seqid}"));
    let mut text = match &one.condition {
        Condition::Sound => format!("sound{seqid}"),
        Condition::Stale => format!("out of date{seqid}"),
        Condition::Damaged(defect) => format!("damaged: {}", clean(defect)),
    };
    text += &parts(&one.damage);
    text
}

fn keyslot_text(keyslot: &KeyslotState) -> String {
    let other = if keyslot.is_for_data {
        ""
    } else {
        " (not a key of the data)"
    };
    match keyslot.is_intact() {
        true => format!("looks intact{other}"),
        false if keyslot.unreadable => format!("cannot be read{other}{}", parts(&keyslot.damage)),
        false => format!(
            "damaged: it is not random as it must be{other}{}",
            parts(&keyslot.damage)
        ),
    }
}

fn data_text(data: &Data) -> String {
    let (start, length) = (data.range.start, data.range.end - data.range.start);
    let looks = match &data.looks {
        DataLooks::Encrypted => "look encrypted".to_owned(),
        DataLooks::Blank => "seem never to have been written".to_owned(),
        DataLooks::Holds(name) => format!("begin with {name}: they were overwritten, at least in part"),
        DataLooks::Plain => "do not look encrypted everywhere: they were overwritten, at least in part".to_owned(),
        DataLooks::Elsewhere => return "on another device".to_owned(),
        DataLooks::Missing => {
            return format!("would start at byte {start} behind the header, past the end of the device");
        }
    };
    let missing = match data.missing {
        0 => String::new(),
        missing => format!("; {missing} bytes are missing at the end"),
    };
    format!(
        "{} from byte {start} behind the header on, {looks}{missing}",
        amount(length)
    )
}

/// Where it is damaged, and by what.
fn parts(parts: &[Part]) -> String {
    let one = |part: &Part| {
        let what = match part.looks {
            Looks::Random => "other bytes",
            Looks::Zeros => "zeros",
            Looks::OneByte => "one byte all over",
            Looks::Text => "text",
            Looks::Structure => "data of another kind",
            Looks::Unreadable => "unreadable",
        };
        format!("{what} at {} to {}", part.range.start, part.range.end - 1)
    };
    match parts {
        [] => String::new(),
        parts => format!(" ({})", parts.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

fn name(signature: &Signature) -> String {
    format!("a {signature} at byte {}", signature.offset.get())
}

pub(super) fn applied(findings: &Findings<'_>, applied: &Applied) -> String {
    format!(
        "Done. What was there before is in {}. To put it back:\n  {}\n",
        shown(&applied.saved),
        undo(findings, applied)
    )
}

/// The command that undoes a repair.
pub(super) fn undo(findings: &Findings<'_>, applied: &Applied) -> String {
    format!(
        "dd if={} of={} bs=4096 oflag=seek_bytes seek={} conv=notrunc,fsync",
        quoted(&applied.saved),
        quoted(findings.device),
        applied.start
    )
}
