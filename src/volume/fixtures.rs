//! Headers and keyslots for the tests of this room, and of those above it.

use keyslots::hash::Hash;
use keyslots::kdf::Kdf;
use keyslots::luks2::{CreateParams, DataPlacement, NewKeyslot};
use keyslots::units::Bytes;

/// A LUKS2 header of the default sizes whose digest costs little.
pub(crate) fn cheap_header() -> CreateParams {
    CreateParams {
        encryption: "aes-xts-plain64".into(),
        sector_size: 512,
        uuid: None,
        label: String::new(),
        subsystem: String::new(),
        metadata_size: None,
        keyslots_size: None,
        data: DataPlacement::Aligned(Bytes::mib(1)),
        digest_hash: Hash::Sha256,
        digest_iterations: 1000,
    }
}

/// A LUKS2 keyslot that costs little.
pub(crate) fn cheap_keyslot() -> NewKeyslot {
    NewKeyslot {
        kdf: Kdf::Pbkdf2 {
            hash: Hash::Sha256,
            iterations: 1000,
        },
        af_hash: Hash::Sha256,
        encryption: "aes-xts-plain64".parse().expect("a cipher"),
        area_key_size: 32,
        priority: None,
    }
}
