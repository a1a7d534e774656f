//! The prompt: reads one line from the terminal without echo, and restores the terminal afterwards, whatever happens.
//!
//! Signals that would end or stop the program while the echo is off are read from a descriptor instead: the terminal is
//! restored first, then they take effect. They are blocked in the calling thread only, so a prompt belongs to a
//! program's only thread, or to one whose other threads block them too.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use keyslots::secret::Passphrase;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{
    FlushArg, LocalFlags, SetArg, SpecialCharacterIndices as Index, Termios, tcflush, tcgetattr, tcsetattr,
};

use super::PassphraseError;
use super::keyfile::{Input, SecretBuffer};
use crate::terminal_text::harmless;

/// The most typed bytes that count. cryptsetup silently ignores the rest of the line, and volumes were made that way.
pub const MAX_INTERACTIVE: usize = 512;

/// How the terminal echoes typed characters meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    Off,
    On,
}

/// Prompts for a passphrase. Standard input must be a terminal.
pub(super) fn ask(prompt: &str, timeout: Option<Duration>) -> Result<Passphrase, PassphraseError> {
    converse(prompt, timeout, Echo::Off)
}

/// Prompts for an answer that may be visible.
pub(super) fn ask_openly(prompt: &str) -> Result<Passphrase, PassphraseError> {
    converse(prompt, None, Echo::On)
}

/// How reading a line ended.
enum Ending {
    Line(Passphrase),
    Signal(Signal),
}

fn converse(prompt: &str, timeout: Option<Duration>, echo: Echo) -> Result<Passphrase, PassphraseError> {
    let stdin = io::stdin();
    let tty = stdin.as_fd();
    // A timeout too large for the clock counts as none.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let signals = Signals::intercept()?;
        // Input typed before the prompt was meant for something else, and is not taken for a passphrase.
        let when = match echo {
            Echo::Off => SetArg::TCSAFLUSH,
            Echo::On => SetArg::TCSADRAIN,
        };
        let quiet = EchoGuard::start(tty, echo, when)?;
        say(tty, prompt);
        let outcome = line(tty, &signals, deadline);
        drop(quiet);
        // The typed new line was not echoed either, or there was none.
        if echo == Echo::Off || !matches!(outcome, Ok(Ending::Line(_))) {
            say(tty, "\n");
        }
        drop(signals);
        match outcome? {
            Ending::Line(passphrase) => return Ok(passphrase),
            Ending::Signal(Signal::SIGINT | Signal::SIGTERM) => return Err(PassphraseError::Interrupted),
            // Ends the program, or stops it: then asks again once it goes on.
            Ending::Signal(signal) => raise(signal).map_err(terminal_error)?,
        }
    }
}

fn line(tty: BorrowedFd<'_>, signals: &Signals, deadline: Option<Instant>) -> Result<Ending, PassphraseError> {
    // One more than the limit: the place through which the rest of a long line passes.
    let mut buffer = SecretBuffer::new(MAX_INTERACTIVE + 1)?;
    loop {
        if let Some(signal) = signals.wait_unless_readable(tty, deadline)? {
            return Ok(Ending::Signal(signal));
        }
        if ends(&mut buffer, tty)? {
            return Ok(Ending::Line(buffer.finish()));
        }
    }
}

/// Takes one byte more; returns whether that ends the line.
fn ends(buffer: &mut SecretBuffer, tty: BorrowedFd<'_>) -> Result<bool, PassphraseError> {
    let read = buffer.read(&Input::of(tty), 1).map_err(|error| match error {
        PassphraseError::Read(source) => PassphraseError::Terminal(source),
        other => other,
    })?;
    if read == 0 && buffer.len() == 0 {
        return Err(PassphraseError::Terminal(io::ErrorKind::UnexpectedEof.into()));
    }
    if read == 0 || buffer.drop_newline() {
        return Ok(true);
    }
    if buffer.len() > MAX_INTERACTIVE {
        buffer.drop_last();
    }
    Ok(false)
}

/// A line that is typed at a terminal while other events are awaited too: the caller polls it. The terminal does not
/// echo as long as this value lives. Signals are up to the caller.
#[derive(Debug)]
pub struct TypedLine {
    quiet: EchoGuard<OwnedFd>,
}

impl TypedLine {
    /// From here on typed characters are hidden, unless `shown` is set.
    ///
    /// # Errors
    /// [`PassphraseError::Terminal`], if it is not a terminal.
    pub fn start(tty: OwnedFd, shown: bool) -> Result<Self, PassphraseError> {
        let echo = if shown { Echo::On } else { Echo::Off };
        // At once: a terminal that is held up (Ctrl-S, a serial line without a listener) would never have shown all.
        let quiet = EchoGuard::start(tty, echo, SetArg::TCSANOW)?;
        // Nothing but Enter ends a line: there is no end of file here, and part of a line would be read as if it were
        // whole. (On Linux 0 is _POSIX_VDISABLE.)
        let mut during = tcgetattr(&quiet.tty).map_err(terminal_error)?;
        for end in [Index::VEOF, Index::VEOL, Index::VEOL2] {
            during.control_chars[end as usize] = 0;
        }
        tcsetattr(&quiet.tty, SetArg::TCSANOW, &during).map_err(terminal_error)?;
        Ok(Self { quiet })
    }

    /// Shows or hides typed characters from here on.
    ///
    /// # Errors
    /// [`PassphraseError::Terminal`].
    pub fn show(&mut self, shown: bool) -> Result<(), PassphraseError> {
        let mut during = tcgetattr(&self.quiet.tty).map_err(terminal_error)?;
        if during.local_flags.contains(LocalFlags::ECHO) == shown {
            return Ok(());
        }
        during.local_flags.set(LocalFlags::ECHO, shown);
        tcsetattr(&self.quiet.tty, SetArg::TCSANOW, &during).map_err(terminal_error)
    }

    /// Discards typed but unread input: the next program on the terminal must not get it.
    pub fn forget(&self) {
        // If it fails, the terminal is gone.
        let _ = tcflush(&self.quiet.tty, FlushArg::TCIFLUSH);
    }

    /// Reads the line. To be called when the terminal is readable, which it is once the line has its end.
    ///
    /// # Errors
    /// [`PassphraseError::Terminal`], also at its end; [`PassphraseError::Memory`].
    pub fn read(&mut self) -> Result<Passphrase, PassphraseError> {
        let mut buffer = SecretBuffer::new(MAX_INTERACTIVE + 1)?;
        while !ends(&mut buffer, self.as_fd())? {}
        Ok(buffer.finish())
    }
}

impl AsFd for TypedLine {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.quiet.tty.as_fd()
    }
}

/// Writes to the terminal that is read, or to standard error where that one is open for reading only.
fn say(tty: BorrowedFd<'_>, text: &str) {
    let text = harmless(text);
    let written = tty
        .try_clone_to_owned()
        .and_then(|fd| std::fs::File::from(fd).write_all(text.as_bytes()));
    if written.is_err() && io::stderr().is_terminal() {
        // If the prompt cannot be shown, still read the answer.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// The terminal without echo, restored on drop.
#[derive(Debug)]
struct EchoGuard<T: AsFd> {
    tty: T,
    before: Termios,
    when: SetArg,
}

impl<T: AsFd> EchoGuard<T> {
    fn start(tty: T, echo: Echo, when: SetArg) -> Result<Self, PassphraseError> {
        let before = tcgetattr(&tty).map_err(terminal_error)?;
        let mut during = before.clone();
        // Line editing stays the terminal's own; one that was left in raw mode would never end a line.
        during.local_flags.insert(LocalFlags::ICANON | LocalFlags::ISIG);
        during.local_flags.set(LocalFlags::ECHO, echo == Echo::On);
        during.local_flags.remove(LocalFlags::ECHONL);
        tcsetattr(&tty, when, &during).map_err(terminal_error)?;
        Ok(Self { tty, before, when })
    }
}

impl<T: AsFd> Drop for EchoGuard<T> {
    fn drop(&mut self) {
        // If it fails, the terminal is gone.
        let _ = tcsetattr(&self.tty, self.when, &self.before);
    }
}

/// The signals that must not arrive while the terminal has no echo; unblocked on drop.
struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    fn intercept() -> Result<Self, PassphraseError> {
        let set = heeded_signals();
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(terminal_error)?;
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(terminal_error)?;
        Ok(Self { fd, before })
    }

    /// Waits for the terminal, and returns the signal that came first.
    fn wait_unless_readable(
        &self,
        tty: BorrowedFd<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<Signal>, PassphraseError> {
        loop {
            let timeout = match deadline.map(|deadline| deadline.checked_duration_since(Instant::now())) {
                None => PollTimeout::NONE,
                Some(None) => return Err(PassphraseError::TimedOut),
                // Rounded up, so that it never spins in the last millisecond; long ones are waited for in parts.
                Some(Some(left)) => PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX),
            };
            let mut fds = [
                PollFd::new(self.fd.as_fd(), PollFlags::POLLIN),
                PollFd::new(tty, PollFlags::POLLIN),
            ];
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(terminal_error(errno)),
            }
            let readable = fds[1].any().unwrap_or(false);
            if let Some(info) = self.fd.read_signal().map_err(terminal_error)? {
                let number = i32::try_from(info.ssi_signo).unwrap_or_default();
                return Signal::try_from(number).map(Some).map_err(terminal_error);
            }
            if readable {
                return Ok(None);
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // The mask was valid when it was read.
        let _ = self.before.thread_set_mask();
    }
}

/// The signals that end or stop a program, except for those that this one ignores (SIGHUP under nohup): if blocked, they
/// would be delivered anyway. Which those are is in proc_pid_status(5), SigIgn; without /proc, none.
pub(crate) fn heeded_signals() -> SigSet {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let heeded = Signal::iterator()
        .filter(|&signal| ends_or_stops(signal))
        .filter(|&signal| ignored & (1 << (signal as u32 - 1)) == 0);
    heeded.collect()
}

/// Whether the signal ends or stops a program that does not handle it: signal(7). Excluded are those that cannot be blocked,
/// those raised by a fault of the program itself, and those that stop a background job, which has no terminal to restore.
fn ends_or_stops(signal: Signal) -> bool {
    use Signal as S;
    let passed_over = matches!(signal, S::SIGCHLD | S::SIGCONT | S::SIGURG | S::SIGWINCH);
    let unblockable = matches!(signal, S::SIGKILL | S::SIGSTOP);
    let fault = matches!(
        signal,
        S::SIGILL | S::SIGTRAP | S::SIGBUS | S::SIGFPE | S::SIGSEGV | S::SIGSYS
    );
    let background = matches!(signal, S::SIGTTIN | S::SIGTTOU);
    !(passed_over || unblockable || fault || background)
}

fn terminal_error(errno: Errno) -> PassphraseError {
    PassphraseError::Terminal(errno.into())
}
