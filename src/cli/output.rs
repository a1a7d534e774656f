//! What a command says: text as the reference words it, or one JSON object.
//!
//! With `--json` standard output holds exactly one object and a new line, whether the command succeeded or failed; only
//! a command line that means nothing is answered on standard error alone:
//!
//! ```json
//! {"schema_version":1,"command":"luksUUID","result":{"uuid":"…"}}
//! {"schema_version":1,"command":"open","error":{"code":2,"reason":"no permission or bad passphrase",
//!  "message":"No key available with this passphrase.","remedy":"…"}}
//! ```
//!
//! `command` is the action's name of today whichever was typed; `result` is an object of the action's own, empty where
//! there is nothing to show; `remedy` may be missing, and `note` (who holds a device) is there only at times, as is
//! `result` beside an `error` (the volumes of `unlock`, the findings of `doctor`). Members are added without notice; where one changes its meaning
//! or goes, `schema_version` grows. Numbers above 2⁵³ are decimal strings.
//!
//! Nothing here is buffered beyond one call, so what was written is out, and no copy of it stays behind.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::actions::Verb;
use super::args::Options;
use super::error::CliError;
use super::exit_code::ExitCode;
use super::persona::Persona;
use crate::log::{self, Level};
use crate::terminal_text::{acts, can_wipe_line, clean, harmless};

/// Grows when a member of the JSON output changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// Where the lines of `--debug` go: standard output as the reference has it, standard error where they would spoil the answer.
static DEBUG_TO_ERRORS: AtomicBool = AtomicBool::new(false);

fn show_log(level: Level, text: &str) {
    let line = match level {
        Level::Debug => format!("# {}\n", clean(text)),
        Level::Warning => format!("{}\n", clean(text)),
    };
    // Where nobody listens, nothing is to be done.
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

/// Where a command speaks, and how much.
#[derive(Debug)]
pub struct Console {
    persona: Persona,
    verbose: bool,
    json: bool,
    batch: bool,
    /// Whether standard output is for data.
    data: Cell<bool>,
    /// What to put under `result`, until the command ends.
    result: RefCell<Value>,
    /// A key that goes into `result`, in hexadecimal; kept apart from it, since it is wiped.
    key: RefCell<Option<Zeroizing<String>>>,
    /// The first failure of standard output.
    broken: RefCell<Option<io::Error>>,
}

impl Console {
    /// As the options ask for it.
    pub fn new(persona: Persona, options: &Options) -> Self {
        let debug = options.debug || options.debug_json;
        let to_errors = options.json || persona != Persona::Cryptsetup;
        DEBUG_TO_ERRORS.store(to_errors, Ordering::Relaxed);
        log::send(if debug { Level::Debug } else { Level::Warning }, show_log);
        Self {
            persona,
            verbose: options.verbose > 0 || debug,
            json: options.json,
            batch: options.batch_mode,
            data: Cell::new(false),
            result: RefCell::new(Value::Object(Map::new())),
            key: RefCell::new(None),
            broken: RefCell::new(None),
        }
    }

    /// Which program speaks.
    pub fn persona(&self) -> Persona {
        self.persona
    }

    /// Whether questions are to be taken as answered.
    pub fn batch(&self) -> bool {
        self.batch
    }

    /// Whether the answer is JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// From here on standard output is for data alone: what would be said there is said on standard error.
    pub fn keep_stdout_for_data(&self) {
        self.data.set(true);
        DEBUG_TO_ERRORS.store(true, Ordering::Relaxed);
    }

    /// Shows what was asked for: as JSON, or as text. Only one of the two is made.
    pub fn answer(&self, result: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        if self.json {
            self.result.replace(result());
        } else {
            self.write(harmless(&text()).as_bytes());
        }
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

    /// A line about what happened, shown unless the answer is JSON.
    pub fn say(&self, text: impl fmt::Display) {
        if self.data.get() {
            self.complain(text);
        } else if !self.json {
            self.write(harmless(&format!("{text}\n")).as_bytes());
        }
    }

    /// A line that `--verbose` shows.
    pub fn verbose(&self, text: impl fmt::Display) {
        if self.verbose {
            self.say(text);
        }
    }

    /// A line that `--debug` shows. Never a secret.
    pub fn debug(&self, text: impl fmt::Display) {
        log::debug(format_args!("{text}"));
    }

    /// A line on standard error.
    pub fn complain(&self, text: impl fmt::Display) {
        // Where standard error is closed, nobody can be told.
        let _ = writeln!(io::stderr(), "{}", harmless(&text.to_string()));
    }

    /// Says on a terminal that a key is being derived, until the guard goes; elsewhere nothing. Under the reference's name
    /// too: a person who sees nothing after Enter types again, and what waits for a prompt does not wait for this.
    pub fn deriving(&self) -> Deriving {
        let shown = !self.json && io::stderr().is_terminal() && crate::passphrase::is_interactive();
        let wiped = can_wipe_line();
        if shown {
            let end = if wiped { "" } else { "\n" };
            let _ = write!(io::stderr(), "Deriving the key...{end}");
        }
        Deriving { shown: shown && wiped }
    }

    /// Ends a command: says how it went, and returns its exit code.
    pub fn finish(&self, command: Verb, outcome: Result<(), CliError>) -> ExitCode {
        let code = outcome.as_ref().err().map_or(ExitCode::Success, CliError::exit_code);
        if self.json {
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
        if let Err(error) = &outcome {
            self.tell(error);
            self.verbose(format_args!(
                "Command failed with code -{} ({}).",
                code as u8,
                code.text()
            ));
        } else {
            self.verbose("Command successful.");
        }
        match self.broken.take() {
            // A reader that has seen enough is no failure.
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.complain(format_args!("Cannot write to standard output: {error}"));
                if code == ExitCode::Success {
                    ExitCode::Failure
                } else {
                    code
                }
            }
            _ => code,
        }
    }

    fn tell(&self, error: &CliError) {
        let text = error.to_string();
        if !text.is_empty() {
            self.complain(text);
        }
        if let Some(note) = error.note() {
            self.complain(note);
        }
        if let Some(remedy) = error.remedy().filter(|_| self.persona == Persona::Luksmith) {
            self.complain(remedy);
        }
    }

    fn envelope(&self, command: Verb, outcome: &Result<(), CliError>) -> Value {
        let mut envelope = json!({ "schema_version": SCHEMA_VERSION, "command": command.name() });
        match outcome {
            Ok(()) => envelope["result"] = self.result.take(),
            Err(error) => {
                let code = error.exit_code();
                let message = match error {
                    CliError::Quiet(_, text) => text.clone(),
                    CliError::Silent(code) => format!("The command failed: {}.", code.text()),
                    error => error.to_string(),
                };
                envelope["error"] = json!({
                    "code": code as u8,
                    "reason": code.text(),
                    "message": message.trim_end(),
                });
                // What was found out all the same, where the answer is that something is wrong.
                let found = self.result.take();
                if found.as_object().is_some_and(|found| !found.is_empty()) {
                    envelope["result"] = found;
                }
                if let Some(note) = error.note() {
                    envelope["error"]["note"] = note.into();
                }
                if let Some(remedy) = error.remedy() {
                    envelope["error"]["remedy"] = remedy.into();
                }
            }
        }
        envelope
    }
}

/// JSON text with those characters escaped too that JSON itself lets through and a terminal acts on. They stand in strings
/// alone, and none needs two units of UTF-16.
pub fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) && !c.is_ascii_whitespace() {
            let _ = fmt::Write::write_fmt(&mut out, format_args!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
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
