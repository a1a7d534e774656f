//! `luksmith unlock --test-passphrase`: the engine with real headers, without a device-mapper. `boot` tests mapping.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{CHEAP, OURS};

/// A crypttab with its disks.
struct Machine(tempfile::TempDir);

impl Machine {
    /// Disks, each with its passphrase; the keyslots take 32 MiB.
    fn with(disks: &[(&str, &str)]) -> Self {
        let machine = Self(tempfile::tempdir().expect("a folder"));
        for (name, passphrase) in disks {
            fs::File::create(machine.path(name))
                .expect("a disk")
                .set_len(4 << 20)
                .expect("its size");
            let cheap = [
                "--pbkdf-memory",
                "32768",
                "--pbkdf-force-iterations",
                "4",
                "--pbkdf-parallel",
                "1",
            ];
            let small = ["luksFormat", "-q", "--type", "luks2", "--luks2-keyslots-size", "1M"];
            let path = machine.text(name);
            let arguments = [&small[..], &cheap[..], &[&path, "-"][..]].concat();
            assert_eq!(machine.run(&arguments, passphrase).0, Some(0));
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Exit code, and the whole output.
    fn run(&self, arguments: &[&str], input: &str) -> (Option<i32>, String) {
        // A program that waits for ever is killed.
        let mut child = Command::new("timeout")
            .args(["120", OURS])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // A program that reads nothing closes the pipe.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Unlocks a crypttab, in which `@` is replaced by the folder.
    fn unlock(&self, crypttab: &str, input: &str, more: &[&str]) -> (Option<i32>, String) {
        let crypttab = crypttab.replace('@', &self.0.path().display().to_string());
        fs::write(self.path("crypttab"), crypttab).expect("written");
        let path = self.text("crypttab");
        let arguments = [
            "unlock",
            "--test-passphrase",
            "--crypttab",
            &path,
            "--kernel-arguments",
            "/dev/null",
        ];
        self.run(&[&arguments[..], more].concat(), input)
    }
}

#[test]
fn one_passphrase_is_tried_on_all_and_a_typo_costs_nothing_that_is_open() {
    let machine = Machine::with(&[("a", "one"), ("b", "two"), ("c", "one")]);
    let crypttab = "a @/a none luks\nb @/b none luks,tries=2\nc @/c none luks\n";
    // A typo costs a try of each, `one` opens two and costs the third nothing, and its last try is the right one.
    let (code, said) = machine.unlock(crypttab, "typo\none\ntwo\n", &[]);
    assert_eq!(code, Some(0), "{said}");
    let opened: Vec<_> = said.lines().filter(|line| line.ends_with(" can be opened.")).collect();
    assert_eq!(opened.len(), 3, "{said}");
    assert!(opened[2].starts_with("b "), "{said}");
    assert_eq!(said.matches("No key available").count(), 1, "{said}");
}

#[test]
fn each_end_has_its_exit_code() {
    let machine = Machine::with(&[("a", "one")]);
    fs::write(machine.path("key"), "one").expect("a key");
    fs::write(machine.path("bad"), "other").expect("a key");
    let cases: &[(&str, &str, &[&str], i32, &str)] = &[
        (
            "a @/a none luks,tries=2",
            "x\ny\n",
            &[],
            2,
            "No key available with this passphrase.",
        ),
        (
            "a @/a none luks",
            "",
            &[],
            1,
            "There is no way to ask for a passphrase.",
        ),
        (
            "a @/a none luks",
            "one\n",
            &["--memory-budget", "16M"],
            3,
            "33554432 bytes are needed",
        ),
        (
            "a @/a none luks",
            "one\n",
            &["--memory-budget", "40M"],
            0,
            "a can be opened.",
        ),
        (
            "a @/gone none luks",
            "",
            &["--device-timeout", "1"],
            4,
            "did not appear within 1 s",
        ),
        (
            "a @/a @/key luks\nb @/gone none luks,nofail",
            "",
            &[],
            0,
            "b is not open (nofail)",
        ),
        ("a @/a @/bad luks,headless=true", "", &[], 2, "its key does not open it"),
        (
            "a @/a @/bad luks",
            "one\n",
            &[],
            0,
            "its key does not open it; a passphrase will do.",
        ),
        (
            "a @/a none luks\nb @/gone none luks,noauto",
            "one\n",
            &[],
            0,
            "a can be opened.",
        ),
        (
            "a @/a none luks",
            "one\n",
            &["nosuch"],
            1,
            "There is no entry named nosuch",
        ),
        ("a @/bad none luks", "", &[], 1, "is not a valid LUKS device"),
        ("", "", &[], 0, "There is nothing to unlock."),
    ];
    for (crypttab, input, more, expected, text) in cases {
        let (code, said) = machine.unlock(crypttab, input, more);
        assert!(
            code == Some(*expected) && said.contains(text),
            "{crypttab} {more:?}: {code:?}\n{said}"
        );
    }
}

/// A key file that an editor has ended with a new line, or a keyslot that was made from such a file, is distinguished from a
/// wrong key.
#[test]
fn a_new_line_too_many_or_too_few_is_told() {
    let machine = Machine::with(&[("a", "one")]);
    fs::write(machine.path("ended"), "one\n").expect("a key");
    fs::write(machine.path("bare"), "two").expect("a key");
    fs::write(machine.path("other"), "other\n").expect("a key");
    fs::write(machine.path("two"), "two\n").expect("a key");
    let (disk, key) = (machine.text("a"), machine.text("two"));
    let add = [["luksAddKey", "-q"].as_slice(), &CHEAP, &[disk.as_str(), &key]].concat();
    assert_eq!(machine.run(&add, "one").0, Some(0));
    let too_many = "a: the key file ends in a new line; without it, it would open key slot 0.";
    let too_few = "a: the key does not end in a new line; with one, it would open key slot 1.";
    for (key, told) in [("ended", Some(too_many)), ("bare", Some(too_few)), ("other", None)] {
        let (code, said) = machine.unlock(&format!("a @/a @/{key} luks,headless=true"), "", &[]);
        assert_eq!(code, Some(2), "{said}");
        for text in [too_many, too_few] {
            assert_eq!(said.contains(text), told == Some(text), "{key}: {said}");
        }
    }
}

/// A descriptor of the caller's would keep its lock for as long as a device does not answer.
#[test]
fn what_waits_for_a_device_holds_nothing_of_who_started_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!("exec 3>three 200>last; flock 3; flock 200; exec {} wait-for -", OURS);
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .spawn()
        .expect("bash");
    let fd = format!("/proc/{}/fd", child.id());
    let is_held = || {
        let open = fs::read_dir(&fd).expect("it runs").flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|path| path.starts_with(&folder))
    };
    let waits = || {
        let line = fs::read(format!("/proc/{}/cmdline", child.id())).expect("it runs");
        line.ends_with(b"wait-for\0-\0")
    };
    let end = Instant::now() + Duration::from_secs(30);
    while (!waits() || is_held()) && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(waits() && !is_held());
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn derivations_keep_within_the_memory_budget() {
    let disks = [("a", "one"), ("b", "one"), ("c", "one"), ("d", "one")];
    let machine = Machine::with(&disks);
    let crypttab: String = disks
        .iter()
        .map(|(name, _)| format!("{name} @/{name} none luks\n"))
        .collect();
    // Two of 32 MiB fit, beside the memory of the program itself.
    let (code, said) = machine.unlock(&crypttab, "one\n", &["--memory-budget", "70M", "--verbose"]);
    assert_eq!((code, said.matches("can be opened").count()), (Some(0), 4), "{said}");
    let peak = said
        .lines()
        .find_map(|line| line.strip_prefix("Peak memory: ")?.strip_suffix(" kB."));
    let peak: u64 = peak.expect("it is told").parse().expect("a number");
    assert!(peak < (70 + 30) << 10, "{peak} KiB");
}

#[test]
fn the_answer_has_a_json_form_that_holds_every_volume() {
    let machine = Machine::with(&[("a", "one")]);
    let crypttab = "a @/a none luks\nb @/gone none luks\n";
    let (code, said) = machine.unlock(crypttab, "one\n", &["--json", "--device-timeout", "1"]);
    let line = said.lines().find(|line| line.starts_with('{')).expect("an object");
    let answer: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let state = |at: usize| answer["result"]["volumes"][at]["state"].as_str().map(str::to_owned);
    assert_eq!(
        (code, state(0).as_deref(), state(1).as_deref()),
        (Some(4), Some("opened"), Some("failed")),
        "{said}"
    );
}

/// Zeros after a key that is too short would make it guessable.
#[test]
fn no_plain_volume_opens_with_a_key_that_is_too_short() {
    let machine = Machine::with(&[]);
    let disk = fs::File::create(machine.path("p")).expect("a disk");
    disk.set_len(4 << 20).expect("its size");
    fs::write(machine.path("short"), "abc").expect("a key");
    let script = machine.path("script");
    fs::write(&script, "#!/bin/sh\nprintf abc\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode");
    let plain = "plain,cipher=aes-xts-plain64,size=256,tries=1";
    for (line, opens) in [
        (format!("p @/p none {plain},hash=sha256"), true),
        (format!("p @/p none {plain},hash=plain"), false),
        (format!("p @/p x {plain},hash=sha256,keyscript=@/script"), true),
        (format!("p @/p x {plain},hash=plain,keyscript=@/script"), false),
        (format!("p @/p @/short {plain},headless"), false),
        (format!("p @/p @/short {plain},headless,try-empty-password"), false),
    ] {
        let (code, said) = machine.unlock(&line, "abc\n", &[]);
        assert_eq!(code == Some(0), opens, "{line}: {said}");
        assert_eq!(said.contains("p can be opened."), opens, "{line}: {said}");
    }
}

fn script(machine: &Machine, name: &str, text: &str) {
    let text = text.replace('@', &machine.0.path().display().to_string());
    fs::write(machine.path(name), format!("#!/bin/sh\n{text}\n")).expect("a script");
    fs::set_permissions(machine.path(name), fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// A typed passphrase would be another key than the one in its line, and a swap area would overwrite existing data.
#[test]
fn nobody_is_asked_for_the_key_of_a_plain_volume_that_has_one() {
    let machine = Machine::with(&[]);
    let disk = fs::File::create(machine.path("p")).expect("a disk");
    disk.set_len(4 << 20).expect("its size");
    script(&machine, "fails", "exit 1");
    let plain = "plain,cipher=aes-xts-plain64,size=256,hash=sha256";
    for line in [
        format!("p @/p x {plain},swap,keyscript=@/fails"),
        format!("p @/p @/gone {plain},swap"),
        format!("p @/p /key:LABEL=no-such-label {plain},keyfile-timeout=1"),
    ] {
        let (code, said) = machine.unlock(&line, "abc\n", &[]);
        assert_eq!(code, Some(2), "{line}: {said}");
        assert!(!said.contains("a passphrase will do"), "{line}: {said}");
    }
}

#[test]
fn a_key_script_comes_after_what_stands_before_it_and_alone() {
    let machine = Machine::with(&[("a", "one"), ("b", "two"), ("c", "two")]);
    script(
        &machine,
        "slow",
        "echo start >>@/log; sleep 0.3; echo end >>@/log; printf two",
    );
    let slow = "luks,keyscript=@/slow";
    let crypttab = format!("a @/a none luks\nb @/b x {slow}\nc @/c x {slow}\n");
    let (code, said) = machine.unlock(&crypttab, "one\n", &[]);
    assert_eq!(code, Some(0), "{said}");
    let opened: Vec<_> = said
        .lines()
        .filter_map(|line| line.strip_suffix(" can be opened."))
        .collect();
    assert_eq!(opened, ["a", "b", "c"], "{said}");
    let log = fs::read_to_string(machine.path("log")).expect("they ran");
    assert_eq!(log, "start\nend\nstart\nend\n");
}

#[test]
fn entries_that_need_each_other_are_told_and_hold_up_nobody_else() {
    let machine = Machine::with(&[("a", "one"), ("c", "one")]);
    let crypttab = "a @/a none luks,header=/h:/dev/mapper/b\nb /dev/mapper/a none luks\nc @/c none luks\n";
    let (code, said) = machine.unlock(crypttab, "one\n", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("a needs b, b needs a") && said.contains("c can be opened."),
        "{said}"
    );
}

/// Either of them has a passphrase, too.
#[test]
fn volumes_that_hold_each_others_keys_are_asked_for() {
    let machine = Machine::with(&[("a", "one"), ("b", "two")]);
    let crypttab = "a @/a /k:/dev/mapper/b luks\nb @/b /k:/dev/mapper/a luks\n";
    for input in ["one\ntwo\n", "two\none\n"] {
        let started = Instant::now();
        let (code, said) = machine.unlock(crypttab, input, &[]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.matches("can be opened.").count(), 2, "{said}");
        let told = "a: /k on /dev/mapper/b is on b, which needs a; a passphrase will do.";
        assert!(said.contains(told), "{said}");
        assert!(started.elapsed() < Duration::from_secs(15), "{said}");
    }
}

/// A stick that is not plugged in does not prevent the prompt, whatever its own entry says.
#[test]
fn a_key_on_what_is_not_there_is_waited_for_as_long_as_its_options_say() {
    let machine = Machine::with(&[("a", "one"), ("b", "two")]);
    let key = "a @/a /k:/dev/mapper/stick luks,keyfile-timeout=1\n";
    let told = "a: /k on /dev/mapper/stick is not there; a passphrase will do.";
    let for_ever = "luks,nofail,x-systemd.device-timeout=0";
    for (stick, timeout, ends) in [
        (format!("stick @/gone none {for_ever}\n"), "0", 0),
        (
            format!("stick /dev/mapper/outer none {for_ever}\nouter @/gone none {for_ever}\n"),
            "0",
            0,
        ),
        // Only the key needs it.
        ("stick @/gone none luks,noauto\n".into(), "0", 0),
        ("stick @/gone none luks\n".into(), "6", 4),
    ] {
        let (code, said) = machine.unlock(&(stick + key), "one\n", &["--device-timeout", timeout]);
        assert_eq!(code, Some(ends), "{said}");
        assert!(said.contains(told) && said.contains("a can be opened."), "{said}");
    }
    // But a volume with a prompt does.
    let (code, said) = machine.unlock(&format!("stick @/b none luks,tries=1\n{key}"), "typo\none\n", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("is on stick, which is not open; a passphrase will do."),
        "{said}"
    );
}

#[test]
fn what_needs_a_volume_that_failed_is_not_waited_for() {
    let machine = Machine::with(&[("a", "one"), ("b", "two")]);
    let crypttab = "in /dev/mapper/b none luks\na @/a /k:/dev/mapper/b luks\nb @/b none luks,tries=1\n";
    let (code, said) = machine.unlock(crypttab, "typo\none\n", &[]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("It needs b, which is not open"), "{said}");
    assert!(
        said.contains("is on b, which is not open; a passphrase will do."),
        "{said}"
    );
    assert!(said.contains("a can be opened."), "{said}");
}

#[test]
fn a_plain_volume_that_lacks_options_is_told() {
    let machine = Machine::with(&[]);
    let disk = fs::File::create(machine.path("p")).expect("a disk");
    disk.set_len(4 << 20).expect("its size");
    fs::write(machine.path("k"), [7; 32]).expect("a key");
    for (line, assumed) in [
        (
            "p @/p none plain",
            "cipher=aes-xts-plain64,size=256,hash=sha256 is assumed",
        ),
        (
            "p @/p none plain,size=256",
            " cipher=aes-xts-plain64,hash=sha256 is assumed",
        ),
        ("p @/p @/k plain,cipher=aes-xts-plain64", " size=256 is assumed"),
        ("p @/p @/k plain,cipher=aes-xts-plain64,size=256", ""),
        ("p @/p none plain,cipher=aes-xts-plain64,size=256,hash=sha256", ""),
    ] {
        let (code, said) = machine.unlock(line, "abc\n", &[]);
        assert_eq!(code, Some(0), "{line}: {said}");
        assert_eq!(said.contains("is assumed"), !assumed.is_empty(), "{line}: {said}");
        assert!(said.contains(assumed), "{line}: {said}");
    }
}

/// In folders that other users cannot see.
#[test]
fn a_key_file_of_the_volumes_name_is_found() {
    let machine = Machine::with(&[("a", "one")]);
    fs::write(
        machine.path("crypttab"),
        format!("a {} none luks,headless\n", machine.text("a")),
    )
    .expect("written");
    let unlock = "unlock --test-passphrase --kernel-arguments /dev/null --crypttab";
    let commands = format!(
        "mount -t tmpfs run /run && mkdir /run/cryptsetup-keys.d && printf one >/run/cryptsetup-keys.d/a.key &&
         exec {} {unlock} {}",
        OURS,
        machine.text("crypttab")
    );
    let status = Command::new("unshare").args(["-rm", "sh", "-c", &commands]).status();
    // It is headless: a passphrase would not do.
    assert!(status.expect("it starts").success());
}

/// As `open` does: its token comes first, and one that does not open it is no reason against a passphrase. Keyslots have
/// names here too.
#[test]
fn tokens_and_names_of_keyslots_count_as_from_the_command_line() {
    let machine = Machine::with(&[("disk", "pw")]);
    fs::write(machine.path("two"), "two").expect("written");
    let (disk, two) = (machine.text("disk"), machine.text("two"));
    let names = ["--slot-name", "office", "--key-file", "-", &disk, &two];
    let added = [["luksAddKey", "-q"].as_slice(), &CHEAP, &names].concat();
    assert_eq!(machine.run(&added, "pw").0, Some(0));
    let token = [
        "token",
        "add",
        "--key-description",
        "luksmith:test:boot",
        "--key-slot",
        "0",
        &disk,
    ];
    assert_eq!(machine.run(&token, "").0, Some(0));

    let script =
        "printf \"$1\" | keyctl padd user luksmith:test:boot @s >/dev/null && shift && exec timeout 120 \"$@\"";
    let with_key = |options: &str, key: &str, input: &str| {
        fs::write(machine.path("crypttab"), format!("disk {disk} none {options}")).expect("written");
        let mut child = Command::new("keyctl")
            .args([
                "session",
                "-",
                "sh",
                "-c",
                script,
                "sh",
                key,
                env!("CARGO_BIN_EXE_luksmith"),
            ])
            .args([
                "unlock",
                "--test-passphrase",
                "--kernel-arguments",
                "/dev/null",
                "--crypttab",
            ])
            .arg(machine.path("crypttab"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("keyctl starts");
        // What needs no answer reads none.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    for (options, key, input, opens) in [
        ("luks,headless", "pw", "", true),
        ("luks", "wrong", "pw\n", true),
        ("luks,headless", "wrong", "", false),
        // The token is not for this keyslot.
        ("luks,headless,key-slot=office", "pw", "", false),
        ("luks,key-slot=office", "pw", "two\n", true),
        ("luks,key-slot=1", "pw", "two\n", true),
    ] {
        let (code, said) = with_key(options, key, input);
        assert_eq!(code == Some(0), opens, "{options} {key}: {said}");
    }
    let (code, said) = with_key("luks,key-slot=home", "pw", "pw\n");
    assert!(code == Some(1) && said.contains("No keyslot is named home"), "{said}");
}
