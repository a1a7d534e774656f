//! A disk, or a file system, that fails at any of the calls that a command makes: every command that writes, on files. In any
//! case, it does not panic and is not killed; it reports the failure, or completes the operation; and the old or the new
//! passphrase opens.
//!
//! Each run tries a share of all faults, the next ones the day after; `LUKSMITH_FAULTS=all` tries all of them.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use keyslots::header::Header;
use keyslots::kdf::CostLimits;
use keyslots::luks2::Candidates;
use keyslots::secret::{Passphrase, Secret};
use keyslots::storage::Memory;
use nix::libc::{EINTR, EIO, ENOSPC};
use nix::sys::signal::Signal;

use crate::lab::{CHEAP, Lab, OURS};
use crate::tracer::{Fault, Kind, Plan, Ran, run};

/// A command that writes.
pub(crate) struct Command {
    pub(crate) kind: &'static str,
    /// Preparations.
    before: &'static [&'static [&'static str]],
    pub(crate) words: &'static [&'static str],
    /// Whether it makes a keyslot.
    derives: bool,
    /// One of these key files opens in any case; none if the command should destroy them.
    keys: &'static [&'static str],
    /// The check after it is done.
    done: fn(&Lab) -> bool,
}

const fn command(
    kind: &'static str,
    words: &'static [&'static str],
    keys: &'static [&'static str],
    done: fn(&Lab) -> bool,
) -> Command {
    Command {
        kind,
        before: &[],
        words,
        derives: false,
        keys,
        done,
    }
}

impl Command {
    const fn after(self, before: &'static [&'static [&'static str]]) -> Self {
        Self { before, ..self }
    }

    const fn derives(self) -> Self {
        Self { derives: true, ..self }
    }

    pub(crate) fn all_words(&self) -> Vec<&'static str> {
        [self.words, if self.derives { &CHEAP } else { &[] }].concat()
    }

    fn lab(&self) -> Lab {
        self.lab_with_keys("passphrase")
    }

    pub(crate) fn lab_with_keys(&self, text: &str) -> Lab {
        let lab = Lab::with_keys(self.kind, text);
        for words in self.before {
            let derives = ["luksAddKey", "luksFormat"].contains(&words[0]);
            lab.must(&[*words, if derives { CHEAP.as_slice() } else { &[] }].concat());
        }
        fs::write(lab.path("token.json"), r#"{"type":"mine","keyslots":["0"],"text":"x"}"#).expect("a file");
        lab
    }
}

/// Whether this key file opens the volume, determined without the program.
fn opens(lab: &Lab, key: &str) -> bool {
    opens_file(lab, "v", key)
}

fn opens_file(lab: &Lab, file: &str, key: &str) -> bool {
    let Ok(image) = fs::read(lab.path(file)) else {
        return false;
    };
    let mut disk = Memory(image);
    let key = fs::read(lab.path(key)).expect("a key file");
    let passphrase = Passphrase::new(Secret::copy_from(&key).expect("a page"));
    Header::read(&mut disk).is_ok_and(|header| {
        header
            .unlock(&mut disk, &passphrase, Candidates::All, &CostLimits::default())
            .is_ok()
    })
}

fn says(lab: &Lab, text: &str) -> bool {
    let dump = lab.must(&["luksDump", "v"]).stdout;
    String::from_utf8_lossy(&dump).contains(text)
}

const UUID: &str = "11111111-2222-3333-4444-555555555555";
const ADD_B: &[&[&str]] = &[&["luksAddKey", "-q", "v", "b", "-d", "a"]];
const BACKUP: &[&str] = &["luksHeaderBackup", "v", "--header-backup-file", "backup"];
const TOKEN: &[&str] = &["token", "add", "v", "--key-description", "x", "--token-id", "3"];

const BACKUP_AND_ADD_B: &[&[&str]] = &[BACKUP, &["luksAddKey", "-q", "v", "b", "-d", "a"]];
const ADD_TOKEN: &[&[&str]] = &[TOKEN];

/// Every command that changes a file, for both formats where both have it.
pub(crate) const COMMANDS: &[Command] = &[
    command(
        "luks1",
        &["luksFormat", "-q", "--type", "luks1", "v", "b"],
        &[],
        |lab| opens(lab, "b"),
    )
    .derives(),
    command(
        "luks2",
        &["luksFormat", "-q", "--type", "luks2", "v", "b"],
        &[],
        |lab| opens(lab, "b"),
    )
    .derives(),
    command("luks1", &["luksAddKey", "-q", "v", "b", "-d", "a"], &["a"], |lab| {
        opens(lab, "b")
    })
    .derives(),
    command("luks2", &["luksAddKey", "-q", "v", "b", "-d", "a"], &["a"], |lab| {
        opens(lab, "b")
    })
    .derives(),
    command(
        "luks1",
        &["luksChangeKey", "-q", "v", "b", "-d", "a"],
        &["a", "b"],
        |lab| opens(lab, "b") && !opens(lab, "a"),
    )
    .derives(),
    command(
        "luks2",
        &["luksChangeKey", "-q", "v", "b", "-d", "a"],
        &["a", "b"],
        |lab| opens(lab, "b") && !opens(lab, "a"),
    )
    .derives(),
    command(
        "luks1",
        &["luksChangeKey", "-q", "v", "c", "-d", "a", "-S", "0"],
        &["a", "c", "b"],
        |lab| opens(lab, "c") && !opens(lab, "a"),
    )
    .derives()
    .after(ADD_B),
    command(
        "luks2",
        &["luksConvertKey", "-q", "v", "-d", "a", "--hash", "sha512"],
        &["a"],
        |lab| opens(lab, "a") && says(lab, "sha512"),
    )
    .derives(),
    command("luks1", &["luksRemoveKey", "-q", "v", "-d", "b"], &["a"], |lab| {
        !opens(lab, "b")
    })
    .after(ADD_B),
    command("luks2", &["luksRemoveKey", "-q", "v", "-d", "b"], &["a"], |lab| {
        !opens(lab, "b")
    })
    .after(ADD_B),
    command("luks1", &["luksKillSlot", "-q", "v", "1"], &["a"], |lab| {
        !opens(lab, "b")
    })
    .after(ADD_B),
    command("luks2", &["luksKillSlot", "-q", "v", "1"], &["a"], |lab| {
        !opens(lab, "b")
    })
    .after(ADD_B),
    command("luks1", &["erase", "-q", "v"], &[], |lab| !opens(lab, "a")),
    command("luks2", &["erase", "-q", "v"], &[], |lab| !opens(lab, "a")),
    command("luks1", &["luksUUID", "-q", "v", "--uuid", UUID], &["a"], |lab| {
        says(lab, UUID)
    }),
    command("luks2", &["luksUUID", "-q", "v", "--uuid", UUID], &["a"], |lab| {
        says(lab, UUID)
    }),
    command("luks2", &["config", "v", "--label", "name"], &["a"], |lab| {
        says(lab, "name")
    }),
    command(
        "luks2",
        &["config", "v", "-S", "0", "--priority", "prefer"],
        &["a"],
        |lab| says(lab, "prefer"),
    ),
    command("luks2", TOKEN, &["a"], |lab| says(lab, "luks2-keyring")),
    command(
        "luks2",
        &["token", "import", "v", "--json-file", "token.json"],
        &["a"],
        |lab| says(lab, "mine"),
    ),
    command(
        "luks2",
        &["token", "unassign", "v", "--token-id", "3", "-S", "0"],
        &["a"],
        |lab| !says(lab, "Keyslot:    0"),
    )
    .after(&[&[
        "token",
        "add",
        "v",
        "--key-description",
        "x",
        "--token-id",
        "3",
        "-S",
        "0",
    ]]),
    command("luks2", &["token", "remove", "v", "--token-id", "3"], &["a"], |lab| {
        !says(lab, "luks2-keyring")
    })
    .after(ADD_TOKEN),
    command("luks1", &["convert", "-q", "v", "--type", "luks2"], &["a"], |lab| {
        says(lab, "Version:       \t2") && opens(lab, "a")
    }),
    command("luks2", &["convert", "-q", "v", "--type", "luks1"], &["a"], |lab| {
        says(lab, "Version:       \t1") && opens(lab, "a")
    })
    .after(&[&["luksFormat", "-q", "--type", "luks2", "--sector-size", "512", "v", "a"]]),
    command("luks1", BACKUP, &["a"], |lab| opens_file(lab, "backup", "a")),
    command("luks2", BACKUP, &["a"], |lab| opens_file(lab, "backup", "a")),
    command(
        "luks1",
        &["luksHeaderRestore", "-q", "v", "--header-backup-file", "backup"],
        &["a", "b"],
        |lab| opens(lab, "a") && !opens(lab, "b"),
    )
    .after(BACKUP_AND_ADD_B),
    command(
        "luks2",
        &["luksHeaderRestore", "-q", "v", "--header-backup-file", "backup"],
        &["a", "b"],
        |lab| opens(lab, "a") && !opens(lab, "b"),
    )
    .after(BACKUP_AND_ADD_B),
    command("luks2", &["repair", "-q", "v"], &["a"], |lab| opens(lab, "a")),
    command("luks2", &["write", "v", "token.json", "-d", "a"], &["a"], |lab| {
        let plaintext = lab.run(&["cat", "v", "-d", "a", "--length", "512"]).stdout;
        opens(lab, "a") && plaintext.starts_with(&fs::read(lab.path("token.json")).expect("a file"))
    }),
];

/// The stride and the start of the faults to try: all of them with `LUKSMITH_FAULTS=all`.
pub(crate) fn share(one_in: usize) -> (usize, usize) {
    if std::env::var("LUKSMITH_FAULTS").is_ok_and(|all| all == "all") {
        return (1, 0);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let day = usize::try_from(now.as_secs() / 86400).expect("a number of days");
    (one_in, day % one_in)
}

/// The problem after `ran`: the program did not end as it should, or nothing opens.
fn wrong(command: &Command, lab: &Lab, ran: &Ran) -> Option<&'static str> {
    let (output, keys) = (&ran.output, command.keys);
    match output.status.code() {
        Some(0) if !(command.done)(lab) => Some("a success that is none"),
        Some(1..=5) if output.stderr.is_empty() => Some("no word of the error"),
        Some(0..=5) if keys.is_empty() || keys.iter().any(|key| opens(lab, key)) => None,
        Some(0..=5) => Some("nothing opens"),
        _ => Some("an end that is none"),
    }
}

/// The folder as it was before each run: the volume and, if there is one, the backup.
struct Restore {
    volume: Vec<u8>,
    backup: Option<Vec<u8>>,
}

impl Restore {
    fn of(lab: &Lab) -> Self {
        Self {
            volume: lab.image(),
            backup: fs::read(lab.path("backup")).ok(),
        }
    }

    fn put_back(&self, lab: &Lab) {
        fs::write(lab.path("v"), &self.volume).expect("the volume as it was");
        match &self.backup {
            Some(backup) => fs::write(lab.path("backup"), backup).expect("the backup as it was"),
            None => drop(fs::remove_file(lab.path("backup"))),
        }
    }
}

/// All faults for calls of `kind`.
fn faults(kind: Kind) -> &'static [(Fault, bool)] {
    match kind {
        Kind::Read => &[
            (Fault::Error(EIO), false),
            (Fault::Error(EIO), true),
            (Fault::Error(EINTR), false),
            (Fault::Short(1), false),
            (Fault::Short(5000), true),
            (Fault::Short(0), false),
        ],
        Kind::Write => &[
            (Fault::Error(EIO), false),
            (Fault::Error(EIO), true),
            (Fault::Error(ENOSPC), false),
            (Fault::Error(ENOSPC), true),
            (Fault::Error(EINTR), false),
            (Fault::Short(1), false),
            (Fault::Short(5000), true),
            (Fault::Short(0), false),
        ],
        _ => &[
            (Fault::Error(EIO), false),
            (Fault::Error(EIO), true),
            (Fault::Error(ENOSPC), false),
        ],
    }
}

/// Whether the command can ignore a fault: the call is repeated for the rest.
fn is_no_failure(fault: Fault) -> bool {
    matches!(fault, Fault::Error(EINTR) | Fault::Short(1..))
}

#[test]
fn whatever_call_fails() {
    let (step, from) = share(41);
    let (mut tried, mut failed, mut all) = (0, 0, 0);
    let mut complaints = 0;
    for command in COMMANDS {
        let lab = command.lab();
        let words = command.all_words();
        let before = Restore::of(&lab);
        let ran = run(&lab, &words, None, false);
        assert_eq!(ran.output.status.code(), Some(0), "{words:?}: {:?}", ran.output);
        assert_eq!(wrong(command, &lab, &ran), None, "{words:?}: {:?}", ran.output);
        for (kind, calls) in [
            (Kind::Read, ran.reads),
            (Kind::Write, ran.writes),
            (Kind::Sync, ran.syncs),
        ] {
            for at in 0..calls {
                for (fault, from_then_on) in faults(kind) {
                    all += 1;
                    if all % step != from {
                        continue;
                    }
                    before.put_back(&lab);
                    let plan = Plan {
                        kind,
                        fault: *fault,
                        at,
                        from_then_on: *from_then_on,
                    };
                    let ran = run(&lab, &words, Some(plan), false);
                    let done = ran.output.status.code() == Some(0);
                    let none = (is_no_failure(*fault) && !done).then_some("a failure that is none");
                    if let Some(wrong) = wrong(command, &lab, &ran).or(none) {
                        // At once: a sweep of all of them takes an hour.
                        eprintln!("{words:?} {plan:?} of {calls}: {wrong}: {:?}", ran.output);
                        complaints += 1;
                    }
                    tried += 1;
                    failed += usize::from(!done);
                }
            }
        }
    }
    println!(
        "{tried} of {all} faults in {} commands: {failed} told, the others mended",
        COMMANDS.len()
    );
    assert_eq!(complaints, 0, "see above");
    assert!(tried > 20 && failed > 10, "{tried} {failed}");
}

/// A read that returns nothing does not make an empty passphrase of a key file, although there is a keyslot for that.
#[test]
fn a_key_file_that_is_cut_off_is_no_empty_passphrase() {
    let lab = Lab::new("luks2");
    fs::write(lab.path("empty"), "").expect("a key file");
    lab.must(&[&["luksAddKey", "-q", "v", "empty", "-d", "a"], CHEAP.as_slice()].concat());
    let words = ["open", "-v", "--test-passphrase", "v", "-d", "a"];
    let undisturbed = run(&lab, &words, None, false);
    let said = |ran: &Ran| String::from_utf8_lossy(&ran.output.stdout).into_owned();
    assert!(said(&undisturbed).contains("Key slot 0 unlocked."), "{undisturbed:?}");
    let mut told = 0;
    for at in 0..undisturbed.reads {
        let plan = Plan {
            kind: Kind::Read,
            fault: Fault::Short(0),
            at,
            from_then_on: false,
        };
        let ran = run(&lab, &words, Some(plan), false);
        assert!(!said(&ran).contains("Key slot 1"), "{plan:?}: {ran:?}");
        told += usize::from(
            String::from_utf8_lossy(&ran.output.stderr).contains("The key file ended after 0 of 12 bytes."),
        );
    }
    assert_eq!(told, 1, "of {} reads", undisturbed.reads);
}

/// Signals at any call: those of a person, those of a shutdown, and those that cannot be caught.
#[test]
fn whenever_a_signal_comes() {
    // No multiple of two: each day has each of the four signals.
    let (step, from) = share(61);
    let (mut tried, mut stopped, mut all) = (0, 0, 0);
    for command in COMMANDS {
        let lab = command.lab();
        let words = command.all_words();
        let before = Restore::of(&lab);
        let ran = run(&lab, &words, None, false);
        let there = files(&lab);
        for (kind, calls) in [
            (Kind::Write, ran.writes),
            (Kind::Sync, ran.syncs),
            (Kind::Other, ran.others),
        ] {
            // Most others are the loader's.
            let apart = if kind == Kind::Other { 23 } else { 1 };
            for at in (0..calls).step_by(apart) {
                for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGKILL] {
                    all += 1;
                    if all % step != from {
                        continue;
                    }
                    before.put_back(&lab);
                    let plan = Plan {
                        kind,
                        fault: Fault::Signal(signal),
                        at,
                        from_then_on: false,
                    };
                    let what = format!("{words:?} {plan:?} of {calls}");
                    let ran = run(&lab, &words, Some(plan), false);
                    let status = ran.output.status;
                    let by = std::os::unix::process::ExitStatusExt::signal(&status);
                    match status.code() {
                        Some(0) => assert!((command.done)(&lab), "{what}: a success that is none"),
                        Some(1..=5) => {}
                        Some(code) => panic!("{what}: {code}: {:?}", ran.output),
                        None => assert_eq!(by, Some(signal as i32), "{what}"),
                    }
                    let keys = command.keys;
                    assert!(
                        keys.is_empty() || keys.iter().any(|key| opens(&lab, key)),
                        "{what}: nothing opens"
                    );
                    // No lock is left that another command would wait for, and no new file.
                    if !keys.is_empty() {
                        let other = lab.run(&["isLuks", "v"]);
                        assert!(other.status.success(), "{what}: {other:?}");
                    }
                    let left: Vec<_> = files(&lab).into_iter().filter(|file| !there.contains(file)).collect();
                    assert!(left.is_empty(), "{what}: left {left:?}");
                    tried += 1;
                    stopped += usize::from(status.code() != Some(0));
                }
            }
        }
    }
    println!(
        "{tried} of {all} signals in {} commands: {stopped} stopped it",
        COMMANDS.len()
    );
    assert!(tried > 20 && stopped > 10, "{tried} {stopped}");
}

fn files(lab: &Lab) -> Vec<std::ffi::OsString> {
    let mut files: Vec<_> = fs::read_dir(lab.0.path())
        .expect("the folder")
        .map(|entry| entry.expect("a file").file_name())
        .collect();
    // There may be a backup or not: a command writes it.
    files.push("backup".into());
    files
}

/// With less memory than it needs, every command reports that, or succeeds.
#[test]
fn however_little_memory_there_is() {
    let (mut tried, mut refused) = (0, 0);
    for command in COMMANDS {
        let lab = command.lab();
        let words = command.all_words();
        let before = Restore::of(&lab);
        let limited = |kib: u32, words: &[&str]| {
            let script = format!("ulimit -v {kib}; exec {OURS} \"$@\"");
            let all = [&["-c", &script, "sh"], words].concat();
            lab.command("sh", &all).output().expect("a shell")
        };
        // The program and its libraries alone need this much.
        let least = (1..64)
            .map(|mib| mib << 10)
            .find(|&kib| limited(kib, &["--version"]).status.success());
        let least = least.expect("a limit that the program starts under");
        for kib in (least..).step_by(128) {
            let last = kib > least + (96 << 10);
            before.put_back(&lab);
            let output = limited(kib, &words);
            let what = format!("{words:?} {kib} KiB: {output:?}");
            tried += 1;
            match output.status.code() {
                Some(0) => {
                    assert!((command.done)(&lab), "a success that is none: {what}");
                    break;
                }
                Some(3) => assert!(
                    command.keys.is_empty() || command.keys.iter().any(|key| opens(&lab, key)),
                    "nothing opens: {what}"
                ),
                // A thread that cannot be started: the system does not say whether for memory or for their number.
                Some(1) if what.contains("temporarily unavailable") => {}
                _ => panic!("{what}"),
            }
            refused += 1;
            assert!(!last, "it needs more than 96 MiB: {what}");
        }
    }
    println!(
        "{tried} limits for {} commands: {refused} refused, exit code 3",
        COMMANDS.len()
    );
}
