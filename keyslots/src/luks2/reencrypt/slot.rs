//! The members of a `reencrypt` keyslot: what is being done, and how an interruption is survived.

use std::fmt;

use super::super::Defect;
use super::super::fields::Fields;
use super::super::json::Object;
use crate::hash::HashName;
use crate::units::Bytes;

/// What is being done to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From one encryption to another.
    Reencrypt,
    /// From plaintext to an encryption.
    Encrypt,
    /// From an encryption to plaintext.
    Decrypt,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Reencrypt, Self::Encrypt, Self::Decrypt];

    /// The name in the metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reencrypt => "reencrypt",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
        }
    }
}

/// The order of the zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the start of the data to their end.
    Forward,
    /// From the end of the data to their start.
    Backward,
}

impl Direction {
    /// The name in the metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        }
    }
}

/// What the keyslot's area keeps of a zone that is overwritten in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    None,
    /// A hash of each block as it was.
    Checksum {
        /// The hash.
        hash: HashName,
        /// Bytes in a block, a power of two from 512 on.
        block: u32,
    },
    /// All bytes as they were.
    Journal,
}

/// How an interruption in the middle of a zone is survived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resilience {
    /// For a zone that is overwritten in place.
    pub guard: Guard,
    /// By how much data move, if they do: such a zone is still where it was until it is done.
    pub shift: Option<Bytes>,
}

impl Resilience {
    /// The type of the keyslot's area.
    pub fn type_name(&self) -> &'static str {
        match (&self.guard, self.shift) {
            (Guard::None, None) => "none",
            (Guard::Checksum { .. }, None) => "checksum",
            (Guard::Journal, None) => "journal",
            (Guard::None, Some(_)) => "datashift",
            (Guard::Checksum { .. }, Some(_)) => "datashift-checksum",
            (Guard::Journal, Some(_)) => "datashift-journal",
        }
    }
}

impl fmt::Display for Resilience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}

/// The members of a `reencrypt` keyslot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReencryptKeyslot {
    /// What is being done.
    pub mode: Mode,
    /// The order of the zones.
    pub direction: Direction,
    /// How an interruption is survived.
    pub resilience: Resilience,
}

impl ReencryptKeyslot {
    pub(in crate::luks2) fn parse(
        fields: &mut Fields,
        area: &mut Fields,
        area_type: &str,
        key_size: u32,
    ) -> Result<Self, Defect> {
        if key_size != 1 {
            return Err(fields.value("key_size", key_size, "must be 1 for a reencrypt keyslot"));
        }
        let name = fields.string("mode")?;
        let mode = Mode::ALL.into_iter().find(|mode| mode.name() == name);
        let mode = mode.ok_or_else(|| fields.value("mode", name, "must be encrypt, reencrypt or decrypt"))?;
        let direction = match fields.string("direction")?.as_str() {
            "forward" => Direction::Forward,
            "backward" => Direction::Backward,
            other => return Err(fields.value("direction", other, "must be forward or backward")),
        };
        let (guard, shifts) = match area_type {
            "none" => (Guard::None, false),
            "checksum" => (parse_checksum(area)?, false),
            "journal" => (Guard::Journal, false),
            "datashift" => (Guard::None, true),
            "datashift-checksum" => (parse_checksum(area)?, true),
            "datashift-journal" => (Guard::Journal, true),
            _ => return Err(area.value("type", area_type, "is not a kind of reencryption area")),
        };
        let shift = shifts.then(|| parse_shift(area)).transpose()?;
        let resilience = Resilience { guard, shift };
        Ok(Self {
            mode,
            direction,
            resilience,
        })
    }

    pub(in crate::luks2) fn put(&self, value: &mut Object) {
        value.insert("mode".into(), self.mode.name().into());
        value.insert("direction".into(), self.direction.name().into());
    }

    pub(in crate::luks2) fn put_area(&self, value: &mut Object) {
        if let Guard::Checksum { hash, block } = &self.resilience.guard {
            value.insert("hash".into(), hash.as_str().into());
            value.insert("sector_size".into(), (*block).into());
        }
        if let Some(shift) = self.resilience.shift {
            value.insert("shift_size".into(), shift.get().to_string().into());
        }
    }
}

fn parse_checksum(area: &mut Fields) -> Result<Guard, Defect> {
    let hash = HashName::new(area.non_empty("hash")?);
    let block = area.u32("sector_size")?;
    if !block.is_power_of_two() || block < 512 {
        return Err(area.value("sector_size", block, "must be a power of two, 512 or more"));
    }
    Ok(Guard::Checksum { hash, block })
}

fn parse_shift(area: &mut Fields) -> Result<Bytes, Defect> {
    let shift = area.bytes("shift_size")?;
    if shift == Bytes::ZERO || !shift.is_multiple_of(Bytes::new(512)) {
        return Err(area.value("shift_size", shift.get(), "must be a multiple of 512 above 0"));
    }
    Ok(shift)
}
