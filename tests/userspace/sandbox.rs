//! A user without any privilege: no device-mapper, no capabilities, no root.
//!
//! Run by root, each command drops to `nobody` with an empty bounding set and no new privileges (setpriv of util-linux).

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(super) use crate::common::CHEAP;
use crate::common::OURS;

pub(super) const NOBODY: u32 = 65534;

const PROGRAM: &str = "LUKSMITH_OF_THE_SANDBOX";

/// Runs the ignored tests of a module again as an ordinary user: root cannot see that user's mounts.
pub(super) fn run_as_user(module: &str) {
    let sandbox = Sandbox::new();
    let tests = sandbox.path("tests");
    copy_program(&std::env::current_exe().expect("a test has a path"), &tests);
    let mut command = sandbox.unprivileged(&[], &[], &tests);
    let status = command
        .args(["--ignored", "--nocapture", "--test-threads=2", module])
        .env(PROGRAM, sandbox.path("luksmith"))
        .status();
    assert!(status.expect("the tests start").success(), "as an ordinary user");
}

/// By a separate program: a process that another thread starts while this one wrote the file would hold it open for
/// writing, and starting it would then fail as busy.
fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("install").args(["-m", "755"]).arg(from).arg(to).status();
    assert!(status.expect("install of coreutils").success());
}

/// A folder of the ordinary user's, with the program in it.
pub(super) struct Sandbox {
    folder: tempfile::TempDir,
    pub(super) root: bool,
}

impl Sandbox {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = nix::unistd::geteuid().is_root();
        let program = folder.path().join("luksmith");
        // An ordinary user may not have access to its build folder.
        match std::env::var_os(PROGRAM) {
            Some(copy) => symlink(copy, &program).expect("a link"),
            None => copy_program(Path::new(OURS), &program),
        }
        let sandbox = Self { folder, root };
        sandbox.put("key", b"correct horse");
        fs::create_dir(sandbox.path("run")).expect("a folder");
        if root {
            for folder in [sandbox.folder.path(), &sandbox.path("run")] {
                chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may");
            }
        }
        sandbox
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn put(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).expect("space");
        if self.root {
            chown(self.path(name), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
    }

    pub(super) fn get(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("a file")
    }

    /// Runs a command line of Luksmith with this standard input.
    pub(super) fn run(&self, input: &[u8], words: &[&str]) -> Output {
        self.run_under(&[], input, words)
    }

    /// As [`Sandbox::run`], under a program that sets limits.
    pub(super) fn run_under(&self, wrapper: &[&str], input: &[u8], words: &[&str]) -> Output {
        let mut command = self.command(wrapper, &["--bounding-set=-all", "--no-new-privs"]);
        command.args(words).args(["--key-file", "key"]);
        run(command, input)
    }

    /// A command line of Luksmith that may call fusermount3, which has privileges of its own.
    pub(super) fn with_helper(&self, words: &[&str]) -> Output {
        let mut command = self.command(&[], &[]);
        command.args(words);
        run(command, b"")
    }

    fn command(&self, wrapper: &[&str], less: &[&str]) -> Command {
        self.unprivileged(wrapper, less, &self.path("luksmith"))
    }

    fn unprivileged(&self, wrapper: &[&str], less: &[&str], program: &Path) -> Command {
        let mut line: Vec<std::ffi::OsString> = Vec::new();
        if self.root {
            let setpriv = [
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--inh-caps=-all",
            ];
            line.extend(setpriv.iter().chain(less).map(Into::into));
        }
        line.extend(wrapper.iter().map(Into::into));
        line.push(program.into());
        let mut command = Command::new(&line[0]);
        // Served volumes are found here, and by no other user.
        command
            .args(&line[1..])
            .current_dir(self.folder.path())
            .env("XDG_RUNTIME_DIR", self.path("run"));
        command
    }

    /// As [`Sandbox::run`], and it must succeed; returns its output.
    pub(super) fn ok(&self, input: &[u8], words: &[&str]) -> Vec<u8> {
        let output = self.run(input, words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        output.stdout
    }

    pub(super) fn image(&self, input: &[u8], words: &[&str]) -> Vec<u8> {
        self.ok(input, &[&["image"][..], &CHEAP, words].concat())
    }
}

fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("setpriv of util-linux");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        // Unread input is not needed.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("an end")
    })
}
