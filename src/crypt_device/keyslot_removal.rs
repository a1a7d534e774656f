//! Before a keyslot is destroyed: the question, and the passphrases that prove that others are left.

use keyslots::header::SlotState;
use keyslots::luks2::Candidates;

use super::ask::agree;
use super::{Confirm, CryptError, LuksDevice, Question};

impl LuksDevice {
    /// Asks whether a keyslot may be destroyed that is the last one.
    ///
    /// # Errors
    /// [`CryptError::Declined`].
    pub fn confirm_removal(&self, confirm: &dyn Confirm, slot: u32) -> Result<(), CryptError> {
        match self.header.slot_state(slot) {
            SlotState::ActiveLast => agree(confirm, &Question::RemoveLastKeyslot),
            _ => Ok(()),
        }
    }

    /// The keyslots of which one has to open before `slot` is destroyed: all others, or itself where there are none. As long
    /// as keyslots hold the key of the data, the passphrase of an unbound key proves nothing.
    pub fn proofs_for_removal(&self, slot: u32) -> Vec<Candidates> {
        let of_data = |id: &u32| matches!(self.header.slot_state(*id), SlotState::Active | SlotState::ActiveLast);
        let (data, keys): (Vec<u32>, Vec<u32>) = self.header.used_keyslots().into_iter().partition(of_data);
        let others = |slots: Vec<u32>| {
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
