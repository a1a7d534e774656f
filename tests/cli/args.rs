//! The command line against the installed cryptsetup (package cryptsetup-bin): what either refuses, with its message and
//! exit code. cryptsetup only checks arguments here, so neither touches a device.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};

use luksmith::cryptsetup::actions::{ALIASES, REFUSED_VERBS, VERBS};
use luksmith::cryptsetup::flags::defs::FLAGS;

use crate::common::{self, CRYPTSETUP};

/// Exit code, standard output, and standard error without the usage text.
type Answer = (Option<i32>, String, String);

fn run<S: AsRef<OsStr>>(program: &str, name: &str, words: &[S]) -> Output {
    Command::new(program)
        .arg0(name)
        .args(words)
        // Help is as wide as the terminal.
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run (package cryptsetup-bin?): {error}"))
}

fn answer(program: &str, name: &str, words: &[&str]) -> Answer {
    let output = run(program, name, words);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let message = stderr
        .lines()
        .filter(|line| !line.starts_with("Usage: ") && !line.starts_with("        "));
    let message = message.collect::<Vec<_>>().join("\n");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        message,
    )
}

fn drop_in(words: &[&str]) -> Answer {
    answer(common::OURS, "cryptsetup", words)
}

fn own(words: &[&str]) -> Answer {
    answer(common::OURS, "luksmith", words)
}

/// Checks one line, given as words with single spaces, against cryptsetup.
fn compare(line: &str, differences: &mut Vec<String>) {
    let words: Vec<_> = std::iter::once("--test-args")
        .chain(line.split(' ').filter(|word| !word.is_empty()))
        .collect();
    let (theirs, ours) = (answer(CRYPTSETUP, "cryptsetup", &words), drop_in(&words));
    if theirs != ours {
        differences.push(format!("{line}\n  theirs {theirs:?}\n  ours   {ours:?}"));
    }
}

fn assert_none(differences: &[String]) {
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// The lines of a list, without layout.
fn lines(list: &str) -> impl Iterator<Item = &str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty())
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(' ').filter(|word| !word.is_empty())
}

/// Options that the installed cryptsetup is too old for, or that it ignores where the newest refuses them: the unit tests
/// compare all of them with the newest.
const NEWER: &str = "disable-blkid disable-sum external-tokens-path force-no-keyslots hw-opal hw-opal-factory-reset \
    hw-opal-only integrity integrity-inline integrity-key-size integrity-no-wipe key-description link-vk-to-keyring \
    new-key-description new-key-size new-volume-key-file new-volume-key-keyring perf-high_priority \
    veracrypt-query-pim volume-key-keyring";

/// Names of actions that cryptsetup does not have, or no longer.
const NOT_THEIRS: &[&str] = &[
    "answer",
    "cat",
    "check",
    "doctor",
    "deps",
    "image",
    "info",
    "list",
    "luksDelKey",
    "table",
    "tree",
    "unlock",
    "write",
];

/// All names of actions, old and new, that cryptsetup has too.
fn their_actions() -> impl Iterator<Item = &'static str> {
    let names = VERBS
        .iter()
        .map(|info| info.name)
        .chain(ALIASES.iter().map(|alias| alias.name));
    names.filter(|name| !NOT_THEIRS.contains(name))
}

/// A valid value.
fn value_for(option: &str) -> &'static str {
    match option {
        "pbkdf" => "pbkdf2",
        "priority" => "normal",
        "sector-size" => "4096",
        "key-size" | "keyslot-key-size" => "256",
        "type" => "luks2",
        "device-size" | "hotzone-size" | "reduce-device-size" | "luks2-keyslots-size" => "1M",
        "luks2-metadata-size" => "16k",
        _ => "8",
    }
}

#[test]
fn each_option_with_each_action_is_taken_or_refused_alike() {
    let options: Vec<String> = FLAGS
        .iter()
        .filter(|flag| !flag.ours && words(NEWER).all(|newer| newer != flag.long))
        .filter(|flag| !["help", "usage", "version", "debug", "debug-json"].contains(&flag.long))
        .map(|flag| match flag.value {
            Some(_) => format!("--{}={}", flag.long, value_for(flag.long)),
            None => format!("--{}", flag.long),
        })
        .collect();
    assert!(options.len() > 90, "the options are not all there: {}", options.len());
    let mut differences = Vec::new();
    for action in their_actions() {
        let arguments = if action == "token" { "add d" } else { "a b" };
        for option in &options {
            compare(&format!("{action} {arguments} {option}"), &mut differences);
        }
    }
    assert_none(&differences);
}

#[test]
fn arguments_are_required_alike() {
    let mut differences = Vec::new();
    for name in their_actions() {
        for arguments in ["", "a", "a b", "a b c"] {
            compare(&format!("{name} {arguments}"), &mut differences);
        }
    }
    for line in [
        "",
        "nosuch",
        "--",
        "-- open",
        "-- open d n",
        "-",
        "Open d n",
        "LUKSOPEN d n",
    ] {
        compare(line, &mut differences);
    }
    assert_none(&differences);
}

#[test]
fn values_are_read_alike() {
    let numbers = words(
        "0 1 8 010 0x10 -8x 8x abc 1.5 1k 512 4096 8192 2147483647 2147483648 4294967295 4294967296 \
         18446744073709551615 18446744073709551616",
    );
    let sizes = words(
        "0 1 512 1000 1k 1K 1KiB 1kib 1KB 1kB 1M 1MiB 1MB 1m 1G 2G 1T 1P 1s 1S 1B 1x 1MM 0x100 1.5M -1 \
         16777216T 1Mi",
    );
    let mut differences = Vec::new();
    for number in numbers.chain([""]) {
        for option in words(
            "key-size key-slot sector-size iter-time align-payload pbkdf-memory pbkdf-parallel pbkdf-force-iterations tries timeout token-id keyfile-size keyfile-offset",
        ) {
            compare(&format!("luksFormat d --{option}={number}"), &mut differences);
        }
        compare(&format!("open --type plain d n --offset={number}"), &mut differences);
    }
    for size in sizes.chain([""]) {
        compare(&format!("resize n --device-size={size}"), &mut differences);
        compare(&format!("reencrypt d --reduce-device-size={size}"), &mut differences);
        compare(&format!("reencrypt d --hotzone-size={size}"), &mut differences);
        compare(&format!("luksFormat d --luks2-metadata-size={size}"), &mut differences);
        compare(&format!("luksFormat d --luks2-keyslots-size={size}"), &mut differences);
    }
    for line in [
        "config d -S 1 --priority=prefer",
        "config d -S 1 --priority=x",
        "luksFormat d --pbkdf argon2i",
        "luksFormat d --pbkdf x",
        "luksFormat d --pbkdf ARGON2ID",
        "luksFormat d -S -1",
        "open d n -S office",
        "luksAddKey d --new-key-slot office",
        "open d n --token-id -1",
        "token export d --token-id -1",
        "luksAddKey d --unbound -s 0",
        "luksFormat d -S-2",
        "luksFormat d --type x",
    ] {
        compare(line, &mut differences);
    }
    assert_none(&differences);
}

#[test]
fn words_are_split_alike() {
    let mut differences = Vec::new();
    for line in lines(
        "
        --verbos open d
        --nosuch=3 open d
        -z open d
        -qz open d
        open d --batch-mode=1
        open d --batch-mode=
        -T=1 open d n
        -T1 open d n
        -T 1 open d n
        -qT1 open d n
        -qT 1 open d n
        -T
        -qT
        --tries
        open d n --tries 1 --tries 2
        luksFormat d -S 1 -S 2
        open d n -d a -d b
        open d n --type luks -M plain
        open d n -- --tries
        open -- -d n
        open d -
        open d n -vvv
        open d n --readonly --readonly
        open d n --key-file
        open d n --key-file=
        open d n --key-file --readonly
        open d n --header
        open d n --nosuch --tries=x
        open d n --tries=x --nosuch
        nosuch --tries=x
        nosuch --key-size 7
        open --key-size 7
        open --label x
        open --shared
        close --sector-size 7 n
        luksKillSlot d -1
        luksFormat --key-size 7 --sector-size 7
        luksFormat d --sector-size 7 --use-random --use-urandom
        --type=luks2 open d n -r
        -M luks1 d n
        luksFormat -qyv d
        ",
    ) {
        compare(line, &mut differences);
    }
    assert_none(&differences);
}

#[test]
fn options_that_do_not_go_together_are_refused_alike() {
    let mut differences = Vec::new();
    for line in lines(
        "
        luksFormat d --align-payload 8 --offset 8
        luksFormat --use-random --use-urandom d
        luksFormat d --keyslot-key-size 256
        luksFormat d --keyslot-cipher x
        luksFormat d --keyslot-key-size 100 --keyslot-cipher x
        luksFormat d --integrity-no-wipe
        luksFormat d --integrity x --integrity-no-wipe
        luksFormat d --pbkdf-force-iterations 1000 --iter-time 10
        luksFormat d -d a -d b
        open d n --persistent --test-passphrase
        open d n --refresh --test-passphrase
        refresh n --test-passphrase
        open d n --shared
        open d n --shared --refresh
        open d n --shared --type plain
        luksOpen d n --type plain --shared
        plainOpen --type luks --shared d n
        create --type luks n d --shared
        open d n --unbound
        open d n --unbound --test-passphrase
        open --type luks1 d n --unbound --test-passphrase
        plainOpen d n --unbound
        plainOpen d n --test-passphrase
        loopaesOpen d n --test-passphrase
        open --type x d n --test-passphrase
        open --type loopaes d n --offset 8 --skip 8
        open d n --offset 8
        open d n --skip 8
        open d n --sector-size 512
        open --type plain d n --iv-large-sectors
        open --type plain d n --iv-large-sectors --sector-size 4096
        open d n --tcrypt-hidden
        open --type plain d n --iv-large-sectors --sector-size 512
        tcryptOpen d n --tcrypt-hidden --allow-discards
        tcryptOpen d n --veracrypt-pim 1 --veracrypt-query-pim
        tcryptOpen d n --disable-veracrypt --veracrypt-pim 1
        tcryptDump d --disable-veracrypt --veracrypt-query-pim
        open d n --veracrypt
        tcryptOpen d n -d a -d b
        tcryptDump d -d a -d b
        tcryptDump d --veracrypt --disable-veracrypt
        close n --deferred --cancel-deferred
        resize n --size 8 --device-size 1M
        open --type plain d n --size 8 --device-size 1M
        luksAddKey d --unbound
        luksAddKey d --unbound -s 256
        luksAddKey d --unbound -S 1
        luksDump d --unbound
        luksDump d --unbound -S1
        luksDump d --dump-volume-key --unbound
        config d --priority normal
        reencrypt d --encrypt --decrypt
        reencrypt d --device-size 1M --reduce-device-size 8M
        reencrypt d --force-offline-reencrypt --active-name n
        token nosuch d
        token nosuch
        token add d
        token add d --key-description x
        token import d
        token add d --key-description x --unbound
        token add d --key-description x --unbound -S 1
        token import d --unbound
        token export d --unbound --token-id 1
        token export d
        token remove d
        token unassign d
        token unassign d --token-id 1
        token unassign d -S 1
        token unassign d --token-id 1 -S 1
        token import d --token-id 1 --token-replace
        ",
    ) {
        compare(line, &mut differences);
    }
    assert_none(&differences);
}

/// Where ours is stricter on purpose.
#[test]
fn negative_numbers_are_no_numbers() {
    for line in [
        "open --type plain d n --offset=-1",
        "open d n --token-id=-2",
        "open d n --keyfile-size=-1",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(drop_in(&words).2, "cryptsetup: invalid numeric value", "{line}");
    }
}

#[test]
fn the_usage_text_is_that_of_the_newest_cryptsetup() {
    let output = run(common::OURS, "cryptsetup", &["--usage"]);
    // With cryptsetup's action, if it has it.
    assert_eq!(run(CRYPTSETUP, "cryptsetup", &["--usage"]).stdout, b"");
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), b"".as_slice())
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        include_str!("../golden/cryptsetup-usage.txt")
    );
    let output = run(common::OURS, "/sbin/cryptsetup", &["nosuch"]);
    let expected = format!(
        "{}/sbin/cryptsetup: Unknown action.\n",
        include_str!("../golden/cryptsetup-usage.txt")
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn version_and_help_serve_those_who_parse_them() {
    assert_eq!(
        drop_in(&["--version"]).1,
        "cryptsetup 2.8.0 flags: UDEV BLKID KEYRING KERNEL_CAPI \n"
    );
    assert_eq!(drop_in(&["nosuch", "-V", "--nosuch"]).1, drop_in(&["--version"]).1);
    let (code, help, _) = drop_in(&["open", "--help"]);
    assert_eq!(code, Some(0));
    for text in [
        "allow-discards",
        "luks2-keyslots-size",
        "Maximum keyfile size: 8192kB",
        "luksHeaderRestore",
    ] {
        assert!(help.contains(text), "{text} is not in the help");
    }
    // Every entry of cryptsetup's list is in ours.
    let theirs = answer(CRYPTSETUP, "cryptsetup", &["--help"]).1;
    let options = theirs.split_whitespace().filter(|word| word.starts_with("--"));
    for option in options.map(|word| word.split(['=', '.', ',']).next().unwrap_or(word)) {
        // Its help calls the alias of --volume-key-file one of an option that it does not have.
        assert!(
            help.contains(option) || option == "--dump-volume-key-file",
            "{option} is not in the help"
        );
    }
}

#[test]
fn help_by_action_has_the_options_of_that_action_only() {
    let (code, help, _) = own(&["luksDump", "--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("--dump-volume-key") && help.contains("--json") && help.contains("--verbose"));
    assert!(!help.contains("--allow-discards") && !help.contains("--sector-size"));
    assert_eq!(own(&["--nosuch", "--help", "luksOpen"]).0, Some(1));
    assert!(own(&["luksOpen", "--help"]).1.contains("--allow-discards"));
    assert!(own(&["--help"]).1.contains("luksHeaderBackup"));
}

#[test]
fn under_our_own_name_a_refusal_says_what_would_be_right() {
    let refusal = |words: &[&str]| own(words).2;
    let taken = refusal(&["luksDump", "--allow-discards", "d"]);
    assert_eq!(
        taken,
        "luksmith: Option --allow-discards is not allowed with luksDump action.\n--allow-discards is for: open, cat, write, image."
    );
    // cryptsetup ignores these.
    assert!(
        refusal(&["isLuks", "--cipher", "x", "d"])
            .contains("--cipher is for: open, benchmark, reencrypt, luksFormat, cat, write, image.")
    );
    assert!(refusal(&["isLuks", "a", "b"]).contains("takes only <device>"));
    assert!(
        refusal(&["open", "d", "n", "--tries=3x"]).contains("--tries takes a whole number without a unit, not \"3x\"")
    );
    assert!(refusal(&["resize", "n", "--device-size=3Q"]).contains("not \"3Q\""));
    assert!(refusal(&["open", "d", "n", "--allow"]).contains("Did you mean --allow-discards?"));
    assert!(refusal(&["open", "d", "n", "-json"]).contains("Did you mean --json?"));
    assert!(refusal(&["isLuks", "--integrity", "x", "d"]).contains("--integrity has no effect in Luksmith."));
    for words in [
        &["isLuks", "--cipher", "x", "d"][..],
        &["isLuks", "a", "b"],
        &["nosuch"],
        &[],
    ] {
        assert_eq!(own(words).0, Some(1), "{words:?}");
    }
}

/// cryptsetup accepts each line, and ignores the option or part of it.
#[test]
fn under_our_own_name_no_option_is_without_effect() {
    for (line, says) in [
        ("luksOpen d n --cipher aes-xts-plain64", "plain volumes: --type plain"),
        ("open d n --hash sha512", "plain volumes: --type plain"),
        ("open d n --key-size 256", "plain volumes: --type plain"),
        ("open d n --type plain --key-slot 1", "A plain volume has no header"),
        ("open d n --type plain --token-only", "A plain volume has no header"),
        ("open d n --type plain --persistent", "A plain volume has no header"),
        ("luksFormat d --type luks1 --label x", "LUKS1 has no label"),
        (
            "luksFormat d --type luks1 --pbkdf-memory 1000",
            "PBKDF2 has no memory cost",
        ),
        (
            "luksFormat d --pbkdf pbkdf2 --pbkdf-parallel 2",
            "PBKDF2 has no memory cost",
        ),
        ("luksFormat d --integrity-key-size 256", "needs --integrity"),
        ("luksFormat d --integrity-legacy-padding", "has no effect in Luksmith"),
        (
            "luksFormat d --progress-json",
            "--progress-json is for: reencrypt, image.",
        ),
        ("luksFormat d --new-keyfile-size 8", "is for: luksAddKey, luksChangeKey"),
        ("open d n --external-tokens-path /x", "has no effect in Luksmith"),
        ("luksConvertKey d --force-password", "--force-password is for"),
        ("config d --label x --key-file k", "--key-file is for"),
        ("token import d --tries 2", "--tries is for"),
        ("luksFormat d --tries 2", "--tries is for"),
        ("open d n --type plain --tries 2", "cannot tell a wrong passphrase"),
        ("open d n --type plain --disable-locks", "A plain volume has no header"),
        ("close n --header h", "--header is for"),
        ("status n --disable-locks", "--disable-locks is for"),
        ("resize n --type luks2", "--type is for"),
        ("config d --label x --type luks2", "--type is for"),
    ] {
        let words: Vec<_> = std::iter::once("--test-args").chain(line.split(' ')).collect();
        assert_eq!(drop_in(&words).0, Some(0), "{line}: {:?}", drop_in(&words));
        let (code, _, refusal) = own(&words);
        assert!(code == Some(1) && refusal.contains(says), "{line}: {code:?} {refusal}");
    }
    for line in [
        "luksRemoveKey d --key-description x",
        "luksChangeKey d --new-key-description x",
    ] {
        let words: Vec<_> = std::iter::once("--test-args").chain(line.split(' ')).collect();
        assert_eq!((drop_in(&words).0, own(&words).0), (Some(1), Some(0)), "{line}");
    }
}

/// Combinations that the installed cryptsetup is too old to refuse; the texts are those of 2.8.8.
#[test]
fn what_the_newest_cryptsetup_refuses_is_refused() {
    let keyring_off = "cryptsetup: Cannot use keyring key description when keyring is disabled.";
    let keyring_key = "cryptsetup: Option --volume-key-keyring cannot be combined with --hash or --volume-key-file.";
    for (line, says) in [
        ("open d n --key-description x --disable-keyring", keyring_off),
        ("token add d --key-description x --disable-keyring", keyring_off),
        ("luksAddKey d --new-key-description x --disable-keyring", keyring_off),
        (
            "luksResume n --link-vk-to-keyring @u::x --disable-keyring",
            "cryptsetup: Cannot link volume key to a keyring when keyring is disabled.",
        ),
        ("open d n --type plain --volume-key-keyring x --hash y", keyring_key),
        ("refresh n --volume-key-keyring x --volume-key-file y", keyring_key),
        (
            "luksFormat d --integrity-inline",
            "cryptsetup: Inline integrity must be used together with --integrity option.",
        ),
        (
            "open d n --allow-discards --tcrypt-hidden",
            "cryptsetup: Option --tcrypt-hidden cannot be combined with --allow-discards.",
        ),
        (
            "luksKillSlot d 1 --key-description x",
            "cryptsetup: Option --key-description is not allowed with luksKillSlot action.",
        ),
        (
            "luksChangeKey d --new-key-description x",
            "cryptsetup: Option --new-key-description is not allowed with luksChangeKey action.",
        ),
    ] {
        let words: Vec<_> = std::iter::once("--test-args").chain(line.split(' ')).collect();
        assert_eq!(drop_in(&words), (Some(1), String::new(), says.to_owned()), "{line}");
    }
}

#[test]
fn the_new_options_belong_to_their_actions() {
    for (line, allowed) in [
        ("cat d --length 8", true),
        ("isLuks d --length 8", false),
        ("write d f --offset 8", true),
        ("image a b --resume --decrypt", true),
        ("luksFormat d --resume", false),
        ("luksFormat d --slot-name office --protect", true),
        ("luksKillSlot d office --slot-name office", true),
        ("status n --slot-name x", false),
        ("status n --json", true),
        ("luksAddKey d --backup /b", true),
        ("open d n --backup /b", false),
        ("open d n --link-vk-to-keyring @u::x --volume-key-keyring x", true),
        ("close n --link-vk-to-keyring @u::x", false),
        ("luksDelKey d 1", true),
    ] {
        let words: Vec<_> = std::iter::once("--test-args").chain(line.split(' ')).collect();
        assert_eq!(drop_in(&words).0 == Some(0), allowed, "{line}");
        assert_eq!(own(&words).0 == Some(0), allowed, "{line}");
    }
}

/// docs/compatibility.md has a verdict for each option of each manual page, and for each option that either version lists.
#[test]
fn the_table_of_options_is_whole() {
    let table = include_str!("../../docs/compatibility.md");
    let common = table.split("\n## ").nth(1).expect("what holds for every action");
    let names = |text: &str, option: &str| text.contains(&format!("`--{option}`"));
    let manual = include_str!("../golden/cryptsetup-manual.txt");
    for line in manual.lines().filter(|line| !line.starts_with('#')) {
        let (action, options) = line.split_once(": ").expect("an action and its options");
        let start = table
            .find(&format!("\n## {action}\n"))
            .unwrap_or_else(|| panic!("no section for {action}"));
        let section = &table[start + 1..];
        let section = &section[..section.find("\n## ").unwrap_or(section.len())];
        for option in words(options) {
            assert!(names(section, option) || names(common, option), "{action}: --{option}");
        }
    }
    let help = answer(CRYPTSETUP, "cryptsetup", &["--help"]).1;
    let listed = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let listed = listed.map(|word| word.split(['=', '.', ',']).next().unwrap_or(word));
    let newest = lines(include_str!("../golden/cryptsetup-options.txt")).filter(|line| !line.starts_with('#'));
    let newest = newest.map(|line| line.split(':').next().unwrap_or(line));
    // Debian's help calls the alias of --volume-key-file one of an option that it does not have.
    for option in listed.chain(newest).filter(|option| *option != "dump-volume-key-file") {
        assert!(names(table, option), "--{option} is not in docs/compatibility.md");
    }
}

/// What help shows: each action under our own name, and all options under cryptsetup's. `LUKSMITH_UPDATE_GOLDEN=1`
/// writes the files anew.
#[test]
fn help_texts_are_those_of_the_golden_files() {
    let mut ours = own(&["--help"]).1;
    for info in VERBS.iter().filter(|info| !REFUSED_VERBS.contains(&info.verb)) {
        ours.push_str(&format!("\n==> luksmith {} --help\n", info.name));
        ours.push_str(&own(&[info.name, "--help"]).1);
    }
    for (file, text) in [
        ("luksmith-help.txt", ours),
        ("cryptsetup-help.txt", drop_in(&["--help"]).1),
    ] {
        let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("LUKSMITH_UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).expect("written");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = golden.lines().zip(text.lines()).find(|(golden, now)| golden != now);
        assert!(golden == text, "{file} is out of date: {differs:?}");
    }
}

/// Monitoring reads 1 and 2 as verdicts: whatever keeps `check` from one has an exit code of its own.
#[test]
fn a_failure_of_check_is_no_verdict() {
    for line in [
        "check --warning x",
        "check --critical 101",
        "check --warning 90 --critical 80",
        "check --nosuch",
        "--nosuch check",
        "check --map",
        "check name --length",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(own(&words).0, Some(3), "{line}");
    }
    assert_eq!(own(&["info", "--map"]).0, Some(1));
    // There is no such device, or no device-mapper, or no permission.
    let (code, answer, _) = own(&["check", "--json", "no-such-device"]);
    assert_eq!(code, Some(3), "{answer}");
    assert!(
        answer.contains("\"verdict\":\"unknown\"") || answer.contains("\"reason\":\"cannot tell\""),
        "{answer}"
    );
    assert_eq!(
        own(&["--test-args", "check", "--warning", "90", "--critical", "95", "a"]).0,
        Some(0)
    );
}

/// Help, manual pages and completions leave out exactly the actions that are refused whatever their arguments.
#[test]
fn actions_that_are_refused_are_not_shown() {
    let help = own(&["--help"]).1;
    let listed = |name: &str| help.lines().any(|line| line.starts_with(&format!("  {name} ")));
    let completions = own(&["completions", "bash"]).1;
    for info in VERBS {
        let shown = !REFUSED_VERBS.contains(&info.verb);
        assert_eq!(listed(info.name), shown, "{}", info.name);
        let completed = completions.contains(&format!("luksmith,{})", info.name));
        assert_eq!(completed, shown, "{}", info.name);
        if !shown {
            let (code, _, says) = own(&[info.name, "/no/such/device"]);
            let expected = format!(
                "Luksmith does not have the action {}.\ncryptsetup does that.",
                info.name
            );
            assert_eq!((code, says), (Some(1), expected));
        }
    }
    let remedy = own(&["isLuks", "--veracrypt-pim", "1", "d"]).2;
    assert!(
        remedy.ends_with("--veracrypt-pim has no effect in Luksmith."),
        "{remedy}"
    );
}

#[test]
fn an_option_is_explained_as_each_action_means_it() {
    for (action, option, says) in [
        ("image", "--decrypt", "Decrypt: the source holds a LUKS volume"),
        ("cat", "--offset <bytes>", "Skip this many bytes of the decrypted data"),
        (
            "write",
            "--offset <bytes>",
            "Skip this many bytes of the decrypted data",
        ),
        (
            "open",
            "--offset <SECTORS>",
            "starts on the device, in 512-byte sectors",
        ),
        ("luksFormat", "--offset <SECTORS>", "0 is the default place"),
        ("doctor", "--backup <DIR>", "Folder that holds the backups"),
        ("luksUUID", "--uuid <STRING>", "Set this UUID"),
    ] {
        let help = own(&[action, "--help"]).1;
        let (_, options) = help.split_once("Options:").expect("a list of options");
        let text: Vec<_> = options.split_whitespace().collect();
        let text = text.join(" ");
        let (_, from) = text.split_once(option).unwrap_or_else(|| panic!("{action} {option}"));
        let explained = from.split(" --").next().unwrap_or_default();
        assert!(explained.contains(says), "{action} {option}: {explained}");
    }
}

#[test]
fn completions_know_actions_and_options() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = own(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        assert!(
            script.contains("luksFormat") && script.contains("allow-discards"),
            "{shell}"
        );
    }
    assert_eq!(own(&["completions", "nosuch"]).0, Some(1));
}

#[test]
fn the_manual_pages_in_the_repository_are_current() {
    for (name, page) in luksmith::manual::man_pages().expect("pages that are whole") {
        let path = format!("{}/man/{name}", env!("CARGO_MANIFEST_DIR"));
        let there = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(
            there == page.into_bytes(),
            "{name} is out of date: run `cargo run --example man-pages man`"
        );
    }
}
