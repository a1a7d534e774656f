//! Other processes in between, existing files, and mistakes of a person: no data are lost by them.

use std::fs;

use keyslots::KeyslotId;
use keyslots::hash::HashName;
use keyslots::luks2::copies;
use keyslots::luks2::keyslot::KeyslotKind;

use crate::lab::{CHEAP, HARM, Lab, OURS, answer, assert_harmless, error};

#[test]
fn a_keyslot_that_has_become_another_is_not_changed() {
    for kind in ["luks1", "luks2"] {
        let lab = Lab::new(kind);
        lab.must(&[&["luksAddKey", "-q", "v", "b", "-d", "a"], CHEAP.as_slice()].concat());
        // It has opened keyslot 0 with "a" and waits for the replacement, when others change it.
        let change = lab.waiting(&[&["luksChangeKey", "-q", "v", "-d", "a"], CHEAP.as_slice()].concat());
        lab.must(&["luksKillSlot", "-q", "v", "0"]);
        let add = ["luksAddKey", "-q", "v", "c", "-d", "b", "--new-key-slot", "0"];
        lab.must(&[&add, CHEAP.as_slice()].concat());
        let output = answer(change, "passphrase d\n");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(error(&output).contains("changed by another process"), "{output:?}");
        assert!(
            lab.opens("b") && lab.opens("c"),
            "{kind}: a key of another process is gone"
        );
    }
}

#[test]
fn a_format_that_cannot_be_finished_destroys_nothing() {
    let lab = Lab::new("luks2");
    let before = lab.image();
    let too_much = [
        "luksFormat",
        "-q",
        "v",
        "b",
        "--pbkdf",
        "argon2id",
        "--pbkdf-force-iterations",
        "4",
        "--pbkdf-memory",
        "4194304",
    ];
    let limited = format!("ulimit -v 2000000; exec {OURS} {}", too_much.join(" "));
    let output = lab.command("sh", &["-c", &limited]).output().expect("a shell");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(error(&output).contains("4294967296"), "what was needed: {output:?}");
    assert!(lab.image() == before, "the old header is gone");
}

#[test]
fn the_state_of_a_reencryption_outlives_every_command() {
    let lab = Lab::new("luks2");
    let init = [
        "reencrypt",
        "--init-only",
        "-q",
        "-d",
        "a",
        "v",
        "--resilience",
        "checksum",
    ];
    let reencryption = lab.debians(&[&init, CHEAP.as_slice()].concat());
    assert!(reencryption.status.success(), "{reencryption:?}");
    let before = lab.image();
    for words in [
        &["luksKillSlot", "-q", "v", "2"][..],
        &["luksAddKey", "-q", "v", "b", "-d", "a"],
        &["luksChangeKey", "-q", "v", "b", "-d", "a"],
        &["config", "v", "--label", "x"],
        &["token", "add", "v", "--key-description", "x"],
        &["luksUUID", "-q", "v", "--uuid", "11111111-2222-3333-4444-555555555555"],
    ] {
        let output = lab.run(&[words, if words[0].ends_with("Key") { &CHEAP } else { &[] }].concat());
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        assert!(
            error(&output).starts_with("Operation incompatible with device marked for LUKS2 reencryption. Aborting."),
            "{words:?}: {output:?}"
        );
        assert!(lab.image() == before, "{words:?} wrote something");
    }
    let refused = lab.run(&["erase", "-q", "v"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(lab.image() == before, "erase wrote something");
    lab.must(&["erase", "-q", "v", "--force-no-keyslots"]);
    let dump = lab.debians(&["luksDump", "v"]);
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.contains("  2: reencrypt") && !dump.contains(": luks2"), "{dump}");
    assert_eq!(String::from_utf8_lossy(&lab.must(&["luksDump", "v"]).stdout), dump);
}

#[test]
fn an_unknown_requirement_forbids_what_it_may_be_about() {
    let lab = Lab::new("luks2");
    lab.must(&["token", "add", "v", "--key-description", "x", "--token-id", "3"]);
    lab.edit(|metadata| metadata.config.requirements.push("from-the-future".into()));
    let before = lab.image();
    for words in [
        &["luksAddKey", "-q", "v", "b", "-d", "a"][..],
        &["config", "v", "--label", "x"],
        &["token", "remove", "v", "--token-id", "3"],
        &["convert", "-q", "v", "--type", "luks1"],
    ] {
        let output = lab.run(&[words, if words[0].ends_with("Key") { &CHEAP } else { &[] }].concat());
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        assert!(error(&output).contains("from-the-future"), "{words:?}: {output:?}");
        assert!(lab.image() == before, "{words:?} wrote something");
    }
    lab.must(&["luksDump", "v"]);
    lab.must(&["token", "export", "v", "--token-id", "3"]);
    assert!(lab.opens("a"));
    lab.must(&["luksKillSlot", "-q", "v", "0"]);
    assert!(!lab.opens("a"));
}

#[test]
fn the_keyslot_of_a_cipher_that_few_kernels_have_is_one_that_opens_anywhere() {
    let lab = Lab::new("luks2");
    let format = ["luksFormat", "-q", "v", "b", "-c", "xchacha12,aes-adiantum-plain64"];
    lab.must(&[&format, CHEAP.as_slice()].concat());
    let dump = String::from_utf8_lossy(&lab.must(&["luksDump", "v"]).stdout).into_owned();
    for line in [
        "\tcipher: xchacha12,aes-adiantum-plain64\n",
        "\tCipher:     aes-xts-plain64\n",
        "\tCipher key: 512 bits\n",
    ] {
        assert!(dump.contains(line), "{line:?}: {dump}");
    }
    assert!(lab.opens("b"));
    let theirs = lab.debians(&["open", "--test-passphrase", "v", "-d", "b"]);
    assert!(theirs.status.success(), "{theirs:?}");
}

#[test]
fn a_name_that_cannot_be_given_costs_no_keyslot() {
    let lab = Lab::new("luks2");
    let add = |name: &str| {
        let words = ["luksAddKey", "-q", "v", "b", "-d", "a", "--slot-name", name];
        lab.run(&[&words, CHEAP.as_slice()].concat())
    };
    let before = lab.image();
    assert_eq!(add("7").status.code(), Some(1));
    assert!(lab.image() == before, "a keyslot was made on the way to the error");
    assert!(add("backup").status.success());
    let before = lab.image();
    assert_eq!(add("backup").status.code(), Some(1));
    assert!(lab.image() == before, "a keyslot was made on the way to the error");
}

#[test]
fn nothing_of_a_header_acts_on_a_terminal() {
    let lab = Lab::new("luks2");
    let harm = || HARM.to_owned();
    lab.edit(|metadata| {
        let token = keyslots::luks2::Token::from_json(br#"{"type":"x","keyslots":["0"]}"#);
        let mut token = token.expect("a token");
        token.kind = harm();
        metadata.tokens.insert(0, token);
        metadata
            .tokens
            .insert(1, keyslots::luks2::Token::keyring(HARM, vec![KeyslotId::new(0)]));
        metadata.config.flags.push(harm());
        metadata.config.requirements.push(harm());
    });
    let image = lab.image();
    let mut checked = 0;
    let mut check = |words: &[&str]| {
        let output = lab.run(words);
        assert_harmless(&format!("{words:?}, standard output"), &output.stdout);
        assert_harmless(&format!("{words:?}, standard error"), &output.stderr);
        checked += output.stdout.len() + output.stderr.len();
    };
    check(&["luksDump", "v"]);
    check(&["luksDump", "v", "--json"]);
    check(&["luksDump", "v", "--dump-json-metadata"]);
    check(&["config", "v", "--label", "x"]);
    check(&["--debug", "open", "--test-passphrase", "v", "-d", "a"]);
    // A token is written to a pipe byte for byte; only a terminal acts on it.
    let shown = lab.command(
        "script",
        &["-qec", &format!("{OURS} token export v --token-id 1"), "/dev/null"],
    );
    let shown = { shown }.output().expect("script starts").stdout;
    let shown = String::from_utf8_lossy(&shown).replace("\r\n", "\n");
    assert!(shown.contains("luks2-keyring"), "{shown:?}");
    assert_harmless("token export on a terminal", shown.as_bytes());
    // The texts of the binary header, whose checksum is corrected.
    let mut copy = copies::read(&mut keyslots::storage::Memory(image))
        .expect("a header")
        .winner;
    let text = "\u{1b}[2J\n  7: luks2";
    copy.binary.label = text.into();
    copy.binary.uuid = text.into();
    copy.binary.subsystem = text.into();
    let mut file = fs::File::options()
        .write(true)
        .read(true)
        .open(lab.path("v"))
        .expect("a file");
    copies::write(&mut file, &copy).expect("a header");
    check(&["luksDump", "v"]);
    check(&["luksUUID", "v"]);
    // A header that is refused, with the reason.
    for json in [
        r#"{"keyslots":{"\u001b[2J\n  7: luks2":{}},"tokens":{},"segments":{},"digests":{},"config":{}}"#,
        r#"{"keyslots":{},"tokens":{},"segments":{"0":{"type":"crypt","offset":"\u001b[2J\n  7: luks2"}},"digests":{},"config":{}}"#,
        r#"{"\u001b[2J\n  7: luks2":1,"\u001b[2J\n  7: luks2":1}"#,
    ] {
        let mut area = json.as_bytes().to_vec();
        area.resize(copy.binary.json_area_len(), 0);
        for (which, at) in [
            (keyslots::luks2::format::Which::Primary, 0),
            (keyslots::luks2::format::Which::Secondary, 16384),
        ] {
            let binary = keyslots::luks2::format::BinaryHeader {
                hdr_offset: keyslots::units::Bytes::new(at as u64),
                ..copy.binary.clone()
            };
            let mut bytes = binary.to_bytes(which);
            keyslots::luks2::format::put_checksum(&mut bytes, &area, binary.checksum_hash);
            lab.poke(at, &bytes);
            lab.poke(at + bytes.len(), &area);
        }
        let output = lab.run(&["luksDump", "v"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        check(&["luksDump", "v"]);
        check(&["luksDump", "v", "--json"]);
    }
    assert!(checked > 2000, "next to nothing was said: {checked} bytes");
}

/// Writes a file system's signature over the first copy: as mkfs does, which leaves the first KiB alone.
fn mkfs_over(lab: &Lab) {
    lab.poke(1024 + 0x38, &[0x53, 0xef]);
    lab.poke(1024 + 4, &[0, 8, 0, 0]);
    lab.poke(1024 + 24, &[0; 4]);
}

#[test]
fn a_file_system_over_the_first_copy_is_not_overwritten() {
    let lab = Lab::new("luks2");
    mkfs_over(&lab);
    let over = lab.image();
    let words: [&[&str]; 5] = [
        &["isLuks", "v"],
        &["luksDump", "v"],
        &["open", "--test-passphrase", "-d", "a", "v"],
        &["luksAddKey", "-q", "-d", "a", "v", "b"],
        &["erase", "-q", "v"],
    ];
    for words in words {
        let output = lab.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        assert!(error(&output).contains("ambiguous signatures"), "{words:?}: {output:?}");
        assert_eq!(lab.debians(words).status.code(), Some(1), "{words:?}");
        assert!(lab.image() == over, "{words:?} wrote");
    }
    // Nothing is repaired without locks, so that the other copy will do; and `repair` is used.
    lab.must(&["open", "--test-passphrase", "--disable-locks", "-d", "a", "v"]);
    assert!(lab.image() == over);
    lab.must(&["repair", "-q", "v"]);
    assert!(lab.opens("a"));
}

#[test]
fn a_damaged_copy_is_written_anew_by_whoever_reads() {
    for at in [0, 5000, 16384, 16384 + 5000] {
        for words in [
            &["isLuks", "v"][..],
            &["luksDump", "v"],
            &["open", "--test-passphrase", "-d", "a", "v"],
        ] {
            let lab = Lab::new("luks2");
            lab.poke(at, b"XXXX");
            let damaged = lab.image();
            lab.must(&["open", "--test-passphrase", "--disable-locks", "-d", "a", "v"]);
            assert!(lab.image() == damaged, "without locks nothing is repaired");
            lab.must(words);
            let mended = lab.image();
            assert!(mended != damaged, "{words:?} at {at}");
            let mut file = fs::File::open(lab.path("v")).expect("a file");
            let other = copies::read(&mut file).expect("a header").other_copy;
            assert_eq!(other, copies::OtherCopy::Agrees, "{words:?} at {at}");
        }
    }
}

/// The program that should have written the key has failed: the volume would be open to anyone.
#[test]
fn nothing_out_of_a_pipe_is_no_passphrase() {
    let lab = Lab::new("luks2");
    let before = lab.image();
    for program in [OURS, "cryptsetup"] {
        for action in [
            "luksFormat -q v <(false)",
            "luksFormat -q v --key-file <(false)",
            "luksFormat -q v /dev/null",
            "luksAddKey -q v <(false) -d a",
            "luksAddKey -q v -d a --new-keyfile /dev/stdin </dev/null",
            "luksChangeKey -q v <(false) -d a",
            "open --test-passphrase v -d /dev/null",
        ] {
            let script = format!("exec {program} {action} {}", CHEAP.join(" "));
            let script = match action.starts_with("open") {
                true => format!("exec {program} {action}"),
                false => script,
            };
            let output = lab.command("bash", &["-c", &script]).output().expect("bash starts");
            assert_eq!(output.status.code(), Some(1), "{script}: {output:?}");
            assert!(
                error(&output).contains("Nothing to read on input."),
                "{script}: {output:?}"
            );
            assert!(lab.image() == before, "{script} has written");
        }
    }
    // An empty file is a passphrase that was put there on purpose.
    fs::write(lab.path("empty"), "").expect("a place");
    lab.must(&[&["luksAddKey", "-q", "v", "empty", "-d", "a"], CHEAP.as_slice()].concat());
}

/// cryptsetup takes any hash of its library; one that we cannot compute is no reason to lose the rest.
#[test]
fn a_keyslot_that_few_can_compute_leaves_the_others_open() {
    let lab = Lab::new("luks2");
    let add = |hash, key| {
        [
            &["luksAddKey", "-q", "v", "-d", "a", "--hash", hash, key],
            CHEAP.as_slice(),
        ]
        .concat()
    };
    assert!(lab.debians(&add("md5", "b")).status.success());
    assert!(lab.debians(&add("sha1", "c")).status.success());
    assert!(lab.opens("a") && lab.opens("b") && lab.opens("c"));
    lab.edit(|metadata| {
        let slot = metadata.keyslots.get_mut(&KeyslotId::new(2)).map(|slot| &mut slot.kind);
        let Some(KeyslotKind::Luks2(slot)) = slot else {
            panic!("a keyslot")
        };
        slot.af_hash = HashName::new("tiger\u{1b}[2J".into());
    });
    assert!(lab.opens("a") && lab.opens("b") && !lab.opens("c"));
    for words in [
        &["isLuks", "v"][..],
        &["luksUUID", "v"],
        &["luksHeaderBackup", "v", "--header-backup-file", "h"],
    ] {
        lab.must(words);
    }
    let dump = lab.must(&["luksDump", "v"]).stdout;
    assert!(!dump.contains(&0x1b) && String::from_utf8_lossy(&dump).contains("AF hash:    tiger"));
    // With two that can be opened either is the other's proof; with one, no prompt asks for another than the last.
    lab.must(&["luksKillSlot", "-q", "v", "1", "-d", "a"]);
    let refused = lab.run(&["luksKillSlot", "v", "0", "-d", "b"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    lab.must(&["luksKillSlot", "-q", "v", "2", "-d", "a"]);
}

/// A device that a header does not fit keeps its contents.
#[test]
fn what_does_not_fit_destroys_nothing() {
    for kind in ["luks1", "luks2"] {
        let lab = Lab::new("luks2");
        fs::write(lab.path("small"), vec![7; 1 << 20]).expect("a place");
        let losetup = lab
            .command("losetup", &["-f", "--show", "small"])
            .output()
            .expect("losetup starts");
        let device = String::from_utf8_lossy(&losetup.stdout).trim().to_owned();
        assert!(losetup.status.success(), "{losetup:?}");
        let format = [&["luksFormat", "-q", "--type", kind, &device, "a"], CHEAP.as_slice()].concat();
        let refused = lab.run(&format);
        let detached = lab
            .command("losetup", &["-d", &device])
            .status()
            .expect("losetup starts");
        assert!(detached.success());
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(
            fs::read(lab.path("small")).expect("a file") == vec![7; 1 << 20],
            "{kind}"
        );
    }
}
