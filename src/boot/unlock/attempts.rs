//! Trying passphrases on volumes, each on a thread of its own, within the budget.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use keyslots::secret::Passphrase;

use super::UnlockError;
use super::map_barrier::Gate;
use super::target::Target;
use crate::boot::budget::{Budget, Cost};

/// The source of a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The volume's own tokens.
    Token,
    /// The volume's own key.
    Own {
        /// Whether it is from a file.
        from_file: bool,
    },
    /// It has opened another volume.
    Known,
    /// A person has just entered it.
    Person,
}

/// What an attempt is made with.
#[derive(Clone, Debug)]
pub(super) enum Secret {
    /// The volume's tokens.
    Tokens,
    /// A passphrase.
    Passphrase(Arc<Passphrase>),
}

/// The outcome of an attempt.
pub(super) struct Tried {
    pub(super) volume: usize,
    pub(super) origin: Origin,
    /// Messages to show once the volume is open.
    pub(super) result: Result<Option<String>, UnlockError>,
    cost: Cost,
}

struct Attempt {
    volume: usize,
    target: Arc<Target>,
    secret: Secret,
    origin: Origin,
}

/// All attempts.
pub(super) struct Attempts {
    budget: Budget,
    waiting: VecDeque<Attempt>,
    running: Vec<JoinHandle<()>>,
    unfinished: usize,
    results: (Sender<Tried>, Receiver<Tried>),
    /// A byte is written here when an attempt ends.
    bell: (PipeReader, Arc<PipeWriter>),
    gate: Arc<Gate>,
}

impl Attempts {
    pub(super) fn new(budget: Budget) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self {
            budget,
            waiting: VecDeque::new(),
            running: Vec::new(),
            unfinished: 0,
            results: channel(),
            bell: (reader, Arc::new(writer)),
            gate: Arc::default(),
        })
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(super) fn add(&mut self, volume: usize, target: Arc<Target>, secret: Secret, origin: Origin) {
        self.waiting.push_back(Attempt {
            volume,
            target,
            secret,
            origin,
        });
    }

    /// Whether nothing waits or runs.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.unfinished == 0
    }

    /// Drops attempts that have not begun, and abandons the others: nothing is mapped from here on.
    pub(super) fn abandon(&mut self) {
        self.waiting.clear();
        self.running.clear();
        self.gate.close();
    }

    /// Where to write a byte when there is something to look at.
    pub(super) fn bell(&self) -> Arc<PipeWriter> {
        self.bell.1.clone()
    }

    /// Starts every attempt that fits, in order; a large one that waits does not block small ones.
    pub(super) fn start(&mut self) {
        let mut at = 0;
        while at < self.waiting.len() {
            let cost = self.waiting[at].target.cost;
            if !self.budget.take(cost) {
                at += 1;
                continue;
            }
            if let Some(attempt) = self.waiting.remove(at) {
                self.run(attempt, cost);
            }
        }
    }

    fn run(&mut self, attempt: Attempt, cost: Cost) {
        self.unfinished += 1;
        let (attempt, results, bell) = (Arc::new(attempt), self.results.0.clone(), self.bell());
        let gate = self.gate.clone();
        let work = move |attempt: &Attempt| {
            let result = attempt.target.open(&attempt.secret, attempt.origin, &gate);
            // The receiver is gone: the outcome is not needed any more.
            let _ = results.send(Tried {
                volume: attempt.volume,
                origin: attempt.origin,
                result,
                cost,
            });
            let _ = (&*bell).write_all(&[0]);
        };
        let (elsewhere, there) = (attempt.clone(), work.clone());
        match thread::Builder::new().spawn(move || there(&elsewhere)) {
            Ok(thread) => self.running.push(thread),
            // If no thread can be started it takes longer, but is done anyway.
            Err(_) => work(&attempt),
        }
    }

    /// The attempts that have ended since the last call.
    pub(super) fn finished(&mut self) -> Vec<Tried> {
        let tried: Vec<Tried> = self.results.1.try_iter().collect();
        for one in &tried {
            self.unfinished -= 1;
            self.budget.give_back(one.cost);
        }
        self.running.retain(|thread| !thread.is_finished());
        tried
    }

    /// Readable when an attempt has ended.
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.bell.0.as_fd()
    }

    /// Whether an attempt has ended since the last call.
    pub(super) fn woken(&mut self) -> bool {
        let ready = nix::poll::poll(
            &mut [nix::poll::PollFd::new(
                self.bell.0.as_fd(),
                nix::poll::PollFlags::POLLIN,
            )],
            nix::poll::PollTimeout::ZERO,
        );
        ready.is_ok_and(|count| count > 0) && self.bell.0.read(&mut [0; 64]).is_ok_and(|read| read > 0)
    }

    /// Waits for the attempts that are still running.
    pub(super) fn join(&mut self) {
        for thread in self.running.drain(..) {
            // It has reported its outcome.
            let _ = thread.join();
        }
    }
}
