//! LUKS2 to LUKS1.
//!
//! The key material stays where it is.
//! 1. The end of the LUKS1 header, behind its first sector, is written: that breaks the primary copy, and the secondary
//!    stands in for it.
//! 2. The first sector is written: LUKS1 is valid from here on.
//! 3. The secondary copy is wiped.

use super::{ConvertRefused, Place, free_place, write_synced};
use crate::cipher::CipherSpec;
use crate::hash::Hash;
use crate::kdf::Kdf;
use crate::luks1::{
    self, DIGEST_LEN, HEADER_LEN, KEYSLOTS, MAGIC, RawHeader, RawKeyslot, SALT_LEN, STATE_ACTIVE, STATE_INACTIVE,
    STRIPES, VERSION, area_size, text_field,
};
use crate::luks2::keyslot::SlotKdf;
use crate::luks2::metadata::DigestKind;
use crate::luks2::segment::{Crypt, SegmentKind};
use crate::luks2::validate::AREA_ALIGNMENT;
use crate::luks2::{self, Keyslot};
use crate::storage::Storage;
use crate::units::{Bytes, SECTOR_SIZE};
use crate::version::Version;
use crate::wipe::wipe_zeros;
use crate::{Error, KeyslotId, Result};

/// Where the first keyslot area may start: behind the first 4096 bytes, which a LUKS1 header does not fill.
const FIRST_AREA: u64 = 4096;

/// Converts the LUKS2 header on `storage`; returns the LUKS1 header. The caller holds the exclusive lock.
///
/// Label, subsystem, priorities and persistent flags have no place in LUKS1 and are lost.
///
/// # Errors
/// [`Error::CannotConvert`], and nothing was written then; [`Error::ChangedMeanwhile`], [`Error::Io`].
pub fn to_luks1(header: &luks2::Header, storage: &mut dyn Storage) -> Result<luks1::Header> {
    let size = storage.size().map_err(Error::io("get the size of the header device"))?;
    let raw = luks1_header(header, size)?;
    luks1::validate(&raw, Some(size))?;

    // The secondary has to stand in for the primary.
    header.settle(storage)?;
    let bytes = raw.to_bytes();
    let (first_sector, rest) = bytes.split_at(SECTOR_SIZE as usize);
    write_synced(storage, Bytes::new(SECTOR_SIZE), rest)?;
    write_synced(storage, Bytes::ZERO, first_sector)?;
    let copy_size = header.binary().hdr_size;
    // No area can be there, since keyslot areas start behind both copies.
    wipe_zeros(storage, copy_size, copy_size)?;
    let left = copy_size.checked_sub(Bytes::new(HEADER_LEN as u64)).unwrap_or_default();
    wipe_zeros(storage, Bytes::new(HEADER_LEN as u64), left)?;
    luks1::Header::read(storage)
}

fn luks1_header(header: &luks2::Header, size: Bytes) -> Result<RawHeader> {
    let metadata = header.metadata();
    if let Some(name) = metadata.config.requirements.first() {
        return Err(ConvertRefused::Requirement(name.clone()).into());
    }
    let (payload_offset, crypt) = data(header)?;
    if !metadata.tokens.is_empty() {
        return Err(ConvertRefused::Tokens(metadata.tokens.len()).into());
    }
    if let Some(&slot) = metadata.keyslots.keys().find(|slot| !slot.fits(Version::Luks1)) {
        return Err(ConvertRefused::SlotOverMaximum(slot).into());
    }
    let (_, digest) = metadata.digest_of_segment(0).ok_or(ConvertRefused::Digests)?;
    let DigestKind::Pbkdf2 {
        hash,
        iterations,
        salt,
        digest: mk_digest,
    } = &digest.kind
    else {
        return Err(ConvertRefused::Digests.into());
    };
    let hash = hash.known().ok_or(ConvertRefused::Digests)?;
    let first = digest.keyslots.first().and_then(|slot| metadata.keyslots.get(slot));
    let key_bytes = first.ok_or(ConvertRefused::NoKeyslots)?.key_size;
    for (&id, slot) in &metadata.keyslots {
        if !digest.keyslots.contains(&id) {
            return Err(ConvertRefused::Digests.into());
        }
        if !is_compatible(slot, crypt, hash, key_bytes) {
            return Err(ConvertRefused::Keyslot(id).into());
        }
    }

    let spec: CipherSpec = crypt.encryption.parse().map_err(|_| ConvertRefused::Field("cipher"))?;
    let (cipher_name, cipher_mode) = spec.parts();
    let name = |what, text: &str| text_field(text).ok_or(ConvertRefused::Field(what));
    // PBKDF2 with a shorter output is the start of that with a longer one.
    let mk_digest = mk_digest.first_chunk::<DIGEST_LEN>().ok_or(ConvertRefused::Digests)?;
    let salt: [u8; SALT_LEN] = salt.as_slice().try_into().map_err(|_| ConvertRefused::Digests)?;
    Ok(RawHeader {
        magic: MAGIC,
        version: VERSION,
        cipher_name: name("cipher name", cipher_name)?,
        cipher_mode: name("cipher mode", &cipher_mode)?,
        hash: name("hash", hash.name())?,
        payload_offset,
        key_bytes,
        mk_digest: *mk_digest,
        mk_salt: salt,
        mk_iterations: *iterations,
        uuid: text_field(&header.binary().uuid).ok_or(ConvertRefused::Field("UUID"))?,
        keyslots: keyslots(header, key_bytes, payload_offset, size)?,
    })
}

/// The start of the data, in sectors, and their encryption.
fn data(header: &luks2::Header) -> Result<(u32, &Crypt)> {
    let segments = &header.metadata().segments;
    let segment = segments.get(&0).filter(|_| segments.len() == 1);
    let segment = segment.ok_or(ConvertRefused::Segment)?;
    let SegmentKind::Crypt(crypt) = &segment.kind else {
        return Err(ConvertRefused::Segment.into());
    };
    if crypt.sector_size as u64 != SECTOR_SIZE {
        return Err(ConvertRefused::SectorSize.into());
    }
    if crypt.integrity.is_some() {
        return Err(ConvertRefused::Integrity.into());
    }
    if segment.size.is_some() || crypt.iv_tweak != 0 {
        return Err(ConvertRefused::Segment.into());
    }
    let offset = u32::try_from(segment.offset.sectors().get()).map_err(|_| ConvertRefused::Field("data offset"))?;
    Ok((offset, crypt))
}

fn is_compatible(slot: &Keyslot, crypt: &Crypt, hash: Hash, key_bytes: u32) -> bool {
    let Some(luks2) = slot.luks2() else { return false };
    let pbkdf2 = matches!(luks2.kdf.known(), Some(Kdf::Pbkdf2 { hash: kdf_hash, .. }) if kdf_hash == hash);
    pbkdf2
        && luks2.af_hash.known() == Some(hash)
        && luks2.encryption == crypt.encryption
        && luks2.area_key_size == key_bytes
        && slot.key_size == key_bytes
        && slot.area.offset.is_multiple_of(Bytes::new(SECTOR_SIZE))
}

/// The existing keyslots, where they are, and places for the others: behind the former copies, or else behind the LUKS1
/// header.
fn keyslots(header: &luks2::Header, key_bytes: u32, payload: u32, size: Bytes) -> Result<[RawKeyslot; KEYSLOTS]> {
    let end = match payload {
        0 => size.get(),
        payload => u64::from(payload) * SECTOR_SIZE,
    };
    let len = area_size(key_bytes).get();
    let areas_start = header.binary().hdr_size.get().saturating_mul(2);
    let places = places(header, len, areas_start, end).or_else(|| places(header, len, FIRST_AREA, end));
    let places = places.ok_or(ConvertRefused::NoRoomForKeyslots)?;
    let mut keyslots = Vec::new();
    for (id, place) in KeyslotId::all(Version::Luks1).zip(places) {
        let mut raw = RawKeyslot {
            state: STATE_INACTIVE,
            iterations: 0,
            salt: [0; SALT_LEN],
            material_offset: u32::try_from(place.start / SECTOR_SIZE).map_err(|_| ConvertRefused::Keyslot(id))?,
            stripes: STRIPES,
        };
        let slot = header.metadata().keyslots.get(&id);
        if let Some(luks2) = slot.and_then(Keyslot::luks2)
            && let SlotKdf::Pbkdf2 { iterations, .. } = luks2.kdf
        {
            let salt = luks2.salt.as_slice().try_into();
            raw.state = STATE_ACTIVE;
            raw.iterations = iterations;
            raw.salt = salt.map_err(|_| ConvertRefused::Keyslot(id))?;
        }
        keyslots.push(raw);
    }
    Ok(keyslots.try_into().map_err(|_| ConvertRefused::NoRoomForKeyslots)?)
}

/// Where the material of the eight keyslots is, or could be from `start` to `end`.
fn places(header: &luks2::Header, len: u64, start: u64, end: u64) -> Option<Vec<Place>> {
    let there = |id: KeyslotId| {
        let start = header.metadata().keyslots.get(&id)?.area.offset.get();
        Some(Place {
            start,
            end: start.checked_add(len)?,
        })
    };
    let mut taken: Vec<Place> = KeyslotId::all(Version::Luks1).filter_map(there).collect();
    let mut places = Vec::new();
    for id in KeyslotId::all(Version::Luks1) {
        let place = match there(id) {
            Some(place) => place,
            None => {
                let place = free_place(start, end, len, AREA_ALIGNMENT.get(), &taken)?;
                taken.push(place);
                place
            }
        };
        places.push(place);
    }
    Some(places)
}
