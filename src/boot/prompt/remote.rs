//! Answering from another shell, such as one over ssh, while the console waits: `luksmith answer`.
//!
//! A socket that only root may use. Each message is a letter, a little-endian length of four bytes, and that many bytes:
//! `Q` a question, `W` that it is withdrawn, `M` a line that stays, `P` a line about progress, `E` the end with an exit
//! code of one byte; the other way `A`, a passphrase.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyslots::secret::{Passphrase, Secret};
use nix::errno::Errno;
use nix::sys::socket::UnixAddr;

use super::question::Question;
use crate::boot::mount::RUN;
use crate::boot::sockets::{connect_at_once, is_trusted};

/// A client that does not read or write for this long counts as gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest possible key.
const MAX_MESSAGE: u32 = 8 << 20;

/// The path of the unlocker's socket.
fn socket_path() -> PathBuf {
    Path::new(RUN).join("answer")
}

/// The unlocker's side.
#[derive(Debug)]
pub(super) struct Listener {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<UnixStream>,
    question: Option<String>,
}

impl Listener {
    /// Listens, replacing an unlocker that has ended.
    pub(super) fn new() -> io::Result<Self> {
        Self::at(socket_path())
    }

    fn at(path: PathBuf) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        // Another unlocker that still listens keeps its place.
        if matches!(connect_at_once(&UnixAddr::new(&path)?), Ok(_) | Err(Errno::EAGAIN)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path,
            clients: Vec::new(),
            question: None,
        })
    }

    pub(super) fn ask(&mut self, question: &Question) {
        let text = format!("{}{}: ", question.details, question.prompt);
        self.send(b'Q', text.as_bytes());
        self.question = Some(text);
    }

    pub(super) fn withdraw(&mut self) {
        self.question = None;
        self.send(b'W', &[]);
    }

    pub(super) fn say(&mut self, text: &str) {
        self.send(b'M', text.as_bytes());
    }

    pub(super) fn progress(&mut self, text: &str) {
        self.send(b'P', text.as_bytes());
    }

    pub(super) fn finish(&mut self, code: u8) {
        self.send(b'E', &[code]);
        self.clients.clear();
    }

    fn send(&mut self, kind: u8, bytes: &[u8]) {
        self.clients.retain_mut(|client| send(client, kind, bytes).is_ok());
    }

    /// What to poll: the listening socket, and all clients by their indices.
    pub(super) fn sources(&self) -> Vec<(Option<usize>, BorrowedFd<'_>)> {
        let clients = self.clients.iter().enumerate();
        let clients = clients.map(|(at, client)| (Some(at), client.as_fd()));
        std::iter::once((None, self.listener.as_fd())).chain(clients).collect()
    }

    /// Accepts a client, or reads an answer.
    pub(super) fn read(&mut self, source: Option<usize>) -> Option<Passphrase> {
        let Some(at) = source else {
            self.accept();
            return None;
        };
        // However slow it is.
        let end = Instant::now().checked_add(PATIENCE);
        match receive(self.clients.get_mut(at)?, end) {
            // An answer that comes too late is dropped.
            Ok((b'A', secret)) => self.question.is_some().then(|| Passphrase::new(secret)),
            Ok(_) => None,
            Err(_) => {
                self.clients.remove(at);
                None
            }
        }
    }

    fn accept(&mut self) {
        let accepted = || -> io::Result<UnixStream> {
            let (client, _) = self.listener.accept()?;
            if !is_trusted(&client) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            client.set_nonblocking(false)?;
            client.set_read_timeout(Some(PATIENCE))?;
            client.set_write_timeout(Some(PATIENCE))?;
            Ok(client)
        };
        if let Ok(mut client) = accepted()
            && self
                .question
                .as_ref()
                .is_none_or(|text| send(&mut client, b'Q', text.as_bytes()).is_ok())
        {
            self.clients.push(client);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A message from the unlocker to a remote shell.
#[derive(Debug)]
pub enum Word {
    /// A question, with its prompt.
    Question(String),
    /// It is answered, or is not needed any more.
    Withdrawn,
    /// A line that stays.
    Line(String),
    /// A line about progress.
    Progress(String),
    /// The exit code of the unlocker.
    End(u8),
}

/// The remote shell's side.
#[derive(Debug)]
pub struct Client(UnixStream);

impl Client {
    /// Finds the unlocker.
    ///
    /// # Errors
    /// `NotFound` or `ConnectionRefused` where none waits.
    pub fn connect() -> io::Result<Self> {
        UnixStream::connect(socket_path()).map(Self)
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// `UnexpectedEof` where the unlocker has exited.
    pub fn hear(&mut self) -> io::Result<Word> {
        loop {
            let (kind, bytes) = receive(&mut self.0, None)?;
            let text = || String::from_utf8_lossy(bytes.expose()).into_owned();
            return Ok(match kind {
                b'Q' => Word::Question(text()),
                b'W' => Word::Withdrawn,
                b'M' => Word::Line(text()),
                b'P' => Word::Progress(text()),
                b'E' => Word::End(bytes.expose().first().copied().unwrap_or(1)),
                _ => continue,
            });
        }
    }

    /// Answers the question.
    ///
    /// # Errors
    /// The system's.
    pub fn answer(&mut self, passphrase: &Passphrase) -> io::Result<()> {
        send(&mut self.0, b'A', passphrase.expose())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn send(stream: &mut UnixStream, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut head = [0; 5];
    head[0] = kind;
    head[1..].copy_from_slice(&len.to_le_bytes());
    stream.write_all(&head)?;
    stream.write_all(bytes)
}

/// Reads a message, which must be complete by `end`.
fn receive(stream: &mut UnixStream, end: Option<Instant>) -> io::Result<(u8, Secret)> {
    let mut fill = |mut rest: &mut [u8]| -> io::Result<()> {
        while !rest.is_empty() {
            if end.is_some_and(|end| Instant::now() >= end) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match stream.read(rest) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => rest = &mut rest[read..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    let mut head = [0; 5];
    fill(&mut head)?;
    let [kind, len @ ..] = head;
    let len = u32::from_le_bytes(len);
    if len > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut secret = Secret::zeroed(len as usize)?;
    fill(secret.expose_mut())?;
    Ok((kind, secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::options::Echo;

    fn question() -> Question {
        Question {
            details: "a disk\n".into(),
            prompt: "Passphrase".into(),
            id: String::new(),
            echo: Echo::Masked,
        }
    }

    #[test]
    fn a_remote_shell_hears_the_question_and_answers_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/answer");
        let mut listener = Listener::at(path.clone()).expect("it listens");
        assert!(Listener::at(path.clone()).is_err(), "only one listens");
        // The knock of the second one.
        listener.read(None);
        listener.clients.clear();
        listener.ask(&question());
        let mut client = Client(UnixStream::connect(&path).expect("connected"));
        listener.read(None);
        assert!(matches!(client.hear(), Ok(Word::Question(text)) if text == "a disk\nPassphrase: "));
        let secret = Secret::copy_from(b"open\0sesame").expect("a page");
        client.answer(&Passphrase::new(secret)).expect("answered");
        assert_eq!(listener.read(Some(0)).expect("an answer").expose(), b"open\0sesame");
        listener.withdraw();
        assert!(matches!(client.hear(), Ok(Word::Withdrawn)));
        client.0.write_all(b"A\x01\0\0\0x").expect("too late");
        assert!(listener.read(Some(0)).is_none());
        listener.finish(3);
        assert!(matches!(client.hear(), Ok(Word::End(3))));
        assert!(client.hear().is_err());
    }

    #[test]
    fn a_client_that_talks_nonsense_is_shown_the_door() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("answer");
        let mut listener = Listener::at(path.clone()).expect("it listens");
        let mut client = UnixStream::connect(&path).expect("connected");
        listener.read(None);
        client.write_all(b"A\xff\xff\xff\xff").expect("written");
        assert!(listener.read(Some(0)).is_none());
        assert!(listener.clients.is_empty());
        drop(listener);
        assert!(!path.exists());
    }
}
