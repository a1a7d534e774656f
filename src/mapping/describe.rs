//! Names and JSON forms of devices of the device-mapper, and of those below them: one form for `info`, `deps`, `table`,
//! `status` and `tree` as for `luksmith dm`.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::health::Reason;
use super::lvm::group_and_volume;
use super::{Layer, LayerKind, Stack, VolumeKind};
use crate::block_device::DevNo;
use crate::dm::table::Line;
use crate::dm::{DeviceInfo, DeviceName, DeviceUuid, is_plain};
use crate::terminal_text::clean;

/// A name as the kernel holds it: JSON escapes the characters that a terminal would act on. One that is not text has the form
/// that people see.
pub(crate) fn name(name: &DeviceName) -> String {
    text(name.as_bytes()).unwrap_or_else(|| name.to_string())
}

/// The path of its node.
pub(crate) fn path(name: &DeviceName) -> String {
    format!("/dev/mapper/{}", self::name(name))
}

/// A UUID in the same form.
pub(crate) fn uuid(uuid: &DeviceUuid) -> String {
    text(uuid.as_bytes()).unwrap_or_else(|| uuid.to_string())
}

fn text(bytes: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(bytes).ok()?.to_owned())
}

/// A device.
pub(crate) fn device(info: &DeviceInfo) -> Map<String, Value> {
    let value = json!({
        "name": name(&info.name),
        "path": path(&info.name),
        "device_number": info.number.to_string(),
        "kernel_name": info.number.kernel_name(),
        "uuid": info.uuid.as_ref().map(uuid),
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

/// The same with the devices below it.
pub(crate) fn device_and_uses(info: &DeviceInfo, uses: &[DevNo]) -> Map<String, Value> {
    let mut value = device(info);
    value.insert("uses".into(), uses.iter().map(|number| used(*number)).collect());
    value
}

fn used(number: DevNo) -> Value {
    json!({
        "device_number": number.to_string(),
        "kernel_name": number.kernel_name(),
        "name": crate::block_device::dm_name_and_uuid(number).map(|(name, _)| name),
    })
}

/// A target, without its parameters.
pub(crate) fn target(line: &Line<'_>) -> Value {
    json!({
        "start_sectors": line.start.get(),
        "length_sectors": line.length.get(),
        "type": line.kind.to_string(),
    })
}

/// What made a device, by its UUID: a kind of volume, or the program that names its devices so. `None` if the UUID does
/// not tell.
pub(crate) fn kind(uuid: Option<&DeviceUuid>) -> Option<Cow<'_, str>> {
    let uuid = uuid?;
    Some(match VolumeKind::of_dm_uuid(uuid) {
        Some((VolumeKind::Luks1, _)) => "LUKS1".into(),
        Some((VolumeKind::Luks2, _)) => "LUKS2".into(),
        Some((VolumeKind::Plain, _)) => "PLAIN".into(),
        Some((VolumeKind::Other, _)) => return None,
        None => match uuid.subsystem().unwrap_or_default() {
            b"" => return None,
            subsystem => match (is_plain(subsystem), std::str::from_utf8(subsystem)) {
                (true, Ok(subsystem)) => subsystem.into(),
                _ => clean(&String::from_utf8_lossy(subsystem)).into(),
            },
        },
    })
}

/// The name and the kind of a layer.
pub(crate) fn named(layer: &Layer) -> (String, String) {
    let kernel_name = || layer.number.and_then(DevNo::kernel_name).unwrap_or_default();
    let (name, kind) = match &layer.kind {
        LayerKind::Mapped(mapping) => {
            let kind = match (kind(mapping.uuid.as_ref()), group_and_volume(mapping)) {
                (Some(kind), Some((group, volume))) => format!("{kind} {group}/{volume}"),
                (Some(kind), None) => kind.into_owned(),
                (None, _) => layer.targets.join(","),
            };
            (mapping.name.to_string(), kind)
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

/// The layers, each with the indices of those that it uses.
pub(crate) fn layers(stack: &Stack) -> Value {
    stack.layers().iter().map(layer).collect()
}

fn layer(layer: &Layer) -> Value {
    let (name, kind) = named(layer);
    let is_named = match &layer.kind {
        LayerKind::Mapped(mapping) => self::kind(mapping.uuid.as_ref()).is_some(),
        _ => true,
    };
    let mut value = json!({
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
        "type": is_named.then_some(kind),
        "device_number": layer.number.map(|number| number.to_string()),
        "uuid": match &layer.kind {
            LayerKind::Mapped(mapping) => mapping.uuid.as_ref().map(uuid),
            _ => None,
        },
        "uses": layer.uses,
        "targets": (!is_named).then_some(&layer.targets),
    });
    if let (LayerKind::Mapped(_), Some(out)) = (&layer.kind, value.as_object_mut()) {
        Reason::put(&layer.reasons, out);
    }
    value
}
