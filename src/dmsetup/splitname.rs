//! `splitname`: the parts of a device's name, as the program that made it defines them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::device_row::no_data;
use super::error::Failure;
use super::report::{Cell, Id, Kind, Needs, Row};
use super::reports;
use super::session::Session;
use crate::mapping::lvm::{self, Parts};

const KIND: Kind<'_> = Kind {
    columns: "vg_name,lv_name,lv_layer",
    sort: "",
    all: |needs| matches!(needs, Needs::Split),
};

/// A name and who made it.
struct Named<'a> {
    subsystem: &'a [u8],
    parts: Parts,
}

impl Row<String> for Named<'_> {
    fn cell(&self, id: Id) -> Result<Cell, String> {
        Ok(Cell::text(match id {
            Id::Subsystem => self.subsystem,
            Id::VgName => &self.parts.group,
            Id::LvName => &self.parts.volume,
            Id::LvLayer => &self.parts.layer,
            id => return Err(no_data(id)),
        }))
    }
}

pub(super) fn splitname(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let [name, subsystem @ ..] = words else {
        return Err(Failure::Arguments);
    };
    let Some(mut report) = reports::begin(session, &KIND)? else {
        return Ok(());
    };
    let subsystem = subsystem
        .first()
        .map_or(lvm::SUBSYSTEM, |subsystem| subsystem.as_bytes());
    let parts = lvm::parts(name.as_bytes(), subsystem);
    report
        .add(&Named { subsystem, parts })
        .map_err(|(_, message)| Failure::because(message.trim_end()))?;
    reports::show(session, &mut report)
}
