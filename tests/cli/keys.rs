//! Sources of the keys of keyslots, and proof of the right to remove one: beside the installed cryptsetup, or, where it
//! has no such option, as in the manual. Impossible requests are refused before anything is touched.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use luksmith::keyring::{self, KeyType, LinkedKey};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{self, CRYPTSETUP, OURS, run};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const VOLUME_KEY: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn done(folder: &Path, program: &str, line: &str) -> String {
    common::done(folder, program, line).0
}

/// The keyslots that each key opens, its own keys too, and the keyslots of the tokens.
fn state(folder: &Path, volume: &str) -> (String, String) {
    let opens = |key: &&str| {
        let words = format!("open --test-passphrase --unbound {volume} -d {key}");
        run(folder, CRYPTSETUP, &words).0 == Some(0)
    };
    let dump = done(folder, CRYPTSETUP, &format!("luksDump {volume}"));
    let tokens = dump.lines().filter(|line| line.starts_with("\tKeyslot:    "));
    let tokens = tokens.map(|line| line.trim_start_matches("\tKeyslot:    "));
    // A token that finds its key opens the volume whatever the key file holds.
    for id in [5, 6] {
        run(folder, CRYPTSETUP, &format!("token remove {volume} --token-id {id}"));
    }
    (KEYS.into_iter().filter(opens).collect(), tokens.collect())
}

/// The same with both, each on a copy of `volume`, which is V in the words.
fn both(folder: &Path, volume: &str, words: &str) -> (Option<i32>, String, String) {
    let after = |program: &str, copy: &str| {
        fs::copy(folder.join(volume), folder.join(copy)).expect("a copy");
        let code = run(folder, program, &words.replace('V', copy)).0;
        let (opens, tokens) = state(folder, copy);
        (code, opens, tokens)
    };
    let ours = folder.join("cryptsetup");
    let ours = after(ours.to_str().expect("UTF-8"), "ours");
    assert_eq!(ours, after(CRYPTSETUP, "theirs"), "{words}");
    ours
}

/// Volumes that "a" and "b" open; "c" opens keyslot 20 of v2, which holds an unbound key.
fn volumes() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path();
    for key in KEYS {
        fs::write(path.join(key), format!("passphrase {key}")).expect("a key file");
    }
    fs::write(path.join("vk"), VOLUME_KEY).expect("a key file");
    symlink(OURS, path.join("cryptsetup")).expect("a link");
    for volume in ["v1", "v2"] {
        let file = fs::File::create(path.join(volume)).expect("a file");
        file.set_len(20 << 20).expect("room");
        let kind = &volume[1..];
        let format = format!("luksFormat -q --type luks{kind} {volume} a --volume-key-file vk -s 512 PBKDF");
        done(path, CRYPTSETUP, &format);
        done(path, CRYPTSETUP, &format!("luksAddKey {volume} b -d a PBKDF"));
    }
    done(path, CRYPTSETUP, "luksAddKey v2 c --unbound -s 128 -S 20 PBKDF");
    folder
}

/// A key in the session's keyring, gone at the end.
struct Kept(Option<LinkedKey>);

impl Kept {
    fn new(description: &str, payload: &[u8]) -> Self {
        let key = keyring::add_to_keyring("@s", KeyType::User, description, payload);
        Self(Some(key.expect("a keyring")))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(key) = self.0.take() {
            key.remove();
        }
    }
}

/// Scripts rely on it: an empty input, and no other, removes a keyslot.
#[test]
fn an_empty_input_removes_a_keyslot_and_a_wrong_one_does_not() {
    let folder = volumes();
    let path = folder.path();
    for words in [
        "luksKillSlot V 1",
        "luksKillSlot -q V 1",
        "luksKillSlot -q V 1 --key-file -",
    ] {
        for volume in ["v1", "v2"] {
            let (code, opens, _) = both(path, volume, words);
            assert_eq!((code, opens.contains('b')), (Some(0), false), "{volume}: {words}");
        }
    }
    fs::write(path.join("nothing"), "").expect("a key file");
    for key in ["nothing", "e"] {
        let (code, opens, _) = both(path, "v2", &format!("luksKillSlot -q V 1 --key-file {key}"));
        assert_eq!((code, opens.contains('b')), (Some(2), true), "{key}");
    }
    // Under our own name an empty input proves nothing, and a protected keyslot needs its name.
    assert_eq!(run(path, OURS, "luksKillSlot v2 1").0, Some(1));
    done(path, OURS, "luksAddKey v2 d -d a --slot-name mine --protect PBKDF");
    let ours = path.join("cryptsetup");
    let (code, _, complaint) = run(path, ours.to_str().expect("UTF-8"), "luksKillSlot v2 2");
    assert_ne!(code, Some(0), "{complaint}");
    done(path, CRYPTSETUP, "open --test-passphrase v2 -d d");
}

/// To PBKDF2 a key and the same key without its trailing zeros are equal; cryptsetup 2.8 answers as ours.
#[test]
fn a_volume_key_without_its_zero_end_is_another_key() {
    let folder = volumes();
    let path = folder.path();
    let mut key = [7; 33];
    key[31..].fill(0);
    fs::write(path.join("zero"), key).expect("a key file");
    for kind in ["luks1", "luks2"] {
        let file = fs::File::create(path.join("z")).expect("a file");
        file.set_len(20 << 20).expect("room");
        let format = format!("luksFormat -q --type {kind} -c aes-xts-plain64 -s 256 z a --volume-key-file zero PBKDF");
        done(path, CRYPTSETUP, &format);
        for (size, code) in [("-s 248", 2), ("-s 264", 2), ("-s 256", 0), ("", 0), ("-s 272", 1)] {
            let words = format!("open --test-passphrase z --volume-key-file zero {size}");
            let (found, _, complaint) = run(path, OURS, &words);
            assert_eq!(found, Some(code), "{kind} {size}: {complaint}");
        }
    }
    // Without keyslots, the cipher tells which lengths there are.
    done(path, CRYPTSETUP, "luksErase -q z");
    for (size, code) in [(248, 2), (256, 0)] {
        for action in ["open --test-passphrase z", "luksAddKey -q PBKDF z b"] {
            let (found, _, complaint) = run(path, OURS, &format!("{action} --volume-key-file zero -s {size}"));
            assert_eq!(found, Some(code), "{action} -s {size}: {complaint}");
        }
    }
}

/// Between two zones there is nothing to repair; that the metadata are those of the keys is verified.
#[test]
fn repair_verifies_a_reencryption_that_was_not_interrupted() {
    let folder = volumes();
    let path = folder.path();
    done(path, CRYPTSETUP, "luksKillSlot -q v2 1");
    done(path, CRYPTSETUP, "luksKillSlot -q v2 20");
    done(path, CRYPTSETUP, "reencrypt --init-only -q v2 -d a PBKDF");
    let before = fs::read(path.join("v2")).expect("a volume");
    for (key, expected) in [("a", 0), ("b", 2)] {
        let (code, _, complaint) = run(path, OURS, &format!("repair -q v2 -d {key}"));
        assert_eq!(code, Some(expected), "{complaint}");
    }
    assert!(fs::read(path.join("v2")).expect("a volume") == before);
}

/// cryptsetup destroys it without a question.
#[test]
fn what_a_reencryption_needs_is_not_destroyed_in_batch_mode() {
    let folder = volumes();
    let path = folder.path();
    for slot in ["1", "20"] {
        done(path, CRYPTSETUP, &format!("luksKillSlot -q v2 {slot}"));
    }
    done(path, CRYPTSETUP, "luksHeaderBackup v2 --header-backup-file backup");
    done(path, CRYPTSETUP, "reencrypt --init-only -q v2 -d a PBKDF");
    let before = fs::read(path.join("v2")).expect("a volume");
    let persona = path.join("cryptsetup");
    let persona = persona.to_str().expect("UTF-8");
    let actions = [
        "luksKillSlot -q v2 0",
        "luksKillSlot -q v2 1",
        "luksKillSlot v2 0 -d a",
        "luksRemoveKey -q v2 a",
        "erase -q v2",
        "luksHeaderRestore -q v2 --header-backup-file backup",
    ];
    for action in actions {
        for program in [OURS, persona] {
            let (code, _, complaint) = run(path, program, action);
            assert_eq!(code, Some(1), "{program} {action}: {complaint}");
            assert!(
                complaint.contains("marked for LUKS2 reencryption"),
                "{action}: {complaint}"
            );
            assert!(fs::read(path.join("v2")).expect("a volume") == before, "{action}");
        }
        done(path, OURS, &format!("{action} --force-no-keyslots"));
        fs::write(path.join("v2"), &before).expect("a volume");
    }
    let (code, _, complaint) = run(path, persona, "erase -q v2 --force-no-keyslots");
    assert_eq!(code, Some(1), "{complaint}");
}

#[test]
fn a_key_of_its_own_does_not_prove_a_right_to_the_data() {
    let folder = volumes();
    let path = folder.path();
    assert_eq!(both(path, "v2", "luksKillSlot V 0 -d c").0, Some(2));
    assert_eq!(both(path, "v2", "luksKillSlot V 20 -d c").0, Some(2));
    assert_eq!(both(path, "v2", "luksKillSlot V 0 -d a").0, Some(2));
    assert_eq!(both(path, "v2", "luksKillSlot V 0 -d b").1, "bc");
    assert_eq!(both(path, "v2", "luksKillSlot V 20 -d a").1, "ab");
    // With no key of the data left, the other keyslots prove it.
    fs::copy(path.join("v2"), path.join("own")).expect("a copy");
    done(path, CRYPTSETUP, "erase -q own");
    assert_eq!(both(path, "own", "luksKillSlot V 20 -d c").0, Some(0));
    done(path, CRYPTSETUP, "luksAddKey own d --unbound -s 128 -S 21 PBKDF");
    assert_eq!(both(path, "own", "luksKillSlot V 20 -d d").1, "d");
}

#[test]
fn a_key_of_its_own_changes_its_passphrase() {
    let folder = volumes();
    let path = folder.path();
    assert_eq!(both(path, "v2", "luksChangeKey V d -d c PBKDF").1, "abd");
    assert_eq!(both(path, "v2", "luksConvertKey V -d c PBKDF").1, "abc");
    // It is not removed by its passphrase alone. cryptsetup returns 1, as if there were no keyslot at all.
    let (code, _, complaint) = run(path, "./cryptsetup", "luksRemoveKey v2 c");
    assert_eq!(
        (code, complaint.as_str()),
        (Some(2), "No key available with this passphrase.\n")
    );
    assert_eq!(run(path, CRYPTSETUP, "luksRemoveKey v2 c").0, Some(1));
    assert_eq!(state(path, "v2").0, "abc");
    // An option that is exactly right causes no warning.
    let warned = |words: &str| run(path, "./cryptsetup", words).1.contains("WARNING");
    assert!(!warned("luksAddKey v2 d --unbound -s 128 -S 21 PBKDF"));
    assert!(warned("luksAddKey v2 d -d a -S 22 PBKDF"));
}

#[test]
fn tokens_have_the_old_passphrase_or_the_new_one() {
    let folder = volumes();
    let path = folder.path();
    // Beside an unbound key, cryptsetup reports a wrong passphrase as a missing keyslot.
    done(path, CRYPTSETUP, "luksKillSlot v2 20 -d a");
    let _keys = [
        Kept::new("luksmith-test-a", b"passphrase a"),
        Kept::new("luksmith-test-d", b"passphrase d"),
    ];
    done(
        path,
        CRYPTSETUP,
        "token add v2 --token-id 5 --key-description luksmith-test-d -S 0",
    );
    done(
        path,
        CRYPTSETUP,
        "token add v2 --token-id 6 --key-description luksmith-test-a -S 0",
    );
    let check = |words: &str, code: i32, opens: &str, tokens: &str| {
        let expected = (Some(code), opens.to_owned(), tokens.to_owned());
        assert_eq!(
            both(path, "v2", &format!("luksAddKey V PBKDF {words}")),
            expected,
            "{words}"
        );
    };
    // The new one, and the token is for the keyslot from then on.
    check("--volume-key-file vk --new-token-id 5", 0, "abd", "020");
    check("-d a --new-token-id 5 --new-key-slot 9", 0, "abd", "090");
    check("--token-id 6 --new-token-id 5", 0, "abd", "020");
    // A key file wins, and then the token is not used.
    check("e --volume-key-file vk --new-token-id 5", 0, "abe", "00");
    check("-d a --new-keyfile e --new-token-id 5", 0, "abe", "00");
    // No such token: nothing is added.
    check("-d a --new-token-id 7", 1, "ab", "00");
    check("-d a --new-token-id 77", 1, "ab", "00");
    // The old one.
    check("--token-only --new-keyfile d", 0, "abd", "00");
    check("--token-type luks2-keyring d", 0, "abd", "00");
    check("--token-type nosuch d", 1, "ab", "00");
    check("--token-id 5 d", 2, "ab", "00");
    check("--token-id 6 d -S 1 --new-key-slot 4", 0, "abd", "00");
    // A key file wins over tokens here too.
    check("--token-id 0 --token-only -d a d", 0, "abd", "00");
    check("--token-id 6 -d e d", 2, "ab", "00");
    let (code, _, complaint) = run(path, OURS, "luksAddKey v1 -d a --new-token-id 5 PBKDF");
    assert_eq!((code, complaint.contains("Token 5")), (Some(1), true), "{complaint}");
    assert_ne!(run(path, CRYPTSETUP, "open --test-passphrase v1 -d d").0, Some(0));
}

/// The newest cryptsetup has these options; the installed one does not.
#[test]
fn keys_come_from_the_keyring() {
    let folder = volumes();
    let path = folder.path();
    let _keys = [
        Kept::new("luksmith-new-d", b"passphrase d"),
        Kept::new("luksmith-new-vk", VOLUME_KEY),
        Kept::new("luksmith-new-other", &[7; 64]),
        Kept::new("luksmith-new-short", b"xx"),
    ];
    let opens = |volume: &str, key: &str| {
        let words = format!("open --test-passphrase {volume} -d {key}");
        run(path, CRYPTSETUP, &words).0 == Some(0)
    };
    for volume in ["v1", "v2"] {
        let with = |words: &str| words.replace('V', volume);
        done(
            path,
            OURS,
            &with("luksChangeKey -q V -d b --new-key-description luksmith-new-d PBKDF"),
        );
        assert!(opens(volume, "d") && !opens(volume, "b"));
        done(
            path,
            OURS,
            &with("luksAddKey V e --volume-key-keyring luksmith-new-vk PBKDF"),
        );
        assert!(opens(volume, "e"));
        let before = fs::read(path.join(volume)).expect("a volume");
        for (words, code) in [
            ("luksAddKey V b --volume-key-keyring luksmith-new-other PBKDF", 2),
            ("luksAddKey V b --volume-key-keyring luksmith-new-nosuch PBKDF", 1),
            (
                "luksChangeKey -q V -d a --new-key-description luksmith-new-nosuch PBKDF",
                1,
            ),
            ("luksFormat -q V b --volume-key-keyring luksmith-new-short PBKDF", 1),
            ("luksFormat -q V b --volume-key-keyring luksmith-new-nosuch PBKDF", 1),
            ("luksFormat -q V --key-description luksmith-new-nosuch PBKDF", 1),
        ] {
            assert_eq!(run(path, OURS, &with(words)).0, Some(code), "{words}");
            assert!(fs::read(path.join(volume)).expect("a volume") == before, "{words}");
        }
        let format = "luksFormat -q V --type luksN --volume-key-keyring luksmith-new-other \
            --key-description luksmith-new-d PBKDF";
        done(path, OURS, &with(format).replace('N', &volume[1..]));
        let dump = done(path, CRYPTSETUP, &with("luksDump -q --dump-volume-key V -d d"));
        assert!(dump.contains("07 07 07 07"), "{dump}");
    }
}

#[test]
fn what_is_not_done_here_touches_nothing() {
    let folder = volumes();
    let path = folder.path();
    let before = fs::read(path.join("v2")).expect("a volume");
    for (words, why) in [
        ("luksFormat -q v2 a --hw-opal", "OPAL"),
        ("luksFormat -q v2 a --hw-opal-only", "OPAL"),
        ("erase -q v2 --hw-opal-factory-reset", "OPAL"),
        ("luksFormat -q v2 a --integrity hmac-sha256", "integrity"),
        ("luksFormat -q v2 a --integrity-inline", "integrity"),
        ("luksFormat -q v2 a --integrity-key-size 256", "integrity"),
    ] {
        let (code, _, complaint) = run(path, OURS, words);
        assert_eq!((code, complaint.contains(why)), (Some(1), true), "{words}: {complaint}");
        assert!(fs::read(path.join("v2")).expect("a volume") == before, "{words}");
    }
}

#[test]
fn tokens_are_unassigned_and_exported_as_the_reference_does_it() {
    let folder = volumes();
    let path = folder.path();
    let token = r#"{"type":"x","keyslots":["0"],"secret":"s"}"#;
    fs::write(path.join("t"), token).expect("a token");
    done(path, CRYPTSETUP, "token import v2 --token-id 3 --json-file t");
    for (words, text) in [
        (
            "token unassign v2 --token-id 3 -S 1",
            "Token 3 is not assigned to keyslot 1.",
        ),
        (
            "token unassign v2 --token-id 9 -S 1",
            "Token 9 is not assigned to keyslot 1.",
        ),
        (
            "token unassign v2 --token-id 3 -S 7",
            "Token 3 is not assigned to keyslot 7.",
        ),
        ("token add v2 --key-description z -S 5", "Keyslot 5 is not active."),
    ] {
        assert_eq!(
            run(path, "./cryptsetup", words),
            run(path, CRYPTSETUP, words),
            "{words}"
        );
        assert_eq!(run(path, CRYPTSETUP, words).2, format!("{text}\n"), "{words}");
    }
    for program in [CRYPTSETUP, OURS] {
        done(path, program, "token export v2 --token-id 3 --json-file out");
        let out = path.join("out");
        let mode = fs::metadata(&out).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{program}");
        fs::remove_file(out).expect("a file");
    }
}

/// A missing data device is reported, though a passphrase could be tested without it.
#[test]
fn a_header_does_not_stand_in_for_its_data() {
    let folder = volumes();
    let path = folder.path();
    for volume in ["v1", "v2"] {
        done(
            path,
            CRYPTSETUP,
            &format!("luksHeaderBackup {volume} --header-backup-file h{volume}"),
        );
        for (data, code) in [("nosuch", 4), (volume, 0)] {
            let words = format!("open --test-passphrase --header h{volume} {data} -d a");
            let theirs = run(path, CRYPTSETUP, &words);
            assert_eq!(theirs.0, Some(code));
            assert_eq!(run(path, "./cryptsetup", &words), theirs, "{words}");
        }
    }
}

#[test]
fn each_answer_is_one_json_object() {
    let folder = volumes();
    let path = folder.path();
    fs::write(path.join("t"), r#"{"type":"x","keyslots":["0"],"n":1}"#).expect("a token");
    done(path, OURS, "token import v2 --json-file t");
    let answer = |words: &str| {
        let text = done(path, OURS, &format!("{words} --json"));
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words}: {error}: {text}"));
        answer["result"].clone()
    };
    let digits: String = VOLUME_KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(answer("token export v2 --token-id 0")["content"]["n"], 1);
    assert_eq!(answer("token export v2 --token-id 0 --json-file out")["file"], "out");
    assert_eq!(
        answer("luksDump v2 --dump-json-metadata")["metadata"]["tokens"]["0"]["type"],
        "x"
    );
    assert!(answer("luksDump v2 --map --dump-json-metadata").is_object());
    for volume in ["v1", "v2"] {
        let key = answer(&format!("luksDump {volume} --dump-volume-key -q -d a"));
        assert_eq!(
            (&key["volume_key"], &key["key_bits"]),
            (&digits.clone().into(), &512.into())
        );
        let key = answer(&format!(
            "luksDump {volume} --dump-volume-key -q -d a --volume-key-file k{volume}"
        ));
        assert_eq!(
            (&key["file"], key.get("volume_key")),
            (&format!("k{volume}").into(), None)
        );
    }
    let own = answer("luksDump v2 --unbound -S 20 -q -d c");
    assert_eq!(
        (&own["keyslot"], own["volume_key"].as_str().map(str::len)),
        (&20.into(), Some(32))
    );
    assert_eq!(answer("luksRemoveKey -q v2 b")["keyslot"], 1);
    assert_eq!(answer("luksKillSlot -q v2 20 -d a")["keyslot"], 20);
    assert_eq!(answer("token remove v2 --token-id 0")["token"], 0);
    assert_eq!(answer("erase -q v1")["keyslots"], serde_json::json!([0, 1]));
}

/// Where cryptsetup is worse: with all keyslots of LUKS1 in use, it moves the key material of one without a second copy
/// of it anywhere, and `erase` leaves unbound keys behind, contrary to its warning.
#[test]
fn what_the_reference_gambles_with_is_refused_with_a_way_out() {
    let folder = volumes();
    let path = folder.path();
    for slot in 2..8 {
        done(path, CRYPTSETUP, &format!("luksAddKey v1 c -d a -S {slot} PBKDF"));
    }
    let before = fs::read(path.join("v1")).expect("a volume");
    let (code, _, complaint) = run(path, OURS, "convert -q --type luks2 v1");
    assert_eq!(code, Some(1));
    assert!(complaint.contains("Remove one of the keyslots 1 to 5"), "{complaint}");
    assert!(fs::read(path.join("v1")).expect("a volume") == before);
    done(path, OURS, "luksKillSlot -q v1 5 -d a");
    done(path, OURS, "convert -q --type luks2 v1");
    assert_eq!(state(path, "v1").0, "abc");
    done(path, OURS, "erase -q v2");
    assert_eq!(state(path, "v2").0, "");
}

/// The request is written to the header or refused; if the result is less, both numbers are named.
#[test]
fn costs_are_what_was_asked_for() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path();
    fs::write(path.join("a"), "passphrase a").expect("a key file");
    symlink(OURS, path.join("cryptsetup")).expect("a link");
    let cryptsetup = path.join("cryptsetup");
    let cryptsetup = cryptsetup.to_str().expect("UTF-8");
    let file = fs::File::create(path.join("v")).expect("a file");
    file.set_len(20 << 20).expect("its size");
    let format = |options: &str| run(path, OURS, &format!("luksFormat -q --type luks2 {options} v a"));

    for options in ["", "--pbkdf-force-iterations 4 --pbkdf-memory 64"] {
        let (code, _, text) = format(&format!("--pbkdf argon2id --pbkdf-parallel 5 {options}"));
        assert_eq!(code, Some(1));
        assert!(text.contains("parallel cost is too high (maximum is 4)"), "{text}");
    }
    // More lanes than this machine may have processors for, and little memory: forced is forced.
    let (code, _, text) = format("--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 77 --pbkdf-parallel 4");
    assert_eq!((code, text.as_str()), (Some(0), ""));
    let dump = done(path, cryptsetup, "luksDump v");
    for line in ["Time cost:  4\n", "Memory:     77\n", "Threads:    4\n"] {
        assert!(dump.contains(line), "{dump}");
    }
    // Existing cheap keyslots are named, but not where the dump is cryptsetup's.
    assert_eq!(run(path, cryptsetup, "luksDump v").2, "");
    let text = run(path, OURS, "luksDump v").2;
    assert!(
        text.contains("Keyslot 0 is cheap to attack: Argon2 uses 77 KiB of memory, less than 65536 KiB"),
        "{text}"
    );
    let json: Value = serde_json::from_str(&done(path, OURS, "luksDump --json v")).expect("JSON");
    assert!(json.to_string().contains("Argon2 uses 77 KiB"), "{json}");

    // An attacker with the header tries ignored keyslots too. Keys that another program has made are long and random.
    done(path, OURS, "config --key-slot 0 --priority ignore v");
    assert!(run(path, OURS, "luksDump v").2.contains("Keyslot 0 is cheap to attack"));
    for (kind, cheap) in [
        (r#""luks2-keyring","key_description":"d""#, true),
        (r#""systemd-tpm2""#, false),
    ] {
        fs::write(path.join("t"), format!(r#"{{"keyslots":["0"],"type":{kind}}}"#)).expect("a token");
        done(path, OURS, "token import v --json-file t");
        assert_eq!(
            run(path, OURS, "luksDump v").2.contains("cheap to attack"),
            cheap,
            "{kind}"
        );
    }

    // The requested time leaves no room for the memory.
    let (code, _, text) = format("--pbkdf argon2id --iter-time 1 --pbkdf-memory 70000 --pbkdf-parallel 1");
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("uses 65536 KiB of memory, not the 70000 KiB of --pbkdf-memory"),
        "{text}"
    );
    assert!(!run(path, OURS, "luksDump v").2.contains("cheap"));

    // Nothing is written that would not open again, and the hash bounds its iterations.
    let before = fs::read(path.join("v")).expect("the volume");
    let slow = "--pbkdf pbkdf2 --hash streebog512 --pbkdf-force-iterations 10000001";
    let (code, _, text) = format(slow);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("10000001") && text.contains("10000000") && text.contains("--no-pbkdf-limits"),
        "{text}"
    );
    assert!(fs::read(path.join("v")).expect("the volume") == before);
}
