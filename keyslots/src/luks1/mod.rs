//! LUKS1: the older of the two header formats, still what boot loaders read.
//!
//! A header is 592 bytes at the start of a device or a file, with eight keyslots; the key material of each follows it,
//! and then, unless the data are on another device, the data. There is one copy and no checksum. The section numbers in
//! this module are those of the LUKS1 On-Disk Format 1.2.3.
//!
//! | to | use |
//! |---|---|
//! | read a header | [`Header::read`], then its accessors |
//! | get the volume key | [`Header::unlock`] |
//! | make a volume | [`Header::create`], [`Header::write_new`], [`Header::add_keyslot`] |
//! | change the keyslots | [`Header::add_keyslot`], [`Header::change_keyslot`], [`Header::remove_keyslot`] |
//! | destroy them all | [`Header::erase`] |
//! | keep and restore it | [`Header::backup`], [`Backup`] |
//! | repair known damage | [`Repair::diagnose`] |
//!
//! Not for: locks, devices, prompts. Each function that writes keeps the rule that keys are never lost: after a stop at
//! any of its writes, the old or the new passphrase opens the volume.

mod backup;
mod create;
mod defect;
mod format;
mod header;
mod keyslots;
mod layout;
mod repair;
mod restore;
mod staged;
mod validate;
mod wrapped;
mod written;

#[cfg(test)]
mod tests;

pub(crate) use format::field as text_field;
pub(crate) use layout::area_size;

pub use backup::{AtRisk, Backup, BackupRefused, Restore};
pub use create::{CreateParams, DEFAULT_ALIGNMENT, DataPlacement};
pub use defect::Defect;
pub use format::{
    DIGEST_LEN, HEADER_LEN, KEYSLOTS, MAGIC, NAME_LEN, RawHeader, RawKeyslot, SALT_LEN, STATE_ACTIVE, STATE_INACTIVE,
    STRIPES, UUID_LEN, VERSION,
};
pub use header::{Header, Keyslot, KeyslotState};
pub use keyslots::{ChangeTo, MIN_ITERATIONS};
pub use repair::{Fix, Repair};
pub use validate::{MAX_KEY_BYTES, validate};
pub use wrapped::WrappedKeyslot;
pub use written::PutBack;
