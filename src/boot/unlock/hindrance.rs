//! What an entry may have to wait for; [`super::waits`] finds out whether it has to.

/// What an entry waits for, as long as it has to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    /// The entry that is still being unlocked and whose mapping it needs.
    pub(super) needs: Option<String>,
    /// Whether its key is on what an entry is to make whose device is not there. It may never come.
    pub(super) absent: bool,
    /// The entry that its key is on and that needs it in turn.
    pub(super) circular: Option<String>,
    /// The entry that it needs and that has failed.
    pub(super) lost: Option<String>,
    /// Whether its key script may not start: others come first, or somebody is asked something at the moment.
    pub(super) turn: bool,
    /// Whether another entry is being unlocked, on which its device may be.
    pub(super) others_go_on: bool,
    /// The same of its key: what lacks a key itself may wait for the same one.
    pub(super) others_have_keys: bool,
}
