//! The ways in which a LUKS1 header can be invalid.

use crate::KeyslotId;
use crate::units::{Bytes, Sectors};

/// A rule that a LUKS1 header breaks: the field, its value, the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// There are fewer bytes than a header has.
    #[error("the header is {0} bytes, not 592")]
    Truncated(usize),
    /// The magic is not that of LUKS.
    #[error("magic is {0:02x?}, not that of LUKS")]
    Magic([u8; 6]),
    /// The version is not 1.
    #[error("version is {0}, not 1")]
    Version(u16),
    /// A text has no final NUL.
    #[error("{field} has no final NUL")]
    NotTerminated {
        /// The field.
        field: &'static str,
    },
    /// A text has other characters than visible ASCII ones. cryptsetup takes any; we print no foreign bytes.
    #[error("{field} is {value:?}: not plain ASCII")]
    NotPrintable {
        /// The field.
        field: &'static str,
        /// The text, with invalid UTF-8 replaced.
        value: String,
    },
    /// A text that names an algorithm is empty.
    #[error("{field} is empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// The hash is unknown.
    #[error("hash is {0:?}, which is unknown")]
    UnknownHash(String),
    /// The hash is shorter than the volume key digest.
    #[error("hash is {name:?} of {len} bytes: the volume key digest takes 20")]
    HashTooShort {
        /// The hash.
        name: String,
        /// Bytes that it has.
        len: usize,
    },
    /// The volume key has no bytes.
    #[error("key bytes is 0")]
    KeyBytesZero,
    /// The volume key is longer than [`super::MAX_KEY_BYTES`].
    #[error("key bytes is {0}: more than 4096")]
    KeyBytesTooMany(u32),
    /// The volume key digest has no iterations.
    #[error("volume key digest iterations is 0")]
    DigestIterationsZero,
    /// Key material is split into another number of stripes than 4000.
    #[error("keyslot {slot}: stripes is {value}, not 4000")]
    Stripes {
        /// The keyslot.
        slot: KeyslotId,
        /// The value.
        value: u32,
    },
    /// Key material starts inside the header.
    #[error("keyslot {slot}: key material offset is {offset}: inside the header")]
    MaterialInHeader {
        /// The keyslot.
        slot: KeyslotId,
        /// The value.
        offset: Sectors,
    },
    /// Key material reaches into the data.
    #[error("keyslot {slot}: key material ends at {end}: behind the payload offset of {payload}")]
    MaterialInPayload {
        /// The keyslot.
        slot: KeyslotId,
        /// Its end.
        end: Sectors,
        /// The start of the data.
        payload: Sectors,
    },
    /// The key material of two keyslots overlaps.
    #[error("keyslot {slot}: key material overlaps that of keyslot {other}")]
    MaterialOverlap {
        /// The keyslot.
        slot: KeyslotId,
        /// The other one.
        other: KeyslotId,
    },
    /// Key material ends behind the device.
    #[error("keyslot {slot}: key material ends at {end}: the device has {device}")]
    MaterialPastDevice {
        /// The keyslot.
        slot: KeyslotId,
        /// Its end.
        end: Bytes,
        /// Size of the device.
        device: Bytes,
    },
}
