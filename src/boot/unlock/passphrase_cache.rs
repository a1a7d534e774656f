//! Prompts, and the use of their answers.

use std::sync::Arc;
use std::time::Instant;

use keyslots::secret::Passphrase;

use super::attempts::{Origin, Secret};
use super::volume::Volume;
use super::{Engine, UnlockError};

/// An answer, while it is tried on the volumes that waited when it came.
pub(super) struct Answer {
    pub(super) passphrase: Arc<Passphrase>,
    pub(super) pending: u32,
    pub(super) opened: u32,
    pub(super) refused: Vec<(usize, UnlockError)>,
}

impl Engine<'_> {
    /// Tries an answer on all volumes of the prompt.
    pub(super) fn answered(&mut self, passphrase: Passphrase) {
        let asked = self.asked_for();
        let Some(passphrase) = self.verified(&asked, passphrase) else {
            return;
        };
        let passphrase = Arc::new(passphrase);
        let mut answer = Answer {
            passphrase: passphrase.clone(),
            pending: 0,
            opened: 0,
            refused: Vec::new(),
        };
        for at in asked {
            answer.pending += 1;
            self.try_on(at, Secret::Passphrase(passphrase.clone()), Origin::Person);
        }
        if answer.pending > 0 {
            self.answer = Some(answer);
        }
    }

    /// The answer, unless it has to be entered twice first. Only if any answer would do: a header detects a typo.
    fn verified(&mut self, asked: &[usize], passphrase: Passphrase) -> Option<Passphrase> {
        let &[at] = asked else { return Some(passphrase) };
        if !self.volumes[at].wants_verification() {
            return Some(passphrase);
        }
        match self.to_verify.take() {
            Some((first_at, first)) if first_at == at => {
                let same = first.ct_eq(&passphrase);
                if !same {
                    self.prompts.say("The passphrases do not match.");
                }
                same.then_some(passphrase)
            }
            _ => {
                self.to_verify = Some((at, passphrase));
                None
            }
        }
    }

    /// Handles an answer that was tried on all volumes that waited for it.
    pub(super) fn end_answer(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        if answer.opened > 0 {
            for (at, _) in &answer.refused {
                // It need not be tried on them again.
                self.volumes[*at].tried_known = self.known.len() + 1;
            }
            self.known.push(answer.passphrase);
            return;
        }
        if let Some((_, error)) = answer.refused.first() {
            let mut text = error.to_string();
            text.replace_range(..1, &text[..1].to_uppercase());
            self.prompts.say(&format!("{text}."));
        }
        for (at, error) in answer.refused {
            self.volumes[at].count_wrong(error);
        }
    }

    /// The volumes that the next answer is tried on: all that accept only the right one, or one that accepts any.
    fn asked_for(&self) -> Vec<usize> {
        let waiting = || (0..self.volumes.len()).filter(|at| self.volumes[*at].wants_person());
        let sharing: Vec<_> = waiting().filter(|at| self.volumes[*at].shares_passphrases()).collect();
        if sharing.is_empty() {
            waiting().take(1).collect()
        } else {
            sharing
        }
    }

    /// Updates the open question, or asks one.
    pub(super) fn ask(&mut self) {
        let asked = self.asked_for();
        let busy = self.answer.is_some()
            // It may have a prompt of its own, on the same console.
            || self.volumes.iter().any(Volume::runs_script)
            || asked
                .iter()
                .any(|at| self.volumes[*at].tried_known < self.known.len() && self.volumes[*at].shares_passphrases());
        let Some(&first) = asked.first().filter(|_| !busy) else {
            self.prompts.withdraw();
            return;
        };
        for at in &asked {
            self.volumes[*at].asked_since.get_or_insert_with(Instant::now);
        }
        let verify = self.to_verify.as_ref().is_some_and(|(at, _)| *at == first);
        let question = self.question(first, &asked, verify);
        if !self.prompts.is_asking() {
            self.prompts.progress(None);
        }
        self.prompts.ask(&question);
    }
}
