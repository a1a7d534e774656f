//! How entries hold each other up: by a mapping, by the order, or by an open prompt.

use super::hindrance::Waits;
use super::volume::Volume;
use super::{Engine, Outcome, UnlockError};

impl Engine<'_> {
    /// The present waits of an entry.
    pub(super) fn waits(&self, at: usize) -> Waits {
        let dependencies = &self.dependencies;
        let needs = || dependencies.needs(at).iter().copied();
        let circular = || dependencies.circular(at).iter().copied();
        let name = |at: usize| self.volumes[at].entry.name.clone();
        let is_to_come = |at: &usize| !self.volumes[*at].is_done();
        let failed = |at: &usize| matches!(self.volumes[*at].outcome, Some(Outcome::Failed(_)));
        let is_script = self.volumes[at].has_script();
        // A person may have the key as well: a device that may never come is not waited for. A script that is started too
        // early fails.
        let holds_up = |needed: &usize| {
            dependencies.needs_firmly(at).any(|firm| firm == *needed)
                || is_script && !self.volumes[*needed].is_optional()
                || self.is_coming(*needed)
        };
        let is_before = |before: &usize| {
            let volume = &self.volumes[*before];
            // A volume that the machine can do without and whose device is missing holds up no other.
            !volume.is_done() && (volume.target.is_some() || !volume.is_optional())
        };
        let others = || {
            let all = self.volumes.iter().enumerate();
            all.filter(|(other, _)| *other != at).map(|(_, volume)| volume)
        };
        Waits {
            needs: needs().filter(is_to_come).find(holds_up).map(name),
            absent: needs().filter(is_to_come).any(|needed| !holds_up(&needed)),
            circular: circular().find(is_to_come).map(name),
            lost: needs().chain(circular()).find(failed).map(name),
            turn: self.prompts.is_asking()
                || self.answer.is_some()
                || self.volumes.iter().any(Volume::runs_script)
                || self.dependencies.turns_before(at).iter().any(is_before),
            others_go_on: others().any(Volume::goes_on),
            others_have_keys: others().any(|other| other.goes_on() && !other.lacks_key()),
        }
    }

    /// Whether the device of an entry is there, or that of one that its device is on, so that its mapping may come.
    fn is_coming(&self, at: usize) -> bool {
        let mut seen = vec![false; self.volumes.len()];
        let mut found = vec![at];
        while let Some(at) = found.pop() {
            let volume = &self.volumes[at];
            if volume.is_done() || std::mem::replace(&mut seen[at], true) {
                continue;
            }
            if volume.target.is_some() {
                return true;
            }
            found.extend(self.dependencies.needs_firmly(at));
        }
        false
    }

    /// Entries that wait for each other are never unlocked, unless only a key is missing and prompts are allowed.
    pub(super) fn fail_circles(&mut self) {
        let entries: Vec<_> = self.volumes.iter().map(|volume| &volume.entry).collect();
        let is_done = |at: usize| self.volumes[at].is_done();
        self.dependencies.ask_in_circles(&entries, is_done);
        for at in 0..self.volumes.len() {
            if !self.volumes[at].is_done()
                && let Some(circle) = self.dependencies.circle(at)
            {
                let name = self.volumes[at].entry.name.clone();
                self.prompts.say(&format!("{name}: {circle}."));
                self.volumes[at].fail(UnlockError::Circle(circle));
            }
        }
    }
}
