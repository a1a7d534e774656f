//! The targets of a device for people: each with all of its fields, a line for each, amounts with their units.
//!
//! The fields are those of the JSON, whose names end with their units.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::console::amount;
use crate::dm::DeviceRef;
use crate::mapping::health::{Reason, Verdict};
use crate::mapping::{Examined, ExaminedTarget, device_text};
use crate::terminal_text::clean;

/// The lines below the first ones of a device.
pub(super) fn text(device: &Examined, reasons: &[Reason]) -> String {
    let mut out = format!("  verdict: {}\n", Verdict::of(reasons).name());
    for reason in reasons {
        let name = if reason.verdict == Verdict::Sound {
            "note"
        } else {
            reason.verdict.name()
        };
        let _ = writeln!(out, "    {name}: {}", clean(&reason.text));
    }
    for target in &device.targets {
        one(&mut out, target);
    }
    out
}

fn one(out: &mut String, target: &ExaminedTarget) {
    let size = sectors(target.length);
    let _ = writeln!(
        out,
        "  target:  {}, {size} from sector {}",
        clean(&target.kind),
        target.start
    );
    let fields = target.fields();
    for (name, value) in &fields {
        line(out, &fields, name, value);
    }
}

/// A field of a target; nothing for one that says nothing, or that the line of another one has.
fn line(out: &mut String, fields: &Map<String, Value>, name: &str, value: &Value) {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        _ => &[],
    };
    if list.iter().any(Value::is_object) {
        for (at, entry) in list.iter().enumerate() {
            nested(
                out,
                &format!("{} {at}", label(name.trim_end_matches('s'))),
                entry,
                "    ",
            );
        }
        return;
    }
    match shown(fields, name, value) {
        Some((label, text)) => drop(writeln!(out, "    {label}: {text}")),
        None if value.is_object() => nested(out, &label(name), value, "    "),
        None => {}
    }
}

/// The fields of a part of a target in one line, and below it the parts of that.
fn nested(out: &mut String, title: &str, value: &Value, indent: &str) {
    let Value::Object(fields) = value else { return };
    let is_list = |value: &Value| matches!(value, Value::Array(list) if list.iter().any(Value::is_object));
    let texts = fields.iter().filter(|(_, value)| !is_list(value));
    let texts: Vec<String> = texts
        .filter_map(|(name, value)| shown(fields, name, value))
        .map(|(label, text)| format!("{label} {text}"))
        .collect();
    let _ = writeln!(out, "{indent}{title}: {}", texts.join(", "));
    for (name, value) in fields.iter().filter(|(_, value)| is_list(value)) {
        for (at, entry) in value.as_array().into_iter().flatten().enumerate() {
            let title = format!("{} {at}", label(name.trim_end_matches('s')));
            nested(out, &title, entry, &format!("{indent}  "));
        }
    }
}

/// The label and the text of a field.
fn shown(fields: &Map<String, Value>, name: &str, value: &Value) -> Option<(String, String)> {
    let number = |name: &str| fields.get(name).and_then(Value::as_u64);
    let of = |prefix: &str, rest: &str| number(&format!("{prefix}{rest}"));
    // The parts of a fill are in the line of its per cent.
    for part in ["_used_", "_total_"] {
        if let Some((prefix, _)) = name.split_once(part)
            && fields.contains_key(&format!("{prefix}_percent"))
        {
            return None;
        }
    }
    // What other fields say too, under lvm2's name.
    let again = [("data_percent", "snap_percent"), ("copy_percent", "dirty_blocks")];
    if again
        .iter()
        .any(|(again, field)| name == *again && fields.contains_key(*field))
    {
        return None;
    }
    if let Some(prefix) = name.strip_suffix("_percent") {
        let percent = value.as_f64().map(|percent| format!("{percent:.2} %"));
        let counted = ["blocks", "regions", "segments", "sectors"]
            .into_iter()
            .find_map(|unit| {
                let used = of(prefix, &format!("_used_{unit}"))?;
                Some(format!("{used} of {} {unit}", of(prefix, &format!("_total_{unit}"))?))
            });
        let sized = of(prefix, "_used_bytes").zip(of(prefix, "_total_bytes"));
        let sized = sized.map(|(used, total)| format!("{} of {}", amount(used), amount(total)));
        let parts: Vec<String> = [percent, sized, counted].into_iter().flatten().collect();
        return (!parts.is_empty()).then(|| (label(prefix), parts.join(", ")));
    }
    let text = match value {
        Value::Null | Value::Object(_) => return None,
        Value::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
        Value::Array(list) if list.is_empty() => return None,
        Value::Array(list) => list
            .iter()
            .map(|value| plain(name, value))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Number(_) | Value::String(_) => match (number(name), name.rsplit_once('_')) {
            (Some(number), Some((label, unit))) => match unit {
                "sectors" => return Some((self::label(label), sectors(number))),
                "bytes" => return Some((self::label(label), bytes(number))),
                "blocks" | "regions" | "segments" | "bits" | "ms" | "seconds" => {
                    return Some((self::label(label), format!("{number} {unit}")));
                }
                _ => number.to_string(),
            },
            _ => plain(name, value),
        },
    };
    Some((label(name), text))
}

fn plain(name: &str, value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match DeviceRef::parse(text.as_bytes()) {
        Some(device) if name.contains("device") => device_text(&device),
        _ => clean(&text),
    }
}

fn label(name: &str) -> String {
    name.replace('_', " ")
}

fn sectors(count: u64) -> String {
    match count.checked_mul(512) {
        Some(bytes) => format!("{count} sectors ({})", amount(bytes)),
        None => format!("{count} sectors"),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} bytes"),
        _ => format!("{} ({count} bytes)", amount(count)),
    }
}
