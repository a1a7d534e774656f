//! The end of a reencryption: what it needed leaves the header at once, and what it left behind is wiped.
//!
//! cryptsetup takes a finished state for one that has not begun, and converts all data a second time when it resumes it. So none
//! is ever left to it: the commit that ends the last zone drops everything. Data that have to be wiped after that are named in a
//! requirement, which cryptsetup refuses.

use super::super::validate::KeyslotsArea;
use super::super::{Defect, Header};
use super::commit::{commit, drop_requirements, put_result};
use super::convert::Disks;
use super::placement::Placement;
use super::plan::Plan;
use super::requirement::Wipe;
use super::slot::{Guard, Mode};
use super::state::{Part, Reencryption, State, Status};
use crate::storage::Storage;
use crate::units::Bytes;
use crate::wipe::{Medium, wipe_random};
use crate::{Error, Result};

/// Ends a reencryption of which all data are converted, whichever program left it. No key is needed: the data are an ordinary
/// volume of the new key. Where they are plaintext now, the caller has asked whether they look like that.
///
/// # Errors
/// [`Error::InReencryption`] where data are still to be converted; the [`Defect`] of the header; the storage's.
pub fn finish(header: &mut Header, disks: &mut Disks<'_>, medium: Medium) -> Result<()> {
    header.check_requirements()?;
    match header.reencryption()? {
        Status::None => Ok(()),
        Status::Running(found) if found.state == State::Finished => {
            Plan::new(&found, disks.data_size()?)?;
            end(header, disks, &found, medium)
        }
        Status::Wiping(wipe) => wipe_rest(header, disks, wipe, medium),
        Status::Running(_) | Status::Legacy(_) => Err(Error::InReencryption),
    }
}

/// Commits the end of the last zone, and wipes what it leaves.
pub(super) fn end(header: &mut Header, disks: &mut Disks<'_>, found: &Reencryption, medium: Medium) -> Result<()> {
    let wipe = rest(found, disks)?;
    let flags = Vec::new();
    let result = super::super::segment::Segment {
        flags,
        ..found.last.clone()
    };
    commit(header, disks.header(), |metadata| {
        put_result(metadata, found, (Part::New, result), wipe);
    })?;
    match wipe {
        Some(wipe) => wipe_rest(header, disks, wipe, medium),
        None => wipe_unreferenced(header, disks.header(), medium),
    }
}

/// What has to be wiped before the volume may be used: plaintext, wherever it is, and what lies behind the data.
fn rest(found: &Reencryption, disks: &mut Disks<'_>) -> Result<Option<Wipe>> {
    Ok(match found.placement {
        Placement::Up { shift, moved, .. } => Some(Wipe {
            offset: moved,
            size: shift,
        }),
        Placement::Down { shift, .. } => {
            let size = disks.data_size()?;
            let offset = size.checked_sub(shift).ok_or(Error::DeviceTooSmall {
                size: size.get(),
                needed: shift.get(),
            })?;
            Some(Wipe { offset, size: shift })
        }
        // The journal has plaintext too.
        Placement::InPlace if found.params.mode == Mode::Encrypt && found.params.resilience.guard == Guard::Journal => {
            Some(Wipe {
                offset: Bytes::ZERO,
                size: Bytes::ZERO,
            })
        }
        Placement::InPlace => None,
    })
}

fn wipe_rest(header: &mut Header, disks: &mut Disks<'_>, wipe: Wipe, medium: Medium) -> Result<()> {
    let size = disks.data_size()?;
    if wipe.offset.checked_add(wipe.size).is_none_or(|end| end > size) {
        return Err(Defect::Reencryption("the range to wipe ends beyond the device").into());
    }
    // It was read, perhaps from a cache that a killed process left.
    header.settle(disks.header())?;
    wipe_random(disks.data(), wipe.offset, wipe.size, medium)?;
    wipe_unreferenced(header, disks.header(), medium)?;
    commit(header, disks.header(), drop_requirements)
}

/// Wipes the parts of the keyslots area that no keyslot names: old key material, and what protected zones.
///
/// # Errors
/// The storage's.
pub fn wipe_unreferenced(header: &Header, storage: &mut dyn Storage, medium: Medium) -> Result<()> {
    let metadata = header.metadata();
    let area = KeyslotsArea::new(header.binary().hdr_size, metadata.config.keyslots_size);
    let Some(area) = area else { return Ok(()) };
    let mut taken: Vec<_> = metadata
        .keyslots
        .values()
        .map(|slot| (slot.area.offset, slot.area.size))
        .collect();
    taken.sort_unstable();
    let mut start = area.start;
    for (offset, size) in taken.into_iter().chain([(area.end, Bytes::ZERO)]) {
        if let Some(gap) = offset.checked_sub(start).filter(|gap| *gap > Bytes::ZERO) {
            wipe_random(storage, start, gap, medium)?;
        }
        start = offset.checked_add(size).unwrap_or(area.end).max(start);
    }
    Ok(())
}
