//! Finding room for the next keyslot area.

use super::keyslot::Keyslot;
use super::metadata::Metadata;
use super::validate::{AREA_ALIGNMENT, KeyslotsArea};
use crate::units::Bytes;
use crate::{Error, Result};

/// Size of the area for a key of `key_size` bytes: its key material, aligned. `None` on overflow.
pub(crate) fn area_size(key_size: u32) -> Option<Bytes> {
    Keyslot::material_size(key_size)?.round_up(AREA_ALIGNMENT)
}

/// The first gap in the keyslots area that holds `size`. Areas of every kind of keyslot are respected.
///
/// # Errors
/// [`Error::NoRoomForKeyslot`].
pub(crate) fn find_gap(metadata: &Metadata, hdr_size: Bytes, size: Bytes) -> Result<Bytes> {
    let full = Error::NoRoomForKeyslot { needed: size.get() };
    let Some(area) = KeyslotsArea::new(hdr_size, metadata.config.keyslots_size) else {
        return Err(full);
    };
    let mut taken: Vec<_> = metadata
        .keyslots
        .values()
        .map(|slot| (slot.area.offset, slot.area.size))
        .collect();
    taken.sort_unstable();
    let mut start = area.start;
    for (offset, len) in taken {
        if start.checked_add(size).is_some_and(|end| end <= offset) {
            return Ok(start);
        }
        let end = offset.checked_add(len).and_then(|end| end.round_up(AREA_ALIGNMENT));
        let Some(end) = end else { return Err(full) };
        start = start.max(end);
    }
    if start.checked_add(size).is_some_and(|end| end <= area.end) {
        Ok(start)
    } else {
        Err(full)
    }
}
