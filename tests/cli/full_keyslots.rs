//! A passphrase that changes while no keyslot is free: beside the installed cryptsetup, before, during and after.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyslots::hash::Hash;
use keyslots::header::Header;
use keyslots::kdf::{CostLimits, Kdf};
use keyslots::luks1::ChangeTo;
use keyslots::luks2::{Candidates, NewKeyslot};
use keyslots::secret::{Passphrase, Secret};
use keyslots::storage::Memory;
use keyslots::storage::fault::Recorder;
use keyslots::wipe::Medium;
use tempfile::TempDir;

use crate::common::{self, CRYPTSETUP, OURS, run, words};

/// What a command that succeeds prints to standard error.
fn done(folder: &Path, program: &str, line: &str) -> String {
    common::done(folder, program, line).1
}

/// A volume of which no keyslot is free, made by cryptsetup: "k0" opens the first, the next ones the others.
fn full(folder: &Path, kind: &str) -> usize {
    for n in 0..8 {
        fs::write(folder.join(format!("k{n}")), format!("key {n}")).expect("a file");
    }
    fs::write(folder.join("new"), "the new key").expect("a file");
    let (options, slots) = match kind {
        "luks1" => ("--type luks1", 8),
        _ => ("--type luks2 --luks2-keyslots-size 512k", 2),
    };
    fs::File::create(folder.join("v"))
        .expect("a file")
        .set_len(8 << 20)
        .expect("room");
    done(folder, CRYPTSETUP, &format!("luksFormat {options} -q PBKDF v k0"));
    for n in 1..slots {
        done(folder, CRYPTSETUP, &format!("luksAddKey -q PBKDF -d k0 v k{n}"));
    }
    slots
}

fn opens(folder: &Path, program: &str, key: &str) -> bool {
    run(folder, program, &format!("open --test-passphrase v -d {key}")).0 == Some(0)
}

#[test]
fn a_passphrase_changes_where_no_keyslot_is_free() {
    for kind in ["luks1", "luks2"] {
        let folder = TempDir::new().expect("a folder");
        let folder = folder.path();
        let slots = full(folder, kind);
        done(folder, OURS, "luksChangeKey -q PBKDF -d k1 v new");
        assert!(
            opens(folder, CRYPTSETUP, "new") && !opens(folder, CRYPTSETUP, "k1"),
            "{kind}"
        );
        // Its own place stays, however it is named.
        done(folder, OURS, "luksChangeKey -q PBKDF -S 1 -d new v k1");
        if kind == "luks2" {
            done(
                folder,
                OURS,
                "luksConvertKey -q PBKDF --pbkdf-force-iterations 1001 -d k1 v",
            );
        }
        for n in 0..slots {
            assert!(opens(folder, CRYPTSETUP, &format!("k{n}")), "{kind}: {n}");
        }
        let bytes = fs::read(folder.join("v")).expect("a volume");
        let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text));
        assert!(!has(b"luksmith"), "{kind}: nothing stays behind");
    }
}

/// Kills a change of the keyslot of "k1" when its area is partly overwritten.
fn kill_half_way(folder: &Path) {
    let text = |name: &str| {
        let bytes = fs::read(folder.join(name)).expect("a file");
        Passphrase::new(Secret::copy_from(&bytes).expect("memory"))
    };
    let limits = CostLimits::default();
    let mut disk = Recorder::new(fs::read(folder.join("v")).expect("a volume"));
    let mut header = Header::read(&mut disk).expect("a header");
    let opened = header
        .unlock(&mut disk, &text("k1"), Candidates::All, &limits)
        .expect("it opens");
    let (slot, key) = (opened.keyslot, opened.volume_key);
    match &mut header {
        Header::Luks1(header) => {
            let sealed = header.seal(&key, &text("new"), 1000, &limits).expect("memory");
            let to = ChangeTo::FirstFree(&sealed);
            header.change_keyslot(&mut disk, slot, to, Medium::Other).map(drop)
        }
        Header::Luks2(header) => {
            let kdf = Kdf::Pbkdf2 {
                hash: Hash::Sha256,
                iterations: 1000,
            };
            let new = NewKeyslot {
                kdf,
                af_hash: Hash::Sha256,
                encryption: "aes-xts-plain64".parse().expect("a specification"),
                area_key_size: 64,
                priority: None,
            };
            let sealed = new.seal(&key, &text("new"), &limits).expect("memory");
            let mut change = header.begin().expect("a header that may be changed");
            let changed = change.change_keyslot(slot, &sealed, &key, &limits);
            changed.and_then(|()| change.commit(&mut disk, Medium::Other))
        }
    }
    .expect("memory");
    let mut half = None;
    disk.for_each_crash(|crash| {
        let mut image = Memory(crash.image.to_vec());
        let old = Header::read(&mut image)
            .and_then(|header| header.unlock(&mut image, &text("k1"), Candidates::Keyslot(slot), &limits));
        if half.is_none() && old.is_err() {
            half = Some(image.0);
        }
    });
    fs::write(folder.join("v"), half.expect("the old key goes")).expect("a file");
}

#[test]
fn a_killed_change_is_refused_cleanly_by_cryptsetup_and_finished_by_the_new_passphrase() {
    for kind in ["luks1", "luks2"] {
        let folder = TempDir::new().expect("a folder");
        let folder = folder.path();
        full(folder, kind);
        kill_half_way(folder);
        let before = fs::read(folder.join("v")).expect("a volume");
        done(folder, CRYPTSETUP, "luksDump v");
        assert!(opens(folder, CRYPTSETUP, "k0"), "{kind}");
        for key in ["k1", "new"] {
            let refused = run(folder, CRYPTSETUP, &format!("open --test-passphrase v -d {key}"));
            assert_eq!(refused.0, Some(2), "{kind}: {key}: {}", refused.2);
        }
        assert!(
            fs::read(folder.join("v")).expect("a volume") == before,
            "{kind}: it is left alone"
        );
        // cryptsetup's writes keep the staged key.
        match kind {
            "luks1" => drop(done(folder, CRYPTSETUP, "luksChangeKey -q PBKDF -d k2 v k2")),
            _ => drop(done(folder, CRYPTSETUP, "config v --label other")),
        }
        // Tests and reads write nothing.
        let before = fs::read(folder.join("v")).expect("a volume");
        let name = format!("luksmith-test-readonly-{kind}");
        let open = format!("open --readonly --backend userspace v {name} -d new");
        for words in ["open --test-passphrase v -d new", "luksDump v", &open] {
            let told = done(folder, OURS, words);
            if words == open {
                done(folder, OURS, &format!("close {name}"));
            }
            assert!(told.contains("change of key slot 1 was interrupted"), "{kind}: {told}");
            assert!(
                fs::read(folder.join("v")).expect("a volume") == before,
                "{kind}: {words}"
            );
        }
        let mut dump = Command::new(OURS);
        let dump = dump
            .args(["luksDump", "--json", "v"])
            .current_dir(folder)
            .output()
            .expect("it runs");
        let dump: serde_json::Value = serde_json::from_slice(&dump.stdout).expect("JSON");
        assert!(
            dump.to_string().contains(r#""unfinished_changes":[1]"#),
            "{kind}: {dump}"
        );
        let told = done(folder, OURS, "repair v");
        assert!(told.contains("change of key slot 1 was interrupted"), "{kind}: {told}");
        let told = done(folder, OURS, "luksDump -q --dump-volume-key v -d new");
        let finished = "Finished the interrupted passphrase change of key slot 1.\n";
        assert!(told.contains(finished), "{kind}: {told}");
        assert_eq!(done(folder, OURS, "open --test-passphrase v -d new"), "", "{kind}");
        assert!(
            opens(folder, CRYPTSETUP, "new") && opens(folder, CRYPTSETUP, "k0"),
            "{kind}"
        );
    }
}

/// When nothing fits any more, the suggested remedy helps.
#[test]
fn full_metadata_are_reported_with_a_remedy() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    full(folder, "luks2");
    // 12 KiB less a NUL, and the size of the keyslots.
    let token = format!(r#"{{"type":"big","keyslots":[],"x":"{}"}}"#, "x".repeat(10_200));
    fs::write(folder.join("t"), token).expect("a file");
    done(folder, CRYPTSETUP, "token import --json-file t v");
    let before = fs::read(folder.join("v")).expect("a volume");
    let (code, _, told) = run(folder, OURS, "luksChangeKey -q PBKDF -d k1 v new");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("token export"), "{told}");
    assert!(
        fs::read(folder.join("v")).expect("a volume") == before,
        "nothing was written"
    );
    done(folder, OURS, "token export --token-id 0 --json-file saved v");
    done(folder, OURS, "token remove --token-id 0 v");
    done(folder, OURS, "luksChangeKey -q PBKDF -d k1 v new");
    done(folder, OURS, "token import --json-file saved v");
    assert!(opens(folder, CRYPTSETUP, "new") && opens(folder, CRYPTSETUP, "k0"));
}

#[test]
fn a_restore_says_what_a_kill_can_cost() {
    const WARNING: &str = "one key slot may open with neither its old nor its new passphrase";
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    full(folder, "luks1");
    done(folder, OURS, "luksHeaderBackup v --header-backup-file backup");
    let original = fs::read(folder.join("v")).expect("a volume");
    done(folder, OURS, "luksChangeKey -q PBKDF -d k1 v new");
    let (_, _, told) = run(folder, OURS, "luksHeaderRestore v --header-backup-file backup");
    assert!(told.contains(WARNING), "{told}");
    done(folder, OURS, "luksHeaderRestore -q v --header-backup-file backup");
    // With a keyslot that is not in use in both, nothing is at risk.
    done(folder, OURS, "luksKillSlot -q v 7");
    done(folder, OURS, "luksChangeKey -q PBKDF -S 1 -d k1 v new");
    let (_, _, told) = run(folder, OURS, "luksHeaderRestore v --header-backup-file backup");
    assert!(!told.contains(WARNING), "{told}");
    done(folder, OURS, "luksHeaderRestore -q v --header-backup-file backup");
    assert!(fs::read(folder.join("v")).expect("a volume") == original);
    assert!(opens(folder, CRYPTSETUP, "k1") && opens(folder, CRYPTSETUP, "k7"));
}

/// An older header, written back over the keyslot when that has its new key, would leave it to no passphrase.
#[test]
fn a_killed_change_is_not_finished_under_a_cryptsetup_that_has_the_header_open() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    full(folder, "luks1");
    kill_half_way(folder);
    let pipe = folder.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let mut theirs = Command::new(CRYPTSETUP)
        .args(words("luksChangeKey -q PBKDF -d k0 v pipe"))
        .current_dir(folder)
        .spawn()
        .expect("it runs");
    // It has read the header, and waits for the key.
    let mut key = fs::OpenOptions::new().write(true).open(&pipe).expect("a pipe");
    let told = done(folder, OURS, "luksDump -q --dump-volume-key v -d new");
    let expected = format!("slot 1: process {} (cryptsetup) has v open", theirs.id());
    assert!(told.contains(&expected), "{told}");
    std::io::Write::write_all(&mut key, b"another").expect("it reads");
    drop(key);
    assert!(theirs.wait().expect("it ends").success());
    let told = done(folder, OURS, "luksDump -q --dump-volume-key v -d new");
    assert!(told.contains("Finished the interrupted"), "{told}");
    assert!(opens(folder, CRYPTSETUP, "new") && opens(folder, CRYPTSETUP, "k2"));
}
