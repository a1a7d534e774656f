//! The types of option values, and the messages that refuse invalid ones.
//!
//! Numbers are decimal only and never negative unless stated: cryptsetup takes no hexadecimal either. Nothing here knows
//! which action an option belongs to.

use std::str::FromStr;

use keyslots::KeyslotId;
use keyslots::units::{Bytes, Sectors};

pub use crate::crypt_device::PbkdfKind;
pub use crate::slot_names::SlotRef;

/// Largest device size reduction, in bytes: what the reencryption data shift can bridge.
const MAX_REDUCE: Bytes = Bytes::mib(1024);

/// Why a value is refused. `Display` is cryptsetup's wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a decimal number, or one that does not fit.
    #[error("invalid numeric value")]
    Number,
    /// Not a number with an optional unit. The message names the option too.
    #[error("Invalid size specification")]
    Size,
    /// A key size in bits that is not a multiple of 8.
    #[error("Key size must be a multiple of 8 bits")]
    KeySize,
    /// An encryption sector size other than 512, 1024, 2048 and 4096.
    #[error("Unsupported encryption sector size.")]
    SectorSize,
    /// A negative keyslot.
    #[error("Key slot is invalid.")]
    KeySlot,
    /// A device size that is not a multiple of the sector size.
    #[error("Device size must be multiple of 512 bytes sector.")]
    DeviceSize,
    /// A reduction that is not a multiple of the sector size.
    #[error("Reduce size must be multiple of 512 bytes sector.")]
    ReduceSize,
    /// A reduction above 1 GiB.
    #[error("Maximum device reduce size is 1 GiB.")]
    ReduceSizeTooBig,
    /// A hotzone of no bytes.
    #[error("Invalid max reencryption hotzone size specification.")]
    HotzoneSize,
    /// Above 100 per cent.
    #[error("A percentage must be between 0 and 100.")]
    Percent,
    /// No priority of this name.
    #[error("Option --priority can be only ignore/normal/prefer.")]
    Priority,
    /// No backend of this name.
    #[error("Option --backend can be only kernel/userspace.")]
    Backend,
    /// No PBKDF of this name.
    #[error("Password-based key derivation function (PBKDF) can be only pbkdf2 or argon2i/argon2id.")]
    Pbkdf,
}

/// A key length that was given in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySize {
    bits: u32,
}

impl KeySize {
    /// The length in bytes; zero means the default.
    pub fn bytes(self) -> usize {
        self.bits as usize / 8
    }

    /// The length as it was given.
    pub fn bits(self) -> u32 {
        self.bits
    }
}

impl FromStr for KeySize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bits = unsigned(text)?;
        if bits % 8 == 0 {
            Ok(Self { bits })
        } else {
            Err(ValueError::KeySize)
        }
    }
}

/// An encryption sector size: 512, 1024, 2048 or 4096 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SectorSize(u32);

impl SectorSize {
    /// The size in bytes.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for SectorSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match unsigned(text)? {
            size @ (512 | 1024 | 2048 | 4096) => Ok(Self(size)),
            _ => Err(ValueError::SectorSize),
        }
    }
}

impl FromStr for SlotRef {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match (Self::parse(text), text.strip_prefix('-')) {
            (Some(name @ Self::Name(_)), _) => Ok(name),
            (_, Some(rest)) => Err(unsigned(rest).map_or_else(|error| error, |_| ValueError::KeySlot)),
            (_, None) => small(text).map(KeyslotId::new).map(Self::Number),
        }
    }
}

/// The priority of a LUKS2 keyslot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Only when it is named.
    Ignore,
    /// After the preferred ones.
    Normal,
    /// First.
    Prefer,
}

impl FromStr for Priority {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "ignore" => Ok(Self::Ignore),
            "normal" => Ok(Self::Normal),
            "prefer" => Ok(Self::Prefer),
            _ => Err(ValueError::Priority),
        }
    }
}

/// The component that decrypts an open volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The kernel's device-mapper.
    Kernel,
    /// This program, through FUSE.
    Userspace,
}

impl FromStr for Backend {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "kernel" => Ok(Self::Kernel),
            "userspace" => Ok(Self::Userspace),
            _ => Err(ValueError::Backend),
        }
    }
}

impl FromStr for PbkdfKind {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        [Self::Pbkdf2, Self::Argon2i, Self::Argon2id]
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(text))
            .ok_or(ValueError::Pbkdf)
    }
}

/// A number up to 2³² − 1.
pub(super) fn unsigned(text: &str) -> Result<u32, ValueError> {
    decimal(text)?.try_into().map_err(|_| ValueError::Number)
}

/// A number up to 2³¹ − 1, the range of cryptsetup for ids.
pub(super) fn small(text: &str) -> Result<u32, ValueError> {
    match unsigned(text)? {
        number if i32::try_from(number).is_ok() => Ok(number),
        _ => Err(ValueError::Number),
    }
}

/// A whole number of per cent.
pub(super) fn percent(text: &str) -> Result<u32, ValueError> {
    match unsigned(text)? {
        number @ 0..=100 => Ok(number),
        _ => Err(ValueError::Percent),
    }
}

/// cryptsetup's value for "any token". [`small`] takes no number as large.
pub(super) const ANY_TOKEN: u32 = u32::MAX;

/// The value of `--token-id`: a number, or −1 for [`ANY_TOKEN`].
pub(super) fn token_id(text: &str) -> Result<u32, ValueError> {
    match text {
        "-1" => Ok(ANY_TOKEN),
        _ => small(text),
    }
}

/// A number of bytes, without a unit.
pub(super) fn bytes(text: &str) -> Result<Bytes, ValueError> {
    decimal(text).map(Bytes::new)
}

/// A number of sectors of 512 bytes, without a unit.
pub(super) fn sectors(text: &str) -> Result<Sectors, ValueError> {
    decimal(text).map(Sectors::new)
}

/// A number of bytes up to 2³² − 1, without a unit.
pub(super) fn short_bytes(text: &str) -> Result<Bytes, ValueError> {
    unsigned(text).map(|number| Bytes::new(number.into()))
}

/// A number of sectors up to 2³² − 1, without a unit.
pub(super) fn short_sectors(text: &str) -> Result<Sectors, ValueError> {
    unsigned(text).map(|number| Sectors::new(number.into()))
}

/// Text of any kind.
pub(super) fn text(text: &str) -> Result<String, ValueError> {
    Ok(text.to_owned())
}

/// A UUID as it is written: cryptsetup takes any case.
pub(super) fn lower_case(text: &str) -> Result<String, ValueError> {
    Ok(text.to_ascii_lowercase())
}

/// The value of `--device-size`.
pub(super) fn device_size(text: &str) -> Result<Bytes, ValueError> {
    match size(text)? {
        Bytes::ZERO => Err(ValueError::Number),
        size if size.is_multiple_of(Bytes::new(512)) => Ok(size),
        _ => Err(ValueError::DeviceSize),
    }
}

/// The value of `--reduce-device-size`.
pub(super) fn reduce_size(text: &str) -> Result<Bytes, ValueError> {
    match size(text)? {
        size if size > MAX_REDUCE => Err(ValueError::ReduceSizeTooBig),
        size if size.is_multiple_of(Bytes::new(512)) => Ok(size),
        _ => Err(ValueError::ReduceSize),
    }
}

/// The value of `--hotzone-size`.
pub(super) fn hotzone_size(text: &str) -> Result<Bytes, ValueError> {
    match size(text)? {
        Bytes::ZERO => Err(ValueError::HotzoneSize),
        size => Ok(size),
    }
}

/// A number with an optional unit: `k`, `M`, `G`, `T` alone or with `iB` are powers of 1024, with `B` powers of 1000,
/// `s` is a sector.
pub(super) fn size(text: &str) -> Result<Bytes, ValueError> {
    let refused = ValueError::Size;
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number = decimal(number).map_err(|_| refused)?;
    let (letter, rest) = unit.split_at(unit.chars().next().map_or(0, char::len_utf8));
    let power = match letter {
        "" => return Ok(Bytes::new(number)),
        "s" | "S" if rest.is_empty() => return Sectors::new(number).bytes().ok_or(refused),
        "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        _ => return Err(refused),
    };
    let base: u64 = match rest {
        "" | "iB" => 1024,
        "B" => 1000,
        _ => return Err(refused),
    };
    Bytes::new(number).checked_mul(base.pow(power)).ok_or(refused)
}

/// Digits and nothing else, so that `+1`, ` 1` and `0x1` are not numbers.
fn decimal(text: &str) -> Result<u64, ValueError> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().map_err(|_| ValueError::Number)
    } else {
        Err(ValueError::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_units_of_the_manual() {
        let size = |text| device_size(text).map(Bytes::get);
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("3s"), Ok(1536));
        assert_eq!(size("1k"), Ok(1024));
        assert_eq!(size("64KB"), Ok(64000));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("2g"), Ok(2 << 30));
        assert_eq!(size("1T"), Ok(1 << 40));
        assert_eq!(size("1000"), Err(ValueError::DeviceSize));
        assert_eq!(size("0"), Err(ValueError::Number));
        for text in [
            "",
            "-1",
            "1kib",
            "1P",
            "1b",
            "1MM",
            "0x100",
            "1.5M",
            " 1M",
            "1 M",
            "1Ki",
            "16777216T",
            "1é",
            "1sB",
        ] {
            assert_eq!(size(text), Err(ValueError::Size), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_decimal_and_bounded() {
        assert_eq!(unsigned("4294967295"), Ok(u32::MAX));
        assert_eq!(small("2147483647"), Ok(2147483647));
        for text in ["", "0x10", "-1", "+1", " 8", "8x", "4294967296", "18446744073709551616"] {
            assert_eq!(unsigned(text), Err(ValueError::Number), "{text:?}");
        }
        assert_eq!(small("2147483648"), Err(ValueError::Number));
        assert_eq!(bytes("18446744073709551615").map(Bytes::get), Ok(u64::MAX));
    }

    #[test]
    fn a_keyslot_is_a_number_or_a_name_but_never_negative() {
        assert_eq!("7".parse(), Ok(SlotRef::Number(KeyslotId::new(7))));
        assert_eq!("office".parse(), Ok(SlotRef::Name("office".into())));
        assert_eq!("-1".parse::<SlotRef>(), Err(ValueError::KeySlot));
        assert_eq!("-x".parse::<SlotRef>(), Err(ValueError::Number));
        assert_eq!("0x1".parse::<SlotRef>(), Err(ValueError::Number));
        assert_eq!("".parse::<SlotRef>(), Err(ValueError::Number));
    }

    #[test]
    fn reductions_and_hotzones_have_their_own_rules() {
        assert_eq!(reduce_size("1G").map(Bytes::get), Ok(1 << 30));
        assert_eq!(reduce_size("2G"), Err(ValueError::ReduceSizeTooBig));
        assert_eq!(reduce_size("513"), Err(ValueError::ReduceSize));
        assert_eq!(hotzone_size("0"), Err(ValueError::HotzoneSize));
        assert_eq!(hotzone_size("1000").map(Bytes::get), Ok(1000));
    }
}
