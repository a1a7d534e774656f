//! The begin of a reencryption from one encryption to another.

use std::fs::File;
use std::path::Path;

use keyslots::cipher::CipherName;
use keyslots::hash::Hash;
use keyslots::luks2::reencrypt::{Direction, Guard, Mode, NewGuard, Placement, Reencryption, Start, VolumeKeys};
use keyslots::secret::VolumeKey;
use keyslots::storage::Storage as _;
use keyslots::units::Bytes;

use super::begun::{Begun, check_file, claim, reload};
use super::keys;
use crate::block_device::Topology;
use crate::crypt_device::reencrypt::Begin;
use crate::crypt_device::{CryptError, KeyslotCost, LuksDevice};
use crate::cryptsetup::commands::context::Context;
use crate::cryptsetup::error::{CliError, ReencryptError};
use crate::cryptsetup::flags::defs::Options;
use crate::volume::VolumeError;

/// The hash of `--resilience checksum` by default.
const DEFAULT_HASH: &str = "sha256";

/// Begins the reencryption of a volume according to the options.
pub(super) fn reencrypt(cx: &Context<'_>, device: &Path, mut volume: LuksDevice) -> Result<Begun, CliError> {
    let options = cx.options;
    let lock = volume.lock_reencryption()?;
    volume.check_changeable()?;
    let layout = volume.layout(device)?;
    let cipher = options.cipher.as_deref().map(CipherName::parse).transpose();
    let cipher = cipher.map_err(VolumeError::from)?;
    let sector_size = options.sector_size.map_or(layout.sector_size, |size| size.get());
    let changes = cipher.as_ref().is_some_and(|cipher| *cipher != layout.cipher) || sector_size != layout.sector_size;
    if options.keep_key && !changes {
        return Err(ReencryptError::NothingChanges.into());
    }
    if sector_size > layout.sector_size && !options.force_offline_reencrypt {
        return Err(ReencryptError::LargerSectors.into());
    }
    check_hotzone(options, block(device, sector_size.max(layout.sector_size))?)?;
    check_aligned(device, sector_size)?;
    if options.keep_key && options.new_volume_key_file.is_some() {
        return Err(ReencryptError::KeptKey.into());
    }
    let by_files = options.new_volume_key_file.is_some() || options.new_volume_key_keyring.is_some();
    if by_files && !volume.header.used_keyslots().is_empty() && !options.force_no_keyslots {
        return Err(ReencryptError::NeedsForce.into());
    }
    let data = claim(device)?;
    let old = keys::old(cx, &mut volume)?;
    if old.keyslots.is_empty() && !by_files && !options.keep_key {
        return Err(ReencryptError::NewKeyLost.into());
    }
    let new = match options.keep_key {
        true => None,
        false => Some(keys::new(cx, cipher.as_ref(), old.key.len())?),
    };
    let encryption = cipher.unwrap_or_else(|| layout.cipher.clone());
    check_key(&encryption, new.as_ref().unwrap_or(&old.key))?;
    check_file(cx, device)?;
    let keyslots = match &new {
        Some(new) if !by_files => copies(cx, &volume, &old, new)?,
        _ => Vec::new(),
    };
    let start = Start {
        mode: Mode::Reencrypt,
        direction: Direction::Forward,
        guard: guard(options, block(device, sector_size.max(layout.sector_size))?, false)?,
        shift: None,
        encryption: Some((encryption.to_string(), sector_size)),
        ..plain_start(cx, device)?
    };
    let keys = VolumeKeys {
        old: Some(old.key),
        new,
    };
    begin(cx, volume, data, (start, keys, keyslots), lock)
}

pub(super) fn begin(
    cx: &Context<'_>,
    volume: LuksDevice,
    mut data: crate::crypt_device::reencrypt::OfflineData,
    (start, keys, keyslots): (Start, VolumeKeys, Vec<crate::crypt_device::reencrypt::CopiedKeyslot>),
    lock: crate::crypt_device::reencrypt::ReencryptionLock,
) -> Result<Begun, CliError> {
    let what = Begin {
        start,
        keys: &keys,
        keyslots,
    };
    cx.changing(|changing| volume.begin_reencryption(changing, &mut data, &what))?;
    Ok(Begun {
        volume: reload(volume)?,
        data,
        keys,
        lock,
    })
}

fn check_key(cipher: &CipherName, key: &VolumeKey) -> Result<(), CliError> {
    // The conversion is done here and not by the kernel.
    let spec = cipher
        .spec()
        .map_err(|error| CliError::from(CryptError::from(error.clone())))?;
    Ok(spec.check_key_len(key.len()).map_err(CryptError::from)?)
}

fn copies(
    cx: &Context<'_>,
    volume: &LuksDevice,
    old: &keys::Old,
    new: &VolumeKey,
) -> Result<Vec<crate::crypt_device::reencrypt::CopiedKeyslot>, CliError> {
    let options = cx.options;
    let asked = options.pbkdf.is_some()
        || options.pbkdf_force_iterations.is_some()
        || options.pbkdf_memory.is_some()
        || options.pbkdf_parallel.is_some()
        || options.iter_time.is_some()
        || options.hash.is_some()
        || options.keyslot_cipher.is_some();
    let cost = match asked {
        true => cx
            .changing(|changing| volume.keyslot_cost(changing, &cx.cost(), new.len()))
            .map(Some)?,
        false => None,
    };
    let cost = match &cost {
        Some(KeyslotCost::Luks2(new)) => Some(new),
        _ => None,
    };
    Ok(cx.changing(|changing| volume.copy_keyslots(changing, &old.keyslots, new, cost))?)
}

/// A start that neither moves nor protects anything.
pub(super) fn plain_start(cx: &Context<'_>, device: &Path) -> Result<Start, CliError> {
    let cost = cx.cost();
    let hash = cost.hash()?;
    Ok(Start {
        mode: Mode::Reencrypt,
        direction: Direction::Forward,
        guard: Guard::None,
        shift: None,
        encryption: None,
        block: Bytes::new(block(device, 512)?.into()),
        size: cx.options.device_size,
        digest_hash: hash,
        digest_iterations: cost.digest_iterations(hash, hash.output_len())?,
    })
}

/// Another protection, with a digest as the options request it.
pub(super) fn new_guard(cx: &Context<'_>, volume: &LuksDevice, guard: Guard, block: u32) -> Result<NewGuard, CliError> {
    let cost = cx.cost();
    let hash = cost.hash()?;
    Ok(NewGuard {
        guard,
        block: Bytes::new(block.into()),
        digest_hash: hash,
        digest_iterations: cost.digest_iterations(hash, hash.output_len())?,
        medium: volume.device.medium(),
    })
}

/// The block that is hashed as one.
pub(super) fn block(device: &Path, sector_size: u32) -> Result<u32, CliError> {
    let topology = Topology::of(device).map_err(CliError::io("look at the device"))?;
    Ok(topology.logical_block_size.max(sector_size))
}

/// What protects a zone that is converted in place, according to the options; with `moves`, of data that move otherwise.
pub(super) fn guard(options: &Options, block: u32, moves: bool) -> Result<Guard, CliError> {
    guard_named(options.resilience.as_deref(), options, block, moves)
}

fn guard_named(name: Option<&str>, options: &Options, block: u32, moves: bool) -> Result<Guard, CliError> {
    let checksum = || {
        let name = options.resilience_hash.as_deref().unwrap_or(DEFAULT_HASH);
        let hash = Hash::from_name(name).ok_or_else(|| CliError::UnknownHash(name.to_owned()))?;
        Ok(Guard::Checksum {
            hash: hash.into(),
            block,
        })
    };
    match (name, moves) {
        (None, _) | (Some("checksum"), false) | (Some("datashift-checksum"), true) => checksum(),
        (Some("journal"), false) | (Some("datashift-journal"), true) => Ok(Guard::Journal),
        (Some("none"), false) => Ok(Guard::None),
        (Some("checksum" | "journal" | "none" | "datashift" | "datashift-checksum" | "datashift-journal"), _) => {
            Err(ReencryptError::OtherResilience.into())
        }
        (Some(other), _) => Err(ReencryptError::UnknownResilience(other.to_owned()).into()),
    }
}

/// Refuses a device that does not hold whole sectors.
pub(super) fn check_aligned(device: &Path, sector_size: u32) -> Result<(), CliError> {
    let looking = || CliError::io("look at the device");
    let mut file = File::open(device).map_err(looking())?;
    let size = file.size().map_err(looking())?;
    if size < Bytes::new(sector_size.into()) {
        return Err(ReencryptError::TooSmall(device.to_owned()).into());
    }
    match size.is_multiple_of(Bytes::new(sector_size.into())) {
        true => Ok(()),
        false => Err(ReencryptError::NotAligned(sector_size).into()),
    }
}

/// Refuses zones that are not whole blocks, before anything is written.
pub(super) fn check_hotzone(options: &Options, block: u32) -> Result<(), CliError> {
    match options.hotzone_size {
        Some(zone) if !zone.is_multiple_of(Bytes::new(block.into())) => Err(ReencryptError::Hotzone(block).into()),
        _ => Ok(()),
    }
}

/// What protects the zones that are left of a reencryption that has begun: as the options change it.
pub(super) fn resumed_guard(options: &Options, found: &Reencryption, block: u32) -> Result<Option<Guard>, CliError> {
    let present = &found.params.resilience;
    let moves = present.shift.is_some();
    let name = match (options.resilience.as_deref(), &options.resilience_hash) {
        (None, None) => return Ok(None),
        (None, Some(_)) => present.type_name(),
        (Some(name), _) => name,
    };
    match (name, matches!(found.placement, Placement::Up { .. })) {
        ("datashift", true) => Ok(None),
        (_, true) => Err(ReencryptError::OtherResilience.into()),
        _ => guard_named(Some(name), options, block, moves).map(Some),
    }
}

/// Refuses a resilience that there is not.
pub(super) fn check_resilience(options: &Options) -> Result<(), CliError> {
    let moves = options
        .resilience
        .as_deref()
        .is_some_and(|name| name.starts_with("datashift-"));
    match options.resilience.as_deref() {
        Some("datashift") => Ok(()),
        _ => guard(options, 512, moves).map(drop),
    }
}
