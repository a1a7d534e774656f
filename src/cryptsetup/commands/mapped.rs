//! `info`, `deps`, `table`, `status` and `tree`: any device of the device-mapper, whatever its targets. As text the first three
//! are dmsetup's own; here are their JSON, the state of a device that is no volume, and the tree.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use serde_json::{Map, Value, json};

use super::context::Context;
use super::target_text;
use crate::console::forest::{ASCII, Style, UTF, draw};
use crate::console::{ExitCode, speaks_utf8};
use crate::cryptsetup::error::{CliError, MappingError};
use crate::dm::table::Line;
use crate::dm::{DeviceId, DeviceName, Dm, Mangling, Which, targets};
use crate::mapping::describe::{self, device, device_and_uses, layers, named, target};
use crate::mapping::health::{Reason, Thresholds, Verdict};
use crate::mapping::{self, Examined, ExaminedTarget, Layer, LayerKind, LookupError, Mappings, Stack};
use crate::terminal_text::clean;
use crate::volume::VolumeError;

/// The query for each device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Info,
    Deps,
    Table,
}

impl Question {
    fn verb(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Deps => "deps",
            Self::Table => "table",
        }
    }
}

/// Answers for the named devices, or for all. A missing one is reported after the answers for the others.
pub(super) fn answer(cx: &Context<'_>, question: Question, devices: &[String]) -> Result<(), CliError> {
    let dm = Dm::open().map_err(CliError::Unreachable)?;
    let mut missing = None;
    let mut found = Vec::new();
    for device in devices {
        match find(&dm, device)? {
            Some(id) => found.push((device, id)),
            None => missing = missing.or(Some(device)),
        }
    }
    if !found.is_empty() || devices.is_empty() {
        match cx.console.json() {
            true => answer_json(cx, &dm, question, found.into_iter().map(|(_, id)| id).collect())?,
            false => answer_text(cx, question, found.into_iter().map(|(name, _)| name))?,
        }
    }
    missing.map_or(Ok(()), |name| {
        Err(CliError::Mapping(MappingError::NoSuchMapping(clean(name))))
    })
}

/// The device that a person named, if there is one.
pub(super) fn find(dm: &Dm, device: &str) -> Result<Option<DeviceId>, CliError> {
    match mapping::resolve(device, Mangling::Auto) {
        Ok(id) => Ok(mapping::find(dm, &id)?.map(|_| id)),
        Err(LookupError::NotMapped { .. }) => Ok(None),
        Err(LookupError::Name(error)) => Err(VolumeError::from(error).into()),
    }
}

/// The state of a device that is no volume.
pub(super) fn status(cx: &Context<'_>, name: &DeviceName) -> Result<(), CliError> {
    let dm = Dm::open().map_err(CliError::Unreachable)?;
    let examined = Examined::of(&dm, &DeviceId::Name(name.clone()), false)?;
    let reasons = examined.reasons(Thresholds::default());
    let info = &examined.info;
    cx.console.answer(
        || {
            let mut value = device(info);
            put_state(&examined, &reasons, &mut value);
            json!({ "devices": [value] })
        },
        || {
            let used = if info.open_count > 0 { " and is in use" } else { "" };
            let head = format!("{} is active{used}.\n", describe::path(&info.name));
            head + &target_text::text(&examined, &reasons)
        },
    );
    Ok(())
}

/// The verdict and the targets of a device, as `status` has them.
pub(super) fn put_state(examined: &Examined, reasons: &[Reason], out: &mut Map<String, Value>) {
    Reason::put(reasons, out);
    out.insert(
        "targets".into(),
        examined.targets.iter().map(ExaminedTarget::to_json).collect(),
    );
}

/// In dmsetup's words.
fn answer_text<'a>(
    cx: &Context<'_>,
    question: Question,
    devices: impl Iterator<Item = &'a String>,
) -> Result<(), CliError> {
    let words = [question.verb(), "--"].into_iter().chain(devices.map(String::as_str));
    let words: Vec<OsString> = words.map(OsString::from).collect();
    match (cx.dmsetup)(&words) {
        ExitCode::Success => Ok(()),
        code => Err(CliError::Silent(code)),
    }
}

fn answer_json(cx: &Context<'_>, dm: &Dm, question: Question, mut ids: Vec<DeviceId>) -> Result<(), CliError> {
    if ids.is_empty() {
        let all = Mappings::enumerate(dm)?;
        ids.extend(all.iter().map(|mapping| DeviceId::Number(mapping.number)));
    }
    let mut answers = Vec::with_capacity(ids.len());
    for id in &ids {
        match to_json(dm, question, id) {
            // It was removed since it was looked up.
            Err(CliError::Dm(error)) if error.is_not_found() => {}
            value => answers.push(value?),
        }
    }
    cx.console.answer(|| json!({ "devices": answers }), String::new);
    Ok(())
}

fn to_json(dm: &Dm, question: Question, id: &DeviceId) -> Result<Value, CliError> {
    let (info, deps) = match question {
        Question::Info | Question::Deps => {
            let (info, deps) = dm.info_and_deps(id, Which::Live)?;
            (info, Some(deps))
        }
        Question::Table => (dm.info(id)?, None),
    };
    let mut value = match deps {
        Some(deps) => device_and_uses(&info, &deps),
        None => device(&info),
    };
    if question == Question::Table {
        let (_, table) = dm.table(id, Which::Live)?;
        value.insert("targets".into(), table.lines().map(|line| decoded(&line)).collect());
    }
    Ok(value.into())
}

/// A target with its parameters, without its keys.
fn decoded(line: &Line<'_>) -> Value {
    let shown = line.shown();
    let mut target = target(line);
    target["parameters"] = String::from_utf8_lossy(&shown).into();
    if let Some(out) = target.as_object_mut() {
        targets::parse(line.kind.as_str(), line.length.get(), &shown, b"").put_table(out);
    }
    target
}

pub(super) fn tree(cx: &Context<'_>) -> Result<(), CliError> {
    let dm = Dm::open().map_err(CliError::Unreachable)?;
    let stack = Stack::of(&dm, &Mappings::enumerate(&dm)?)?;
    if cx.console.json() {
        cx.console.answer(|| json!({ "layers": layers(&stack) }), String::new);
        return Ok(());
    }
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
        || !std::io::stdout().is_terminal();
    let style = Style {
        symbols: if speaks_utf8() { UTF } else { ASCII },
        compact: false,
        width: None,
    };
    let tops = stack.layers().iter().enumerate().filter(|(_, layer)| !layer.used);
    let mut out = Vec::new();
    draw(
        &mut out,
        &style,
        tops.map(|(place, _)| place),
        |place| &stack.layers()[place].uses,
        |place| label(&stack.layers()[place], !plain),
    )
    .expect("a Vec takes all");
    cx.console.write(&out);
    Ok(())
}

fn label(layer: &Layer, coloured: bool) -> Vec<u8> {
    let (name, kind) = named(layer);
    // Volumes in green, other programs' mappings in bold, the rest plain.
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
    let wrong = clean(&Reason::summary(&layer.reasons));
    match Verdict::of(&layer.reasons) {
        Verdict::Sound => {}
        verdict if coloured => {
            let colour = if verdict == Verdict::Critical { 31 } else { 33 };
            text += &format!(" \x1b[1;{colour}m[{wrong}]\x1b[0m");
        }
        _ => text += &format!(" [{wrong}]"),
    }
    text.into_bytes()
}
