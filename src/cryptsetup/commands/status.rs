//! `status`.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::Path;

use keyslots::units::Sectors;
use serde_json::{Value, json};

use super::context::Context;
use super::serve;
use super::{mapped, target_text};
use crate::console::ExitCode;
use crate::console::Persona;
use crate::crypt_device::{self, OtherKind, OtherMapping, Status};
use crate::cryptsetup::error::CliError;
use crate::dm::DeviceName;
use crate::header_device::{HeaderDevice, Wanted};
use crate::mapping::VolumeKind;
use crate::mapping::health::Thresholds;
use crate::volume::{Active, KeyLocation};

/// The type of a mapping whose UUID does not tell; JSON has null.
const NONE: &str = "n/a";

pub(super) fn status(cx: &Context<'_>, name: &str) -> Result<(), CliError> {
    match crypt_device::status(name)? {
        Status::Inactive(path) => Err(inactive(cx, format!("{path} is inactive."))),
        Status::Served(served) => serve::status(cx, &served),
        Status::Volume(volume) => {
            let active = volume.state();
            let (file, shown_type) = (active.loop_file(), shown_type(cx, active));
            let (name, file) = (volume.name(), file.as_deref());
            // Under cryptsetup's name no more is said.
            let examined = match cx.console.persona() {
                Persona::Luksmith => Some(volume.examine()?),
                Persona::Cryptsetup => None,
            };
            let reasons = examined
                .as_ref()
                .map(|examined| examined.reasons(Thresholds::default()));
            let more = || examined.as_ref().zip(reasons.as_deref());
            cx.console.answer(
                || {
                    let mut value = to_json(name, active, file);
                    if let (Some((examined, reasons)), Some(out)) = (more(), value.as_object_mut()) {
                        mapped::put_state(examined, reasons, out);
                    }
                    value
                },
                || {
                    let more = more().map(|(examined, reasons)| target_text::text(examined, reasons));
                    text(name, active, file, shown_type) + &more.unwrap_or_default()
                },
            );
            Ok(())
        }
        Status::Other(_, name) | Status::NoTable(name) if cx.console.persona() == Persona::Luksmith => {
            mapped::status(cx, &name)
        }
        Status::Other(dm, name) => other_mapping(cx, &OtherMapping::of(&dm, &name)?, &name),
        // cryptsetup's exit code, which differs from that of its other actions; it prints nothing.
        Status::NoTable(_) => Err(CliError::Silent(ExitCode::Failure)),
    }
}

/// There is no such volume: the answer, and a failure.
pub(super) fn inactive(cx: &Context<'_>, text: String) -> CliError {
    cx.console.say(&text);
    CliError::Quiet(ExitCode::WrongDevice, text)
}

/// A mapping that is not an encrypted volume.
fn other_mapping(cx: &Context<'_>, mapping: &OtherMapping, name: &DeviceName) -> Result<(), CliError> {
    let info = &mapping.info;
    let used = in_use(info.open_count);
    let kind = match mapping.kind {
        Some(OtherKind::Volume(kind)) => type_name(Some(kind)),
        Some(OtherKind::Verity) => "VERITY",
        Some(OtherKind::Integrity) => "INTEGRITY",
        None => NONE,
    };
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
        || other_text(name, used, kind),
    );
    Ok(())
}

fn other_text(name: &DeviceName, used: &str, kind: &str) -> String {
    format!("/dev/mapper/{name} is active{used}.\n  type:    {kind}\n")
}

fn in_use(open_count: u32) -> &'static str {
    if open_count > 0 { " and is in use" } else { "" }
}

fn type_name(kind: Option<VolumeKind>) -> &'static str {
    match kind {
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
        return type_name(active.kind);
    }
    let device = cx.options.header.clone().or_else(|| active.device.path());
    // Without locks nothing is repaired.
    let read = device.map(|device| HeaderDevice::new(device, false).read(Wanted::Any));
    match read {
        Some(Ok(_)) => type_name(active.kind),
        _ => NONE,
    }
}

fn key_location(active: &Active) -> &'static str {
    match active.key_location {
        KeyLocation::DmCrypt => "dm-crypt",
        KeyLocation::Keyring => "keyring",
    }
}

/// `file` is behind the device below, where that is a loop device.
fn text(name: &DeviceName, active: &Active, file: Option<&Path>, shown_type: &str) -> String {
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
    line(format_args!("device:  {}", active.device_text()));
    if let Some(file) = file {
        line(format_args!("loop:    {}", file.display()));
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

pub(super) fn in_units(sectors: Sectors) -> String {
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

fn to_json(name: &DeviceName, active: &Active, file: Option<&Path>) -> Value {
    json!({
        "name": name.to_string(),
        "path": format!("/dev/mapper/{name}"),
        "active": true,
        "in_use": active.info.open_count > 0,
        "open_count": active.info.open_count,
        "device_number": active.info.number.to_string(),
        "type": Some(type_name(active.kind)).filter(|kind| *kind != NONE),
        "uuid": active.uuid,
        "cipher": active.cipher,
        "key_bits": active.key_len * 8,
        "key_location": key_location(active),
        "integrity": active.options.integrity.as_ref().map(|integrity| &integrity.kind),
        "device": active.device_text(),
        "loop_file": file.map(|file| file.display().to_string()),
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
