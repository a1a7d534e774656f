//! Running a verb for each named device.

use std::ffi::OsString;

use super::error::Failure;
use super::options::Opt;
use super::session::{About, Session};
use super::{device_report, ls};
use crate::dm::DeviceId;
use crate::mapping;

/// Runs a verb for every named device, or for all devices if none was named. It ends with the first failure. The verb is
/// told whether there is more than one.
pub(super) fn every(
    session: &Session,
    words: &[OsString],
    one: impl FnMut(&DeviceId, bool) -> Result<(), Failure>,
) -> Result<(), Failure> {
    every_device(session, session.devices(words)?, one)
}

/// As [`every`], for devices that are already known.
pub(super) fn every_device(
    session: &Session,
    named: Vec<DeviceId>,
    mut one: impl FnMut(&DeviceId, bool) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if !named.is_empty() {
        return named.iter().try_for_each(|id| one(id, named.len() > 1));
    }
    let all = session.all()?;
    if all.is_empty() {
        session.say(ls::NO_DEVICES)?;
    }
    for mapping in &all {
        let id = DeviceId::Name(mapping.name.clone());
        let outcome = one(&id, true);
        // A device that was removed since it was listed is no failure.
        if outcome.is_err() && mapping::find(session.dm()?, &id).about(&id)?.is_some() {
            return outcome;
        }
    }
    Ok(())
}

/// As [`every`], for verbs that change the named devices, and that must not run for all by default.
pub(super) fn every_named(
    session: &Session,
    words: &[OsString],
    mut one: impl FnMut(&DeviceId) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if !session.options.has(Opt::Select) {
        if words.is_empty() {
            return one(&session.device(None)?);
        }
        return words.iter().try_for_each(|word| one(&session.named(word)?));
    }
    // Selected devices need not be named.
    let mut named = session.devices(words)?;
    if named.is_empty() {
        let all = session.all()?;
        named = all.iter().map(|mapping| DeviceId::Name(mapping.name.clone())).collect();
    }
    device_report::selected(session, named)?.iter().try_for_each(one)
}
