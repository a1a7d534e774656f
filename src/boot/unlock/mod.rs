//! Many volumes with few prompts: a passphrase is tried on every volume that waits, derivations run in parallel within
//! the budget, and known passphrases are tried on late devices before the next prompt.
//!
//! One thread waits for everything; the derivations have threads of their own. A wrong answer costs a try of each volume
//! that it was tried on, but only if it opened none: a user with two passphrases makes no mistake by entering one of
//! them.

mod already_open;
mod attempts;
mod error;
mod format;
mod hindrance;
mod key_fetch;
mod map_barrier;
mod passphrase_cache;
mod post_open;
mod status_text;
mod target;
mod volume;
mod waits;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyslots::kdf::KeptMemory;
use keyslots::secret::Passphrase;
use keyslots::units::Bytes;

use self::attempts::{Attempts, Origin, Secret, Tried};
use self::passphrase_cache::Answer;
use self::target::Permissions;
use self::volume::Volume;
use super::budget::Budget;
use super::crypttab::Entry;
use super::dependencies::Dependencies;
use super::devices::Devices;
use super::in_flight;
use super::key;
use super::prompt::{Event, Prompts};
use crate::dm::{Dm, DmError};

pub use self::error::UnlockError;
pub(in crate::boot) use self::format::{assumed, header_path, says_plain};
pub use self::volume::Outcome;

/// How long to wait for events without a notification.
const TICK: Duration = Duration::from_millis(200);
/// How often to scan all devices even if the kernel has reported no change.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Permissions and time limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The memory limit of key derivations, if it is less than what is available.
    pub memory: Option<Bytes>,
    /// The default time for a device to appear; `None` is for ever.
    pub device_timeout: Option<Duration>,
    /// Whether a key may be passed to the kernel through a keyring.
    pub keyring: bool,
    /// Whether `swap` and `tmp` may destroy what a device held before.
    pub destroy: bool,
    /// Whether passphrases are only tested, and nothing is mapped.
    pub only_try: bool,
}

/// The outcome for one volume.
#[derive(Debug)]
pub struct Finished {
    /// The name of its entry.
    pub name: String,
    /// Whether the machine can do without it.
    pub optional: bool,
    /// Its outcome.
    pub outcome: Outcome,
}

/// Unlocks all entries, in their order where it matters, and returns the outcome of each.
///
/// # Errors
/// The device-mapper's, if it is unavailable; the system's, if it cannot wait.
pub fn unlock(entries: Vec<Entry>, settings: &Settings, prompts: &mut Prompts) -> Result<Vec<Finished>, EngineError> {
    // Whatever happens, a device that does not answer must not block the end of the program.
    let _leave = OnDrop(in_flight::leave_behind);
    let mut engine = Engine::new(entries, settings, prompts)?;
    if !settings.only_try {
        engine.mark_open(&Dm::open()?)?;
    }
    engine.fail_circles();
    engine.run()?;
    let finished = engine.volumes.into_iter().map(|volume| Finished {
        name: volume.entry.name.clone(),
        optional: volume.is_optional(),
        outcome: volume.outcome.unwrap_or(Outcome::Failed(UnlockError::Stopped)),
    });
    Ok(finished.collect())
}

/// Runs a function at the end, however that comes.
struct OnDrop(fn());

impl Drop for OnDrop {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// An error that prevents all unlocking.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The device-mapper's.
    #[error(transparent)]
    Dm(#[from] DmError),
    /// The system's.
    #[error(transparent)]
    Io(#[from] io::Error),
}

struct Engine<'a> {
    volumes: Vec<Volume>,
    dependencies: Dependencies,
    attempts: Attempts,
    prompts: &'a mut Prompts,
    permissions: Permissions,
    device_timeout: Option<Duration>,
    /// Passphrases that have opened a volume.
    known: Vec<Arc<Passphrase>>,
    /// The answer that is being tried.
    answer: Option<Answer>,
    /// The first of two answers that have to match, and its purpose.
    to_verify: Option<(usize, Passphrase)>,
    /// When derivations began to run without a pause.
    deriving_since: Option<Instant>,
    quiet_since: Instant,
    _kept: KeptMemory,
}

impl<'a> Engine<'a> {
    fn new(entries: Vec<Entry>, settings: &Settings, prompts: &'a mut Prompts) -> io::Result<Self> {
        Ok(Self {
            dependencies: Dependencies::of(&entries),
            volumes: entries.into_iter().map(Volume::new).collect(),
            attempts: Attempts::new(Budget::new(settings.memory))?,
            prompts,
            permissions: Permissions {
                keyring: settings.keyring,
                destroy: settings.destroy,
                only_try: settings.only_try,
            },
            device_timeout: settings.device_timeout,
            known: Vec::new(),
            answer: None,
            to_verify: None,
            deriving_since: None,
            quiet_since: Instant::now(),
            _kept: KeptMemory::start(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::default();
        loop {
            for tried in self.attempts.finished() {
                self.note(tried);
            }
            if events.look() {
                self.look();
            }
            self.attempts.start();
            if self.volumes.iter().all(Volume::is_done) {
                break;
            }
            self.volumes.iter_mut().for_each(Volume::check_patience);
            self.ask();
            self.show_progress();
            match self.prompts.wait(self.attempts.wake(), TICK)? {
                Event::Answer(passphrase) => self.answered(passphrase),
                Event::Stop => self.give_up(|| UnlockError::Stopped),
                Event::Deaf if self.attempts.is_idle() => self.nobody_answers(),
                Event::Deaf | Event::Nothing => {}
            }
            if self.attempts.woken() {
                events.now();
            }
        }
        self.prompts.withdraw();
        self.prompts.progress(None);
        self.attempts.join();
        self.erase_keys();
        Ok(())
    }

    /// Erases the key files for a single use that were used.
    fn erase_keys(&mut self) {
        if self.permissions.only_try {
            return;
        }
        for volume in self.volumes.iter().filter(|volume| volume.is_done_with_key()) {
            if let Some(Err(error)) = key::erase(&volume.entry) {
                let text = format!("{}: its key file could not be erased: {error}.", volume.entry.name);
                self.prompts.say(&text);
            }
        }
    }

    /// Finds new devices and keys.
    fn look(&mut self) {
        let devices = Devices::at_a_glance();
        let others_done = self
            .volumes
            .iter()
            .all(|volume| volume.is_done() || volume.is_optional());
        let mut notes = Vec::new();
        for at in 0..self.volumes.len() {
            let waits = self.waits(at);
            let volume = &mut self.volumes[at];
            volume.waits = waits;
            let budget = self.attempts.budget();
            let patience = self.device_timeout;
            volume.look(&devices, budget, self.permissions, patience, others_done, &mut notes);
            if volume.tokens_are_due() {
                self.try_on(at, Secret::Tokens, Origin::Token);
            } else if let Some(found) = volume.own_key(&devices, &mut notes, || self.attempts.bell()) {
                let origin = Origin::Own {
                    from_file: found.from_file,
                };
                self.try_on(at, Secret::Passphrase(Arc::new(found.passphrase)), origin);
            }
            self.try_known(at);
        }
        for note in notes {
            self.prompts.say(&note);
        }
    }

    /// Tries passphrases that have opened another volume before the next prompt.
    fn try_known(&mut self, at: usize) {
        let volume = &mut self.volumes[at];
        if self.answer.is_some() || !volume.shares_passphrases() {
            return;
        }
        if let Some(passphrase) = self.known.get(volume.tried_known).cloned() {
            volume.tried_known += 1;
            self.try_on(at, Secret::Passphrase(passphrase), Origin::Known);
        }
    }

    fn try_on(&mut self, at: usize, secret: Secret, origin: Origin) {
        let volume = &mut self.volumes[at];
        if let Some(target) = volume.target.clone() {
            volume.pending += 1;
            self.attempts.add(at, target, secret, origin);
        }
    }

    /// Handles the outcome of an attempt.
    fn note(&mut self, tried: Tried) {
        let volume = &mut self.volumes[tried.volume];
        volume.pending -= 1;
        let opened = tried.result.is_ok();
        let name = volume.entry.name.clone();
        match (tried.result, tried.origin) {
            (Ok(note), _) => {
                volume.outcome = Some(Outcome::Opened);
                let done = if self.permissions.only_try {
                    "can be opened"
                } else {
                    "is open"
                };
                if !volume.entry.options.quiet {
                    self.prompts.say(&format!("{name} {done}."));
                }
                if let Some(note) = note {
                    self.prompts.say(&format!("{name}: {note}."));
                }
            }
            (Err(error), Origin::Person) if error.is_wrong_passphrase() => {
                if let Some(answer) = &mut self.answer {
                    answer.refused.push((tried.volume, error));
                }
            }
            // Unplugged, or replugged.
            (Err(UnlockError::Replaced(_)), _) => volume.begin_anew(),
            (Err(error @ UnlockError::FinalNewline { .. }), _) => self.prompts.say(&format!("{name}: {error}.")),
            // Another key, or a person, may have the right one.
            (Err(error), _) if error.is_wrong_passphrase() => {}
            (Err(error @ UnlockError::Token(_)), _) => self.prompts.say(&format!("{name}: {error}.")),
            (Err(error), _) => {
                self.prompts.say(&format!("{name}: {error}."));
                volume.fail(error);
            }
        }
        if tried.origin == Origin::Person
            && let Some(answer) = &mut self.answer
        {
            answer.pending -= 1;
            answer.opened += u32::from(opened);
            if answer.pending == 0 {
                self.end_answer();
            }
        }
    }

    /// Waits for volumes that may still open without a person.
    fn nobody_answers(&mut self) {
        for volume in self.volumes.iter_mut().filter(|volume| volume.wants_person()) {
            volume.fail(UnlockError::NobodyToAsk);
        }
    }

    /// Ends, without waiting for derivations.
    fn give_up(&mut self, error: impl Fn() -> UnlockError) {
        self.attempts.abandon();
        // Mappings made before the gate was closed remain.
        for tried in self.attempts.finished() {
            self.note(tried);
        }
        for volume in &mut self.volumes {
            volume.stop();
            if !volume.is_done() {
                volume.fail(error());
            }
        }
    }
}

/// When to scan the devices: after each change that the kernel reports, and now and then.
#[derive(Debug, Default)]
struct Events {
    sequence: Option<String>,
    looked: Option<Instant>,
}

impl Events {
    fn look(&mut self) -> bool {
        let sequence = std::fs::read_to_string("/sys/kernel/uevent_seqnum").ok();
        let due = self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) || sequence != self.sequence;
        if due {
            self.looked = Some(Instant::now());
            self.sequence = sequence;
        }
        due
    }

    fn now(&mut self) {
        self.looked = None;
    }
}
