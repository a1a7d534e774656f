//! Why a reencryption does not begin or go on.

use keyslots::KeyslotId;
/// Why a reencryption does not begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReencryptionError {
    /// Another process is at it.
    #[error("another process is reencrypting the volume")]
    Running,
    /// None was begun.
    #[error("the volume is not in reencryption")]
    NotBegun,
    /// Only LUKS2 has the metadata for it.
    #[error("only LUKS2 volumes can be reencrypted")]
    OnlyLuks2,
    /// There are not enough free keyslots for the new key and the reencryption.
    #[error("there are not enough free keyslots")]
    FewKeyslots,
    /// The keyslot cannot be made again for another key.
    #[error("the key derivation function of keyslot {0} is unknown")]
    KeyslotUnknown(KeyslotId),
}
