//! From a header and a key to a mapped volume, and back.
//!
//! Mappings are described by values that were validated once; nothing here reads a header, asks for a passphrase or
//! prints. [`activate`] and [`deactivate()`] make and remove a mapping, [`suspend`] freezes one and takes its key away,
//! [`resize()`] makes it longer or shorter, [`state`] reports on an active one.

mod activate;
mod cipher_check;
mod deactivate;
mod error;
#[cfg(test)]
pub(crate) mod fixtures;
mod flags;
mod header_use;
mod integrity;
mod luks;
mod naming;
mod plain;
mod resize;
mod state;
mod suspend;

pub use activate::{Activate, KeyPlace, activate, check_free, reload, size_of_data};
pub use cipher_check::check_cipher;
pub use deactivate::{Deactivated, cancel_deferred, deactivate};
pub use error::VolumeError;
pub use flags::Flags;
pub(crate) use header_use::is_header_of;
pub use header_use::{check_device, check_identity, users_of_header};
pub use luks::{check_apart, check_behind_header, identity, key_place, mappable};
pub use naming::{Identity, new_name};
pub use plain::{MAX_KEY_LEN, PlainHash, PlainKeyError};
pub use resize::{refresh_plain, resize};
pub use state::{Active, KeyLocation, state};
pub use suspend::{resume, suspend};
