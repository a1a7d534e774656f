//! Every rule that a LUKS1 header must meet, each with a defect of its own.
//!
//! [`validate`] turns bytes into a [`Header`], and only a [`Header`] can be unlocked, changed or mapped: the validated
//! data are the ones that are used. LUKS1 On-Disk Format 1.2.3, §3; where the format leaves a rule to the
//! implementation, it is cryptsetup's, or a stricter one that is marked as such.

use super::format::{KEYSLOTS, MAGIC, RawHeader, STATE_ACTIVE, STATE_INACTIVE, STRIPES, VERSION, text};
use super::header::{Header, Keyslot, KeyslotState};
use super::layout::Range;
use crate::hash::Hash;
use crate::units::{Bytes, Sectors};

/// The longest volume key in bytes, 16 MiB of key material each.
///
/// The format has no bound; this one is far above what any cipher takes, and keeps a hostile header from asking for
/// terabytes of memory.
pub const MAX_KEY_BYTES: u32 = 4096;

/// Key material may not start before this, in bytes: the header ends in the second sector.
const FIRST_MATERIAL: Bytes = Bytes::kib(1);

/// A rule that a LUKS1 header breaks: the field, its value, the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// There are fewer bytes than a header has.
    #[error("the header is {0} bytes, not 592")]
    Truncated(usize),
    /// The magic is not that of LUKS.
    #[error("magic is {0:02x?}, not that of LUKS")]
    Magic([u8; 6]),
    /// The version is not 1.
    #[error("version is {0}, not 1")]
    Version(u16),
    /// A text has no final NUL.
    #[error("{field} has no final NUL")]
    NotTerminated {
        /// The field.
        field: &'static str,
    },
    /// A text has other characters than visible ASCII ones. cryptsetup takes any; we print no foreign bytes.
    #[error("{field} is {value:?}: not plain ASCII")]
    NotPrintable {
        /// The field.
        field: &'static str,
        /// The text, with invalid UTF-8 replaced.
        value: String,
    },
    /// A text that names an algorithm is empty.
    #[error("{field} is empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// The hash is unknown.
    #[error("hash is {0:?}, which is unknown")]
    UnknownHash(String),
    /// The hash is shorter than the volume key digest.
    #[error("hash is {name:?} of {len} bytes: the volume key digest takes 20")]
    HashTooShort {
        /// The hash.
        name: String,
        /// Bytes that it has.
        len: usize,
    },
    /// The volume key has no bytes.
    #[error("key bytes is 0")]
    KeyBytesZero,
    /// The volume key is longer than [`MAX_KEY_BYTES`].
    #[error("key bytes is {0}: more than 4096")]
    KeyBytesTooMany(u32),
    /// The volume key digest has no iterations.
    #[error("volume key digest iterations is 0")]
    DigestIterationsZero,
    /// Key material is split into another number of stripes than 4000.
    #[error("keyslot {slot}: stripes is {value}, not 4000")]
    Stripes {
        /// The keyslot.
        slot: u32,
        /// The value.
        value: u32,
    },
    /// Key material starts inside the header.
    #[error("keyslot {slot}: key material offset is {offset}: inside the header")]
    MaterialInHeader {
        /// The keyslot.
        slot: u32,
        /// The value.
        offset: Sectors,
    },
    /// Key material reaches into the data.
    #[error("keyslot {slot}: key material ends at {end}: behind the payload offset of {payload}")]
    MaterialInPayload {
        /// The keyslot.
        slot: u32,
        /// Its end.
        end: Sectors,
        /// The start of the data.
        payload: Sectors,
    },
    /// The key material of two keyslots overlaps.
    #[error("keyslot {slot}: key material overlaps that of keyslot {other}")]
    MaterialOverlap {
        /// The keyslot.
        slot: u32,
        /// The other one.
        other: u32,
    },
    /// Key material ends behind the device.
    #[error("keyslot {slot}: key material ends at {end}: the device has {device}")]
    MaterialPastDevice {
        /// The keyslot.
        slot: u32,
        /// Its end.
        end: Bytes,
        /// Size of the device.
        device: Bytes,
    },
}

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
    for slot in 0..KEYSLOTS {
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
pub(super) fn check_keyslot(raw: &RawHeader, index: usize, device_size: Option<Bytes>) -> Result<(), Defect> {
    let slot = index as u32;
    let fields = &raw.keyslots[index];
    let area = Range::of_slot(raw, index);
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
    if let Some(other) = (0..index).find(|&other| area.overlaps(Range::of_slot(raw, other))) {
        return Err(Defect::MaterialOverlap {
            slot,
            other: other as u32,
        });
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
