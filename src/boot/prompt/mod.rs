//! Prompting a person: on every console, through plymouth, through systemd's password agents, and from a remote shell;
//! the first answer counts. Nothing here blocks but [`Prompts::wait`], which waits for all of them at once.
//!
//! Where plymouth or systemd has the screen, the consoles are theirs and are left alone.

mod agent;
mod console;
mod plymouth;
mod question;
pub mod remote;
pub mod responder;
mod tty_writer;

use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use keyslots::secret::Passphrase;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use self::agent::{Agent, Reply};
use self::console::Consoles;
use self::plymouth::{Plymouth, Splash};
use self::remote::Listener;
use crate::passphrase::{self, KeyFileRange, heeded_signals};

pub use self::console::caps_lock;
pub use self::question::Question;

/// A person takes longer than this to refuse.
const TOO_SOON: Duration = Duration::from_millis(200);

/// The outcome of waiting.
#[derive(Debug)]
pub enum Event {
    /// An answer came.
    Answer(Passphrase),
    /// A signal asks the program to end.
    Stop,
    /// No way to an answer is left.
    Deaf,
    /// The time is over, or an event other than an answer came.
    Nothing,
}

/// All the ways to a person.
#[derive(Debug)]
pub struct Prompts {
    signals: SignalFd,
    consoles: Consoles,
    /// Standard input, if it is not a terminal: each line is a passphrase.
    piped: bool,
    /// Whether standard input was meant to have the answers.
    was_piped: bool,
    splash: Splash,
    plymouth: Option<Plymouth>,
    agent: Option<Agent>,
    agents_asked: Option<Instant>,
    remote: Option<Listener>,
    asking: Option<Question>,
    /// The last progress line.
    told: Option<String>,
}

impl Prompts {
    /// Finds out which ways are available. Blocks the signals that end a program, so that a terminal is never left
    /// without echo: to be called before the first thread.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        let set = heeded_signals();
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let piped = !io::stdin().is_terminal() && console::stdin_is_pipe_or_file();
        let mut splash = Splash::default();
        let mut consoles = Consoles::find();
        let is_theirs = splash.is_there() || !io::stdin().is_terminal() && agent::has_system();
        if !piped && !is_theirs {
            consoles.take();
        }
        Ok(Self {
            signals,
            piped,
            was_piped: piped,
            consoles,
            splash,
            plymouth: None,
            agent: None,
            agents_asked: None,
            remote: Listener::new().ok(),
            asking: None,
            told: None,
        })
    }

    /// Asks, unless the same question is open.
    pub fn ask(&mut self, question: &Question) {
        if self.asking.as_ref() == Some(question) {
            return;
        }
        self.withdraw();
        self.asking = Some(question.clone());
        if let Some(remote) = &mut self.remote {
            remote.ask(question);
        }
        if self.piped {
            return;
        }
        self.plymouth = self.splash.ask(&question.prompt);
        if self.plymouth.is_none() && !io::stdin().is_terminal() {
            self.agent = Agent::ask(question);
            self.agents_asked = Some(Instant::now());
        }
        if self.plymouth.is_none() && self.agent.is_none() {
            self.consoles.ask(question);
        }
    }

    /// Withdraws the question: it is answered, or is not needed any more.
    pub fn withdraw(&mut self) {
        if self.asking.take().is_none() {
            return;
        }
        self.plymouth = None;
        self.agent = None;
        self.consoles.withdraw();
        if let Some(remote) = &mut self.remote {
            remote.withdraw();
        }
    }

    /// Whether a question is open.
    pub fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Shows everywhere a message that stays on the screen.
    pub fn say(&mut self, text: &str) {
        if !self.splash.show(text) {
            self.consoles.say(text);
        }
        if let Some(remote) = &mut self.remote {
            remote.say(text);
        }
    }

    /// Shows progress, in a line that is overwritten; `None` clears it.
    pub fn progress(&mut self, text: Option<&str>) {
        if self.told.as_deref() == text {
            return;
        }
        self.told = text.map(str::to_owned);
        self.consoles.progress(text);
        if let Some(text) = text {
            self.splash.show(text);
            if let Some(remote) = &mut self.remote {
                remote.progress(text);
            }
        }
    }

    /// Tells remote shells the outcome.
    pub fn finish(&mut self, code: u8) {
        self.withdraw();
        self.progress(None);
        if let Some(remote) = &mut self.remote {
            remote.finish(code);
        }
    }

    /// Waits for an answer, for `wake`, or for the time to pass.
    ///
    /// # Errors
    /// The system's, where it cannot wait.
    pub fn wait(&mut self, wake: BorrowedFd<'_>, limit: Duration) -> io::Result<Event> {
        self.consoles.refresh();
        let ready = self.poll(wake, limit)?;
        if ready.contains(&Source::Signal)
            && let Some(signal) = self.signals.read_signal()?
        {
            if i32::try_from(signal.ssi_signo) != Ok(Signal::SIGTSTP as i32) {
                return Ok(Event::Stop);
            }
            self.pause()?;
            return Ok(Event::Nothing);
        }
        // The last first: removing one shifts those behind it.
        for source in ready.into_iter().rev() {
            let answer = match source {
                Source::Signal | Source::Wake => None,
                Source::Console(at) => self.consoles.read(at),
                Source::Pipe => match passphrase::read_line(KeyFileRange::ALL) {
                    Ok(passphrase) => Some(passphrase),
                    Err(_) => {
                        self.piped = false;
                        None
                    }
                },
                Source::Plymouth => match self.plymouth.take().map(Plymouth::read) {
                    Some(Some(passphrase)) => Some(passphrase),
                    // It went away, perhaps because the person pressed Escape: the consoles take over.
                    _ => {
                        self.take_over();
                        None
                    }
                },
                Source::Agent => match self.agent.as_mut().and_then(Agent::read) {
                    Some(Reply::Answer(passphrase)) => Some(passphrase),
                    Some(Reply::Refused) => {
                        self.ask_agents_again();
                        None
                    }
                    None => None,
                },
                Source::Remote(at) => self.remote.as_mut().and_then(|remote| remote.read(at)),
            };
            if let Some(passphrase) = answer {
                self.withdraw();
                return Ok(Event::Answer(passphrase));
            }
        }
        Ok(if self.is_deaf() { Event::Deaf } else { Event::Nothing })
    }

    /// Stops as on Ctrl-Z, with the terminals restored, and asks again when it is continued. If no process could continue
    /// it, the kernel does not stop it.
    fn pause(&mut self) -> io::Result<()> {
        let asking = self.asking.clone();
        let taken = self.consoles.are_taken();
        self.withdraw();
        self.consoles.give_back();
        let stop: SigSet = [Signal::SIGTSTP].into_iter().collect();
        raise(Signal::SIGTSTP)?;
        stop.thread_unblock()?;
        // Stopped, and continued, at this point.
        stop.thread_block()?;
        if taken {
            self.consoles.take();
        }
        if let Some(question) = asking {
            self.ask(&question);
        }
        Ok(())
    }

    /// A new question, since the agents are done with the old one. But not for an agent that refuses by itself.
    fn ask_agents_again(&mut self) {
        // The old one is removed first: the new one has the same name.
        self.agent = None;
        if self.agents_asked.is_none_or(|asked| asked.elapsed() >= TOO_SOON) {
            self.agent = self.asking.as_ref().and_then(Agent::ask);
            self.agents_asked = Some(Instant::now());
        }
        if self.agent.is_none() {
            self.take_over();
        }
    }

    fn take_over(&mut self) {
        if let Some(question) = &self.asking {
            self.consoles.ask(question);
        }
    }

    /// A remote shell may still connect, but is not waited for if standard input was meant to have the answer.
    fn is_deaf(&self) -> bool {
        let local = self.piped || self.plymouth.is_some() || self.agent.is_some() || !self.consoles.is_empty();
        let remote = self.remote.is_some() && !self.was_piped;
        self.asking.is_some() && !local && !remote
    }

    fn poll(&self, wake: BorrowedFd<'_>, limit: Duration) -> io::Result<Vec<Source>> {
        let stdin = io::stdin();
        let mut sources = vec![(Source::Signal, self.signals.as_fd()), (Source::Wake, wake)];
        if self.asking.is_some() {
            sources.extend(self.consoles.lines().map(|(at, fd)| (Source::Console(at), fd)));
            if self.piped {
                sources.push((Source::Pipe, stdin.as_fd()));
            }
            sources.extend(
                self.plymouth
                    .iter()
                    .map(|plymouth| (Source::Plymouth, plymouth.as_fd())),
            );
            sources.extend(self.agent.iter().map(|agent| (Source::Agent, agent.as_fd())));
        }
        let remote = self.remote.iter().flat_map(Listener::sources);
        sources.extend(remote.map(|(at, fd)| (Source::Remote(at), fd)));
        let mut fds: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN))
            .collect();
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = sources
            .into_iter()
            .zip(&fds)
            .filter(|(_, fd)| fd.any().unwrap_or(false));
        Ok(ready.map(|((source, _), _)| source).collect())
    }
}

/// A file descriptor that became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Signal,
    Wake,
    Console(usize),
    Pipe,
    Plymouth,
    Agent,
    /// A remote shell by its place, or a new one.
    Remote(Option<usize>),
}
