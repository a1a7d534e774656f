//! `mknodes` and `mangle`: the nodes in `/dev/mapper`, and names that fit there.

use std::ffi::OsString;
use std::io::Write;

use super::error::Failure;
use super::session::{About, Session};
use super::{create, every};
use crate::dm::{DeviceId, DeviceName, DeviceUuid, Mangling, nodes};
use crate::mapping::{self, Mappings};

pub(super) fn mknodes(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    if words.is_empty() && !session.has_device_option() {
        return mknodes_of(session, &session.all()?);
    }
    let named = session.devices(words)?;
    for id in &named {
        match mapping::find(session.dm()?, id).about(id)? {
            Some(info) => nodes::ensure(&info.name, info.number, create::owner(session).unwrap_or_default())
                .map_err(Failure::refused_for_all)?,
            None => {
                if let DeviceId::Name(name) = id {
                    nodes::remove_stale(name.as_os_str()).map_err(Failure::refused_for_all)?;
                }
            }
        }
    }
    Ok(())
}

/// Makes each device's node, and removes those of devices that are gone.
pub(super) fn mknodes_of(session: &Session, all: &Mappings) -> Result<(), Failure> {
    for stale in nodes::names().map_err(Failure::refused_for_all)? {
        let is_known = DeviceName::new(stale.as_encoded_bytes()).is_ok_and(|name| all.by_name(&name).is_some());
        if !is_known {
            nodes::remove_stale(&stale).map_err(Failure::refused_for_all)?;
        }
    }
    for mapping in all {
        nodes::ensure(
            &mapping.name,
            mapping.number,
            create::owner(session).unwrap_or_default(),
        )
        .map_err(Failure::refused_for_all)?;
    }
    Ok(())
}

/// Gives devices whose names need it names that `/dev/mapper` takes.
pub(super) fn mangle(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    every(session, words, |id, _| {
        let Some(info) = mapping::find(session.dm()?, id).about(id)? else {
            return Err(Failure::Silent);
        };
        let mode = session.mangling();
        let name = DeviceName::mangled(info.name.as_bytes(), mode).map_err(Failure::because)?;
        let uuid = match &info.uuid {
            None => None,
            Some(uuid) => Some(DeviceUuid::mangled(uuid.as_bytes(), mode).map_err(Failure::because)?),
        };
        let shown_uuid = info.uuid.as_ref().map_or("[no UUID]".to_owned(), ToString::to_string);
        let mut out = session.out();
        write!(out, "{}: {shown_uuid}: ", info.name)?;
        if mode == Mangling::None || (name == info.name && uuid == info.uuid) {
            let what = if uuid.is_some() { "name and UUID" } else { "name" };
            writeln!(out, "{what} already in correct form")?;
            return Ok(());
        }
        if name != info.name {
            writeln!(out, "renaming to {name}")?;
        } else {
            writeln!(out)?;
        }
        drop(out);
        if uuid != info.uuid {
            session.complain(format!(
                "{}: UUID is in incorrect form: the kernel lets nobody change it while the device is active.\n",
                info.name
            ));
        }
        if name != info.name {
            session.changing()?.rename(id, &name).about(id)?;
        }
        Ok(())
    })
}
