//! Changes to an existing device: `rename`, `message`, `setgeometry`.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use keyslots::secret::Secret;

use super::error::Failure;
use super::options::{Opt, digits};
use super::session::{About, Session};
use crate::dm::{Command, DeviceId, DmError, MessageReply};

pub(super) fn rename(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let (id, new) = match words {
        [new] => (session.device(None)?, new),
        [device, new] => (session.named(device)?, new),
        _ => return Err(Failure::Arguments),
    };
    if session.options.has(Opt::SetUuid) {
        let uuid = session.uuid(new.as_bytes())?;
        session.changing()?.set_uuid(&id, &uuid).about(&id)?;
        return Ok(());
    }
    if new.is_empty() {
        return Err(Failure::because("Non empty new name is required."));
    }
    let new = session.new_name(new)?;
    session.changing()?.rename(&id, &new).about(&id)?;
    Ok(())
}

pub(super) fn message(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let (id, words) = if session.has_device_option() {
        (session.device(None)?, words)
    } else {
        let Some((device, words)) = words.split_first() else {
            return Err(Failure::Arguments);
        };
        (session.named(device)?, words)
    };
    let Some((sector, words)) = words.split_first() else {
        return Err(Failure::Arguments);
    };
    let sector = digits(&sector.to_string_lossy()).ok_or_else(|| Failure::because("Invalid sector."))?;
    if words.is_empty() {
        session.complain("No message supplied.\n");
        let refused = DmError::Ioctl {
            command: Command::Message,
            device: String::new(),
            errno: nix::errno::Errno::EINVAL,
        };
        return Err(refused).about(&id);
    }
    // A message may set a key.
    let length = words.iter().map(|word| word.len() + 1).sum();
    let mut message =
        Secret::zeroed(length).map_err(|error| Failure::because(format_args!("No memory for the message: {error}")))?;
    let mut rest = message.expose_mut();
    for word in words {
        let (place, tail) = rest.split_at_mut(word.len());
        place.copy_from_slice(word.as_bytes());
        tail[0] = b' ';
        rest = &mut tail[1..];
    }
    message.truncate(length - 1);
    match session.dm()?.message(&id, sector, message.expose()).about(&id)? {
        MessageReply::Done => Ok(()),
        MessageReply::Text(text) => {
            session.tell("response", || String::from_utf8_lossy(&text).into());
            if session.json() {
                return Ok(());
            }
            let mut out = session.out();
            out.write_all(&text)?;
            if !text.is_empty() && !text.ends_with(b"\n") {
                out.write_all(b"\n")?;
            }
            Ok(())
        }
    }
}

pub(super) fn setgeometry(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let (id, numbers): (DeviceId, _) = match words {
        numbers if numbers.len() == 4 && session.has_device_option() => (session.device(None)?, numbers),
        [device, numbers @ ..] if numbers.len() == 4 => (session.named(device)?, numbers),
        _ => return Err(Failure::Arguments),
    };
    let number = |i: usize| numbers[i].to_string_lossy().into_owned();
    let shape = (|| {
        Some((
            digits(&number(0))?,
            digits(&number(1))?,
            digits(&number(2))?,
            digits(&number(3))?,
        ))
    })();
    let refused = || DmError::Ioctl {
        command: Command::SetGeometry,
        device: String::new(),
        errno: nix::errno::Errno::EINVAL,
    };
    let dm = session.dm()?;
    dm.info(&id)
        .map_err(|error| error.during(Command::SetGeometry))
        .about(&id)?;
    match shape {
        Some((cylinders, heads, sectors, start)) => dm.set_geometry(&id, cylinders, heads, sectors, start),
        None => Err(refused()),
    }
    .about(&id)
}
