//! The boot splash. Its protocol: a command letter, a byte 2, a length byte, that many bytes with a NUL at their end; the
//! answer to a question is a byte 2, a little-endian length and the bytes typed, or another byte if there is none.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use keyslots::secret::{Passphrase, Secret};
use nix::errno::Errno;
use nix::sys::socket::UnixAddr;

use crate::boot::sockets::{connect_at_once, is_trusted, let_wait};

const ADDRESS: &[u8] = b"/org/freedesktop/plymouthd";
const PASSWORD: u8 = b'*';
const MESSAGE: u8 = b'M';
const ACKNOWLEDGED: u8 = 0x06;
const ANSWER: u8 = 0x02;
/// It answers at once, or is broken.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a broken one is left alone.
const REST: Duration = Duration::from_secs(30);
/// The time limit for typing.
const MAX_ANSWER: usize = 4096;

/// Whether there is a splash, and the last message to it.
#[derive(Debug, Default)]
pub(super) struct Splash {
    /// It has not answered: it is left alone until then.
    broken_until: Option<Instant>,
}

impl Splash {
    /// Whether there is one.
    pub(super) fn is_there(&mut self) -> bool {
        self.connect().is_some()
    }

    /// Asks, if there is a splash.
    pub(super) fn ask(&mut self, prompt: &str) -> Option<Plymouth> {
        let mut stream = self.connect()?;
        stream.write_all(&request(PASSWORD, prompt)).ok()?;
        Some(Plymouth(stream))
    }

    /// Shows a message; returns whether a splash has accepted it.
    pub(super) fn show(&mut self, text: &str) -> bool {
        let Some(mut stream) = self.connect() else { return false };
        let mut reply = [0];
        let answered = stream
            .write_all(&request(MESSAGE, text))
            .and_then(|()| stream.read_exact(&mut reply));
        if answered.is_err() {
            self.broken_until = Instant::now().checked_add(REST);
        }
        answered.is_ok() && reply == [ACKNOWLEDGED]
    }

    fn connect(&mut self) -> Option<UnixStream> {
        if self.broken_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let stream = match connect_at_once(&UnixAddr::new_abstract(ADDRESS).ok()?) {
            Ok(stream) => stream,
            Err(Errno::EAGAIN) => {
                self.broken_until = Instant::now().checked_add(REST);
                return None;
            }
            Err(_) => return None,
        };
        // Any process can have that address.
        if !is_trusted(&stream) {
            return None;
        }
        let_wait(&stream).ok()?;
        let stream = UnixStream::from(stream);
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        Some(stream)
    }
}

/// A question that the splash shows. It is withdrawn on drop.
#[derive(Debug)]
pub(super) struct Plymouth(UnixStream);

impl Plymouth {
    /// The answer; `None` if the splash cannot give one.
    pub(super) fn read(mut self) -> Option<Passphrase> {
        let mut kind = [0];
        self.0.read_exact(&mut kind).ok()?;
        if kind != [ANSWER] {
            return None;
        }
        let mut len = [0; 4];
        self.0.read_exact(&mut len).ok()?;
        let len = usize::try_from(u32::from_le_bytes(len))
            .ok()
            .filter(|len| *len <= MAX_ANSWER)?;
        let mut secret = Secret::zeroed(len).ok()?;
        self.0.read_exact(secret.expose_mut()).ok()?;
        // It counts the NUL at the end.
        let end = secret.expose().iter().position(|byte| *byte == 0).unwrap_or(len);
        secret.truncate(end);
        Some(Passphrase::new(secret))
    }
}

impl AsFd for Plymouth {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A command with a text, which is cut to the limit of the length byte, at the end of a character.
fn request(command: u8, text: &str) -> Vec<u8> {
    let mut end = text.len().min(254);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text[..end].replace('\0', " ");
    let mut bytes = vec![command, 2, (text.len() + 1) as u8];
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_its_length_and_is_cut_to_it() {
        assert_eq!(request(b'*', "Pass"), b"*\x02\x05Pass\0");
        let long = request(b'M', &"ü".repeat(200));
        assert_eq!((long[2], long.len()), (255, 258));
        assert_eq!(long.last(), Some(&0));
    }

    #[test]
    fn an_answer_is_read_and_anything_else_is_none() {
        let read = |reply: &[u8]| {
            let (mut theirs, ours) = UnixStream::pair().expect("a pair");
            theirs.write_all(reply).expect("written");
            drop(theirs);
            Plymouth(ours).read().map(|passphrase| passphrase.expose().to_vec())
        };
        assert_eq!(read(b"\x02\x05\0\0\0word\0"), Some(b"word".to_vec()));
        assert_eq!(read(b"\x02\x04\0\0\0word"), Some(b"word".to_vec()));
        assert_eq!(read(b"\x02\0\0\0\0"), Some(vec![]));
        assert_eq!(read(b"\x05"), None);
        assert_eq!(read(b""), None);
        assert_eq!(read(b"\x02\xff\xff\xff\xff"), None);
        assert_eq!(read(b"\x02\x05\0\0\0wo"), None);
    }
}
