//! The other end of [`super::remote`]: a person at a terminal of their own, or a line of standard input, answers the
//! unlocker's questions until it ends.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::remote::{Client, Word};
use crate::passphrase::{self, KeyFileRange, PassphraseError, TypedLine, heeded_signals};

/// Why the conversation ended before the unlocker did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// No unlocker waits.
    #[error("no unlocker waits for a passphrase")]
    NobodyAsks,
    /// The unlocker ended without a final message.
    #[error("the unlocker has exited: {0}")]
    Gone(#[source] io::Error),
    /// There is no passphrase to answer with.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
}

/// Answers until the unlocker ends, and returns its exit code.
///
/// # Errors
/// [`AnswerError`].
pub fn converse() -> Result<u8, AnswerError> {
    let mut client = Client::connect().map_err(|_| AnswerError::NobodyAsks)?;
    if io::stdin().is_terminal() {
        return AtTerminal::start()?.converse(&mut client);
    }
    loop {
        match client.hear().map_err(AnswerError::Gone)? {
            Word::Question(_) => {
                let passphrase = passphrase::read_line(KeyFileRange::ALL)?;
                client.answer(&passphrase).map_err(AnswerError::Gone)?;
            }
            Word::Line(text) => tell(&format!("{text}\n")),
            Word::Withdrawn | Word::Progress(_) => {}
            Word::End(code) => return Ok(code),
        }
    }
}

/// A person at a terminal. What is typed is hidden, from the first message to the last.
struct AtTerminal {
    signals: SignalFd,
    line: Option<TypedLine>,
    /// The question that is open.
    question: Option<String>,
    /// The progress, if the line on the screen shows it.
    progress: bool,
}

/// The first event.
enum First {
    Signal(Signal),
    Typed,
    Word,
}

impl AtTerminal {
    fn start() -> Result<Self, AnswerError> {
        let set = heeded_signals();
        set.thread_block().map_err(failed)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let mut this = Self {
            signals: SignalFd::with_flags(&set, flags).map_err(failed)?,
            line: None,
            question: None,
            progress: false,
        };
        this.take()?;
        Ok(this)
    }

    fn take(&mut self) -> Result<(), AnswerError> {
        let tty = io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(PassphraseError::Terminal)?;
        self.line = Some(TypedLine::start(tty, false)?);
        Ok(())
    }

    fn converse(mut self, client: &mut Client) -> Result<u8, AnswerError> {
        loop {
            match self.wait(client)? {
                First::Signal(Signal::SIGTSTP) => self.pause()?,
                First::Signal(_) => {
                    tell("\n");
                    return Err(PassphraseError::Interrupted.into());
                }
                First::Typed => {
                    let Some(line) = &mut self.line else { continue };
                    let passphrase = line.read()?;
                    tell("\n");
                    self.question = None;
                    client.answer(&passphrase).map_err(AnswerError::Gone)?;
                }
                First::Word => {
                    if let Some(code) = self.hear(client.hear().map_err(AnswerError::Gone)?) {
                        return Ok(code);
                    }
                }
            }
        }
    }

    /// Handles a message; returns the exit code if it has one.
    fn hear(&mut self, word: Word) -> Option<u8> {
        match word {
            Word::Question(text) => {
                self.over(&text);
                self.question = Some(text);
            }
            Word::Withdrawn => {
                if self.question.take().is_some() {
                    tell("\n");
                }
            }
            // Above the open question, which stays.
            Word::Line(text) => {
                self.over(&format!("{text}\n"));
                self.ask_again();
            }
            // The question uses the line.
            Word::Progress(_) if self.question.is_some() => {}
            Word::Progress(text) => {
                self.over(&text);
                self.progress = true;
            }
            Word::End(code) => {
                self.over("");
                return Some(code);
            }
        }
        None
    }

    /// Overwrites the current line, if there is one.
    fn over(&mut self, text: &str) {
        let erase = self.progress || self.question.is_some();
        self.progress = false;
        tell(&format!("{}{text}", if erase { "\r\x1b[K" } else { "" }));
    }

    /// The prompt once more, without the description of the volume.
    fn ask_again(&self) {
        if let Some(question) = &self.question {
            tell(question.rsplit('\n').next().unwrap_or_default());
        }
    }

    /// Stops as on Ctrl-Z, with the terminal restored.
    fn pause(&mut self) -> Result<(), AnswerError> {
        self.line = None;
        tell("\n");
        let stop: SigSet = [Signal::SIGTSTP].into_iter().collect();
        raise(Signal::SIGTSTP).map_err(failed)?;
        stop.thread_unblock().map_err(failed)?;
        // Stopped, and continued, at this point.
        stop.thread_block().map_err(failed)?;
        self.take()?;
        self.ask_again();
        Ok(())
    }

    fn wait(&self, client: &Client) -> Result<First, AnswerError> {
        loop {
            let mut fds = vec![
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(client.as_fd(), PollFlags::POLLIN),
            ];
            // Input that is typed ahead waits for its question.
            let line = self.line.as_ref().filter(|_| self.question.is_some());
            fds.extend(line.map(|line| PollFd::new(line.as_fd(), PollFlags::POLLIN)));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
            if let Some(signal) = self.signals.read_signal().map_err(failed)? {
                let number = i32::try_from(signal.ssi_signo).unwrap_or_default();
                return Signal::try_from(number).map(First::Signal).map_err(failed);
            }
            match ready.as_slice() {
                [_, true, ..] => return Ok(First::Word),
                [_, _, true] => return Ok(First::Typed),
                _ => {}
            }
        }
    }
}

fn failed(errno: Errno) -> AnswerError {
    PassphraseError::Terminal(errno.into()).into()
}

fn tell(text: &str) {
    // If standard error is closed, the message is lost.
    let _ = write!(io::stderr(), "{text}");
}
