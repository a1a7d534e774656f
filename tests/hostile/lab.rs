//! A folder with a volume and key files, and both programs to try on it.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use keyslots::luks2::copies::{self, Copy};
use keyslots::luks2::metadata::Metadata;
use tempfile::TempDir;

pub(crate) use crate::common::pty::PATIENCE;
pub(crate) use crate::common::{CHEAP, OURS};

/// A folder with a volume `v` that the key file `a` opens, and more key files.
pub(crate) struct Lab(pub(crate) TempDir);

impl Lab {
    pub(crate) fn new(kind: &str) -> Self {
        Self::with_keys(kind, "passphrase")
    }

    /// With key files that hold this text, a space and their name.
    pub(crate) fn with_keys(kind: &str, text: &str) -> Self {
        let lab = Self(TempDir::new().expect("a temporary folder"));
        for key in ["a", "b", "c", "d"] {
            fs::write(lab.path(key), format!("{text} {key}")).expect("a key file");
        }
        let volume = fs::File::create(lab.path("v")).expect("a file");
        volume.set_len(20 << 20).expect("room");
        lab.must(&[&["luksFormat", "-q", "--type", kind, "v", "a"], CHEAP.as_slice()].concat());
        lab
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub(crate) fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .env("LC_ALL", "C");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(OURS, words).output().expect("the program starts")
    }

    pub(crate) fn must(&self, words: &[&str]) -> Output {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        output
    }

    pub(crate) fn debians(&self, words: &[&str]) -> Output {
        let output = self.command("cryptsetup", words).output();
        output.expect("cryptsetup, which this test compares with, is not installed")
    }

    pub(crate) fn opens(&self, key: &str) -> bool {
        self.run(&["open", "--test-passphrase", "v", "-d", key])
            .status
            .success()
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        fs::read(self.path("v")).expect("a file")
    }

    /// Writes the metadata as changed by `edit` into both copies.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Metadata)) {
        let mut file = fs::File::options()
            .read(true)
            .write(true)
            .open(self.path("v"))
            .expect("a file");
        let mut copy: Copy = copies::read(&mut file).expect("a header").winner;
        edit(&mut copy.metadata);
        copy.binary.seqid += 1;
        copies::write(&mut file, &copy).expect("valid metadata");
    }

    /// Overwrites bytes of the volume.
    pub(crate) fn poke(&self, at: usize, bytes: &[u8]) {
        let mut image = self.image();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(self.path("v"), image).expect("a file");
    }

    /// Starts a command that will wait for its standard input, and returns once it has read enough of the volume to be
    /// waiting.
    pub(crate) fn waiting(&self, words: &[&str]) -> Child {
        let mut child = self
            .command(OURS, words)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let start = Instant::now();
        loop {
            // `0 <fd> …`: a read of standard input.
            let call = fs::read_to_string(format!("/proc/{}/syscall", child.id())).unwrap_or_default();
            if call.starts_with("0 0x0 ") {
                return child;
            }
            assert!(child.try_wait().expect("a child").is_none(), "{words:?} does not wait");
            assert!(start.elapsed() < PATIENCE, "{words:?} never reads its standard input");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub(crate) fn answer(mut child: Child, text: &str) -> Output {
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("a reader");
    drop(input);
    child.wait_with_output().expect("an end")
}

pub(crate) fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Characters that a terminal acts on, in one and in two bytes, and one that would begin a new line.
pub(crate) const HARM: &str = "\u{1b}[2J\u{9b}31m\r\n  7: luks2\n\u{8}\u{7f}";

pub(crate) fn assert_harmless(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let bad = text.chars().find(|c| c.is_control() && !"\n\t".contains(*c));
    assert_eq!(bad, None, "{what}: {text:?}");
    assert!(
        !text.lines().any(|line| line.starts_with("  7: luks2")),
        "{what}: {text:?}"
    );
}
