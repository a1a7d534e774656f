//! The keys of a reencryption: the old one out of each keyslot that stays, a new one, or both of one that was begun.

use std::sync::Arc;

use keyslots::KeyslotId;
use keyslots::cipher::CipherName;
use keyslots::header::SlotState;
use keyslots::luks2::Candidates;
use keyslots::luks2::reencrypt::VolumeKeys;
use keyslots::secret::{Passphrase, VolumeKey};
use keyslots::units::Bytes;

use crate::crypt_device::LuksDevice;
use crate::cryptsetup::commands::context::Context;
use crate::cryptsetup::commands::secrets::Source;
use crate::cryptsetup::error::{CliError, ReencryptError};
use crate::defaults;
use crate::keyring;

/// The volume key, and the keyslots that were unlocked with their passphrases.
pub(super) struct Old {
    pub(super) key: VolumeKey,
    pub(super) keyslots: Vec<(KeyslotId, Arc<Passphrase>)>,
}

/// Unlocks each keyslot of the data, or the one that `--key-slot` names. With the old key in a file, none.
pub(super) fn old(cx: &Context<'_>, volume: &mut LuksDevice) -> Result<Old, CliError> {
    let options = cx.options;
    if options.volume_key_file.is_some() || options.volume_key_keyring.is_some() {
        return Ok(Old {
            key: cx.data_key(volume, volume_path(volume).as_path())?,
            keyslots: Vec::new(),
        });
    }
    let of_data = |slot: &KeyslotId| {
        matches!(
            volume.header.slot_state(*slot),
            SlotState::Active | SlotState::ActiveLast
        )
    };
    let used: Vec<KeyslotId> = volume.header.used_keyslots().into_iter().filter(of_data).collect();
    let slots = match cx.key_slot(&volume.header)? {
        Some(slot) => vec![slot],
        None => used,
    };
    let source = cx.source();
    if options.keep_key {
        // The keyslots stay: any one will do.
        let prompt = slots.first().map_or_else(String::new, prompt_for);
        let candidates = cx
            .key_slot(&volume.header)?
            .map_or(Candidates::All, Candidates::Keyslot);
        let unlocked = cx.unlock_by(volume, &mut cx.asking(&source, &prompt), candidates)?;
        volume
            .header
            .verify_volume_key(&unlocked.volume_key, &cx.cost_limits())?;
        return Ok(Old {
            key: unlocked.volume_key,
            keyslots: Vec::new(),
        });
    }
    if slots.len() > 1 && !matches!(source, Source::Ask) {
        return Err(ReencryptError::ManyKeyslots.into());
    }
    let (mut key, mut keyslots) = (None, Vec::new());
    for slot in slots {
        let prompt = prompt_for(&slot);
        let mut asking = cx.asking(&source, &prompt).keeping();
        let unlocked = cx.unlock_by(volume, &mut asking, Candidates::Keyslot(slot))?;
        let passphrase = asking.last.ok_or(CliError::WrongPassphrase)?;
        volume
            .header
            .verify_volume_key(&unlocked.volume_key, &cx.cost_limits())?;
        key = Some(unlocked.volume_key);
        keyslots.push((slot, passphrase));
    }
    Ok(Old {
        key: key.ok_or(CliError::NoUsableKeyslot)?,
        keyslots,
    })
}

fn prompt_for(slot: &KeyslotId) -> String {
    format!("Enter passphrase for key slot {slot}: ")
}

fn volume_path(volume: &LuksDevice) -> std::path::PathBuf {
    volume.device.path().to_owned()
}

/// The new volume key: as the options name it, or random. `old` is the length of the old one.
pub(super) fn new(cx: &Context<'_>, cipher: Option<&CipherName>, old: usize) -> Result<VolumeKey, CliError> {
    let options = cx.options;
    let default = match cipher {
        None => old,
        Some(cipher) if cipher.is_xts() => defaults::LUKS_KEY_BITS as usize / 4,
        Some(_) => defaults::LUKS_KEY_BITS as usize / 8,
    };
    // Debian's cryptsetup has no --new-key-size, and takes --key-size for it.
    let given = options
        .new_key_size
        .or(options.key_size.filter(|_| options.volume_key_file.is_none()));
    let len = given.map_or(default, |size| size.bytes());
    if let Some(file) = &options.new_volume_key_file {
        return cx.volume_key_file(file, len);
    }
    if let Some(description) = &options.new_volume_key_keyring {
        let key = VolumeKey::new(keyring::read_key(description)?);
        return match key.len() {
            found if found != len => Err(CliError::KeyringKeyLength { found, needed: len }),
            _ => Ok(key),
        };
    }
    VolumeKey::random(len).map_err(CliError::memory)
}

/// Both keys of a reencryption that was begun: out of files, and what these do not have by one passphrase.
pub(super) fn both(cx: &Context<'_>, volume: &mut LuksDevice, prompt: &str) -> Result<VolumeKeys, CliError> {
    let given = from_files(cx, volume)?;
    let lacks = volume.lacking_keys(&given)?;
    if let Some(key) = lacks.iter().find(|key| key.keyslots == 0) {
        let option = if key.is_new {
            "new-volume-key-file"
        } else {
            "volume-key-file"
        };
        return Err(ReencryptError::KeyNeeded(option).into());
    }
    let has_some = given.old.is_some() || given.new.is_some();
    if has_some && lacks.is_empty() {
        return Ok(given);
    }
    let source = cx.source();
    let mut asking = cx.asking(&source, prompt);
    cx.unlocking(Candidates::All, |request| {
        volume.unlock_reencryption(request, &mut asking, given)
    })
}

fn from_files(cx: &Context<'_>, volume: &LuksDevice) -> Result<VolumeKeys, CliError> {
    let options = cx.options;
    let known = volume.header.key_size().and_then(Bytes::to_usize);
    let read = |file: Option<&std::path::PathBuf>, size: Option<usize>| {
        let len = size.or(known).ok_or(CliError::KeySizeUnknown);
        file.map(|file| cx.volume_key_file(file, len?)).transpose()
    };
    let old_size = options.key_size.map(|size| size.bytes());
    let new_size = options.new_key_size.or(options.key_size).map(|size| size.bytes());
    Ok(VolumeKeys {
        old: read(options.volume_key_file.as_ref(), old_size)?,
        new: read(options.new_volume_key_file.as_ref(), new_size)?,
    })
}
