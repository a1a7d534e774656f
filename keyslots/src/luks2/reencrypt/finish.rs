//! The end of a reencryption: what it needed leaves the header at once, and what it left behind is wiped.
//!
//! cryptsetup takes a finished state for one that has not begun, and converts all data a second time when it resumes it. So none
//! is ever left to it: the commit that ends the last zone drops everything. Where plaintext has to be wiped after that zone, the
//! header has a requirement until this is done, which cryptsetup refuses.
//!
//! A header alone proves nothing: data are wiped only in places that the verification digest covers.

use super::super::Header;
use super::super::validate::KeyslotsArea;
use super::commit::{commit, commit_held, put_result, put_segments};
use super::convert::Disks;
use super::digest::Verified;
use super::misplaced::check_lie;
use super::placement::Placement;
use super::plan::Plan;
use super::requirement::Requirement;
use super::slot::{Guard, Mode};
use super::state::{Part, Reencryption, State};
use crate::storage::Storage;
use crate::units::Bytes;
use crate::wipe::{Medium, wipe_random};
use crate::{Error, Result};

/// What the end of a reencryption rests on.
#[derive(Debug)]
pub enum Proof {
    /// Its parameters match the volume keys.
    Verified(Verified),
    /// Nothing: a key is gone, with the keyslots that cryptsetup destroys first. Nothing of the data is wiped then.
    Unverified {
        /// Whether the user has confirmed that all data are plaintext, where the header says so.
        plaintext: bool,
    },
}

/// Ends a reencryption of which all data are converted, whichever program left it: [`State::Finished`] or [`State::Wiping`].
///
/// # Errors
/// [`Error::InReencryption`] where data are still to be converted; [`Error::ReencryptionNotVerified`] where plaintext has to be
/// wiped, and its place is not verified; [`Error::PlaintextNotConfirmed`]; [`Error::ChangedMeanwhile`]; [`Error::Misplaced`]; the
/// [`super::super::Defect`] of the header; the storage's.
pub fn finish(header: &mut Header, disks: &mut Disks<'_>, proof: Proof, medium: Medium) -> Result<()> {
    header.check_requirements()?;
    if !header.in_reencryption() {
        return Ok(());
    }
    let found = header.reencryption()?.running().ok_or(Error::InReencryption)?;
    if !matches!(found.state, State::Finished | State::Wiping) {
        return Err(Error::InReencryption);
    }
    Plan::new(&found, disks.data_size()?)?;
    check_lie(disks, &found)?;
    let mode = found.params.mode;
    match proof {
        Proof::Verified(verified) if *verified.reencryption() != found => return Err(Error::ChangedMeanwhile),
        Proof::Verified(_) => {}
        Proof::Unverified { .. } if leaves_plaintext(&found) => return Err(Error::ReencryptionNotVerified),
        Proof::Unverified { plaintext: false } if mode == Mode::Decrypt => return Err(Error::PlaintextNotConfirmed),
        Proof::Unverified { .. } => {}
    }
    {
        let _held = disks.hold()?;
        header.settle(disks.header())?;
    }
    end(header, disks, &found, medium)
}

/// Whether plaintext is left somewhere when all data are converted, which was needed until then.
fn leaves_plaintext(found: &Reencryption) -> bool {
    found.params.mode == Mode::Encrypt
        && (found.placement != Placement::InPlace || found.params.resilience.guard == Guard::Journal)
}

/// Commits the end of the last zone, and wipes what it leaves. `found` is verified, or leaves no plaintext.
pub(super) fn end(header: &mut Header, disks: &mut Disks<'_>, found: &Reencryption, medium: Medium) -> Result<()> {
    if leaves_plaintext(found) {
        if found.state != State::Wiping {
            let result = super::super::segment::Segment {
                flags: Vec::new(),
                ..found.last.clone()
            };
            commit(header, disks, |metadata| {
                put_segments(metadata, found, vec![(Part::New, result)]);
                metadata.config.requirements.push(Requirement::Wipe.name().to_owned());
            })?;
        }
        match found.placement {
            Placement::Up { shift, moved, .. } => wipe_random(disks.data(), moved, shift, medium)?,
            // The journal.
            _ => wipe_random(disks.header(), found.area_offset, found.area_size, medium)?,
        }
    }
    // Once it is committed, another program may add a keyslot where nothing is named now.
    let _held = disks.hold()?;
    commit_held(header, disks.header(), |metadata| put_result(metadata, found))?;
    wipe_rest(header, disks.header(), medium)
}

/// Wipes what an ended reencryption has left in the keyslots area.
pub(super) fn wipe_rest(header: &Header, storage: &mut dyn Storage, medium: Medium) -> Result<()> {
    wipe_unreferenced(header, storage, medium).map_err(|error| Error::OldKeysNotWiped(error.into()))
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
