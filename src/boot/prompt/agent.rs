//! systemd's password agents, as its document "Password Agents" describes them: a question is a file in
//! `/run/systemd/ask-password`, the answer a datagram of a privileged process.

use std::fs::{self, File, OpenOptions};
use std::io::{IoSliceMut, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use keyslots::secret::{Passphrase, Secret};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt, sockopt};

use super::question::Question;
use crate::boot::options::Echo;

const FOLDER: &str = "/run/systemd/ask-password";
/// Exists where systemd is the first process.
const BOOTED: &str = "/run/systemd/system";
/// More than any agent sends.
const MAX_ANSWER: usize = 4096;

/// Whether systemd runs, which then owns the consoles.
pub(super) fn has_system() -> bool {
    Path::new(BOOTED).is_dir()
}

/// The answer of an agent.
#[derive(Debug)]
pub(super) enum Reply {
    /// The passphrase.
    Answer(Passphrase),
    /// The person pressed Ctrl-C. The agent does not ask again by itself.
    Refused,
}

/// A question that the agents have; withdrawn on drop.
#[derive(Debug)]
pub(super) struct Agent {
    socket: UnixDatagram,
    socket_path: PathBuf,
    file: PathBuf,
}

impl Agent {
    /// Asks, where systemd runs.
    pub(super) fn ask(question: &Question) -> Option<Self> {
        has_system()
            .then(|| Self::ask_in(Path::new(FOLDER), question))
            .flatten()
    }

    fn ask_in(folder: &Path, question: &Question) -> Option<Self> {
        fs::create_dir_all(folder).ok()?;
        let own = format!("luksmith-{}", std::process::id());
        let socket_path = folder.join(format!("sck.{own}"));
        let _ = fs::remove_file(&socket_path);
        let socket = UnixDatagram::bind(&socket_path).ok()?;
        // From here on its drop cleans up.
        let agent = Self {
            socket,
            socket_path,
            file: folder.join(format!("ask.{own}")),
        };
        setsockopt(&agent.socket, sockopt::PassCred, &true).ok()?;
        agent.socket.set_nonblocking(true).ok()?;
        let hidden = folder.join(format!("tmp.{own}"));
        let mut file: File = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&hidden)
            .ok()?;
        let written = file.write_all(agent.text(question).as_bytes());
        // The agents look when the name appears, so it appears when the file is complete.
        written.and_then(|()| fs::rename(&hidden, &agent.file)).ok()?;
        Some(agent)
    }

    fn text(&self, question: &Question) -> String {
        let echo = match question.echo {
            Echo::Plain => "1",
            Echo::Masked => "0",
            Echo::Silent => "0\nSilent=1",
        };
        format!(
            "[Ask]\nPID={}\nSocket={}\nAcceptCached=0\nEcho={echo}\nNotAfter=0\nMessage={}:\nIcon=drive-harddisk\nId={}\n",
            std::process::id(),
            self.socket_path.display(),
            question.prompt.replace('\n', " "),
            question.id
        )
    }

    /// The answer; `None` if the sender is not permitted to answer, or the message is invalid.
    pub(super) fn read(&mut self) -> Option<Reply> {
        let mut secret = Secret::zeroed(MAX_ANSWER).ok()?;
        let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        let (len, sender) = {
            let mut slices = [IoSliceMut::new(secret.expose_mut())];
            let fd = self.socket.as_raw_fd();
            let message = recvmsg::<UnixAddr>(fd, &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).ok()?;
            let sender = message.cmsgs().ok()?.find_map(|control| match control {
                ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.uid()),
                _ => None,
            });
            (message.bytes, sender)
        };
        let allowed = sender.is_some_and(|uid| uid == 0 || uid == nix::unistd::geteuid().as_raw());
        match secret.expose().get(..len).filter(|_| allowed)? {
            [b'+', answer @ ..] => {
                let end = answer.iter().position(|byte| *byte == 0).unwrap_or(answer.len());
                let answer = Secret::copy_from(&answer[..end]).ok()?;
                Some(Reply::Answer(Passphrase::new(answer)))
            }
            [b'-', ..] => Some(Reply::Refused),
            _ => None,
        }
    }
}

impl AsFd for Agent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // An agent withdraws its question when the file is removed.
        let _ = fs::remove_file(&self.file);
        let _ = fs::remove_file(&self.socket_path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_finds_the_question_and_answers_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let question = Question {
            details: String::new(),
            prompt: "Please unlock disk root".into(),
            id: "cryptsetup:/dev/sda2".into(),
            echo: Echo::Masked,
        };
        let mut agent = Agent::ask_in(folder.path(), &question).expect("asked");
        let files: Vec<_> = fs::read_dir(folder.path()).expect("a folder").flatten().collect();
        let file = files
            .iter()
            .find(|file| file.file_name().to_string_lossy().starts_with("ask."))
            .expect("a question");
        let text = fs::read_to_string(file.path()).expect("its text");
        assert!(
            text.starts_with("[Ask]\n") && text.contains("\nMessage=Please unlock disk root:\n"),
            "{text}"
        );
        assert!(text.contains("\nId=cryptsetup:/dev/sda2\n"), "{text}");
        let socket = text
            .lines()
            .find_map(|line| line.strip_prefix("Socket="))
            .expect("a socket");
        let theirs = UnixDatagram::unbound().expect("a socket");
        theirs.send_to(b"-", socket).expect("sent");
        assert!(matches!(agent.read(), Some(Reply::Refused)));
        theirs.send_to(b"?", socket).expect("sent");
        assert!(agent.read().is_none());
        theirs.send_to(b"+pass phrase", socket).expect("sent");
        assert!(matches!(agent.read(), Some(Reply::Answer(answer)) if answer.expose() == b"pass phrase"));
        drop(agent);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
