//! A LUKS1 or LUKS2 header behind one interface.
//!
//! The parts that only one version has are behind [`Header::luks1`] and [`Header::luks2`].

use std::collections::BTreeSet;

use crate::af::STRIPES;
use crate::cipher::CipherName;
use crate::entropy::{self, Suspect};
use crate::kdf::{CostLimits, Kdf, Weakness};
use crate::luks1;
use crate::luks2::{self, Candidates, Defect, DigestIndex, Keyslot, Metadata};
use crate::secret::{Passphrase, VolumeKey};
use crate::storage::Storage;
use crate::units::Bytes;
use crate::wipe::Medium;
use crate::{Error, KeyslotId, Result, Unlocked};

pub use crate::layout::{DataEncryption, DataKind, DataLayout, DataSegment, Layout, NotSingle};
pub use crate::unlocked::Unfinished;
pub use crate::version::Version;

/// A validated header of either version.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one header at a time")]
pub enum Header {
    /// LUKS1.
    Luks1(luks1::Header),
    /// LUKS2.
    Luks2(luks2::Header),
}

/// The state of a keyslot number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// The number is out of range.
    OutOfRange,
    /// It is free.
    Inactive,
    /// It holds the key of the data, and others do too.
    Active,
    /// It is the only one that holds the key of the data.
    ActiveLast,
    /// It holds another key, or something that is not a key.
    Other,
}

impl Header {
    /// Reads the header of whichever version is there: each copy once.
    ///
    /// # Errors
    /// [`Error::NotLuks`], [`Error::UnknownVersion`], or the defect that makes the header unusable.
    pub fn read(storage: &mut dyn Storage) -> Result<Self> {
        let size = storage.size().map_err(Error::io("get the size of the header device"))?;
        let first = luks2::copies::read_first(storage, size);
        if let Ok(bytes) = &first
            && is_luks1(bytes)
        {
            return luks1::Header::from_bytes(bytes, Some(size)).map(Self::Luks1);
        }
        match luks2::Header::read_from(storage, size, first) {
            Err(Error::Luks2(Defect::Version(version))) => Err(Error::UnknownVersion(version)),
            other => other.map(Self::Luks2),
        }
    }

    /// The version.
    pub fn version(&self) -> Version {
        match self {
            Self::Luks1(_) => Version::Luks1,
            Self::Luks2(_) => Version::Luks2,
        }
    }

    /// The LUKS1 header, if it is one.
    pub fn luks1(&self) -> Option<&luks1::Header> {
        match self {
            Self::Luks1(header) => Some(header),
            Self::Luks2(_) => None,
        }
    }

    /// The LUKS2 header, if it is one.
    pub fn luks2(&self) -> Option<&luks2::Header> {
        match self {
            Self::Luks1(_) => None,
            Self::Luks2(header) => Some(header),
        }
    }

    /// Whether a reencryption has begun and is not finished.
    pub fn in_reencryption(&self) -> bool {
        self.luks2().is_some_and(luks2::Header::in_reencryption)
    }

    /// The UUID, as unvalidated text.
    pub fn uuid(&self) -> &str {
        match self {
            Self::Luks1(header) => header.uuid(),
            Self::Luks2(header) => &header.binary().uuid,
        }
    }

    /// The segments of the data, each with its place, its encryption and its key.
    pub fn layout(&self) -> Layout {
        match self {
            Self::Luks1(header) => {
                let cipher = format!("{}-{}", header.cipher_name(), header.cipher_mode());
                Layout::of_luks1(CipherName::new(&cipher), header.payload_offset())
            }
            Self::Luks2(header) => Layout::of_luks2(header.metadata()),
        }
    }

    /// The encryption of the data, of the first segment where there are several. `None` where LUKS2 has no segment for dm-crypt.
    pub fn data(&self) -> Option<DataLayout> {
        self.layout().first()
    }

    /// Length of the volume key. `None` where no keyslot of LUKS2 states it.
    pub fn key_size(&self) -> Option<Bytes> {
        match self {
            Self::Luks1(header) => Some(header.key_size()),
            Self::Luks2(header) => {
                let (_, digest) = header.metadata().digest_of_segment(0)?;
                let slot = digest.keyslots.first()?;
                Some(Bytes::new(header.metadata().keyslots.get(slot)?.key_size.into()))
            }
        }
    }

    /// The keyslots whose costs are too low to protect the key of the data, whether or not they are tried by themselves. Those
    /// that a token of another program (clevis, systemd-tpm2, …) refers to hold long random keys, which need no costs.
    pub fn weak_keyslots(&self) -> Vec<(KeyslotId, Weakness)> {
        let all = match self {
            Self::Luks1(_) => self.derivations(None),
            Self::Luks2(header) => {
                let metadata = header.metadata();
                let digests = DigestIndex::new(metadata);
                let tokens = metadata.tokens.values().filter(|token| token.is_foreign());
                let foreign: BTreeSet<KeyslotId> = tokens.flat_map(|token| &token.keyslots).copied().collect();
                let slots = metadata.keyslots.keys().copied();
                costs(
                    metadata,
                    slots.filter(|slot| digests.is_bound(*slot) && !foreign.contains(slot)),
                )
            }
        };
        let weak = all.into_iter();
        weak.filter_map(|(slot, kdf)| Some((slot, kdf.weakness()?))).collect()
    }

    /// The size of the header, key material included.
    pub fn size(&self) -> Bytes {
        match self {
            Self::Luks1(header) => header.metadata_size(),
            Self::Luks2(header) => header.size(),
        }
    }

    /// Tries `passphrase` on `candidates`.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::NoUsableKeyslot`], [`Error::KeyslotInactive`], or the reason why a keyslot
    /// could not be tried.
    pub fn unlock(
        &self,
        storage: &mut dyn Storage,
        passphrase: &Passphrase,
        candidates: Candidates,
        limits: &CostLimits,
    ) -> Result<Unlocked> {
        match self {
            Self::Luks1(header) => {
                let slot = match candidates {
                    Candidates::Keyslot(slot) => Some(slot),
                    Candidates::All | Candidates::IncludingUnbound => None,
                };
                header.unlock(storage, passphrase, slot, limits)
            }
            Self::Luks2(header) => header.unlock(storage, passphrase, candidates, limits),
        }
    }

    /// Checks that `key` is the key of the data.
    ///
    /// # Errors
    /// [`Error::WrongVolumeKey`].
    pub fn verify_volume_key(&self, key: &VolumeKey, limits: &CostLimits) -> Result<()> {
        match self {
            Self::Luks1(header) => header.verify_volume_key(key, limits),
            Self::Luks2(header) => header.verify_volume_key(key, true, limits).map(drop),
        }
    }

    /// The keyslots that hold something, by their numbers.
    pub fn used_keyslots(&self) -> Vec<KeyslotId> {
        match self {
            Self::Luks1(header) => header.active_keyslots().collect(),
            Self::Luks2(header) => header.metadata().keyslots.keys().copied().collect(),
        }
    }

    /// The cost of trying a passphrase: the keyslots that it would be tried on, in that order, each with its derivation.
    /// `slot` is the one that was named.
    pub fn derivations(&self, slot: Option<KeyslotId>) -> Vec<(KeyslotId, Kdf)> {
        match self {
            Self::Luks1(header) => {
                let hash = header.hash();
                let active = header
                    .active_keyslots()
                    .filter(|id| slot.is_none_or(|slot| slot == *id));
                active
                    .filter_map(|id| header.keyslot(id).map(|keyslot| (id, keyslot.iterations)))
                    .map(|(id, iterations)| (id, Kdf::Pbkdf2 { hash, iterations }))
                    .collect()
            }
            Self::Luks2(header) => {
                let metadata = header.metadata();
                let digests = DigestIndex::new(metadata);
                let bound = |id: &KeyslotId| digests.is_bound(*id);
                let ids = match slot {
                    Some(slot) => vec![slot],
                    None => metadata.keyslots_to_try().into_iter().filter(bound).collect(),
                };
                costs(metadata, ids.into_iter())
            }
        }
    }

    /// As [`Header::derivations`], for the keys that interrupted changes left behind. Those of LUKS1 need no memory.
    pub fn waiting_derivations(&self, slot: Option<KeyslotId>) -> Vec<(KeyslotId, Kdf)> {
        match self {
            Self::Luks1(_) => Vec::new(),
            Self::Luks2(header) => header.waiting_derivations(slot),
        }
    }

    /// The state of keyslot `slot`. In a reencryption the data have two keys, each with a last keyslot of its own.
    pub fn slot_state(&self, slot: KeyslotId) -> SlotState {
        let data: Vec<KeyslotId> = match self {
            Self::Luks1(header) => header.active_keyslots().collect(),
            Self::Luks2(header) => {
                let digest = header.metadata().data_digest_of_keyslot(slot);
                let keyslots = digest.map(|digest| digest.keyslots.clone());
                keyslots.unwrap_or_default()
            }
        };
        if data.contains(&slot) {
            // A keyslot that cannot be opened here does not count as another one.
            let can_open = |id: &KeyslotId| match self {
                Self::Luks1(_) => true,
                Self::Luks2(header) => header.metadata().keyslots.get(id).is_some_and(Keyslot::is_known),
            };
            return match data.iter().any(|id| *id != slot && can_open(id)) {
                true => SlotState::Active,
                false => SlotState::ActiveLast,
            };
        }
        if self.used_keyslots().contains(&slot) {
            SlotState::Other
        } else if !slot.fits(self.version()) {
            SlotState::OutOfRange
        } else {
            SlotState::Inactive
        }
    }

    /// Checks that keyslot `slot` is the same as in `earlier`, a header of the same volume: that a passphrase which
    /// opened it there opens it here.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`].
    pub fn expect_same_keyslot(&self, earlier: &Self, slot: KeyslotId) -> Result<()> {
        let same = match (self, earlier) {
            (Self::Luks1(now), Self::Luks1(then)) => {
                now.mk_digest() == then.mk_digest() && now.keyslot(slot) == then.keyslot(slot)
            }
            (Self::Luks2(now), Self::Luks2(then)) => {
                let of = |header: &luks2::Header| {
                    let metadata = header.metadata();
                    let digest = metadata.digest_of_keyslot(slot).map(|(_, digest)| digest.kind.clone());
                    (metadata.keyslots.get(&slot).cloned(), digest)
                };
                of(now) == of(then)
            }
            _ => false,
        };
        if same { Ok(()) } else { Err(Error::ChangedMeanwhile) }
    }

    /// The keyslots whose key material is no longer noise, or cannot be read, so that no passphrase can open them. One that
    /// cannot be read does not hide others.
    ///
    /// # Errors
    /// [`Error::KeyslotOutOfRange`].
    pub fn suspect_keyslots(&self, storage: &mut dyn Storage) -> Result<Vec<Suspect>> {
        let areas: Vec<(KeyslotId, u64, u32)> = match self {
            Self::Luks1(header) => {
                let key_size = header.raw().key_bytes;
                let start = |id: KeyslotId| Some(header.keyslot(id)?.material_offset.bytes()?.get());
                header
                    .active_keyslots()
                    .filter_map(|id| Some((id, start(id)?, key_size)))
                    .collect()
            }
            Self::Luks2(header) => {
                let keyslots = header.metadata().keyslots.iter();
                keyslots
                    .filter_map(|(id, keyslot)| {
                        keyslot.luks2()?;
                        Some((*id, keyslot.area.offset.get(), keyslot.key_size))
                    })
                    .collect()
            }
        };
        let mut found = Vec::new();
        for (slot, start, key_size) in areas {
            let material = u64::from(key_size) * u64::from(STRIPES);
            let end = start.checked_add(material).ok_or(Error::KeyslotOutOfRange(slot))?;
            let offsets = entropy::uneven_blocks(storage, start..end);
            let unreadable = offsets.is_err();
            let offsets = offsets.unwrap_or_default();
            if unreadable || !offsets.is_empty() {
                found.push(Suspect {
                    slot,
                    offsets,
                    unreadable,
                });
            }
        }
        Ok(found)
    }

    /// The keyslots whose change of passphrase was interrupted; using the new passphrase finishes it.
    ///
    /// # Errors
    /// The storage's.
    pub fn unfinished_changes(&self, storage: &mut dyn Storage) -> Result<Vec<KeyslotId>> {
        match self {
            Self::Luks1(header) => header.unfinished_changes(storage),
            Self::Luks2(header) => Ok(header.unfinished_changes()),
        }
    }

    /// Finishes the interrupted change of keyslot `slot`. If another process has finished it, nothing is written.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`], or the storage's.
    pub fn finish_change(
        &mut self,
        storage: &mut dyn Storage,
        slot: KeyslotId,
        unfinished: &Unfinished,
        medium: Medium,
    ) -> Result<()> {
        match (self, unfinished) {
            (Self::Luks1(header), Unfinished::Luks1(sealed)) => header.finish(storage, slot, sealed, medium),
            (Self::Luks1(header), Unfinished::Luks1Record) => header.tidy(storage, medium),
            (Self::Luks2(header), Unfinished::Luks2(sealed)) => header.finish(storage, slot, sealed, medium),
            _ => Err(Error::ChangedMeanwhile),
        }
    }

    /// Destroys keyslot `slot`, even if it is the last one, or a reencryption is lost with it.
    ///
    /// # Errors
    /// [`Error::KeyslotInactive`], [`Error::KeyslotOutOfRange`], or the storage's.
    pub fn destroy_keyslot(&mut self, storage: &mut dyn Storage, slot: KeyslotId, medium: Medium) -> Result<()> {
        match self {
            Self::Luks1(header) => header.remove_keyslot(storage, slot, medium),
            Self::Luks2(header) => header.destroy_keyslot(storage, slot, medium),
        }
    }

    /// Destroys keyslot `slot`, even if it is the last one.
    ///
    /// # Errors
    /// [`Error::NeededByReencryption`], [`Error::KeyslotInactive`], [`Error::KeyslotOutOfRange`], or the storage's.
    pub fn remove_keyslot(&mut self, storage: &mut dyn Storage, slot: KeyslotId, medium: Medium) -> Result<()> {
        match self {
            Self::Luks1(header) => header.remove_keyslot(storage, slot, medium),
            Self::Luks2(header) => header.remove_keyslot(storage, slot, medium),
        }
    }

    /// Sets the UUID.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for one that is too long, or the storage's.
    pub fn set_uuid(&mut self, storage: &mut dyn Storage, uuid: &str) -> Result<()> {
        match self {
            Self::Luks1(header) => header.set_uuid(storage, uuid),
            Self::Luks2(header) => header.set_uuid(storage, uuid),
        }
    }
}

/// The derivation of each of `slots`, where it is known.
fn costs(metadata: &Metadata, slots: impl Iterator<Item = KeyslotId>) -> Vec<(KeyslotId, Kdf)> {
    slots
        .filter_map(|id| Some((id, metadata.keyslots.get(&id)?.luks2()?.kdf.known()?)))
        .collect()
}

fn is_luks1(bytes: &[u8]) -> bool {
    bytes.starts_with(&luks2::format::PRIMARY_MAGIC) && bytes.get(6..8) == Some(&[0, 1])
}
