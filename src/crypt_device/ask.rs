//! Requests of an operation to its caller: keys, passphrases, and consent to a loss. The operation states the fact; the caller
//! chooses the words.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use keyslots::backup::{AtRisk, Restore};
use keyslots::header::Version;
use keyslots::secret::{Passphrase, VolumeKey};
use keyslots::{Error, KeyslotId};

use super::{CryptError, KeyLink, LuksDevice};
use crate::block_device::Signature;
use crate::dm::DeviceName;
use crate::header_device::Wanted;
use crate::passphrase::FinalNewline;
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
    /// A volume without a header is opened where there is something else, which is then taken for noise.
    OpenPlain {
        /// The device.
        device: &'a Path,
        /// What is there.
        found: &'a [Signature],
    },
    /// The file for a detached header does not exist, and would be made.
    CreateHeaderFile(&'a Path),
    /// A keyslot is destroyed, and it is the last one.
    RemoveLastKeyslot,
    /// The same, and a reencryption that has begun needs it.
    RemoveNeededKeyslot,
    /// All keyslots of a device are destroyed, though a reencryption has begun.
    EraseInReencryption(&'a Path),
    /// All keyslots of a device are destroyed, and with them its data.
    EraseKeyslots(&'a Path),
    /// A header is repaired.
    Repair,
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

/// The same for what a reencryption needs that has begun.
///
/// # Errors
/// [`Error::NeededByReencryption`].
pub(super) fn agree_to_loss(confirm: &dyn Confirm, question: &Question<'_>) -> Result<(), CryptError> {
    agree(confirm, question).map_err(|_| Error::NeededByReencryption.into())
}

/// Supplies the header and the key of an active volume. Called only when they are needed.
pub trait Keys {
    /// The failure of an operation that asks.
    type Error: From<CryptError>;

    /// Finds the keyring that gets the key too, before the header is read.
    ///
    /// # Errors
    /// There is no such keyring.
    fn link(&self) -> Result<Option<KeyLink<'_>>, Self::Error> {
        Ok(None)
    }

    /// Reads the header of the volume whose data are on `device`. `mapping` is its name where the operation needs a header
    /// that has to be there, since the mapping is one of a LUKS volume.
    ///
    /// # Errors
    /// There is none.
    fn header(&self, device: &Path, wanted: Wanted, mapping: Option<&DeviceName>) -> Result<LuksDevice, Self::Error>;

    /// Gets the volume key.
    ///
    /// # Errors
    /// There is none.
    fn key(&self, volume: &mut LuksDevice, device: &Path) -> Result<VolumeKey, Self::Error>;
}

/// Supplies passphrases for a LUKS volume, one after the other: from a person, a file, or a boot's prompt.
pub trait Secrets {
    /// The failure of an operation that asks.
    type Error: From<CryptError>;

    /// Gets the next passphrase to try, after `wrong` wrong ones; `None` ends the tries.
    ///
    /// # Errors
    /// The system's, or an input that has ended.
    fn next(&mut self, wrong: u32) -> Result<Option<Arc<Passphrase>>, Self::Error>;

    /// Whether it is from a file, which may end in a new line that was not meant.
    fn is_from_file(&self) -> bool {
        false
    }

    /// Reports that the last passphrase, which was wrong, would open this keyslot with, or without, a newline at its end.
    fn final_newline(&mut self, _fault: FinalNewline, _keyslot: KeyslotId) {}
}
