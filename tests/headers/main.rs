//! Every header action against Debian's cryptsetup, on plain files: the other program opens the result of either, and
//! both show the same text. And both at once: many processes that add and remove keys of one header.
//!
//! No device is needed, and nothing is skipped: without cryptsetup the tests fail.

mod actions;
mod at_once;
mod beside;
#[path = "../common/mod.rs"]
mod common;
mod defects;
mod vectors;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use common::{CHEAP, OURS};

const UUID: &str = "11111111-2222-3333-4444-555555555555";

/// A folder with volumes, key files, and our program under the name `cryptsetup`.
struct Lab {
    folder: TempDir,
    ours: PathBuf,
}

/// The program of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Ours,
    Debians,
}

const TOOLS: [Tool; 2] = [Tool::Ours, Tool::Debians];

impl Lab {
    fn new() -> Self {
        let version = Command::new("cryptsetup").arg("--version").output();
        let version = version.expect("cryptsetup, which this test compares with, is not installed");
        assert!(String::from_utf8_lossy(&version.stdout).starts_with("cryptsetup "));
        let folder = TempDir::new().expect("a temporary folder");
        let ours = folder.path().join("cryptsetup");
        symlink(OURS, &ours).expect("a link");
        for key in ["a", "b", "c", "d"] {
            fs::write(folder.path().join(key), format!("passphrase {key}")).expect("a key file");
        }
        fs::write(
            folder.path().join("token.json"),
            r#"{"type":"clevis","keyslots":["0"],"jwe":{"x":[1,2]}}"#,
        )
        .expect("a token");
        Self { folder, ours }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn command(&self, tool: Tool, arguments: &[&str]) -> Command {
        let mut command = match tool {
            Tool::Ours => Command::new(&self.ours),
            Tool::Debians => Command::new("cryptsetup"),
        };
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("LC_ALL", "C");
        command
    }

    fn try_run(&self, tool: Tool, arguments: &[&str]) -> Output {
        self.command(tool, arguments).output().expect("the program starts")
    }

    fn run(&self, tool: Tool, arguments: &[&str]) -> Output {
        let output = self.try_run(tool, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{tool:?} {arguments:?}: {error}");
        output
    }

    /// A new volume `v` that "a" opens, and "b" too.
    fn volume(&self, kind: &str) {
        let volume = fs::File::create(self.path("v")).expect("a file");
        volume.set_len(20 << 20).expect("room");
        let mut format = vec![
            "luksFormat",
            "-q",
            "--type",
            kind,
            "-s",
            "256",
            "--uuid",
            UUID,
            "v",
            "a",
        ];
        format.extend(CHEAP);
        if kind == "luks2" {
            format.extend(["--sector-size", "512"]);
        }
        self.run(Tool::Debians, &format);
        self.run(
            Tool::Debians,
            &[&["luksAddKey", "-q", "v", "b", "-d", "a"], CHEAP.as_slice()].concat(),
        );
    }

    fn opens(&self, tool: Tool, key: &str) -> bool {
        self.try_run(tool, &["open", "--test-passphrase", "v", "-d", key])
            .status
            .success()
    }

    fn dump(&self, tool: Tool, options: &[&str]) -> String {
        let output = self.run(tool, &[&["luksDump", "v"], options].concat());
        String::from_utf8(output.stdout).expect("a dump is text")
    }
}

/// Both copies agree: nothing was left half done.
fn check_good(volume: &Path) {
    let mut file = fs::File::open(volume).expect("a volume");
    let header = keyslots::luks2::Header::read(&mut file).expect("a header");
    assert_eq!(header.other_copy(), &keyslots::luks2::copies::OtherCopy::Agrees);
}
