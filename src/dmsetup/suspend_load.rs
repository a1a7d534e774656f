//! Changes of a device's operation: `load`, `suspend`, `resume`, `clear`, `wipe_table`, and `wait` for such a change.

use std::ffi::OsString;
use std::io;

use keyslots::units::Sectors;

use super::error::Failure;
use super::every::every_named;
use super::options::{Opt, digits};
use super::session::{About, Session};
use super::{create, info, source};
use crate::dm::table::TargetType;
use crate::dm::{DeviceId, SuspendOptions, TableText, Which};

pub(super) fn load(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    if session.options.has(Opt::NoTable) {
        return Err(Failure::because("--notable only available when creating new device."));
    }
    // With -u or -j -m the only argument is the file's name.
    let (id, file) = match words {
        [file] if session.has_device_option() => (session.device(None)?, Some(file)),
        [] if session.has_device_option() => (session.device(None)?, None),
        [] => return Err(Failure::because("Please specify device.")),
        [device, file @ ..] => (session.named(device)?, file.first()),
    };
    let table = source::table(session, file)?;
    let read_only = session.options.has(Opt::ReadOnly);
    session.dm()?.load(&id, &table, read_only).about(&id)?;
    info::verbose(session, &id)
}

pub(super) fn suspend(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    every_named(session, words, |id| {
        session.dm()?.suspend(id, suspend_options(session)).about(id)?;
        info::verbose(session, id)
    })
}

pub(super) fn resume(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    every_named(session, words, |id| {
        let resumed = session
            .changing()?
            .resume_with_node(id, suspend_options(session), create::owner(session).unwrap_or_default())
            .about(id)?;
        create::apply_read_ahead(session, &resumed.info)?;
        info::verbose(session, id)
    })
}

pub(super) fn clear(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    every_named(session, words, |id| {
        session.dm()?.clear(id).about(id)?;
        info::verbose(session, id)
    })
}

pub(super) fn wipe_table(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    every_named(session, words, |id| wipe(session, id, suspend_options(session)))
}

/// Replaces the table by one of the same size whose every access fails, so that the devices below are free.
pub(super) fn wipe(session: &Session, id: &DeviceId, options: SuspendOptions) -> Result<(), Failure> {
    let dm = session.changing()?;
    let (_, table) = dm.table(id, Which::Live).about(id)?;
    let size = table.size().unwrap_or(Sectors::ZERO);
    let mut error = TableText::with_room(0).map_err(no_memory)?;
    error
        .push(Sectors::ZERO, size, TargetType::ERROR, b"")
        .map_err(no_memory)?;
    let read_only = session.options.has(Opt::ReadOnly);
    dm.replace(id, &error, read_only, options).about(id).map(drop)
}

fn no_memory(error: io::Error) -> Failure {
    Failure::because(format_args!("No memory for the table: {error}"))
}

fn suspend_options(session: &Session) -> SuspendOptions {
    SuspendOptions {
        no_flush: session.options.has(Opt::NoFlush),
        skip_lockfs: session.options.has(Opt::NoLockFs),
    }
}

/// Waits until a device's event number differs from the given one; the default is 0.
pub(super) fn wait(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let (id, event) = match words {
        [event] if session.has_device_option() => (session.device(None)?, Some(event)),
        [] => (session.device(None)?, None),
        [device, event @ ..] => (session.named(device)?, event.first()),
    };
    let event_nr = match event {
        None => 0,
        Some(event) => digits(&event.to_string_lossy())
            .ok_or_else(|| Failure::because(format_args!("Invalid event number: {}.", event.to_string_lossy())))?,
    };
    let info = session.dm()?.wait_for_other(&id, event_nr).about(&id)?;
    if session.options.has(Opt::Verbose) {
        info::show(session, &info)?;
    }
    Ok(())
}
