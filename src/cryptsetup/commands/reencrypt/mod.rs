//! `reencrypt`: another key or cipher for data, encryption and decryption, where the data are.

mod begin;
mod begun;
mod decrypt;
mod encrypt;
mod interrupts;
mod keys;
mod progress;
mod run;

use std::path::Path;

use keyslots::header::Version;
use keyslots::luks2::reencrypt::{Guard, Mode, Placement, Reencryption, State};
use keyslots::luks2::segment::Segment;
use keyslots::uuid::is_uuid;

use self::begun::{Begun, check_file, claim, reload};
use super::context::Context;
use super::secrets::passphrase_prompt;
use crate::console::{Persona, confirm};
use crate::crypt_device::{HeaderPlace, LuksDevice};
use crate::cryptsetup::error::{CliError, ReencryptError};
use crate::header_device::{HeaderError, Wanted};
use crate::terminal_text::shown;

/// `reencrypt`.
pub(super) fn reencrypt(cx: &Context<'_>, device: Option<&Path>, name: Option<&str>) -> Result<(), CliError> {
    let options = cx.options;
    let (Some(device), None, None) = (device, name, &options.active_name) else {
        return Err(CliError::Unavailable("reencrypt of an active volume"));
    };
    if options.token_only || options.token_id.is_some() || options.token_type.is_some() {
        return Err(CliError::Unavailable("reencrypt with a token"));
    }
    begin::check_resilience(options)?;
    check_options(cx)?;
    if options.decrypt && options.header.as_deref().is_some_and(|header| !header.exists()) {
        return work(cx, device, decrypt::export(cx, device)?);
    }
    let volume = match LuksDevice::load(cx.header_device(device), cx.place(), Wanted::Any, true) {
        Ok(volume) => volume,
        Err(error @ (HeaderError::NotLuks { .. } | HeaderError::Open { .. }))
            if encrypts(cx) || options.resume_only =>
        {
            let begun = match encrypt::interrupted(cx, device)? {
                Some(begun) => begun,
                None if options.resume_only && matches!(error, HeaderError::Open { .. }) => return Err(error.into()),
                None if options.resume_only => return Err(ReencryptError::NotBegun.into()),
                None => encrypt::encrypt(cx, device)?,
            };
            return work(cx, device, begun);
        }
        Err(HeaderError::NotLuks { .. }) if options.decrypt && decrypt::is_interrupted_export(cx, device) => {
            let file = options.header.clone().unwrap_or_else(|| device.to_owned());
            return Err(ReencryptError::IncompleteExport(file).into());
        }
        Err(error) => return Err(error.into()),
    };
    cx.check_policy(&volume.header)?;
    if volume.header.version() == Version::Luks2 && options.device_type.as_deref() == Some("luks1") {
        return Err(ReencryptError::OtherVersion(device.to_owned()).into());
    }
    let begun = match volume.reencryption()? {
        Some(_) if options.init_only => return Err(ReencryptError::AlreadyBegun.into()),
        Some(found) => resume(cx, device, volume, &found)?,
        None if options.resume_only => return Err(ReencryptError::NotBegun.into()),
        None if encrypts(cx) => return Err(ReencryptError::AlreadyLuks(device.to_owned()).into()),
        None if options.decrypt => decrypt::detached(cx, device, volume)?,
        None => begin::reencrypt(cx, device, volume)?,
    };
    work(cx, device, begun)
}

/// Refuses what only an encryption has a use for. cryptsetup ignores it, and with `--reduce-device-size` recovers an interruption to
/// wrong data.
fn check_options(cx: &Context<'_>) -> Result<(), CliError> {
    let options = cx.options;
    let of_new = [
        ("reduce-device-size", options.reduce_device_size.is_some(), true),
        ("uuid", options.uuid.is_some(), false),
        ("label", options.label.is_some(), false),
        ("subsystem", options.subsystem.is_some(), false),
        ("offset", options.offset.is_some(), false),
    ];
    let own = cx.console.persona() != Persona::Cryptsetup;
    let mut useless = of_new.iter().filter(|(_, given, always)| *given && (own || *always));
    match useless.next() {
        Some((name, ..)) if !encrypts(cx) => Err(ReencryptError::EncryptOnly(name).into()),
        _ => Ok(()),
    }
}

fn encrypts(cx: &Context<'_>) -> bool {
    cx.options.encrypt || cx.options.new
}

fn work(cx: &Context<'_>, device: &Path, begun: Begun) -> Result<(), CliError> {
    match cx.options.init_only {
        true => Ok(()),
        false => run::run(cx, device, begun),
    }
}

/// Gets ready to go on with what was begun.
fn resume(cx: &Context<'_>, device: &Path, mut volume: LuksDevice, found: &Reencryption) -> Result<Begun, CliError> {
    let options = cx.options;
    let mode = found.params.mode;
    if encrypts(cx) && mode != Mode::Encrypt {
        return Err(ReencryptError::OtherMode("encryption", "encrypt").into());
    }
    if options.decrypt && mode != Mode::Decrypt {
        return Err(ReencryptError::OtherMode("decryption", "decrypt").into());
    }
    check_resumed(cx)?;
    let lock = volume.lock_reencryption()?;
    // Another process may have worked on it until a moment ago.
    volume = cx.load(device, Wanted::Any)?;
    let found = volume.reencryption()?.ok_or(ReencryptError::NotBegun)?;
    if found.state == State::Crash && cx.console.persona() == Persona::Cryptsetup {
        return Err(ReencryptError::NeedsRecovery.into());
    }
    let question = format!(
        "Device {} is already in LUKS2 reencryption. Do you wish to resume previously initialised operation?",
        shown(device)
    );
    if !options.resume_only && !confirm(cx.console, &question) {
        return Err(CliError::Aborted);
    }
    let of = |segment: &Segment| segment.crypt().map_or(512, |crypt| crypt.sector_size);
    let block = begin::block(device, of(&found.previous).max(of(&found.last)))?;
    begin::check_hotzone(options, block)?;
    let guard = begin::resumed_guard(options, &found, block)?;
    let data = claim(device)?;
    let keys = keys::both(cx, &mut volume, &passphrase_prompt(device))?;
    check_file(cx, device)?;
    // An interruption may have left it.
    let temporary = encrypt::temporary(volume.header.uuid());
    let installed = matches!(found.placement, Placement::Up { .. }) && volume.place == HeaderPlace::WithData;
    if installed && is_uuid(volume.header.uuid()) && temporary.exists() {
        encrypt::remove_temporary(cx, &temporary);
    }
    let header = volume.device.path().to_owned();
    let mut begun = Begun {
        volume,
        data,
        keys,
        lock,
    };
    // It was interrupted before the header was on the device.
    if matches!(found.placement, Placement::Up { .. }) && begun.volume.place == HeaderPlace::Apart {
        return encrypt::install(cx, device, begun, &header);
    }
    if let Some(guard) = guard {
        change_guard(cx, device, &mut begun, guard, block)?;
    }
    Ok(begun)
}

/// Protects the zones that are left in another way. What was interrupted is recovered in the old one first.
fn change_guard(cx: &Context<'_>, device: &Path, begun: &mut Begun, guard: Guard, block: u32) -> Result<(), CliError> {
    let state = |begun: &Begun| Ok::<_, CliError>(begun.volume.reencryption()?.map(|found| found.state));
    if state(begun)? == Some(State::Crash) {
        run::recover(cx, device, begun)?;
        begun.reload()?;
    }
    if state(begun)? == Some(State::Clean) {
        let new = begin::new_guard(cx, &begun.volume, guard, block)?;
        let (keys, lock) = (&begun.keys, &begun.lock);
        cx.changing(|changing| begun.volume.change_guard(changing, &mut begun.data, (keys, lock), &new))?;
        begun.reload()?;
    }
    Ok(())
}

/// Refuses what was decided when it began. cryptsetup ignores it.
fn check_resumed(cx: &Context<'_>) -> Result<(), CliError> {
    let options = cx.options;
    let decided = [
        ("cipher", options.cipher.is_some()),
        ("sector-size", options.sector_size.is_some()),
        ("device-size", options.device_size.is_some()),
        ("keep-key", options.keep_key),
    ];
    match decided.iter().find(|(_, given)| *given) {
        Some((name, _)) if cx.console.persona() != Persona::Cryptsetup => Err(ReencryptError::Decided(name).into()),
        _ => Ok(()),
    }
}

/// `repair` of a volume in reencryption: recovers what was interrupted, or checks that it can go on.
pub(super) fn repair(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    let mut volume = LuksDevice::load(cx.header_device(device), cx.place(), Wanted::Any, true)?;
    let Some(found) = volume.reencryption()? else {
        return Err(CliError::RepairReencryption);
    };
    if found.state == State::Clean {
        let prompt = "Enter passphrase to verify reencryption metadata digest: ";
        let keys = keys::both(cx, &mut volume, prompt)?;
        return Ok(volume.verify_reencryption(&keys, &cx.cost_limits())?);
    }
    if !confirm(cx.console, "Really proceed with LUKS2 reencryption recovery?") {
        return Err(CliError::Aborted);
    }
    let lock = volume.lock_reencryption()?;
    volume = reload(volume)?;
    let found = volume.reencryption()?.ok_or(ReencryptError::NotBegun)?;
    let data = claim(device)?;
    let keys = keys::both(cx, &mut volume, "Enter passphrase for reencryption recovery: ")?;
    let mut begun = Begun {
        volume,
        data,
        keys,
        lock,
    };
    match found.state {
        State::Crash => run::recover(cx, device, &mut begun),
        State::Clean => Ok(()),
        _ => run::end(cx, device, begun, &found),
    }
}
