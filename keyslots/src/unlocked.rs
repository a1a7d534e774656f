//! The result of unlocking.

use crate::KeyslotId;
use crate::secret::VolumeKey;
use crate::{luks1, luks2};

/// A keyslot that opened, and the key that was in it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unlocked {
    /// The keyslot.
    pub keyslot: KeyslotId,
    /// The key.
    pub volume_key: VolumeKey,
    /// The rest of an interrupted change of the keyslot, if the new passphrase was given; see
    /// [`crate::header::Header::finish_change`].
    pub unfinished: Option<Box<Unfinished>>,
}

/// The rest of an interrupted keyslot change: the keyslot's new content.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unfinished {
    /// In LUKS1.
    Luks1(luks1::WrappedKeyslot),
    /// In LUKS1, where only leftovers remain to be wiped.
    Luks1Record,
    /// In LUKS2.
    Luks2(luks2::WrappedKeyslot),
}
