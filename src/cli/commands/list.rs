//! `list`: every open volume and every other device of the device-mapper, whether the kernel maps it or this program serves it.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::Context;
use crate::cli::describe::kind;
use crate::cli::error::CliError;
use crate::dm::{Dm, DmErrorKind};
use crate::mapping::{Mapping, Mappings};
use crate::userspace::{Registry, Served};
use crate::volume::{self, VolumeKind};

enum Row<'a> {
    /// With the device that a volume is on.
    Mapped(&'a Mapping, Option<String>),
    Served(&'a Served),
}

/// What is told of it.
struct Columns<'a> {
    name: Cow<'a, str>,
    kind: Cow<'a, str>,
    backend: &'static str,
    device: Cow<'a, str>,
    folder: &'static str,
    /// In the folder.
    file: Cow<'a, str>,
}

pub(super) fn list(cx: &Context<'_>) -> Result<(), CliError> {
    let served = Registry::existing().map(|registry| registry.list()).unwrap_or_default();
    let mapped = match Dm::open() {
        Ok(dm) => Some((Mappings::enumerate(&dm)?, dm)),
        // Where the kernel maps nothing, or says nothing to an ordinary user, there still are the served ones.
        Err(error)
            if matches!(error.kind(), DmErrorKind::NoDeviceMapper | DmErrorKind::Denied) && !served.is_empty() =>
        {
            None
        }
        Err(error) => return Err(CliError::Unreachable(error)),
    };
    let mut rows = match &mapped {
        Some((all, dm)) => rows_of(dm, all),
        None => Vec::new(),
    };
    rows.extend(served.iter().map(Row::Served));
    // What is mapped comes before what is served under its name.
    rows.sort_by(|a, b| a.name().cmp(b.name()));
    cx.console.answer(|| to_json(&rows), || text(&rows));
    Ok(())
}

fn rows_of<'a>(dm: &Dm, all: &'a Mappings) -> Vec<Row<'a>> {
    let mut rows = Vec::with_capacity(all.len());
    for mapping in all {
        // What is no volume is listed as the kernel lists it: not one more question is asked of it.
        let volume = mapping.uuid.as_ref().and_then(VolumeKind::of_dm_uuid);
        // What went in the meantime, or is no crypt target, has no device of its own.
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
                    device: device.as_deref().unwrap_or("n/a").into(),
                    folder: "/dev/mapper/",
                    file: name,
                }
            }
            Self::Served(served) => Columns {
                name: served.name.as_str().into(),
                kind: served.description.kind.as_str().into(),
                backend: if served.alive { "userspace" } else { "dead" },
                device: served.description.device.to_string_lossy(),
                folder: "",
                file: served.path.to_string_lossy(),
            },
        }
    }
}

fn text(rows: &[Row<'_>]) -> String {
    let mut out = String::with_capacity(rows.len() * 64);
    for row in rows {
        let row = row.columns();
        let columns = [
            &*row.name,
            "\t",
            &row.kind,
            "\t",
            row.backend,
            "\t",
            &row.device,
            "\t",
            row.folder,
            &row.file,
            "\n",
        ];
        out.extend(columns);
    }
    out
}

fn to_json(rows: &[Row<'_>]) -> Value {
    let rows: Vec<_> = rows
        .iter()
        .map(Row::columns)
        .map(|row| {
            json!({
                "name": row.name,
                "type": row.kind,
                "backend": row.backend,
                "device": row.device,
                "path": row.folder.to_owned() + &row.file,
            })
        })
        .collect();
    json!({ "volumes": rows })
}
