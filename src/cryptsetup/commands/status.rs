//! `status`.

use std::fmt::Write as _;

use keyslots::units::Sectors;
use serde_json::{Value, json};

use super::context::Context;
use super::mapped::{self, Question};
use super::{active, serve};
use crate::block_device;
use crate::console::ExitCode;
use crate::console::Persona;
use crate::cryptsetup::error::{CliError, MappingError};
use crate::dm::{DeviceId, DeviceName, DeviceUuid, Dm};
use crate::header_device::{HeaderDevice, Wanted};
use crate::mapping::VolumeKind;
use crate::volume::{self, Active, KeyLocation, VolumeError};

/// The type of a mapping whose UUID does not tell; JSON has null.
const NONE: &str = "n/a";

pub(super) fn status(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    if let Some(served) = serve::find(name) {
        return serve::status(cx, &served);
    }
    let (dm, name) = match active::find(name) {
        Err(CliError::Mapping(MappingError::NotActive(path))) => {
            return Err(inactive(cx, &path));
        }
        // Nothing is known of it, not even that it is missing.
        Err(CliError::NothingMapped) => return Err(CliError::NoDeviceMapper),
        found => found?,
    };
    let active = match volume::state(&dm, &name) {
        Ok(active) => active,
        Err(VolumeError::NotActive(_)) => {
            return Err(inactive(cx, &format!("/dev/mapper/{name}")));
        }
        Err(VolumeError::NotCrypt(_) | VolumeError::NoTable(_)) if cx.console.persona() == Persona::Luksmith => {
            return mapped::answer(cx, Question::Status, &[name.to_string()]);
        }
        // cryptsetup's exit code, which differs from that of its other actions; it prints nothing.
        Err(VolumeError::NoTable(_)) => return Err(CliError::Silent(ExitCode::Failure)),
        Err(VolumeError::NotCrypt(_)) => return other_mapping(cx, &dm, name),
        Err(error) => return Err(error.into()),
    };
    let shown_type = shown_type(cx, &active);
    cx.console
        .answer(|| to_json(&name, &active), || text(&name, &active, shown_type));
    Ok(())
}

/// There is no such mapping: the answer, and a failure.
fn inactive(cx: &Context<'_>, path: &str) -> CliError {
    let text = format!("{path} is inactive.");
    cx.console.say(&text);
    CliError::Quiet(ExitCode::WrongDevice, text)
}

/// A mapping that is not an encrypted volume.
fn other_mapping(cx: &Context<'_>, dm: &Dm, name: DeviceName) -> Result<(), CliError> {
    let info = dm.info(&DeviceId::Name(name.clone()))?;
    let used = in_use(info.open_count);
    let kind = kind_without_crypt(info.uuid.as_ref());
    cx.console.answer(
        || {
            json!({
                "name": name.to_string(),
                "path": format!("/dev/mapper/{name}"),
                "active": true,
                "in_use": info.open_count > 0,
                "open_count": info.open_count,
                "device_number": info.number.to_string(),
                "type": Some(kind).filter(|kind| *kind != NONE),
                "read_only": info.read_only,
                "suspended": info.suspended,
            })
        },
        || format!("/dev/mapper/{name} is active{used}.\n  type:    {kind}\n"),
    );
    Ok(())
}

/// The mapping according to its UUID, if the table is of another kind: `wipe_table` leaves such devices, and veritysetup
/// makes them.
fn kind_without_crypt(uuid: Option<&DeviceUuid>) -> &'static str {
    let Some(uuid) = uuid else { return NONE };
    match VolumeKind::of_dm_uuid(uuid) {
        Some((VolumeKind::Luks1, _)) => "LUKS1",
        Some((VolumeKind::Luks2, _)) => "LUKS2",
        Some((VolumeKind::Plain, _)) => "PLAIN",
        Some((VolumeKind::Other, _)) if uuid.as_bytes().starts_with(b"CRYPT-VERITY-") => "VERITY",
        Some((VolumeKind::Other, _)) if uuid.as_bytes().starts_with(b"CRYPT-INTEGRITY-") => "INTEGRITY",
        Some((VolumeKind::Other, _)) | None => NONE,
    }
}

fn in_use(open_count: u32) -> &'static str {
    if open_count > 0 { " and is in use" } else { "" }
}

fn type_name(active: &Active) -> &'static str {
    match active.kind {
        Some(VolumeKind::Luks1) => "LUKS1",
        Some(VolumeKind::Luks2) => "LUKS2",
        Some(VolumeKind::Plain) => "PLAIN",
        Some(VolumeKind::Other) | None => NONE,
    }
}

/// The type as cryptsetup shows it: none for a LUKS volume whose header is not in the expected place, since it reads that
/// first.
fn shown_type(cx: &Context<'_>, active: &Active) -> &'static str {
    let is_luks = matches!(active.kind, Some(VolumeKind::Luks1 | VolumeKind::Luks2));
    if cx.console.persona() != Persona::Cryptsetup || !is_luks {
        return type_name(active);
    }
    let device = cx.options.header.clone().or_else(|| active.device.path());
    // Without locks nothing is repaired.
    let read = device.map(|device| HeaderDevice::new(device, false).read(Wanted::Any));
    match read {
        Some(Ok(_)) => type_name(active),
        _ => NONE,
    }
}

fn key_location(active: &Active) -> &'static str {
    match active.key_location {
        KeyLocation::DmCrypt => "dm-crypt",
        KeyLocation::Keyring => "keyring",
    }
}

fn text(name: &DeviceName, active: &Active, shown_type: &str) -> String {
    let used = in_use(active.info.open_count);
    let mut out = format!("/dev/mapper/{name} is active{used}.\n");
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "  {text}").expect("a String takes all");
    line(format_args!("type:    {shown_type}"));
    line(format_args!("cipher:  {}", active.cipher));
    line(format_args!("keysize: {} [bits]", active.key_len * 8));
    line(format_args!("key location: {}", key_location(active)));
    if let Some(integrity) = &active.options.integrity {
        line(format_args!("integrity: {}", integrity.kind));
    }
    let device = device_path(active);
    line(format_args!("device:  {device}"));
    if let Some(file) = loop_file(active) {
        line(format_args!("loop:    {file}"));
    }
    line(format_args!("sector size:  {} [bytes]", active.sector_size()));
    line(format_args!("offset:  {}", in_units(active.offset)));
    line(format_args!("size:    {}", in_units(active.size)));
    if active.iv_offset != Sectors::ZERO && active.kind == Some(VolumeKind::Plain) {
        line(format_args!("skipped: {}", in_units(active.iv_offset)));
    }
    let mode = if active.flags.read_only {
        "readonly"
    } else {
        "read/write"
    };
    let suspended = if active.info.suspended { " (suspended)" } else { "" };
    line(format_args!("mode:    {mode}{suspended}"));
    let flags = flag_names(active);
    if !flags.is_empty() {
        // cryptsetup ends each with a space but the last one.
        let end = if flags.last() == Some(&"no_write_workqueue") {
            ""
        } else {
            " "
        };
        line(format_args!("flags:   {}{end}", flags.join(" ")));
    }
    out
}

fn in_units(sectors: Sectors) -> String {
    let bytes = sectors.bytes().map_or(u64::MAX, keyslots::units::Bytes::get);
    format!("{} [512-byte units] ({bytes} [bytes])", sectors.get())
}

/// cryptsetup's names of the flags.
fn flag_names(active: &Active) -> Vec<&'static str> {
    let flags = active.flags;
    [
        (flags.allow_discards, "discards"),
        (flags.same_cpu_crypt, "same_cpu_crypt"),
        (flags.submit_from_crypt_cpus, "submit_from_crypt_cpus"),
        (flags.no_read_workqueue, "no_read_workqueue"),
        (flags.no_write_workqueue, "no_write_workqueue"),
        (flags.high_priority, "high_priority"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
    .collect()
}

fn device_path(active: &Active) -> String {
    active
        .device
        .path()
        .map_or_else(|| active.device.to_string(), |path| path.display().to_string())
}

fn loop_file(active: &Active) -> Option<String> {
    let file = block_device::loop_backing_file(active.device.number()?)?;
    Some(file.display().to_string())
}

fn to_json(name: &DeviceName, active: &Active) -> Value {
    json!({
        "name": name.to_string(),
        "path": format!("/dev/mapper/{name}"),
        "active": true,
        "in_use": active.info.open_count > 0,
        "open_count": active.info.open_count,
        "device_number": active.info.number.to_string(),
        "type": Some(type_name(active)).filter(|kind| *kind != NONE),
        "uuid": active.uuid,
        "cipher": active.cipher,
        "key_bits": active.key_len * 8,
        "key_location": key_location(active),
        "integrity": active.options.integrity.as_ref().map(|integrity| &integrity.kind),
        "device": device_path(active),
        "loop_file": loop_file(active),
        "sector_size": active.sector_size(),
        "offset_sectors": active.offset.get(),
        "size_sectors": active.size.get(),
        "iv_offset_sectors": active.iv_offset.get(),
        "iv_large_sectors": active.options.iv_large_sectors,
        "key_description": active.key_description,
        "read_only": active.flags.read_only,
        "suspended": active.info.suspended,
        "flags": flag_names(active),
    })
}
