//! The number of a keyslot.

use std::fmt;

use crate::version::Version;
use crate::{Error, Result, luks1, luks2};

/// The number of a keyslot, as `--key-slot` has it: never that of a token, a digest or a segment.
///
/// ```
/// use keyslots::KeyslotId;
/// use keyslots::header::Version;
///
/// let slot = KeyslotId::new(8);
/// assert_eq!(slot.to_string(), "8");
/// assert!(slot.fits(Version::Luks2) && !slot.fits(Version::Luks1));
/// assert!(KeyslotId::checked(32, Version::Luks2).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyslotId(u32);

impl KeyslotId {
    /// The keyslot that a user or a header calls `number`. Whether there is one, the header says: LUKS2 metadata of other
    /// programs may name any.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The keyslot `number` of a version.
    ///
    /// # Errors
    /// [`Error::KeyslotOutOfRange`].
    pub fn checked(number: u32, version: Version) -> Result<Self> {
        let slot = Self(number);
        match slot.fits(version) {
            true => Ok(slot),
            false => Err(Error::KeyslotOutOfRange(slot)),
        }
    }

    /// The last keyslot that a version allows.
    pub const fn last(version: Version) -> Self {
        match version {
            Version::Luks1 => Self(luks1::KEYSLOTS as u32 - 1),
            Version::Luks2 => Self(luks2::MAX_KEYSLOTS - 1),
        }
    }

    /// All keyslots that a version allows, in their order.
    pub fn all(version: Version) -> impl Iterator<Item = Self> {
        (0..=Self::last(version).0).map(Self)
    }

    /// Whether a version allows a keyslot of this number.
    pub fn fits(self, version: Version) -> bool {
        self <= Self::last(version)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The place in the array of a LUKS1 header; behind its end for a keyslot that LUKS1 does not have.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for KeyslotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
