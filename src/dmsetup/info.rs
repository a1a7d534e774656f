//! `info` without columns, and the output of `-v` with other verbs.

use std::ffi::OsString;
use std::io::Write;

use super::device_report;
use super::error::Failure;
use super::every::every;
use super::options::Opt;
use super::session::{About, Session};
use crate::block_device;
use crate::dm::{DeviceId, DeviceInfo};
use crate::mapping;
use crate::mapping::describe;

pub(super) fn info(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    if session.options.has(Opt::Columns) {
        return device_report::info(session, words);
    }
    session.tell_each("devices", []);
    every(session, words, |id, _| {
        if session.json() {
            return tell(session, id);
        }
        let found = session.dm()?.info_of_table(id, session.which());
        match found {
            Err(error) if error.is_not_found() => Err(Failure::because("Device does not exist.")),
            found => show(session, &found.about(id)?),
        }
    })
}

fn tell(session: &Session, id: &DeviceId) -> Result<(), Failure> {
    match session.dm()?.info_and_deps(id, session.which()) {
        Err(error) if error.is_not_found() => Err(Failure::because("Device does not exist.")),
        found => {
            let (info, uses) = found.about(id)?;
            session.tell_each("devices", [describe::device_and_uses(&info, &uses).into()]);
            Ok(())
        }
    }
}

/// The output of `-v` for a verb that changed a device.
pub(super) fn verbose(session: &Session, id: &DeviceId) -> Result<(), Failure> {
    if !session.options.has(Opt::Verbose) {
        return Ok(());
    }
    match mapping::find(session.dm()?, id).about(id)? {
        Some(info) => show(session, &info),
        None => Ok(()),
    }
}

/// The block of lines about one device.
pub(super) fn show(session: &Session, info: &DeviceInfo) -> Result<(), Failure> {
    if session.json() {
        session.tell_each("devices", [describe::device(info).into()]);
        return Ok(());
    }
    let mut out = session.out();
    write!(out, "Name:              ")?;
    out.write_all(&session.shown(&info.name))?;
    let state = if info.suspended { "SUSPENDED" } else { "ACTIVE" };
    write!(out, "\nState:             {state}")?;
    if info.read_only {
        write!(out, " (READ-ONLY)")?;
    }
    if info.deferred_remove {
        write!(out, " (DEFERRED REMOVE)")?;
    }
    if info.internally_suspended {
        write!(out, " (INTERNALLY SUSPENDED)")?;
    }
    writeln!(out)?;
    if let Some(sectors) = block_device::read_ahead(info.number) {
        writeln!(out, "Read Ahead:        {sectors}")?;
    }
    let tables = match (info.live_table, info.inactive_table) {
        (true, true) => "LIVE & INACTIVE",
        (true, false) => "LIVE",
        (false, true) => "INACTIVE",
        (false, false) => "None",
    };
    writeln!(out, "Tables present:    {tables}")?;
    writeln!(out, "Open count:        {}", info.open_count)?;
    writeln!(out, "Event number:      {}", info.event_nr)?;
    writeln!(out, "Major, minor:      {}, {}", info.number.major, info.number.minor)?;
    writeln!(out, "Number of targets: {}", info.target_count)?;
    if let Some(uuid) = &info.uuid {
        write!(out, "UUID: ")?;
        out.write_all(&session.shown_uuid(uuid))?;
        writeln!(out)?;
    }
    writeln!(out)?;
    Ok(())
}
