//! A new LUKS2 header.

use std::collections::BTreeMap;

use super::Header;
use super::copies::Copy;
use super::format::{BINARY_HEADER_SIZE, BinaryHeader, HEADER_SIZES, LABEL_LEN, UUID_LEN};
use super::json::Object;
use super::metadata::{Config, Digest, DigestKind, Metadata};
use super::segment::{Crypt, Segment, SegmentKind};
use super::validate::{self, AREA_ALIGNMENT, KeyslotsArea, MAX_KEYSLOTS_SIZE};
use crate::hash::Hash;
use crate::kdf::{CostLimits, Kdf};
use crate::secret::VolumeKey;
use crate::units::{Bytes, SECTOR_SIZE};
use crate::uuid::random_uuid;
use crate::{Error, Result};

/// The default size of one copy.
pub const DEFAULT_METADATA_SIZE: Bytes = Bytes::kib(16);
/// The default start of the data: two copies and the keyslots area make 16 MiB.
pub const DEFAULT_DATA_OFFSET: Bytes = Bytes::mib(16);
/// The default alignment of the data, unless the device needs a larger one.
pub const DEFAULT_DATA_ALIGNMENT: Bytes = Bytes::mib(1);

/// The parameters of a new volume.
#[derive(Clone, Debug)]
pub struct CreateParams {
    /// Cipher specification of the data.
    pub encryption: String,
    /// Bytes of data encrypted as one unit: 512, 1024, 2048 or 4096.
    pub sector_size: u32,
    /// UUID; `None` for a random one.
    pub uuid: Option<String>,
    /// Label, or empty.
    pub label: String,
    /// Subsystem label, or empty.
    pub subsystem: String,
    /// Size of one copy; `None` for [`DEFAULT_METADATA_SIZE`].
    pub metadata_size: Option<Bytes>,
    /// Size of the keyslots area, or less where [`DataPlacement::At`] leaves less; `None` for all of the space before
    /// the data.
    pub keyslots_size: Option<Bytes>,
    /// The start of the data.
    pub data: DataPlacement,
    /// Hash of the digest of the volume key.
    pub digest_hash: Hash,
    /// Its PBKDF2 iterations.
    pub digest_iterations: u32,
}

/// The start of a new volume's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataPlacement {
    /// Behind the header, at a multiple of the alignment.
    Aligned(Bytes),
    /// The distance behind such a multiple, for a device whose physical sectors are reported to start there.
    Shifted {
        /// As for [`DataPlacement::Aligned`].
        alignment: Bytes,
        /// The distance behind it.
        by: Bytes,
    },
    /// Behind the header, at exactly this offset.
    At(Bytes),
    /// At the start of a separate device.
    Detached,
}

impl Header {
    /// Builds the header in memory, without keyslots. Nothing is written.
    ///
    /// # Errors
    /// [`Error::BadParameter`] with the invalid parameter.
    pub fn create(params: &CreateParams, key: &VolumeKey, limits: &CostLimits) -> Result<Self> {
        let layout = Layout::choose(params)?;
        let bad = |field, value: &str, rule| Error::BadParameter {
            field,
            value: value.to_owned(),
            rule,
        };
        for (field, value, room) in [
            ("label", &params.label, LABEL_LEN),
            ("subsystem", &params.subsystem, LABEL_LEN),
        ] {
            if value.len() >= room || value.contains('\0') {
                return Err(bad(field, value, "must be shorter than 48 bytes"));
            }
        }
        let uuid = match &params.uuid {
            Some(uuid) => uuid.clone(),
            None => random_uuid().map_err(Error::io("get random bytes"))?,
        };
        if uuid.len() >= UUID_LEN || uuid.contains('\0') {
            return Err(bad("uuid", &uuid, "must be shorter than 40 bytes"));
        }
        let crypt = Crypt {
            iv_tweak: 0,
            encryption: params.encryption.clone(),
            sector_size: params.sector_size,
            integrity: None,
        };
        let segment = Segment {
            kind: SegmentKind::Crypt(crypt),
            offset: layout.data_offset,
            size: None,
            flags: Vec::new(),
            extra: Object::new(),
        };
        let mut digest = Digest::new(key, params.digest_hash, params.digest_iterations, limits)?;
        digest.segments = vec![0];
        let metadata = Metadata {
            keyslots: BTreeMap::new(),
            tokens: BTreeMap::new(),
            segments: BTreeMap::from([(0, segment)]),
            digests: BTreeMap::from([(0, digest)]),
            config: Config {
                json_size: layout.json_size,
                keyslots_size: layout.keyslots_size,
                flags: Vec::new(),
                requirements: Vec::new(),
                extra: Object::new(),
                requirements_extra: Object::new(),
            },
            extra: Object::new(),
        };
        validate::validate(&metadata, layout.hdr_size)?;
        let binary = BinaryHeader {
            hdr_size: layout.hdr_size,
            // With the keyslot that every new volume gets it makes three, as with cryptsetup.
            seqid: 1,
            label: params.label.as_str().into(),
            checksum_hash: Hash::Sha256,
            salt: [0; 64],
            uuid,
            subsystem: params.subsystem.as_str().into(),
            hdr_offset: Bytes::ZERO,
        };
        Ok(Self::new(Copy { binary, metadata }))
    }
}

impl Digest {
    /// A digest of `key` that refers to nothing yet.
    ///
    /// # Errors
    /// Those of the derivation.
    pub fn new(key: &VolumeKey, hash: Hash, iterations: u32, limits: &CostLimits) -> Result<Self> {
        let mut salt = vec![0; 32];
        getrandom::fill(&mut salt).map_err(|error| Error::io("get random bytes")(error.into()))?;
        let mut digest = vec![0; hash.output_len()];
        Kdf::Pbkdf2 { hash, iterations }.derive(key.expose(), &salt, &mut digest, limits)?;
        let kind = DigestKind::Pbkdf2 {
            hash: hash.into(),
            iterations,
            salt,
            digest,
        };
        Ok(Self {
            kind,
            keyslots: Vec::new(),
            segments: Vec::new(),
            extra: Object::new(),
        })
    }
}

struct Layout {
    hdr_size: Bytes,
    json_size: Bytes,
    keyslots_size: Bytes,
    data_offset: Bytes,
}

impl Layout {
    fn choose(params: &CreateParams) -> Result<Self> {
        let bad = |field, value: Bytes, rule| Error::BadParameter {
            field,
            value: value.get().to_string(),
            rule,
        };
        let hdr_size = params.metadata_size.unwrap_or(DEFAULT_METADATA_SIZE);
        if !HEADER_SIZES.contains(&hdr_size) {
            return Err(bad(
                "metadata size",
                hdr_size,
                "must be 16 KiB to 4 MiB, a power of two",
            ));
        }
        let json_size = hdr_size
            .checked_sub(BINARY_HEADER_SIZE)
            .ok_or_else(|| bad("metadata size", hdr_size, "is too small"))?;
        let too_large = |size| bad("keyslots size", size, "must be a multiple of 4096 up to 128 MiB");
        let copies = hdr_size
            .checked_mul(2)
            .ok_or_else(|| bad("metadata size", hdr_size, "is too large"))?;
        let keyslots_size = match (params.keyslots_size, params.data) {
            // As cryptsetup does for a data offset that leaves less.
            (Some(size), DataPlacement::At(offset)) if size <= MAX_KEYSLOTS_SIZE => {
                size.min(Self::all_before(offset, copies))
            }
            (Some(size), _) => size,
            (None, DataPlacement::At(offset)) => Self::all_before(offset, copies),
            (None, DataPlacement::Aligned(_) | DataPlacement::Shifted { .. } | DataPlacement::Detached) => {
                Self::all_before(DEFAULT_DATA_OFFSET, copies)
            }
        };
        if keyslots_size > MAX_KEYSLOTS_SIZE || !keyslots_size.is_multiple_of(AREA_ALIGNMENT) {
            return Err(too_large(keyslots_size));
        }
        let area = KeyslotsArea::new(hdr_size, keyslots_size).ok_or_else(|| too_large(keyslots_size))?;
        let data_offset = match params.data {
            DataPlacement::Detached => Bytes::ZERO,
            DataPlacement::At(offset) if offset < area.end => {
                return Err(bad("data offset", offset, "lies inside the header"));
            }
            DataPlacement::At(offset) => offset,
            DataPlacement::Aligned(alignment) => area
                .end
                .round_up(alignment)
                .ok_or_else(|| bad("data alignment", alignment, "is too large"))?,
            DataPlacement::Shifted { alignment, by } => area
                .end
                .round_up(alignment)
                .and_then(|offset| offset.checked_add(by))
                .ok_or_else(|| bad("data alignment", alignment, "is too large"))?,
        };
        if !data_offset.is_multiple_of(Bytes::new(SECTOR_SIZE)) {
            return Err(bad("data offset", data_offset, "must be a multiple of 512"));
        }
        Ok(Self {
            hdr_size,
            json_size,
            keyslots_size,
            data_offset,
        })
    }

    /// The largest keyslots area between the copies and the data; empty if there is too little room for the copies.
    fn all_before(data_offset: Bytes, copies: Bytes) -> Bytes {
        let room = data_offset
            .checked_sub(copies)
            .unwrap_or(Bytes::ZERO)
            .min(MAX_KEYSLOTS_SIZE);
        Bytes::new(room.get() / AREA_ALIGNMENT.get() * AREA_ALIGNMENT.get())
    }
}
