//! More known attacks: false statements in a header, and replaced headers.

use std::fs;

use keyslots::luks2::Token;

use crate::lab::{CHEAP, HARM, Lab, assert_harmless, error};
use crate::tracer::{Fault, Kind, Plan, run};

/// Data without a cipher open, as with cryptsetup, but not without a warning; and under no policy.
#[test]
fn data_in_the_clear_are_said_to_be() {
    let lab = Lab::new("luks2");
    let format = ["luksFormat", "-q", "v", "a", "-c", "cipher_null-ecb", "-s", "256"];
    lab.must(&[&format, CHEAP.as_slice()].concat());
    fs::write(lab.path("policy"), "version = 1 2\n").expect("a policy");
    let open = ["open", "--test-passphrase", "v", "-d", "a"];
    let output = lab.must(&open);
    assert!(error(&output).contains("is not encrypted"), "{output:?}");
    assert!(lab.debians(&open).status.success());
    let output = lab.run(&[&open, ["--policy", "policy"].as_slice()].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error(&output).contains("one that encrypts"), "{output:?}");
    let encrypted = Lab::new("luks2").must(&open);
    assert!(encrypted.stderr.is_empty(), "{encrypted:?}");
}

/// The disk changes at any read of a command with a policy: the checked header is used, or none.
#[test]
fn a_header_that_is_swapped_after_the_check_is_not_used() {
    const OTHERS: &[u8] = b"what another volume says";
    let lab = Lab::new("luks2");
    fs::write(lab.path("text"), OTHERS).expect("a file");
    // The same passphrase, another key, and a cipher that the policy forbids; it is the one in `other`.
    let format = ["luksFormat", "-q", "v", "a", "-c", "serpent-xts-plain64"];
    lab.must(&[&format, CHEAP.as_slice()].concat());
    lab.must(&["write", "v", "text", "-d", "a"]);
    fs::rename(lab.path("v"), lab.path("other")).expect("a file");
    fs::File::create(lab.path("v"))
        .expect("a file")
        .set_len(20 << 20)
        .expect("room");
    lab.must(&[&["luksFormat", "-q", "v", "a"], CHEAP.as_slice()].concat());
    fs::write(lab.path("policy"), "cipher = aes-xts-plain64\n").expect("a policy");
    let words = ["cat", "v", "-d", "a", "--policy", "policy", "--length", "512"];
    let good = lab.image();
    let undisturbed = run(&lab, &words, None, false);
    assert_eq!(undisturbed.output.status.code(), Some(0), "{undisturbed:?}");
    let (mut used, mut refused) = (0, 0);
    for at in 0..undisturbed.reads {
        fs::write(lab.path("v"), &good).expect("the volume as it was");
        let plan = Plan {
            kind: Kind::Read,
            fault: Fault::Swap,
            at,
            from_then_on: false,
        };
        let ran = run(&lab, &words, Some(plan), false).output;
        assert!(
            !ran.stdout.starts_with(OTHERS),
            "read {at}: the other header was used: {ran:?}"
        );
        match ran.status.code() {
            Some(0) => used += 1,
            Some(1 | 2) => refused += 1,
            _ => panic!("read {at}: {ran:?}"),
        }
    }
    // Late swaps find only data that they can change, early ones a policy.
    assert!(used > 0 && refused > 0, "{used} {refused}");
}

/// Another disk that claims to be the same one: its UUID proves nothing, its key does.
#[test]
fn the_right_uuid_on_a_wrong_device_is_not_enough() {
    const UUID: &str = "11111111-2222-3333-4444-555555555555";
    let lab = Lab::new("luks2");
    lab.must(&["luksUUID", "-q", "v", "--uuid", UUID]);
    let dump = String::from_utf8_lossy(&lab.must(&["luksDump", "v"]).stdout).into_owned();
    let digest: String = dump
        .split("Digest:     ")
        .nth(1)
        .expect("a digest")
        .split("\n\n")
        .next()
        .expect("lines")
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(64)
        .collect();
    fs::write(
        lab.path("policy"),
        format!("uuid = {UUID}\nvolume-key-digest = {digest}\n"),
    )
    .expect("a policy");
    let open = ["open", "--test-passphrase", "v", "-d", "a", "--policy", "policy"];
    lab.must(&open);
    lab.must(&[&["luksFormat", "-q", "v", "a", "--uuid", UUID], CHEAP.as_slice()].concat());
    let output = lab.run(&open);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error(&output).contains("digest"), "{output:?}");
    // The passphrase alone opens it, which is why a policy is needed.
    assert!(lab.opens("a"));
}

/// Types that are paths to programs that load a module by them, and ids outside of an array of 32.
#[test]
fn no_name_or_number_of_a_token_leads_anywhere() {
    let lab = Lab::new("luks2");
    lab.edit(|metadata| {
        for (id, kind) in [
            (0, "../../../tmp/evil"),
            (7, "x/y"),
            (32, "mine"),
            (99, "mine"),
            (u32::MAX, "mine"),
        ] {
            let mut token = Token::from_json(br#"{"type":"x","keyslots":["0"]}"#).expect("a token");
            token.kind = kind.into();
            metadata.tokens.insert(id, token);
        }
    });
    for words in [
        &["luksDump", "v"][..],
        &["luksDump", "v", "--json"],
        &["open", "--test-passphrase", "v", "-d", "a"],
        &["config", "v", "--label", "x"],
    ] {
        lab.must(words);
    }
    for id in ["0", "7", "32", "99", "4294967295", "33", "-1", "4294967296"] {
        for words in [
            &["token", "export", "v", "--token-id", id][..],
            &["open", "--test-passphrase", "--token-only", "v", "--token-id", id],
        ] {
            let output = lab.run(words);
            assert!(matches!(output.status.code(), Some(0..=5)), "{words:?}: {output:?}");
            assert_harmless("token", &output.stderr);
        }
    }
    assert!(lab.opens("a"));
}

/// The name of a file acts on no terminal, where it is in a prompt or in an error.
#[test]
fn the_name_of_a_file_acts_on_no_terminal() {
    let lab = Lab::new("luks2");
    // A new line in a typed name is the user's own.
    let name = HARM.replace('\n', "");
    fs::rename(lab.path("v"), lab.path(&name)).expect("a file");
    for words in [
        &["luksDump", &name][..],
        &["open", "--test-passphrase", &name, "-d", "b"],
        &["luksFormat", &name],
        &["erase", &name],
        &["nosuch", &name],
        &["--debug", "luksUUID", &name],
        &["isLuks", "-v", "/nowhere", &name],
    ] {
        let output = lab.run(words);
        assert_harmless(&format!("{words:?}"), &output.stderr);
        if words[0] != "luksDump" {
            assert_harmless(&format!("{words:?}"), &output.stdout);
        }
    }
}
