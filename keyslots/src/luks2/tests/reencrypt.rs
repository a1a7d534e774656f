//! Reencryption: what headers in the middle of one say, and each rule of theirs.

mod layout;
mod plan;

use serde_json::{Value, json};

use super::super::json::parse_object;
use super::super::reencrypt::*;
use super::super::{Metadata, validate};
use crate::secret::{Secret, VolumeKey};
use crate::units::Bytes;

const MIB: u64 = 1 << 20;

/// The metadata of a header in reencryption, from what is different in each.
pub(super) struct Sample {
    pub(super) mode: &'static str,
    pub(super) direction: &'static str,
    pub(super) area: Value,
    /// Kind (`old`, `new` or `hot`), offset, size, logical start; all in MiB, a size of 0 is dynamic.
    pub(super) active: &'static [(&'static str, u64, u64, u64)],
    /// Offset and size of the previous, the final and the moved segment.
    pub(super) backups: &'static [(u64, u64)],
}

fn plain(of: &str, mode: &str) -> bool {
    matches!((of, mode), ("old", "encrypt") | ("new" | "hot", "decrypt"))
}

impl Sample {
    pub(super) fn json(&self) -> Value {
        let salt = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        let mut segments = serde_json::Map::new();
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let mut push = |of: &str, (offset, size, start): (u64, u64, u64), flag: Option<&str>| {
            let id = segments.len().to_string();
            let size = match size {
                0 => "dynamic".to_owned(),
                size => (size * MIB).to_string(),
            };
            let mut segment = json!({ "type": "linear", "offset": (offset * MIB).to_string(), "size": size });
            if !plain(of, self.mode) {
                segment["type"] = "crypt".into();
                segment["iv_tweak"] = (start * MIB / 512).to_string().into();
                segment["encryption"] = "aes-xts-plain64".into();
                segment["sector_size"] = 4096.into();
                if of == "old" || (of == "hot" && self.mode == "reencrypt") {
                    old.push(id.clone());
                }
                if of != "old" {
                    new.push(id.clone());
                }
            }
            let flag = flag.or((of == "hot").then_some("in-reencryption"));
            if let Some(flag) = flag {
                segment["flags"] = json!([flag]);
            }
            segments.insert(id, segment);
        };
        for (of, offset, size, start) in self.active {
            push(of, (*offset, *size, *start), None);
        }
        let flags = ["backup-previous", "backup-final", "backup-moved-segment"];
        for ((of, flag), (offset, size)) in ["old", "new", "old"].into_iter().zip(flags).zip(self.backups) {
            push(of, (*offset, *size, 0), Some(flag));
        }
        let digest = |keyslots: Value, segments: Vec<String>| {
            json!({ "type": "pbkdf2", "keyslots": keyslots, "segments": segments, "hash": "sha256",
                    "iterations": 1000, "salt": salt, "digest": salt })
        };
        let mut area = self.area.clone();
        // As large as they can be before the data.
        let starts = self
            .active
            .iter()
            .map(|(_, offset, ..)| *offset)
            .chain(self.backups.iter().map(|(offset, _)| *offset));
        let small = starts.filter(|offset| *offset > 0).any(|offset| offset < 16);
        let (area_size, keyslots_size) = if small {
            ("458752", "983040")
        } else {
            ("16228352", "16744448")
        };
        area["offset"] = "548864".into();
        area["size"] = area_size.into();
        let mut digests = json!({ "2": digest(json!(["2"]), Vec::new()) });
        if !old.is_empty() {
            digests["0"] = digest(json!([]), old);
        }
        if !new.is_empty() {
            digests["1"] = digest(json!([]), new);
        }
        json!({
            "keyslots": { "2": { "type": "reencrypt", "key_size": 1, "mode": self.mode, "direction": self.direction,
                                 "priority": 0, "area": area } },
            "tokens": {},
            "segments": segments,
            "digests": digests,
            "config": { "json_size": "12288", "keyslots_size": keyslots_size,
                        "requirements": { "mandatory": ["online-reencrypt-v2"] } },
        })
    }
}

pub(super) fn metadata(value: &Value) -> Metadata {
    let metadata = Metadata::parse(parse_object(value.to_string().as_bytes()).expect("JSON")).expect("metadata");
    validate::validate(&metadata, Bytes::kib(16)).expect("valid");
    metadata
}

fn status(value: &Value) -> Result<Status, String> {
    Status::read(&metadata(value)).map_err(|defect| defect.to_string())
}

fn running(value: &Value) -> Reencryption {
    status(value).expect("a state").running().expect("a reencryption")
}

fn checksum() -> Value {
    json!({ "type": "checksum", "hash": "sha256", "sector_size": 4096 })
}

fn shift(kind: &str, mib: u64) -> Value {
    json!({ "type": kind, "hash": "sha256", "sector_size": 4096, "shift_size": (mib * MIB).to_string() })
}

/// As cryptsetup has them: stopped, or killed within a zone; and the size of the device.
fn samples() -> Vec<(Sample, State, u64)> {
    let sample = |mode, direction, area: Value, active, backups, state, device| {
        let sample = Sample {
            mode,
            direction,
            area,
            active,
            backups,
        };
        (sample, state, device)
    };
    let same: &[_] = &[(16, 0), (16, 0)];
    let detached: &[_] = &[(0, 0), (0, 0)];
    let up: &[_] = &[(0, 64), (16, 0), (80, 16)];
    let down: &[_] = &[(16, 0), (0, 0), (0, 16)];
    vec![
        sample(
            "reencrypt",
            "forward",
            checksum(),
            &[("old", 16, 0, 0)],
            same,
            State::Clean,
            64,
        ),
        sample(
            "reencrypt",
            "forward",
            checksum(),
            &[("hot", 16, 48, 0)],
            same,
            State::Crash,
            64,
        ),
        sample(
            "reencrypt",
            "forward",
            checksum(),
            &[("new", 16, 16, 0), ("hot", 32, 16, 16), ("old", 48, 0, 32)],
            same,
            State::Crash,
            64,
        ),
        sample(
            "reencrypt",
            "forward",
            json!({ "type": "journal" }),
            &[("new", 16, 16, 0), ("old", 32, 0, 16)],
            same,
            State::Clean,
            64,
        ),
        sample(
            "reencrypt",
            "forward",
            checksum(),
            &[("new", 16, 0, 0)],
            same,
            State::Finished,
            64,
        ),
        sample(
            "encrypt",
            "forward",
            checksum(),
            &[("hot", 0, 2, 0), ("old", 2, 0, 2)],
            detached,
            State::Crash,
            8,
        ),
        sample(
            "decrypt",
            "backward",
            checksum(),
            &[("old", 0, 6, 0), ("hot", 6, 2, 6)],
            detached,
            State::Crash,
            8,
        ),
        sample(
            "decrypt",
            "backward",
            checksum(),
            &[("old", 0, 6, 0), ("new", 6, 0, 6)],
            detached,
            State::Clean,
            8,
        ),
        sample(
            "decrypt",
            "backward",
            checksum(),
            &[("hot", 0, 1, 0), ("new", 1, 0, 1)],
            detached,
            State::Crash,
            8,
        ),
        sample(
            "decrypt",
            "backward",
            checksum(),
            &[("new", 0, 0, 0)],
            detached,
            State::Finished,
            8,
        ),
        sample(
            "encrypt",
            "backward",
            shift("datashift", 16),
            &[("old", 80, 16, 0), ("old", 16, 48, 16)],
            up,
            State::Clean,
            96,
        ),
        sample(
            "encrypt",
            "backward",
            shift("datashift", 16),
            &[
                ("old", 80, 16, 0),
                ("old", 16, 16, 16),
                ("hot", 48, 16, 32),
                ("new", 64, 16, 48),
            ],
            up,
            State::Crash,
            96,
        ),
        sample(
            "encrypt",
            "backward",
            shift("datashift", 16),
            &[("old", 80, 16, 0), ("new", 32, 48, 16)],
            up,
            State::Clean,
            96,
        ),
        sample(
            "encrypt",
            "backward",
            shift("datashift", 16),
            &[("hot", 16, 16, 0), ("new", 32, 48, 16)],
            up,
            State::Crash,
            96,
        ),
        sample(
            "encrypt",
            "backward",
            shift("datashift", 16),
            &[("new", 16, 0, 0)],
            up,
            State::Finished,
            96,
        ),
        sample(
            "decrypt",
            "forward",
            shift("datashift-checksum", 16),
            &[("old", 0, 16, 0), ("old", 32, 0, 16)],
            down,
            State::Clean,
            64,
        ),
        sample(
            "decrypt",
            "forward",
            shift("datashift-checksum", 16),
            &[("old", 0, 16, 0), ("new", 16, 16, 16), ("hot", 32, 16, 32)],
            down,
            State::Crash,
            64,
        ),
        sample(
            "decrypt",
            "forward",
            shift("datashift-journal", 16),
            &[("old", 0, 16, 0), ("new", 16, 0, 16)],
            &[(16, 0), (0, 0), (0, 15)],
            State::Clean,
            64,
        ),
        sample(
            "decrypt",
            "forward",
            shift("datashift-checksum", 16),
            &[("hot", 0, 16, 0), ("new", 16, 0, 16)],
            down,
            State::Crash,
            64,
        ),
        sample(
            "decrypt",
            "forward",
            shift("datashift-checksum", 16),
            &[("new", 0, 0, 0)],
            down,
            State::Finished,
            64,
        ),
    ]
}

#[test]
fn each_state_of_each_mode_is_read() {
    for (sample, state, device) in samples() {
        let text = sample.json();
        let found = running(&text);
        assert_eq!(found.state, state, "{text}");
        let plan = Plan::new(&found, Bytes::mib(device));
        // A moved segment that the others do not go around.
        let odd = sample.backups.last() == Some(&(0, 15));
        assert_eq!(plan.is_err(), odd, "{plan:?} {text}");
        let too_small = Plan::new(&found, Bytes::mib(device / 8));
        assert!(too_small.is_err() || (state, device) == (State::Finished, 8), "{text}");
    }
}

#[test]
fn a_volume_that_is_in_no_reencryption_that_can_be_continued_says_so() {
    let mut value = samples()[0].0.json();
    value["config"]["requirements"]["mandatory"] = json!(["online-reencrypt"]);
    assert_eq!(status(&value), Ok(Status::Legacy("online-reencrypt".into())));
    value["config"]["requirements"]["mandatory"] = json!(["online-reencrypt-v3"]);
    assert_eq!(running(&value).version, Version::V3);
    value["config"]["requirements"]["mandatory"] = json!(["online-reencrypt-v3", "online-reencrypt-v2"]);
    assert_eq!(
        status(&value),
        Err("reencryption is inconsistent: it has several requirements".into())
    );
    let wipe = "luksmith-reencrypt-wipe";
    value["config"]["requirements"]["mandatory"] = json!(["online-reencrypt-v2", wipe]);
    let verdict = status(&value).expect_err("no wipe yet");
    assert!(verdict.contains("not all converted"), "{verdict}");
    let mut finished = samples()[4].0.json();
    assert_eq!(running(&finished).state, State::Finished);
    finished["config"]["requirements"]["mandatory"] = json!([wipe, "online-reencrypt-v2"]);
    assert_eq!(running(&finished).state, State::Wiping);
    for names in [
        json!([wipe, wipe, "online-reencrypt-v2"]),
        json!(["offline-reencrypt", "online-reencrypt-v2"]),
    ] {
        finished["config"]["requirements"]["mandatory"] = names;
        assert!(status(&finished).is_err());
    }
    value["keyslots"] = json!({});
    value["digests"].as_object_mut().expect("an object").remove("2");
    value["config"]["requirements"]["mandatory"] = json!([wipe]);
    assert!(status(&value).is_err());
    value["config"]["requirements"] = json!({});
    assert_eq!(status(&value), Ok(Status::None));
}

/// One edit each of a header that can be continued, and what is wrong with it then.
#[test]
fn each_rule_has_its_defect() {
    const GONE: Value = Value::Null;
    let all = samples();
    let (hot, up, down) = (2, 11, 16);
    #[rustfmt::skip]
    let rules = [
        (hot, "digests/2/segments", json!(["0"]), "its keyslot needs one digest of its own"),
        (hot, "digests/2/keyslots", json!([]), "its keyslot needs one digest of its own"),
        (hot, "digests/0/keyslots", json!(["2"]), "its keyslot needs one digest of its own"),
        (hot, "keyslots/2/mode", json!("encrypt"), "its mode does not agree with the backup segments"),
        (hot, "segments/3/iv_tweak", json!("8"), "segments.3.iv_tweak is 8: must be 0 where the data start"),
        (hot, "segments/3/flags", json!(["backup-previous", "x"]), "segments.3.flags is backup-previous, x: "),
        (hot, "segments/3/integrity", json!({ "type": "aead", "journal_encryption": "none", "journal_integrity": "none" }),
            "segments.3.integrity is set: cannot be reencrypted"),
        (hot, "segments/2/flags", json!(["in-reencryption"]), "segments.2.digests is 0: must be those of"),
        (hot, "segments/1/flags", GONE, "segments.1.digests is 0, 1: must be those of the data before"),
        (hot, "digests/1/segments", json!(["0", "4"]), "segments.1.digests is 0: must be those of the data before"),
        (hot, "digests/0/segments", json!(["2", "1", "3", "4"]), "segments.4.digests is 0, 1: must be one for each"),
        (hot, "segments/3/offset", json!("8388608"), "its data do not move in a way that can be recovered"),
        (hot, "keyslots/2/area", json!({ "type": "datashift", "offset": "548864", "size": "4096", "shift_size": "4096" }),
            "its data do not move in a way that can be recovered"),
        (up, "keyslots/2/direction", json!("forward"), "its data do not move in a way that can be recovered"),
        (up, "keyslots/2/area/shift_size", json!("4096"), "its data do not move in a way that can be recovered"),
        (up, "segments/4/size", json!("dynamic"), "its data do not move in a way that can be recovered"),
        (up, "segments/4/size", json!("4096"), "its data do not move in a way that can be recovered"),
        (up, "segments/4/size", json!("18446744073709547520"), "its data do not move in a way that can be recovered"),
        (up, "segments/6/offset", json!("18446744073709547520"), "its data do not move in a way that can be recovered"),
        (up, "segments/6/offset", json!("67108864"), "its data do not move in a way that can be recovered"),
        (up, "segments/6/flags", json!(["backup-other"]), "segments.6.flags is backup-other: must be one that is known"),
        (up, "segments/6/flags", json!(["backup-final"]), "segments.6.flags is backup-final: stands for another"),
        (down, "segments/5/size", json!("33554432"), "its data do not move in a way that can be recovered"),
        (down, "segments/5/encryption", json!("aes-ecb"), "the moved segment is not encrypted as the data were"),
        (down, "keyslots/2/area/type", json!("datashift"), "its data do not move in a way that can be recovered"),
    ];
    for (index, path, new, expected) in rules {
        let mut value = all[index].0.json();
        let (parent, member) = path.rsplit_once('/').expect("two parts");
        let parent = value
            .pointer_mut(&format!("/{parent}"))
            .expect("a member")
            .as_object_mut()
            .expect("an object");
        match new {
            Value::Null => drop(parent.remove(member)),
            new => drop(parent.insert(member.into(), new)),
        }
        let verdict = status(&value).err().unwrap_or_default();
        assert!(verdict.contains(expected), "{path}: {verdict}");
    }
}

/// A sample, edits of it, and the defect.
type PlanRule<'a> = (usize, &'a [(&'a str, Value)], &'a str);

/// Headers that are consistent, and whose segments are those of no progress.
#[test]
fn the_segments_have_to_be_those_of_some_progress() {
    let all = samples();
    let (hot, up, down) = (2, 11, 16);
    let defect = |index: usize, edits: &[(&str, Value)]| {
        let mut value = all[index].0.json();
        for (path, new) in edits {
            *value.pointer_mut(path).expect("a member") = new.clone();
        }
        let found = running(&value);
        let plan = Plan::new(&found, Bytes::mib(all[index].2)).and_then(|plan| plan.zone_length(ZoneLimits::default()));
        plan.map_err(|defect| defect.to_string()).err().unwrap_or_default()
    };
    let progress = "the active segments are not those of any progress";
    #[rustfmt::skip]
    let rules: &[PlanRule<'_>] = &[
        (hot, &[("/segments/1/iv_tweak", json!("0"))], progress),
        (hot, &[("/segments/2/size", json!("4194304"))], ""),
        (hot, &[("/segments/2/size", json!("41943040"))], "the data device is too small for its segments"),
        (hot, &[("/keyslots/2/direction", json!("backward"))], progress),
        (hot, &[("/keyslots/2/area/sector_size", json!(2048))], "keyslots.2.area.sector_size is 2048: must be from the"),
        (hot, &[("/keyslots/2/area/sector_size", json!(1 << 30))], "keyslots.2.area.sector_size is 1073741824: must be from"),
        (hot, &[("/keyslots/2/area/hash", json!("crc32"))], "keyslots.2.area.hash is crc32: is not a hash"),
        (hot, &[("/keyslots/2/area/size", json!("31"))], "there is no room for the protection of a zone"),
        (up, &[("/segments/0/offset", json!("83886592"))], progress),
        (up, &[("/segments/2/offset", json!("49283072")), ("/segments/2/iv_tweak", json!("63488"))], progress),
        (down, &[("/keyslots/2/area/size", json!("65536"))], "there is no room for the protection of the moved segment"),
        (down, &[("/segments/0/size", json!("8388608"))], progress),
    ];
    for (index, edits, expected) in rules {
        let verdict = defect(*index, edits);
        assert!(
            verdict.contains(expected) && verdict.is_empty() == expected.is_empty(),
            "{edits:?}: {verdict}"
        );
    }
}

#[test]
fn the_verification_digest_covers_exactly_these_bytes() {
    let found = running(&samples()[2].0.json());
    let key = |byte| Some(VolumeKey::new(Secret::copy_from(&[byte; 64]).expect("a page")));
    let keys = VolumeKeys {
        old: key(1),
        new: key(2),
    };
    let input = verification_input(&found, &keys).expect("both keys");
    let mut expected = b"v2".to_vec();
    expected.extend([[1; 64], [2; 64]].concat());
    expected.extend(b"reencryptforwardchecksum");
    expected.extend([548864_u64.to_be_bytes(), 16228352_u64.to_be_bytes()].concat());
    expected.extend(b"sha256\0\0\x10\0");
    for _ in 0..2 {
        expected.extend(b"crypt");
        expected.extend(16777216_u64.to_be_bytes());
        expected.extend(b"dynamic\0\0\0\0\0\0\0\0aes-xts-plain64\0\0\x10\0");
    }
    assert_eq!(input.expose(), expected);
    assert_eq!(input.len(), 274);
    let one = VolumeKeys { new: None, ..keys };
    assert!(matches!(
        verification_input(&found, &one),
        Err(crate::Error::WrongVolumeKey)
    ));
}
