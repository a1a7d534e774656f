//! Operations on an encrypted device: make one, read its header, unlock it, map it, close it, change its keyslots, tokens and
//! settings, convert it, save and restore its header, repair it. No command-line options, no terminal, no exit codes: what a
//! command line, a boot and a library have in common.
//!
//! An operation states facts. Events on its way go to an [`Observer`], questions before a loss to a [`Confirm`], and its
//! [`CryptError`] has an errno; messages and remedies are up to its caller.
//!
//! Decided here, and nowhere else: whether a device is still the one that was looked at ([`LookedAt`]), which flags a mapping
//! gets, where the kernel gets the key, which keyslots a token may open ([`tokens`]), and the defaults of a new volume
//! ([`mod@format`]) and of a new keyslot ([`CostRequest`]).

mod active;
mod ask;
mod backup;
mod change;
mod close;
mod close_all;
mod config;
mod convert;
mod cost;
mod error;
pub mod format;
mod header_users;
mod key_link;
mod keyslot_changes;
mod keyslot_removal;
mod list;
mod looked_at;
mod luks;
mod new_name;
mod observer;
mod open;
mod others;
mod plain;
pub mod reencrypt;
mod refresh;
pub mod repair;
mod status;
mod suspend;
#[cfg(test)]
mod tests;
mod token_changes;
pub mod tokens;
mod unlock;

pub use active::{ActiveVolume, ResizeRequest, find, resize, served};
pub use ask::{Confirm, Keys, Question, Restoring, Secrets};
pub use backup::{is_on_volume, restore};
pub use change::Changing;
pub use close::{CloseHow, Closed, close};
pub use close_all::{ClosedAll, close_all};
pub use config::{KeyslotSettings, Settings, configure};
pub use cost::{CostRequest, KeyslotCost, PbkdfKind, clock};
pub use error::{CostError, CryptError, FormatError, ReencryptionError, RestoreError, TokenRefused};
pub use header_users::check_header_unused;
pub use key_link::KeyLink;
pub use keyslot_changes::{ChangedKeyslot, KeyFor, NewKeyslot};
pub use list::{Entry, EntryDetails, List, list};
pub use looked_at::{LookedAt, open_to_look};
pub use luks::{HeaderPlace, LuksDevice, UnlockRequest};
pub use new_name::{free_name, free_served_name};
pub use observer::{Event, Observer, Shortfall};
pub use open::{ClosedVolume, Format, LuksMapping, OwnAccess, OwnData, PlainOptions, PlainUse};
pub use others::Others;
pub use plain::PlainEncryption;
pub use refresh::RefreshRequest;
pub use status::{OtherKind, OtherMapping, ServedStatus, Status, status};
pub use suspend::{resume, suspend};
pub use token_changes::{TokenPlace, parse_importable};
pub use unlock::Given;
