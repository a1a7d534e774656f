//! Lengths and offsets as types: [`Bytes`] and [`Sectors`] of 512 bytes.
//!
//! A bare integer does not say which of the two it is, and mixing them up destroys data. All arithmetic is checked:
//! it returns `None` instead of wrapping, since the operands come from headers that an attacker may have written.

use std::fmt;

/// Bytes in one sector, the unit of the device-mapper and of LUKS offsets.
pub const SECTOR_SIZE: u64 = 512;

/// A length or an offset in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// A length or an offset in sectors of 512 bytes, whatever the sector size of the device or the cipher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sectors(u64);

impl Bytes {
    /// Nothing, or the start of a device.
    pub const ZERO: Self = Self(0);

    /// `n` bytes.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// `n` KiB; for constants.
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// `n` MiB; for constants.
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as a `usize`, `None` where it does not fit.
    pub fn to_usize(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }

    /// The sum, `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The product, `None` on overflow.
    pub fn checked_mul(self, factor: u64) -> Option<Self> {
        self.0.checked_mul(factor).map(Self)
    }

    /// Whether this is a multiple of `unit`; nothing is a multiple of zero.
    pub fn is_multiple_of(self, unit: Self) -> bool {
        unit.0 != 0 && self.0.is_multiple_of(unit.0)
    }

    /// The next multiple of `unit` that is not below this, `None` on overflow or where `unit` is zero.
    pub fn round_up(self, unit: Self) -> Option<Self> {
        self.0.checked_next_multiple_of(unit.0).map(Self)
    }

    /// Whole sectors in this many bytes; a remainder is dropped.
    pub fn sectors(self) -> Sectors {
        Sectors(self.0 / SECTOR_SIZE)
    }
}

impl Sectors {
    /// Nothing, or the start of a device.
    pub const ZERO: Self = Self(0);

    /// `n` sectors.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// The number of sectors.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same length in bytes, `None` on overflow.
    pub fn bytes(self) -> Option<Bytes> {
        self.0.checked_mul(SECTOR_SIZE).map(Bytes)
    }

    /// The sum, `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sectors", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_never_wraps() {
        assert_eq!(Bytes::new(u64::MAX).checked_add(Bytes::new(1)), None);
        assert_eq!(Bytes::ZERO.checked_sub(Bytes::new(1)), None);
        assert_eq!(Bytes::new(u64::MAX).round_up(Bytes::kib(4)), None);
        assert_eq!(Bytes::new(1).round_up(Bytes::ZERO), None);
        assert_eq!(Sectors::new(u64::MAX / 512 + 1).bytes(), None);
        assert!(!Bytes::new(4).is_multiple_of(Bytes::ZERO));
    }
}
