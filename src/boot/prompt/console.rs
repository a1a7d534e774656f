//! The consoles: the terminal that the program was started on, or every console that the kernel has, serial and
//! framebuffer alike. A person at any of them can answer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use keyslots::secret::Passphrase;
use nix::libc;

use super::question::Question;
use super::tty_writer::Sink;
use crate::boot::options::Echo;
use crate::passphrase::{PassphraseError, TypedLine};

/// `/dev/console`: the console that the kernel prefers.
const CONSOLE: (u64, u64) = (5, 1);

/// All consoles. Nothing that is typed at them is shown, from [`Consoles::take`] to the end, except for an answer that may
/// be visible: typing ahead of the question does not write a passphrase on the screen.
#[derive(Debug)]
pub(super) struct Consoles {
    terminals: Vec<Terminal>,
    /// The output if there is no terminal.
    errors: Option<Sink>,
    /// The line that is overwritten, if one is shown.
    progress: Option<String>,
    caps_lock: Option<bool>,
    /// The prompt, while a question is out.
    prompt: Option<String>,
}

#[derive(Debug)]
struct Terminal {
    tty: Sink,
    line: Option<TypedLine>,
}

impl Consoles {
    /// The terminal on standard input. If that is the kernel's console, or is not a terminal, all that the kernel has.
    pub(super) fn find() -> Self {
        let stdin = io::stdin();
        let own = stdin
            .is_terminal()
            .then(|| stdin.as_fd().try_clone_to_owned().ok().map(File::from))
            .flatten();
        let is_console = |tty: &File| {
            let number = tty.metadata().map(|metadata| metadata.rdev()).unwrap_or_default();
            (nix::sys::stat::major(number), nix::sys::stat::minor(number)) == CONSOLE
        };
        let own_alone = |tty: File| vec![Sink::of_terminal(tty)];
        let terminals = match own {
            Some(tty) if !is_console(&tty) => own_alone(tty),
            // Not for a program whose input comes from elsewhere on purpose.
            None if stdin_is_pipe_or_file() => Vec::new(),
            own => match kernel_consoles() {
                all if all.is_empty() => own.map(own_alone).unwrap_or_default(),
                all => all.into_iter().map(Sink::new).collect(),
            },
        };
        Self {
            terminals: terminals.into_iter().map(|tty| Terminal { tty, line: None }).collect(),
            errors: Sink::of_errors(),
            progress: None,
            caps_lock: None,
            prompt: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.terminals.is_empty()
    }

    /// Hides what is typed from here on, but leaves a terminal alone that another job has.
    pub(super) fn take(&mut self) {
        for terminal in &mut self.terminals {
            if terminal.line.is_some() || !is_another_jobs(&terminal.tty) {
                terminal.take(false);
            }
        }
    }

    /// Whether any of them hides what is typed.
    pub(super) fn are_taken(&self) -> bool {
        self.terminals.iter().any(|terminal| terminal.line.is_some())
    }

    /// Restores the terminals.
    pub(super) fn give_back(&mut self) {
        for terminal in &mut self.terminals {
            terminal.line = None;
        }
    }

    /// Shows the question on all of them.
    pub(super) fn ask(&mut self, question: &Question) {
        self.progress(None);
        self.caps_lock = caps_lock();
        let prompt = with_caps_lock(&question.prompt, self.caps_lock);
        // A terminal that cannot be silenced is not a place to type a passphrase.
        self.terminals
            .retain_mut(|terminal| terminal.take(question.echo == Echo::Plain));
        for terminal in &self.terminals {
            terminal.tty.write(&format!("{}{prompt}", question.details));
        }
        self.prompt = Some(question.prompt.clone());
    }

    /// Withdraws the question.
    pub(super) fn withdraw(&mut self) {
        if self.prompt.take().is_none() {
            return;
        }
        self.take();
        for terminal in &self.terminals {
            terminal.tty.write("\n");
        }
    }

    /// Updates the Caps Lock note, if that has changed under an open question.
    pub(super) fn refresh(&mut self) {
        let Some(prompt) = &self.prompt else { return };
        let now = caps_lock();
        if now != self.caps_lock {
            self.caps_lock = now;
            let text = format!("\r\x1b[K{}", with_caps_lock(prompt, now));
            for terminal in &self.terminals {
                terminal.tty.write(&text);
            }
        }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, text: &str) {
        let shown = self.progress.take();
        let erase = if shown.is_some() { "\r\x1b[K" } else { "" };
        let again = self
            .prompt
            .as_ref()
            .map(|prompt| with_caps_lock(prompt, self.caps_lock));
        if self.terminals.is_empty() {
            // If standard error is closed, the message is lost.
            if let Some(errors) = &self.errors {
                errors.write(&format!("{text}\n"));
            }
        }
        for terminal in &self.terminals {
            match &again {
                // Above the open question.
                Some(prompt) => terminal.tty.write(&format!("\r\x1b[K{text}\n{prompt}")),
                None => terminal.tty.write(&format!("{erase}{text}\n")),
            }
        }
        self.progress(shown.as_deref());
    }

    /// A line that is overwritten; `None` erases it.
    pub(super) fn progress(&mut self, text: Option<&str>) {
        if self.progress.as_deref() == text || self.prompt.is_some() {
            return;
        }
        for terminal in &self.terminals {
            terminal.tty.write(&format!("\r\x1b[K{}", text.unwrap_or_default()));
        }
        self.progress = text.map(str::to_owned);
    }

    /// Those that can be read, by their indices.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        let lines = self.terminals.iter().enumerate();
        lines.filter_map(|(at, terminal)| terminal.line.as_ref().map(|line| (at, line.as_fd())))
    }

    /// Reads the input of one of them. One that is gone is not asked again.
    pub(super) fn read(&mut self, at: usize) -> Option<Passphrase> {
        let terminal = self.terminals.get_mut(at)?;
        match terminal.line.as_mut()?.read() {
            Ok(passphrase) => Some(passphrase),
            Err(_) => {
                self.terminals.remove(at);
                None
            }
        }
    }
}

impl Terminal {
    /// Shows or hides what is typed; returns whether the terminal obeys.
    fn take(&mut self, shown: bool) -> bool {
        let as_told = match &mut self.line {
            Some(line) => line.show(shown),
            None => self
                .tty
                .as_fd()
                .try_clone_to_owned()
                .map_err(PassphraseError::Terminal)
                .and_then(|tty| TypedLine::start(tty, shown))
                .map(|line| self.line = Some(line)),
        };
        as_told.is_ok()
    }
}

impl Drop for Consoles {
    fn drop(&mut self) {
        // A line that was typed without a question may be a passphrase: no shell may get it as a command.
        for line in self.terminals.iter().filter_map(|terminal| terminal.line.as_ref()) {
            line.forget();
        }
    }
}

/// Whether this program is in the background of the terminal, and would be stopped for changing it.
fn is_another_jobs(tty: &Sink) -> bool {
    // If it is not the terminal of this session, no process is stopped.
    nix::unistd::tcgetpgrp(tty).is_ok_and(|job| job != nix::unistd::getpgrp())
}

/// Whether standard input was given on purpose: a pipe, a socket or a file, not nothing.
pub(super) fn stdin_is_pipe_or_file() -> bool {
    let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let kind = stdin
        .and_then(|file| file.metadata())
        .map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket() || kind.is_file())
}

/// The consoles that the kernel writes to, opened.
fn kernel_consoles() -> Vec<File> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let open = |name: &str| {
        let tty = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(Path::new("/dev").join(name))
            .ok()?;
        tty.is_terminal().then_some(tty)
    };
    let all: Vec<File> = active.split_ascii_whitespace().filter_map(open).collect();
    if all.is_empty() {
        open("console").into_iter().collect()
    } else {
        all
    }
}

/// Whether Caps Lock is on at any keyboard that has a light for it; `None` if no keyboard reports it.
pub fn caps_lock() -> Option<bool> {
    let lights = fs::read_dir("/sys/class/leds").ok()?;
    let caps = lights
        .flatten()
        .filter(|light| light.file_name().to_string_lossy().ends_with("::capslock"));
    let states = caps.filter_map(|light| fs::read_to_string(light.path().join("brightness")).ok());
    states.map(|state| state.trim() != "0").reduce(|one, other| one | other)
}

fn with_caps_lock(prompt: &str, caps_lock: Option<bool>) -> String {
    if caps_lock == Some(true) {
        format!("[Caps Lock is on] {prompt}: ")
    } else {
        format!("{prompt}: ")
    }
}
