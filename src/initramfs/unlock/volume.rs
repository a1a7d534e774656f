//! One volume on its way from a line of crypttab to a mapping: what it waits for, and what was tried.

use std::io::PipeWriter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyslots::secret::Passphrase;

use super::UnlockError;
use super::fetching::Fetching;
use super::format::header_place;
use super::target::{Permissions, Target};
use crate::initramfs::budget::Budget;
use crate::initramfs::crypttab::{Entry, KeySource};
use crate::initramfs::devices::Devices;
use crate::initramfs::key::{self, NoKey};
use crate::initramfs::source::DeviceSpec;

/// How often a person may try where nothing is said, as both crypttabs have it.
const TRIES: u32 = 3;
/// How long a device with a key may take to appear where nothing is said.
const KEY_PATIENCE: Duration = Duration::from_secs(20);

/// How a volume ended.
#[derive(Debug)]
pub enum Outcome {
    /// It was opened.
    Opened,
    /// It was open already.
    WasOpen,
    /// It is not open.
    Failed(UnlockError),
}

/// A passphrase that the volume itself has found.
pub(super) struct FoundKey {
    pub(super) passphrase: Passphrase,
    pub(super) from_file: bool,
}

/// A volume.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) entry: Entry,
    pub(super) target: Option<Arc<Target>>,
    pub(super) outcome: Option<Outcome>,
    /// Attempts that wait or run.
    pub(super) pending: u32,
    /// How many of the passphrases that are known were tried.
    pub(super) tried_known: usize,
    /// Wrong answers of a person.
    pub(super) wrong: u32,
    /// Since when a person is asked for it.
    pub(super) asked_since: Option<Instant>,
    started: Instant,
    /// Since when its own key is looked for.
    key_since: Option<Instant>,
    /// How often its own key was tried.
    key_tried: u32,
    key_state: KeyState,
    fetching: Option<Fetching>,
    /// Its key was read from its file at some time, whatever became of the device since.
    key_was_read: bool,
}

/// What there is of a key that needs no person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyState {
    /// An empty passphrase comes first.
    Empty,
    /// Its own key is looked for.
    Own,
    /// A person is asked.
    Person,
}

impl Volume {
    pub(super) fn new(entry: Entry) -> Self {
        let key_state = match (&entry.key, entry.options.try_empty_password) {
            (_, true) => KeyState::Empty,
            (KeySource::Ask, false) => KeyState::Person,
            _ => KeyState::Own,
        };
        Self {
            entry,
            target: None,
            outcome: None,
            pending: 0,
            tried_known: 0,
            wrong: 0,
            asked_since: None,
            started: Instant::now(),
            key_since: None,
            key_tried: 0,
            key_state,
            fetching: None,
            key_was_read: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.outcome.is_some()
    }

    /// Whether the machine can do without it.
    pub(super) fn is_optional(&self) -> bool {
        self.entry.options.nofail
    }

    pub(super) fn fail(&mut self, error: UnlockError) {
        self.outcome = Some(Outcome::Failed(error));
    }

    /// Looks for the device, unless it is found or given up. A volume that the machine can do without is not waited for
    /// once `others_done`, unless its options say how long.
    pub(super) fn look(
        &mut self,
        devices: &Devices,
        budget: &Budget,
        permissions: Permissions,
        patience: Option<Duration>,
        others_done: bool,
        notes: &mut Vec<String>,
    ) {
        if self.is_done() {
            return;
        }
        if self.pending == 0 && self.target.as_ref().is_some_and(|target| !target.is_there()) {
            self.begin_anew();
        }
        if self.target.is_some() {
            return;
        }
        match Target::find(&self.entry, devices, budget, permissions) {
            Ok(Some(target)) => {
                let all = devices.all_of(&self.entry.source);
                if all.len() > 1 {
                    let all: Vec<_> = all.iter().map(|path| path.display().to_string()).collect();
                    let source = &self.entry.source;
                    notes.push(format!(
                        "{}: {source} is on each of {}; the first is taken.",
                        self.entry.name,
                        all.join(", ")
                    ));
                }
                self.target = Some(Arc::new(target));
            }
            Ok(None) => {
                let own = self.entry.options.device_timeout;
                let patience = own.or(patience).filter(|patience| !patience.is_zero());
                let waited = self.started.elapsed();
                let given_up = self.is_optional() && own.is_none() && others_done;
                if given_up || patience.is_some_and(|patience| waited >= patience) {
                    self.fail(self.missing(devices, waited));
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn missing(&self, devices: &Devices, waited: Duration) -> UnlockError {
        match header_place(&self.entry.options) {
            Some(header) if devices.find(&self.entry.source).is_some() => UnlockError::HeaderMissing {
                header: header.clone(),
                waited,
            },
            _ => {
                let device = self.entry.source.clone();
                match devices.parts_of(&device) {
                    Some(parts) => UnlockError::OnlyParts { device, parts, waited },
                    None => UnlockError::DeviceMissing { device, waited },
                }
            }
        }
    }

    /// The next key that needs no person, once the device is there. Says in `notes` why a person is asked instead. What
    /// takes its time rings the `bell`.
    pub(super) fn own_key(
        &mut self,
        devices: &Devices,
        notes: &mut Vec<String>,
        bell: impl FnOnce() -> Arc<PipeWriter>,
    ) -> Option<FoundKey> {
        let target = self.target.as_ref()?;
        if self.is_done() || self.pending > 0 {
            return None;
        }
        let is_script = matches!(self.entry.key, KeySource::Script { .. });
        match self.key_state {
            KeyState::Person if self.entry.options.headless => {
                self.fail(UnlockError::NoKey("it is headless, and no key is named".into()));
                return None;
            }
            KeyState::Person => return None,
            KeyState::Empty => {
                self.key_state = match self.entry.key {
                    KeySource::Ask => KeyState::Person,
                    _ => KeyState::Own,
                };
                let passphrase = keyslots::secret::Secret::zeroed(0).map(Passphrase::new).ok()?;
                return Some(FoundKey {
                    passphrase,
                    from_file: false,
                });
            }
            KeyState::Own => {}
        }
        if let Some(fetching) = &self.fetching {
            let result = fetching.result()?;
            self.fetching = None;
            match result {
                Ok(passphrase) => {
                    self.key_tried += 1;
                    self.key_was_read |= !is_script;
                    return Some(FoundKey {
                        passphrase,
                        from_file: !is_script,
                    });
                }
                Err(error) => self.lack_key(error, notes),
            }
            return None;
        }
        let since = *self.key_since.get_or_insert_with(Instant::now);
        let allowed = if is_script { self.tries() } else { Some(1) };
        if allowed.is_some_and(|allowed| self.key_tried >= allowed) {
            self.ask_instead("its key does not open it".into(), notes);
            return None;
        }
        match key::locate(&self.entry, devices) {
            Ok(Some(located)) => {
                let mut entry = self.entry.clone();
                if let Some(len) = target.key_len() {
                    entry.options.keyfile_size = Some(len);
                }
                // What is there may still have nothing to say, and is given as long as if it were not there.
                let patience = self.entry.options.keyfile_timeout.unwrap_or(KEY_PATIENCE);
                let left = (!patience.is_zero()).then(|| patience.saturating_sub(since.elapsed()));
                let source = target.source.clone();
                self.fetching = Some(Fetching::start(located, entry, source, self.key_tried, left, bell()));
            }
            Ok(None) => self.key_state = KeyState::Person,
            Err(error) => self.lack_key(error, notes),
        }
        None
    }

    fn lack_key(&mut self, error: NoKey, notes: &mut Vec<String>) {
        match error {
            NoKey::NotYet => {
                let waited = self.key_since.map(|since| since.elapsed()).unwrap_or_default();
                let patience = self.entry.options.keyfile_timeout.unwrap_or(self.key_patience());
                if waited >= patience && self.entry.options.keyfile_timeout != Some(Duration::ZERO) {
                    let what = match &self.entry.key {
                        KeySource::File(place) => place.to_string(),
                        KeySource::Raw(device) => device.to_string(),
                        KeySource::Ask | KeySource::Script { .. } => "the key".into(),
                    };
                    self.ask_instead(format!("{what} is not there"), notes);
                }
            }
            NoKey::Failed(reason) => self.ask_instead(reason, notes),
        }
    }

    /// Whether a program that it has started may have the console.
    pub(super) fn runs_script(&self) -> bool {
        self.fetching.as_ref().is_some_and(Fetching::is_script)
    }

    /// Forgets the device that is not there any more, and what was tried on it.
    pub(super) fn begin_anew(&mut self) {
        self.target = None;
        self.tried_known = 0;
        self.key_tried = 0;
    }

    /// Ends what it has started.
    pub(super) fn stop(&mut self) {
        self.fetching = None;
        if let Some(target) = &self.target {
            target.detach();
        }
    }

    /// A file that is to be here is here now or never; a device may come late.
    fn key_patience(&self) -> Duration {
        match &self.entry.key {
            KeySource::File(place) if place.device.is_none() && !place.path.starts_with("/dev") => Duration::ZERO,
            _ => KEY_PATIENCE,
        }
    }

    fn ask_instead(&mut self, reason: String, notes: &mut Vec<String>) {
        self.key_state = KeyState::Person;
        if self.entry.options.headless {
            self.fail(UnlockError::NoKey(reason));
        } else {
            notes.push(format!("{}: {reason}; a passphrase will do.", self.entry.name));
        }
    }

    /// Whether a person is to be asked for it now.
    pub(super) fn wants_person(&self) -> bool {
        !self.is_done() && self.target.is_some() && self.pending == 0 && self.key_state == KeyState::Person
    }

    /// Whether a person's answer has to be given twice.
    pub(super) fn wants_verification(&self) -> bool {
        let takes_any = self.target.as_ref().is_some_and(|target| target.takes_anything());
        takes_any && self.entry.options.verify
    }

    /// Whether a key file that is to be used once has been: once the volume is open, and also where it cannot be opened,
    /// as crypttab(5) of systemd has it. Who has interrupted it may want to try again.
    pub(super) fn is_done_with_key(&self) -> bool {
        self.key_was_read && !matches!(self.outcome, None | Some(Outcome::Failed(UnlockError::Stopped)))
    }

    /// Whether a passphrase that was typed for any volume may be tried on it.
    pub(super) fn shares_passphrases(&self) -> bool {
        let takes_any = self.target.as_ref().is_some_and(|target| target.takes_anything());
        self.wants_person() && !takes_any
    }

    /// How often a person may try; `None` for ever.
    fn tries(&self) -> Option<u32> {
        Some(self.entry.options.tries.unwrap_or(TRIES)).filter(|tries| *tries > 0)
    }

    /// How many tries are left, where they are counted.
    pub(super) fn tries_left(&self) -> Option<u32> {
        self.tries().map(|tries| tries.saturating_sub(self.wrong))
    }

    /// A person's answer was wrong.
    pub(super) fn count_wrong(&mut self, error: UnlockError) {
        self.wrong += 1;
        if self.tries_left() == Some(0) {
            self.fail(error);
        }
    }

    /// Gives it up where nobody has answered in time.
    pub(super) fn check_patience(&mut self) {
        let patience = self.entry.options.timeout.filter(|patience| !patience.is_zero());
        if let (Some(since), Some(patience)) = (self.asked_since, patience)
            && self.wants_person()
            && since.elapsed() >= patience
        {
            self.fail(UnlockError::TimedOut(patience));
        }
    }

    /// Which device, as the person who wrote the entry called it.
    pub(super) fn source(&self) -> &DeviceSpec {
        &self.entry.source
    }

    /// What it waits for, where it waits for a device.
    pub(super) fn waits_for(&self) -> Option<String> {
        if self.is_done() {
            return None;
        }
        match (&self.target, &self.entry.key) {
            (None, _) => Some(format!("{} ({})", self.entry.name, self.source())),
            (Some(_), KeySource::File(place)) if self.key_state == KeyState::Own && self.pending == 0 => {
                Some(format!("the key of {} ({place})", self.entry.name))
            }
            _ => None,
        }
    }
}
