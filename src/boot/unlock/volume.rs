//! One volume on its way from a line of crypttab to a mapping: what it waits for, and what was tried.

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

/// How often a person may try where nothing is said, as both crypttabs have it.
const TRIES: u32 = 3;
/// How long an array may take to be put together: as long as mdadm's own timer gives one that lacks a member.
const ARRAY_PATIENCE: Duration = Duration::from_secs(30);

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
    /// What other entries make it wait for.
    pub(super) waits: Waits,
    started: Instant,
    /// Since when its device may be there.
    device_since: Instant,
    /// Since when its device is there, on a disk that an array was to hold.
    array_since: Option<Instant>,
    /// Since when its own key is looked for.
    key_since: Option<Instant>,
    /// How often its own key was tried.
    key_tried: u32,
    key_state: KeyState,
    fetching: Option<Fetching>,
    /// Its key was read from its file at some time, whatever became of the device since.
    key_was_read: bool,
    /// Devices on which its key was looked for.
    key_searched: Searched,
    /// A person is asked only because its key is not there; it may still come.
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
        // For ever would be until somebody ends it, and the machine can do without it.
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
        // Now that they have been asked. A disk wakes up in that time.
        let hasty = self.started.elapsed() < devices::PATIENCE && devices.owe_answers();
        match found {
            // What it is a snapshot of may have yet to answer.
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

    /// The entry that was to make the mapping that its data are on, or its header, and that has failed.
    fn lost_device(&self) -> Option<String> {
        let lost = self.waits.lost.as_ref()?;
        let mapping = DeviceSpec::Path(Path::new("/dev/mapper").join(lost));
        let is_lost = self.entry.source == mapping || header_device(&self.entry.options) == Some(mapping);
        is_lost.then(|| lost.clone())
    }

    /// Whether something happens to it that may end without what it waits for: its device is there, and its key is being
    /// read or tried, or somebody is asked for it.
    pub(super) fn goes_on(&self) -> bool {
        !self.is_done() && self.target.is_some() && (self.pending > 0 || self.fetching.is_some() || self.wants_person())
    }

    /// Whether a person is asked for it only because its key is not there.
    pub(super) fn lacks_key(&self) -> bool {
        self.key_may_come
    }

    /// Whether a program makes its key.
    pub(super) fn has_script(&self) -> bool {
        matches!(self.entry.key, KeySource::Script { .. })
    }

    /// Where its device is there, on a disk that was to be in an array, and the array has had its time, or there is no more
    /// time: what to say of that.
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
