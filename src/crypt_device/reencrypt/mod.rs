//! Reencryption of a LUKS2 volume that nobody uses: its key, cipher or sector size changes, or its data become encrypted, or
//! plaintext, where they are.
//!
//! What is written in which order, so that nothing is lost by an interruption at any point, is decided by
//! [`keyslots::luks2::reencrypt`]. Here it gets devices that are held, locks, keyslots for the new key, and all processors.

mod begin;
mod data;
mod relocate;
mod run;
mod unlock;

pub use begin::{Begin, CopiedKeyslot};
pub use data::{OfflineData, ReencryptionLock};
pub use run::{Ended, Pace};
pub use unlock::LackingKey;
