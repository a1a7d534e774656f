//! `create`: one device from a table, or several from a concise specification.
//!
//! `--addnodeoncreate` and `--addnodeonresume` have no effect: the node is always there when a verb ends.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::error::{Failure, refusal};
use super::options::{Opt, ReadAhead};
use super::session::Session;
use super::{concise, info, source};
use crate::block_device;
use crate::dm::nodes::NodeOwner;
use crate::dm::{Command, DeviceId, DeviceInfo, DeviceName, DmError, NewDevice};

pub(super) fn create(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    if session.options.has(Opt::Concise) {
        return create_all(session, words);
    }
    let (name, file) = match words {
        [name, file @ ..] if !name.is_empty() => (name, file),
        _ => return Err(Failure::because("Please provide a name for the new device.")),
    };
    let name = session.new_name(name)?;
    let uuid = match session.options.bytes(Opt::Uuid) {
        Some(uuid) if !uuid.is_empty() => Some(session.uuid(uuid)?),
        _ => None,
    };
    let table = if session.options.has(Opt::NoTable) {
        None
    } else {
        Some(source::table(session, file.first())?).filter(|table| table.lines().len() > 0)
    };
    make(
        session,
        &NewDevice {
            name: &name,
            uuid: uuid.as_ref(),
            minor: session.options.number.map(|number| number.minor),
            table: table.as_ref(),
            read_only: session.options.has(Opt::ReadOnly),
            owner: owner(session),
        },
    )
}

fn create_all(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let typed = match words {
        [] => None,
        [one] => Some(one),
        _ => return Err(Failure::because("dmsetup create --concise takes at most one argument")),
    };
    let devices = match typed {
        Some(text) => concise::parse(text.as_bytes(), session.mangling())?,
        None => concise::parse(source::standard_input()?.expose(), session.mangling())?,
    };
    // All of them are parsed before the first is made.
    let mut tables = Vec::with_capacity(devices.len());
    for device in &devices {
        tables.push(source::parsed(device.table.expose(), "")?);
    }
    for (device, table) in devices.iter().zip(&tables) {
        make(
            session,
            &NewDevice {
                name: &device.name,
                uuid: device.uuid.as_ref(),
                minor: device.minor,
                table: Some(table).filter(|table| table.lines().len() > 0),
                read_only: device.read_only || session.options.has(Opt::ReadOnly),
                owner: owner(session),
            },
        )?;
    }
    Ok(())
}

fn make(session: &Session, new: &NewDevice<'_>) -> Result<(), Failure> {
    let made = session
        .changing()?
        .create(new)
        .map_err(|error| refused(new.name, error))?;
    apply_read_ahead(session, &made.info)?;
    info::verbose(session, &DeviceId::Number(made.info.number))
}

/// A refused creation has no number yet, a refused table does.
fn refused(name: &DeviceName, error: DmError) -> Failure {
    let on = match &error {
        DmError::Ioctl {
            command: Command::Create,
            ..
        } => format!("{name} "),
        DmError::Ioctl { device, .. } => device.clone(),
        _ => String::new(),
    };
    Failure::Command(refusal(&error, &on))
}

/// `--uid`, `--gid`, `--mode`: for a node that we make.
pub(super) fn owner(session: &Session) -> Option<NodeOwner> {
    let options = &session.options;
    if (options.uid, options.gid, options.mode) == (None, None, None) {
        return None;
    }
    let usual = NodeOwner::default();
    Some(NodeOwner {
        uid: options.uid.unwrap_or(usual.uid),
        gid: options.gid.unwrap_or(usual.gid),
        mode: options.mode.unwrap_or(usual.mode),
    })
}

/// `--readahead`.
pub(super) fn apply_read_ahead(session: &Session, info: &DeviceInfo) -> Result<(), Failure> {
    let wanted = match session.options.read_ahead {
        ReadAhead::Auto => return Ok(()),
        ReadAhead::Sectors(sectors) => u64::from(sectors),
        ReadAhead::AtLeast(sectors) => {
            let sectors = u64::from(sectors);
            if block_device::read_ahead(info.number).is_none_or(|now| now >= sectors) {
                return Ok(());
            }
            sectors
        }
    };
    block_device::set_read_ahead(info.number, wanted)
        .map_err(|error| Failure::because(format_args!("{}: cannot set the read ahead: {error}", info.name)))
}
