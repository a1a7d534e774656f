//! `mknodes` and `mangle`: the nodes in `/dev/mapper`, and names that fit there.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use super::error::Failure;
use super::every::every_device;
use super::session::{About, Session};
use super::{create, naming};
use crate::dm::{DeviceId, DeviceName, DeviceUuid, Mangling, nodes};
use crate::mapping::describe;
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
        let id = match DeviceName::new(stale.as_encoded_bytes()) {
            Ok(name) if all.by_name(&name).is_some() => continue,
            Ok(name) => Some(DeviceId::Name(name)),
            Err(_) => None,
        };
        // A device that was created since the list was read has made its node.
        let has_come = match &id {
            Some(id) => mapping::find(session.dm()?, id).about(id)?.is_some(),
            None => false,
        };
        if !has_come {
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

/// Renames devices whose names `/dev/mapper` cannot take. Those that cannot be renamed are reported, after all others
/// are done.
pub(super) fn mangle(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let named = words
        .iter()
        .map(|word| as_held(session, word))
        .collect::<Result<_, _>>()?;
    let devices = match words {
        [] => session.devices(words)?,
        _ => named,
    };
    session.tell_each("devices", []);
    let mut failed = false;
    every_device(session, devices, |id, _| {
        match mangle_one(session, id) {
            Err(Failure::Command(message)) => {
                session.complain(format!("{message}\n"));
                failed = true;
            }
            Err(Failure::Silent) => failed = true,
            outcome => return outcome,
        }
        Ok(())
    })?;
    if failed { Err(Failure::Silent) } else { Ok(()) }
}

/// The device with exactly the typed name, else the one that it names elsewhere.
fn as_held(session: &Session, word: &OsString) -> Result<DeviceId, Failure> {
    if let Ok(name) = DeviceName::new(word.as_bytes()) {
        let id = DeviceId::Name(name);
        if mapping::find(session.dm()?, &id).about(&id)?.is_some() {
            return Ok(id);
        }
    }
    session.named(word)
}

fn mangle_one(session: &Session, id: &DeviceId) -> Result<(), Failure> {
    let Some(info) = mapping::find(session.dm()?, id).about(id)? else {
        return Err(Failure::Silent);
    };
    // A mangled name is right in every mode.
    let mode = match session.mangling() {
        Mangling::None => Mangling::None,
        Mangling::Hex | Mangling::Auto => Mangling::Auto,
    };
    let uuid = info.uuid.as_ref();
    let shown_uuid = uuid.map_or("[no UUID]".to_owned(), ToString::to_string);
    if uuid.is_some_and(|uuid| DeviceUuid::mangled(uuid.as_bytes(), mode).as_ref() != Ok(uuid)) {
        return Err(Failure::because(format_args!(
            "{}: {shown_uuid}: UUID in incorrect form. \n\
             Unable to change device UUID. The device must be deactivated first.",
            info.name
        )));
    }
    let name = naming::name(info.name.as_bytes(), mode)?;
    session.tell_each(
        "devices",
        [json!({
            "name": describe::name(&name),
            "old_name": describe::name(&info.name),
            "uuid": uuid.map(describe::uuid),
        })],
    );
    if name == info.name {
        let what = if uuid.is_some() { "name and UUID" } else { "name" };
        let text = format!("{}: {shown_uuid}: {what} already in correct form\n", info.name);
        return Ok(session.say(text)?);
    }
    session.say(format!("{}: renaming to {name}\n", info.name))?;
    session.changing()?.rename(id, &name).about(id)?;
    Ok(())
}
