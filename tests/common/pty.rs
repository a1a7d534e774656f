//! A program on a pseudo-terminal of its own, and a person who talks to it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

/// Longest wait for anything on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A program on a terminal of its own.
pub(crate) struct Conversation {
    terminal: File,
    /// Kept open, so that leftovers of the program can be seen.
    program_side: File,
    program: Child,
    /// The whole output, without carriage returns.
    pub(crate) heard: String,
    /// How much of it had been shown when the last input was typed.
    answered: usize,
}

impl Conversation {
    /// Starts `program` as the leader of a session that the terminal controls.
    pub(crate) fn start(folder: &Path, program: &Path, words: &[&str]) -> Self {
        let pty = openpty(None, None).expect("a pseudo-terminal");
        let (terminal, program_side) = (File::from(pty.master), File::from(pty.slave));
        let side = || Stdio::from(program_side.try_clone().expect("a descriptor"));
        let program = Command::new("setsid")
            // The parent of the tests may ignore signals (nohup does).
            .args(["--ctty", "--wait", "env", "--default-signal"])
            .arg(program)
            .args(words)
            .env("TERM", "xterm")
            .current_dir(folder)
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .expect("setsid of util-linux");
        Self {
            terminal,
            program_side,
            program,
            heard: String::new(),
            answered: 0,
        }
    }

    /// Waits until the output since the last answer ends with `text`, and until the echo is as it should be for it.
    pub(crate) fn expect(&mut self, text: &str, echo: bool) {
        let start = Instant::now();
        while !self.heard[self.answered..].ends_with(text) || self.echoes() != echo {
            assert!(
                start.elapsed() < PATIENCE,
                "{text:?} with echo {echo} never came after {:?}",
                self.heard
            );
            self.hear(20);
        }
    }

    /// Reads output for this many milliseconds; returns whether there was any.
    pub(crate) fn hear(&mut self, milliseconds: u16) -> bool {
        let mut fds = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(milliseconds)).expect("poll") == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        let read = self
            .terminal
            .read(&mut buffer)
            .expect("the terminal is open on both sides");
        self.heard
            .push_str(&String::from_utf8_lossy(&buffer[..read]).replace('\r', ""));
        // The progress line is ours alone, and erased.
        self.heard = self.heard.replace("Deriving the key...\x1b[K", "");
        true
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.answered = self.heard.len();
        self.terminal.write_all(text.as_bytes()).expect("typed");
    }

    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(self.program_side.as_fd())
            .expect("a terminal")
            .local_flags
            .contains(LocalFlags::ECHO)
    }

    /// The program itself, which setsid waits for.
    pub(crate) fn pid(&self) -> Pid {
        let children = format!("/proc/{0}/task/{0}/children", self.program.id());
        let children = std::fs::read_to_string(children).expect("setsid runs");
        let child = children
            .split_whitespace()
            .next()
            .map_or(self.program.id().to_string(), str::to_owned);
        Pid::from_raw(child.parse().expect("a number"))
    }

    /// Waits for the end: the output, the exit status, and whether the terminal echoes again.
    pub(crate) fn end(mut self) -> (String, ExitStatus, bool) {
        let start = Instant::now();
        let status = loop {
            self.hear(20);
            if let Some(status) = self.program.try_wait().expect("a child") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it never ended after {:?}", self.heard);
        };
        while self.hear(0) {}
        (self.heard.clone(), status, self.echoes())
    }
}
