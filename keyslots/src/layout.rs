//! The layout of a volume's data: its segments on the data device, each with its encryption.
//!
//! A volume has one segment, unless it is in reencryption: then some data are as they were and some as they will be, at other
//! places perhaps, and with another cipher and key.

use crate::cipher::CipherName;
use crate::luks2::segment::{Segment, SegmentKind};
use crate::luks2::{DigestIndex, Metadata};
use crate::units::{Bytes, Sectors};

/// The segments of a volume's data, in the order that they have on the mapped device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// The segments: at least one.
    pub segments: Vec<DataSegment>,
}

/// A segment of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataSegment {
    /// Its start on the data device.
    pub offset: Sectors,
    /// Its size, `None` for the rest of the device.
    pub size: Option<Sectors>,
    /// What makes it readable.
    pub kind: DataKind,
    /// Whether it was being converted when the header was written. It is neither as it was nor as it will be, and may not be
    /// mapped before it is recovered.
    pub in_reencryption: bool,
}

/// What makes a segment of the data readable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataKind {
    /// dm-crypt.
    Crypt(DataEncryption),
    /// Nothing: it is plaintext.
    Linear,
    /// A self-encrypting drive, with dm-crypt on top where there is an encryption.
    HwOpal(Option<DataEncryption>),
    /// Something unknown here, by its name in LUKS2.
    Unknown(String),
}

/// The encryption of a segment by dm-crypt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataEncryption {
    /// The cipher.
    pub cipher: CipherName,
    /// Bytes encrypted as one.
    pub sector_size: u32,
    /// Added to the sector number for the IV.
    pub iv_offset: Sectors,
    /// Whether the data have integrity tags, of which dm-integrity keeps track.
    pub integrity: bool,
    /// The digest of its volume key: of the old one for a segment that is being converted from one key to another. `None` with
    /// LUKS1, which has one key.
    pub digest: Option<u32>,
}

/// The encryption and the place of data that are one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataLayout {
    /// The cipher.
    pub cipher: CipherName,
    /// Bytes encrypted as one.
    pub sector_size: u32,
    /// The start of the data on the data device.
    pub offset: Sectors,
    /// Their size, `None` for the rest of the device.
    pub size: Option<Sectors>,
    /// Added to the sector number for the IV.
    pub iv_offset: Sectors,
}

/// Why dm-crypt alone, with one key, cannot map the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSingle {
    /// The data have integrity protection.
    #[error("the data have integrity protection")]
    Integrity,
    /// The data are encrypted by a self-encrypting drive.
    #[error("the data are encrypted by a self-encrypting drive")]
    HwOpal,
    /// There are several segments.
    #[error("the data are in {0} segments")]
    Several(usize),
    /// The data are not encrypted by dm-crypt.
    #[error("the data are not encrypted by dm-crypt")]
    NotCrypt,
}

impl Layout {
    pub(crate) fn of_luks1(cipher: CipherName, offset: Sectors) -> Self {
        let encryption = DataEncryption {
            cipher,
            sector_size: 512,
            iv_offset: Sectors::ZERO,
            integrity: false,
            digest: None,
        };
        let segment = DataSegment {
            offset,
            size: None,
            kind: DataKind::Crypt(encryption),
            in_reencryption: false,
        };
        Self {
            segments: vec![segment],
        }
    }

    /// The active segments. Validation has made sure that there is one.
    pub(crate) fn of_luks2(metadata: &Metadata) -> Self {
        let digests = DigestIndex::new(metadata);
        let active = metadata.segments.iter().filter(|(_, segment)| !segment.is_backup());
        let of = |(&id, segment): (&u32, &Segment)| {
            let encryption = segment.crypt().map(|crypt| DataEncryption {
                cipher: CipherName::new(&crypt.encryption),
                sector_size: crypt.sector_size,
                iv_offset: Sectors::new(crypt.iv_tweak),
                integrity: crypt.integrity.is_some(),
                digest: digests.of_segment(id).map(|(digest, _)| digest),
            });
            DataSegment {
                offset: segment.offset.sectors(),
                size: segment.size.map(Bytes::sectors),
                kind: match (&segment.kind, encryption) {
                    (SegmentKind::Crypt(_), Some(encryption)) => DataKind::Crypt(encryption),
                    (SegmentKind::HwOpal { .. }, encryption) => DataKind::HwOpal(encryption),
                    (SegmentKind::Linear, _) => DataKind::Linear,
                    _ => DataKind::Unknown(segment.type_name().to_owned()),
                },
                in_reencryption: segment.is_in_reencryption(),
            }
        };
        Self {
            segments: active.map(of).collect(),
        }
    }

    /// The layout as one segment, for what maps or reads all data with one key.
    ///
    /// # Errors
    /// [`NotSingle`]: one of several segments would be a device that ends too early, which a file system check would then
    /// "repair".
    pub fn single(&self) -> Result<DataLayout, NotSingle> {
        let first = self.segments.first();
        if first
            .and_then(DataSegment::encryption)
            .is_some_and(|encryption| encryption.integrity)
        {
            return Err(NotSingle::Integrity);
        }
        if matches!(first.map(|segment| &segment.kind), Some(DataKind::HwOpal(_))) {
            return Err(NotSingle::HwOpal);
        }
        match self.segments.len() {
            0 | 1 => self.first().ok_or(NotSingle::NotCrypt),
            several => Err(NotSingle::Several(several)),
        }
    }

    /// The first segment, if dm-crypt encrypts it: for facts to show, not for mapping it.
    pub fn first(&self) -> Option<DataLayout> {
        let segment = self.segments.first()?;
        let encryption = segment.encryption()?;
        Some(DataLayout {
            cipher: encryption.cipher.clone(),
            sector_size: encryption.sector_size,
            offset: segment.offset,
            size: segment.size,
            iv_offset: encryption.iv_offset,
        })
    }
}

impl DataSegment {
    /// Its encryption by dm-crypt, if there is one.
    pub fn encryption(&self) -> Option<&DataEncryption> {
        match &self.kind {
            DataKind::Crypt(encryption) => Some(encryption),
            DataKind::HwOpal(encryption) => encryption.as_ref(),
            DataKind::Linear | DataKind::Unknown(_) => None,
        }
    }
}
