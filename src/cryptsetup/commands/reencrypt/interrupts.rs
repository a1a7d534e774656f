//! SIGINT and SIGTERM, which end the work between two zones.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::cryptsetup::error::CliError;

/// Holds both signals back, until it is dropped.
pub(super) struct Interrupts {
    fd: SignalFd,
    before: SigSet,
}

impl Interrupts {
    /// Holds them back from now on.
    pub(super) fn hold() -> Result<Self, CliError> {
        let holding = |errno: nix::Error| CliError::io("hold signals back")(errno.into());
        let set: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(holding)?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(holding)?;
        Ok(Self { fd, before })
    }

    /// Whether one has come.
    pub(super) fn came(&self) -> bool {
        matches!(self.fd.read_signal(), Ok(Some(_)))
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // What comes now ends the program as usual.
        while self.came() {}
        let _ = self.before.thread_set_mask();
    }
}
