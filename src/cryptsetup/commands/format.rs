//! `luksFormat`.

use std::path::Path;

use keyslots::header::Version;
use serde_json::json;

use super::context::Context;
use super::secrets::passphrase_prompt;
use crate::crypt_device::format::{FormatRequest, FormatTarget, Look, Made};
use crate::crypt_device::{Confirm, CryptError};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::CliError;
use crate::cryptsetup::flags::defs::Options;
use crate::data_device::DataDeviceError;
use crate::header_device::HeaderDevice;
use crate::volume::VolumeError;

/// `luksFormat`.
pub(super) fn format(
    cx: &Context<'_>,
    device: &Path,
    key_file: Option<&Path>,
    device_type: DeviceType,
) -> Result<(), CliError> {
    let made = make(cx, device, key_file, device_type, FormatTarget::Device)?;
    let version = if made.header.version() == Version::Luks1 { 1 } else { 2 };
    cx.console.answer(
        || json!({ "keyslot": made.keyslot.get(), "version": version }),
        String::new,
    );
    Ok(())
}

/// Formats a volume according to the options.
pub(super) fn make(
    cx: &Context<'_>,
    device: &Path,
    key_file: Option<&Path>,
    device_type: DeviceType,
    target: FormatTarget<'_>,
) -> Result<Made, CliError> {
    let header = cx.header_device(device);
    let version = match device_type {
        DeviceType::Luks1 => Version::Luks1,
        _ => Version::Luks2,
    };
    let request = request(cx, device, &header, target, version);
    make_volume(cx, request, key_file, cx)
}

/// What the options request.
pub(super) fn request<'a>(
    cx: &'a Context<'_>,
    device: &'a Path,
    header: &'a HeaderDevice,
    target: FormatTarget<'a>,
    version: Version,
) -> FormatRequest<'a> {
    let options = cx.options;
    FormatRequest {
        device,
        header,
        place: cx.place(),
        target,
        version,
        cipher: options.cipher.as_deref(),
        key_size: options.key_size.map(|size| size.bytes()),
        sector_size: options.sector_size.map(|size| size.get()),
        offset: options.offset,
        alignment: options.align_payload,
        metadata_size: options.luks2_metadata_size,
        keyslots_size: options.luks2_keyslots_size,
        uuid: options.uuid.as_deref(),
        label: options.label.as_deref(),
        subsystem: options.subsystem.as_deref(),
        keyslot: options.key_slot.as_ref(),
        name: options.slot_name.as_deref().map(|name| (name, options.protect)),
        cost: cx.cost(),
        look: look(cx),
    }
}

/// Formats a volume as requested.
pub(super) fn make_volume(
    cx: &Context<'_>,
    request: FormatRequest<'_>,
    key_file: Option<&Path>,
    confirm: &dyn Confirm,
) -> Result<Made, CliError> {
    request.check_version()?;
    check_done_here(cx.options, request.version)?;
    let header = request.header;
    let prepared = request.prepare(confirm).map_err(failed)?;
    let key = cx.given_volume_key(prepared.key_size())?;
    let planned = cx.changing(|changing| prepared.plan(changing, key)).map_err(failed)?;
    let passphrase = cx.first_passphrase(key_file, &passphrase_prompt(header.path()))?;
    let made = cx
        .changing(|changing| planned.write(changing, &passphrase))
        .map_err(failed)?;
    cx.console.verbose(format_args!("Key slot {} created.", made.keyslot));
    Ok(made)
}

/// With `--batch-mode` nobody is asked; what is overwritten is logged, for installers.
fn look(cx: &Context<'_>) -> Look {
    let options = cx.options;
    match cx.console.batch() {
        _ if options.disable_blkid => Look::No,
        false => Look::Must,
        true if options.debug || options.debug_json => Look::May,
        true => Look::No,
    }
}

/// Refuses options for another kind of volume than this program makes, instead of ignoring them.
fn check_done_here(options: &Options, version: Version) -> Result<(), CliError> {
    if options.integrity.is_some() && version == Version::Luks1 {
        return Err(CliError::Luks2Only(
            "Integrity option can be used only for LUKS2 format.",
        ));
    }
    if options.integrity.is_some() {
        return Err(CliError::NeedsIntegrity);
    }
    if options.hw_opal || options.hw_opal_only {
        return Err(CliError::NeedsOpal);
    }
    Ok(())
}

fn failed(error: CryptError) -> CliError {
    match error {
        CryptError::Data(DataDeviceError::InUse { path, holders }) => CliError::FormatInUse { device: path, holders },
        CryptError::Volume(VolumeError::CipherRefused {
            cipher,
            key_bits,
            source,
        }) => CliError::CipherRefused {
            cipher,
            key_bits,
            source,
        },
        error => error.into(),
    }
}
