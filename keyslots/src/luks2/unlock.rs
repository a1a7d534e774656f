//! From a passphrase to the volume key, and back into a keyslot.

use std::collections::BTreeSet;

use super::areas::area_size;
use super::digest_index::DigestIndex;
use super::keyslot::{Keyslot, Luks2Keyslot, Priority, SlotKdf};
use super::metadata::{Digest, DigestKind, Metadata};
use super::staged::{self, Waiting};
use super::wrapped::WrappedKeyslot;
use crate::cipher::CipherSpec;
use crate::hash::{Hash, HashName};
use crate::kdf::{CostLimits, Kdf};
use crate::material::{self, Wrapping};
use crate::secret::{Passphrase, Secret, VolumeKey};
use crate::storage::Storage;
use crate::units::{Bytes, SECTOR_SIZE};
use crate::unlocked::{Unfinished, Unlocked};
use crate::{Error, KeyslotId, Result};

/// The keyslots that a passphrase is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Candidates {
    /// Those that hold the key of the data, by priority.
    All,
    /// All keyslots, including unbound ones; used by `--test-passphrase`.
    IncludingUnbound,
    /// One, whatever its priority and whatever its key is for.
    Keyslot(KeyslotId),
}

/// Tries the candidates one after the other.
///
/// # Errors
/// [`Error::WrongPassphrase`] where none opened, [`Error::NoUsableKeyslot`] where there was none to try,
/// [`Error::KeyslotInactive`] for a named one that is not there, and the error of a keyslot that could not be tried
/// at all where no other opened.
pub(super) fn unlock(
    metadata: &Metadata,
    storage: &mut dyn Storage,
    passphrase: &Passphrase,
    candidates: Candidates,
    limits: &CostLimits,
) -> Result<Unlocked> {
    let ids = candidate_ids(metadata, candidates)?;
    let mut failure = None;
    for &id in &ids {
        match open_keyslot(metadata, storage, passphrase, id, limits) {
            Ok(volume_key) => {
                return Ok(Unlocked {
                    keyslot: id,
                    volume_key,
                    unfinished: None,
                });
            }
            Err(Error::WrongPassphrase) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    for &id in &ids {
        for waiting in staged::waiting(metadata, id) {
            if let Ok(unlocked) = open_staged(metadata, passphrase, id, waiting, limits) {
                return Ok(unlocked);
            }
        }
    }
    Err(failure.unwrap_or(if ids.is_empty() {
        Error::NoUsableKeyslot
    } else {
        Error::WrongPassphrase
    }))
}

fn candidate_ids(metadata: &Metadata, candidates: Candidates) -> Result<Vec<KeyslotId>> {
    let digests = DigestIndex::new(metadata);
    let bound = |id: &KeyslotId| digests.is_bound(*id);
    Ok(match candidates {
        Candidates::All => metadata.keyslots_to_try().into_iter().filter(bound).collect(),
        Candidates::IncludingUnbound => {
            let (mut ids, unbound): (Vec<_>, Vec<_>) = metadata.keyslots_to_try().into_iter().partition(bound);
            ids.extend(unbound);
            ids
        }
        Candidates::Keyslot(id) => {
            let slot = metadata.keyslots.get(&id).ok_or(Error::KeyslotInactive(id))?;
            if slot.is_luks2() { vec![id] } else { Vec::new() }
        }
    })
}

fn open_keyslot(
    metadata: &Metadata,
    storage: &mut dyn Storage,
    passphrase: &Passphrase,
    id: KeyslotId,
    limits: &CostLimits,
) -> Result<VolumeKey> {
    let slot = metadata.keyslots.get(&id).ok_or(Error::KeyslotInactive(id))?;
    let luks2 = slot.luks2().ok_or(Error::NoUsableKeyslot)?;
    let spec: CipherSpec = luks2.encryption.parse()?;
    // An unencrypted key must not look as if a passphrase had protected it.
    if spec.is_null() && !passphrase.is_empty() {
        return Err(Error::WrongPassphrase);
    }
    let area_key = derive_area_key(luks2, passphrase, limits)?;
    let ciphertext = read_area(storage, slot)?;
    let key_len = slot.key_size as usize;
    let wrapping = Wrapping {
        cipher: &spec,
        af_hash: known(&luks2.af_hash)?,
        stripes: super::keyslot::STRIPES,
    };
    let volume_key = wrapping.unseal(ciphertext, area_key.expose(), key_len)?;
    let (_, digest) = metadata.digest_of_keyslot(id).ok_or(Error::NoUsableKeyslot)?;
    if digest_matches(digest, &volume_key, limits)? {
        Ok(volume_key)
    } else {
        Err(Error::WrongPassphrase)
    }
}

/// Tries the key that an interrupted change of the keyslot left behind.
fn open_staged(
    metadata: &Metadata,
    passphrase: &Passphrase,
    id: KeyslotId,
    waiting: Waiting,
    limits: &CostLimits,
) -> Result<Unlocked> {
    let slot = metadata.keyslots.get(&id).ok_or(Error::KeyslotInactive(id))?;
    let key_len = slot.key_size as usize;
    let spec: CipherSpec = waiting.keyslot.encryption.parse()?;
    if spec.is_null() {
        return Err(Error::WrongPassphrase);
    }
    let area_key = derive_area_key(&waiting.keyslot, passphrase, limits)?;
    let ciphertext = Secret::copy_from(&waiting.material).map_err(Error::io("allocate memory for key material"))?;
    let wrapping = Wrapping {
        cipher: &spec,
        af_hash: known(&waiting.keyslot.af_hash)?,
        stripes: material::spare_stripes(key_len),
    };
    let volume_key = wrapping.unseal(ciphertext, area_key.expose(), key_len)?;
    let (_, digest) = metadata.digest_of_keyslot(id).ok_or(Error::NoUsableKeyslot)?;
    if !digest_matches(digest, &volume_key, limits)? {
        return Err(Error::WrongPassphrase);
    }
    let sealed = WrappedKeyslot::of(waiting.keyslot, &volume_key, &area_key, slot.priority)?;
    Ok(Unlocked {
        keyslot: id,
        volume_key,
        unfinished: Some(Box::new(Unfinished::Luks2(sealed))),
    })
}

fn derive_area_key(slot: &Luks2Keyslot, passphrase: &Passphrase, limits: &CostLimits) -> Result<Secret> {
    // An area key is at most as long as the longest cipher key; more is an attempt to exhaust memory.
    const MAX_AREA_KEY: u32 = 512;
    if slot.area_key_size > MAX_AREA_KEY {
        let value = slot.area_key_size.to_string();
        return Err(Error::BadParameter {
            field: "area.key_size",
            value,
            rule: "must not be above 512 bytes",
        });
    }
    let kdf = slot.kdf.known().ok_or_else(|| match &slot.kdf {
        SlotKdf::Pbkdf2 { hash, .. } => Error::UnknownHash(hash.as_str().to_owned()),
        other => Error::UnknownKdf(other.type_name().to_owned()),
    })?;
    let mut area_key = Secret::zeroed(slot.area_key_size as usize).map_err(Error::io("allocate memory for a key"))?;
    kdf.derive(passphrase.expose(), &slot.salt, area_key.expose_mut(), limits)?;
    Ok(area_key)
}

fn read_area(storage: &mut dyn Storage, slot: &Keyslot) -> Result<Secret> {
    // Validation has made sure that the area holds it.
    let len = Keyslot::material_size(slot.key_size)
        .and_then(|size| size.round_up(Bytes::new(SECTOR_SIZE)))
        .and_then(Bytes::to_usize)
        .ok_or(Error::NoUsableKeyslot)?;
    let mut ciphertext = Secret::zeroed(len).map_err(Error::io("allocate memory for key material"))?;
    storage
        .read_at(slot.area.offset, ciphertext.expose_mut())
        .map_err(Error::io("read the keyslot area"))?;
    Ok(ciphertext)
}

/// Whether `key` is the one that `digest` describes. The caller has checked its length.
///
/// # Errors
/// [`Error::UnknownHash`], and those of the derivation.
pub(super) fn digest_matches(digest: &Digest, key: &VolumeKey, limits: &CostLimits) -> Result<bool> {
    let DigestKind::Pbkdf2 {
        hash,
        iterations,
        salt,
        digest,
    } = &digest.kind
    else {
        return Ok(false);
    };
    let mut computed = Secret::zeroed(digest.len()).map_err(Error::io("allocate memory for a digest"))?;
    let kdf = Kdf::Pbkdf2 {
        hash: known(hash)?,
        iterations: *iterations,
    };
    kdf.derive(key.expose(), salt, computed.expose_mut(), limits)?;
    Ok(computed.ct_eq(digest))
}

/// The digest that `key` matches, of those of the data where `data_only`.
///
/// The length counts too: to PBKDF2 a key and the same key followed by zeros are equal.
///
/// # Errors
/// [`Error::WrongVolumeKey`], or those of the derivation, that of a hash which is unknown where no other digest matches.
pub(super) fn matching_digest(
    metadata: &Metadata,
    key: &VolumeKey,
    data_only: bool,
    limits: &CostLimits,
) -> Result<u32> {
    let mut unknown = None;
    for (&id, digest) in &metadata.digests {
        if data_only && digest.segments.is_empty() {
            continue;
        }
        let lengths: BTreeSet<usize> = digest
            .keyslots
            .iter()
            .filter_map(|id| Some(metadata.keyslots.get(id)?.key_size as usize))
            .collect();
        let right_length = match lengths.is_empty() {
            true => fits_segments(metadata, digest, key),
            false => lengths.contains(&key.len()),
        };
        if !right_length {
            continue;
        }
        match digest_matches(digest, key, limits) {
            Ok(true) => return Ok(id),
            Ok(false) => {}
            Err(error @ Error::UnknownHash(_)) => unknown = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(unknown.unwrap_or(Error::WrongVolumeKey))
}

/// Whether the ciphers of the segments take a key of this length: without keyslots, nothing else states the length.
fn fits_segments(metadata: &Metadata, digest: &Digest, key: &VolumeKey) -> bool {
    let segments = digest
        .segments
        .iter()
        .filter_map(|id| metadata.segments.get(id)?.crypt());
    // With integrity protection the key holds another one.
    let segments = segments.filter(|crypt| crypt.integrity.is_none());
    let mut ciphers = segments.filter_map(|crypt| crypt.encryption.parse::<CipherSpec>().ok());
    ciphers.all(|cipher| cipher.check_key_len(key.len()).is_ok())
}

fn known(hash: &HashName) -> Result<Hash> {
    hash.known().ok_or_else(|| Error::UnknownHash(hash.as_str().to_owned()))
}

/// The parameters of a new keyslot.
#[derive(Clone, Debug)]
pub struct NewKeyslot {
    /// From passphrase to area key.
    pub kdf: Kdf,
    /// Hash of the anti-forensic split.
    pub af_hash: Hash,
    /// Cipher specification of the area.
    pub encryption: CipherSpec,
    /// Length of the area key in bytes.
    pub area_key_size: u32,
    /// The priority, or `None` for the default.
    pub priority: Option<Priority>,
}

impl WrappedKeyslot {
    fn of(slot: Luks2Keyslot, key: &VolumeKey, area_key: &Secret, priority: Option<Priority>) -> Result<Self> {
        let (cipher, af_hash) = (&slot.encryption.parse()?, known(&slot.af_hash)?);
        let key_size = u32::try_from(key.len()).ok().filter(|&len| area_size(len).is_some());
        let key_size = key_size.ok_or_else(|| Error::BadParameter {
            field: "key size",
            value: key.len().to_string(),
            rule: "must fit a keyslot area",
        })?;
        // Under the same key, but the encrypted data are random in both.
        let seal = |stripes| {
            let wrapping = Wrapping {
                cipher,
                af_hash,
                stripes,
            };
            wrapping.seal(key.expose(), area_key.expose())
        };
        Ok(Self {
            material: seal(super::keyslot::STRIPES)?,
            spare: seal(material::spare_stripes(key.len()))?,
            slot,
            key_size,
            priority,
        })
    }
}

impl NewKeyslot {
    /// Encrypts `key` under `passphrase`, with a salt of its own.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for a null cipher or a key that no keyslot holds, else those of the derivation and of the
    /// cipher.
    pub fn seal(&self, key: &VolumeKey, passphrase: &Passphrase, limits: &CostLimits) -> Result<WrappedKeyslot> {
        if self.encryption.is_null() {
            let value = self.encryption.to_string();
            return Err(Error::BadParameter {
                field: "keyslot cipher",
                value,
                rule: "a keyslot must be encrypted",
            });
        }
        let mut salt = vec![0; 32];
        getrandom::fill(&mut salt).map_err(|error| Error::io("get random bytes")(error.into()))?;
        let slot = Luks2Keyslot {
            kdf: self.kdf.into(),
            salt,
            af_hash: self.af_hash.into(),
            encryption: self.encryption.to_string(),
            area_key_size: self.area_key_size,
        };
        let area_key = derive_area_key(&slot, passphrase, limits)?;
        WrappedKeyslot::of(slot, key, &area_key, self.priority)
    }
}
