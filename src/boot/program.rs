//! Programs that are started while a prompt may be on the terminal.

use std::io;
use std::process::{Child, Command};

use nix::sys::signal::{SigSet, SigmaskHow};

/// Starts it with the signals unblocked that end it; in this program they are blocked.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let before = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let spawned = command.spawn();
    before.thread_set_mask()?;
    spawned
}
