//! What the tests of this room, and of those above it, make headers with.

use keyslots::hash::Hash;
use keyslots::luks2::{CreateParams, DataPlacement};
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
