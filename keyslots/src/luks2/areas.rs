//! Finding room for the next keyslot area.

use super::keyslot::{Area, Keyslot};
use super::validate::{AREA_ALIGNMENT, KeyslotsArea};
use crate::units::Bytes;

/// Size of the area for a key of `key_size` bytes: its key material, aligned. `None` on overflow.
pub(crate) fn area_size(key_size: u32) -> Option<Bytes> {
    Keyslot::material_size(key_size)?.round_up(AREA_ALIGNMENT)
}

/// The first gap in the keyslots area that holds `size`. Areas of every kind of keyslot are respected.
pub(crate) fn find_gap<'a>(bounds: KeyslotsArea, taken: impl Iterator<Item = &'a Area>, size: Bytes) -> Option<Bytes> {
    let mut taken: Vec<_> = taken.map(|area| (area.offset, area.size)).collect();
    taken.sort_unstable();
    let mut start = bounds.start;
    for (offset, len) in taken {
        if start.checked_add(size).is_some_and(|end| end <= offset) {
            return Some(start);
        }
        start = start.max(offset.checked_add(len)?.round_up(AREA_ALIGNMENT)?);
    }
    let fits = start.checked_add(size).is_some_and(|end| end <= bounds.end);
    fits.then_some(start)
}
