//! Every rule that a LUKS1 header must meet, each with a defect of its own.
//!
//! [`validate`] turns bytes into a [`Header`], and only a [`Header`] can be unlocked, changed or mapped: the validated
//! data are the ones that are used. LUKS1 On-Disk Format 1.2.3, §3; where the format leaves a rule to the
//! implementation, it is cryptsetup's, or a stricter one that is marked as such.

use super::defect::Defect;
use super::format::{KEYSLOTS, MAGIC, RawHeader, STATE_ACTIVE, STATE_INACTIVE, STRIPES, VERSION, text};
use super::header::{Header, Keyslot, KeyslotState};
use super::layout::Range;
use crate::KeyslotId;
use crate::hash::Hash;
use crate::units::{Bytes, Sectors};
use crate::version::Version;

/// The longest volume key in bytes, 16 MiB of key material each.
///
/// The format has no bound; this one is far above what any cipher takes, and keeps a hostile header from asking for
/// terabytes of memory.
pub const MAX_KEY_BYTES: u32 = 4096;

/// Key material may not start before this, in bytes: the header ends in the second sector.
const FIRST_MATERIAL: Bytes = Bytes::kib(1);

/// Checks every rule, and returns the usable header.
///
/// `device_size` is the size of the header's source, `None` where it is unknown.
///
/// # Errors
/// The first rule that is broken, in the order of the fields.
pub fn validate(raw: &RawHeader, device_size: Option<Bytes>) -> Result<Header, Defect> {
    if raw.magic != MAGIC {
        return Err(Defect::Magic(raw.magic));
    }
    if raw.version != VERSION {
        return Err(Defect::Version(raw.version));
    }
    let cipher_name = algorithm("cipher name", &raw.cipher_name)?;
    let cipher_mode = algorithm("cipher mode", &raw.cipher_mode)?;
    let hash_name = algorithm("hash", &raw.hash)?;
    let hash = hash(hash_name)?;
    match raw.key_bytes {
        0 => return Err(Defect::KeyBytesZero),
        1..=MAX_KEY_BYTES => {}
        value => return Err(Defect::KeyBytesTooMany(value)),
    }
    if raw.mk_iterations == 0 {
        return Err(Defect::DigestIterationsZero);
    }
    let uuid = printable("uuid", &raw.uuid)?;
    for slot in KeyslotId::all(Version::Luks1) {
        check_keyslot(raw, slot, device_size)?;
    }
    Ok(Header {
        cipher_name: cipher_name.to_owned(),
        cipher_mode: cipher_mode.to_owned(),
        hash_name: hash_name.to_owned(),
        hash,
        uuid: uuid.to_owned(),
        keyslots: std::array::from_fn(|slot| keyslot(raw, slot)),
        raw: raw.clone(),
        written: [None; KEYSLOTS],
    })
}

/// The rules of one keyslot. They hold for inactive ones too, as with cryptsetup.
pub(super) fn check_keyslot(raw: &RawHeader, slot: KeyslotId, device_size: Option<Bytes>) -> Result<(), Defect> {
    let fields = &raw.keyslots[slot.index()];
    let area = Range::of_slot(raw, slot.index());
    if fields.stripes != STRIPES {
        return Err(Defect::Stripes {
            slot,
            value: fields.stripes,
        });
    }
    if area.start < FIRST_MATERIAL {
        return Err(Defect::MaterialInHeader {
            slot,
            offset: area.start.sectors(),
        });
    }
    let payload = Sectors::new(u64::from(raw.payload_offset));
    let end = area.end.sectors();
    if payload != Sectors::ZERO && end > payload {
        return Err(Defect::MaterialInPayload { slot, end, payload });
    }
    let mut before = KeyslotId::all(Version::Luks1).take_while(|other| *other < slot);
    if let Some(other) = before.find(|other| area.overlaps(Range::of_slot(raw, other.index()))) {
        return Err(Defect::MaterialOverlap { slot, other });
    }
    match device_size {
        Some(device) if area.end > device => Err(Defect::MaterialPastDevice {
            slot,
            end: area.end,
            device,
        }),
        _ => Ok(()),
    }
}

/// cryptsetup takes names in any case, and old versions of it wrote upper-case ones.
fn hash(name: &str) -> Result<Hash, Defect> {
    let hash = Hash::from_name(&name.to_ascii_lowercase()).ok_or_else(|| Defect::UnknownHash(name.to_owned()))?;
    match hash.output_len() {
        len if len < super::format::DIGEST_LEN => Err(Defect::HashTooShort {
            name: name.to_owned(),
            len,
        }),
        _ => Ok(hash),
    }
}

fn keyslot(raw: &RawHeader, index: usize) -> Keyslot {
    let fields = &raw.keyslots[index];
    Keyslot {
        state: match fields.state {
            STATE_ACTIVE => KeyslotState::Active,
            STATE_INACTIVE => KeyslotState::Inactive,
            other => KeyslotState::Invalid(other),
        },
        iterations: fields.iterations,
        salt: fields.salt,
        material_offset: Sectors::new(u64::from(fields.material_offset)),
        stripes: fields.stripes,
    }
}

fn algorithm<'a>(name: &'static str, field: &'a [u8]) -> Result<&'a str, Defect> {
    match printable(name, field)? {
        "" => Err(Defect::Empty { field: name }),
        text => Ok(text),
    }
}

fn printable<'a>(name: &'static str, field: &'a [u8]) -> Result<&'a str, Defect> {
    text(field).ok_or_else(|| match field.iter().position(|&byte| byte == 0) {
        None => Defect::NotTerminated { field: name },
        Some(end) => Defect::NotPrintable {
            field: name,
            value: String::from_utf8_lossy(&field[..end]).into_owned(),
        },
    })
}
