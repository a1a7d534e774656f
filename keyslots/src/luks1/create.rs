//! A new volume: the header that formatting writes. LUKS1 On-Disk Format 1.2.3, §4 "Initialization".

use super::format::{DIGEST_LEN, KEYSLOTS, MAGIC, RawHeader, RawKeyslot, SALT_LEN, STATE_INACTIVE, STRIPES, VERSION};
use super::format::{NAME_LEN, field};
use super::header::{Header, uuid_field, write_raw};
use super::keyslots::check_iterations;
use super::layout::{AREA_ALIGNMENT, GAP_END_AT_MOST, Range, standard_layout};
use super::validate::{MAX_KEY_BYTES, validate};
use crate::cipher::CipherSpec;
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::kdf::{CostLimits, Kdf};
use crate::luks2::copies::forget_secondaries;
use crate::secret::VolumeKey;
use crate::storage::Storage;
use crate::units::{Bytes, Sectors};
use crate::uuid::random_uuid;
use crate::wipe::{Medium, wipe_random, wipe_zeros};

/// The data of a new volume start at a multiple of this by default: 1 MiB.
pub const DEFAULT_ALIGNMENT: Sectors = Sectors::new(2048);

/// The parameters of a new volume.
#[derive(Debug)]
pub struct CreateParams<'a> {
    /// Cipher of data and keyslots.
    pub cipher: &'a CipherSpec,
    /// Hash of PBKDF2, the splitter and the volume key digest; 20 bytes at least.
    pub hash: Hash,
    /// UUID, `None` for a random one.
    pub uuid: Option<&'a str>,
    /// Iterations of the volume key digest, 1000 at least. cryptsetup takes as many as last 125 ms.
    pub digest_iterations: u32,
    /// The start of the data.
    pub data: DataPlacement,
}

/// The start of a new volume's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataPlacement {
    /// At the first multiple of this behind the key material (`--align-payload`).
    Aligned(Sectors),
    /// The distance behind the first such multiple, for a device whose physical sectors are reported to start there.
    Shifted {
        /// As for [`DataPlacement::Aligned`].
        alignment: Sectors,
        /// The distance behind it.
        by: Sectors,
    },
    /// At this offset (`--offset`), a multiple of 4096 bytes that is not below the end of the key material.
    At(Sectors),
    /// On another device (`--header`), from its start.
    Detached,
}

impl Header {
    /// Makes the header of a new volume, with eight free keyslots. Nothing is written, see [`Header::write_new`].
    ///
    /// # Errors
    /// [`Error::BadParameter`] names the invalid one; [`Error::Cipher`] for the key's length; [`Error::Kdf`].
    pub fn create(params: &CreateParams<'_>, key: &VolumeKey, limits: &CostLimits) -> Result<Self> {
        check_iterations("volume key digest iterations", params.digest_iterations)?;
        let cipher = params.cipher;
        if cipher.is_null() {
            return Err(bad("cipher", cipher, "a keyslot that encrypts nothing is never made"));
        }
        if params.hash.output_len() < DIGEST_LEN {
            return Err(bad("hash", params.hash.name(), "the volume key digest takes 20 bytes"));
        }
        cipher.check_key_len(key.len())?;
        let key_bytes = u32::try_from(key.len())
            .ok()
            .filter(|len| (1..=MAX_KEY_BYTES).contains(len));
        let key_bytes = key_bytes.ok_or_else(|| bad("key size", key.len(), "1 to 4096 bytes are"))?;
        let (offsets, end) =
            standard_layout(key_bytes).ok_or_else(|| bad("key size", key_bytes, "its key material has no room"))?;
        let (cipher_name, cipher_mode) = cipher.parts();
        let uuid = match params.uuid {
            Some(uuid) => uuid_field(uuid)?,
            None => uuid_field(&random_uuid().map_err(Error::io("get random bytes for a UUID"))?)?,
        };
        let mut mk_salt = [0; SALT_LEN];
        getrandom::fill(&mut mk_salt)
            .map_err(std::io::Error::from)
            .map_err(Error::io("get random bytes for a salt"))?;
        let mut mk_digest = [0; DIGEST_LEN];
        let kdf = Kdf::Pbkdf2 {
            hash: params.hash,
            iterations: params.digest_iterations,
        };
        kdf.derive(key.expose(), &mk_salt, &mut mk_digest, limits)?;
        let raw = RawHeader {
            magic: MAGIC,
            version: VERSION,
            cipher_name: name("cipher name", cipher_name)?,
            cipher_mode: name("cipher mode", &cipher_mode)?,
            hash: name("hash", params.hash.name())?,
            payload_offset: payload_offset(params.data, end)?,
            key_bytes,
            mk_digest,
            mk_salt,
            mk_iterations: params.digest_iterations,
            uuid,
            keyslots: offsets.map(|material_offset| RawKeyslot {
                state: STATE_INACTIVE,
                iterations: 0,
                salt: [0; SALT_LEN],
                material_offset,
                stripes: STRIPES,
            }),
        };
        Ok(validate(&raw, None)?)
    }

    /// Writes a header from [`Header::create`] over the contents of `storage`, which are lost from the first write on.
    ///
    /// First the start is zeroed and synced, so that no older header outlives its key material. Then the space up to
    /// the data is zeroed (16 MiB of it at most; of a detached header, the space up to the end of the key material), and
    /// each area is filled with random bytes, so that used ones cannot be told from free ones. The header comes last.
    ///
    /// # Errors
    /// [`Error::DeviceTooSmall`], before anything is written; [`Error::Io`].
    pub fn write_new(&self, storage: &mut dyn Storage, medium: Medium) -> Result<()> {
        let size = storage.size().map_err(Error::io("get the size of the header device"))?;
        let needed = self.metadata_size();
        if needed > size {
            return Err(Error::DeviceTooSmall {
                size: size.get(),
                needed: needed.get(),
            });
        }
        wipe_zeros(storage, Bytes::ZERO, AREA_ALIGNMENT)?;
        let payload = self.payload_offset().bytes().unwrap_or_default().min(GAP_END_AT_MOST);
        let zeroed = payload.min(size).max(needed);
        wipe_zeros(
            storage,
            AREA_ALIGNMENT,
            zeroed.checked_sub(AREA_ALIGNMENT).unwrap_or_default(),
        )?;
        for slot in 0..KEYSLOTS {
            let area = Range::of_slot(&self.raw, slot);
            wipe_random(storage, area.start, area.len(), medium)?;
        }
        forget_secondaries(storage, zeroed)?;
        write_raw(storage, &self.raw)
    }
}

fn payload_offset(data: DataPlacement, end: Sectors) -> Result<u32> {
    let offset = match data {
        DataPlacement::Detached => Some(Sectors::ZERO),
        DataPlacement::Aligned(alignment) => end.get().checked_next_multiple_of(alignment.get()).map(Sectors::new),
        DataPlacement::Shifted { alignment, by } => end
            .get()
            .checked_next_multiple_of(alignment.get())
            .and_then(|offset| offset.checked_add(by.get()))
            .map(Sectors::new),
        DataPlacement::At(offset) if !offset.get().is_multiple_of(AREA_ALIGNMENT.sectors().get()) => {
            return Err(bad("payload offset", offset, "it has to be a multiple of 4096 bytes"));
        }
        DataPlacement::At(offset) if offset < end => {
            return Err(bad("payload offset", offset, "it has to be behind the key material"));
        }
        DataPlacement::At(offset) => Some(offset),
    };
    let fits = offset.and_then(|offset| u32::try_from(offset.get()).ok());
    fits.ok_or_else(|| {
        bad(
            "payload offset",
            match data {
                DataPlacement::Detached => "0".into(),
                DataPlacement::Aligned(alignment) | DataPlacement::Shifted { alignment, .. } => {
                    format!("a multiple of {} sectors", alignment.get())
                }
                DataPlacement::At(offset) => format!("{} sectors", offset.get()),
            },
            "LUKS1 has 32 bits of sectors for it",
        )
    })
}

fn name(what: &'static str, text: &str) -> Result<[u8; NAME_LEN]> {
    field(text).ok_or_else(|| bad(what, text, "LUKS1 has 31 characters for it"))
}

fn bad(field: &'static str, value: impl ToString, rule: &'static str) -> Error {
    Error::BadParameter {
        field,
        value: value.to_string(),
        rule,
    }
}
