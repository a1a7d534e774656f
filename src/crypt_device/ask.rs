//! Questions in the middle of an operation, before something is lost. An operation states what will happen; the words are up to
//! whoever answers.

use std::fmt;
use std::path::Path;

use keyslots::backup::{AtRisk, Restore};
use keyslots::header::Version;

use super::CryptError;
use crate::block_device::Signature;
use crate::slot_names::SlotName;

/// What is about to happen.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Question<'a> {
    /// A header gets the format of another version.
    Convert {
        /// The device with the data, as the user named it.
        device: &'a Path,
        /// The new version.
        to: Version,
        /// Whether the new version has no place for something that is there: a label, a priority, a flag.
        loses: bool,
    },
    /// A volume gets another UUID.
    ChangeUuid,
    /// What is on a device is lost: the header of a new volume is written over it.
    Overwrite {
        /// The device.
        device: &'a Path,
        /// What is there, as far as it was looked for.
        found: &'a [Signature],
        /// Keyslots there that are protected from removal.
        protected: &'a [SlotName],
    },
    /// The file for a detached header does not exist, and would be made.
    CreateHeaderFile(&'a Path),
    /// A backup is written over a header, or over other data.
    Restore(&'a Restoring<'a>),
}

/// A backup that is about to be restored.
#[derive(Clone, Copy, Debug)]
pub struct Restoring<'a> {
    /// The device with the header, or the place for it.
    pub device: &'a Path,
    /// The version of the backup.
    pub version: Version,
    /// What it changes.
    pub plan: &'a Restore,
    /// What may be lost if it is interrupted.
    pub at_risk: AtRisk,
}

/// Answers questions.
pub trait Confirm: fmt::Debug {
    /// Whether it may happen.
    fn confirm(&self, question: &Question<'_>) -> bool;
}

/// Asks, and fails where the answer is no.
///
/// # Errors
/// [`CryptError::Declined`].
pub(super) fn agree(confirm: &dyn Confirm, question: &Question<'_>) -> Result<(), CryptError> {
    match confirm.confirm(question) {
        true => Ok(()),
        false => Err(CryptError::Declined),
    }
}
