//! Texts for a person: the question, and the state without one.

use std::time::{Duration, Instant};

use super::volume::Volume;
use super::{Engine, Outcome};
use crate::boot::devices::Description;
use crate::boot::prompt::Question;

/// After this long, a person is told about the wait.
const SILENCE: Duration = Duration::from_secs(2);

impl Engine<'_> {
    /// The question about `first`, whose answer is tried on all of `asked`; `again` for the repetition of an answer.
    pub(super) fn question(&self, first: usize, asked: &[usize], again: bool) -> Question {
        let volume = &self.volumes[first];
        let name = &volume.entry.name;
        let (device, description) = match &volume.target {
            Some(target) => (target.source.display().to_string(), target.description.clone()),
            None => (volume.source().to_string(), Description::default()),
        };
        let others: Vec<_> = asked
            .iter()
            .filter(|at| **at != first)
            .map(|at| self.volumes[*at].entry.name.as_str())
            .collect();
        let mut details = format!("Disk {name} on {device}: {description}\n");
        if !others.is_empty() {
            details.push_str(&format!("The same passphrase is tried on {}.\n", others.join(", ")));
        }
        let left = match volume.tries_left() {
            _ if again => " (the same once more)".to_owned(),
            Some(1) => " (the last try)".to_owned(),
            Some(left) => format!(" ({left} tries left)"),
            None => String::new(),
        };
        Question {
            details,
            prompt: format!("Please unlock disk {name}{left}"),
            id: format!("cryptsetup:{device}"),
            echo: volume.entry.options.password_echo,
        }
    }

    /// Describes the state while no question is open.
    pub(super) fn show_progress(&mut self) {
        if !self.attempts.is_idle() {
            let since = *self.deriving_since.get_or_insert_with(Instant::now);
            let open = self
                .volumes
                .iter()
                .filter(|volume| matches!(volume.outcome, Some(Outcome::Opened)))
                .count();
            let seconds = since.elapsed().as_secs();
            let text = format!("Deriving the key... {seconds} s, {open} of {} open", self.volumes.len());
            self.quiet_since = Instant::now();
            self.prompts.progress(Some(&text));
            return;
        }
        if self.deriving_since.take().is_some() {
            self.prompts.progress(None);
        }
        let waits: Vec<_> = self.volumes.iter().filter_map(Volume::waits_for).collect();
        if !self.prompts.is_asking() && !waits.is_empty() && self.quiet_since.elapsed() >= SILENCE {
            let seconds = self.quiet_since.elapsed().as_secs();
            self.prompts
                .progress(Some(&format!("Waiting for {}... {seconds} s", waits.join(", "))));
        }
    }
}
