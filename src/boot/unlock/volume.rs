//! One volume on its way from a line of crypttab to a mapping: its waits and its tries.

mod own_key;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::own_key::KeyState;
use super::UnlockError;
use super::format::{header_device, header_place};
use super::hindrance::Waits;
use super::key_fetch::Fetching;
use super::target::{Permissions, Target};
use crate::boot::budget::Budget;
use crate::boot::crypttab::{Entry, KeySource};
use crate::boot::devices::{self, Devices};
use crate::boot::key::Searched;
use crate::boot::source::DeviceSpec;

/// The default number of a person's tries, as in both crypttabs.
const TRIES: u32 = 3;
/// The time limit for assembling an array: that of mdadm's own timer for one that lacks a member.
const ARRAY_PATIENCE: Duration = Duration::from_secs(30);

/// The outcome for a volume.
#[derive(Debug)]
pub enum Outcome {
    /// It was opened.
    Opened,
    /// It was open already.
    WasOpen,
    /// It is not open.
    Failed(UnlockError),
}

/// A volume.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) entry: Entry,
    pub(super) target: Option<Arc<Target>>,
    pub(super) outcome: Option<Outcome>,
    /// Attempts that wait or run.
    pub(super) pending: u32,
    /// The number of known passphrases that were tried.
    pub(super) tried_known: usize,
    /// Wrong answers of a person.
    pub(super) wrong: u32,
    /// When the prompt for it began.
    pub(super) asked_since: Option<Instant>,
    /// Its waits for other entries.
    pub(super) waits: Waits,
    /// Whether its tokens were tried.
    tokens_tried: bool,
    started: Instant,
    /// Since when its device may appear.
    device_since: Instant,
    /// Since when its device is there, on a disk with the signature of an array.
    array_since: Option<Instant>,
    /// Since when its own key is looked for.
    key_since: Option<Instant>,
    /// The number of tries with its own key.
    key_tried: u32,
    key_state: KeyState,
    fetching: Option<Fetching>,
    /// Its key was read from its file at some time, even if the device is gone since.
    key_was_read: bool,
    /// Devices on which its key was looked for.
    key_searched: Searched,
    /// The prompt appears only because its key is missing; it may still come.
    key_may_come: bool,
}

impl Volume {
    pub(super) fn new(entry: Entry) -> Self {
        let key_state = match (&entry.key, entry.options.try_empty_password) {
            (_, true) => KeyState::Empty,
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
            waits: Waits::default(),
            tokens_tried: false,
            started: Instant::now(),
            device_since: Instant::now(),
            array_since: None,
            key_since: None,
            key_tried: 0,
            key_state,
            fetching: None,
            key_was_read: false,
            key_searched: Searched::default(),
            key_may_come: false,
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
    /// once `others_done`, unless its options set a time.
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
        // "For ever" would be until a person ends it, and the machine can do without it.
        let for_ever = |own: &Duration| own.is_zero() && self.is_optional();
        let own = self.entry.options.device_timeout.filter(|own| !for_ever(own));
        let patience = own.or(patience).filter(|patience| !patience.is_zero());
        // It may be on what another entry opens.
        if self.waits.needs.is_some() || self.waits.others_go_on && own.is_none() {
            self.device_since = Instant::now();
        }
        let waited = self.device_since.elapsed();
        let is_over = patience.is_some_and(|patience| waited >= patience);
        let mut found = Target::find(&self.entry, devices, budget, permissions);
        if let Ok(None) = found
            && let Some(note) = self.array_does_not_come(devices, is_over)
        {
            found = Target::find(&self.entry, &devices.giving_way(), budget, permissions);
            notes.extend(matches!(found, Ok(Some(_))).then_some(note));
        }
        // Now that they have been probed. A disk spins up in that time.
        let hasty = self.started.elapsed() < devices::PATIENCE && devices.owe_answers();
        match found {
            // Its origin may have yet to answer.
            Ok(Some(target)) if hasty && devices.is_snapshot(&target.source) => {}
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
                if let Some(assumed) = target.assumed() {
                    notes.push(format!(
                        "{}: crypttab does not say how it is encrypted, and {assumed} is assumed. Name it in the entry: \
                         other versions and programs assume something else.",
                        self.entry.name
                    ));
                }
                self.target = Some(Arc::new(target));
            }
            Ok(None) => {
                if let Some(lost) = self.lost_device() {
                    self.fail(UnlockError::NeedsOther(lost));
                    return;
                }
                let given_up =
                    self.is_optional() && own.is_none() && others_done && !hasty && self.waits.needs.is_none();
                if given_up || is_over {
                    self.fail(self.missing(devices, waited));
                }
            }
            Err(error) => self.fail(error),
        }
    }

    /// The failed entry that should have made the mapping with its data, or its header.
    fn lost_device(&self) -> Option<String> {
        let lost = self.waits.lost.as_ref()?;
        let mapping = DeviceSpec::Path(Path::new("/dev/mapper").join(lost));
        let is_lost = self.entry.source == mapping || header_device(&self.entry.options) == Some(mapping);
        is_lost.then(|| lost.clone())
    }

    /// Whether it is in progress without the device that it waits for: its device is there, and its key is being read or
    /// tried, or a prompt for it is open.
    pub(super) fn goes_on(&self) -> bool {
        !self.is_done() && self.target.is_some() && (self.pending > 0 || self.fetching.is_some() || self.wants_person())
    }

    /// Whether the prompt for it is open only because its key is missing.
    pub(super) fn lacks_key(&self) -> bool {
        self.key_may_come
    }

    /// Whether a program makes its key.
    pub(super) fn has_script(&self) -> bool {
        matches!(self.entry.key, KeySource::Script { .. })
    }

    /// What to report of a device on a disk with the signature of an array, once the time of the array, or all time, is
    /// over.
    fn array_does_not_come(&mut self, devices: &Devices, is_over: bool) -> Option<String> {
        let header = header_device(&self.entry.options);
        let specs = [Some(&self.entry.source), header.as_ref()].into_iter().flatten();
        let unclaimed: Vec<_> = specs.filter_map(|spec| devices.unclaimed_of(spec)).collect();
        if unclaimed.is_empty() {
            self.array_since = None;
            return None;
        }
        let since = *self.array_since.get_or_insert_with(Instant::now);
        let note = || {
            format!(
                "{}: {} is not part of an assembled array; using it directly.",
                self.entry.name,
                unclaimed.join(", ")
            )
        };
        (is_over || since.elapsed() >= ARRAY_PATIENCE).then(note)
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

    /// Whether a program that it started may use the console.
    pub(super) fn runs_script(&self) -> bool {
        self.fetching.as_ref().is_some_and(Fetching::is_script)
    }

    /// Forgets a device that is gone, and what was tried on it.
    pub(super) fn begin_anew(&mut self) {
        self.target = None;
        self.tried_known = 0;
        self.key_tried = 0;
        self.tokens_tried = false;
    }

    /// Whether to try its tokens now: once, before any other key.
    pub(super) fn tokens_are_due(&mut self) -> bool {
        let has_tokens = self.target.as_ref().is_some_and(|target| target.has_tokens());
        let due = has_tokens && !self.tokens_tried && !self.is_done() && self.pending == 0;
        self.tokens_tried |= due;
        due
    }

    /// Ends the programs that it started.
    pub(super) fn stop(&mut self) {
        self.fetching = None;
        if let Some(target) = &self.target {
            target.detach();
        }
    }

    /// Whether a prompt for it is due.
    pub(super) fn wants_person(&self) -> bool {
        !self.is_done() && self.target.is_some() && self.pending == 0 && self.key_state == KeyState::Person
    }

    /// Whether a person has to enter the answer twice.
    pub(super) fn wants_verification(&self) -> bool {
        let takes_any = self.target.as_ref().is_some_and(|target| target.takes_anything());
        takes_any && self.entry.options.verify
    }

    /// Whether a key file for a single use was used: once the volume is open, and also if it cannot be opened, as
    /// described in crypttab(5) of systemd. After an interruption, the user may want to try again.
    pub(super) fn is_done_with_key(&self) -> bool {
        self.key_was_read && !matches!(self.outcome, None | Some(Outcome::Failed(UnlockError::Stopped)))
    }

    /// Whether a passphrase typed for another volume may be tried on it.
    pub(super) fn shares_passphrases(&self) -> bool {
        let takes_any = self.target.as_ref().is_some_and(|target| target.takes_anything());
        self.wants_person() && !takes_any
    }

    /// The number of a person's tries; `None` is no limit.
    fn tries(&self) -> Option<u32> {
        Some(self.entry.options.tries.unwrap_or(TRIES)).filter(|tries| *tries > 0)
    }

    /// The number of tries that are left, if it is limited.
    pub(super) fn tries_left(&self) -> Option<u32> {
        self.tries().map(|tries| tries.saturating_sub(self.wrong))
    }

    /// Counts a wrong answer.
    pub(super) fn count_wrong(&mut self, error: UnlockError) {
        self.wrong += 1;
        if self.tries_left() == Some(0) {
            self.fail(error);
        }
    }

    /// Gives it up if no answer came in time.
    pub(super) fn check_patience(&mut self) {
        let patience = self.entry.options.timeout.filter(|patience| !patience.is_zero());
        if let (Some(since), Some(patience)) = (self.asked_since, patience)
            && self.wants_person()
            && since.elapsed() >= patience
        {
            self.fail(UnlockError::TimedOut(patience));
        }
    }

    /// The device, as the entry names it.
    pub(super) fn source(&self) -> &DeviceSpec {
        &self.entry.source
    }

    /// The device or file that it waits for, if any.
    pub(super) fn waits_for(&self) -> Option<String> {
        if self.is_done() {
            return None;
        }
        if let Some(needed) = &self.waits.needs {
            return Some(format!("{needed}, which {} needs", self.entry.name));
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
