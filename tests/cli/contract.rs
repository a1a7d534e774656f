//! The known command lines of other programs that need no device: each is run by Debian's cryptsetup and by ours under its
//! name, on volumes that are identical to the byte. The exit code, standard output, the rest of standard input, and the
//! passphrases that open afterwards must be as in the table, and the same for both.
//!
//! Command lines that need device-mapper are in `tests/guest/contract.sh`, prompts are in `prompt.rs`.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::{CHEAP, CRYPTSETUP, OURS, words};

const UUID: &str = "11111111-2222-3333-4444-555555555555";
/// Keyslots 0 and 1 of `v1` and `v2`, and the new one of `n`.
const KEYS: [(&str, &str); 3] = [("k", "pw"), ("w", "other"), ("n", "new")];

/// One command line.
struct Line {
    /// The program that runs it.
    who: &'static str,
    /// Preparations, run by cryptsetup: lines of words.
    before: &'static str,
    words: &'static str,
    stdin: &'static str,
    code: i32,
    /// What the command leaves on standard input.
    left: &'static str,
    /// The passphrases that open the volume afterwards, of `pw`, `other` and `new`.
    opens: &'static str,
    /// A text in standard output or standard error.
    says: &'static str,
}

const fn line(who: &'static str, words: &'static str, stdin: &'static str, code: i32, left: &'static str) -> Line {
    Line {
        who,
        before: "",
        words,
        stdin,
        code,
        left,
        opens: "pw other",
        says: "",
    }
}

impl Line {
    const fn after(mut self, before: &'static str) -> Self {
        self.before = before;
        self
    }

    const fn opens(mut self, opens: &'static str) -> Self {
        self.opens = opens;
        self
    }

    const fn says(mut self, says: &'static str) -> Self {
        self.says = says;
        self
    }
}

/// `PBKDF` is replaced by cheap costs. In standard input and in its rest `\n` is a new line.
#[rustfmt::skip]
const LINES: &[Line] = &[
    // The forms of options.
    line("anybody", "open --test-passphrase v2", "pw\nrest", 0, "rest"),
    line("anybody", "--test-passphrase open v2", "pw\nrest", 0, "rest"),
    line("anybody", "open v2 --test-passphrase", "pw", 0, ""),
    line("anybody", "open --test-passphrase -- v2", "pw", 0, ""),
    line("anybody", "-T1 open --test-passphrase v2", "bad\npw\n", 2, "pw\n").says("No key available with this passphrase."),
    line("anybody", "-T 1 open --test-passphrase v2", "bad\npw\n", 2, "pw\n"),
    line("anybody", "--tries=3 open --test-passphrase v2", "bad\npw\n", 2, "pw\n"),
    line("anybody", "--tries 3 open --test-passphrase v2", "pw\npw\n", 0, "pw\n"),
    line("anybody", "open --test-passphrase --key-slot=1 v2", "other\n", 0, ""),
    line("anybody", "open --test-passphrase -S 1 v2", "pw\nrest", 2, "rest"),
    line("anybody", "open --test-passphrase -S1 v1", "other\nrest", 0, "rest"),
    line("anybody", "open --test-passphrase -S -1 v2", "other\nrest", 1, "other\nrest").says("Key slot is invalid."),
    line("anybody", "luksFormat -q --type= PBKDF v2 n", "", 0, "").opens("new"),
    line("anybody", "luksConvertKey -q v2 w PBKDF", "pw\nrest", 0, "rest"),
    line("anybody", "luksConvertKey -q v2 w PBKDF", "", 1, "").says("Nothing to read on input."),
    line("anybody", "open --test-passphrase v2 -d k -l 0", "", 0, ""),
    line("anybody", "open --test-passphrase v2 --cipher x --hash y --size 8 -d k", "", 0, ""),
    // How much of standard input is read.
    line("anybody", "open --test-passphrase v1", "pw\nrest", 0, "rest"),
    line("anybody", "open --test-passphrase v2 --key-file -", "pw", 0, ""),
    line("anybody", "open --test-passphrase v2 --key-file -", "pw\n", 2, ""),
    line("anybody", "open --test-passphrase v2 --key-file=- --keyfile-size 2", "pwrest", 0, "rest"),
    line("anybody", "open --test-passphrase v2 --key-file=- --keyfile-size=2 --keyfile-offset=3", "xyzpwrest", 0, "rest"),
    line("anybody", "open --test-passphrase v2 --key-file=- -l 9", "pw", 1, "").says("Cannot read requested amount of data."),
    line("anybody", "open --test-passphrase v2 -l 2", "pwmore\nrest", 0, "more\nrest"),
    line("anybody", "open --test-passphrase v2 --key-file k", "not read", 0, "not read"),
    line("anybody", "open --test-passphrase v2 --key-file nosuch", "not read", 1, "not read").says("Failed to open key file."),
    line("anybody", "open --test-passphrase empty", "\nrest", 0, "rest"),
    line("anybody", "open --test-passphrase empty --key-file=-", "", 1, "").says("Nothing to read on input."),
    line("anybody", "open --test-passphrase empty --key-file=nothing", "", 0, ""),
    line("anybody", "open --test-passphrase empty", "", 1, "").says("Nothing to read on input."),
    // The old names.
    line("anybody", "luksOpen --test-passphrase v2", "pw\nrest", 0, "rest"),
    // "Identical to luksKillSlot, but deprecated", said the old manual.
    line("anybody", "luksDelKey v2 1 -q", "", 0, "").opens("pw"),
    line("anybody", "luksErase -q v2", "", 0, "").opens(""),
    line("anybody", "luksErase -q v1", "", 0, "").opens(""),
    line("anybody", "luksDump -q --dump-master-key --key-file k v2", "", 0, "").says("MK dump"),
    line("anybody", "luksDump -q --dump-volume-key --master-key-file mk v1", "pw\nrest", 0, "rest").says("Key stored to file mk."),
    line("anybody", "luksAddKey -q --master-key-file mk v2 n PBKDF", "", 0, "")
        .after("luksDump -q --dump-volume-key --volume-key-file mk -d k v2").opens("pw other new"),
    // Debian's boot scripts.
    line("Debian", "isLuks -- v1", "", 0, ""),
    line("Debian", "isLuks -- v2", "", 0, ""),
    line("Debian", "isLuks -- k", "", 1, ""),
    line("Debian", "isLuks -- nosuch", "", 4, ""),
    line("Debian", "luksDump -- v1", "", 0, "").says("Hash spec:     \tsha256"),
    line("Debian", "luksDump -- v2", "", 0, "").says("AF hash:    sha256"),
    line("Debian", "-T1 --type=luks --key-file=- --test-passphrase open -- v2", "pw", 0, ""),
    line("Debian", "-T1 --type=luks2 --key-file=k --key-slot=0 --test-passphrase open -- v2", "x", 0, "x"),
    line("Debian", "-T1 --header=h --type=luks --key-file=- --test-passphrase open -- d", "pw", 0, ""),
    // dracut.
    line("dracut", "-d - --header=h luksOpen --test-passphrase d", "pw", 0, ""),
    line("dracut", "luksOpen -T5 -t 9 --test-passphrase v2", "pw\nrest", 0, "rest"),
    line("dracut", "luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 -q v2 --key-file -", "new", 0, "").opens("new"),
    // mkinitcpio.
    line("mkinitcpio", "isLuks v2", "", 0, ""),
    line("mkinitcpio", "--key-file k open --type luks v2 --test-passphrase", "", 0, ""),
    line("mkinitcpio", "--key-file k open --type luks v2 name --sector-size 512", "", 1, ""),
    line("mkinitcpio", "open --type luks --key-file=- v1 --test-passphrase", "pw", 0, ""),
    // NixOS.
    line("NixOS", "luksOpen v2 --test-passphrase --key-file=k --keyfile-size=2 --keyfile-offset=0", "", 0, ""),
    line("NixOS", "luksOpen v2 --test-passphrase --key-file=k --keyfile-size=1 --keyfile-offset=0", "", 2, ""),
    line("NixOS", "luksChangeKey v2 --key-file=- n PBKDF", "pw", 0, "").opens("other new"),
    line("NixOS", "luksChangeKey v1 --key-file=- n --pbkdf-force-iterations 1000", "pw", 0, "").opens("other new"),
    // clevis.
    line("clevis", "isLuks --type luks1 v1", "", 0, ""),
    line("clevis", "isLuks --type luks2 v1", "", 1, ""),
    line("clevis", "isLuks --type luks1 v2", "", 1, ""),
    line("clevis", "isLuks --type luks2 v2", "", 0, ""),
    line("clevis", "luksUUID v1", "", 0, "").says(UUID),
    line("clevis", "luksUUID v2", "", 0, "").says(UUID),
    line("clevis", "luksUUID k", "", 1, ""),
    line("clevis", "open --test-passphrase v2 --key-file w --key-slot 1", "", 0, ""),
    line("clevis", "open --test-passphrase v2 --key-file w --key-slot 0", "", 2, ""),
    line("clevis", "open --test-passphrase v2 --token-id 3", "pw\nrest", 0, "rest"),
    line("clevis", "luksAddKey --force-password --batch-mode --key-slot 5 v2 PBKDF", "pw\nnew", 0, "").opens("pw other new"),
    line("clevis", "luksAddKey --force-password --batch-mode --key-slot 5 v2 PBKDF --hash sha256", "pw\nnew\nrest", 0, "rest")
        .opens("pw other new"),
    line("clevis", "luksAddKey --force-password --batch-mode --key-slot 5 v1 PBKDF", "pw\nnew\nrest", 0, "rest")
        .opens("pw other new"),
    line("clevis", "luksAddKey --force-password --batch-mode --key-slot 0 v2 PBKDF", "pw\nnew\nrest", 1, "rest")
        .says("Key slot 0 is full, please select another one."),
    line("clevis", "luksChangeKey --batch-mode v2 PBKDF", "pw\nnew\nrest", 0, "rest").opens("other new"),
    line("clevis", "luksChangeKey --batch-mode v1 PBKDF", "pw\nnew\nrest", 0, "rest").opens("other new"),
    line("clevis", "luksKillSlot --batch-mode v2 1", "", 0, "").opens("pw"),
    line("clevis", "luksKillSlot v1 1 --key-file k", "", 0, "").opens("pw"),
    // Old Ansible: a keyslot is wiped if there is nothing to read, and only then.
    line("Ansible", "luksKillSlot v2 1", "", 0, "").opens("pw").says("Nothing to read on input."),
    line("Ansible", "luksKillSlot v1 1", "", 0, "").opens("pw").says("Nothing to read on input."),
    line("Ansible", "luksKillSlot v2 1 -q", "", 0, "").opens("pw").says("Nothing to read on input."),
    line("Ansible", "luksKillSlot v2 1 -q --key-file -", "", 0, "").opens("pw").says("Nothing to read on input."),
    line("Ansible", "luksKillSlot v1 1 --key-file -", "", 0, "").opens("pw"),
    line("Ansible", "luksKillSlot v2 1 --key-file nothing", "", 2, ""),
    line("Ansible", "luksKillSlot v2 1 -q --key-file nothing", "", 2, ""),
    line("Ansible", "luksKillSlot v2 1 -q --key-file nosuch", "", 1, ""),
    line("Ansible", "luksKillSlot v2 1", "\nrest", 2, "rest"),
    line("Ansible", "luksKillSlot v2 1 -q", "bad\nrest", 2, "rest"),
    line("Ansible", "luksKillSlot v2 1 -q --key-file -", "other", 2, ""),
    line("Ansible", "luksKillSlot v2 0", "", 0, "").opens("").after("luksKillSlot v2 1 -d k"),
    // Tomb: LUKS1, the key in a pipe.
    line("Tomb", "-q --cipher aes-xts-plain64 --key-size 512 --key-slot 0 --batch-mode --key-file - --type luks1 \
        --pbkdf-force-iterations 1000 luksFormat v1", "new\n", 0, "").opens(""),
    line("Tomb", "-q --key-file - --type luks1 --cipher aes-xts-plain64 -s 512 --pbkdf-force-iterations 1000 luksFormat v1 -", "new", 0, "")
        .opens("new"),
    line("Tomb", "--key-file - luksOpen v1 --test-passphrase", "pw", 0, ""),
    line("Tomb", "--key-file - --key-slot 0 luksOpen --test-passphrase v1", "pw", 0, ""),
    line("Tomb", "--key-file - --key-slot 1 luksOpen --test-passphrase v1", "pw", 2, ""),
    line("Tomb", "luksDump v1", "", 0, "").says("Cipher mode:   \txts-plain64"),
    line("Tomb", "luksAddKey --key-file k v1 n PBKDF", "", 0, "").opens("pw other new"),
    line("Tomb", "luksAddKey -d - v1 n PBKDF", "pw", 0, "").opens("pw other new"),
    line("Tomb", "luksUUID v1", "", 0, "").says(UUID),
    line("clevis", "luksHeaderBackup v2 --batch-mode --header-backup-file b", "", 0, ""),
    line("clevis", "luksHeaderBackup v1 --batch-mode --header-backup-file b", "", 0, ""),
    line("clevis", "luksHeaderRestore v2 --batch-mode --header-backup-file b", "", 0, "")
        .after("luksHeaderBackup v2 --header-backup-file b\nluksKillSlot -q v2 1"),
    line("clevis", "luksHeaderRestore v1 --batch-mode --header-backup-file b", "", 0, "")
        .after("luksHeaderBackup v1 --header-backup-file b\nluksKillSlot -q v1 1"),
    line("clevis", "token import v2 --token-id 4", "{\"type\":\"clevis\",\"keyslots\":[\"0\"],\"jwe\":{}}", 0, ""),
    // The newest cryptsetup ends the line, Debian's does not yet.
    line("clevis", "token export v2 --token-id 3", "", 0, "").says("\"type\":\"clevis\"")
        .after("token import v2 --token-id 3 --json-file t"),
    line("clevis", "token remove v2 --token-id 3", "", 0, "").after("token import v2 --token-id 3 --json-file t"),
    line("clevis", "token remove v2 --token-id 7", "", 1, "").says("Token 7 is not in use."),
    line("clevis", "luksDump v2", "", 0, "").says("  3: clevis\n\tKeyslot:    1\n")
        .after("token import v2 --token-id 3 --json-file t"),
    // Ansible.
    line("Ansible", "luksFormat -q --type luks2 --cipher aes-xts-plain64 --hash sha512 --key-size=256 --sector-size=512 --label x \
        --key-slot=3 PBKDF v2 -", "new", 0, "").opens("new"),
    line("Ansible", "luksFormat -q --type luks1 --pbkdf-force-iterations 1000 v1 -", "new", 0, "").opens("new"),
    line("Ansible", "luksAddKey v2 --key-file - --keyfile-size 2 --new-keyfile-size 3 - PBKDF -q", "pwnewrest", 0, "rest")
        .opens("pw other new"),
    line("Ansible", "luksAddKey v2 --key-file - --keyfile-size 2 - PBKDF", "pwnew", 0, "").opens("pw other new"),
    line("Ansible", "luksAddKey v1 --key-file - --keyfile-size 2 - PBKDF", "pwnew", 0, "").opens("pw other new"),
    line("Ansible", "luksRemoveKey v2 -q --key-file -", "other", 0, "").opens("pw"),
    line("Ansible", "luksRemoveKey v2 -q", "other\nrest", 0, "rest").opens("pw"),
    line("Ansible", "luksRemoveKey v2 -q", "bad\nrest", 2, "rest").says("No key available with this passphrase."),
    line("Ansible", "luksKillSlot v2 -q 1", "", 0, "").opens("pw"),
    line("Ansible", "luksKillSlot v2 -q 1 --key-file -", "pw", 0, "").opens("pw"),
    line("Ansible", "luksKillSlot v2 -q 9", "", 1, "").says("Keyslot 9 is not active."),
    line("Ansible", "config --key-slot=1 --priority=prefer v2", "", 0, ""),
    line("Ansible", "config --key-slot=1 --priority=ignore v2", "", 0, "").opens("pw"),
    line("Ansible", "luksDump --dump-json-metadata v2", "", 0, "").says("\"keyslots\""),
    line("Ansible", "luksOpen --test-passphrase v2 --key-file -", "other", 0, ""),
    line("Ansible", "luksOpen --test-passphrase v2", "pw\nrest", 1, "rest").says("No usable keyslot is available.").opens("")
        .after("erase -q v2"),
    // ceph, Kubernetes, Talos, snapd.
    line("ceph", "luksFormat -q --luks2-metadata-size 64k --luks2-keyslots-size 512k PBKDF v2 n", "", 0, "").opens("new"),
    line("ceph", "--test-args open --type luks v2 name --allow-discards", "", 0, ""),
    line("ceph", "--test-args luksFormat v2 --nosuch", "", 1, ""),
    line("snapd", "token import -q --json-file=- --token-replace --token-id 3 v2",
        "{\"type\":\"ubuntu-fde\",\"keyslots\":[\"1\"],\"x\":1}", 0, "").after("token import v2 --token-id 3 --json-file t"),
    line("snapd", "luksAddKey -q --key-file - --keyfile-size 2 --new-key-slot 7 v2 n PBKDF", "pw", 0, "").opens("pw other new"),
    line("snapd", "luksKillSlot -q --key-file - v2 0", "pw", 2, "").opens("pw other"),
    line("Talos", "open --test-passphrase --key-file=- k", "pw", 1, "pw").opens("pw other"),
];

/// A folder with volumes that are the same in each of its copies.
struct Base(TempDir);

impl Base {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path();
        for (file, passphrase) in KEYS {
            fs::write(path.join(file), passphrase).expect("a key file");
        }
        fs::write(path.join("nothing"), "").expect("a key file");
        fs::write(path.join("t"), r#"{"type":"clevis","keyslots":["1"],"jwe":{"x":"y"}}"#).expect("a token");
        for (volume, mib) in [("v1", 4), ("v2", 18), ("d", 1), ("empty", 18)] {
            let file = File::create(path.join(volume)).expect("a file");
            file.set_len(mib << 20).expect("room");
        }
        let format = ["luksFormat", "-q", "--uuid", UUID];
        for words in [
            ["--type", "luks1", "v1", "k"].as_slice(),
            &["--type", "luks2", "v2", "k"],
            &["--type", "luks2", "--header", "h", "d", "k"],
            &["--type", "luks2", "empty", "nothing"],
        ] {
            run(path, Path::new(CRYPTSETUP), &[&format, words, &CHEAP].concat(), "");
        }
        for volume in ["v1", "v2"] {
            let add = ["luksAddKey", "-q", volume, "w", "-d", "k"];
            run(path, Path::new(CRYPTSETUP), &[add.as_slice(), &CHEAP].concat(), "");
        }
        Self(folder)
    }

    fn lay_out(&self) -> TempDir {
        let folder = TempDir::new().expect("a temporary folder");
        let copied = Command::new("cp")
            .args(["-r", "--sparse=always", "."])
            .arg(folder.path())
            .current_dir(&self.0)
            .status();
        assert!(copied.expect("cp").success());
        folder
    }
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    code: Option<i32>,
    out: String,
    left: String,
    opens: String,
}

/// Runs a command with `stdin` in a pipe: its code, its two outputs, and the rest of the pipe.
fn run(folder: &Path, program: &Path, words: &[&str], stdin: &str) -> (Option<i32>, String, String, String) {
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(stdin.as_bytes()).expect("room in the pipe");
    drop(writer);
    let output = Command::new(program)
        .args(words)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .stdin(Stdio::from(reader.try_clone().expect("a descriptor")))
        .output()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
    let mut left = String::new();
    reader.read_to_string(&mut left).expect("what was left");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr), left)
}

impl Line {
    /// The volume that is checked afterwards for the passphrases that open it.
    fn volume(&self) -> &'static str {
        let named = words(self.words);
        ["v1", "empty", "d"]
            .into_iter()
            .find(|volume| named.contains(volume))
            .unwrap_or("v2")
    }

    fn seen(&self, base: &Base, program: &Path) -> (Seen, String) {
        let folder = base.lay_out();
        let path = folder.path();
        for before in self.before.lines() {
            let (code, _, errors, _) = run(path, Path::new(CRYPTSETUP), &words(before), "");
            assert_eq!(code, Some(0), "{before}: {errors}");
        }
        let (code, out, errors, left) = run(path, program, &words(self.words), self.stdin);
        let opens = |key: &str| {
            let test = ["open", "--test-passphrase", self.volume(), "-d", key];
            run(path, Path::new(CRYPTSETUP), &test, "").0 == Some(0)
        };
        let opens: Vec<&str> = match self.volume() {
            "v1" | "v2" => KEYS
                .iter()
                .filter(|(file, _)| opens(file))
                .map(|(_, key)| *key)
                .collect(),
            // Nothing changes these.
            _ => vec![self.opens],
        };
        let said = format!("{out}{errors}");
        let opens = opens.join(" ");
        (Seen { code, out, left, opens }, said)
    }
}

#[test]
fn every_command_line_is_served_as_by_cryptsetup() {
    let base = Base::new();
    let links = TempDir::new().expect("a temporary folder");
    let ours = links.path().join("cryptsetup");
    symlink(OURS, &ours).expect("a link");
    let mut differences = Vec::new();
    for line in LINES {
        let (theirs, their_words) = line.seen(&base, Path::new(CRYPTSETUP));
        let (found, our_words) = line.seen(&base, &ours);
        let name = format!("{}: {} < {:?}", line.who, line.words, line.stdin);
        let alike = Seen {
            out: found.out.trim_end().to_owned(),
            ..found.clone()
        };
        let theirs = Seen {
            out: theirs.out.trim_end().to_owned(),
            ..theirs
        };
        // A name that Debian's cryptsetup no longer has.
        if alike != theirs && !their_words.ends_with("Unknown action.\n") {
            differences.push(format!(
                "{name}\n  ours   {found:?} {our_words:?}\n  theirs {theirs:?} {their_words:?}"
            ));
        }
        let (code, left, opens) = (found.code, found.left.as_str(), found.opens.as_str());
        if (code, left, opens) != (Some(line.code), line.left, line.opens) || !our_words.contains(line.says) {
            differences.push(format!("{name}\n  not as the table says: {found:?} {our_words:?}"));
        }
    }
    println!(
        "{} command lines × 2 tools, {} differences",
        LINES.len(),
        differences.len()
    );
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Debian's scripts find the process that waits for a passphrase by its environment: the one that was started, still
/// waiting, with the variable in it.
#[test]
fn a_waiting_process_is_found_by_its_environment() {
    let base = Base::new();
    let mut child = Command::new(OURS)
        .args([
            "-T1",
            "--type=luks",
            "--key-file=-",
            "--test-passphrase",
            "open",
            "--",
            "v2",
        ])
        .current_dir(&base.0)
        .env("CRYPTTAB_NAME", "the-disk")
        .stdin(Stdio::piped())
        .spawn()
        .expect("luksmith starts");
    let process = format!("/proc/{}", child.id());
    let mut stdin = child.stdin.take().expect("a pipe");
    // Asleep: it waits for the rest.
    stdin.write_all(b"p").expect("it reads");
    let start = Instant::now();
    while !fs::read_to_string(format!("{process}/stat")).is_ok_and(|stat| stat.contains(") S ")) {
        assert!(start.elapsed() < Duration::from_secs(60), "it never waited");
        std::thread::sleep(Duration::from_millis(10));
    }
    let environment = fs::read(format!("{process}/environ")).expect("its environment");
    assert!(
        environment
            .split(|&byte| byte == 0)
            .any(|entry| entry == b"CRYPTTAB_NAME=the-disk")
    );
    stdin.write_all(b"w").expect("it reads");
    drop(stdin);
    assert!(child.wait().expect("its own end").success());
}

/// If a detached header were taken for a volume, its data would overwrite the keyslots.
#[test]
fn a_header_that_is_kept_apart_is_no_volume() {
    let base = Base::new();
    let path = base.0.path();
    let before = fs::read(path.join("h")).expect("a header");
    for verb in ["cat", "write"] {
        let ours = Path::new(OURS);
        let (code, out, errors, _) = run(path, ours, &[verb, "h", "-d", "k"], "x");
        assert_eq!((code, out.as_str()), (Some(1), ""), "{verb}");
        assert!(errors.contains("detached LUKS header"), "{verb}: {errors}");
    }
    assert!(before == fs::read(path.join("h")).expect("a header"));
}
