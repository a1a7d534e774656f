//! A keyslot that is ready to be written.

use super::format::{RawHeader, SALT_LEN};
use crate::secret::Secret;

/// A volume key under a passphrase, ready for a keyslot.
#[derive(Debug)]
pub struct WrappedKeyslot {
    pub(super) material: Secret,
    /// The same in few stripes, for a place that is smaller than a keyslot area.
    pub(super) spare: Secret,
    pub(super) salt: [u8; SALT_LEN],
    pub(super) iterations: u32,
    /// The header whose volume key it is.
    pub(super) made_for: Box<RawHeader>,
}
