//! Keyslots as the metadata has them: parameters and areas. Unlocking is in `super::unlock`.

use serde_json::Value;

use super::Defect;
use super::fields::{Fields, base64_to_value};
use super::json::Object;
use super::metadata::parse_hash;
use super::reencrypt::ReencryptKeyslot;
use crate::cipher::CipherSpec;
use crate::hash::HashName;
use crate::kdf::{Argon2Variant, Kdf};
use crate::units::Bytes;

/// Pieces into which a volume key is split; the only number that LUKS has ever used.
pub const STRIPES: u32 = 4000;

/// A keyslot.
#[derive(Clone, Debug, PartialEq)]
pub struct Keyslot {
    /// The kind, with what only that kind has.
    pub kind: KeyslotKind,
    /// Length of the key inside in bytes.
    pub key_size: u32,
    /// Its place on the device.
    pub area: Area,
    /// Priority, `None` if the metadata does not state it.
    pub priority: Option<Priority>,
    /// Members unknown here.
    pub extra: Object,
}

/// The kinds of keyslots.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum KeyslotKind {
    /// Holds a key under a passphrase.
    Luks2(Luks2Keyslot),
    /// Holds the state of a reencryption.
    Reencrypt(ReencryptKeyslot),
    /// A kind unknown here, by its type: kept, but not usable.
    Unknown(String),
}

/// The members of a `luks2` keyslot.
#[derive(Clone, Debug, PartialEq)]
pub struct Luks2Keyslot {
    /// From passphrase to area key.
    pub kdf: SlotKdf,
    /// Salt of the derivation, 32 bytes; none where the function is unknown.
    pub salt: Vec<u8>,
    /// Hash of the anti-forensic split.
    pub af_hash: HashName,
    /// Cipher specification of the area.
    pub encryption: String,
    /// Length of the area key in bytes.
    pub area_key_size: u32,
}

/// A key derivation function as a keyslot names it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SlotKdf {
    /// PBKDF2, with a hash that may be unknown here.
    Pbkdf2 {
        /// Hash of the HMAC.
        hash: HashName,
        /// Iterations.
        iterations: u32,
    },
    /// Argon2.
    Argon2 {
        /// Argon2i or Argon2id.
        variant: Argon2Variant,
        /// Passes.
        time: u32,
        /// Memory in KiB.
        memory_kib: u32,
        /// Lanes.
        lanes: u32,
    },
    /// A function unknown here, by its type, and all its members: kept, but not usable.
    Unknown(String, Object),
}

impl SlotKdf {
    /// The function, if it and its hash are known here.
    pub fn known(&self) -> Option<Kdf> {
        match *self {
            Self::Pbkdf2 { ref hash, iterations } => Some(Kdf::Pbkdf2 {
                hash: hash.known()?,
                iterations,
            }),
            Self::Argon2 {
                variant,
                time,
                memory_kib,
                lanes,
            } => Some(Kdf::Argon2 {
                variant,
                time,
                memory_kib,
                lanes,
            }),
            Self::Unknown(..) => None,
        }
    }

    /// The type as the JSON has it.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Pbkdf2 { .. } => "pbkdf2",
            Self::Argon2 {
                variant: Argon2Variant::I,
                ..
            } => "argon2i",
            Self::Argon2 {
                variant: Argon2Variant::Id,
                ..
            } => "argon2id",
            Self::Unknown(name, _) => name,
        }
    }
}

impl From<Kdf> for SlotKdf {
    fn from(kdf: Kdf) -> Self {
        match kdf {
            Kdf::Pbkdf2 { hash, iterations } => Self::Pbkdf2 {
                hash: hash.into(),
                iterations,
            },
            Kdf::Argon2 {
                variant,
                time,
                memory_kib,
                lanes,
            } => Self::Argon2 {
                variant,
                time,
                memory_kib,
                lanes,
            },
        }
    }
}

/// The place of a keyslot on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    /// The type: `raw` for `luks2` keyslots.
    pub kind: String,
    /// Offset from the start of the header device.
    pub offset: Bytes,
    /// Size.
    pub size: Bytes,
    /// Members that only this kind of area has.
    pub extra: Object,
}

impl Area {
    /// Its end.
    pub(super) fn end(&self) -> Bytes {
        self.offset.checked_add(self.size).unwrap_or(Bytes::new(u64::MAX))
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }
}

/// Whether a keyslot is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Only when it is named.
    Ignore,
    /// After the preferred ones.
    #[default]
    Normal,
    /// First.
    Prefer,
}

impl Priority {
    fn from_number(number: u32) -> Option<Self> {
        [Self::Ignore, Self::Normal, Self::Prefer]
            .into_iter()
            .find(|&priority| priority as u32 == number)
    }
}

impl Keyslot {
    pub(super) fn parse(mut fields: Fields) -> Result<Self, Defect> {
        let kind = fields.non_empty("type")?;
        let key_size = fields.u32("key_size")?;
        let mut area_fields = fields.object("area")?;
        let mut area = Area {
            kind: area_fields.non_empty("type")?,
            offset: area_fields.bytes("offset")?,
            size: area_fields.bytes("size")?,
            extra: Object::new(),
        };
        if area.size == Bytes::ZERO {
            return Err(area_fields.value("size", 0, "must be above 0"));
        }
        let priority = fields
            .has("priority")
            .then(|| parse_priority(&mut fields))
            .transpose()?;
        let kind = match kind.as_str() {
            "luks2" => KeyslotKind::Luks2(Luks2Keyslot::parse(&mut fields, &mut area_fields, &area, key_size)?),
            "reencrypt" => KeyslotKind::Reencrypt(ReencryptKeyslot::parse(
                &mut fields,
                &mut area_fields,
                &area.kind,
                key_size,
            )?),
            _ => KeyslotKind::Unknown(kind),
        };
        area.extra = area_fields.rest();
        Ok(Self {
            kind,
            key_size,
            area,
            priority,
            extra: fields.rest(),
        })
    }

    /// The effective priority, stated or not.
    pub fn priority(&self) -> Priority {
        self.priority.unwrap_or_default()
    }

    /// The members of a `luks2` keyslot, `None` for the other kinds.
    pub fn luks2(&self) -> Option<&Luks2Keyslot> {
        match &self.kind {
            KeyslotKind::Luks2(slot) => Some(slot),
            KeyslotKind::Reencrypt(_) | KeyslotKind::Unknown(_) => None,
        }
    }

    /// Whether a passphrase can be tried on it.
    pub fn is_luks2(&self) -> bool {
        self.luks2().is_some()
    }

    /// Whether everything needed to try a passphrase on it is known here.
    pub fn is_known(&self) -> bool {
        self.luks2().is_some_and(|slot| {
            let cipher = slot.encryption.parse::<CipherSpec>();
            slot.kdf.known().is_some() && slot.af_hash.known().is_some() && cipher.is_ok()
        })
    }

    /// The type as the JSON has it.
    pub fn type_name(&self) -> &str {
        match &self.kind {
            KeyslotKind::Luks2(_) => "luks2",
            KeyslotKind::Reencrypt(_) => "reencrypt",
            KeyslotKind::Unknown(name) => name,
        }
    }

    /// Bytes of key material: the key, split. `None` on overflow, which no allowed area can hold.
    pub fn material_size(key_size: u32) -> Option<Bytes> {
        Bytes::new(key_size.into()).checked_mul(STRIPES.into())
    }

    pub(super) fn to_value(&self) -> Value {
        let mut value = Object::new();
        value.insert("type".into(), self.type_name().into());
        value.insert("key_size".into(), self.key_size.into());
        // The order of the members is cryptsetup's, so that dumps compare.
        if let KeyslotKind::Luks2(slot) = &self.kind {
            value.insert("af".into(), slot.af_to_value());
        }
        value.insert("area".into(), self.area_to_value());
        if let KeyslotKind::Luks2(slot) = &self.kind {
            value.insert("kdf".into(), slot.kdf_to_value());
        }
        if let KeyslotKind::Reencrypt(slot) = &self.kind {
            slot.put(&mut value);
        }
        if let Some(priority) = self.priority {
            value.insert("priority".into(), (priority as u32).into());
        }
        value.extend(self.extra.clone());
        Value::Object(value)
    }

    fn area_to_value(&self) -> Value {
        let mut value = Object::new();
        value.insert("type".into(), self.area.kind.clone().into());
        value.insert("offset".into(), self.area.offset.get().to_string().into());
        value.insert("size".into(), self.area.size.get().to_string().into());
        if let KeyslotKind::Luks2(slot) = &self.kind {
            value.insert("encryption".into(), slot.encryption.clone().into());
            value.insert("key_size".into(), slot.area_key_size.into());
        }
        if let KeyslotKind::Reencrypt(slot) = &self.kind {
            slot.put_area(&mut value);
        }
        value.extend(self.area.extra.clone());
        Value::Object(value)
    }
}

impl Luks2Keyslot {
    fn parse(fields: &mut Fields, area_fields: &mut Fields, area: &Area, key_size: u32) -> Result<Self, Defect> {
        if key_size == 0 {
            return Err(fields.value("key_size", key_size, "must be above 0"));
        }
        if area.kind != "raw" {
            return Err(area_fields.value("type", &area.kind, "must be raw"));
        }
        let encryption = area_fields.non_empty("encryption")?;
        let area_key_size = area_fields.u32("key_size")?;
        if area_key_size == 0 {
            return Err(area_fields.value("key_size", area_key_size, "must be above 0"));
        }
        let (kdf, salt) = parse_kdf(fields.object("kdf")?)?;
        let mut af = fields.object("af")?;
        let af_kind = af.string("type")?;
        if af_kind != "luks1" {
            return Err(af.value("type", af_kind, "must be luks1"));
        }
        let af_hash = parse_hash(&mut af, "hash")?;
        let stripes = af.u32("stripes")?;
        if stripes != STRIPES {
            return Err(af.value("stripes", stripes, "must be 4000"));
        }
        af.end()?;
        Ok(Self {
            kdf,
            salt,
            af_hash,
            encryption,
            area_key_size,
        })
    }

    fn af_to_value(&self) -> Value {
        let mut af = Object::new();
        af.insert("type".into(), "luks1".into());
        af.insert("stripes".into(), STRIPES.into());
        af.insert("hash".into(), self.af_hash.as_str().into());
        Value::Object(af)
    }

    fn kdf_to_value(&self) -> Value {
        let mut kdf = Object::new();
        kdf.insert("type".into(), self.kdf.type_name().into());
        match &self.kdf {
            SlotKdf::Pbkdf2 { hash, iterations } => {
                kdf.insert("hash".into(), hash.as_str().into());
                kdf.insert("iterations".into(), (*iterations).into());
            }
            &SlotKdf::Argon2 {
                time,
                memory_kib,
                lanes,
                ..
            } => {
                kdf.insert("time".into(), time.into());
                kdf.insert("memory".into(), memory_kib.into());
                kdf.insert("cpus".into(), lanes.into());
            }
            SlotKdf::Unknown(_, members) => {
                kdf.extend(members.clone());
                return Value::Object(kdf);
            }
        }
        kdf.insert("salt".into(), base64_to_value(&self.salt));
        Value::Object(kdf)
    }
}

fn parse_priority(fields: &mut Fields) -> Result<Priority, Defect> {
    let number = fields.u32("priority")?;
    Priority::from_number(number).ok_or_else(|| fields.value("priority", number, "must be 0, 1 or 2"))
}

fn parse_kdf(mut fields: Fields) -> Result<(SlotKdf, Vec<u8>), Defect> {
    let kind = fields.non_empty("type")?;
    if !["pbkdf2", "argon2i", "argon2id"].contains(&kind.as_str()) {
        return Ok((SlotKdf::Unknown(kind, fields.rest()), Vec::new()));
    }
    let salt = fields.base64("salt", |len| len == 32, "32 bytes")?;
    let kdf = match kind.as_str() {
        "pbkdf2" => SlotKdf::Pbkdf2 {
            hash: parse_hash(&mut fields, "hash")?,
            iterations: positive(&mut fields, "iterations")?,
        },
        _ => SlotKdf::Argon2 {
            variant: if kind == "argon2i" {
                Argon2Variant::I
            } else {
                Argon2Variant::Id
            },
            time: positive(&mut fields, "time")?,
            memory_kib: positive(&mut fields, "memory")?,
            lanes: positive(&mut fields, "cpus")?,
        },
    };
    // Leftovers of an earlier key derivation function are dropped: see `Metadata::parse`.
    for member in ["hash", "iterations", "time", "memory", "cpus"] {
        if fields.has(member) {
            fields.take(member)?;
        }
    }
    fields.end()?;
    Ok((kdf, salt))
}

fn positive(fields: &mut Fields, member: &str) -> Result<u32, Defect> {
    match fields.u32(member)? {
        0 => Err(fields.value(member, 0, "must be above 0")),
        number => Ok(number),
    }
}
