//! `list`: every open volume and every other device of the device-mapper, whether the kernel maps it or this program serves it.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::Context;
use crate::cli::describe::kind;
use crate::cli::error::CliError;
use crate::dm::{Dm, DmErrorKind};
use crate::mapping::Mappings;
use crate::userspace::Registry;
use crate::volume::{self, VolumeKind};

struct Row<'a> {
    name: Cow<'a, str>,
    kind: Cow<'a, str>,
    backend: &'static str,
    device: Cow<'static, str>,
    /// Where that is not in `/dev/mapper`.
    path: Option<String>,
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
    for served in served {
        rows.push(Row {
            name: served.name.into(),
            kind: served.description.kind.into(),
            backend: if served.alive { "userspace" } else { "dead" },
            device: served.description.device.display().to_string().into(),
            path: Some(served.path.display().to_string()),
        });
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
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
        rows.push(Row {
            name: mapping.name.to_text(),
            kind: kind(mapping.uuid.as_ref()),
            backend: "kernel",
            device: device.map_or("n/a".into(), Cow::Owned),
            path: None,
        });
    }
    rows
}

impl Row<'_> {
    /// The folder and the rest.
    fn path(&self) -> (&str, &str) {
        match &self.path {
            Some(path) => ("", path),
            None => ("/dev/mapper/", &self.name),
        }
    }
}

fn text(rows: &[Row<'_>]) -> String {
    let mut out = String::with_capacity(rows.len() * 64);
    for row in rows {
        let (folder, rest) = row.path();
        let columns = [
            &row.name,
            "\t",
            &row.kind,
            "\t",
            row.backend,
            "\t",
            &row.device,
            "\t",
            folder,
            rest,
            "\n",
        ];
        out.extend(columns);
    }
    out
}

fn to_json(rows: &[Row<'_>]) -> Value {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "type": row.kind,
                "backend": row.backend,
                "device": row.device,
                "path": (row.path().0.to_owned() + row.path().1),
            })
        })
        .collect();
    json!({ "volumes": rows })
}
