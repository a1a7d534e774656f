//! The options and arguments of `stats`: which devices, whose regions, which of them.

use super::region::{self, Region};
use crate::dm::{DeviceId, DeviceName};
use crate::dmsetup::error::Failure;
use crate::dmsetup::options::{Opt, digits};
use crate::dmsetup::session::Session;
use std::ffi::OsString;

/// The default program name of new and listed regions.
pub(super) const PROGRAM: &str = "dmstats";

/// The program whose regions are meant; `None` for all programs.
pub(super) fn program(session: &Session) -> Option<String> {
    let typed = session.options.text(Opt::ProgramId).filter(|name| !name.is_empty());
    (!session.options.has(Opt::AllPrograms)).then(|| typed.unwrap_or_else(|| PROGRAM.to_owned()))
}

/// A numeric option's value.
pub(super) fn number(session: &Session, option: Opt) -> Result<Option<u64>, Failure> {
    let Some(text) = session.options.text(option) else {
        return Ok(None);
    };
    let name = option.name();
    match digits(&text) {
        Some(number) if !text.is_empty() => Ok(Some(number)),
        _ => Err(Failure::because(format_args!("Invalid {name} argument: \"{text}\""))),
    }
}

/// An option's value that the kernel stores: one word.
pub(super) fn one_word(session: &Session, option: Opt) -> Result<Option<String>, Failure> {
    let Some(text) = session.options.text(option).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match text.contains(|c: char| c.is_ascii_whitespace() || c.is_control()) {
        true => Err(Failure::because(format_args!(
            "--{} takes one word, without blanks.",
            option.name()
        ))),
        false => Ok(Some(text)),
    }
}

/// The named devices, or all. To change the regions of all takes an explicit option.
pub(super) fn devices(session: &Session, words: &[OsString], may_be_all: bool) -> Result<Vec<DeviceId>, Failure> {
    let named = session.devices(words)?;
    if !named.is_empty() {
        return Ok(named);
    }
    if !may_be_all && !session.options.has(Opt::AllDevices) {
        return Err(Failure::because("Please specify device(s) or use --alldevices."));
    }
    let all = session.all()?;
    Ok(all.iter().map(|mapping| DeviceId::Name(mapping.name.clone())).collect())
}

/// The name of a device in messages.
pub(super) fn name_of(session: &Session, id: &DeviceId, info: &DeviceName) -> String {
    match id {
        DeviceId::Name(name) => String::from_utf8_lossy(&session.shown(name)).into_owned(),
        _ => String::from_utf8_lossy(&session.shown(info)).into_owned(),
    }
}

/// The selected regions of a device.
pub(super) fn regions(session: &Session, id: &DeviceId) -> Result<Vec<Region>, Failure> {
    region::list(session, id, program(session).as_deref())
}

/// One region, or `None` for all of them.
pub(super) fn wanted(session: &Session) -> Result<Option<u64>, Failure> {
    let wanted = number(session, Opt::RegionId)?;
    if wanted.is_none() && !session.options.has(Opt::AllRegions) {
        return Err(Failure::because("Please specify a --regionid or use --allregions."));
    }
    Ok(wanted)
}

/// The numbers of the selected regions: a typed one without a check, or all.
pub(super) fn numbers(session: &Session, id: &DeviceId, wanted: Option<u64>) -> Result<Vec<u64>, Failure> {
    Ok(match wanted {
        Some(wanted) => vec![wanted],
        None => regions(session, id)?.iter().map(|region| region.id).collect(),
    })
}
