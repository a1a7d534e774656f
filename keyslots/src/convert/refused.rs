//! Why a conversion is refused.

use crate::KeyslotId;
use crate::shown::shown;
use crate::units::Bytes;

/// Why a header has no counterpart in the other version. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertRefused {
    /// There is no room for the copies of a LUKS2 header before the data.
    #[error("the data start at {payload}: there is no room for the header before them")]
    NoRoomForHeader {
        /// The start of the data.
        payload: Bytes,
    },
    /// The key material of a keyslot is in the way, and cannot be moved without risk.
    #[error("there is no free space to move the key material of keyslot {0} to")]
    NoRoomToMove(KeyslotId),
    /// The passphrase of a keyslot was being changed, and only the record behind the header opens with the new one.
    #[error(
        "the passphrase change of keyslot {0} was interrupted; open the volume with the new passphrase to finish it"
    )]
    UnfinishedChange(KeyslotId),
    /// A keyslot's state is not defined by LUKS1.
    #[error("keyslot {0} is damaged")]
    DamagedKeyslot(KeyslotId),
    /// LUKS1 has 8 keyslots, LUKS2 has 32.
    #[error("slot {0} (over maximum slots) is still active")]
    SlotOverMaximum(KeyslotId),
    /// A keyslot has parameters that LUKS1 does not have.
    #[error("keyslot {0} is not LUKS1 compatible")]
    Keyslot(KeyslotId),
    /// Keyslots hold different keys, or the digest is of another hash.
    #[error("key slot digests are not LUKS1 compatible")]
    Digests,
    /// There are tokens.
    #[error("LUKS2 header contains {0} token(s)")]
    Tokens(usize),
    /// The data are encrypted in larger sectors.
    #[error("default segment encryption sector size is not 512 bytes")]
    SectorSize,
    /// The data are not one segment of dm-crypt up to the end of the device.
    #[error("the data are not one plain segment of dm-crypt")]
    Segment,
    /// Integrity protection.
    #[error("the volume has integrity protection")]
    Integrity,
    /// A requirement.
    #[error("the volume has the requirement {}", shown(.0))]
    Requirement(String),
    /// No keyslot states the length of the volume key.
    #[error("without keyslots, nothing tells the size of the volume key")]
    NoKeyslots,
    /// A name or number that the LUKS1 header has no room for.
    #[error("the {0} has no place in LUKS1")]
    Field(&'static str),
    /// The keyslot areas of eight keyslots have no room.
    #[error("there is no room for eight keyslots before the data")]
    NoRoomForKeyslots,
}
