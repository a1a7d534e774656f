//! The ways out in words: what each does, its command, and what was checked before it was offered.

use std::path::Path;

use keyslots::KeyslotId;
use keyslots::luks1::mend::Field;
use keyslots::luks2::format::Which;
use keyslots::luks2::mend::How;

use super::findings::Findings;
use crate::rescue::{DataLooks, Remedy, RemedyKind, RepairKind, TableKind};
use crate::terminal_text::shown;

/// The name of a kind in JSON.
pub(super) fn kind(remedy: &Remedy) -> &'static str {
    match &remedy.kind {
        RemedyKind::Repair(RepairKind::Copy(_)) => "copy",
        RemedyKind::Repair(RepairKind::Mended(..)) => "checksum",
        RemedyKind::Repair(RepairKind::Rebuilt(..)) => "metadata",
        RemedyKind::Repair(RepairKind::Fields(_)) => "fields",
        RemedyKind::Backup { .. } => "backup",
        RemedyKind::Open { .. } => "open",
        RemedyKind::Partition { .. } => "partition",
    }
}

/// What is done.
pub(super) fn sentence(remedy: &Remedy) -> String {
    match &remedy.kind {
        RemedyKind::Repair(RepairKind::Copy(which)) => {
            let (this, other) = (copy(*which), copy(other(*which)));
            format!("Write the {this} copy of the header anew from the {other}.")
        }
        RemedyKind::Repair(RepairKind::Mended(which, how)) => {
            let what = match how {
                How::KnownFields => "the damaged fields can have one value only".to_owned(),
                How::Checksum => "only its checksum was damaged".to_owned(),
                How::OtherCopy => "each copy has what the other lost".to_owned(),
                How::Flip { byte, bit } => format!("bit {bit} of its byte {byte} was flipped"),
            };
            let (this, other) = (copy(*which), copy(other(*which)));
            format!("Restore the {this} copy of the header ({what}), and write the {other} anew from it.")
        }
        RemedyKind::Repair(RepairKind::Rebuilt(which, _)) => {
            format!(
                "Make both copies of the header anew from the metadata of the {}, which are all that is left.",
                copy(*which)
            )
        }
        RemedyKind::Repair(RepairKind::Fields(fields)) => {
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!(
                "Restore fields of the header that follow from others: {}.",
                fields.join(", ")
            )
        }
        RemedyKind::Backup { file, is_older, .. } => {
            let older = if *is_older {
                ", which is older than the header"
            } else {
                ""
            };
            format!("Restore the header from the backup {}{older}.", shown(file))
        }
        RemedyKind::Open { .. } => format!(
            "Open the volume where it is, at byte {}, without writing to it.",
            remedy.start
        ),
        RemedyKind::Partition {
            change: Some(number), ..
        } => {
            format!(
                "Make partition {number} start where the volume does, at byte {}.",
                remedy.start
            )
        }
        RemedyKind::Partition { table: None, .. } => {
            format!(
                "Write a new partition table, with a partition for the volume at byte {}.",
                remedy.start
            )
        }
        _ => format!(
            "Make the partition again that the volume was in, at byte {}.",
            remedy.start
        ),
    }
}

/// The command, to the letter.
pub(super) fn command(findings: &Findings<'_>, number: usize, remedy: &Remedy) -> String {
    let device = quoted(findings.device);
    match &remedy.kind {
        RemedyKind::Repair(_) if remedy.start == findings.report.from || findings.report.from != 0 => {
            let from = match findings.report.from {
                0 => String::new(),
                from => format!(" --from {from}"),
            };
            format!("luksmith rescue {device}{from} --apply {number}")
        }
        // Numbered anew: the header where the search starts comes first.
        RemedyKind::Repair(_) => format!("luksmith rescue {device} --from {} --apply 1", remedy.start),
        RemedyKind::Backup { file, .. } => {
            format!(
                "luksmith luksHeaderRestore {device} --header-backup-file {}",
                quoted(file)
            )
        }
        RemedyKind::Partition {
            table,
            change,
            sector,
            size,
        } => {
            let (start, size) = (remedy.start / sector, size / sector);
            // The types of partitions for LUKS.
            let kind = match table {
                Some(TableKind::Gpt) => "CA7D7CCB-63ED-4C53-861C-1742536059CC",
                _ => "E8",
            };
            let keep = "--wipe never --wipe-partitions never";
            match (table, change) {
                (_, Some(number)) => format!("echo 'start={start}, size={size}' | sfdisk {keep} -N {number} {device}"),
                (None, None) => {
                    format!("printf 'label: dos\\nstart={start}, size={size}, type={kind}\\n' | sfdisk {keep} {device}")
                }
                _ => format!("echo 'start={start}, size={size}, type={kind}' | sfdisk {keep} --append {device}"),
            }
        }
        RemedyKind::Open { size } => {
            let start = remedy.start;
            let attach = format!("losetup --find --show --read-only --offset {start} --sizelimit {size} {device}");
            format!("luksmith open --readonly \"$({attach})\" rescued")
        }
    }
}

/// What was checked before it was offered, and what was not.
pub(super) fn checks(remedy: &Remedy) -> Vec<String> {
    let mut checks = Vec::new();
    checks.push(match &remedy.kind {
        RemedyKind::Repair(RepairKind::Mended(..)) => {
            "the checksum of the restored copy is right, and its metadata are valid".into()
        }
        RemedyKind::Repair(RepairKind::Rebuilt(_, has_uuid)) => {
            let lost = if *has_uuid {
                "the label is lost"
            } else {
                "label and UUID are lost, and there is a new UUID (luksUUID --uuid sets it)"
            };
            format!("the metadata are whole and valid, though their checksum is gone; {lost}")
        }
        RemedyKind::Repair(RepairKind::Copy(_)) => "both copies of the header are valid with it".into(),
        RemedyKind::Repair(RepairKind::Fields(_)) => {
            "the header is valid with it; LUKS1 has no checksum, so that only the passphrase proves it".into()
        }
        RemedyKind::Backup { same_volume: false, .. } => {
            "the backup is valid and fits the device; nothing on the device says whether it is of this volume".into()
        }
        RemedyKind::Backup { .. } => "the backup is valid, fits the device and has its UUID".into(),
        _ => "the header there is valid, and the volume fits".into(),
    });
    if let RemedyKind::Backup { changed, .. } = &remedy.kind
        && !changed.is_empty()
    {
        checks.push(format!(
            "since the backup, {} changed: its passphrases are those of then",
            slots(changed)
        ));
    }
    checks.push(format!("the key material of {} looks intact", slots(&remedy.keyslots)));
    match &remedy.data {
        Some(DataLooks::Encrypted) => checks.push("the data look encrypted".into()),
        Some(DataLooks::Blank) => checks.push("nothing seems to have been written to the data area".into()),
        Some(DataLooks::Holds(name)) => checks.push(format!("the data area begins with {name}: data were overwritten")),
        Some(DataLooks::Plain) => {
            checks.push("parts of the data area do not look encrypted: data were overwritten".into())
        }
        _ => {}
    }
    checks
}

/// Keyslots in a sentence.
pub(super) fn slots(slots: &[KeyslotId]) -> String {
    let numbers: Vec<String> = slots.iter().map(KeyslotId::to_string).collect();
    match numbers.as_slice() {
        [] => "no keyslot".into(),
        [one] => format!("keyslot {one}"),
        [first @ .., last] => format!("keyslots {} and {last}", first.join(", ")),
    }
}

pub(super) fn copy(which: Which) -> &'static str {
    match which {
        Which::Primary => "first",
        Which::Secondary => "second",
    }
}

fn other(which: Which) -> Which {
    match which {
        Which::Primary => Which::Secondary,
        Which::Secondary => Which::Primary,
    }
}

fn field(field: &Field) -> String {
    match field {
        Field::Magic => "the magic number".into(),
        Field::Version => "the version".into(),
        Field::CipherName => "the cipher".into(),
        Field::CipherMode => "the cipher mode".into(),
        Field::Hash => "the hash".into(),
        Field::KeyBytes => "the key size".into(),
        Field::PayloadOffset => "the start of the data".into(),
        Field::State(slot) => format!("the state of keyslot {slot}"),
        Field::MaterialOffset(slot) => format!("the place of keyslot {slot}"),
        Field::Stripes(slot) => format!("the stripes of keyslot {slot}"),
        Field::Uuid => "the UUID".into(),
        _ => "another field".into(),
    }
}

/// A path as a word of a shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = shown(path);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
