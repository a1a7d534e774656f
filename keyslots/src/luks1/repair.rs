//! Repairing known damage: what old versions wrote, and what a partition table does to a header.
//!
//! [`Repair::diagnose`] finds it and writes nothing. No active keyslot is changed, and no salt except for two bytes that
//! are not part of one, so that every passphrase still opens what it did.

use super::format::{KEYSLOTS, RawHeader, RawKeyslot, STATE_ACTIVE, STATE_INACTIVE, STRIPES, field, text};
use super::header::{Header, read_raw};
use super::layout::{Range, standard_offset};
use super::validate::{check_keyslot, validate};
use crate::KeyslotId;
use crate::error::{Error, Result};
use crate::storage::Storage;
use crate::units::{Bytes, Sectors};
use crate::version::Version;

/// A header and its repaired form.
#[derive(Clone, Debug)]
pub struct Repair {
    found: RawHeader,
    header: Header,
    fixes: Vec<Fix>,
}

/// One repair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fix {
    /// ECB takes no IV, but one was named; the mode becomes `ecb`.
    #[error("cipher mode {0:?} becomes \"ecb\"")]
    CipherMode(String),
    /// The hash is in upper case; it becomes lower case.
    #[error("hash {0:?} becomes lower case")]
    HashCase(String),
    /// The key material of an unused keyslot is at an impossible place; it is moved to its place in the standard layout.
    #[error("keyslot {slot}: key material offset {found} becomes {fixed}")]
    MaterialOffset {
        /// The keyslot.
        slot: KeyslotId,
        /// The old place.
        found: Sectors,
        /// The new place.
        fixed: Sectors,
    },
    /// The stripes of an unused keyslot become 4000.
    #[error("keyslot {slot}: {found} stripes become 4000")]
    Stripes {
        /// The keyslot.
        slot: KeyslotId,
        /// The old number.
        found: u32,
    },
    /// A damaged keyslot's state is not a valid one; it becomes inactive.
    #[error("keyslot {slot}: state {found:#010x} becomes inactive")]
    State {
        /// The keyslot.
        slot: KeyslotId,
        /// The old state.
        found: u32,
    },
    /// A partition table's signature (55 AA at byte 510) lies in the salt of keyslot 6; it becomes zero.
    #[error("keyslot 6: the signature of a partition table is removed")]
    PartitionSignature,
}

impl Repair {
    /// Checks the header of `storage` for known damage.
    ///
    /// # Errors
    /// The [`super::Defect`] that remains after all repairs; [`Error::NotLuks`], [`Error::UnknownVersion`],
    /// [`Error::Io`].
    pub fn diagnose(storage: &mut dyn Storage) -> Result<Self> {
        let size = storage
            .size()
            .map_err(Error::io("find the size of the header device"))?;
        let found = read_raw(storage)?;
        let mut raw = found.clone();
        let mut fixes = Vec::new();
        mend_names(&mut raw, &mut fixes);
        mend_signature(&mut raw, &mut fixes);
        for slot in KeyslotId::all(Version::Luks1) {
            mend_keyslot(&mut raw, slot, size, &mut fixes);
        }
        Ok(Self {
            header: validate(&raw, Some(size))?,
            found,
            fixes,
        })
    }

    /// The changes; empty if no known damage was found.
    pub fn fixes(&self) -> &[Fix] {
        &self.fixes
    }

    /// The header that would be written.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Writes the header, if there is anything to change, and returns it.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`], [`Error::Io`].
    pub fn write(self, storage: &mut dyn Storage) -> Result<Header> {
        if !self.fixes.is_empty() {
            if read_raw(storage)? != self.found {
                return Err(Error::ChangedMeanwhile);
            }
            super::header::write_raw(storage, self.header.raw())?;
        }
        Ok(self.header)
    }
}

fn mend_names(raw: &mut RawHeader, fixes: &mut Vec<Fix>) {
    if let Some(mode) = text(&raw.cipher_mode)
        .filter(|mode| mode.starts_with("ecb-"))
        .map(str::to_owned)
        && let Some(fixed) = field("ecb")
    {
        raw.cipher_mode = fixed;
        fixes.push(Fix::CipherMode(mode));
    }
    if let Some(hash) = text(&raw.hash)
        .filter(|hash| hash.bytes().any(|b| b.is_ascii_uppercase()))
        .map(str::to_owned)
        && let Some(fixed) = field(&hash.to_ascii_lowercase())
    {
        raw.hash = fixed;
        fixes.push(Fix::HashCase(hash));
    }
}

/// Byte 510 of the device is byte 6 of this keyslot's salt.
fn mend_signature(raw: &mut RawHeader, fixes: &mut Vec<Fix>) {
    let keyslot = &mut raw.keyslots[6];
    if keyslot.state != STATE_ACTIVE && keyslot.salt[6..8] == [0x55, 0xaa] {
        keyslot.salt[6..8].fill(0);
        fixes.push(Fix::PartitionSignature);
        mend_state(keyslot, KeyslotId::new(6), fixes);
    }
}

fn mend_keyslot(raw: &mut RawHeader, slot: KeyslotId, device_size: Bytes, fixes: &mut Vec<Fix>) {
    let index = slot.index();
    if raw.keyslots[index].state == STATE_ACTIVE {
        return;
    }
    let area = Range::of_slot(raw, index);
    let overlaps = (0..KEYSLOTS).any(|other| other != index && area.overlaps(Range::of_slot(raw, other)));
    let damaged = overlaps || check_keyslot(raw, slot, Some(device_size)).is_err();
    let standard = standard_offset(raw.key_bytes, index);
    let keyslot = &mut raw.keyslots[index];
    if keyslot.stripes != STRIPES {
        fixes.push(Fix::Stripes {
            slot,
            found: keyslot.stripes,
        });
        keyslot.stripes = STRIPES;
    }
    if let Some(fixed) = standard.filter(|&fixed| damaged && fixed != keyslot.material_offset) {
        let found = Sectors::new(u64::from(keyslot.material_offset));
        fixes.push(Fix::MaterialOffset {
            slot,
            found,
            fixed: Sectors::new(u64::from(fixed)),
        });
        keyslot.material_offset = fixed;
    }
    // With its salt there and nothing else wrong, it may be a key whose state was hit: a person has to decide.
    if damaged || keyslot.salt.iter().all(|&byte| byte == 0) {
        mend_state(keyslot, slot, fixes);
    }
}

fn mend_state(keyslot: &mut RawKeyslot, slot: KeyslotId, fixes: &mut Vec<Fix>) {
    if keyslot.state != STATE_INACTIVE {
        fixes.push(Fix::State {
            slot,
            found: keyslot.state,
        });
        keyslot.state = STATE_INACTIVE;
    }
}
