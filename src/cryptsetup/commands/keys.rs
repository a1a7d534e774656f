//! `luksAddKey`, `luksRemoveKey`, `luksChangeKey`, `luksConvertKey`.

use std::path::Path;

use keyslots::KeyslotId;
use keyslots::Unlocked;
use keyslots::header::{Header, Version};
use keyslots::luks2::Candidates;
use keyslots::secret::{Passphrase, VolumeKey};
use serde_json::json;

use super::context::Context;
use super::secrets::Source;
use super::{erase, keyring_keys, tokens};
use crate::crypt_device::{ChangedKeyslot, KeyFor, KeyslotCost, LuksDevice, NewKeyslot};
use crate::cryptsetup::error::CliError;
use crate::cryptsetup::values::SlotRef;
use crate::header_device::Wanted;
use crate::keyring;
use crate::passphrase::is_interactive;
use crate::slot_names;

/// `luksAddKey`.
pub(super) fn add(cx: &Context<'_>, device: &Path, new_key_file: Option<&Path>) -> Result<(), CliError> {
    // LUKS1 has no unbound keyslots.
    let wanted = match cx.options.unbound {
        true => Wanted::Only(Version::Luks2),
        false => cx.wanted(device)?,
    };
    let mut volume = cx.load(device, wanted)?;
    let old_meaning = cx.options.key_slot.is_some() && cx.options.new_key_slot.is_none();
    if old_meaning && !cx.options.unbound && !cx.console.batch() {
        cx.console
            .say("WARNING: The --key-slot parameter is used for new keyslot number.");
    }
    cx.cost().check(volume.header.version())?;
    let slot = new_slot(cx, &volume.header)?;
    if let Some(name) = &cx.options.slot_name {
        slot_names::check_free(&volume.header, name)?;
    }
    // The source of the new passphrase must exist before the prompt for the old one.
    let new_key_file = new_key_file.or(cx.options.new_keyfile.as_deref());
    let new_token = match cx.options.new_token_id.filter(|_| new_key_file.is_none()) {
        Some(token) => Some((token, volume.token_key_description(token)?)),
        None => None,
    };
    let (key, key_for, opened) = match unbound_key(cx)? {
        Some((key, key_for)) => (key, key_for, None),
        None => {
            let (key, opened) = existing_key(cx, &mut volume)?;
            (key, KeyFor::Data, opened)
        }
    };
    // cryptsetup reads both passphrases first. A person is not prompted in vain.
    let check = || volume.check_free_keyslot(slot);
    if is_interactive() {
        check()?;
    }
    let passphrase = match &new_token {
        Some((_, description)) => Passphrase::new(keyring::read_user_key(description)?),
        None => cx.new_passphrase(
            new_key_file,
            cx.new_key_file_range(),
            "Enter new passphrase for key slot: ",
            true,
        )?,
    };
    check()?;
    let new = NewKeyslot {
        key: &key,
        key_for,
        passphrase: &passphrase,
        cost: &cost(cx, &volume, &key)?,
        slot,
        name: cx.options.slot_name.as_deref().map(|name| (name, cx.options.protect)),
        token: new_token.as_ref().map(|(token, _)| *token),
        opened,
    };
    let made = cx.changing(|changing| volume.add_keyslot(changing, new))?;
    tell_created(cx, made);
    Ok(())
}

/// `luksRemoveKey`: the keyslot that the passphrase opens.
pub(super) fn remove(cx: &Context<'_>, device: &Path, key_file: Option<&Path>) -> Result<(), CliError> {
    let mut volume = cx.load(device, cx.wanted(device)?)?;
    let source = key_file.map_or_else(|| cx.source(), Source::KeyFile);
    let prompt = "Enter passphrase to be deleted: ";
    let mut asking = cx.asking_for_keyslots(&source, prompt);
    let unlocked = cx.unlock_by(&mut volume, &mut asking, Candidates::All)?;
    erase::announce(cx, unlocked.keyslot);
    erase::confirm_last(cx, &volume, unlocked.keyslot)?;
    erase::remove_slot(cx, &volume, unlocked.keyslot, cx.options.slot_name.as_deref())
}

/// `luksChangeKey`.
pub(super) fn change(cx: &Context<'_>, device: &Path, new_key_file: Option<&Path>) -> Result<(), CliError> {
    let mut volume = cx.load(device, cx.wanted(device)?)?;
    if volume.header.version() == Version::Luks1 && cx.options.slot_name.is_some() {
        return Err(slot_names::SlotNameError::Luks1.into());
    }
    cx.cost().check(volume.header.version())?;
    let candidates = to_rewrite(cx, &volume)?;
    let source = cx.source();
    let mut asking = cx.asking_for_keyslots(&source, "Enter passphrase to be changed: ");
    let unlocked = cx.unlock_by(&mut volume, &mut asking, candidates)?;
    let passphrase = cx.new_passphrase(new_key_file, cx.new_key_file_range(), "Enter new passphrase: ", true)?;
    let changed = rewrite(cx, &volume, &unlocked, &passphrase)?;
    tell_created(cx, changed);
    Ok(())
}

/// `luksConvertKey`: the same passphrase, other parameters.
pub(super) fn convert(cx: &Context<'_>, device: &Path, key_file: Option<&Path>) -> Result<(), CliError> {
    let mut volume = cx.load(device, Wanted::Only(Version::Luks2))?;
    cx.cost().check(Version::Luks2)?;
    let candidates = to_rewrite(cx, &volume)?;
    let source = key_file.map_or_else(|| cx.source(), Source::KeyFile);
    let prompt = "Enter passphrase for keyslot to be converted: ";
    let mut asking = cx.asking_for_keyslots(&source, prompt).keeping();
    let unlocked = cx.unlock_by(&mut volume, &mut asking, candidates)?;
    let passphrase = asking.last.ok_or(CliError::WrongPassphrase)?;
    let converted = rewrite(cx, &volume, &unlocked, &passphrase)?;
    tell_created(cx, converted);
    Ok(())
}

fn tell_created(cx: &Context<'_>, slot: KeyslotId) {
    cx.console.verbose(format_args!("Key slot {slot} created."));
    cx.console.answer(|| json!({ "keyslot": slot.get() }), String::new);
}

/// The keyslots that may be the one to rewrite: that of `--key-slot`, or all.
fn to_rewrite(cx: &Context<'_>, volume: &LuksDevice) -> Result<Candidates, CliError> {
    let Some(slot) = cx.key_slot(&volume.header)? else {
        return Ok(Candidates::IncludingUnbound);
    };
    volume.check_used_keyslot(slot)?;
    Ok(Candidates::Keyslot(slot))
}

/// `--new-key-slot`, or `--key-slot`, its former name.
fn new_slot(cx: &Context<'_>, header: &Header) -> Result<Option<KeyslotId>, CliError> {
    match &cx.options.new_key_slot {
        Some(slot) => Ok(Some(slot.number(header)?)),
        None => cx.key_slot(header),
    }
}

/// With `--unbound`: the unbound key for the keyslot.
fn unbound_key(cx: &Context<'_>) -> Result<Option<(VolumeKey, KeyFor)>, CliError> {
    if !cx.options.unbound {
        return Ok(None);
    }
    let len = cx
        .options
        .key_size
        .map(|size| size.bytes())
        .ok_or(CliError::KeySizeUnknown)?;
    let key = cx
        .given_volume_key(len)?
        .map_or_else(|| VolumeKey::random(len).map_err(CliError::memory), Ok)?;
    let hash = cx.cost().hash()?;
    Ok(Some((
        key,
        KeyFor::Unbound(hash, cx.cost().digest_iterations(hash, hash.output_len())?),
    )))
}

/// The volume key, from its file, a token, or a keyslot that a passphrase opens; and the keyslot that it came out of.
fn existing_key(cx: &Context<'_>, volume: &mut LuksDevice) -> Result<(VolumeKey, Option<KeyslotId>), CliError> {
    if let Some(file) = &cx.options.volume_key_file {
        let len = volume.header.key_size().and_then(keyslots::units::Bytes::to_usize);
        let len = len
            .or(cx.options.key_size.map(|size| size.bytes()))
            .ok_or(CliError::KeySizeUnknown)?;
        let key = cx.volume_key_file(file, len)?;
        volume.header.verify_volume_key(&key, &cx.cost_limits())?;
        return Ok((key, None));
    }
    if let Some(description) = &cx.options.volume_key_keyring {
        return Ok((keyring_keys::volume_key(cx, volume, description)?, None));
    }
    // As with cryptsetup: a key file wins over tokens, and with named tokens no prompt appears.
    let options = cx.options;
    let by_token = options.token_only || options.token_id.is_some() || options.token_type.is_some();
    if by_token && matches!(cx.source(), Source::Ask) {
        let unlocked = tokens::unlock_for_keyslot(cx, volume)?;
        return Ok((unlocked.volume_key, Some(unlocked.keyslot)));
    }
    // Without --new-key-slot, --key-slot is the place of the new one.
    let slot = match &cx.options.new_key_slot {
        Some(_) => cx.key_slot(&volume.header)?,
        None => None,
    };
    let candidates = slot.map_or(Candidates::All, Candidates::Keyslot);
    let source = cx.source();
    let mut asking = cx.asking_for_keyslots(&source, "Enter any existing passphrase: ");
    let unlocked = cx.unlock_by(volume, &mut asking, candidates)?;
    Ok((unlocked.volume_key, Some(unlocked.keyslot)))
}

/// Gives a keyslot another passphrase or other parameters.
fn rewrite(
    cx: &Context<'_>,
    volume: &LuksDevice,
    unlocked: &Unlocked,
    passphrase: &Passphrase,
) -> Result<KeyslotId, CliError> {
    let key = &unlocked.volume_key;
    let changed = ChangedKeyslot {
        key,
        passphrase,
        cost: &cost(cx, volume, key)?,
        slot: unlocked.keyslot,
        // In LUKS1 a changed key is moved to another keyslot, unless its place was named.
        stays: cx.options.key_slot.is_some(),
        name: cx.options.slot_name.as_deref(),
        known_as: cx.options.key_slot.as_ref().and_then(SlotRef::name),
    };
    Ok(cx.changing(|changing| volume.change_keyslot(changing, &changed))?)
}

/// The key derivation of a new keyslot, according to the options and this machine.
fn cost(cx: &Context<'_>, volume: &LuksDevice, key: &VolumeKey) -> Result<KeyslotCost, CliError> {
    Ok(cx.changing(|changing| volume.keyslot_cost(changing, &cx.cost(), key.len()))?)
}
