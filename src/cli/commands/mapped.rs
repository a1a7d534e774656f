//! `info`, `deps`, `table` and `tree`: any device of the device-mapper, whatever its targets. As text the first three are
//! dmsetup's own; here is their JSON, and what stands on what.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::IsTerminal as _;

use serde_json::{Map, Value, json};

use super::Context;
use crate::block_device::DevNo;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::clean;
use crate::dm::{DeviceId, DeviceInfo, DeviceUuid, Dm, Mangling, StatusOptions, TableText, Which, is_plain};
use crate::dmsetup::branches::{ASCII, Look, UTF, draw};
use crate::dmsetup::{self, lvm_parts, tree::speaks_utf8};
use crate::mapping::{self, Layer, LayerKind, LookupError, Mappings, Stack};
use crate::volume::{VolumeError, VolumeKind};

/// What is asked of each device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Info,
    Deps,
    Table,
    Status,
}

impl Question {
    fn verb(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Deps => "deps",
            Self::Table => "table",
            Self::Status => "status",
        }
    }
}

/// Answers for the devices that were named, and for all where none was.
pub(super) fn answer(cx: &Context<'_>, question: Question, devices: &[String]) -> Result<(), CliError> {
    if !cx.console.json() {
        let words = [question.verb(), "--"]
            .into_iter()
            .chain(devices.iter().map(String::as_str));
        let words: Vec<OsString> = words.map(OsString::from).collect();
        return match dmsetup::run(dmsetup::OWN_NAME, &words) {
            ExitCode::Success => Ok(()),
            code => Err(CliError::Silent(code)),
        };
    }
    let dm = Dm::open().map_err(CliError::Unreachable)?;
    let mut found = Vec::new();
    for device in devices {
        let not_active = || VolumeError::NotActive(device.clone());
        let id = mapping::resolve(device, Mangling::Auto).map_err(|error| match error {
            LookupError::Name(error) => VolumeError::from(error),
            LookupError::NotMapped { .. } => not_active(),
        })?;
        match to_json(&dm, question, &id) {
            Err(CliError::Dm(error)) if error.is_not_found() => return Err(not_active().into()),
            value => found.push(value?),
        }
    }
    if devices.is_empty() {
        for mapping in &Mappings::enumerate(&dm)? {
            match to_json(&dm, question, &DeviceId::Number(mapping.number)) {
                // It went since it was listed.
                Err(CliError::Dm(error)) if error.is_not_found() => {}
                value => found.push(value?),
            }
        }
    }
    cx.console.answer(|| json!({ "devices": found }), String::new);
    Ok(())
}

fn to_json(dm: &Dm, question: Question, id: &DeviceId) -> Result<Value, CliError> {
    let (info, deps) = match question {
        Question::Info | Question::Deps => {
            let (info, deps) = dm.info_and_deps(id, Which::Live)?;
            (info, Some(deps))
        }
        Question::Table | Question::Status => (dm.info(id)?, None),
    };
    let mut value = device(&info);
    if let Some(deps) = deps {
        value.insert("uses".into(), deps.iter().map(|number| used(*number)).collect());
    }
    let (table, texts) = match question {
        Question::Table => (dm.table(id, Which::Live)?.1, "parameters"),
        Question::Status => (dm.status(id, StatusOptions::default())?.1, "status"),
        _ => return Ok(value.into()),
    };
    value.insert("targets".into(), targets(&table, texts));
    Ok(value.into())
}

fn device(info: &DeviceInfo) -> Map<String, Value> {
    let value = json!({
        "name": info.name.to_string(),
        "path": format!("/dev/mapper/{}", info.name),
        "device_number": info.number.to_string(),
        "kernel_name": info.number.kernel_name(),
        "uuid": info.uuid.as_ref().map(DeviceUuid::to_string),
        "type": kind(info.uuid.as_ref()),
        "open_count": info.open_count,
        "event_nr": info.event_nr,
        "target_count": info.target_count,
        "suspended": info.suspended,
        "read_only": info.read_only,
        "live_table": info.live_table,
        "inactive_table": info.inactive_table,
        "deferred_remove": info.deferred_remove,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn used(number: DevNo) -> Value {
    json!({
        "device_number": number.to_string(),
        "kernel_name": number.kernel_name(),
        "name": crate::block_device::dm_name_and_uuid(number).map(|(name, _)| name),
    })
}

/// Each target, without its keys.
fn targets(table: &TableText, texts: &str) -> Value {
    let one = |line: crate::dm::table::Line<'_>| {
        let mut target = json!({
            "start_sectors": line.start.get(),
            "length_sectors": line.length.get(),
            "type": line.kind.to_string(),
        });
        target[texts] = String::from_utf8_lossy(&line.shown()).into();
        target
    };
    table.lines().map(one).collect()
}

/// What made a device, by its UUID: a kind of volume, or the program that names its devices so.
pub(super) fn kind(uuid: Option<&DeviceUuid>) -> Cow<'_, str> {
    let Some(uuid) = uuid else { return "n/a".into() };
    match VolumeKind::of_dm_uuid(uuid) {
        Some((VolumeKind::Luks1, _)) => "LUKS1".into(),
        Some((VolumeKind::Luks2, _)) => "LUKS2".into(),
        Some((VolumeKind::Plain, _)) => "PLAIN".into(),
        Some((VolumeKind::Other, _)) => "n/a".into(),
        None => match uuid.subsystem().unwrap_or_default() {
            b"" => "n/a".into(),
            subsystem => match (is_plain(subsystem), std::str::from_utf8(subsystem)) {
                (true, Ok(subsystem)) => subsystem.into(),
                _ => clean(&String::from_utf8_lossy(subsystem)).into(),
            },
        },
    }
}

pub(super) fn tree(cx: &Context<'_>) -> Result<(), CliError> {
    let dm = Dm::open().map_err(CliError::Unreachable)?;
    let stack = Stack::of(&dm, &Mappings::enumerate(&dm)?)?;
    if cx.console.json() {
        let layers: Vec<Value> = stack.layers().iter().map(layer_json).collect();
        cx.console.answer(|| json!({ "layers": layers }), String::new);
        return Ok(());
    }
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
        || !std::io::stdout().is_terminal();
    let look = Look {
        symbols: if speaks_utf8() { UTF } else { ASCII },
        compact: false,
        width: None,
    };
    let tops = stack.layers().iter().enumerate().filter(|(_, layer)| !layer.used);
    let mut out = Vec::new();
    draw(
        &mut out,
        &look,
        tops.map(|(place, _)| place),
        |place| &stack.layers()[place].uses,
        |place| label(&stack.layers()[place], !plain),
    )
    .expect("a Vec takes all");
    cx.console.write(&out);
    Ok(())
}

/// What a layer is called, and what it is.
fn named(layer: &Layer) -> (String, String) {
    let kernel_name = || layer.number.and_then(DevNo::kernel_name).unwrap_or_default();
    let (name, kind) = match &layer.kind {
        LayerKind::Mapped(mapping) => {
            let mut kind = kind(mapping.uuid.as_ref());
            if let Some((group, volume)) = lvm_parts(mapping) {
                kind = format!("{kind} {group}/{volume}").into();
            }
            (mapping.name.to_string(), kind.replace("n/a", "mapped"))
        }
        LayerKind::FileSystem { kind, points } => {
            let points: Vec<_> = points.iter().map(|point| point.display().to_string()).collect();
            (points.join(", "), kind.clone())
        }
        LayerKind::Swap => ("swap".into(), String::new()),
        LayerKind::Partition => (kernel_name(), "partition".into()),
        LayerKind::Loop => (kernel_name(), "loop".into()),
        LayerKind::File(path) => (path.display().to_string(), "file".into()),
        LayerKind::Made => (kernel_name(), "array".into()),
        LayerKind::Disk => (kernel_name(), "disk".into()),
    };
    (clean(&name), clean(&kind))
}

fn label(layer: &Layer, coloured: bool) -> Vec<u8> {
    let (name, kind) = named(layer);
    // Volumes in green, what other programs map in bold, the rest as it is.
    let colour = match kind.as_str() {
        "LUKS1" | "LUKS2" | "PLAIN" => "1;32",
        _ if matches!(layer.kind, LayerKind::Mapped(_)) => "1",
        _ => "",
    };
    let mut text = match colour {
        "" => name,
        _ if !coloured => name,
        colour => format!("\x1b[{colour}m{name}\x1b[0m"),
    };
    if let Some(number) = layer.number {
        text += &format!(" ({number})");
    }
    if !kind.is_empty() {
        text += &format!(" {kind}");
    }
    text.into_bytes()
}

fn layer_json(layer: &Layer) -> Value {
    let (name, kind) = named(layer);
    json!({
        "layer": match &layer.kind {
            LayerKind::Mapped(_) => "mapping",
            LayerKind::FileSystem { .. } => "file_system",
            LayerKind::Swap => "swap",
            LayerKind::Partition => "partition",
            LayerKind::Loop => "loop",
            LayerKind::File(_) => "file",
            LayerKind::Made => "array",
            LayerKind::Disk => "disk",
        },
        "name": name,
        "type": kind,
        "device_number": layer.number.map(|number| number.to_string()),
        "uuid": match &layer.kind {
            LayerKind::Mapped(mapping) => mapping.uuid.as_ref().map(DeviceUuid::to_string),
            _ => None,
        },
        "uses": layer.uses,
    })
}
