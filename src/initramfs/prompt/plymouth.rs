//! The boot splash. Its protocol: a command letter, a byte 2, a length byte, that many bytes with a NUL at their end; the
//! answer to a question is a byte 2, a little-endian length and the bytes typed, or another byte where there is none.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use keyslots::secret::{Passphrase, Secret};

const ADDRESS: &[u8] = b"/org/freedesktop/plymouthd";
const PASSWORD: u8 = b'*';
const MESSAGE: u8 = b'M';
const ACKNOWLEDGED: u8 = 0x06;
const ANSWER: u8 = 0x02;
/// It answers at once, or is broken.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nobody types more.
const MAX_ANSWER: usize = 4096;

/// A question that the splash shows. It is taken back on drop.
#[derive(Debug)]
pub(super) struct Plymouth(UnixStream);

impl Plymouth {
    /// Asks, where a splash is there.
    pub(super) fn ask(prompt: &str) -> Option<Self> {
        let mut stream = connect()?;
        stream.write_all(&request(PASSWORD, prompt)).ok()?;
        Some(Self(stream))
    }

    /// The answer; `None` where the splash has none to give.
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

/// Shows a message, and says whether a splash has taken it.
pub(super) fn show(text: &str) -> bool {
    let shown = || -> io::Result<bool> {
        let Some(mut stream) = connect() else { return Ok(false) };
        stream.write_all(&request(MESSAGE, text))?;
        let mut reply = [0];
        stream.read_exact(&mut reply)?;
        Ok(reply == [ACKNOWLEDGED])
    };
    shown().unwrap_or(false)
}

fn connect() -> Option<UnixStream> {
    let address = SocketAddr::from_abstract_name(ADDRESS).ok()?;
    let stream = UnixStream::connect_addr(&address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// A command with a text, which is cut to what the length byte can say, at the end of a character.
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
