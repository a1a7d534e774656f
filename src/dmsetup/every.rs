//! A verb carried out for each device that was named.

use std::ffi::OsString;

use super::error::Failure;
use super::options::Opt;
use super::session::{About, Session};
use super::{device_report, ls};
use crate::dm::DeviceId;
use crate::mapping;

/// Carries a verb out for every device that was named, and for all devices where none was. It ends with the first that
/// fails. The verb is told whether there is more than one.
pub(super) fn every(
    session: &Session,
    words: &[OsString],
    one: impl FnMut(&DeviceId, bool) -> Result<(), Failure>,
) -> Result<(), Failure> {
    every_device(session, session.devices(words)?, one)
}

/// As [`every`], for devices that are known already.
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
        // One that went since it was listed is no failure.
        if outcome.is_err() && mapping::find(session.dm()?, &id).about(&id)?.is_some() {
            return outcome;
        }
    }
    Ok(())
}

/// As [`every`], for verbs that change what is named, and that nobody wants for all devices.
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
    // What is selected need not be named.
    let mut named = session.devices(words)?;
    if named.is_empty() {
        let all = session.all()?;
        named = all.iter().map(|mapping| DeviceId::Name(mapping.name.clone())).collect();
    }
    device_report::selected(session, named)?.iter().try_for_each(one)
}
