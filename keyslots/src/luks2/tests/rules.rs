//! A good header and one edit for each rule: the verdict is the defect of exactly that rule.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::format::{BINARY_HEADER_LEN, put_checksum};
use super::super::json::parse_object;
use super::super::{copies, metadata::Metadata, validate};
use super::*;
use crate::KeyslotId;
use crate::storage::Unreadable;

/// Removes a member.
const GONE: Value = Value::Null;

fn salt(len: usize) -> Value {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(vec![7; len]).into()
}

/// All kinds of objects that a header without a reencryption can have.
fn good() -> Value {
    let area = |offset: u32| {
        json!({ "type": "raw", "offset": offset.to_string(), "size": "258048", "encryption": "aes-xts-plain64",
                "key_size": 64 })
    };
    let af = json!({ "type": "luks1", "stripes": 4000, "hash": "sha256" });
    json!({
        "keyslots": {
            "0": { "type": "luks2", "key_size": 64, "af": af, "area": area(32768), "priority": 2,
                   "kdf": { "type": "pbkdf2", "hash": "sha256", "iterations": 1000, "salt": salt(32) } },
            "1": { "type": "luks2", "key_size": 64, "af": af, "area": area(290816),
                   "kdf": { "type": "argon2id", "time": 4, "memory": 32, "cpus": 1, "salt": salt(32) } },
            "9": { "type": "future", "key_size": 1, "area": { "type": "none", "offset": "548864", "size": "4096" } },
        },
        "tokens": {
            "0": { "type": "luks2-keyring", "keyslots": ["0"], "key_description": "desc" },
            "5": { "type": "clevis", "keyslots": ["1"], "jwe": {} },
        },
        "segments": {
            "0": { "type": "crypt", "offset": "1048576", "size": "1048576", "iv_tweak": "0",
                   "encryption": "aes-xts-plain64", "sector_size": 4096,
                   "integrity": { "type": "aead", "journal_encryption": "none", "journal_integrity": "none" } },
            "1": { "type": "hw-opal-crypt", "offset": "2097152", "size": "4096", "iv_tweak": "8",
                   "encryption": "aes-xts-plain64", "sector_size": 512, "opal_segment_number": 1, "opal_key_size": 32,
                   "opal_segment_size": "4096" },
            "2": { "type": "linear", "offset": "3145728", "size": "dynamic" },
        },
        "digests": {
            "0": { "type": "pbkdf2", "keyslots": ["0", "1"], "segments": ["0", "1"], "hash": "sha256",
                   "iterations": 1000, "salt": salt(32), "digest": salt(32) },
        },
        "config": { "json_size": "12288", "keyslots_size": "520192", "flags": ["allow-discards"] },
    })
}

/// In the middle of a reencryption.
fn reencrypting() -> Value {
    let segment = |offset: &str, size: &str, encryption: &str, flags: Value| {
        json!({ "type": "crypt", "offset": offset, "size": size, "iv_tweak": "0", "encryption": encryption,
                "sector_size": 512, "flags": flags })
    };
    let mut header = good();
    header["segments"] = json!({
        "0": segment("1048576", "4096", "aes-xts-plain64", json!([])),
        "1": segment("1052672", "dynamic", "aes-cbc-essiv:sha256", json!([])),
        "2": segment("1048576", "dynamic", "aes-cbc-essiv:sha256", json!(["backup-previous"])),
        "3": segment("1048576", "dynamic", "aes-xts-plain64", json!(["backup-final"])),
    });
    header["digests"]["0"]["segments"] = json!(["0", "1", "2", "3"]);
    header["keyslots"]["2"] = json!({
        "type": "reencrypt", "key_size": 1, "mode": "reencrypt", "direction": "forward",
        "area": { "type": "datashift-checksum", "offset": "548864", "size": "4096", "hash": "sha256",
                  "sector_size": 512, "shift_size": "4096" },
    });
    header["keyslots"].as_object_mut().expect("an object").remove("9");
    header["config"]["requirements"] = json!({ "mandatory": ["online-reencrypt-v2"] });
    header
}

/// A place, its new value (or none), and the resulting defect.
type Rule = (&'static str, Value, &'static str);

#[rustfmt::skip]
fn rules() -> Vec<Rule> {
    let plus = |start: &str| Value::from(start.to_owned());
    vec![
        // Members that have to be there, and their types.
        ("keyslots", GONE, "keyslots is missing"),
        ("tokens", GONE, "tokens is missing"),
        ("segments", GONE, "segments is missing"),
        ("digests", GONE, "digests is missing"),
        ("config", GONE, "config is missing"),
        ("keyslots", json!([]), "keyslots is not an object"),
        ("keyslots/0", json!(1), "keyslots.0 is not an object"),
        ("keyslots/01", json!({}), "keyslots.01 is not named by a decimal number"),
        ("keyslots/x", json!({}), "keyslots.x is not named by a decimal number"),
        ("segments/-1", json!({}), "segments.-1 is not named by a decimal number"),
        ("tokens/4294967296", json!({}), "tokens.4294967296 is not named by a decimal number"),
        // Numbers.
        ("config/json_size", json!(12288), "config.json_size is not a string"),
        ("config/json_size", plus("-12288"), "config.json_size is -12288: not "),
        ("config/json_size", plus("+12288"), "config.json_size is +12288: not "),
        ("config/json_size", plus(""), "config.json_size is : not "),
        ("config/keyslots_size", plus("18446744073709551616"), "config.keyslots_size is 18446744073709551616: not "),
        ("keyslots/0/key_size", json!(-1), "keyslots.0.key_size is -1: not "),
        ("keyslots/0/key_size", json!(4294967296_u64), "keyslots.0.key_size is 4294967296: not "),
        ("keyslots/0/key_size", json!(1.5), "keyslots.0.key_size is 1.5: not "),
        ("keyslots/0/key_size", json!("64"), "keyslots.0.key_size is \"64\": not "),
        // Keyslots.
        ("keyslots/0/type", GONE, "keyslots.0.type is missing"),
        ("keyslots/0/type", json!(""), "keyslots.0.type is empty"),
        ("keyslots/0/key_size", GONE, "keyslots.0.key_size is missing"),
        ("keyslots/0/key_size", json!(0), "keyslots.0.key_size is 0: "),
        ("keyslots/0/area", GONE, "keyslots.0.area is missing"),
        ("keyslots/0/af", GONE, "keyslots.0.af is missing"),
        ("keyslots/0/kdf", GONE, "keyslots.0.kdf is missing"),
        ("keyslots/0/priority", json!(3), "keyslots.0.priority is 3: "),
        ("keyslots/0/priority", json!("2"), "keyslots.0.priority is \"2\": not "),
        ("keyslots/0/kdf/hash", GONE, "keyslots.0.kdf.hash is missing"),
        ("keyslots/0/kdf/hash", json!(""), "keyslots.0.kdf.hash is empty"),
        ("keyslots/0/kdf/iterations", json!(0), "keyslots.0.kdf.iterations is 0: "),
        ("keyslots/0/kdf/salt", salt(31), "keyslots.0.kdf.salt is not base64 of 32 bytes"),
        ("keyslots/0/kdf/salt", json!("!"), "keyslots.0.kdf.salt is not base64 of 32 bytes"),
        ("keyslots/0/kdf/pepper", json!(1), "keyslots.0.kdf has a member \"pepper\" that does not belong there"),
        ("keyslots/1/kdf/time", json!(0), "keyslots.1.kdf.time is 0: "),
        ("keyslots/1/kdf/memory", json!(0), "keyslots.1.kdf.memory is 0: "),
        ("keyslots/1/kdf/cpus", json!(0), "keyslots.1.kdf.cpus is 0: "),
        ("keyslots/1/kdf/cpus", GONE, "keyslots.1.kdf.cpus is missing"),
        ("keyslots/0/af/type", json!("luks9"), "keyslots.0.af.type is luks9: "),
        ("keyslots/0/af/stripes", json!(1), "keyslots.0.af.stripes is 1: "),
        ("keyslots/0/af/hash", json!(""), "keyslots.0.af.hash is empty"),
        ("keyslots/0/area/type", json!("journal"), "keyslots.0.area.type is journal: "),
        ("keyslots/0/area/encryption", GONE, "keyslots.0.area.encryption is missing"),
        ("keyslots/0/area/encryption", json!(""), "keyslots.0.area.encryption is empty"),
        ("keyslots/0/area/key_size", json!(0), "keyslots.0.area.key_size is 0: "),
        ("keyslots/0/area/size", plus("0"), "keyslots.0.area.size is 0: "),
        // Areas.
        ("keyslots/0/area/offset", plus("28672"), "the area of keyslot 0 (28672+258048) is not inside"),
        ("keyslots/1/area/size", plus("262145"), "the area of keyslot 1 (290816+262145) is not inside"),
        ("keyslots/1/area/offset", plus("18446744073709551615"), "the area of keyslot 1 (18446744073709551615+"),
        ("keyslots/9/area/offset", plus("552960"), "the area of keyslot 9 (552960+4096) is not inside"),
        ("keyslots/1/area/offset", plus("290815"), "the areas of keyslots 0 and 1 overlap"),
        ("keyslots/1/area/offset", plus("32768"), "the areas of keyslots 0 and 1 overlap"),
        ("keyslots/9/area/offset", plus("290816"), "the areas of keyslots 1 and 9 overlap"),
        (
            "keyslots/0/area/size",
            plus("255999"),
            "the area of keyslot 0 has 255999 bytes: its key material needs 256000",
        ),
        (
            "keyslots/0/key_size",
            json!(4294967295_u32),
            "the area of keyslot 0 has 258048 bytes: its key material needs ",
        ),
        // Tokens.
        ("tokens/0/type", json!(""), "tokens.0.type is empty"),
        ("tokens/5/keyslots", GONE, "tokens.5.keyslots is missing"),
        ("tokens/5/keyslots", json!("1"), "tokens.5.keyslots is not "),
        ("tokens/5/keyslots", json!([1]), "tokens.5.keyslots is not "),
        ("tokens/5/keyslots", json!(["7"]), "tokens.5.keyslots names 7, which does not exist"),
        ("tokens/0/key_description", GONE, "tokens.0.key_description is missing"),
        ("tokens/0/key_description", json!(""), "tokens.0.key_description is empty"),
        ("tokens/0/more", json!(1), "tokens.0 has a member \"more\" that does not belong there"),
        // Digests.
        ("digests/0/type", json!(""), "digests.0.type is empty"),
        ("digests/0/keyslots", json!(["0", "1", "8"]), "digests.0.keyslots names 8, which does not exist"),
        ("digests/0/segments", json!(["0", "1", "8"]), "digests.0.segments names 8, which does not exist"),
        ("digests/0/hash", json!(""), "digests.0.hash is empty"),
        ("digests/0/iterations", json!(0), "digests.0.iterations is 0: "),
        ("digests/0/salt", salt(33), "digests.0.salt is not base64 of 32 bytes"),
        ("digests/0/digest", salt(21), "digests.0.digest is not base64 of 20 bytes or the hash's size"),
        ("digests/0/keyslots", json!(["0"]), "keyslot 1 has 0 digests: it needs one"),
        (
            "digests/1",
            json!({ "type": "future", "keyslots": ["1"], "segments": [] }),
            "keyslot 1 has 2 digests: it needs one",
        ),
        // Segments.
        ("segments", json!({}), "digests.0.segments names 0, which does not exist"),
        ("segments/0", GONE, "digests.0.segments names 0, which does not exist"),
        ("segments/2", GONE, ""),
        ("segments/4", json!({ "type": "linear", "offset": "0", "size": "512" }), "segment 3 is missing: "),
        ("segments/0/type", json!(""), "segments.0.type is empty"),
        ("segments/0/offset", plus("1048577"), "segments.0.offset is 1048577: must be a multiple of 512"),
        ("segments/0/size", plus("0"), "segments.0.size is 0: "),
        ("segments/0/size", plus("513"), "segments.0.size is 513: must be a multiple of 512"),
        ("segments/0/size", plus("512"), "segments.0.size is 512: must be a multiple of sector_size"),
        ("segments/0/size", plus("Dynamic"), "segments.0.size is Dynamic: "),
        ("segments/0/size", plus("dynamic"), "segment 0 is dynamic, but not the last regular one"),
        ("segments/0/size", plus("1052672"), "segments 0 and 1 overlap"),
        ("segments/2/offset", plus("2097664"), "segments 1 and 2 overlap"),
        ("segments/0/offset", plus("18446744073709547520"), "segment 0 ends past 2^64"),
        ("segments/2/size", plus("18446744073709551104"), "segment 2 ends past 2^64"),
        ("segments/0/offset", plus("544768"), "segment 0 starts at 544768, inside the header that ends at 552960"),
        ("segments/0/iv_tweak", GONE, "segments.0.iv_tweak is missing"),
        ("segments/0/encryption", json!(""), "segments.0.encryption is empty"),
        ("segments/0/sector_size", json!(256), "segments.0.sector_size is 256: "),
        ("segments/0/sector_size", json!(8192), "segments.0.sector_size is 8192: "),
        ("segments/0/sector_size", json!(1536), "segments.0.sector_size is 1536: "),
        ("segments/0/integrity/type", GONE, "segments.0.integrity.type is missing"),
        ("segments/0/integrity/journal_encryption", GONE, "segments.0.integrity.journal_encryption is missing"),
        ("segments/0/integrity/journal_integrity", GONE, "segments.0.integrity.journal_integrity is missing"),
        ("segments/0/flags", json!("backup-final"), "segments.0.flags is not "),
        ("segments/0/flags", json!(["backup-x"]), "regular segment 1 comes after a backup segment"),
        ("digests/0/segments", json!(["0"]), "segment 1 has no digest"),
        ("digests/0/segments", json!([]), "segment 0 has no digest"),
        ("segments/1/opal_segment_number", GONE, "segments.1.opal_segment_number is missing"),
        ("segments/1/opal_key_size", GONE, "segments.1.opal_key_size is missing"),
        (
            "segments/1",
            json!({ "type": "hw-opal", "offset": "2097152", "size": "8192", "opal_segment_number": 1, "opal_key_size": 32,
                    "opal_segment_size": "4096" }),
            "segments.1.size is 8192: must not be above opal_segment_size",
        ),
        ("segments/1/opal_segment_size", plus("512"), "segments.1.size is 4096: must not be above opal_segment_size"),
        ("segments/1/size", plus("dynamic"), "segments.1.size is dynamic: must be fixed for a self-encrypting drive"),
        // Config.
        ("config/json_size", plus("12287"), "config.json_size is 12287: with the binary header"),
        ("config/keyslots_size", plus("520191"), "config.keyslots_size is 520191: not a multiple"),
        ("config/keyslots_size", plus("134221824"), "config.keyslots_size is 134221824: not a multiple"),
        (
            "config/keyslots_size",
            plus("1048576"),
            "segment 0 starts at 1048576, inside the header that ends at 1081344",
        ),
        ("config/flags", json!(1), "config.flags is not "),
        ("config/requirements", json!({ "mandatory": [1] }), "config.requirements.mandatory is not "),
        (
            "config/requirements",
            json!({ "mandatory": ["online-reencrypt"] }),
            "reencryption is inconsistent: it needs exactly one reencrypt keyslot",
        ),
    ]
}

#[rustfmt::skip]
fn reencryption_rules() -> Vec<Rule> {
    vec![
        ("config/requirements", GONE, "reencryption is inconsistent: a reencrypt keyslot without the requirement"),
        ("keyslots/2", GONE, "reencryption is inconsistent: it needs exactly one reencrypt keyslot"),
        ("segments/2/flags", json!(["backup-x"]), "reencryption is inconsistent: the backup-final or the"),
        ("segments/3/flags", json!(["backup-x"]), "reencryption is inconsistent: the backup-final or the"),
        ("segments/1/encryption", json!("aes-ecb"), "reencryption is inconsistent: a segment matches neither"),
        ("segments/1/sector_size", json!(4096), "reencryption is inconsistent: a segment matches neither"),
        ("keyslots/2/key_size", json!(64), "keyslots.2.key_size is 64: must be 1 for a reencrypt keyslot"),
        ("keyslots/2/mode", json!("x"), "keyslots.2.mode is x: "),
        ("keyslots/2/direction", json!("x"), "keyslots.2.direction is x: "),
        ("keyslots/2/area/type", json!("raw"), "keyslots.2.area.type is raw: "),
        ("keyslots/2/area/hash", GONE, "keyslots.2.area.hash is missing"),
        ("keyslots/2/area/sector_size", json!(256), "keyslots.2.area.sector_size is 256: "),
        ("keyslots/2/area/sector_size", json!(768), "keyslots.2.area.sector_size is 768: "),
        ("keyslots/2/area/shift_size", json!("0"), "keyslots.2.area.shift_size is 0: "),
        ("keyslots/2/area/shift_size", json!("100"), "keyslots.2.area.shift_size is 100: "),
        ("keyslots/2/area/shift_size", json!("-512"), "keyslots.2.area.shift_size is -512: "),
    ]
}

fn edited(mut header: Value, path: &str, value: &Value) -> Value {
    let (parent, member) = path
        .rsplit_once('/')
        .map_or(("".to_owned(), path), |(p, m)| (format!("/{p}"), m));
    let object = header.pointer_mut(&parent).and_then(Value::as_object_mut);
    let object = object.unwrap_or_else(|| panic!("{path} does not exist"));
    match value {
        Value::Null => drop(object.remove(member).unwrap_or_else(|| panic!("{path} does not exist"))),
        value => drop(object.insert(member.to_owned(), value.clone())),
    }
    header
}

fn verdict(header: &Value) -> std::result::Result<(), Defect> {
    let metadata = Metadata::parse(parse_object(header.to_string().as_bytes())?)?;
    validate::validate(&metadata, Bytes::kib(16))
}

/// Its name, so that a variant that no rule reaches is detected.
fn variant(defect: &Defect) -> String {
    format!("{defect:?}")
        .chars()
        .take_while(|c| c.is_alphanumeric())
        .collect()
}

#[test]
fn each_rule_has_its_defect() {
    assert_eq!(verdict(&good()), Ok(()));
    assert_eq!(verdict(&reencrypting()), Ok(()));
    let mut reached = BTreeSet::new();
    let mut wrong = Vec::new();
    let cases = rules().into_iter().map(|rule| (good(), rule));
    let cases = cases.chain(reencryption_rules().into_iter().map(|rule| (reencrypting(), rule)));
    for (base, (path, value, expected)) in cases {
        let verdict = verdict(&edited(base, path, &value));
        let text = verdict.as_ref().map_or_else(Defect::to_string, |()| String::new());
        if let Err(defect) = &verdict {
            reached.insert(variant(defect));
        }
        if !text.starts_with(expected) || text.is_empty() != expected.is_empty() {
            wrong.push(format!("{path} = {value}: {text:?} instead of {expected:?}"));
        }
    }
    let segments = whole_segments().into_iter().map(|(_, defect)| defect);
    for defect in segments.chain(binary_defects().into_iter().map(|(_, defect)| defect)) {
        reached.insert(variant(&defect));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missed: Vec<_> = VARIANTS.iter().filter(|name| !reached.contains(**name)).collect();
    assert!(missed.is_empty(), "no header shows {missed:?}");
    let unlisted: Vec<_> = reached
        .iter()
        .filter(|name| !VARIANTS.contains(&name.as_str()))
        .collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
}

#[test]
fn the_largest_keyslots_area_is_taken() {
    let most = 128_u64 << 20;
    let mut header = edited(good(), "config/keyslots_size", &most.to_string().into());
    for (id, place) in [("0", 0), ("1", 1 << 20), ("2", 2 << 20)] {
        header["segments"][id]["offset"] = (32768 + most + place).to_string().into();
    }
    assert_eq!(verdict(&header), Ok(()));
    // A key that fills its area to the last byte: 125 pages are 4000 times 128 bytes.
    header["keyslots"]["0"]["key_size"] = 128.into();
    header["keyslots"]["0"]["area"]["offset"] = "1048576".into();
    header["keyslots"]["0"]["area"]["size"] = "512000".into();
    assert_eq!(verdict(&header), Ok(()));
}

#[test]
fn what_is_not_encrypted_yet_is_a_segment_of_a_reencryption() {
    let mut header = reencrypting();
    for id in ["1", "2"] {
        let segment = header["segments"][id].as_object_mut().expect("a segment");
        segment.retain(|member, _| ["offset", "size", "flags"].contains(&member.as_str()));
        segment.insert("type".into(), "linear".into());
    }
    header["digests"]["0"]["segments"] = json!(["0", "3"]);
    assert_eq!(verdict(&header), Ok(()));
}

/// Segments that a single edit does not make.
fn whole_segments() -> Vec<(Value, Defect)> {
    let with = |segments: Value| {
        let mut header = edited(good(), "segments", &segments);
        header["digests"]["0"]["segments"] = json!([]);
        header
    };
    vec![
        (with(json!({})), Defect::NoSegment),
        (
            with(json!({ "0": { "type": "linear", "offset": "0", "size": "dynamic", "flags": ["backup-x"] } })),
            Defect::NoRegularSegment,
        ),
    ]
}

#[test]
fn there_is_a_regular_segment() {
    for (header, defect) in whole_segments() {
        assert_eq!(verdict(&header), Err(defect));
    }
}

#[test]
fn what_is_unknown_is_kept_and_what_is_left_over_is_not() {
    for (path, value) in [
        ("future", json!({ "x": [1] })),
        ("keyslots/0/future", json!(1)),
        ("tokens/5/future", json!([])),
        ("segments/0/future", json!({})),
        ("segments/0/type", json!("future")),
        ("digests/0/future", json!("x")),
        ("config/future", json!(1)),
        ("config/flags", json!(["from-the-future"])),
        ("config/requirements", json!({ "mandatory": ["from-the-future"] })),
    ] {
        let header = edited(good(), path, &value);
        let object = parse_object(header.to_string().as_bytes()).expect("JSON");
        let written = Value::Object(Metadata::parse(object).expect(path).to_object());
        assert_eq!(written.pointer(&format!("/{path}")), Some(&value), "{path}");
        assert_eq!(verdict(&header), Ok(()), "{path}");
    }
    let left = edited(good(), "keyslots/0/kdf/memory", &json!(32));
    assert_eq!(verdict(&left), Ok(()));
    let metadata = Metadata::parse(parse_object(left.to_string().as_bytes()).expect("JSON")).expect("metadata");
    assert_eq!(Value::Object(metadata.to_object()), good());
}

/// Mapping it fails as on any device that is too small.
#[test]
fn a_segment_alone_may_end_past_any_device() {
    let with = |size: &str| {
        let mut header = good();
        header["segments"] = json!({ "0": { "type": "linear", "offset": "1048576", "size": size } });
        header["digests"]["0"]["segments"] = json!(["0"]);
        verdict(&header)
    };
    assert_eq!(with("18446744073709551104"), Ok(()));
    for size in ["18446744073709551105", "18446744073709551615", "18446744073709551616"] {
        assert!(with(size).is_err(), "{size}");
    }
}

/// A damaged primary copy, where the secondary has no magic.
fn binary_defects() -> Vec<(String, Defect)> {
    let (Memory(image), header, _) = volume();
    let broken = |break_it: &dyn Fn(&mut Vec<u8>)| {
        let mut image = image.clone();
        image[16384..16390].fill(0);
        break_it(&mut image);
        match copies::read(&mut Memory(image)) {
            Err(Error::Luks2(defect)) => defect,
            Err(Error::NotLuks) => Defect::Magic,
            other => panic!("{other:?}"),
        }
    };
    let sealed = |json: &[u8]| {
        let json = json.to_vec();
        move |image: &mut Vec<u8>| {
            image[4096..4096 + json.len()].copy_from_slice(&json);
            seal_image(image);
        }
    };
    let put = |at: usize, bytes: &'static [u8]| {
        move |image: &mut Vec<u8>| {
            image[at..at + bytes.len()].copy_from_slice(bytes);
            seal_image(image);
        }
    };
    let end = header.metadata().keyslots[&KeyslotId::new(0)].area.offset.get() as usize + 4096;
    let cases: Vec<(&str, Defect)> = vec![
        ("magic", broken(&put(0, b"X"))),
        ("version", broken(&put(7, &[3]))),
        ("hdr_size", broken(&put(8, &[1]))),
        ("hdr_offset", broken(&put(263, &[1]))),
        ("label", broken(&put(24, &[b'x'; 48]))),
        ("uuid", broken(&put(168, &[0xff]))),
        ("algorithm", broken(&put(72, b"md4\0"))),
        ("checksum", broken(&|image| image[448] ^= 1)),
        ("the JSON's start", broken(&sealed(b" {}"))),
        ("an array", broken(&sealed(&[b"[]".as_slice(), &[0; 12286]].concat()))),
        ("no NUL", broken(&sealed(&[b"{".as_slice(), &[b' '; 12287]].concat()))),
        ("behind the NUL", broken(&put(16383, b"x"))),
        (
            "a member twice",
            broken(&sealed(&[br#"{"a":1,"a":1}"#.as_slice(), &[0; 12275]].concat())),
        ),
        ("an area behind the end", broken(&move |image| image.truncate(end))),
    ];
    let mut cases: Vec<(String, Defect)> = cases
        .into_iter()
        .map(|(name, defect)| (name.to_owned(), defect))
        .collect();
    match copies::read(&mut Unreadable) {
        Err(Error::Luks2(defect)) => cases.push(("a bad sector".to_owned(), defect)),
        other => panic!("{other:?}"),
    }
    cases
}

/// Corrects the checksum of the primary copy.
fn seal_image(image: &mut [u8]) {
    let (binary, json) = image[..16384].split_at(BINARY_HEADER_LEN);
    let mut binary: [u8; BINARY_HEADER_LEN] = binary.try_into().expect("a header");
    put_checksum(&mut binary, json, Hash::Sha256);
    image[..BINARY_HEADER_LEN].copy_from_slice(&binary);
}

#[test]
fn each_field_of_the_binary_header_has_its_defect() {
    let found: Vec<String> = binary_defects()
        .iter()
        .map(|(name, defect)| format!("{name}: {}", variant(defect)))
        .collect();
    assert_eq!(
        found,
        [
            "magic: Magic",
            "version: Version",
            "hdr_size: HeaderSize",
            "hdr_offset: HeaderOffset",
            "label: UnterminatedText",
            "uuid: TextNotUtf8",
            "algorithm: ChecksumAlgorithm",
            "checksum: Checksum",
            "the JSON's start: JsonStart",
            "an array: JsonStart",
            "no NUL: JsonUnterminated",
            "behind the NUL: JsonTrailingData",
            "a member twice: JsonSyntax",
            "an area behind the end: DeviceTooSmall",
            "a bad sector: Unreadable",
        ]
    );
}

#[rustfmt::skip]
/// All but `Truncated`: a copy that is cut off is not reported, since the device has no header then, or is too small for
/// it.
const VARIANTS: [&str; 39] = [
    "Magic", "Version", "HeaderSize", "HeaderOffset", "Unreadable", "ChecksumAlgorithm", "Checksum",
    "UnterminatedText", "TextNotUtf8", "JsonStart", "JsonUnterminated", "JsonTrailingData", "JsonSyntax", "Missing",
    "WrongType", "Number", "ObjectName", "DanglingReference", "Empty", "UnexpectedMember", "Value",
    "Base64", "JsonSize", "KeyslotsSize", "SegmentInsideHeader", "NoSegment", "NoRegularSegment", "SegmentGap",
    "SegmentOrder", "SegmentOverlap", "DynamicNotLast", "SegmentEnd", "SegmentWithoutDigest", "KeyslotDigests",
    "AreaOutside", "AreaOverlap", "AreaTooSmall", "DeviceTooSmall", "Reencryption",
];
