//! Reading from pipes, sockets and the like, which may stay silent, with a time limit.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use keyslots::secret::Passphrase;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::UnixAddr;

use crate::boot::sockets::connect_as;
use crate::passphrase::{self, KeyFileRange, PassphraseError};

/// How often the time limit is checked.
const STEP: Duration = Duration::from_millis(100);

/// The limits of a wait.
#[derive(Clone, Debug)]
pub(in crate::boot) struct Limits {
    end: Option<Instant>,
    stopped: Arc<AtomicBool>,
}

impl Limits {
    /// This long, or for ever; or until it is stopped.
    pub(in crate::boot) fn new(patience: Option<Duration>) -> Self {
        Self {
            end: patience.and_then(|patience| Instant::now().checked_add(patience)),
            stopped: Arc::default(),
        }
    }

    /// Ends every wait under these limits, or a copy of them.
    pub(in crate::boot) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// `TimedOut`, or `Interrupted` where it was stopped.
    pub(in crate::boot) fn check(&self) -> io::Result<()> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        if self.end.is_some_and(|end| Instant::now() >= end) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Waits a moment.
    pub(super) fn pause(&self) -> io::Result<()> {
        self.check()?;
        thread::sleep(STEP);
        Ok(())
    }

    fn wait_for(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let step = PollTimeout::try_from(STEP).unwrap_or(PollTimeout::ZERO);
        loop {
            self.check()?;
            match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], step) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The name of this end, by which a server of several keys knows which volume is meant, as described in systemd's
/// crypttab(5): a random word, which makes it unique, and the volume.
fn own_address(volume: &str) -> io::Result<UnixAddr> {
    let random = keyslots::secret::Secret::random(8)?;
    let random: String = random.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(UnixAddr::new_abstract(
        format!("{random}/cryptsetup/{volume}").as_bytes(),
    )?)
}

/// Connects to a socket whose server may be busy.
pub(super) fn connect(path: &Path, volume: &str, limits: &Limits) -> io::Result<OwnedFd> {
    let address = UnixAddr::new(path)?;
    loop {
        match connect_as(&own_address(volume)?, &address) {
            Ok(stream) => return Ok(stream),
            Err(Errno::EAGAIN) => limits.pause()?,
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Reads a range of a stream, which does not block, to its end, into memory that is wiped.
pub(super) fn read(stream: OwnedFd, range: KeyFileRange, limits: &Limits) -> io::Result<Passphrase> {
    passphrase::from_slow_stream(stream.as_fd(), range, &|fd| limits.wait_for(fd)).map_err(|error| match error {
        PassphraseError::Read(source) | PassphraseError::Memory(source) => source,
        error => io::Error::other(error),
    })
}
