//! A header as JSON: LUKS2 metadata verbatim, and a form of our own for both versions.

use keyslots::KeyslotId;
use keyslots::header::Header;
use keyslots::kdf::Kdf;
use keyslots::luks1::{self, KeyslotState};
use keyslots::luks2::json::strict;
use keyslots::luks2::keyslot::{KeyslotKind, SlotKdf};
use keyslots::luks2::{self, DigestIndex, Priority};
use serde_json::{Value, json};

use crate::console::json_text;

/// LUKS2 metadata in the layout of `--dump-json-metadata`: two spaces a level, none behind a colon, each member of an
/// array on a line of its own.
pub(in crate::cryptsetup) fn metadata_text(value: &Value) -> String {
    let mut out = String::new();
    push(&mut out, value, 0);
    json_text(&out)
}

fn push(out: &mut String, value: &Value, depth: usize) {
    let (open, close, members): (_, _, Vec<(Option<&String>, &Value)>) = match value {
        Value::Object(object) => (
            '{',
            '}',
            object.iter().map(|(name, value)| (Some(name), value)).collect(),
        ),
        Value::Array(array) => ('[', ']', array.iter().map(|value| (None, value)).collect()),
        scalar => return out.push_str(&scalar.to_string()),
    };
    let indent = |out: &mut String, depth| out.extend(std::iter::repeat_n("  ", depth));
    out.push(open);
    for (n, (name, value)) in members.iter().enumerate() {
        out.push_str(if n == 0 { "\n" } else { ",\n" });
        indent(out, depth + 1);
        if let Some(name) = name {
            out.push_str(&Value::from(name.as_str()).to_string());
            out.push(':');
        }
        push(out, value, depth + 1);
    }
    out.push('\n');
    indent(out, depth);
    out.push(close);
}

/// The answer of `luksDump --json`: no key, and no key material.
pub(in crate::cryptsetup) fn to_json(header: &Header) -> Value {
    match header {
        Header::Luks1(header) => of_luks1(header),
        Header::Luks2(header) => of_luks2(header),
    }
}

fn of_luks1(header: &luks1::Header) -> Value {
    let slots = header.keyslots().iter().enumerate().map(|(id, slot)| {
        let state = match slot.state {
            KeyslotState::Active => "active",
            KeyslotState::Inactive => "inactive",
            KeyslotState::Invalid(_) => "invalid",
        };
        let mut value = json!({
            "id": id,
            "state": state,
            "kdf": { "type": "pbkdf2", "hash": header.hash_name(), "iterations": slot.iterations },
            "salt": hex(&slot.salt),
            "area": { "offset": slot.material_offset.get() * 512, "size": header.area_size().get() },
        });
        let kdf = Kdf::Pbkdf2 {
            hash: header.hash(),
            iterations: slot.iterations,
        };
        if let Some(weakness) = kdf.weakness().filter(|_| slot.state == KeyslotState::Active) {
            value["weakness"] = weakness.to_string().into();
        }
        value
    });
    json!({
        "version": 1,
        "uuid": header.uuid(),
        "cipher": format!("{}-{}", header.cipher_name(), header.cipher_mode()),
        "hash": header.hash_name(),
        "key_bits": header.key_size().get() * 8,
        "data_offset": header.payload_offset().get() * 512,
        "sector_size": 512,
        "digest": {
            "type": "pbkdf2",
            "hash": header.hash_name(),
            "iterations": header.mk_iterations(),
            "salt": hex(header.mk_salt()),
            "digest": hex(header.mk_digest()),
        },
        "keyslots": slots.collect::<Vec<_>>(),
    })
}

/// Keyslots by their numbers.
pub(in crate::cryptsetup) fn keyslot_numbers(slots: &[KeyslotId]) -> Value {
    slots.iter().map(|slot| slot.get()).collect()
}

fn of_luks2(header: &luks2::Header) -> Value {
    let (binary, metadata) = (header.binary(), header.metadata());
    let names = crate::slot_names::list_luks2(header);
    let by_keyslot = DigestIndex::new(metadata);
    let slots = metadata.keyslots.iter().map(|(id, slot)| {
        let mut value = json!({
            "id": id.get(),
            "state": "active",
            "type": slot.type_name(),
            "key_bits": u64::from(slot.key_size) * 8,
            "priority": match slot.priority() {
                Priority::Ignore => "ignore",
                Priority::Normal => "normal",
                Priority::Prefer => "prefer",
            },
            "area": { "offset": slot.area.offset.get(), "size": slot.area.size.get() },
            "digest": by_keyslot.of_keyslot(*id).map(|(id, _)| id),
            "unbound": !by_keyslot.is_bound(*id),
        });
        if let KeyslotKind::Luks2(luks2) = &slot.kind {
            let kdf = luks2.kdf.type_name();
            if let Some(weakness) = luks2.kdf.known().and_then(|kdf| kdf.weakness()) {
                value["weakness"] = weakness.to_string().into();
            }
            value["kdf"] = match &luks2.kdf {
                SlotKdf::Pbkdf2 { hash, iterations } => {
                    json!({ "type": kdf, "hash": hash.as_str(), "iterations": iterations })
                }
                SlotKdf::Argon2 {
                    time,
                    memory_kib,
                    lanes,
                    ..
                } => {
                    json!({ "type": kdf, "time": time, "memory_kib": memory_kib, "lanes": lanes })
                }
                _ => json!({ "type": kdf }),
            };
            value["salt"] = hex(&luks2.salt).into();
            value["cipher"] = luks2.encryption.clone().into();
            value["cipher_key_bits"] = (u64::from(luks2.area_key_size) * 8).into();
            value["af_hash"] = luks2.af_hash.as_str().into();
        }
        if let Ok(at) = names.binary_search_by_key(id, |entry| entry.slot) {
            let entry = &names[at];
            value["name"] = entry.name.clone().into();
            value["protected"] = entry.protected.into();
        }
        value
    });
    let segments = metadata.segments.iter().map(|(id, segment)| {
        json!({
            "id": id,
            "type": segment.type_name(),
            "offset": segment.offset.get(),
            "size": segment.size.map(keyslots::units::Bytes::get),
            "cipher": segment.crypt().map(|crypt| &crypt.encryption),
            "sector_size": segment.crypt().map(|crypt| crypt.sector_size),
            "flags": segment.flags,
        })
    });
    let tokens = metadata.tokens.iter().map(|(id, token)| {
        let mut value = strict(&token.to_value());
        value["id"] = (*id).into();
        value
    });
    let digests = metadata.digests.iter().map(|(id, digest)| {
        json!({
            "id": id,
            "type": digest.type_name(),
            "keyslots": keyslot_numbers(&digest.keyslots),
            "segments": digest.segments,
        })
    });
    json!({
        "version": 2,
        "uuid": binary.uuid,
        "label": binary.label.to_string(),
        "subsystem": binary.subsystem.to_string(),
        "epoch": binary.seqid,
        "metadata_size": binary.hdr_size.get(),
        "keyslots_size": metadata.config.keyslots_size.get(),
        "flags": metadata.config.flags,
        "requirements": metadata.config.requirements,
        "segments": segments.collect::<Vec<_>>(),
        "keyslots": slots.collect::<Vec<_>>(),
        "tokens": tokens.collect::<Vec<_>>(),
        "digests": digests.collect::<Vec<_>>(),
        "copies_agree": header.other_copy().needs_recovery().is_none(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_one_that_programs_know() {
        let value = json!({ "keyslots": {}, "a": ["0", "1"], "b": [], "c": { "d": null, "e\"": true } });
        let expected = "{\n  \"keyslots\":{\n  },\n  \"a\":[\n    \"0\",\n    \"1\"\n  ],\n  \"b\":[\n  ],\n  \"c\":{\n    \
                        \"d\":null,\n    \"e\\\"\":true\n  }\n}";
        assert_eq!(metadata_text(&value), expected);
    }
}
