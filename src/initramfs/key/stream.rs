//! Reading what may never come: pipes, sockets and the like, with an end to the patience.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use keyslots::secret::{Passphrase, Secret};
use keyslots::units::Bytes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::UnixAddr;

use crate::initramfs::sockets::connect_at_once;
use crate::passphrase::{KeyFileRange, MAX_KEY_FILE};

/// How often it is looked whether the patience is over.
const STEP: Duration = Duration::from_millis(100);

/// For how long something may be waited for.
#[derive(Clone, Debug)]
pub(in crate::initramfs) struct Limits {
    end: Option<Instant>,
    stopped: Arc<AtomicBool>,
}

impl Limits {
    /// So long, or for ever; or until it is stopped.
    pub(in crate::initramfs) fn new(patience: Option<Duration>) -> Self {
        Self {
            end: patience.and_then(|patience| Instant::now().checked_add(patience)),
            stopped: Arc::default(),
        }
    }

    /// Whoever waits under these limits, or a copy of them, gives up.
    pub(in crate::initramfs) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// `TimedOut`, or `Interrupted` where it was stopped.
    pub(super) fn check(&self) -> io::Result<()> {
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

/// Connects to a socket whose server may have no time.
pub(super) fn connect(path: &Path, limits: &Limits) -> io::Result<OwnedFd> {
    let address = UnixAddr::new(path)?;
    loop {
        match connect_at_once(&address) {
            Ok(stream) => return Ok(stream),
            Err(Errno::EAGAIN) => limits.pause()?,
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Reads a range of a stream, which does not block, to its end, into memory that is wiped.
pub(super) fn read(stream: OwnedFd, range: KeyFileRange, limits: &Limits) -> io::Result<Passphrase> {
    let mut stream = File::from(stream);
    let most = range.size.unwrap_or(MAX_KEY_FILE).to_usize().unwrap_or(usize::MAX);
    let mut skip = range.offset;
    let mut secret = Secret::zeroed(4096)?;
    let mut len = 0;
    loop {
        if skip == Bytes::ZERO && range.size.is_some() && len == most {
            break;
        }
        if len == secret.len() {
            if len >= most {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let mut grown = Secret::zeroed(len.saturating_mul(2).min(most))?;
            grown.expose_mut()[..len].copy_from_slice(secret.expose());
            secret = grown;
        }
        let end = if skip == Bytes::ZERO {
            secret.len().min(most)
        } else {
            secret.len().min(skip.to_usize().unwrap_or(usize::MAX))
        };
        limits.wait_for(stream.as_fd())?;
        match stream.read(&mut secret.expose_mut()[len..end]) {
            Ok(0) if skip > Bytes::ZERO || range.size.is_some() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => break,
            // What is skipped is overwritten by what comes next.
            Ok(read) if skip > Bytes::ZERO => skip = skip.checked_sub(Bytes::new(read as u64)).unwrap_or_default(),
            Ok(read) => len += read,
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    secret.truncate(len);
    Ok(Passphrase::new(secret))
}
