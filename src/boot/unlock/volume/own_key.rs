//! The key of a volume that needs no person: finding it, reading it, and giving up in time.

use std::io::PipeWriter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyslots::secret::Passphrase;

use super::Volume;
use crate::boot::crypttab::KeySource;
use crate::boot::devices::Devices;
use crate::boot::key::{self, NoKey};
use crate::boot::unlock::UnlockError;
use crate::boot::unlock::key_fetch::Fetching;

/// The default time for a device with a key to appear.
const KEY_PATIENCE: Duration = Duration::from_secs(20);
/// The least time for reading it, if it appeared late.
const READING: Duration = Duration::from_secs(5);

/// A passphrase that the volume itself has found.
pub(in crate::boot::unlock) struct FoundKey {
    pub(in crate::boot::unlock) passphrase: Passphrase,
    pub(in crate::boot::unlock) from_file: bool,
}

/// The state of the key that needs no person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyState {
    /// An empty passphrase comes first.
    Empty,
    /// Its own key is looked for.
    Own,
    /// A person is prompted.
    Person,
}

impl Volume {
    /// The next key that needs no person, once the device is there. Adds to `notes` why a prompt appears instead. Slow
    /// reads notify through the `bell`.
    pub(in crate::boot::unlock) fn own_key(
        &mut self,
        devices: &Devices,
        notes: &mut Vec<String>,
        bell: impl FnOnce() -> Arc<PipeWriter>,
    ) -> Option<FoundKey> {
        let target = self.target.as_ref()?;
        if self.is_done() || self.pending > 0 {
            return None;
        }
        if self.waits.needs.is_some() {
            // Its time starts when the device may appear.
            self.key_since = None;
            return None;
        }
        let is_script = self.has_script();
        // An empty passphrase would seem to open it, and data would be written under a key that others know.
        if self.key_state == KeyState::Empty && target.takes_anything() {
            self.key_state = KeyState::Own;
        }
        match self.key_state {
            KeyState::Person if !self.key_may_come => return None,
            KeyState::Empty => {
                self.key_state = KeyState::Own;
                let passphrase = keyslots::secret::Secret::zeroed(0).map(Passphrase::new).ok()?;
                return Some(FoundKey {
                    passphrase,
                    from_file: false,
                });
            }
            KeyState::Own | KeyState::Person => {}
        }
        if let Some(fetching) = &self.fetching {
            let Some(result) = fetching.result() else {
                // The reader may be stuck in the kernel: a device need not answer.
                if fetching.is_overdue() {
                    self.fetching = None;
                    self.ask_instead(format!("{} does not answer", self.key_place()), notes);
                }
                return None;
            };
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
        match key::locate(&self.entry, devices, &mut self.key_searched) {
            // One prompt at a time, in turn.
            Ok(Some(_)) if is_script && self.waits.turn => {}
            Ok(Some(_)) if is_script && self.waits.absent && since.elapsed() < KEY_PATIENCE => {}
            Ok(Some(located)) => {
                let mut entry = self.entry.clone();
                if let Some(len) = target.key_len() {
                    entry.options.keyfile_size = Some(len);
                }
                // An existing file may still be silent, and has the same time as a missing one.
                let patience = self.entry.options.keyfile_timeout.unwrap_or(KEY_PATIENCE);
                // But one that comes at the last moment is read anyway.
                let least = patience.min(READING);
                let left = (!patience.is_zero()).then(|| patience.saturating_sub(since.elapsed()).max(least));
                let source = target.source.clone();
                self.fetching = Some(Fetching::start(located, entry, source, self.key_tried, left, bell()));
            }
            Ok(None) if self.entry.options.headless => {
                self.fail(UnlockError::NoKey("it is headless, and no key is named".into()));
            }
            Ok(None) => self.key_state = KeyState::Person,
            Err(error) => self.lack_key(error, notes),
        }
        None
    }

    fn lack_key(&mut self, error: NoKey, notes: &mut Vec<String>) {
        match error {
            // A prompt is already open.
            NoKey::NotYet if self.key_state == KeyState::Person => {}
            NoKey::NotYet => {
                let given = self.entry.options.keyfile_timeout;
                if let Some(lost) = &self.waits.lost {
                    self.ask_instead(format!("{} is on {lost}, which is not open", self.key_place()), notes);
                    return;
                }
                let takes_any = self.target.as_ref().is_some_and(|target| target.takes_anything());
                if let Some(other) = &self.waits.circular
                    && !takes_any
                    && !self.entry.options.headless
                {
                    let name = &self.entry.name;
                    let reason = format!("{} is on {other}, which needs {name}", self.key_place());
                    self.ask_instead(reason, notes);
                    self.key_may_come = true;
                    return;
                }
                // It may be on what another entry opens.
                if given.is_none() && self.waits.others_have_keys && !self.key_patience().is_zero() {
                    self.key_since = Some(Instant::now());
                }
                let waited = self.key_since.map(|since| since.elapsed()).unwrap_or_default();
                let patience = given.unwrap_or(self.key_patience());
                if waited >= patience && given != Some(Duration::ZERO) {
                    self.ask_instead(format!("{} is not there", self.key_place()), notes);
                    self.key_may_come = self.key_state == KeyState::Person;
                }
            }
            NoKey::Failed(reason) => self.ask_instead(reason, notes),
        }
    }

    /// A local file is here now or never; a device may come late.
    fn key_patience(&self) -> Duration {
        match &self.entry.key {
            KeySource::File(place) if place.device.is_none() && !place.path.starts_with("/dev") => Duration::ZERO,
            _ => KEY_PATIENCE,
        }
    }

    fn key_place(&self) -> String {
        match &self.entry.key {
            KeySource::File(place) => place.to_string(),
            KeySource::Raw(device) => device.to_string(),
            KeySource::Search(path) => path.display().to_string(),
            KeySource::Script { program, .. } => program.clone(),
            KeySource::Ask => format!("{}.key", self.entry.name),
        }
    }

    fn ask_instead(&mut self, reason: String, notes: &mut Vec<String>) {
        self.key_may_come = false;
        // Any passphrase would seem to open a plain volume, with another key than the one in its line.
        let takes_any = self.target.as_ref().is_some_and(|target| target.takes_anything());
        if self.entry.options.headless || takes_any {
            self.fail(UnlockError::NoKey(reason));
        } else {
            self.key_state = KeyState::Person;
            // Some reasons are whole sentences.
            let reason = reason.trim_end_matches('.');
            notes.push(format!("{}: {reason}; a passphrase will do.", self.entry.name));
        }
    }
}
