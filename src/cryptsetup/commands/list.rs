//! `list`: every open volume and every other device of the device-mapper, whether the kernel maps it or this program serves
//! it.
//!
//! In a pipe each is a line of five columns with tabulators between them, a stable form; on a terminal there is a heading,
//! and more detail.

use std::borrow::Cow;
use std::fs;
use std::io::IsTerminal as _;

use keyslots::units::{Bytes, Sectors};
use serde_json::{Value, json};

use super::context::Context;
use crate::console::amount;
use crate::cryptsetup::error::CliError;
use crate::dm::{Dm, DmErrorKind};
use crate::mapping::VolumeKind;
use crate::mapping::describe::kind;
use crate::mapping::{self, Mapping, Mappings};
use crate::userspace::{Registry, Served};
use crate::volume;

enum Row<'a> {
    /// With the device that a volume is on.
    Mapped(&'a Mapping, Option<String>),
    Served(&'a Served),
}

/// The details of an entry.
struct Columns<'a> {
    name: Cow<'a, str>,
    kind: Option<Cow<'a, str>>,
    backend: &'static str,
    device: Option<Cow<'a, str>>,
    folder: &'static str,
    /// From the folder.
    file: Cow<'a, str>,
}

/// Details that need another query.
struct Details {
    size: Option<Sectors>,
    targets: Vec<String>,
}

/// For missing details.
const NONE: &str = "n/a";

pub(super) fn list(cx: &Context<'_>) -> Result<(), CliError> {
    let served = Registry::existing().map(|registry| registry.list()).unwrap_or_default();
    let dm = match Dm::open() {
        Ok(dm) => Some(dm),
        // A kernel without mappings has mapped nothing.
        Err(error) if error.kind() == DmErrorKind::NoDeviceMapper => None,
        // It denies access to an ordinary user, who may have served volumes.
        Err(error) if error.kind() == DmErrorKind::Denied && !served.is_empty() => None,
        Err(error) => return Err(CliError::Unreachable(error)),
    };
    let mapped = match &dm {
        Some(dm) => Some((Mappings::enumerate(dm)?, dm)),
        None => None,
    };
    let mut rows = match &mapped {
        Some((all, dm)) => rows_of(dm, all),
        None => Vec::new(),
    };
    rows.extend(served.iter().map(Row::Served));
    // A mapped volume comes before a served one of the same name.
    rows.sort_by(|a, b| a.name().cmp(b.name()));
    let details = |row: &Row<'_>| row.details(dm.as_ref());
    let for_a_person = std::io::stdout().is_terminal();
    cx.console.answer(
        || to_json(&rows, details),
        || match for_a_person {
            true => table(&rows, details),
            false => text(&rows),
        },
    );
    Ok(())
}

fn rows_of<'a>(dm: &Dm, all: &'a Mappings) -> Vec<Row<'a>> {
    let mut rows = Vec::with_capacity(all.len());
    for mapping in all {
        // Other devices are listed as the kernel lists them: without further queries.
        let volume = mapping.uuid.as_ref().and_then(VolumeKind::of_dm_uuid);
        // A device that was removed meanwhile, or is not a crypt target, has no device of its own.
        let device = volume
            .and_then(|_| volume::state(dm, &mapping.name).ok())
            .map(|active| {
                let path = active.device.path();
                path.map_or_else(|| active.device.to_string(), |path| path.display().to_string())
            });
        rows.push(Row::Mapped(mapping, device));
    }
    rows
}

impl Row<'_> {
    fn name(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping, _) => mapping.name.as_bytes(),
            Self::Served(served) => served.name.as_bytes(),
        }
    }

    fn columns(&self) -> Columns<'_> {
        match self {
            Self::Mapped(mapping, device) => {
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
            Self::Served(served) => Columns {
                name: served.name.as_str().into(),
                kind: Some(served.description.kind.as_str().into()),
                backend: if served.alive { "userspace" } else { "dead" },
                device: Some(served.description.device.to_string_lossy()),
                folder: "",
                file: served.path.to_string_lossy(),
            },
        }
    }

    fn details(&self, dm: Option<&Dm>) -> Details {
        match self {
            Self::Mapped(mapping, _) => Details {
                size: mapping::size(mapping.number),
                // One that was removed meanwhile has none.
                targets: dm
                    .and_then(|dm| mapping::targets(dm, mapping.number).ok())
                    .unwrap_or_default(),
            },
            Self::Served(served) => Details {
                // A server that is stopped or dead would not answer.
                size: (served.alive && !served.is_stopped())
                    .then(|| fs::metadata(&served.path).ok())
                    .flatten()
                    .map(|file| Bytes::new(file.len()).sectors()),
                targets: Vec::new(),
            },
        }
    }
}

/// For programs.
fn text(rows: &[Row<'_>]) -> String {
    let mut out = String::with_capacity(rows.len() * 64);
    for row in rows {
        let row = row.columns();
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
fn table(rows: &[Row<'_>], details: impl Fn(&Row<'_>) -> Details) -> String {
    const HEADING: [&str; 7] = ["NAME", "TYPE", "SIZE", "TARGET", "BACKEND", "DEVICE", "PATH"];
    /// The column of numbers.
    const SIZE: usize = 2;
    if rows.is_empty() {
        return String::new();
    }
    let mut lines = vec![HEADING.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let Details { size, targets } = details(row);
        let row = row.columns();
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
    out
}

fn to_json(rows: &[Row<'_>], details: impl Fn(&Row<'_>) -> Details) -> Value {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let Details { size, targets } = details(row);
            let row = row.columns();
            json!({
                "name": row.name,
                "type": row.kind,
                "backend": row.backend,
                "device": row.device,
                "path": row.folder.to_owned() + &row.file,
                "size_sectors": size.map(Sectors::get),
                "targets": targets,
            })
        })
        .collect();
    json!({ "volumes": rows })
}
