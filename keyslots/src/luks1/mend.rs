//! What the fields of a damaged LUKS1 header were, as far as they follow from others: this format has no checksum.
//!
//! `super::repair` mends what old programs left behind in a header that is otherwise sound. Here the header itself was
//! hit: a magic number that was wiped, a bit that was flipped in a name, an offset that is not where all others say it is.
//! Salts, iterations and the digest follow from nothing: whether they are right, only a passphrase tells.

use super::format::{
    HEADER_LEN, KEYSLOTS, MAGIC, NAME_LEN, RawHeader, STATE_ACTIVE, STATE_INACTIVE, STRIPES, VERSION, field, text,
};
use super::header::Header;
use super::layout::{standard_layout, standard_offset};
use super::validate::validate;
use crate::hash::Hash;
use crate::units::{Bytes, Sectors};

/// Bits of a name or a number that may be wrong for it to be taken for another one.
const FEW_BITS: u32 = 3;
/// Keyslots that have to be where the standard layout has them before the others are taken to be there too.
const ENOUGH: usize = 3;

const CIPHERS: [&str; 6] = ["aes", "serpent", "twofish", "camellia", "cast5", "cast6"];
const MODES: [&str; 8] = [
    "xts-plain64",
    "xts-plain",
    "xts-benbi",
    "cbc-essiv:sha256",
    "cbc-plain64",
    "cbc-plain",
    "ecb",
    "lrw-benbi",
];
/// Lengths of a volume key in bytes that these ciphers have.
const KEY_BYTES: [u32; 6] = [16, 24, 32, 40, 48, 64];

/// A field that was not what it must have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The magic number.
    Magic,
    /// The version.
    Version,
    /// The cipher.
    CipherName,
    /// Its mode.
    CipherMode,
    /// The hash.
    Hash,
    /// The length of the volume key.
    KeyBytes,
    /// The start of the data.
    PayloadOffset,
    /// The state of a keyslot.
    State(usize),
    /// The start of a keyslot's key material.
    MaterialOffset(usize),
    /// The stripes of a keyslot.
    Stripes(usize),
    /// The UUID, of which characters were not those of one.
    Uuid,
}

/// A header as it must have been.
#[derive(Clone, Debug)]
pub struct Mended {
    /// The header, which meets every rule.
    pub header: Header,
    /// What was changed.
    pub fields: Vec<Field>,
}

/// Restores the fields of a header that follow from others. `None` where there is nothing to restore, or the rest does not
/// make a header.
pub fn mend(bytes: &[u8; HEADER_LEN], device_size: Option<Bytes>) -> Option<Mended> {
    let found = RawHeader::from_bytes(bytes);
    let mut raw = found.clone();
    let mut fields = Vec::new();
    let mut note = |changed: bool, field: Field| {
        if changed {
            fields.push(field);
        }
    };
    raw.magic = MAGIC;
    raw.version = VERSION;
    note(found.magic != raw.magic, Field::Magic);
    note(found.version != raw.version, Field::Version);
    note(restore_name(&mut raw.cipher_name, &CIPHERS), Field::CipherName);
    note(restore_name(&mut raw.cipher_mode, &MODES), Field::CipherMode);
    let hashes: Vec<&str> = Hash::ALL.iter().map(|hash| hash.name()).collect();
    let known = text(&raw.hash).is_some_and(|name| Hash::from_name(name).is_some());
    note(!known && restore_name(&mut raw.hash, &hashes), Field::Hash);
    note(restore_key_bytes(&mut raw), Field::KeyBytes);
    note(restore_uuid(&mut raw), Field::Uuid);
    let standard = standard_layout(raw.key_bytes).map(|(offsets, _)| offsets);
    let standard = standard.filter(|offsets| at_home(&raw, offsets) >= ENOUGH);
    for (slot, keyslot) in raw.keyslots.iter_mut().enumerate() {
        note(keyslot.stripes != STRIPES, Field::Stripes(slot));
        keyslot.stripes = STRIPES;
        if let Some(offsets) = &standard {
            note(keyslot.material_offset != offsets[slot], Field::MaterialOffset(slot));
            keyslot.material_offset = offsets[slot];
        }
        let near = |state: u32| (keyslot.state ^ state).count_ones();
        let state = [STATE_ACTIVE, STATE_INACTIVE]
            .into_iter()
            .min_by_key(|state| near(*state))?;
        if near(state) <= FEW_BITS {
            note(keyslot.state != state, Field::State(slot));
            keyslot.state = state;
        }
    }
    note(restore_payload(&mut raw, device_size), Field::PayloadOffset);
    let header = validate(&raw, device_size).ok()?;
    (!fields.is_empty()).then_some(Mended { header, fields })
}

/// The only one of `names` that is a few bits away. A name that is not among them may be right.
fn restore_name(name: &mut [u8; NAME_LEN], names: &[&str]) -> bool {
    let is = |known: &[u8; NAME_LEN]| text(known) == text(name) && text(name).is_some();
    let fields: Vec<[u8; NAME_LEN]> = names.iter().filter_map(|name| field(name)).collect();
    if fields.iter().any(is) {
        return false;
    }
    let distance =
        |known: &[u8; NAME_LEN]| -> u32 { known.iter().zip(&*name).map(|(a, b)| (a ^ b).count_ones()).sum() };
    let mut near: Vec<_> = fields.iter().map(|known| (distance(known), *known)).collect();
    near.sort_unstable_by_key(|(distance, _)| *distance);
    match near.as_slice() {
        [(first, known), rest @ ..] if *first <= FEW_BITS && rest.first().is_none_or(|(next, _)| next > first) => {
            *name = *known;
            true
        }
        _ => false,
    }
}

/// Keyslots that are where the standard layout has them.
fn at_home(raw: &RawHeader, offsets: &[u32; KEYSLOTS]) -> usize {
    let pairs = raw.keyslots.iter().zip(offsets);
    pairs
        .filter(|(keyslot, offset)| keyslot.material_offset == **offset)
        .count()
}

/// The length of the key that puts the keyslots where they are.
fn restore_key_bytes(raw: &mut RawHeader) -> bool {
    let fits = |key_bytes: u32| standard_layout(key_bytes).is_some_and(|(offsets, _)| at_home(raw, &offsets) >= ENOUGH);
    if fits(raw.key_bytes) {
        return false;
    }
    match KEY_BYTES.into_iter().find(|key_bytes| fits(*key_bytes)) {
        Some(key_bytes) => {
            raw.key_bytes = key_bytes;
            true
        }
        None => false,
    }
}

/// Bits that no UUID has: the highest of each character, and what is behind it.
fn restore_uuid(raw: &mut RawHeader) -> bool {
    if text(&raw.uuid).is_some() {
        return false;
    }
    let mut uuid = raw.uuid;
    for byte in &mut uuid {
        *byte &= 0x7f;
    }
    uuid[36..].fill(0);
    let is_uuid = text(&uuid).is_some_and(crate::uuid::is_uuid);
    if is_uuid {
        raw.uuid = uuid;
    }
    is_uuid
}

/// Data that would start among the keyslots or past the end start where the usual alignment (1 MiB, or that of the
/// keyslots) has them, if the number is a few bits away from that.
fn restore_payload(raw: &mut RawHeader, device_size: Option<Bytes>) -> bool {
    let Some(end) = standard_offset(raw.key_bytes, KEYSLOTS) else {
        return false;
    };
    let device = device_size.map(|size| size.sectors());
    let start = raw.payload_offset;
    let outside = device.is_some_and(|device| Sectors::new(start.into()) >= device);
    if start == 0 || start >= end && !outside {
        return false;
    }
    let aligned = end.next_multiple_of(2048);
    match [aligned, end]
        .into_iter()
        .find(|usual| (usual ^ start).count_ones() <= FEW_BITS)
    {
        Some(usual) => {
            raw.payload_offset = usual;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Debian's cryptsetup 2.6.1, `luksFormat --type luks1 -s 256`: as far as the fields follow from one another.
    fn sound() -> [u8; HEADER_LEN] {
        let (offsets, _) = standard_layout(32).expect("a layout");
        let keyslot = |slot: usize| super::super::format::RawKeyslot {
            state: if slot == 0 { STATE_ACTIVE } else { STATE_INACTIVE },
            iterations: 1000,
            salt: [7; 32],
            material_offset: offsets[slot],
            stripes: STRIPES,
        };
        let raw = RawHeader {
            magic: MAGIC,
            version: VERSION,
            cipher_name: field("aes").expect("short"),
            cipher_mode: field("xts-plain64").expect("short"),
            hash: field("sha256").expect("short"),
            payload_offset: 4096,
            key_bytes: 32,
            mk_digest: [5; 20],
            mk_salt: [6; 32],
            mk_iterations: 1000,
            uuid: field("11111111-2222-3333-4444-555555555555").expect("short"),
            keyslots: std::array::from_fn(keyslot),
        };
        raw.to_bytes()
    }

    const SIZE: Option<Bytes> = Some(Bytes::mib(8));

    #[test]
    fn fields_that_follow_from_others_are_restored() {
        let sound = sound();
        assert!(mend(&sound, SIZE).is_none(), "nothing to mend");
        let cases: [(usize, &[u8], Field); 12] = [
            (0, &[0; 6], Field::Magic),
            (6, &[0, 9], Field::Version),
            (8, b"ae{", Field::CipherName),
            (8, b"`es", Field::CipherName),
            (40, b"xtr-plain64", Field::CipherMode),
            (72, b"sha25v", Field::Hash),
            (104, &[0, 0, 0, 16], Field::PayloadOffset),
            (108, &[0, 0, 0, 0x21], Field::KeyBytes),
            (168, &[0xb1], Field::Uuid),
            (208, &[0, 0xac, 0x71, 0xf2], Field::State(0)),
            (208 + 40, &[0, 1, 0, 8], Field::MaterialOffset(0)),
            (208 + 48 + 44, &[0, 0, 0, 0], Field::Stripes(1)),
        ];
        for (at, bytes, field) in cases {
            let mut damaged = sound;
            damaged[at..at + bytes.len()].copy_from_slice(bytes);
            if field == Field::PayloadOffset {
                // 4096 with a bit more than the device has.
                damaged[104..108].copy_from_slice(&0x8000_1000_u32.to_be_bytes());
            }
            let mended = mend(&damaged, SIZE).unwrap_or_else(|| panic!("{field:?}"));
            assert_eq!(mended.fields, [field]);
            assert!(mended.header.raw().to_bytes() == sound, "{field:?}");
        }
    }

    #[test]
    fn every_bit_that_makes_a_header_unreadable_is_restored_or_left() {
        let sound = sound();
        for bit in 0..HEADER_LEN * 8 {
            let mut damaged = sound;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let raw = RawHeader::from_bytes(&damaged);
            let Some(mended) = mend(&damaged, SIZE) else {
                continue;
            };
            assert!(mended.header.raw().to_bytes() == sound, "bit {bit}: {raw:?}");
        }
    }

    #[test]
    fn noise_is_no_header() {
        let mut noise = [0; HEADER_LEN];
        getrandom::fill(&mut noise).expect("random bytes");
        assert!(mend(&noise, SIZE).is_none() && mend(&[0; HEADER_LEN], SIZE).is_none());
    }
}
