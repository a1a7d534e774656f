//! A device with its targets decoded, and what is wrong with it.

use serde_json::{Map, Value};

use super::health::{Reason, Thresholds, reasons};
use crate::dm::table::Line;
use crate::dm::targets::{self, Decoded};
use crate::dm::{DeviceId, DeviceInfo, Dm, DmError, StatusOptions, TableText, Which};

/// A device, as of one moment.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) info: DeviceInfo,
    pub(crate) targets: Vec<ExaminedTarget>,
}

/// One target of a device. No text has a key in it.
#[derive(Debug)]
pub(crate) struct ExaminedTarget {
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) kind: String,
    /// Its status, as the kernel has it.
    pub(crate) status: String,
    pub(crate) decoded: Decoded,
}

impl Examined {
    /// Asks for the status and the table of a device. With `no_flush` no pool writes its metadata for the answer.
    ///
    /// # Errors
    /// The device-mapper's.
    pub(crate) fn of(dm: &Dm, id: &DeviceId, no_flush: bool) -> Result<Self, DmError> {
        let options = StatusOptions {
            no_flush,
            ..StatusOptions::default()
        };
        let (info, status) = dm.status(id, options)?;
        let (_, table) = dm.table(id, Which::Live)?;
        Ok(Self {
            info,
            targets: targets_of(&table, &status),
        })
    }

    /// What is wrong with it, and what is only worth knowing.
    pub(crate) fn reasons(&self, thresholds: Thresholds) -> Vec<Reason> {
        reasons(self, thresholds)
    }

    /// The types of its targets, each once.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let mut kinds: Vec<String> = Vec::new();
        for target in &self.targets {
            if !kinds.contains(&target.kind) {
                kinds.push(target.kind.clone());
            }
        }
        kinds
    }
}

impl ExaminedTarget {
    /// Its fields, with the status as it is.
    pub(crate) fn to_json(&self) -> Value {
        let mut out = Map::new();
        for (name, value) in [("start_sectors", self.start), ("length_sectors", self.length)] {
            out.insert(name.into(), value.into());
        }
        out.insert("type".into(), self.kind.as_str().into());
        out.insert("status".into(), self.status.as_str().into());
        self.decoded.put_all(&mut out);
        out.into()
    }

    /// Its fields alone.
    pub(crate) fn fields(&self) -> Map<String, Value> {
        let mut out = Map::new();
        self.decoded.put_all(&mut out);
        out
    }
}

/// The targets of a status, each with its line of the table. Between the two questions another table may have become the live one:
/// its lines tell nothing about the status.
fn targets_of(table: &TableText, status: &TableText) -> Vec<ExaminedTarget> {
    let place = |line: &Line<'_>| (line.start, line.length, line.kind);
    let same = table.lines().len() == status.lines().len()
        && table.lines().zip(status.lines()).all(|(a, b)| place(&a) == place(&b));
    let mut tables = table.lines();
    let one = |line: Line<'_>| {
        let parameters = tables.next().filter(|_| same).map(|line| line.shown());
        let (length, kind) = (line.length.get(), line.kind.to_string());
        ExaminedTarget {
            start: line.start.get(),
            length,
            status: String::from_utf8_lossy(line.params).into_owned(),
            decoded: targets::parse(&kind, length, &parameters.unwrap_or_default(), line.params),
            kind,
        }
    };
    status.lines().map(one).collect()
}
