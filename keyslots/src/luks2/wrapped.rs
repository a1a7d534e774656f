//! A keyslot that is ready to be written.

use super::keyslot::{Luks2Keyslot, Priority};
use crate::secret::Secret;

/// A keyslot that is ready to be written: everything that takes time, memory or random bytes, and may fail for lack of
/// them, is done before anything is locked or overwritten.
#[derive(Debug)]
pub struct WrappedKeyslot {
    pub(super) slot: Luks2Keyslot,
    pub(super) material: Secret,
    /// The same in few stripes, for a place that is smaller than a keyslot area.
    pub(super) spare: Secret,
    pub(super) key_size: u32,
    pub(super) priority: Option<Priority>,
}
