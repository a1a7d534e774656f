//! The other end of [`super::remote`]: a person at a terminal of their own, or a line of standard input, answers the
//! unlocker's questions until it ends.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use keyslots::secret::Passphrase;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::remote::{Client, Word};
use crate::passphrase::{self, KeyFileRange, PassphraseError, TypedLine};

/// Why the conversation ended before the unlocker did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// No unlocker waits.
    #[error("no unlocker waits for a passphrase")]
    NobodyAsks,
    /// The unlocker went without a word.
    #[error("the unlocker has gone: {0}")]
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
    let terminal = io::stdin().is_terminal();
    loop {
        match client.hear().map_err(AnswerError::Gone)? {
            Word::Question(text) if terminal => {
                if let Some(passphrase) = at_terminal(&client, &text)? {
                    client.answer(&passphrase).map_err(AnswerError::Gone)?;
                }
            }
            Word::Question(_) => {
                let passphrase = passphrase::read_line(KeyFileRange::ALL)?;
                client.answer(&passphrase).map_err(AnswerError::Gone)?;
            }
            Word::Withdrawn => {}
            Word::Line(text) => tell(terminal, &format!("{text}\n")),
            Word::Progress(text) if terminal => tell(true, &text),
            Word::Progress(_) => {}
            Word::End(code) => {
                tell(terminal, "");
                return Ok(code);
            }
        }
    }
}

/// Asks at the terminal, unless the unlocker says something else first: then `None`.
fn at_terminal(client: &Client, prompt: &str) -> Result<Option<Passphrase>, AnswerError> {
    let failed = |errno: Errno| PassphraseError::Terminal(errno.into());
    let set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    set.thread_block().map_err(failed)?;
    let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC).map_err(failed)?;
    let tty = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(PassphraseError::Terminal)?;
    let mut line = TypedLine::start(tty, false)?;
    tell(true, prompt);
    let answer = loop {
        let mut fds = [signals.as_fd(), line.as_fd(), client.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(failed(errno).into()),
        }
        let [signal, typed, word] = fds.map(|fd| fd.any().unwrap_or(false));
        if signal {
            break Err(PassphraseError::Interrupted);
        } else if typed {
            break line.read().map(Some);
        } else if word {
            break Ok(None);
        }
    };
    drop(line);
    let _ = writeln!(io::stderr());
    set.thread_unblock().map_err(failed)?;
    Ok(answer?)
}

/// On a terminal, over what was there in the line.
fn tell(terminal: bool, text: &str) {
    let erase = if terminal { "\r\x1b[K" } else { "" };
    // Where standard error is closed, nobody can be told.
    let _ = write!(io::stderr(), "{erase}{text}");
}
