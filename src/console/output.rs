//! The output of a command: text in cryptsetup's words, or one JSON object ([`super::envelope`]).
//!
//! Nothing here is buffered beyond one call, so that written text is out, and no copy of it stays behind.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{ExitCode, Persona, SCHEMA_VERSION, json_text};
use crate::log::{self, Level};
use crate::terminal_text::{can_wipe_line, clean, harmless};

/// The destination of `--debug` lines: standard output as with cryptsetup, standard error where they would spoil the answer.
static DEBUG_TO_ERRORS: AtomicBool = AtomicBool::new(false);

fn show_log(level: Level, text: &str) {
    let line = match level {
        Level::Debug => format!("# {}\n", clean(text)),
        Level::Warning => format!("{}\n", clean(text)),
    };
    // If standard error is closed, there is nothing left to do.
    let _ = match level {
        Level::Debug if !DEBUG_TO_ERRORS.load(Ordering::Relaxed) => {
            write_unbuffered(io::stdout().as_fd(), line.as_bytes())
        }
        _ => write_unbuffered(io::stderr().as_fd(), line.as_bytes()),
    };
}

fn write_unbuffered(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    File::from(fd.try_clone_to_owned()?).write_all(bytes)
}

/// The style of a command's output.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The program to speak as.
    pub persona: Persona,
    /// Each step is reported on a line of its own.
    pub debug: bool,
    /// More is reported than is necessary.
    pub verbose: bool,
    /// The answer is JSON.
    pub json: bool,
    /// Questions count as answered with yes.
    pub batch: bool,
}

/// A failed command, as a console reports it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The exit code.
    pub code: ExitCode,
    /// The message on standard error; nothing is written there where it is empty.
    pub text: String,
    /// The message in JSON, where it differs from `text`.
    pub message: Option<String>,
    /// More details that were found.
    pub note: Option<String>,
    /// The remedy.
    pub remedy: Option<String>,
}

/// Where a command writes its output, and how much.
#[derive(Debug)]
pub struct Console {
    manner: Manner,
    /// Whether standard output is for data.
    data: Cell<bool>,
    /// The value of `result`, until the command ends.
    result: RefCell<Value>,
    /// A key that goes into `result`, in hexadecimal; kept apart from it, since it is wiped.
    key: RefCell<Option<Zeroizing<String>>>,
    /// The exit code that the answer itself has.
    verdict: Cell<Option<ExitCode>>,
    /// The first failure of standard output.
    broken: RefCell<Option<io::Error>>,
}

impl Console {
    /// For one command.
    pub fn new(manner: Manner) -> Self {
        let to_errors = manner.json || manner.persona != Persona::Cryptsetup;
        DEBUG_TO_ERRORS.store(to_errors, Ordering::Relaxed);
        let least = if manner.debug { Level::Debug } else { Level::Warning };
        log::send(least, show_log);
        Self {
            manner,
            data: Cell::new(false),
            result: RefCell::new(Value::Object(Map::new())),
            key: RefCell::new(None),
            verdict: Cell::new(None),
            broken: RefCell::new(None),
        }
    }

    /// The program to speak as.
    pub fn persona(&self) -> Persona {
        self.manner.persona
    }

    /// Whether questions count as answered with yes.
    pub fn batch(&self) -> bool {
        self.manner.batch
    }

    /// Whether the answer is JSON.
    pub fn json(&self) -> bool {
        self.manner.json
    }

    /// From here on standard output is for data alone: messages that would go there go to standard error.
    pub fn keep_stdout_for_data(&self) {
        self.data.set(true);
        DEBUG_TO_ERRORS.store(true, Ordering::Relaxed);
    }

    /// Shows the answer: as JSON, or as text. Only one of the two is made.
    pub fn answer(&self, result: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        if self.manner.json {
            self.result.replace(result());
        } else {
            self.write(harmless(&text()).as_bytes());
        }
    }

    /// The answer is a verdict, with an exit code of its own.
    pub fn conclude(&self, verdict: ExitCode) {
        self.verdict.set(Some(verdict));
    }

    /// Adds `volume_key`, in hexadecimal, to the JSON answer. It is wiped once it is out.
    pub fn answer_key(&self, key: &[u8]) {
        // Room for all of it from the start: a String that grows leaves its old place unwiped.
        let mut digits = Zeroizing::new(String::with_capacity(key.len() * 2));
        for digit in key.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
            digits.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
        self.key.replace(Some(digits));
    }

    /// Writes to standard output as it is, with or without `--json`: for an answer that holds a secret, or that has a
    /// form of its own.
    pub fn write(&self, bytes: &[u8]) {
        if let Err(error) = write_unbuffered(io::stdout().as_fd(), bytes) {
            self.broken.borrow_mut().get_or_insert(error);
        }
    }

    /// A line of information, shown unless the answer is JSON.
    pub fn say(&self, text: impl fmt::Display) {
        if self.data.get() {
            self.complain(text);
        } else if !self.manner.json {
            self.write(harmless(&format!("{text}\n")).as_bytes());
        }
    }

    /// A line that `--verbose` shows.
    pub fn verbose(&self, text: impl fmt::Display) {
        if self.manner.verbose || self.manner.debug {
            self.say(text);
        }
    }

    /// A line that `--debug` shows. Never contains a secret.
    pub fn debug(&self, text: impl fmt::Display) {
        log::debug(format_args!("{text}"));
    }

    /// A line on standard error.
    pub fn complain(&self, text: impl fmt::Display) {
        // If standard error is closed, the message is lost.
        let _ = writeln!(io::stderr(), "{}", harmless(&text.to_string()));
    }

    /// Shows a progress line on a terminal while a key is being derived, until the guard is dropped. Under cryptsetup's
    /// name too: a person who sees nothing after Enter types again, and a program that waits for a prompt does not wait
    /// for this.
    pub fn deriving(&self) -> Deriving {
        let shown = !self.manner.json && io::stderr().is_terminal() && crate::passphrase::is_interactive();
        let wiped = can_wipe_line();
        if shown {
            let end = if wiped { "" } else { "\n" };
            let _ = write!(io::stderr(), "Deriving the key...{end}");
        }
        Deriving { shown: shown && wiped }
    }

    /// Ends a command: reports the outcome, and returns its exit code.
    pub fn finish(&self, command: &str, outcome: Result<(), Report>) -> ExitCode {
        let code = outcome.as_ref().err().map_or(ExitCode::Success, |report| report.code);
        if self.manner.json {
            let envelope = json_text(&self.envelope(command, &outcome).to_string());
            if self.data.get() {
                self.complain(envelope);
            } else if let (Some(key), Some(head), true) =
                (self.key.take(), envelope.strip_suffix("}}"), outcome.is_ok())
            {
                // `result` is the last member, and has others before the key.
                self.write(format!("{head},\"volume_key\":\"").as_bytes());
                self.write(key.as_bytes());
                self.write(b"\"}}\n");
            } else {
                self.write(format!("{envelope}\n").as_bytes());
            }
        }
        if let Err(report) = &outcome {
            self.tell(report);
            self.verbose(format_args!(
                "Command failed with code -{} ({}).",
                code.number(),
                code.text()
            ));
        } else {
            self.verbose("Command successful.");
        }
        let verdict = self.verdict.get();
        match self.broken.take() {
            // A reader that closes early is no failure.
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.complain(format_args!("Cannot write to standard output: {error}"));
                match (code, verdict) {
                    (ExitCode::Success, None) => ExitCode::Failure,
                    // Nobody can read it.
                    (ExitCode::Success, Some(_)) => ExitCode::Unknown,
                    _ => code,
                }
            }
            _ if code == ExitCode::Success => verdict.unwrap_or(code),
            _ => code,
        }
    }

    fn tell(&self, report: &Report) {
        if !report.text.is_empty() {
            self.complain(&report.text);
        }
        if let Some(note) = &report.note {
            self.complain(note);
        }
        if let Some(remedy) = report
            .remedy
            .as_ref()
            .filter(|_| self.manner.persona == Persona::Luksmith)
        {
            self.complain(remedy);
        }
    }

    fn envelope(&self, command: &str, outcome: &Result<(), Report>) -> Value {
        let mut envelope = json!({ "schema_version": SCHEMA_VERSION, "command": command });
        match outcome {
            Ok(()) => envelope["result"] = self.result.take(),
            Err(report) => {
                envelope["error"] = json!({
                    "code": report.code.number(),
                    "reason": report.code.text(),
                    "message": report.message.as_ref().unwrap_or(&report.text).trim_end(),
                });
                // The findings are shown too, if they are the failure.
                let found = self.result.take();
                if found.as_object().is_some_and(|found| !found.is_empty()) {
                    envelope["result"] = found;
                }
                if let Some(note) = &report.note {
                    envelope["error"]["note"] = note.as_str().into();
                }
                if let Some(remedy) = &report.remedy {
                    envelope["error"]["remedy"] = remedy.as_str().into();
                }
            }
        }
        envelope
    }
}

/// Prints an answer that needs no console.
pub fn print(text: impl AsRef<[u8]>) -> ExitCode {
    match io::stdout()
        .write_all(text.as_ref())
        .and_then(|()| io::stdout().flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::Failure,
        _ => ExitCode::Success,
    }
}

/// The line about a key that is being derived; wiped on drop where the terminal can do that.
#[derive(Debug)]
pub struct Deriving {
    shown: bool,
}

impl Drop for Deriving {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
