//! `list`: every open volume and every other device of the device-mapper, whether the kernel maps it or this program serves
//! it.
//!
//! In a pipe each is a line of five columns with tabulators between them, a stable form; on a terminal there is a heading,
//! and more detail.

use std::borrow::Cow;
use std::io::IsTerminal as _;

use keyslots::units::Sectors;
use serde_json::{Value, json};

use super::check;
use super::context::Context;
use crate::console::amount;
use crate::crypt_device::{self, CryptError, Entry, EntryDetails, List};
use crate::cryptsetup::error::CliError;
use crate::mapping::describe::kind;
use crate::mapping::health::Reason;
use crate::volume::VolumeError;

/// The columns of an entry that need no other query.
struct Columns<'a> {
    name: Cow<'a, str>,
    kind: Option<Cow<'a, str>>,
    backend: &'static str,
    device: Option<Cow<'a, str>>,
    folder: &'static str,
    /// From the folder.
    file: Cow<'a, str>,
}

/// For missing details.
const NONE: &str = "n/a";

pub(super) fn list(cx: &Context<'_>) -> Result<(), CliError> {
    let list = crypt_device::list().map_err(failed)?;
    let for_a_person = std::io::stdout().is_terminal();
    cx.console.answer(
        || to_json(&list),
        || match for_a_person {
            true => table(&list),
            false => text(&list),
        },
    );
    Ok(())
}

/// The device-mapper's own error, with its remedy.
fn failed(error: CryptError) -> CliError {
    match error {
        CryptError::Volume(VolumeError::Dm(error)) => CliError::Unreachable(error),
        error => error.into(),
    }
}

fn columns(entry: &Entry) -> Columns<'_> {
    match entry {
        Entry::Mapped(mapping, device) => {
            let name = mapping.name.to_text();
            Columns {
                name: name.clone(),
                kind: kind(mapping.uuid.as_ref()),
                backend: "kernel",
                device: device.as_deref().map(Cow::from),
                folder: "/dev/mapper/",
                file: name,
            }
        }
        Entry::Served(served) => Columns {
            name: served.name.as_str().into(),
            kind: Some(served.description.kind.as_str().into()),
            backend: if served.alive { "userspace" } else { "dead" },
            device: Some(served.description.device.to_string_lossy()),
            folder: "",
            file: served.path.to_string_lossy(),
        },
    }
}

/// For programs.
fn text(list: &List) -> String {
    let mut out = String::with_capacity(list.entries.len() * 64);
    for row in &list.entries {
        let row = columns(row);
        let columns = [
            &*row.name,
            "\t",
            row.kind.as_deref().unwrap_or(NONE),
            "\t",
            row.backend,
            "\t",
            row.device.as_deref().unwrap_or(NONE),
            "\t",
            row.folder,
            &row.file,
            "\n",
        ];
        out.extend(columns);
    }
    out
}

/// For people.
fn table(list: &List) -> String {
    const HEADING: [&str; 7] = ["NAME", "TYPE", "SIZE", "TARGET", "BACKEND", "DEVICE", "PATH"];
    /// The column of numbers.
    const SIZE: usize = 2;
    if list.entries.is_empty() {
        return String::new();
    }
    let mut lines = vec![HEADING.map(str::to_owned)];
    let mut wrong = String::new();
    lines.extend(list.entries.iter().map(|entry| {
        let EntryDetails { size, targets, reasons } = list.details(entry);
        let row = columns(entry);
        match Reason::summary(&reasons.unwrap_or_default()) {
            summary if summary.is_empty() => {}
            summary => wrong += &check::line(&row.name, &summary),
        }
        let or_none = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or(NONE).to_owned();
        let size = size.and_then(Sectors::bytes).map(|size| amount(size.get()));
        [
            row.name.to_string(),
            or_none(row.kind.as_deref()),
            or_none(size.as_deref()),
            or_none(Some(&targets.join(","))),
            row.backend.to_owned(),
            or_none(row.device.as_deref()),
            format!("{}{}", row.folder, row.file),
        ]
    }));
    let widths: [usize; HEADING.len()] =
        std::array::from_fn(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0));
    let mut out = String::new();
    for line in &lines {
        let padded = line.iter().zip(widths).enumerate().map(|(at, (text, width))| match at {
            SIZE => format!("{text:>width$}"),
            _ => format!("{text:<width$}"),
        });
        let padded: Vec<_> = padded.collect();
        out.push_str(padded.join("  ").trim_end());
        out.push('\n');
    }
    out + &wrong
}

fn to_json(list: &List) -> Value {
    let rows: Vec<_> = (list.entries.iter())
        .map(|entry| {
            let EntryDetails { size, targets, reasons } = list.details(entry);
            let row = columns(entry);
            let mut value = json!({
                "name": row.name,
                "type": row.kind,
                "backend": row.backend,
                "device": row.device,
                "path": row.folder.to_owned() + &row.file,
                "size_sectors": size.map(Sectors::get),
                "targets": targets,
            });
            if let (Some(reasons), Some(out)) = (reasons, value.as_object_mut()) {
                Reason::put(&reasons, out);
            }
            value
        })
        .collect();
    json!({ "volumes": rows })
}
