//! `info`, `deps`, `table` and `tree`: any device of the device-mapper, whatever its targets. As text the first three are
//! dmsetup's own; here is their JSON, and what stands on what.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use serde_json::{Value, json};

use super::Context;
use crate::cli::describe::{device, device_and_uses, layers, named, target};
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::dm::{DeviceId, Dm, Mangling, StatusOptions, TableText, Which};
use crate::dmsetup::branches::{ASCII, Look, UTF, draw};
use crate::dmsetup::{self, tree::speaks_utf8};
use crate::mapping::{self, Layer, LayerKind, LookupError, Mappings, Stack};
use crate::volume::VolumeError;

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
    let mut value = match deps {
        Some(deps) => device_and_uses(&info, &deps),
        None => device(&info),
    };
    let (table, texts) = match question {
        Question::Table => (dm.table(id, Which::Live)?.1, "parameters"),
        Question::Status => (dm.status(id, StatusOptions::default())?.1, "status"),
        _ => return Ok(value.into()),
    };
    value.insert("targets".into(), targets(&table, texts));
    Ok(value.into())
}

/// Each target, without its keys.
fn targets(table: &TableText, texts: &str) -> Value {
    let one = |line: crate::dm::table::Line<'_>| {
        let mut target = target(&line);
        target[texts] = String::from_utf8_lossy(&line.shown()).into();
        target
    };
    table.lines().map(one).collect()
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
