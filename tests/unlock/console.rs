//! `luksmith unlock` and `luksmith answer` with a person at a terminal: what is shown and what is hidden, and how they
//! end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::common::pty::{Conversation, PATIENCE};
use crate::common::{CHEAP, OURS};

const UNLOCK: &[&str] = &[
    "unlock",
    "--test-passphrase",
    "--crypttab",
    "crypttab",
    "--kernel-arguments",
    "/dev/null",
];

/// A folder with volumes `a` and `b`, which `abc` opens, and a crypttab, in which `@` is replaced by the folder.
fn machine(crypttab: &str, cost: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("k"), "abc").expect("written");
    for name in ["a", "b"] {
        let disk = fs::File::create(folder.path().join(name)).expect("a disk");
        disk.set_len(20 << 20).expect("its size");
        let format = Command::new(OURS)
            .args(["luksFormat", "-q", name, "k"])
            .args(cost)
            .current_dir(&folder)
            .status();
        assert!(format.expect("it starts").success());
    }
    let crypttab = crypttab.replace('@', &folder.path().display().to_string());
    fs::write(folder.path().join("crypttab"), crypttab).expect("written");
    folder
}

fn unlock(folder: &Path) -> Conversation {
    Conversation::start(folder, Path::new(OURS), UNLOCK)
}

/// Waits until a text was shown, at any place.
fn wait_for(conversation: &mut Conversation, text: &str) {
    let start = Instant::now();
    while !conversation.heard.contains(text) {
        assert!(start.elapsed() < PATIENCE, "no {text:?} in {:?}", conversation.heard);
        conversation.hear(20);
    }
}

#[test]
fn what_is_typed_ahead_is_not_shown_and_answers() {
    let folder = machine("a @/late none luks\n", &CHEAP);
    let mut person = unlock(folder.path());
    wait_for(&mut person, "Waiting for a");
    person.type_in("abc\n");
    thread::sleep(Duration::from_millis(500));
    fs::rename(folder.path().join("a"), folder.path().join("late")).expect("renamed");
    let (heard, status, echoes) = person.end();
    assert!(status.success() && echoes, "{heard}");
    assert!(heard.contains("a can be opened.") && !heard.contains("abc"), "{heard}");
}

#[test]
fn a_terminal_is_as_it_was_however_it_ends() {
    let folder = machine("a @/a none luks\n", &CHEAP);
    for typed in ["\x03", "\x1c"] {
        let mut person = unlock(folder.path());
        person.expect("(3 tries left): ", false);
        person.type_in(typed);
        let (heard, status, echoes) = person.end();
        assert_eq!((status.code(), echoes), (Some(1), true), "{heard}");
        assert!(heard.contains("Interrupted."), "{heard}");
    }
    // No process could continue it (its terminal has no shell), so that Ctrl-Z does not stop it: it asks once more.
    let mut person = unlock(folder.path());
    person.expect("(3 tries left): ", false);
    person.type_in("\x1a");
    person.expect("(3 tries left): ", false);
    person.type_in("abc\n");
    let (heard, status, echoes) = person.end();
    assert!(status.success() && echoes, "{heard}");
}

#[test]
fn it_ends_at_once_while_a_key_is_derived() {
    let folder = machine(
        "a @/a none luks\n",
        &["--type", "luks1", "--pbkdf-force-iterations", "1000"],
    );
    // Some minutes of work: the iterations of the first keyslot, which no checksum covers.
    let disk = fs::OpenOptions::new().write(true).open(folder.path().join("a"));
    let iterations = 2_000_000_000_u32.to_be_bytes();
    std::os::unix::fs::FileExt::write_all_at(&disk.expect("a disk"), &iterations, 208 + 4).expect("written");
    let mut person = unlock(folder.path());
    person.expect("(3 tries left): ", false);
    person.type_in("abc\n");
    wait_for(&mut person, "Deriving the key");
    let since = Instant::now();
    kill(person.pid(), Signal::SIGTERM).expect("it runs");
    let (heard, status, echoes) = person.end();
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!(
        (status.code(), status.signal(), echoes),
        (Some(1), None, true),
        "{heard}"
    );
}

/// `answer` at the terminal, and an unlocker without one, on a machine of their own.
#[test]
fn a_remote_shell_keeps_its_question_whatever_else_it_is_told() {
    // The problem of the second volume is reported while the prompt for the first is open.
    let folder = machine(
        "a @/a none luks\nb @/b /no/key:LABEL=none luks,keyfile-timeout=4\n",
        &CHEAP,
    );
    let script = format!(
        "mount -t tmpfs run /run && mount --bind /dev/null /dev/console && mount -t tmpfs tty /sys/class/tty &&
         {{ {OURS} {} </dev/null >log 2>&1 & }} && until [ -S /run/luksmith/answer ]; do sleep 0.1; done && exec {OURS} answer",
        UNLOCK.join(" ")
    );
    let words = ["-rm", "sh", "-c", &script];
    let mut person = Conversation::start(folder.path(), Path::new("/usr/bin/unshare"), &words);
    wait_for(&mut person, "Please unlock disk a (3 tries left): ");
    // Above the prompt, which is repeated.
    wait_for(
        &mut person,
        "a passphrase will do.\nPlease unlock disk a (3 tries left): ",
    );
    person.expect("is tried on b.\nPlease unlock disk a (3 tries left): ", false);
    person.type_in("abd\n");
    person.expect("(2 tries left): ", false);
    person.type_in("abc\n");
    let (heard, status, echoes) = person.end();
    assert!(status.success() && echoes, "{heard}");
    assert!(!heard.contains("ab\n") && !heard.contains("abc"), "{heard}");
    assert!(
        heard.contains("a can be opened.") && heard.contains("b can be opened."),
        "{heard}"
    );
}

/// Longer than a key device is waited for that nothing holds up.
#[test]
fn nobody_is_asked_for_a_volume_whose_key_is_on_another_one_that_waits() {
    let folder = machine(
        "a @/a /k:/dev/mapper/b luks,keyfile-timeout=1\nb @/b none luks\n",
        &CHEAP,
    );
    let mut person = unlock(folder.path());
    person.expect("Please unlock disk b (3 tries left): ", false);
    thread::sleep(Duration::from_secs(3));
    while person.hear(20) {}
    assert!(!person.heard.contains("disk a"), "{}", person.heard);
    person.type_in("abc\n");
    // Nothing is mapped here, so that the key is not there even then.
    wait_for(&mut person, "/k on /dev/mapper/b is not there; a passphrase will do.");
    let (heard, status, _) = person.end();
    assert!(status.success() && heard.contains("a can be opened."), "{heard}");
}

#[test]
fn a_key_that_comes_while_a_person_is_asked_answers() {
    let folder = machine("a @/a @/late luks\n", &CHEAP);
    let mut person = unlock(folder.path());
    person.expect("Please unlock disk a (3 tries left): ", false);
    fs::rename(folder.path().join("k"), folder.path().join("late")).expect("renamed");
    let (heard, status, echoes) = person.end();
    assert!(
        status.success() && echoes && heard.contains("a can be opened."),
        "{heard}"
    );
}

/// The script of another volume may have a prompt on the same console.
#[test]
fn no_key_script_starts_while_a_person_is_asked() {
    let folder = machine("b @/late x luks,keyscript=@/script\na @/a none luks\n", &CHEAP);
    let at = |name: &str| folder.path().join(name);
    let text = format!("#!/bin/sh\n: >{}\nprintf abc\n", at("started").display());
    fs::write(at("script"), text).expect("written");
    fs::set_permissions(at("script"), fs::Permissions::from_mode(0o755)).expect("its mode");
    let mut person = unlock(folder.path());
    person.expect("Please unlock disk a (3 tries left): ", false);
    fs::rename(at("b"), at("late")).expect("renamed");
    thread::sleep(Duration::from_secs(2));
    assert!(!at("started").exists());
    person.type_in("abc\n");
    let (heard, status, echoes) = person.end();
    assert!(status.success() && echoes && at("started").exists(), "{heard}");
    assert!(heard.contains("b can be opened."), "{heard}");
}
