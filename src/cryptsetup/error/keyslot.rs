//! A keyslot cannot be used, made or removed.

/// A keyslot cannot be used, made or removed.
#[derive(Debug, thiserror::Error)]
pub enum KeyslotError {
    /// The keyslot belongs to the data, or to nothing.
    #[error("Keyslot {0} does not contain unbound key.")]
    NotUnbound(u32),
    /// The keyslot is taken.
    #[error("Key slot {0} is full, please select another one.")]
    Full(u32),
    /// The keyslot is empty.
    #[error("Keyslot {0} is not active.")]
    Inactive(u32),
    /// No header of this version has the keyslot.
    #[error("Key slot {slot} is invalid, please select between 0 and {last}.")]
    Invalid {
        /// The keyslot.
        slot: u32,
        /// The highest number.
        last: u32,
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
