//! Data of other programs that this crate cannot compute: not usable here, and kept as they are.

use serde_json::{Value, json};

use super::super::format::BinaryHeader;
use super::*;
use crate::KeyslotId;
use crate::luks2::copies::{self, Copy};
use crate::luks2::metadata::Metadata;

/// A volume that "first" and "second" open, whose metadata `change` edited before they were written.
fn volume_with(change: impl FnOnce(&mut Value)) -> (Memory, VolumeKey) {
    let (mut storage, mut header, key) = volume();
    add(&mut header, &mut storage, &key, "second").expect("room");
    let mut json = Value::Object(header.metadata().to_object());
    change(&mut json);
    let Value::Object(object) = json else {
        panic!("an object")
    };
    let copy = Copy {
        binary: BinaryHeader {
            seqid: header.binary().seqid + 1,
            ..header.binary().clone()
        },
        metadata: Metadata::parse(object).expect("metadata"),
    };
    copies::write(&mut storage, &copy).expect("memory");
    (storage, key)
}

#[test]
fn what_is_unknown_spoils_its_keyslot_and_nothing_else() {
    let unknown_kdf = json!({ "type": "scrypt", "n": 14, "salt": "AAAA" });
    for (path, value, said) in [
        ("/keyslots/0/kdf/hash", json!("foo"), "hash \"foo\" is unknown"),
        ("/keyslots/0/af/hash", json!("foo"), "hash \"foo\" is unknown"),
        (
            "/keyslots/0/kdf",
            unknown_kdf,
            "key derivation function \"scrypt\" is unknown",
        ),
    ] {
        let change = |json: &mut Value| *json.pointer_mut(path).expect("a place") = value.clone();
        let (mut storage, key) = volume_with(change);
        assert_eq!(
            opens(&mut storage, "second").expect("the other keyslot").keyslot,
            KeyslotId::new(1),
            "{path}"
        );
        let refused = opens(&mut storage, "first").expect_err("an unknown one");
        assert_eq!(refused.to_string(), said, "{path}");
        // It outlives a write.
        let mut header = Header::read(&mut storage).expect("a header");
        add(&mut header, &mut storage, &key, "third").expect("room");
        let header = Header::read(&mut storage).expect("a header");
        let kept = Value::Object(header.metadata().to_object());
        assert_eq!(kept.pointer(path), Some(&value), "{path}");
    }
}

#[test]
fn a_digest_of_an_unknown_hash_proves_no_key() {
    let (mut storage, _) = volume_with(|json| json["digests"]["0"]["hash"] = json!("foo"));
    assert!(matches!(opens(&mut storage, "first"), Err(Error::UnknownHash(name)) if name == "foo"));
}

#[test]
fn a_hash_keeps_its_spelling() {
    let (mut storage, key) = volume_with(|json| json["keyslots"]["0"]["kdf"]["hash"] = json!("SHA256"));
    let mut header = Header::read(&mut storage).expect("a header");
    add(&mut header, &mut storage, &key, "third").expect("room");
    assert_eq!(
        opens(&mut storage, "first").expect("known anyway").keyslot,
        KeyslotId::new(0)
    );
    let header = Header::read(&mut storage).expect("a header");
    assert_eq!(header.metadata().to_object()["keyslots"]["0"]["kdf"]["hash"], "SHA256");
}

#[test]
fn a_keyslot_named_twice_is_named_once() {
    let token = json!({ "type": "x", "keyslots": ["0", "1", "0"] });
    let (mut storage, _) = volume_with(|json| json["tokens"]["0"] = token);
    let header = Header::read(&mut storage).expect("a header");
    assert_eq!(
        header.metadata().to_object()["tokens"]["0"]["keyslots"],
        json!(["0", "1"])
    );
}

#[test]
fn a_device_that_ends_in_the_keyslots_area_has_no_header() {
    let (mut storage, _, _) = volume();
    let end = 2 * 16384 + (1 << 20);
    storage.0.truncate(end);
    Header::read(&mut storage).expect("all of the area");
    storage.0.truncate(end - 1);
    assert!(matches!(
        Header::read(&mut storage),
        Err(Error::Luks2(Defect::DeviceTooSmall { needed, .. })) if needed == end as u64
    ));
}
