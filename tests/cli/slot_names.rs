//! Features that cryptsetup lacks: keyslots with names, protected ones, and a backup before each change.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::common::{self, CRYPTSETUP, OURS};

/// Whether it succeeded; standard output and standard error together.
fn run(folder: &Path, program: &str, line: &str) -> (bool, String) {
    let (code, out, errors) = common::run(folder, program, line);
    (code == Some(0), out + &errors)
}

fn done(folder: &Path, line: &str) -> String {
    let (out, errors) = common::done(folder, OURS, line);
    out + &errors
}

fn refused(folder: &Path, line: &str, why: &str) {
    let (done, text) = run(folder, OURS, line);
    assert!(!done && text.contains(why), "{line}: {text}");
}

/// A volume of each version that "a" opens, and "b" too.
fn volumes() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path();
    for key in ["a", "b", "c"] {
        fs::write(path.join(key), format!("passphrase {key}")).expect("a key file");
    }
    for volume in ["v1", "v2"] {
        let file = fs::File::create(path.join(volume)).expect("a file");
        file.set_len(20 << 20).expect("room");
        done(
            path,
            &format!("luksFormat -q --type luks{} {volume} a PBKDF", &volume[1..]),
        );
    }
    folder
}

#[test]
fn a_keyslot_has_a_name_wherever_its_number_could_stand() {
    let folder = volumes();
    let path = folder.path();
    done(path, "luksAddKey v2 b -d a --slot-name office PBKDF");
    assert!(done(path, "luksDump v2").contains("\tName:       office\n"));
    assert!(done(path, "luksDump v2 --json").contains(r#""name":"office","protected":false"#));
    done(path, "open --test-passphrase v2 -S office -d b");
    refused(path, "open --test-passphrase v2 -S office -d a", "No key available");
    done(path, "luksChangeKey -q v2 c -S office -d b --slot-name desk PBKDF");
    done(path, "open --test-passphrase v2 -S desk -d c");
    done(path, "config v2 -S desk --slot-name house --priority prefer");
    done(path, "config v2 -S 0 --slot-name first");
    refused(path, "config v2 -S 0 --slot-name house", "has the name");
    refused(path, "config v2 --slot-name other", "Keyslot specification is required");
    refused(path, "luksAddKey v2 b -d a --slot-name house PBKDF", "has the name");
    refused(
        path,
        "luksAddKey v2 b -d a --slot-name 7th PBKDF",
        "cannot name a keyslot",
    );
    refused(path, "config v2 -S 0 --slot-name x\u{10ff80}", "printable text");
    refused(
        path,
        "luksAddKey v2 b -d a --protect PBKDF",
        "--protect needs --slot-name",
    );
    // cryptsetup shows the token, and keeps it.
    let (shown, dump) = run(path, CRYPTSETUP, "luksDump v2");
    assert!(
        shown && dump.contains("luksmith-slot-names\n\tKeyslot:    0\n\tKeyslot:    1\n"),
        "{dump}"
    );
    assert!(run(path, CRYPTSETUP, "luksAddKey -q v2 b -d a PBKDF").0);
    done(path, "luksKillSlot -q v2 house");
    refused(
        path,
        "open --test-passphrase v2 -S house -d c",
        "No keyslot is named house",
    );
    done(path, "open --test-passphrase v2 -S first -d a");
    // LUKS1 has no place for a name, and the error says so.
    for words in [
        "luksAddKey v1 b -d a --slot-name office PBKDF",
        "luksChangeKey v1 b -d a --slot-name office PBKDF",
        "luksFormat -q --type luks1 v1 a --slot-name office PBKDF",
    ] {
        refused(path, words, "keyslots of LUKS1 have no names");
    }
}

#[test]
fn a_protected_keyslot_goes_only_by_its_name() {
    let folder = volumes();
    let path = folder.path();
    done(path, "luksAddKey v2 b -d a --slot-name office --protect PBKDF");
    assert!(done(path, "luksDump v2").contains("\tName:       office (protected)\n"));
    fs::write(path.join("token"), r#"{"type":"x","keyslots":[]}"#).expect("a token");
    for words in [
        "luksKillSlot -q v2 1",
        "luksKillSlot -q v2 1 --slot-name other",
        "luksRemoveKey -q v2 b",
        "erase -q v2",
        "config v2 -S 1 --slot-name mine",
        "luksChangeKey -q v2 c -S 1 -d b --slot-name mine PBKDF",
        "token remove v2 --token-id 0",
        "token unassign v2 --token-id 0 -S 1",
        "token import v2 --token-id 0 --token-replace --json-file token",
    ] {
        refused(path, words, "is protected");
    }
    done(path, "open --test-passphrase v2 -S office -d b");
    // Changing its passphrase removes nothing.
    done(path, "luksChangeKey -q v2 c -S 1 -d b PBKDF");
    refused(path, "luksKillSlot -q v2 1", "is protected");
    // Not even under cryptsetup's name, where an empty input replaces a passphrase; to ours it proves nothing.
    let cryptsetup = path.join("cryptsetup");
    std::os::unix::fs::symlink(OURS, &cryptsetup).expect("a link");
    let (wiped, text) = run(path, &cryptsetup.to_string_lossy(), "luksKillSlot v2 1");
    assert!(!wiped && text.contains("is protected"), "{text}");
    refused(path, "luksKillSlot v2 0", "Nothing to read on input.");
    refused(path, "luksKillSlot -q v2 0 --key-file -", "Nothing to read on input.");
    done(path, "config v2 -S office --slot-name office");
    done(path, "luksKillSlot -q v2 1");
    done(path, "luksAddKey v2 b -d a --slot-name office --protect PBKDF");
    done(path, "luksRemoveKey -q v2 b --slot-name office");
    done(path, "luksAddKey v2 b -d a --slot-name office --protect PBKDF");
    done(path, "erase -q v2 --slot-name office");
}

#[test]
fn who_formats_is_told_of_what_was_protected() {
    let folder = volumes();
    let path = folder.path();
    done(path, "luksAddKey v2 b -d a --slot-name office --protect PBKDF");
    let text = done(path, "luksFormat v2 c PBKDF");
    assert!(text.contains(r#"Keyslot 1 ("office") on v2 is protected"#), "{text}");
}

/// A keyslot of LUKS1 that is marked neither as used nor as free may hold a key anyway.
#[test]
fn erasing_spares_no_keyslot() {
    let folder = volumes();
    let path = folder.path();
    done(path, "luksAddKey v1 b -d a PBKDF");
    let volume = path.join("v1");
    let mut bytes = fs::read(&volume).expect("a volume");
    let area = 512 * u32::from_be_bytes(bytes[208 + 48 + 40..][..4].try_into().expect("4 bytes")) as usize;
    bytes[208 + 48..][..4].copy_from_slice(&0x1234_5678_u32.to_be_bytes());
    fs::write(&volume, &bytes).expect("a place");
    done(path, "erase -q v1");
    let after = fs::read(&volume).expect("a volume");
    assert!(after[area..][..512] != bytes[area..][..512]);
    assert!(!run(path, "cryptsetup", "open --test-passphrase v1 -d b").0);
}

#[test]
fn a_backup_comes_before_each_change_and_undoes_it() {
    let folder = volumes();
    let path = folder.path();
    fs::write(path.join("token"), r#"{"type":"x","keyslots":["0"]}"#).expect("a token");
    for version in ["1", "2"] {
        let volume = format!("v{version}");
        let mut changes = vec![
            "luksAddKey V b -d a PBKDF",
            "luksChangeKey -q V c -d b PBKDF",
            "luksRemoveKey -q V c",
            "luksUUID -q V --uuid 11111111-2222-3333-4444-555555555555",
            "luksAddKey V b -d a PBKDF",
            "luksKillSlot -q V 1",
            "erase -q V",
            "luksFormat -q --type luksN V a PBKDF",
        ];
        if version == "2" {
            changes.insert(0, "config V --label x");
            changes.insert(0, "luksConvertKey V -d a PBKDF");
            changes.insert(0, "token import V --json-file token");
            changes.insert(0, "token remove V --token-id 0");
            changes.swap(0, 1);
            changes.push("luksHeaderRestore -q V --header-backup-file kept");
            done(path, "luksHeaderBackup v2 --header-backup-file kept");
        }
        for change in changes {
            let words = change.replace("luksN", &format!("luks{version}")).replace('V', &volume);
            let before = fs::read(path.join(&volume)).expect("a volume");
            fs::create_dir(path.join("now")).expect("a folder");
            done(path, &format!("{words} --backup now"));
            let files: Vec<_> = fs::read_dir(path.join("now")).expect("a folder").flatten().collect();
            assert_eq!(files.len(), 1, "{words}");
            let mode = files[0].metadata().expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o400, "{words}");
            let backup = fs::read(files[0].path()).expect("a backup");
            assert!(backup.len() > 500_000 && before.starts_with(&backup), "{words}");
            assert_ne!(before, fs::read(path.join(&volume)).expect("a volume"), "{words}");
            fs::remove_dir_all(path.join("now")).expect("a folder");
        }
        // Without a backup, there is no change.
        let before = fs::read(path.join(&volume)).expect("a volume");
        refused(
            path,
            &format!("luksAddKey {volume} b -d a --backup nowhere PBKDF"),
            "nowhere",
        );
        assert_eq!(before, fs::read(path.join(&volume)).expect("a volume"));
    }
}

/// The number of a named keyslot that is gone may be another keyslot's: the name is not transferred to it.
#[test]
fn a_name_goes_with_its_keyslot_whoever_removes_it() {
    let folder = volumes();
    let path = folder.path();
    done(path, "luksAddKey v2 b -d a --slot-name office --protect PBKDF");
    done(path, "luksAddKey v2 c -d a --slot-name house PBKDF");
    let theirs = |words: &str| {
        let (done, text) = run(path, CRYPTSETUP, words);
        assert!(done, "{words}: {text}");
    };
    theirs("luksKillSlot -q v2 1");
    theirs("luksAddKey -q v2 b -d a -S 1 PBKDF");
    let dump = done(path, "luksDump v2");
    assert!(dump.contains("house") && !dump.contains("office (protected)"), "{dump}");
    refused(path, "luksKillSlot -q v2 office", "No keyslot is named office");
    refused(
        path,
        "luksKillSlot -q v2 1 --slot-name office",
        "does not have the name",
    );
    done(path, "open --test-passphrase v2 -S 1 -d b");
    // The name is free again, and all keyslots are destroyed at once.
    done(path, "config v2 -S 1 --slot-name office");
    theirs("luksKillSlot -q v2 1");
    done(path, "erase -q v2");
    for key in ["a", "b", "c"] {
        assert!(!run(path, OURS, &format!("open --test-passphrase v2 -d {key}")).0);
    }
    theirs("luksDump v2");
}

#[test]
fn a_name_that_is_not_the_keyslots_destroys_nothing() {
    let folder = volumes();
    let path = folder.path();
    done(path, "luksAddKey v2 b -d a --slot-name office PBKDF");
    done(path, "luksAddKey v2 c -d a --slot-name house PBKDF");
    let before = fs::read(path.join("v2")).expect("a volume");
    for (words, why) in [
        ("luksKillSlot -q v2 1 --slot-name house", "does not have the name"),
        ("luksKillSlot -q v2 0 --slot-name house", "does not have the name"),
        ("luksRemoveKey -q v2 b --slot-name house", "does not have the name"),
        ("luksKillSlot -q v1 0 --slot-name house", "does not have the name"),
        ("erase -q v2 --slot-name house", "no protected keyslot has the name"),
        ("erase -q v2 --slot-name nosuch", "no protected keyslot has the name"),
        ("config v2 --label x -S 0 --slot-name house", "has the name"),
    ] {
        refused(path, words, why);
        assert!(fs::read(path.join("v2")).expect("a volume") == before, "{words}");
    }
    done(path, "luksKillSlot -q v2 1 --slot-name office");
}

#[test]
fn without_the_backup_that_was_asked_for_nothing_is_repaired() {
    let folder = volumes();
    let path = folder.path();
    let volume = path.join("v1");
    let mut bytes = fs::read(&volume).expect("a volume");
    // The stripes of a free keyslot, which are 4000.
    bytes[208 + 3 * 48 + 44..][..4].copy_from_slice(&4001_u32.to_be_bytes());
    fs::write(&volume, &bytes).expect("a place");
    refused(path, "repair -q v1 --backup .", "Header backup failed: ");
    assert!(fs::read(&volume).expect("a volume") == bytes);
    done(path, "repair -q v1");
    done(path, "open --test-passphrase v1 -d a");
}

/// A name and its keyslot reach the header together, or not at all.
#[test]
fn where_the_name_has_no_place_nothing_is_done() {
    let folder = volumes();
    let path = folder.path();
    fs::write(path.join("token"), r#"{"type":"x","keyslots":[]}"#).expect("a token");
    for _ in 0..32 {
        done(path, "token import v2 --json-file token");
    }
    let before = fs::read(path.join("v2")).expect("a volume");
    for words in [
        "luksAddKey v2 c -d a --slot-name foo --protect PBKDF",
        "luksChangeKey -q v2 c -d a --slot-name foo PBKDF",
        "config v2 --label new --slot-name foo -S 0",
    ] {
        refused(path, words, "all tokens are in use");
        assert!(fs::read(path.join("v2")).expect("a volume") == before, "{words}");
    }
}

#[test]
fn a_second_token_of_names_takes_no_protection_away() {
    let folder = volumes();
    let path = folder.path();
    fs::write(path.join("other"), r#"{"type":"x","keyslots":[]}"#).expect("a token");
    done(path, "token import v2 --json-file other");
    done(path, "luksAddKey v2 b -d a --slot-name office --protect PBKDF");
    done(path, "token remove v2 --token-id 0");
    let second = r#"{"type":"luksmith-slot-names","keyslots":["1"],"names":{"1":"mine"},"protected":[]}"#;
    fs::write(path.join("second"), second).expect("a token");
    refused(path, "token import v2 --json-file second", "are in token 1");
    // Another program can put it there anyway.
    let (imported, text) = run(path, CRYPTSETUP, "token import v2 --json-file second");
    assert!(imported, "{text}");
    assert!(done(path, "luksDump v2").contains("\tName:       office (protected)\n"));
    for words in ["luksKillSlot -q v2 1", "luksKillSlot -q v2 mine", "erase -q v2"] {
        assert!(!run(path, OURS, words).0, "{words}");
    }
    // The next change merges the two tokens.
    done(path, "config v2 -S 0 --slot-name first");
    assert_eq!(done(path, "luksDump v2").matches("luksmith-slot-names").count(), 1);
    refused(path, "luksKillSlot -q v2 1", "is protected");
    done(path, "luksKillSlot -q v2 office");
}
