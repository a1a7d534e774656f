//! Segments: which part of the device holds data, and how it is encrypted.

use serde_json::Value;

use super::Defect;
use super::fields::Fields;
use super::json::Object;
use super::metadata::parse_size;
use crate::units::{Bytes, SECTOR_SIZE};

/// The flag of the segment that is being converted.
pub(super) const IN_REENCRYPTION: &str = "in-reencryption";

/// A part of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The kind, with what only that kind has.
    pub kind: SegmentKind,
    /// Its start on the data device.
    pub offset: Bytes,
    /// Its size, `None` for all that follows (`dynamic`).
    pub size: Option<Bytes>,
    /// Flags; `backup-*` ones mark segments that are kept for a reencryption.
    pub flags: Vec<String>,
    /// Members unknown here.
    pub extra: Object,
}

/// The kinds of segments.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SegmentKind {
    /// Encrypted by dm-crypt.
    Crypt(Crypt),
    /// Not encrypted.
    Linear,
    /// Encrypted by a self-encrypting drive, and by dm-crypt on top if `crypt` is set.
    HwOpal {
        /// Locking range on the drive.
        segment_number: u32,
        /// Bytes of the volume key that belong to the drive.
        key_size: u32,
        /// Size of the locking range.
        segment_size: Bytes,
        /// The layer of dm-crypt.
        crypt: Option<Crypt>,
    },
    /// A kind unknown here, by its type.
    Unknown(String),
}

/// The encryption of a segment by dm-crypt.
#[derive(Clone, Debug, PartialEq)]
pub struct Crypt {
    /// Added to the sector number for the IV.
    pub iv_tweak: u64,
    /// Cipher specification, as in `aes-xts-plain64`.
    pub encryption: String,
    /// Bytes that are encrypted as one.
    pub sector_size: u32,
    /// Integrity protection.
    pub integrity: Option<Integrity>,
}

/// Integrity protection of a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Integrity {
    /// The kind, as in `hmac(sha256)` or `aead`.
    pub kind: String,
    /// Encryption of the journal, or `none`.
    pub journal_encryption: String,
    /// Integrity of the journal, or `none`.
    pub journal_integrity: String,
    /// Members unknown here, `key_size` among them.
    pub extra: Object,
}

impl Segment {
    pub(super) fn parse(mut fields: Fields) -> Result<Self, Defect> {
        let kind = fields.non_empty("type")?;
        let offset = fields.bytes("offset")?;
        let size = parse_size(&mut fields, "size")?;
        for (member, value) in [("offset", Some(offset)), ("size", size)] {
            if value.is_some_and(|value| !value.is_multiple_of(Bytes::new(SECTOR_SIZE))) {
                return Err(fields.value(member, value.unwrap_or_default().get(), "must be a multiple of 512"));
            }
        }
        let flags = fields.optional_strings("flags")?;
        let kind = match kind.as_str() {
            "crypt" => SegmentKind::Crypt(Crypt::parse(&mut fields, size)?),
            "linear" => SegmentKind::Linear,
            "hw-opal" => Self::parse_opal(&mut fields, size, None)?,
            "hw-opal-crypt" => {
                let crypt = Crypt::parse(&mut fields, size)?;
                Self::parse_opal(&mut fields, size, Some(crypt))?
            }
            _ => SegmentKind::Unknown(kind),
        };
        Ok(Self {
            kind,
            offset,
            size,
            flags,
            extra: fields.rest(),
        })
    }

    fn parse_opal(fields: &mut Fields, size: Option<Bytes>, crypt: Option<Crypt>) -> Result<SegmentKind, Defect> {
        let segment_number = fields.u32("opal_segment_number")?;
        let key_size = fields.u32("opal_key_size")?;
        let segment_size = fields.bytes("opal_segment_size")?;
        match size {
            None => Err(fields.value("size", "dynamic", "must be fixed for a self-encrypting drive")),
            Some(size) if size > segment_size => {
                Err(fields.value("size", size.get(), "must not be above opal_segment_size"))
            }
            Some(_) => Ok(SegmentKind::HwOpal {
                segment_number,
                key_size,
                segment_size,
                crypt,
            }),
        }
    }

    /// Whether it is kept for a reencryption only.
    pub fn is_backup(&self) -> bool {
        self.flags.iter().any(|flag| flag.starts_with("backup-"))
    }

    /// Whether it was being converted when the header was written.
    pub fn is_in_reencryption(&self) -> bool {
        self.flags.iter().any(|flag| flag == IN_REENCRYPTION)
    }

    /// Its encryption by dm-crypt, `None` if there is none.
    pub fn crypt(&self) -> Option<&Crypt> {
        match &self.kind {
            SegmentKind::Crypt(crypt) => Some(crypt),
            SegmentKind::HwOpal { crypt, .. } => crypt.as_ref(),
            SegmentKind::Linear | SegmentKind::Unknown(_) => None,
        }
    }

    /// Whether both are plaintext, or encrypted in one way. Their keys are their digests'.
    pub(super) fn is_encrypted_as(&self, other: &Self) -> bool {
        let same_crypt = match (self.crypt(), other.crypt()) {
            (Some(one), Some(other)) => one.encryption == other.encryption && one.sector_size == other.sector_size,
            (None, None) => true,
            _ => false,
        };
        self.type_name() == other.type_name() && same_crypt
    }

    /// The type as the JSON has it.
    pub fn type_name(&self) -> &str {
        match &self.kind {
            SegmentKind::Crypt(_) => "crypt",
            SegmentKind::Linear => "linear",
            SegmentKind::HwOpal { crypt: None, .. } => "hw-opal",
            SegmentKind::HwOpal { crypt: Some(_), .. } => "hw-opal-crypt",
            SegmentKind::Unknown(name) => name,
        }
    }

    /// Its end, `None` for a dynamic one or where the end does not fit 64 bits.
    pub fn end(&self) -> Option<Bytes> {
        self.offset.checked_add(self.size?)
    }

    pub(super) fn to_value(&self) -> Value {
        let mut value = Object::new();
        value.insert("type".into(), self.type_name().into());
        value.insert("offset".into(), self.offset.get().to_string().into());
        let size = self
            .size
            .map_or_else(|| "dynamic".to_owned(), |size| size.get().to_string());
        value.insert("size".into(), size.into());
        if let Some(crypt) = self.crypt() {
            crypt.put(&mut value);
        }
        if let SegmentKind::HwOpal {
            segment_number,
            key_size,
            segment_size,
            ..
        } = &self.kind
        {
            value.insert("opal_segment_number".into(), (*segment_number).into());
            value.insert("opal_key_size".into(), (*key_size).into());
            value.insert("opal_segment_size".into(), segment_size.get().to_string().into());
        }
        if !self.flags.is_empty() {
            value.insert("flags".into(), self.flags.clone().into());
        }
        value.extend(self.extra.clone());
        Value::Object(value)
    }
}

impl Crypt {
    fn parse(fields: &mut Fields, size: Option<Bytes>) -> Result<Self, Defect> {
        let iv_tweak = fields.u64("iv_tweak")?;
        let encryption = fields.non_empty("encryption")?;
        let sector_size = fields.u32("sector_size")?;
        if !sector_size.is_power_of_two() || !(512..=4096).contains(&sector_size) {
            return Err(fields.value("sector_size", sector_size, "must be 512, 1024, 2048 or 4096"));
        }
        if let Some(size) = size.filter(|size| !size.is_multiple_of(Bytes::new(sector_size.into()))) {
            return Err(fields.value("size", size.get(), "must be a multiple of sector_size"));
        }
        let integrity = fields
            .has("integrity")
            .then(|| Integrity::parse(fields.object("integrity")?))
            .transpose()?;
        Ok(Self {
            iv_tweak,
            encryption,
            sector_size,
            integrity,
        })
    }

    fn put(&self, value: &mut Object) {
        value.insert("iv_tweak".into(), self.iv_tweak.to_string().into());
        value.insert("encryption".into(), self.encryption.clone().into());
        value.insert("sector_size".into(), self.sector_size.into());
        if let Some(integrity) = &self.integrity {
            value.insert("integrity".into(), integrity.to_value());
        }
    }
}

impl Integrity {
    fn parse(mut fields: Fields) -> Result<Self, Defect> {
        Ok(Self {
            kind: fields.non_empty("type")?,
            journal_encryption: fields.non_empty("journal_encryption")?,
            journal_integrity: fields.non_empty("journal_integrity")?,
            extra: fields.rest(),
        })
    }

    fn to_value(&self) -> Value {
        let mut value = Object::new();
        value.insert("type".into(), self.kind.clone().into());
        value.insert("journal_encryption".into(), self.journal_encryption.clone().into());
        value.insert("journal_integrity".into(), self.journal_integrity.clone().into());
        value.extend(self.extra.clone());
        Value::Object(value)
    }
}
