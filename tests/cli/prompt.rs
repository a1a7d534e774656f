//! Prompts on a real pseudo-terminal: each conversation is held with the installed cryptsetup and with ours, and must
//! read alike, end alike, and restore the terminal.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};

use crate::common::pty::Conversation;
use crate::common::{CHEAP, CRYPTSETUP, OURS};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";

/// A folder with one small volume, made by cryptsetup.
struct Volume {
    folder: tempfile::TempDir,
}

impl Volume {
    fn with_passphrase(passphrase: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        File::create(folder.path().join("v"))
            .and_then(|file| file.set_len(32 << 20))
            .expect("a sparse file");
        std::fs::write(folder.path().join("k"), passphrase).expect("written");
        let status = Command::new(CRYPTSETUP)
            .args([
                "luksFormat",
                "-q",
                "--pbkdf",
                "pbkdf2",
                "--pbkdf-force-iterations",
                "1000",
                "v",
                "k",
            ])
            .current_dir(&folder)
            .status()
            .unwrap_or_else(|error| panic!("{CRYPTSETUP} cannot be run (package cryptsetup-bin?): {error}"));
        assert!(status.success());
        // Ours under cryptsetup's name, so that both are called alike.
        std::os::unix::fs::symlink(OURS, folder.path().join("cryptsetup")).expect("a link");
        Self { folder }
    }

    fn ours(&self) -> PathBuf {
        self.folder.path().join("cryptsetup")
    }
}

/// Types each answer when its prompt has come; at a prompt for a passphrase, nothing is echoed.
fn talk(volume: &Volume, program: &Path, words: &[&str], turns: &[(&str, &str)]) -> (String, Option<i32>) {
    let mut conversation = Conversation::start(volume.folder.path(), program, words);
    for (question, answer) in turns {
        conversation.expect(question, question.contains("Are you sure?"));
        conversation.type_in(answer);
    }
    let (heard, status, echoes) = conversation.end();
    assert!(echoes, "the terminal was left without echo after {heard:?}");
    (heard, status.code())
}

/// The same conversation with both; returns it and the exit code.
fn both(volume: &Volume, words: &[&str], turns: &[(&str, &str)]) -> (String, Option<i32>) {
    let theirs = talk(volume, Path::new(CRYPTSETUP), words, turns);
    let ours = talk(volume, &volume.ours(), words, turns);
    assert_eq!(ours, theirs, "{words:?}");
    ours
}

const ENTER: &str = "Enter passphrase for v: ";
const VERIFY: &str = "Verify passphrase: ";
const TEST: &[&str] = &["open", "--test-passphrase", "v"];

fn test_with<'a>(options: &[&'a str]) -> Vec<&'a str> {
    TEST.iter().chain(options).copied().collect()
}

#[test]
fn the_right_passphrase_opens() {
    let volume = Volume::with_passphrase("abc");
    assert_eq!(
        both(&volume, TEST, &[(ENTER, "abc\n")]),
        (format!("{ENTER}\n"), Some(0))
    );
}

#[test]
fn a_wrong_passphrase_may_be_followed_by_the_right_one() {
    let volume = Volume::with_passphrase("abc");
    let (heard, code) = both(&volume, TEST, &[(ENTER, "abd\n"), (ENTER, "abc\n")]);
    assert_eq!(code, Some(0));
    assert!(heard.contains("No key available with this passphrase.\n"));
}

#[test]
fn three_wrong_ones_are_the_end_and_one_with_a_single_try() {
    let volume = Volume::with_passphrase("abc");
    let wrong = (ENTER, "abd\n");
    assert_eq!(both(&volume, TEST, &[wrong, wrong, wrong]).1, Some(2));
    assert_eq!(both(&volume, &test_with(&["-T1"]), &[wrong]).1, Some(2));
    assert_eq!(both(&volume, &test_with(&["-T", "2"]), &[wrong, wrong]).1, Some(2));
}

#[test]
fn an_empty_passphrase_is_one() {
    let volume = Volume::with_passphrase("");
    assert_eq!(both(&volume, TEST, &[(ENTER, "\n")]).1, Some(0));
    let volume = Volume::with_passphrase("abc");
    assert_eq!(both(&volume, &test_with(&["-T1"]), &[(ENTER, "\n")]).1, Some(2));
}

#[test]
fn asked_twice_both_must_match() {
    let volume = Volume::with_passphrase("abc");
    assert_eq!(
        both(&volume, &test_with(&["-y"]), &[(ENTER, "abc\n"), (VERIFY, "abc\n")]).1,
        Some(0)
    );
    let (heard, code) = both(&volume, &test_with(&["-y"]), &[(ENTER, "abc\n"), (VERIFY, "abd\n")]);
    assert_eq!(code, Some(2));
    assert!(heard.ends_with("Passphrases do not match.\n"));
}

#[test]
fn of_a_long_line_the_start_counts() {
    let volume = Volume::with_passphrase(&"a".repeat(512));
    assert_eq!(
        both(&volume, TEST, &[(ENTER, &format!("{}\n", "a".repeat(600)))]).1,
        Some(0)
    );
    assert_eq!(
        both(
            &volume,
            &test_with(&["-T1"]),
            &[(ENTER, &format!("{}\n", "a".repeat(511)))]
        )
        .1,
        Some(2)
    );
}

#[test]
fn a_line_can_be_corrected_and_ended_by_hand() {
    let volume = Volume::with_passphrase("abc");
    assert_eq!(both(&volume, TEST, &[(ENTER, "abx\x7fc\n")]).1, Some(0));
    assert_eq!(both(&volume, TEST, &[(ENTER, "nothing\x15abc\n")]).1, Some(0));
    assert_eq!(both(&volume, TEST, &[(ENTER, &format!("ab{CTRL_D}c\n"))]).1, Some(0));
}

/// Conversations that end without an answer: alike except for the new line that we put after the prompt.
#[test]
fn interrupts_the_end_of_input_and_timeouts_leave_the_terminal_as_it_was() {
    let volume = Volume::with_passphrase("abc");
    for (words, typed) in [
        (TEST.to_vec(), CTRL_C),
        (TEST.to_vec(), "ab\x03"),
        (TEST.to_vec(), CTRL_D),
        (test_with(&["-t", "1"]), ""),
        (test_with(&["-t1"]), "ab"),
    ] {
        for program in [Path::new(CRYPTSETUP), &volume.ours()] {
            let (heard, code) = talk(&volume, program, &words, &[(ENTER, typed)]);
            let expected = "Error reading passphrase from terminal.\n";
            assert_eq!(
                heard.replace('\n', ""),
                format!("{ENTER}{expected}").replace('\n', ""),
                "{words:?} {typed:?}"
            );
            assert_eq!(code, Some(1), "{words:?} {typed:?}");
        }
    }
}

#[test]
fn signals_find_the_terminal_put_right() {
    let volume = Volume::with_passphrase("abc");
    for (signal, ends_with) in [
        (Signal::SIGTERM, Some(1)),
        (Signal::SIGHUP, None),
        (Signal::SIGQUIT, None),
        (Signal::SIGALRM, None),
        (Signal::SIGUSR1, None),
        (Signal::SIGUSR2, None),
        (Signal::SIGABRT, None),
        (Signal::SIGXCPU, None),
        (Signal::SIGVTALRM, None),
        (Signal::SIGPWR, None),
    ] {
        let mut conversation = Conversation::start(volume.folder.path(), &volume.ours(), TEST);
        conversation.expect(ENTER, false);
        kill(conversation.pid(), signal).expect("it runs");
        let (heard, status, echoes) = conversation.end();
        assert!(echoes, "{signal}");
        match ends_with {
            Some(code) => assert_eq!(status.code(), Some(code), "{signal} {heard:?}"),
            // setsid passes on that the program died of the signal, as itself or as a shell would.
            None => assert!(
                status.signal() == Some(signal as i32)
                    || status.code() == Some(128 + signal as i32)
                    || status.code() == Some(signal as i32),
                "{signal} {status:?}"
            ),
        }
    }
}

/// Text typed before the prompt was meant for something else, and text after the passphrase is not kept either; the answer to
/// a question that is not for a passphrase may be typed ahead.
#[test]
fn what_is_typed_ahead_is_no_passphrase() {
    let volume = Volume::with_passphrase("abc");
    let talk_ahead = |program: &Path, words: &str, ahead: &str, turns: &[(&str, &str)]| {
        let script = format!("read start; \"$0\" {words}; code=$?; read -t 0.3 rest; echo \"code $code, rest $rest\"");
        let words = ["-c", &script, program.to_str().expect("UTF-8")];
        let mut conversation = Conversation::start(volume.folder.path(), Path::new("bash"), &words);
        conversation.type_in(&format!("start\n{ahead}"));
        for (question, answer) in turns {
            conversation.expect(question, false);
            conversation.type_in(answer);
        }
        // The shell reads none of the rest.
        let (heard, _, echoes) = conversation.end();
        assert!(echoes, "{heard:?}");
        heard
    };
    let format = "luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 v";
    for (words, ahead, turns, end) in [
        (
            "open --test-passphrase -T1 v",
            "abd\n",
            vec![(ENTER, "abc\nmore\n")],
            "code 0, rest \n",
        ),
        (
            format,
            "YES\n",
            vec![(ENTER, "abc\n"), (VERIFY, "abc\n")],
            "code 0, rest \n",
        ),
    ] {
        let theirs = talk_ahead(Path::new(CRYPTSETUP), words, ahead, &turns);
        let ours = talk_ahead(&volume.ours(), words, ahead, &turns);
        assert!(ours.ends_with(end), "{ours:?}");
        assert_eq!(ours, theirs);
    }
}

#[test]
fn a_terminal_gets_nothing_that_it_cannot_show() {
    let volume = Volume::with_passphrase("abc");
    let program = volume.ours();
    let derives = |term: &str| {
        let program = program.to_str().expect("UTF-8");
        let words = [&["LC_ALL=C", term, program], TEST].concat();
        let mut conversation = Conversation::start(volume.folder.path(), Path::new("env"), &words);
        conversation.expect(ENTER, false);
        conversation.type_in("abc\n");
        conversation.end().0
    };
    assert_eq!(derives("TERM=dumb"), format!("{ENTER}\nDeriving the key...\n"));
    assert_eq!(derives("TERM="), format!("{ENTER}\nDeriving the key...\n"));
    // It is wiped, which the conversation leaves out.
    assert_eq!(derives("TERM=vt100"), format!("{ENTER}\n"));
}

#[test]
fn an_ignored_signal_does_nothing() {
    let volume = Volume::with_passphrase("abc");
    let program = volume.ours();
    let mut words = vec!["--ignore-signal=HUP", program.to_str().expect("UTF-8")];
    words.extend_from_slice(TEST);
    let mut conversation = Conversation::start(volume.folder.path(), Path::new("env"), &words);
    conversation.expect(ENTER, false);
    kill(conversation.pid(), Signal::SIGHUP).expect("it runs");
    conversation.hear(300);
    conversation.type_in("abc\n");
    let (heard, status, echoes) = conversation.end();
    assert!(status.success() && echoes, "{status} {heard:?}");
}

#[test]
fn stopped_and_continued_it_asks_again() {
    let volume = Volume::with_passphrase("abc");
    let script = "./cryptsetup open --test-passphrase v; echo stopped $?; fg >/dev/null; echo ended $?";
    let mut conversation = Conversation::start(volume.folder.path(), Path::new("bash"), &["-mc", script]);
    conversation.expect(ENTER, false);
    conversation.type_in(CTRL_Z);
    conversation.expect(ENTER, false);
    assert!(conversation.heard.contains("stopped 148\n"), "{:?}", conversation.heard);
    conversation.type_in("abc\n");
    let (heard, _, echoes) = conversation.end();
    assert!(heard.ends_with("ended 0\n") && echoes, "{heard:?}");
}

#[test]
fn what_is_piped_is_not_asked_for() {
    let volume = Volume::with_passphrase("abc");
    let script =
        |input: &str, options: &str| format!("printf '{input}' | \"$0\" open --test-passphrase v {options}; echo $?");
    for (input, options, code) in [
        ("abc", "", 0),
        ("abc\\n", "", 0),
        ("abc\\nabd\\n", "", 0),
        ("abd\\nabc\\n", "", 2),
        ("abc\\n", "-y", 0),
        ("", "", 1),
        ("\\n", "", 2),
        ("abc", "-d -", 0),
        ("abc\\n", "-d -", 2),
        ("", "-d -", 1),
        ("xxabcdef", "-d - --keyfile-offset 2 --keyfile-size 3", 0),
        ("xxabcdef", "--keyfile-offset 2 --keyfile-size 3", 0),
        ("ab", "-d - --keyfile-size 3", 1),
        ("ab\\n", "--keyfile-size 3", 1),
        ("a", "--keyfile-offset 3", 1),
    ] {
        let script = script(input, options);
        let talk = |program: &Path| {
            let words = ["-c", &script, program.to_str().expect("UTF-8")];
            talk(&volume, Path::new("bash"), &words, &[])
        };
        let (theirs, mut ours) = (talk(Path::new(CRYPTSETUP)), talk(&volume.ours()));
        // Our additional message: why a key file that ends in a new line does not open.
        const DIAGNOSIS: &str = "The key file ends in a new line; without it, it would open key slot 0.\n";
        assert_eq!(
            ours.0.contains(DIAGNOSIS),
            (input, options) == ("abc\\n", "-d -"),
            "{script}"
        );
        ours.0 = ours.0.replace(DIAGNOSIS, "");
        assert_eq!(ours, theirs, "{script}");
        assert!(ours.0.ends_with(&format!("{code}\n")), "{script}: {ours:?}");
    }
}

#[test]
fn nothing_but_a_capital_yes_is_one() {
    let volume = Volume::with_passphrase("abc");
    let sure = "Are you sure? (Type 'yes' in capital letters): ";
    for answer in ["yes\n", "\n", "YESS\n", "no\n"] {
        assert_eq!(
            both(&volume, &["erase", "v"], &[(sure, answer)]).1,
            Some(2),
            "{answer:?}"
        );
        assert_eq!(
            both(&volume, &["luksFormat", "v"], &[(sure, answer)]).1,
            Some(1),
            "{answer:?}"
        );
        // cryptsetup names no file here.
        for program in [volume.ours(), CRYPTSETUP.into()] {
            let words = ["luksFormat", "v", "--header", "h"];
            let (text, code) = talk(&volume, &program, &words, &[(sure, answer)]);
            assert!(text.contains("does not exist, do you want to create it?"), "{text}");
            assert_eq!(code, Some(2), "{answer:?}");
        }
    }
    // Nothing was lost, and nothing was made.
    assert!(!volume.folder.path().join("h").exists());
    assert_eq!(both(&volume, TEST, &[(ENTER, "abc\n")]).1, Some(0));
}

/// A file name may hold terminal controls or a line of its own: the prompt is printed anyway, without them.
#[test]
fn no_name_acts_on_the_terminal_that_asks() {
    let volume = Volume::with_passphrase("abc");
    let name = "v\nforged\x1b[2J\x1b]0;title\x07\u{9b}31m\x08";
    std::fs::rename(volume.folder.path().join("v"), volume.folder.path().join(name)).expect("renamed");
    let conversations: [(&[&str], &str, &str, i32); 3] = [
        (&["open", "--test-passphrase", name], ": ", "abc\n", 0),
        (
            &["luksFormat", name],
            "Are you sure? (Type 'yes' in capital letters): ",
            "no\n",
            1,
        ),
        (
            &["erase", name],
            "Are you sure? (Type 'yes' in capital letters): ",
            "no\n",
            2,
        ),
    ];
    for (words, question, answer, code) in conversations {
        let (heard, ended) = talk(&volume, &volume.ours(), words, &[(question, answer)]);
        assert_eq!(ended, Some(code), "{heard:?}");
        assert!(
            heard.contains("forged") && !heard.contains(|c: char| c.is_control() && c != '\n'),
            "{heard:?}"
        );
        assert!(!heard.contains("\nforged"), "{heard:?}");
    }
}

/// Questions and warnings of the keyslot actions, in cryptsetup's words and order.
#[test]
fn keyslots_are_added_changed_and_removed_in_conversation() {
    let volume = Volume::with_passphrase("abc");
    let sure = "Are you sure? (Type 'yes' in capital letters): ";
    let any = "Enter any existing passphrase: ";
    let new = "Enter new passphrase for key slot: ";
    let with = |words: &[&'static str]| -> Vec<&str> { [words, CHEAP.as_slice()].concat() };
    // Both add one: keyslots 1 and 2 have the same passphrase.
    let add = with(&["luksAddKey", "v"]);
    assert_eq!(
        both(&volume, &add, &[(any, "abc\n"), (new, "xyz\n"), (VERIFY, "xyz\n")]).1,
        Some(0)
    );
    assert_eq!(
        both(&volume, &add, &[(any, "abc\n"), (new, "xyz\n"), (VERIFY, "xyy\n")]).1,
        Some(2)
    );
    let change = with(&["luksChangeKey", "v", "-S", "1"]);
    let to_change = "Enter passphrase to be changed: ";
    let changed = "Enter new passphrase: ";
    assert_eq!(
        both(
            &volume,
            &change,
            &[(to_change, "xyz\n"), (changed, "xyz\n"), (VERIFY, "xyz\n")]
        )
        .1,
        Some(0)
    );
    // Each removes one of the two.
    let remove = "Enter passphrase to be deleted: ";
    assert_eq!(both(&volume, &["luksRemoveKey", "v"], &[(remove, "xyz\n")]).1, Some(0));
    let remaining = "Enter any remaining passphrase: ";
    assert_eq!(
        both(&volume, &add, &[(any, "abc\n"), (new, "xyz\n"), (VERIFY, "xyz\n")]).1,
        Some(0)
    );
    assert_eq!(
        both(&volume, &["-q", "luksRemoveKey", "v"], &[(remove, "xyz\n")]).1,
        Some(0)
    );
    // The last one: both warn, and accept a refusal.
    assert_eq!(
        both(&volume, &["luksRemoveKey", "v"], &[(remove, "abc\n"), (sure, "no\n")]).1,
        Some(2)
    );
    let kill = ["luksKillSlot", "v", "0"];
    let bad = [(sure, "YES\n"), (remaining, "bad\n")];
    assert_eq!(both(&volume, &[&kill, ["-T1"].as_slice()].concat(), &bad).1, Some(2));
    assert_eq!(both(&volume, &kill, &[(sure, "no\n")]).1, Some(2));
    let uuid = ["luksUUID", "v", "--uuid", "11111111-2222-3333-4444-555555555555"];
    assert_eq!(both(&volume, &uuid, &[(sure, "no\n")]).1, Some(2));
    let dump = ["luksDump", "v", "--dump-volume-key"];
    assert_eq!(both(&volume, &dump, &[(sure, "no\n")]).1, Some(2));
    assert_eq!(both(&volume, &uuid, &[(sure, "YES\n")]).1, Some(0));
    assert_eq!(both(&volume, TEST, &[(ENTER, "abc\n")]).1, Some(0));
}

/// Changes of keyslots allow no three guesses, and LUKS1's repair asks before it reports that nothing is wrong.
#[test]
fn keyslots_are_changed_at_the_first_try_or_not_at_all() {
    let volume = Volume::with_passphrase("abc");
    let sure = "Are you sure? (Type 'yes' in capital letters): ";
    for (words, question) in [
        (["luksAddKey", "v"].as_slice(), "Enter any existing passphrase: "),
        (&["luksRemoveKey", "v"], "Enter passphrase to be deleted: "),
        (&["luksChangeKey", "v"], "Enter passphrase to be changed: "),
        (
            &["luksConvertKey", "v"],
            "Enter passphrase for keyslot to be converted: ",
        ),
    ] {
        assert_eq!(both(&volume, words, &[(question, "bad\n")]).1, Some(2), "{words:?}");
    }
    let kill = ["luksKillSlot", "v", "0"];
    let remaining = "Enter any remaining passphrase: ";
    assert_eq!(
        both(&volume, &kill, &[(sure, "YES\n"), (remaining, "bad\n")]).1,
        Some(2)
    );
    assert_eq!(both(&volume, &["repair", "v"], &[]).1, Some(0));
    let options = "luksFormat -q --type luks1 --pbkdf-force-iterations 1000 v k";
    let made = Command::new(CRYPTSETUP)
        .args(options.split(' '))
        .current_dir(&volume.folder)
        .status();
    assert!(made.is_ok_and(|status| status.success()));
    assert_eq!(both(&volume, &["repair", "v"], &[(sure, "YES\n")]).1, Some(0));
    assert_eq!(both(&volume, &["repair", "v"], &[(sure, "no\n")]).1, Some(1));
}

/// Only a mapping from the start of a device can overwrite its contents; Debian's `cryptdisks_start` cannot answer.
#[test]
fn plain_volumes_with_an_offset_are_not_asked_about_signatures() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = File::create(folder.path().join("d")).expect("a disk");
    disk.set_len(8 << 20).expect("its size");
    let made = Command::new("mkfs.ext4")
        .args(["-q", "d"])
        .current_dir(&folder)
        .status();
    assert!(made.expect("mkfs.ext4 of e2fsprogs").success());
    std::os::unix::fs::symlink(OURS, folder.path().join("cryptsetup")).expect("a link");
    let plain = "--type plain --cipher aes-xts-plain64 --key-size 256 --hash sha256";
    for (offset, asked) in [("", true), ("--offset 0", true), ("--offset 2048 --skip 256", false)] {
        for program in [Path::new(CRYPTSETUP), &folder.path().join("cryptsetup")] {
            // Ours needs no device-mapper so.
            let backend = if program == Path::new(CRYPTSETUP) {
                ""
            } else {
                "--backend userspace"
            };
            let line = format!("open {plain} {offset} {backend} d plain-{}", std::process::id());
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let mut person = Conversation::start(folder.path(), program, &words);
            let question = if asked {
                "in capital letters): "
            } else {
                "Enter passphrase for d: "
            };
            person.expect(question, asked);
            if program == Path::new(CRYPTSETUP) {
                // It misses a signal that comes after its question and before it reads.
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
            person.type_in(CTRL_C);
            let (heard, status, _) = person.end();
            assert!(!status.success(), "{offset}: {heard}");
            assert_eq!(heard.contains("already contains a 'ext4'"), asked, "{offset}: {heard}");
        }
    }
}

/// As a user, and a script that answers prompts, knows it: expect scripts wait for the file's name.
#[test]
fn a_loop_device_is_named_by_its_file() {
    let volume = Volume::with_passphrase("abc");
    let losetup = Command::new("losetup")
        .args(["-f", "--show", "v"])
        .current_dir(&volume.folder)
        .output()
        .expect("losetup starts");
    assert!(losetup.status.success(), "{losetup:?}");
    let device = String::from_utf8_lossy(&losetup.stdout).trim().to_owned();
    let file = volume.folder.path().canonicalize().expect("a folder").join("v");
    let enter = format!("Enter passphrase for {}: ", file.display());
    let asked = std::panic::catch_unwind(|| {
        let dump = ["luksDump", "-q", "--dump-volume-key", &device, "--volume-key-file"];
        let format = [["luksFormat", "-q", &device].as_slice(), &CHEAP].concat();
        both(&volume, &["open", "--test-passphrase", &device], &[(&enter, "abc\n")]);
        for (program, key) in [(Path::new(CRYPTSETUP), "mk1"), (volume.ours().as_path(), "mk2")] {
            let words = [dump.as_slice(), &[key]].concat();
            assert_eq!(
                talk(&volume, program, &words, &[(&enter, "abc\n")]).1,
                Some(0),
                "{program:?}"
            );
            assert_eq!(
                talk(&volume, program, &format, &[(&enter, "abc\n")]).1,
                Some(0),
                "{program:?}"
            );
        }
    });
    let detached = Command::new("losetup").args(["-d", &device]).status();
    assert!(detached.is_ok_and(|status| status.success()));
    asked.expect("all prompts");
}
