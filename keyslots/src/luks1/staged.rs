//! A passphrase that changes while all eight keyslots are in use: its key is staged behind the header until the keyslot holds
//! it.
//!
//! Every layout leaves the sectors from 2 to the first key material unused, and programs that change keyslots keep them;
//! those that back the header up and restore it, or convert it, do not. A record there has the contents of a keyslot, the
//! volume key under the new passphrase alone, in fewer stripes. It is synced before the keyslot is overwritten and wiped once
//! the header names the new key: at each moment the old passphrase opens the keyslot, or the new one the keyslot or the
//! record.
//!
//! A record is valid for the keyslot that it was made for: if another program has freed or refilled that, it opens nothing.
//! The key in it is checked against the volume key digest like every other. The magic is written first and wiped last, so
//! that whatever a stop leaves of a record is recognised as ours, and wiped.

use super::format::{CHECKSUM, RawHeader, SALT_LEN, STATE_ACTIVE, STATE_INACTIVE};
use super::layout::{AREA_ALIGNMENT, Range};
use super::wrapped::WrappedKeyslot;
use crate::hash::Hash;
use crate::material::{self, SPARE_SECTOR};
use crate::storage::Storage;
use crate::units::{Bytes, SECTOR_SIZE};
use crate::version::Version;
use crate::wipe::{Medium, wipe_random, wipe_zeros};
use crate::{Error, KeyslotId, Result};

const MAGIC: &[u8; 16] = b"LUKSMITH-CHANGE\x01";
/// Behind the header, whose second sector other programs write whole.
pub(super) const START: Bytes = Bytes::kib(1);
const HEAD: usize = SECTOR_SIZE as usize;
/// So much of the salt of keyslot 6 lies in the first sector of the header, the rest in the second.
pub(super) const SPLIT: usize = 8;
/// Magic, keyslot, iterations, both salts; the checksum follows.
const FIELDS: usize = 16 + 4 + 4 + 2 * SALT_LEN;

/// A key that is staged for its keyslot.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) slot: KeyslotId,
    pub(super) iterations: u32,
    pub(super) salt: [u8; SALT_LEN],
    /// The salt of the keyslot that is being changed.
    replaces: [u8; SALT_LEN],
    /// [`material::spare_stripes`] of key material.
    pub(super) material: Vec<u8>,
}

impl Record {
    /// Whether the volume may be opened with it.
    pub(super) fn counts(&self, raw: &RawHeader) -> bool {
        self.is_of(raw) && !self.is_done(raw)
    }

    /// Whether the header already names the key.
    fn is_done(&self, raw: &RawHeader) -> bool {
        let keyslot = &raw.keyslots[self.slot.index()];
        keyslot.state == STATE_ACTIVE && keyslot.salt == self.salt && keyslot.iterations == self.iterations
    }

    /// Whether the keyslot is the one to be changed, or partly so: the salt of keyslot 6 lies in two sectors.
    fn is_of(&self, raw: &RawHeader) -> bool {
        let keyslot = &raw.keyslots[self.slot.index()];
        let (head, tail) = keyslot.salt.split_at(SPLIT);
        keyslot.state != STATE_INACTIVE
            && [&self.replaces, &self.salt].iter().any(|salt| head == &salt[..SPLIT])
            && [&self.replaces, &self.salt].iter().any(|salt| tail == &salt[SPLIT..])
    }

    fn parse(bytes: &[u8], material_len: usize) -> Option<Self> {
        let fields = bytes.get(..FIELDS)?;
        let material = bytes.get(HEAD..HEAD.checked_add(material_len)?)?;
        if !fields.starts_with(MAGIC) || bytes.get(FIELDS..FIELDS + CHECKSUM)? != checksum(fields, material) {
            return None;
        }
        let number = |at: usize| Some(u32::from_be_bytes(*fields.get(at..)?.first_chunk()?));
        let salt = |at: usize| fields.get(at..)?.first_chunk().copied();
        Some(Self {
            slot: KeyslotId::checked(number(16)?, Version::Luks1).ok()?,
            iterations: number(20).filter(|count| *count > 0)?,
            salt: salt(24)?,
            replaces: salt(24 + SALT_LEN)?,
            material: material.to_vec(),
        })
    }
}

/// The places that are ours, and the records there, finished or not; some are only partly written.
fn read(storage: &mut dyn Storage, raw: &RawHeader) -> Result<Vec<(Bytes, Option<Record>)>> {
    let Some((len, bytes)) = places(storage, raw)? else {
        return Ok(Vec::new());
    };
    let places = bytes.chunks_exact(len).enumerate();
    let ours = places
        .filter(|(_, bytes)| bytes.starts_with(MAGIC))
        .filter_map(|(index, bytes)| {
            let at = START.checked_add(Bytes::new((index * len) as u64))?;
            Some((at, Record::parse(bytes, len - HEAD)))
        });
    Ok(ours.collect())
}

/// Whether there is anything to clean up.
pub(super) fn is_untidy(storage: &mut dyn Storage, raw: &RawHeader) -> Result<bool> {
    let mut ours = read(storage, raw)?.into_iter();
    Ok(ours.any(|(_, record)| record.is_none_or(|record| !record.counts(raw))))
}

/// The records that can open the volume.
pub(super) fn waiting(storage: &mut dyn Storage, raw: &RawHeader) -> Result<Vec<Record>> {
    let records = read(storage, raw)?.into_iter().filter_map(|(_, record)| record);
    Ok(records.filter(|record| record.counts(raw)).collect())
}

/// Puts the key of `sealed` where a stop while `slot` is overwritten cannot reach it, unless it is there already.
///
/// # Errors
/// [`Error::AllKeyslotsFull`] where no sectors are unused.
pub(super) fn put(storage: &mut dyn Storage, raw: &RawHeader, slot: KeyslotId, sealed: &WrappedKeyslot) -> Result<()> {
    if waiting(storage, raw)?
        .iter()
        .any(|record| (record.slot, record.salt) == (slot, sealed.salt))
    {
        return Ok(());
    }
    let (len, bytes) = places(storage, raw)?.ok_or(Error::AllKeyslotsFull)?;
    let unused = bytes
        .chunks_exact(len)
        .position(|place| place.iter().all(|byte| *byte == 0));
    let at = unused
        .and_then(|index| START.checked_add(Bytes::new((index * len) as u64)))
        .ok_or(Error::AllKeyslotsFull)?;
    let replaced = raw
        .keyslots
        .get(slot.index())
        .ok_or(Error::KeyslotOutOfRange(slot))?
        .salt;
    let mut record = Vec::with_capacity(len);
    record.extend_from_slice(MAGIC);
    record.extend_from_slice(&slot.get().to_be_bytes());
    record.extend_from_slice(&sealed.iterations.to_be_bytes());
    record.extend_from_slice(&sealed.salt);
    record.extend_from_slice(&replaced);
    let sum = checksum(&record, sealed.spare.expose());
    record.extend_from_slice(&sum);
    record.resize(HEAD, 0);
    record.extend_from_slice(sealed.spare.expose());
    debug_assert_eq!(record.len(), len, "a place holds a record");
    let mut magic = [0; HEAD];
    magic[..MAGIC.len()].copy_from_slice(MAGIC);
    for bytes in [&magic, record.as_slice()] {
        storage
            .write_at(at, bytes)
            .map_err(Error::io("write the new key beside the keyslots"))?;
        storage
            .sync()
            .map_err(Error::io("sync the new key beside the keyslots"))?;
    }
    Ok(())
}

/// Wipes the records whose keyslot already holds the key, or another one.
pub(super) fn tidy(storage: &mut dyn Storage, raw: &RawHeader, medium: Medium) -> Result<()> {
    wipe(storage, raw, medium, |record| !record.counts(raw))
}

/// Wipes the records that `which` selects, and the remains of others. Unused places are zero.
pub(super) fn wipe(
    storage: &mut dyn Storage,
    raw: &RawHeader,
    medium: Medium,
    which: impl Fn(&Record) -> bool,
) -> Result<()> {
    let head = Bytes::new(HEAD as u64);
    let len = Bytes::new((record_len(raw) - HEAD) as u64);
    for (at, record) in read(storage, raw)? {
        if !record.as_ref().is_none_or(&which) {
            continue;
        }
        let material = at.checked_add(head).ok_or(Error::AllKeyslotsFull)?;
        wipe_random(storage, material, len, medium)?;
        wipe_zeros(storage, material, len)?;
        wipe_zeros(storage, at, head)?;
    }
    Ok(())
}

/// The length of a record, and all bytes of the places where one may be. `None` where there is no place.
fn places(storage: &mut dyn Storage, raw: &RawHeader) -> Result<Option<(usize, Vec<u8>)>> {
    let len = record_len(raw);
    let first = (0..super::KEYSLOTS).map(|slot| Range::of_slot(raw, slot).start).min();
    let end = first.unwrap_or_default().min(AREA_ALIGNMENT);
    let Some(room) = end
        .checked_sub(START)
        .and_then(Bytes::to_usize)
        .filter(|room| *room >= len)
    else {
        return Ok(None);
    };
    let mut bytes = vec![0; room];
    match storage.read_at(START, &mut bytes) {
        Ok(()) => Ok(Some((len, bytes))),
        Err(error) => Err(Error::io("read the sectors behind the header")(error)),
    }
}

fn record_len(raw: &RawHeader) -> usize {
    HEAD + (raw.key_bytes as usize).next_multiple_of(SPARE_SECTOR)
}

pub(super) fn checksum(fields: &[u8], material: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    Hash::Sha256.digest(&[fields, material], &mut sum);
    sum
}

const _: () = assert!(FIELDS + CHECKSUM <= HEAD, "the fields have a sector");
const _: () = assert!(material::SPARE_SECTOR == HEAD, "key material is whole sectors");
