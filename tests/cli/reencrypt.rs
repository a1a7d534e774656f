//! `reencrypt` and `repair` of a volume in reencryption: what is refused, beside the installed cryptsetup, and what changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::common::{self, CRYPTSETUP, OURS, run};

const CHEAP: &str = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";
/// Bytes of the data.
const DATA: usize = 2 << 20;

fn done(folder: &Path, program: &str, line: &str) -> String {
    common::done(folder, program, line).0
}

/// `one` has the keyslot of a, `two` that of b too, `begun` is `one` at the begin of a reencryption, and `plain` has no header.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path();
    for key in ["a", "b"] {
        fs::write(path.join(key), format!("passphrase {key}")).expect("a key file");
    }
    symlink(OURS, path.join("cryptsetup")).expect("a link");
    let data: Vec<u8> = (0..DATA as u32 / 4).flat_map(u32::to_le_bytes).collect();
    fs::write(path.join("data"), &data).expect("a file");
    fs::write(path.join("plain"), [data.as_slice(), &[0; 2 << 20]].concat()).expect("a file");
    let file = fs::File::create(path.join("one")).expect("a file");
    file.set_len(DATA as u64 + (1 << 20)).expect("room");
    let format = format!("luksFormat -q {CHEAP} one a --luks2-keyslots-size 512k --offset 2048 --sector-size 512");
    done(path, CRYPTSETUP, &format);
    done(path, OURS, "write one data -d a");
    fs::copy(path.join("one"), path.join("two")).expect("a copy");
    done(path, CRYPTSETUP, &format!("luksAddKey -q {CHEAP} two b -d a"));
    fs::copy(path.join("one"), path.join("begun")).expect("a copy");
    done(
        path,
        CRYPTSETUP,
        "reencrypt -q --init-only --force-offline-reencrypt begun -d a",
    );
    folder
}

/// The code and the standard error of a command, on copies of all volumes.
fn refused(folder: &Path, program: &str, line: &str) -> (Option<i32>, String) {
    let copies = TempDir::new().expect("a temporary folder");
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("a name");
        if entry.path().is_symlink() {
            symlink(OURS, copies.path().join("cryptsetup")).expect("a link");
        } else {
            fs::copy(entry.path(), copies.path().join(entry.file_name())).expect("a copy");
        }
    }
    let (code, _, errors) = run(copies.path(), program, line);
    for volume in ["one", "two", "begun", "plain"] {
        let same = fs::read(folder.join(volume)).ok() == fs::read(copies.path().join(volume)).ok();
        assert!(same, "{program} {line} changed {volume}");
    }
    (code, errors)
}

#[test]
fn what_is_refused_is_refused_in_cryptsetups_words() {
    let folder = folder();
    let path = folder.path();
    let ours = path.join("cryptsetup");
    let ours = ours.to_str().expect("UTF-8");
    let lines = [
        ("reencrypt -q one -d a", 1),
        ("reencrypt -q --resume-only --force-offline-reencrypt one -d a", 1),
        ("reencrypt -q --init-only --force-offline-reencrypt begun -d a", 1),
        ("reencrypt -q --encrypt --force-offline-reencrypt begun -d a", 1),
        (
            "reencrypt -q --decrypt --header begun --force-offline-reencrypt begun -d a",
            1,
        ),
        ("reencrypt -q --encrypt --reduce-device-size 2M one -d a", 1),
        ("reencrypt -q --encrypt plain -d a", 1),
        ("reencrypt -q --decrypt one -d a", 1),
        ("reencrypt -q --keep-key --force-offline-reencrypt one -d a", 1),
        ("reencrypt -q --force-offline-reencrypt one -d b", 2),
    ];
    for (line, code) in lines {
        let theirs = refused(path, CRYPTSETUP, line);
        let our = refused(path, ours, line);
        assert_eq!(our, theirs, "{line}");
        assert_eq!(our.0, Some(code), "{line}: {}", our.1);
    }
}

#[test]
fn what_cryptsetup_would_lose_is_refused() {
    let folder = folder();
    let path = folder.path();
    let refusals = [
        (
            "reencrypt -q --reduce-device-size 2M one -d a",
            "Option --reduce-device-size is for --encrypt only.",
        ),
        (
            "reencrypt -q --encrypt --header h --reduce-device-size 2M plain -d a",
            "Options --header and --reduce-device-size cannot be combined",
        ),
        (
            "reencrypt -q two -d a",
            "Key file or keyring key description can be used only with --key-slot or with exactly one key slot active.",
        ),
        (
            "reencrypt -q --resilience sometimes one -d a",
            "Unsupported resilience mode sometimes",
        ),
        (
            "reencrypt -q --resilience datashift one -d a",
            "Requested --resilience option cannot be applied to current reencryption operation.",
        ),
        (
            "reencrypt -q --resume-only begun -d a --cipher aes-cbc-essiv:sha256",
            "Option --cipher is for the begin of a reencryption",
        ),
        (
            "reencrypt -q --label x one -d a",
            "Option --label is for --encrypt only.",
        ),
        (
            "reencrypt -q --token-only one",
            "Luksmith does not have the action reencrypt with a token.",
        ),
    ];
    for (line, words) in refusals {
        let (code, errors) = refused(path, OURS, line);
        assert!(code == Some(1) && errors.contains(words), "{line}: {code:?} {errors}");
    }
    // cryptsetup 2.6.1 says nothing, and ends with 1.
    let (code, errors) = refused(path, OURS, "reencrypt -q --resume-only begun -d b");
    assert!(
        code == Some(2) && errors.contains("No key available"),
        "{code:?} {errors}"
    );
    // A backup from the time of a reencryption, when that is over.
    done(path, OURS, "luksHeaderBackup begun --header-backup-file backup");
    done(path, OURS, "reencrypt -q --resume-only begun -d a");
    let (code, errors) = refused(path, OURS, "luksHeaderRestore -q begun --header-backup-file backup");
    let words = "Backup file backup was made during a reencryption";
    assert!(code == Some(1) && errors.contains(words), "{code:?} {errors}");
    assert!(fs::read(path.join("data")).expect("a file") == contents(path, "begun"));
}

/// The data of a volume.
fn contents(folder: &Path, volume: &str) -> Vec<u8> {
    let cat = Command::new(OURS)
        .args(["cat", volume, "-d", "a"])
        .current_dir(folder)
        .output();
    cat.expect("the program starts").stdout
}
