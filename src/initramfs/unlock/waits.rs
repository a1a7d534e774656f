//! What keeps an entry waiting that another one holds up: its mapping, its turn, or the person who is asked for it.

use super::volume::Volume;
use super::{Engine, Outcome, UnlockError};

/// What an entry waits for, as long as it has to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    /// The entry that is still being unlocked and whose mapping it needs.
    pub(super) needs: Option<String>,
    /// The entry that it needs and that has failed.
    pub(super) lost: Option<String>,
    /// Whether its key script may not start: others come first, or somebody is asked something at the moment.
    pub(super) turn: bool,
    /// Whether another entry is being unlocked, on which its device or its key may be.
    pub(super) others_go_on: bool,
}

impl Engine<'_> {
    /// What an entry waits for now.
    pub(super) fn waits(&self, at: usize) -> Waits {
        let needs = || self.dependencies.needs(at).iter().map(|needed| &self.volumes[*needed]);
        let failed = |volume: &&Volume| matches!(volume.outcome, Some(Outcome::Failed(_)));
        let name = |volume: &Volume| volume.entry.name.clone();
        let is_before = |before: &usize| {
            let volume = &self.volumes[*before];
            // What the machine can do without, and what is not there, holds nobody up.
            !volume.is_done() && (volume.target.is_some() || !volume.is_optional())
        };
        let mut others = self.volumes.iter().enumerate().filter(|(other, _)| *other != at);
        Waits {
            needs: needs().find(|volume| !volume.is_done()).map(name),
            lost: needs().find(failed).map(name),
            turn: self.prompts.is_asking()
                || self.answer.is_some()
                || self.volumes.iter().any(Volume::runs_script)
                || self.dependencies.turns_before(at).iter().any(is_before),
            others_go_on: others.any(|(_, other)| other.goes_on()),
        }
    }

    /// Entries that wait for each other are never unlocked.
    pub(super) fn fail_circles(&mut self) {
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
