//! Before a keyslot is destroyed: the question, and the passphrases that prove that others are left.

use keyslots::KeyslotId;
use keyslots::header::SlotState;
use keyslots::luks2::Candidates;

use super::ask::{agree, agree_to_loss};
use super::{Confirm, CryptError, LuksDevice, Question, Secrets, UnlockRequest};

impl LuksDevice {
    /// Asks whether a keyslot may be destroyed that is the last one.
    ///
    /// # Errors
    /// [`CryptError::Declined`]; [`Error::NeededByReencryption`](keyslots::Error::NeededByReencryption).
    pub fn confirm_removal(&self, confirm: &dyn Confirm, slot: KeyslotId) -> Result<(), CryptError> {
        if self.is_needed(slot) {
            return agree_to_loss(confirm, &Question::RemoveNeededKeyslot);
        }
        match self.header.slot_state(slot) {
            SlotState::ActiveLast => agree(confirm, &Question::RemoveLastKeyslot),
            _ => Ok(()),
        }
    }

    /// Asks for passphrases until one of them opens another keyslot than the one to be destroyed, if there is another.
    ///
    /// # Errors
    /// That of the last passphrase; or that of `secrets`.
    pub fn prove_another<S: Secrets + ?Sized>(
        &mut self,
        slot: KeyslotId,
        request: &UnlockRequest<'_>,
        secrets: &mut S,
    ) -> Result<(), S::Error> {
        let proofs = self.proofs_for_removal(slot);
        let mut wrong = 0;
        while let Some(passphrase) = secrets.next(wrong)? {
            // One that cannot be tried at all is reported if no other opens.
            let mut failure = None;
            for &candidates in &proofs {
                match self.unlock(&passphrase, &UnlockRequest { candidates, ..*request }) {
                    Ok(_) => return Ok(()),
                    Err(error) if error.opens_nothing() => {}
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            if let Some(failure) = failure {
                return Err(failure.into());
            }
            if secrets.is_from_file()
                && let Some((fault, keyslot)) = self.other_ending(&passphrase, &proofs, request)?
            {
                secrets.final_newline(fault, keyslot);
            }
            wrong += 1;
        }
        Err(CryptError::from(keyslots::Error::WrongPassphrase).into())
    }

    /// Whether a reencryption that has begun is lost with a keyslot.
    pub(super) fn is_needed(&self, slot: KeyslotId) -> bool {
        self.header.luks2().is_some_and(|header| header.is_needed(slot))
    }

    /// The keyslots of which one has to open before `slot` is destroyed: all others, or itself where there are none. As long
    /// as keyslots hold the key of the data, the passphrase of an unbound key proves nothing.
    pub(super) fn proofs_for_removal(&self, slot: KeyslotId) -> Vec<Candidates> {
        let of_data = |id: &KeyslotId| matches!(self.header.slot_state(*id), SlotState::Active | SlotState::ActiveLast);
        let (data, keys): (Vec<KeyslotId>, Vec<KeyslotId>) = self.header.used_keyslots().into_iter().partition(of_data);
        let others = |slots: Vec<KeyslotId>| {
            slots
                .into_iter()
                .filter(|id| *id != slot)
                .map(Candidates::Keyslot)
                .collect()
        };
        match data.is_empty() {
            false if self.header.slot_state(slot) == SlotState::ActiveLast => vec![Candidates::Keyslot(slot)],
            false => others(data),
            true if keys.iter().any(|id| *id != slot) => others(keys),
            true => vec![Candidates::IncludingUnbound],
        }
    }
}
