//! `luksDump` of a LUKS2 header, as cryptsetup prints it: programs parse these lines.

use std::collections::HashSet;
use std::fmt::Write as _;

use keyslots::KeyslotId;
use keyslots::luks2::json::lossy;
use keyslots::luks2::keyslot::{Keyslot, KeyslotKind, STRIPES, SlotKdf};
use keyslots::luks2::metadata::{Digest, DigestKind};
use keyslots::luks2::reencrypt::Guard;
use keyslots::luks2::segment::{Segment, SegmentKind};
use keyslots::luks2::{DigestIndex, Header, Priority};

use super::hex_lines;
use crate::slot_names;
use crate::terminal_text::clean;

/// The dump, all of it.
pub(super) fn text(header: &Header) -> String {
    let (binary, metadata) = (header.binary(), header.metadata());
    let or = |text: &str, none: &str| {
        if text.is_empty() { none.to_owned() } else { clean(text) }
    };
    let mut out = String::from("LUKS header information\n");
    push(&mut out, format_args!("Version:       \t2"));
    push(&mut out, format_args!("Epoch:         \t{}", binary.seqid));
    push(
        &mut out,
        format_args!("Metadata area: \t{} [bytes]", binary.hdr_size.get()),
    );
    push(
        &mut out,
        format_args!("Keyslots area: \t{} [bytes]", metadata.config.keyslots_size.get()),
    );
    push(
        &mut out,
        format_args!("UUID:          \t{}", or(&clean(&binary.uuid), "(no UUID)")),
    );
    push(
        &mut out,
        format_args!(
            "Label:         \t{}",
            or(&clean(&binary.label.to_string()), "(no label)")
        ),
    );
    push(
        &mut out,
        format_args!(
            "Subsystem:     \t{}",
            or(&clean(&binary.subsystem.to_string()), "(no subsystem)")
        ),
    );
    let flags = &metadata.config.flags;
    let flags = if flags.is_empty() {
        "(no flags)".to_owned()
    } else {
        words(flags)
    };
    push(&mut out, format_args!("Flags:       \t{flags}"));
    if !metadata.config.requirements.is_empty() {
        push(
            &mut out,
            format_args!("Requirements:\t{}", words(&metadata.config.requirements)),
        );
    }
    out.push_str("\nData segments:\n");
    for (id, segment) in &metadata.segments {
        push_segment(&mut out, *id, segment);
    }
    out.push_str("Keyslots:\n");
    let names = slot_names::list_luks2(header);
    let digests = DigestIndex::new(metadata);
    // A key that only a backup segment has opens nothing now.
    let regular = metadata.segments.iter().filter(|(_, segment)| !segment.is_backup());
    let regular: HashSet<u32> = regular.map(|(&id, _)| id).collect();
    let has_regular = |digest: &Digest| digest.segments.iter().any(|id| regular.contains(id));
    let current = metadata.digests.iter().filter(|(_, digest)| has_regular(digest));
    let current: HashSet<u32> = current.map(|(&id, _)| id).collect();
    for (&id, keyslot) in &metadata.keyslots {
        let digest = digests.of_keyslot(id);
        let bound = digest.is_some_and(|(digest, _)| current.contains(&digest));
        push_keyslot(&mut out, id, keyslot, digest.map(|(digest, _)| digest), bound);
        if let Ok(at) = names.binary_search_by_key(&id, |entry| entry.slot) {
            let entry = &names[at];
            let mark = if entry.protected { " (protected)" } else { "" };
            push(&mut out, format_args!("\tName:       {}{mark}", shown(&entry.name)));
        }
    }
    out.push_str("Tokens:\n");
    for (id, token) in &metadata.tokens {
        push(&mut out, format_args!("  {id}: {}", shown(&token.kind)));
        if let Some(description) = token.key_description() {
            push(&mut out, format_args!("\tKey description: {}", shown(description)));
        }
        for keyslot in &token.keyslots {
            push(&mut out, format_args!("\tKeyslot:    {keyslot}"));
        }
    }
    out.push_str("Digests:\n");
    for (id, digest) in &metadata.digests {
        push_digest(&mut out, *id, digest);
    }
    out
}

fn push_segment(out: &mut String, id: u32, segment: &Segment) {
    push(out, format_args!("  {id}: {}", shown(segment.type_name())));
    push(out, format_args!("\toffset: {} [bytes]", segment.offset.get()));
    let length = segment
        .size
        .map_or_else(|| "(whole device)".to_owned(), |size| format!("{} [bytes]", size.get()));
    push(out, format_args!("\tlength: {length}"));
    if let Some(crypt) = segment.crypt() {
        push(out, format_args!("\tcipher: {}", shown(&crypt.encryption)));
        push(out, format_args!("\tsector: {} [bytes]", crypt.sector_size));
        if let Some(integrity) = &crypt.integrity {
            push(out, format_args!("\tintegrity: {}", shown(&integrity.kind)));
        }
    }
    if let SegmentKind::HwOpal {
        segment_number,
        key_size,
        segment_size,
        ..
    } = &segment.kind
    {
        push(out, format_args!("\tHW OPAL encryption:"));
        push(out, format_args!("\t\tOPAL segment number: {segment_number}"));
        push(out, format_args!("\t\tOPAL key: {} bits", u64::from(*key_size) * 8));
        push(
            out,
            format_args!("\t\tOPAL segment length: {} [bytes]", segment_size.get()),
        );
    }
    if !segment.flags.is_empty() {
        push(out, format_args!("\tflags : {}", shown(&segment.flags.join(", "))));
    }
    out.push('\n');
}

fn push_keyslot(out: &mut String, id: KeyslotId, keyslot: &Keyslot, digest: Option<u32>, bound: bool) {
    let unbound = !bound && !matches!(keyslot.kind, KeyslotKind::Unknown(_));
    let mark = if unbound { " (unbound)" } else { "" };
    push(out, format_args!("  {id}: {}{mark}", shown(keyslot.type_name())));
    let priority = match keyslot.priority() {
        Priority::Ignore => "ignored",
        Priority::Normal => "normal",
        Priority::Prefer => "preferred",
    };
    match &keyslot.kind {
        KeyslotKind::Luks2(luks2) => {
            push(
                out,
                format_args!("\tKey:        {} bits", u64::from(keyslot.key_size) * 8),
            );
            push(out, format_args!("\tPriority:   {priority}"));
            push(out, format_args!("\tCipher:     {}", shown(&luks2.encryption)));
            push(
                out,
                format_args!("\tCipher key: {} bits", u64::from(luks2.area_key_size) * 8),
            );
            push(out, format_args!("\tPBKDF:      {}", shown(luks2.kdf.type_name())));
            match &luks2.kdf {
                SlotKdf::Pbkdf2 { hash, iterations } => {
                    push(out, format_args!("\tHash:       {}", shown(hash.as_str())));
                    push(out, format_args!("\tIterations: {iterations}"));
                }
                SlotKdf::Argon2 {
                    time,
                    memory_kib,
                    lanes,
                    ..
                } => {
                    push(out, format_args!("\tTime cost:  {time}"));
                    push(out, format_args!("\tMemory:     {memory_kib}"));
                    push(out, format_args!("\tThreads:    {lanes}"));
                }
                _ => {}
            }
            push(
                out,
                format_args!("\tSalt:       {}", hex_lines(&luks2.salt, "\n\t            ")),
            );
            push(out, format_args!("\tAF stripes: {STRIPES}"));
            push(out, format_args!("\tAF hash:    {}", shown(luks2.af_hash.as_str())));
        }
        KeyslotKind::Reencrypt(slot) => {
            push(
                out,
                format_args!("\tKey:        {} bits", u64::from(keyslot.key_size) * 8),
            );
            push(out, format_args!("\tPriority:   {priority}"));
            push(out, format_args!("\tMode:       {}", slot.mode.name()));
            push(out, format_args!("\tDirection:  {}", slot.direction.name()));
            push(out, format_args!("\tResilience: {}", slot.resilience));
            if let Guard::Checksum { hash, block } = &slot.resilience.guard {
                push(out, format_args!("\tHash:       {}", shown(hash.as_str())));
                push(out, format_args!("\tHash data:  {block} [bytes]"));
            }
            if let Some(shift) = slot.resilience.shift {
                push(out, format_args!("\tShift size: {}[bytes]", shift.get()));
            }
        }
        _ => {}
    }
    if !matches!(keyslot.kind, KeyslotKind::Unknown(_)) {
        push(out, format_args!("\tArea offset:{} [bytes]", keyslot.area.offset.get()));
        push(out, format_args!("\tArea length:{} [bytes]", keyslot.area.size.get()));
    }
    if let Some(digest) = digest {
        push(out, format_args!("\tDigest ID:  {digest}"));
    }
}

fn push_digest(out: &mut String, id: u32, digest: &Digest) {
    push(out, format_args!("  {id}: {}", shown(digest.type_name())));
    if let DigestKind::Pbkdf2 {
        hash,
        iterations,
        salt,
        digest,
    } = &digest.kind
    {
        push(out, format_args!("\tHash:       {}", shown(hash.as_str())));
        push(out, format_args!("\tIterations: {iterations}"));
        push(
            out,
            format_args!("\tSalt:       {}", hex_lines(salt, "\n\t            ")),
        );
        push(
            out,
            format_args!("\tDigest:     {}", hex_lines(digest, "\n\t            ")),
        );
    }
}

/// cryptsetup ends each word with a space.
fn words(words: &[String]) -> String {
    words.iter().map(|word| format!("{} ", shown(word))).collect()
}

/// A text of the metadata as a part of a line.
fn shown(text: &str) -> String {
    clean(&lossy(text))
}

/// Adds a line.
fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("writing to a String cannot fail");
}
