//! LUKS2: two copies of a binary header with JSON metadata, and an area of keyslots behind them.
//!
//! [`Header`] is read and validated once, and then used: nothing reads the metadata from the device a second time. Each
//! file has one job: [`mod@format`] and [`json`] the bytes, [`metadata`], [`keyslot`], [`segment`] and `tokens` the
//! types, [`mod@validate`] the rules across them, [`copies`] which copy wins and how both are written, `areas` where the
//! next keyslot fits, `unlock` from passphrase to key.

pub(crate) mod areas;
pub mod backup;
pub mod copies;
pub(crate) mod create;
mod defect;
mod digest_index;
mod edit;
mod fields;
pub mod format;
pub mod json;
pub mod keyslot;
pub mod metadata;
pub mod reencrypt;
pub mod segment;
mod staged;
#[cfg(test)]
mod tests;
mod tokens;
mod transaction;
mod unlock;
mod update;
pub mod validate;
mod wrapped;

pub use create::{CreateParams, DEFAULT_DATA_ALIGNMENT, DEFAULT_DATA_OFFSET, DEFAULT_METADATA_SIZE, DataPlacement};
pub use defect::{Defect, Misplaced};
pub use digest_index::DigestIndex;
pub use keyslot::{Keyslot, Priority};
pub use metadata::{Digest, Metadata};
pub use staged::CHANGE_TOKEN;
pub use tokens::{Places, Token};
pub use transaction::Transaction;
pub use unlock::{Candidates, NewKeyslot};
pub use wrapped::WrappedKeyslot;

use self::copies::{Copies, Copy, OtherCopy};
use self::format::{BinaryHeader, Which};
use self::reencrypt::Requirement;
use self::segment::{Crypt, Segment};
use crate::kdf::{CostLimits, Kdf};
use crate::secret::{Passphrase, VolumeKey};
use crate::storage::Storage;
use crate::units::{Bytes, Sectors};
use crate::unlocked::Unlocked;
use crate::{Error, KeyslotId, Result};

/// The limit of keyslots, and of tokens, in one header.
pub const MAX_KEYSLOTS: u32 = 32;
/// The limit of tokens in one header.
pub const MAX_TOKENS: u32 = 32;
/// The limit of digests in one header.
pub const MAX_DIGESTS: u32 = 8;

/// Requirements that this crate knows.
pub const KNOWN_REQUIREMENTS: [&str; 6] = [
    "offline-reencrypt",
    "online-reencrypt",
    "online-reencrypt-v2",
    "online-reencrypt-v3",
    "inline-hw-tags",
    "opal",
];

/// A LUKS2 header that meets every rule.
#[derive(Clone, Debug)]
pub struct Header {
    copy: Copy,
    other_copy: OtherCopy,
    /// The copy on the device, as far as is known: `None` while a new header is written over something else.
    on_device: Option<Box<Copy>>,
}

impl Header {
    /// Reads both copies, chooses the better one and validates it.
    ///
    /// # Errors
    /// [`Error::NotLuks`], or the [`Defect`] that makes the header unusable.
    pub fn read(storage: &mut dyn Storage) -> Result<Self> {
        copies::read(storage).map(Self::of_copies)
    }

    /// As [`Header::read`], where the first bytes of the device have been read already.
    pub(crate) fn read_from(
        storage: &mut dyn Storage,
        size: Bytes,
        first: std::result::Result<Vec<u8>, Defect>,
    ) -> Result<Self> {
        copies::read_from(storage, size, first).map(Self::of_copies)
    }

    fn of_copies(Copies { winner, other_copy }: Copies) -> Self {
        Self {
            on_device: Some(Box::new(winner.clone())),
            copy: winner,
            other_copy,
        }
    }

    fn new(copy: Copy) -> Self {
        Self {
            copy,
            other_copy: OtherCopy::Agrees,
            on_device: None,
        }
    }

    /// The metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.copy.metadata
    }

    /// The binary header.
    pub fn binary(&self) -> &BinaryHeader {
        &self.copy.binary
    }

    /// The state of the copy that did not win.
    pub fn other_copy(&self) -> &OtherCopy {
        &self.other_copy
    }

    /// The end of the keyslots area: how much of the device the header takes.
    pub fn size(&self) -> Bytes {
        // Validation has computed the same sum.
        validate::KeyslotsArea::new(self.copy.binary.hdr_size, self.copy.metadata.config.keyslots_size)
            .map_or(Bytes::ZERO, |area| area.end)
    }

    /// The first segment of the data.
    pub fn segment(&self) -> Option<&Segment> {
        self.copy
            .metadata
            .segments
            .values()
            .find(|segment| !segment.is_backup())
    }

    /// The encryption of the data by dm-crypt.
    pub fn crypt(&self) -> Option<&Crypt> {
        self.segment().and_then(Segment::crypt)
    }

    /// The start of the data on the data device.
    pub fn data_offset(&self) -> Sectors {
        self.segment().map_or(Sectors::ZERO, |segment| segment.offset.sectors())
    }

    /// The requirements that this crate does not know. No program that activates or writes may ignore any of them.
    pub fn unknown_requirements(&self) -> Vec<&str> {
        let requirements = self.copy.metadata.config.requirements.iter().map(String::as_str);
        requirements
            .filter(|name| !KNOWN_REQUIREMENTS.contains(name) && *name != "opal-v2")
            .filter(|name| !matches!(Requirement::parse(name), Some(Requirement::Wipe | Requirement::Last)))
            .collect()
    }

    /// # Errors
    /// [`Error::UnmetRequirements`] with those that are unknown.
    pub fn check_requirements(&self) -> Result<()> {
        match self.unknown_requirements() {
            unknown if unknown.is_empty() => Ok(()),
            unknown => Err(Error::UnmetRequirements(unknown.join(", "))),
        }
    }

    /// Whether a reencryption has begun, and how far it is.
    ///
    /// # Errors
    /// The [`Defect`] for which it cannot be continued.
    pub fn reencryption(&self) -> Result<reencrypt::Status> {
        Ok(reencrypt::Status::read(&self.copy.metadata)?)
    }

    /// The requirement by which the volume is in reencryption, if it is.
    pub fn reencryption_requirement(&self) -> Option<&str> {
        let requirements = self.copy.metadata.config.requirements.iter();
        let mut names = requirements.map(String::as_str);
        names.find(|name| Requirement::parse(name).is_some())
    }

    /// Whether a reencryption has begun and is not finished.
    pub fn in_reencryption(&self) -> bool {
        self.reencryption_requirement().is_some()
    }

    /// Checks that the header may be changed. A keyslot may be removed in any case.
    ///
    /// # Errors
    /// [`Error::UnmetRequirements`], [`Error::InReencryption`].
    pub fn check_changeable(&self) -> Result<()> {
        self.check_requirements()?;
        if self.in_reencryption() {
            return Err(Error::InReencryption);
        }
        Ok(())
    }

    /// Tries `passphrase` on `candidates`.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`] where none opens, [`Error::NoUsableKeyslot`] where there is none to try,
    /// [`Error::KeyslotInactive`] for a named one that is not there, and the error of a keyslot that could not be tried
    /// at all where no other opens.
    pub fn unlock(
        &self,
        storage: &mut dyn Storage,
        passphrase: &Passphrase,
        candidates: Candidates,
        limits: &CostLimits,
    ) -> Result<Unlocked> {
        unlock::unlock(&self.copy.metadata, storage, passphrase, candidates, limits)
    }

    /// The digest that `key` matches: of the data's, or of any if `data_only` is false.
    ///
    /// # Errors
    /// [`Error::WrongVolumeKey`].
    pub fn verify_volume_key(&self, key: &VolumeKey, data_only: bool, limits: &CostLimits) -> Result<u32> {
        unlock::matching_digest(&self.copy.metadata, key, data_only, limits)
    }

    /// Writes both copies with the next seqid. The caller holds the exclusive lock.
    ///
    /// A copy that is damaged or stale is recovered first, so that there is a valid one at every moment.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`] where another process wrote since this header was read, else the storage's.
    pub fn write(&mut self, storage: &mut dyn Storage) -> Result<()> {
        self.write_after(storage, |_| Ok(()))
    }

    /// As [`Header::write`], with `prepare` run when only the storage can still fail: the new header is valid, no other
    /// program has written, and both copies are good.
    pub(crate) fn write_after(
        &mut self,
        storage: &mut dyn Storage,
        prepare: impl FnOnce(&mut dyn Storage) -> Result<()>,
    ) -> Result<()> {
        let mut next = self.copy.clone();
        next.binary.seqid = next.binary.seqid.checked_add(1).ok_or(Error::BadParameter {
            field: "seqid",
            value: u64::MAX.to_string(),
            rule: "cannot be counted further",
        })?;
        next.metadata.digests.retain(|_, digest| !digest.is_unused());
        staged::tidy(&mut next.metadata);
        let encoded = copies::Encoded::new(&next)?;
        if self.on_device.is_some() {
            self.settle(storage)?;
        }
        prepare(storage)?;
        let written = encoded.write(storage);
        if matches!(written, Ok(()) | Err(Error::HalfWritten(_))) {
            *self = Self {
                on_device: Some(Box::new(next.clone())),
                copy: next,
                other_copy: match written {
                    Ok(()) => OtherCopy::Agrees,
                    Err(_) => OtherCopy::Stale(Which::Secondary),
                },
            };
        }
        written
    }

    /// After a failed change: restores the state from before, unless the change may have reached the device.
    pub(crate) fn restore_unless_written(&mut self, before: &Copy) {
        if self.copy.binary.seqid == before.binary.seqid {
            self.copy = before.clone();
        }
    }

    /// Checks that both copies on the device are this header, after a write.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`], or what else was found there.
    pub fn expect_written(&self, storage: &mut dyn Storage) -> Result<()> {
        let current = copies::read(storage)?;
        let ours = self.on_device.as_ref();
        match ours.is_some_and(|ours| ours.same_header(&current.winner))
            && current.other_copy.needs_recovery().is_none()
        {
            true => Ok(()),
            false => Err(Error::ChangedMeanwhile),
        }
    }

    /// Before a write: makes sure that nobody else wrote since this header was read, and that both copies are good, on the
    /// device and not only in a cache.
    pub(crate) fn settle(&self, storage: &mut dyn Storage) -> Result<()> {
        let current = copies::read(storage)?;
        if !self
            .on_device
            .as_ref()
            .is_some_and(|ours| ours.same_header(&current.winner))
        {
            return Err(Error::ChangedMeanwhile);
        }
        match current.other_copy.needs_recovery() {
            Some(which) => copies::recover(storage, &current.winner, which),
            None => copies::sync_read(storage),
        }
    }

    pub(crate) fn waiting_derivations(&self, slot: Option<KeyslotId>) -> Vec<(KeyslotId, Kdf)> {
        let slots = self.copy.metadata.keyslots.keys().copied();
        let named = slots.filter(|id| slot.is_none_or(|slot| slot == *id));
        let waiting = named.flat_map(|id| staged::waiting(&self.copy.metadata, id).map(move |it| (id, it)));
        waiting
            .filter_map(|(id, it)| Some((id, it.keyslot.kdf.known()?)))
            .collect()
    }

    /// The keyslots whose change of passphrase was interrupted.
    pub fn unfinished_changes(&self) -> Vec<KeyslotId> {
        let slots = self.copy.metadata.keyslots.keys().copied();
        slots
            .filter(|slot| staged::waiting(&self.copy.metadata, *slot).next().is_some())
            .collect()
    }

    /// Whether the metadata on the device have members that a write would drop: leftovers of an older key derivation
    /// function, or unreferenced digests.
    ///
    /// # Errors
    /// The storage's.
    pub fn has_leftovers(&self, storage: &mut dyn Storage) -> Result<bool> {
        let offset = match self.other_copy {
            OtherCopy::Stale(Which::Primary) | OtherCopy::Damaged(Which::Primary, _) => self.copy.binary.hdr_size,
            _ => Bytes::ZERO,
        };
        copies::has_leftovers(storage, &self.copy, offset)
    }

    /// Rewrites the copy that lost, where there is one. The caller holds the exclusive lock.
    ///
    /// # Errors
    /// The storage's.
    pub fn recover(&mut self, storage: &mut dyn Storage) -> Result<Option<Which>> {
        let which = self.other_copy.needs_recovery();
        if let Some(which) = which {
            copies::recover(storage, &self.copy, which)?;
            self.other_copy = OtherCopy::Agrees;
        }
        Ok(which)
    }
}
