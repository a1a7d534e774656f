//! Reading a volume's own key on a thread of its own: a script may prompt a person, a device may take its time, and
//! nothing else has to wait for them.

use std::io::{PipeWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use keyslots::secret::Passphrase;

use crate::boot::crypttab::{Entry, KeySource};
use crate::boot::key::{Limits, Located, NoKey};

/// The default time limit of a script: it may prompt a person, who may have to fetch something.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(300);
/// How long to wait for a thread that was told to stop: a script is given a moment to end.
const STOPPING: Duration = Duration::from_secs(2);

/// A key that is being read.
#[derive(Debug)]
pub(super) struct Fetching {
    limits: Limits,
    /// When to stop waiting for it: the read may keep the thread in the kernel, which knows no limits.
    end: Option<Instant>,
    result: Receiver<Result<Passphrase, NoKey>>,
    thread: Option<JoinHandle<()>>,
    is_script: bool,
}

impl Fetching {
    /// Begins, and notifies through `bell` at the end. `patience` is for keys that are not scripts.
    pub(super) fn start(
        located: Located,
        entry: Entry,
        source: PathBuf,
        tried: u32,
        patience: Option<Duration>,
        bell: Arc<PipeWriter>,
    ) -> Self {
        let is_script = matches!(entry.key, KeySource::Script { .. });
        let given = entry.options.timeout.filter(|time| !time.is_zero());
        // A script is ended by its thread, which reports it.
        let (patience, more) = if is_script {
            (Some(given.unwrap_or(SCRIPT_PATIENCE)), STOPPING)
        } else {
            (patience, Duration::ZERO)
        };
        let end = patience.and_then(|patience| Instant::now().checked_add(patience + more));
        let limits = Limits::new(patience);
        let (sender, result) = channel();
        let own = limits.clone();
        let work = move || {
            // The receiver is gone: the key is not needed any more.
            let _ = sender.send(located.read(&entry, &source, tried, &own));
            let _ = (&*bell).write_all(&[0]);
        };
        Self {
            limits,
            end,
            result,
            // Without a thread there is no key, and a prompt appears.
            thread: thread::Builder::new().spawn(work).ok(),
            is_script,
        }
    }

    /// Whether a program runs, which may have the console.
    pub(super) fn is_script(&self) -> bool {
        self.is_script
    }

    /// Whether its time is over. A key that it reads after that is wiped unused.
    pub(super) fn is_overdue(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// The key, once it is read or missing.
    pub(super) fn result(&self) -> Option<Result<Passphrase, NoKey>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(NoKey::Failed("it could not be read".into()))),
        }
    }
}

impl Drop for Fetching {
    /// A program that is killed on drop.
    fn drop(&mut self) {
        self.limits.stop();
        let Some(thread) = self.thread.take().filter(|_| self.is_script) else {
            return;
        };
        let since = Instant::now();
        while !thread.is_finished() && since.elapsed() < STOPPING {
            thread::sleep(Duration::from_millis(20));
        }
    }
}
