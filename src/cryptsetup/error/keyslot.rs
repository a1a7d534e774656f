//! A keyslot cannot be used, made or removed.

use keyslots::KeyslotId;

/// A keyslot cannot be used, made or removed.
#[derive(Debug, thiserror::Error)]
pub enum KeyslotError {
    /// The keyslot belongs to the data, or to nothing.
    #[error("Keyslot {0} does not contain unbound key.")]
    NotUnbound(KeyslotId),
    /// The keyslot is taken.
    #[error("Key slot {0} is full, please select another one.")]
    Full(KeyslotId),
    /// The keyslot is empty.
    #[error("Keyslot {0} is not active.")]
    Inactive(KeyslotId),
    /// No header of this version has the keyslot.
    #[error("Key slot {slot} is invalid, please select between 0 and {last}.")]
    Invalid {
        /// The keyslot.
        slot: KeyslotId,
        /// The highest number.
        last: KeyslotId,
    },
    /// No keyslot has the name.
    #[error("No keyslot is named {0}.")]
    Unnamed(String),
    /// The user did not confirm the last keyslot.
    #[error("Operation aborted, the keyslot was NOT wiped.\n")]
    LastSlotKept,
    /// No keyslot is free.
    #[error("All key slots full.")]
    AllKeyslotsFull,
    /// The keyslots area has no room.
    #[error("No space for new keyslot.")]
    NoRoomForKeyslot,
}
