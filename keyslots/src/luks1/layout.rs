//! The place of the key material: the arithmetic that reading, formatting and repairing share.
//!
//! LUKS1 On-Disk Format 1.2.3, §3: a header says where each area starts, and one area holds `key bytes × stripes`, up to
//! a full sector. The standard layout is cryptsetup's: each area starts at a multiple of 4096 bytes, the first at 4096.

use super::format::{KEYSLOTS, RawHeader, STRIPES};
use crate::units::{Bytes, SECTOR_SIZE, Sectors};

/// Areas, the end of the last one and the backup of a header are aligned to this.
pub(super) const AREA_ALIGNMENT: Bytes = Bytes::kib(4);

/// A format clears the space between key material and data up to here, and a backup contains it. A header may place its
/// data terabytes away.
pub(super) const GAP_END_AT_MOST: Bytes = Bytes::mib(16);

/// Size of one area of a key of `key_bytes`, a multiple of 512.
pub(crate) fn area_size(key_bytes: u32) -> Bytes {
    let split = u64::from(key_bytes) * u64::from(STRIPES);
    Bytes::new(split.next_multiple_of(SECTOR_SIZE))
}

/// Where area `slot` starts in the standard layout; for `slot` = 8 where the last one ends.
///
/// `None` if the sector number does not fit in 32 bits.
pub(super) fn standard_offset(key_bytes: u32, slot: usize) -> Option<u32> {
    let stride = area_size(key_bytes).round_up(AREA_ALIGNMENT)?;
    let offset = AREA_ALIGNMENT.checked_add(stride.checked_mul(slot as u64)?)?;
    u32::try_from(offset.sectors().get()).ok()
}

/// The standard offsets of all areas, and where the last one ends.
pub(super) fn standard_layout(key_bytes: u32) -> Option<([u32; KEYSLOTS], Sectors)> {
    let mut offsets = [0; KEYSLOTS];
    for (slot, offset) in offsets.iter_mut().enumerate() {
        *offset = standard_offset(key_bytes, slot)?;
    }
    let end = standard_offset(key_bytes, KEYSLOTS)?;
    Some((offsets, Sectors::new(u64::from(end))))
}

/// A byte range on the header device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: Bytes,
    pub(super) end: Bytes,
}

impl Range {
    /// The area of keyslot `slot`. It cannot overflow: 2³² sectors and 2³² bytes of key in 4000 stripes are far below
    /// 2⁶⁴ bytes.
    pub(super) fn of_slot(raw: &RawHeader, slot: usize) -> Self {
        let start = u64::from(raw.keyslots[slot].material_offset) * SECTOR_SIZE;
        Self {
            start: Bytes::new(start),
            end: Bytes::new(start + area_size(raw.key_bytes).get()),
        }
    }

    pub(super) fn len(self) -> Bytes {
        Bytes::new(self.end.get().saturating_sub(self.start.get()))
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets that Debian's cryptsetup 2.6.1 wrote with `luksFormat --type luks1 -s BITS`.
    #[test]
    fn offsets_are_those_of_cryptsetup() {
        let cases = [
            (16, [8, 136, 264, 392, 520, 648, 776, 904], 1032),
            (24, [8, 200, 392, 584, 776, 968, 1160, 1352], 1544),
            (32, [8, 264, 520, 776, 1032, 1288, 1544, 1800], 2056),
            (64, [8, 512, 1016, 1520, 2024, 2528, 3032, 3536], 4040),
        ];
        for (key_bytes, offsets, end) in cases {
            assert_eq!(
                standard_layout(key_bytes),
                Some((offsets, Sectors::new(end))),
                "{key_bytes} bytes"
            );
        }
    }

    #[test]
    fn ranges_that_touch_do_not_overlap() {
        let range = |start, end| Range {
            start: Bytes::new(start),
            end: Bytes::new(end),
        };
        for (other, overlap) in [
            (range(0, 8), false),
            (range(0, 9), true),
            (range(16, 24), false),
            (range(15, 24), true),
        ] {
            assert_eq!(range(8, 16).overlaps(other), overlap, "{other:?}");
        }
    }

    #[test]
    fn a_huge_key_has_no_layout() {
        assert_eq!(standard_layout(u32::MAX), None);
        assert_eq!(
            area_size(u32::MAX).get(),
            (u64::from(u32::MAX) * 4000).next_multiple_of(512)
        );
    }
}
