//! What protects zones: whether it fits, and another one for a reencryption that has begun.

use super::super::Header;
use super::super::keyslot::KeyslotKind;
use super::commit::commit;
use super::convert::Disks;
use super::digest::{Verified, VolumeKeys, make_digest};
use super::placement::Placement;
use super::plan::{Plan, ZoneLimits};
use super::slot::{Guard, Mode};
use super::state::State;
use crate::hash::Hash;
use crate::kdf::CostLimits;
use crate::units::Bytes;
use crate::wipe::{Medium, wipe_random};
use crate::{Error, Result};

/// Checks that zones can be protected as planned. Blocks are hashed as they are written: as a whole, or not at all.
///
/// # Errors
/// [`Error::BadParameter`]; the [`super::super::Defect`] of an area that is too small.
pub(super) fn check_guard(plan: &Plan, limits: ZoneLimits) -> Result<()> {
    let most = limits.block.get().max(plan.sector_size());
    match plan.reencryption().params.resilience.guard {
        Guard::Checksum { block, .. } if u64::from(block) != most => Err(Error::BadParameter {
            field: "checksum block",
            value: block.to_string(),
            rule: "it must be the largest of the logical block size and both sector sizes",
        }),
        _ => Ok(plan.zone_length(limits).map(drop)?),
    }
}

/// Another protection for the zones of a reencryption that has begun.
#[derive(Clone, Debug)]
pub struct NewGuard {
    /// The protection.
    pub guard: Guard,
    /// The logical block size of the data device.
    pub block: Bytes,
    /// Hash of the new verification digest.
    pub digest_hash: Hash,
    /// Iterations of it.
    pub digest_iterations: u32,
    /// The medium of the header: a journal of plaintext is wiped.
    pub medium: Medium,
}

/// Protects the zones that are still to be converted in another way.
///
/// # Errors
/// [`Error::BadParameter`] where data move, which has its own protection, or the new one does not fit; [`Error::InReencryption`] where
/// a zone has to be recovered first, or all are converted; [`Error::ChangedMeanwhile`]; [`Error::NoReencryption`]; the storage's.
pub fn change_guard(
    header: &mut Header,
    disks: &mut Disks<'_>,
    (verified, keys): (&Verified, &VolumeKeys),
    new: &NewGuard,
    limits: &CostLimits,
) -> Result<()> {
    header.check_requirements()?;
    let mut found = header.reencryption()?.running().ok_or(Error::NoReencryption)?;
    if *verified.reencryption() != found {
        return Err(Error::ChangedMeanwhile);
    }
    if found.state != State::Clean {
        return Err(Error::InReencryption);
    }
    if found.params.resilience.guard == new.guard {
        return Ok(());
    }
    // Data that move up are protected by their old place, and those that move down need more for the last zone.
    let fits = match found.placement {
        Placement::InPlace => true,
        Placement::Up { .. } => false,
        Placement::Down { .. } => new.guard != Guard::None,
    };
    if !fits {
        return Err(Error::BadParameter {
            field: "resilience",
            value: found.params.resilience.to_string(),
            rule: "it is fixed where data move",
        });
    }
    let before = std::mem::replace(&mut found.params.resilience.guard, new.guard.clone());
    let plan = Plan::new(&found, disks.data_size()?)?;
    let zones = ZoneLimits {
        block: new.block,
        ..ZoneLimits::default()
    };
    check_guard(&plan, zones)?;
    let digest = make_digest(&found, keys, new.digest_hash, new.digest_iterations, limits)?;
    if before == Guard::Journal && found.params.mode == Mode::Encrypt {
        // It has plaintext, and nobody will know that at the end.
        let _held = disks.hold()?;
        header.settle(disks.header())?;
        wipe_random(disks.header(), found.area_offset, found.area_size, new.medium)?;
    }
    commit(header, disks, |metadata| {
        metadata.digests.insert(found.digest, digest);
        if let Some(slot) = metadata.keyslots.get_mut(&found.keyslot) {
            found.params.resilience.type_name().clone_into(&mut slot.area.kind);
            slot.kind = KeyslotKind::Reencrypt(found.params.clone());
        }
    })
}
