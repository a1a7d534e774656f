//! [`Header`]: a LUKS1 header that meets every rule, and its accessors.

use super::defect::Defect;
use super::format::{self, CHECKSUM, DIGEST_LEN, HEADER_LEN, KEYSLOTS, RawHeader, SALT_LEN, UUID_LEN};
use super::layout::{AREA_ALIGNMENT, Range, area_size};
use super::validate::validate;
use crate::KeyslotId;
use crate::cipher::{CipherError, CipherSpec};
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::storage::Storage;
use crate::units::{Bytes, Sectors};
use crate::uuid::is_uuid;
use crate::version::Version;

/// A validated header. It holds no secret: all of it may be printed.
#[derive(Clone, Debug)]
pub struct Header {
    /// The bytes on the disk; all other fields are derived from them.
    pub(super) raw: RawHeader,
    pub(super) cipher_name: String,
    pub(super) cipher_mode: String,
    pub(super) hash_name: String,
    pub(super) hash: Hash,
    pub(super) uuid: String,
    pub(super) keyslots: [Keyslot; KEYSLOTS],
    /// Checksums of what this value last wrote to the area of each keyslot: key material, or the random data of a wipe.
    pub(super) written: [Option<[u8; CHECKSUM]>; KEYSLOTS],
}

impl PartialEq for Header {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Header {}

/// One of the eight keyslots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyslot {
    /// Whether it holds a key.
    pub state: KeyslotState,
    /// Iterations of PBKDF2.
    pub iterations: u32,
    /// Salt of PBKDF2.
    pub salt: [u8; SALT_LEN],
    /// The start of the key material.
    pub material_offset: Sectors,
    /// Stripes of the anti-forensic split.
    pub stripes: u32,
}

/// Whether a keyslot holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyslotState {
    /// It does.
    Active,
    /// It does not.
    Inactive,
    /// The state has this other value: the slot is neither opened unless it is named, nor used for a new key.
    Invalid(u32),
}

impl Header {
    /// Reads the header at the start of `storage` and validates it against the storage's size.
    ///
    /// # Errors
    /// [`Error::NotLuks`] where the magic is not there, [`Error::UnknownVersion`] where the version is not 1, a
    /// [`Defect`] where a rule is broken, [`Error::Io`].
    pub fn read(storage: &mut dyn Storage) -> Result<Self> {
        let size = storage
            .size()
            .map_err(Error::io("find the size of the header device"))?;
        let raw = read_raw(storage)?;
        Ok(validate(&raw, Some(size))?)
    }

    /// Validates the header at the start of `bytes`; more bytes may follow. `device_size` is the size of their source,
    /// `None` where it is unknown.
    ///
    /// # Errors
    /// As [`Header::read`], but for I/O.
    pub fn from_bytes(bytes: &[u8], device_size: Option<Bytes>) -> Result<Self> {
        Ok(validate(&raw_from_bytes(bytes)?, device_size)?)
    }

    /// The bytes of the header as they are on the disk.
    pub fn raw(&self) -> &RawHeader {
        &self.raw
    }

    /// Cipher of data and keyslots, as in `aes`.
    pub fn cipher_name(&self) -> &str {
        &self.cipher_name
    }

    /// Mode and IV, as in `xts-plain64`.
    pub fn cipher_mode(&self) -> &str {
        &self.cipher_mode
    }

    /// Cipher name and mode as a specification that this crate can compute with.
    ///
    /// # Errors
    /// Where only the kernel may know the cipher. The volume key can then be given, but no keyslot can be opened.
    pub fn cipher_spec(&self) -> std::result::Result<CipherSpec, CipherError> {
        CipherSpec::from_parts(&self.cipher_name, &self.cipher_mode)
    }

    /// Hash of PBKDF2, the splitter and the volume key digest.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The hash as the header spells it, which may be in upper case.
    pub fn hash_name(&self) -> &str {
        &self.hash_name
    }

    /// Length of the volume key.
    pub fn key_size(&self) -> Bytes {
        Bytes::new(u64::from(self.raw.key_bytes))
    }

    /// The start of the data, zero if they are on another device than the header.
    pub fn payload_offset(&self) -> Sectors {
        Sectors::new(u64::from(self.raw.payload_offset))
    }

    /// UUID, as unvalidated text.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Digest of the volume key.
    pub fn mk_digest(&self) -> &[u8; DIGEST_LEN] {
        &self.raw.mk_digest
    }

    /// Salt of the digest.
    pub fn mk_salt(&self) -> &[u8; SALT_LEN] {
        &self.raw.mk_salt
    }

    /// Iterations of the digest.
    pub fn mk_iterations(&self) -> u32 {
        self.raw.mk_iterations
    }

    /// The keyslots, by their numbers.
    pub fn keyslots(&self) -> &[Keyslot; KEYSLOTS] {
        &self.keyslots
    }

    /// Keyslot `slot`, `None` from 8 on.
    pub fn keyslot(&self, slot: KeyslotId) -> Option<&Keyslot> {
        self.keyslots.get(slot.index())
    }

    /// Numbers of the keyslots that hold a key.
    pub fn active_keyslots(&self) -> impl Iterator<Item = KeyslotId> + '_ {
        KeyslotId::all(Version::Luks1)
            .zip(&self.keyslots)
            .filter(|(_, keyslot)| keyslot.state == KeyslotState::Active)
            .map(|(slot, _)| slot)
    }

    /// Size of the key material of one keyslot, a multiple of 512.
    pub fn area_size(&self) -> Bytes {
        area_size(self.raw.key_bytes)
    }

    /// Where header and key material end: the last area's end, up to a multiple of 4096, but never inside the data.
    ///
    /// The space from here to the payload offset belongs to other programs (luksmeta, for one), and is never written to.
    pub fn metadata_size(&self) -> Bytes {
        let end = self.material_end();
        let rounded = end.round_up(AREA_ALIGNMENT).unwrap_or(end);
        match self.payload_offset().bytes() {
            Some(payload) if payload != Bytes::ZERO => rounded.min(payload),
            _ => rounded,
        }
    }

    /// Sets the UUID. It is in one sector, so that a stop leaves the old one or the new one.
    ///
    /// # Errors
    /// [`Error::BadParameter`] where `uuid` is invalid, [`Error::ChangedMeanwhile`], [`Error::Io`].
    pub fn set_uuid(&mut self, storage: &mut dyn Storage, uuid: &str) -> Result<()> {
        let mut raw = self.raw.clone();
        raw.uuid = uuid_field(uuid)?;
        self.settle(storage)?;
        self.replace(storage, raw)
    }

    pub(super) fn material_end(&self) -> Bytes {
        (0..KEYSLOTS)
            .map(|slot| Range::of_slot(&self.raw, slot).end)
            .max()
            .unwrap_or_default()
    }

    /// Checks that the disk still has the header that was read, before the first write that relies on it.
    pub(crate) fn expect_unchanged(&self, storage: &mut dyn Storage) -> Result<()> {
        if read_raw(storage)? == self.raw {
            Ok(())
        } else {
            Err(Error::ChangedMeanwhile)
        }
    }

    /// The same before data that the header that was read replaces are destroyed: a killed process may have left it in a
    /// cache alone.
    pub(crate) fn settle(&self, storage: &mut dyn Storage) -> Result<()> {
        self.expect_unchanged(storage)?;
        storage.sync().map_err(Error::io("sync the LUKS1 header that was read"))
    }

    /// Writes `raw` over the header, syncs, and then takes it over.
    pub(crate) fn replace(&mut self, storage: &mut dyn Storage, raw: RawHeader) -> Result<()> {
        let next = validate(&raw, None)?;
        self.expect_unchanged(storage)?;
        write_raw(storage, &raw)?;
        let written = self.written;
        *self = next;
        self.written = written;
        self.expect_written(storage)
    }

    /// Checks that the device has this header, after a write: programs that take no lock may have written at the same time.
    ///
    /// # Errors
    /// [`Error::Overwritten`] with the first keyslot that differs, [`Error::ChangedMeanwhile`], [`Error::Io`].
    pub fn expect_written(&self, storage: &mut dyn Storage) -> Result<()> {
        let there = read_raw(storage)?;
        let differs = |slot: &KeyslotId| there.keyslots[slot.index()] != self.raw.keyslots[slot.index()];
        match KeyslotId::all(Version::Luks1).find(differs) {
            Some(slot) => Err(Error::Overwritten(slot)),
            None if there != self.raw => Err(Error::ChangedMeanwhile),
            None => Ok(()),
        }
    }
}

/// The header bytes of `storage`, with magic and version checked.
pub(super) fn read_raw(storage: &mut dyn Storage) -> Result<RawHeader> {
    let mut bytes = [0; HEADER_LEN];
    match storage.read_at(Bytes::ZERO, &mut bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Error::NotLuks),
        Err(error) => Err(Error::io("read the LUKS1 header")(error)),
        Ok(()) => raw_from_bytes(&bytes),
    }
}

pub(super) fn write_raw(storage: &mut dyn Storage, raw: &RawHeader) -> Result<()> {
    storage
        .write_at(Bytes::ZERO, &raw.to_bytes())
        .map_err(Error::io("write the LUKS1 header"))?;
    storage.sync().map_err(Error::io("sync the LUKS1 header"))
}

pub(super) fn uuid_field(uuid: &str) -> Result<[u8; UUID_LEN]> {
    let bad = || Error::BadParameter {
        field: "uuid",
        value: uuid.to_owned(),
        rule: "it is not a UUID",
    };
    if !is_uuid(uuid) {
        return Err(bad());
    }
    format::field(uuid).ok_or_else(bad)
}

fn raw_from_bytes(bytes: &[u8]) -> Result<RawHeader> {
    if !bytes.starts_with(&format::MAGIC) {
        return Err(Error::NotLuks);
    }
    let header = bytes.first_chunk().ok_or(Defect::Truncated(bytes.len()))?;
    let raw = RawHeader::from_bytes(header);
    match raw.version {
        format::VERSION => Ok(raw),
        other => Err(Error::UnknownVersion(other)),
    }
}
