//! Writing to a terminal that may be blocked (Ctrl-S, a serial line without a listener): text that is not accepted in time
//! is lost, and the machine boots on.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The time limit for one text; the slowest serial lines transmit a screenful in that time.
const PATIENCE: Duration = Duration::from_secs(1);
/// Small enough to fit if there is room at all.
const PIECE: usize = 128;

/// The destination of a text.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    /// The last text was not accepted: the next one does not wait for room.
    stuck: Cell<bool>,
}

impl Sink {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            stuck: Cell::new(false),
        }
    }

    /// A terminal that is already open, by a description of our own that does not block: others use the existing one.
    pub(super) fn of_terminal(tty: File) -> Self {
        let again = || -> io::Result<File> {
            let path = nix::unistd::ttyname(&tty)?;
            let flags = libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK;
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(flags)
                .open(path)?;
            let same = file.metadata()?.rdev() == tty.metadata()?.rdev();
            same.then_some(file).ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        Self::new(again().unwrap_or(tty))
    }

    /// Standard error, where it is open.
    pub(super) fn of_errors() -> Option<Self> {
        io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .ok()
            .map(|fd| Self::new(fd.into()))
    }

    pub(super) fn write(&self, text: &str) {
        let end = Instant::now() + if self.stuck.get() { Duration::ZERO } else { PATIENCE };
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            if !matches!(
                poll(&mut [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)], timeout),
                Ok(1..)
            ) {
                self.stuck.set(true);
                return;
            }
            match (&self.file).write(&rest[..rest.len().min(PIECE)]) {
                Ok(written) => rest = &rest[written..],
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                // If it cannot be written to, others still can.
                Err(_) => return,
            }
        }
        self.stuck.set(false);
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn an_unread_terminal_blocks_nothing() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let sink = Sink::new(std::os::fd::OwnedFd::from(writer).into());
        sink.write("first\n");
        let started = Instant::now();
        for _ in 0..20 {
            sink.write(&"x".repeat(10_000));
        }
        assert!(started.elapsed() < 10 * PATIENCE);
        let mut first = [0; 6];
        reader.read_exact(&mut first).expect("read");
        assert_eq!(&first, b"first\n");
        // There is room again.
        let mut all = vec![0; 65_536];
        let _ = reader.read(&mut all).expect("read");
        sink.write("last\n");
        drop(sink);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).expect("read");
        assert!(rest.ends_with("last\n"), "{}", rest.len());
    }
}
