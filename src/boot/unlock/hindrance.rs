//! Reasons for an entry to wait; [`super::waits`] determines which apply.

/// The reasons why an entry waits, for as long as they apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    /// The entry that is still being unlocked and whose mapping it needs.
    pub(super) needs: Option<String>,
    /// Whether its key is on a mapping of an entry whose device is missing. It may never come.
    pub(super) absent: bool,
    /// The entry that its key is on and that needs it in turn.
    pub(super) circular: Option<String>,
    /// The entry that it needs and that has failed.
    pub(super) lost: Option<String>,
    /// Whether its key script may not start yet: others come first, or a prompt is open at the moment.
    pub(super) turn: bool,
    /// Whether another entry is being unlocked, which may provide its device.
    pub(super) others_go_on: bool,
    /// The same for its key: an entry that lacks a key itself may wait for the same one.
    pub(super) others_have_keys: bool,
}
