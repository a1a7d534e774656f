//! Reading a passphrase: from the terminal, standard input, or a key file; and exactly which bytes are read.
//!
//! - The terminal: up to the first new line, without echo; the first 512 bytes count.
//! - Standard input without a key file: up to the first new line, which is dropped, one byte at a time, since the next
//!   secret may follow it directly.
//! - A key file, and standard input as the key file `-`: byte for byte, at most 8 MiB unless a size is given.
//!
//! An empty passphrase is valid. What the bytes open is not known here.

mod keyfile;
mod quality;
mod terminal;

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use keyslots::secret::{Passphrase, Secret};

use crate::log;

pub(crate) use keyfile::from_slow_stream;
pub use keyfile::{KeyFileRange, MAX_KEY_FILE};
pub use quality::{Weakness, weakness};
pub(crate) use terminal::heeded_signals;
pub use terminal::{MAX_INTERACTIVE, TypedLine};

/// Why there is no passphrase. `Display` is cryptsetup's wording.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The key file cannot be opened.
    #[error("Failed to open key file.")]
    Open(#[source] io::Error),
    /// The input failed.
    #[error("Error reading passphrase.")]
    Read(#[source] io::Error),
    /// The terminal failed, or its input ended.
    #[error("Error reading passphrase from terminal.")]
    Terminal(#[source] io::Error),
    /// Ctrl-C, or a request to end, at the prompt.
    #[error("Error reading passphrase from terminal.")]
    Interrupted,
    /// No answer came in time.
    #[error("Error reading passphrase from terminal.")]
    TimedOut,
    /// Standard input ended before the first byte.
    #[error("Nothing to read on input.")]
    NothingToRead,
    /// The input is shorter than the requested size.
    #[error("Cannot read requested amount of data.")]
    TooShort,
    /// The file ended before its size.
    #[error("The key file ended after {read} of {expected} bytes.")]
    CutOff {
        /// Bytes that were read.
        read: usize,
        /// Bytes that were expected.
        expected: u64,
    },
    /// The input is shorter than the requested offset.
    #[error("Cannot seek to requested keyfile offset.")]
    Offset,
    /// The input exceeds the limit, and no size was requested.
    #[error("Maximum keyfile size exceeded.")]
    TooLong,
    /// The second entry differs from the first.
    #[error("Passphrases do not match.")]
    Mismatch,
    /// Out of memory for the passphrase.
    #[error("Out of memory while reading passphrase.")]
    Memory(#[source] io::Error),
}

/// A prompt for a passphrase.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The text on a terminal, with the colon and the space after it.
    pub prompt: &'a str,
    /// Ask a second time, and refuse if the two differ.
    pub verify: bool,
    /// Give up after this long, on a terminal only. `None` waits for ever.
    pub timeout: Option<Duration>,
    /// The bytes to take if standard input is not a terminal.
    pub range: KeyFileRange,
}

/// Whether [`ask`] would prompt a person.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// Prompts on the terminal, or takes the first line of standard input where that is no terminal.
///
/// # Errors
/// See [`PassphraseError`].
pub fn ask(question: &Question<'_>) -> Result<Passphrase, PassphraseError> {
    if !is_interactive() {
        return read_line(question.range);
    }
    log::debug(format_args!("Asking for a passphrase on the terminal."));
    let first = terminal::ask(question.prompt, question.timeout)?;
    if question.verify && !first.ct_eq(&terminal::ask("Verify passphrase: ", question.timeout)?) {
        return Err(PassphraseError::Mismatch);
    }
    Ok(first)
}

/// Reads one line of standard input, which is no terminal, and nothing behind it.
///
/// # Errors
/// See [`PassphraseError`].
pub fn read_line(range: KeyFileRange) -> Result<Passphrase, PassphraseError> {
    log::debug(format_args!("Reading a passphrase from standard input."));
    keyfile::read_line(range)
}

/// Reads a key file; `-` is standard input to its end, or a prompt where that is a terminal.
///
/// # Errors
/// See [`PassphraseError`].
pub fn from_key_file(path: &Path, question: &Question<'_>) -> Result<Passphrase, PassphraseError> {
    log::debug(format_args!("Reading the key file {}.", path.display()));
    if path != Path::new("-") {
        keyfile::read_file(path, question.range)
    } else if is_interactive() {
        ask(question)
    } else {
        keyfile::read_stdin(question.range)
    }
}

/// Asks a person for something that is not secret: the answer is shown as it is typed. At most 512 bytes, without the
/// new line. Standard input must be a terminal.
///
/// # Errors
/// See [`PassphraseError`].
pub fn ask_openly(prompt: &str) -> Result<Vec<u8>, PassphraseError> {
    terminal::ask_openly(prompt).map(|answer| answer.expose().to_vec())
}

/// The likely difference between a key and the intended one: an editor ends a file with a new line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalNewline {
    /// The key has one.
    Extra,
    /// The key lacks one.
    Missing,
}

impl FinalNewline {
    /// The key with the other ending, and the flaw of this one; `None` if there is no other ending.
    ///
    /// # Errors
    /// The system's, where it has no memory.
    pub fn mend(key: &Passphrase) -> io::Result<Option<(Self, Passphrase)>> {
        Ok(match without_final_newline(key)? {
            Some(trimmed) => Some((Self::Extra, trimmed)),
            None => with_final_newline(key)?.map(|ended| (Self::Missing, ended)),
        })
    }
}

/// To be followed by the keyslot's number.
impl fmt::Display for FinalNewline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Extra => "key file ends in a new line; without it, it would open key slot",
            Self::Missing => "key does not end in a new line; with one, it would open key slot",
        })
    }
}

/// The same bytes without the new line at their end, if there is one: an editor puts it there, and the keyslot was
/// perhaps made without it.
fn without_final_newline(passphrase: &Passphrase) -> io::Result<Option<Passphrase>> {
    let Some(trimmed) = passphrase.expose().strip_suffix(b"\n") else {
        return Ok(None);
    };
    let trimmed = trimmed.strip_suffix(b"\r").unwrap_or(trimmed);
    Secret::copy_from(trimmed).map(|secret| Some(Passphrase::new(secret)))
}

/// The passphrase with a new line added. `None` if it has one, or is not a line of text: a key of random bytes did not
/// lose one.
fn with_final_newline(passphrase: &Passphrase) -> io::Result<Option<Passphrase>> {
    const LONGEST_LINE: usize = 512;
    let bytes = passphrase.expose();
    let is_line =
        bytes.len() <= LONGEST_LINE && !bytes.iter().any(u8::is_ascii_control) && str::from_utf8(bytes).is_ok();
    if !is_line {
        return Ok(None);
    }
    let mut ended = Secret::zeroed(bytes.len() + 1)?;
    ended.expose_mut()[..bytes.len()].copy_from_slice(bytes);
    ended.expose_mut()[bytes.len()] = b'\n';
    Ok(Some(Passphrase::new(ended)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(bytes: &[u8]) -> Passphrase {
        Passphrase::new(Secret::copy_from(bytes).expect("a page"))
    }

    #[test]
    fn only_one_final_newline_is_trimmed() {
        let trimmed = |bytes: &[u8]| {
            without_final_newline(&passphrase(bytes))
                .expect("a page")
                .map(|trimmed| trimmed.expose().to_vec())
        };
        assert_eq!(trimmed(b"key\n"), Some(b"key".to_vec()));
        assert_eq!(trimmed(b"key\r\n"), Some(b"key".to_vec()));
        assert_eq!(trimmed(b"key\n\n"), Some(b"key\n".to_vec()));
        assert_eq!(trimmed(b"\n"), Some(vec![]));
        assert_eq!(trimmed(b"key"), None);
        assert_eq!(trimmed(b""), None);
    }
}
