//! `version`, `targets` and `target-version`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use super::error::{Failure, refusal};
use super::session::Session;
use crate::dm::table::TargetType;
use crate::dm::{Command, DmError, Version};

/// The version of dmsetup whose command line is implemented. Programs parse it.
pub(super) const DMSETUP_VERSION: &str = "1.02.185 (2022-05-18)";

pub(super) fn version(session: &Session, _: &[OsString]) -> Result<(), Failure> {
    session.tell("library_version", || DMSETUP_VERSION.into());
    session.say(format!("Library version:   {DMSETUP_VERSION}\n"))?;
    let kernel = session.dm()?.version();
    session.tell("driver_version", || kernel.to_string().into());
    session.say(format!("Driver version:    {kernel}\n"))?;
    Ok(())
}

pub(super) fn targets(session: &Session, _: &[OsString]) -> Result<(), Failure> {
    for (kind, version) in session.dm()?.target_versions().map_err(Failure::refused_for_all)? {
        write_version(session, kind, version)?;
    }
    Ok(())
}

pub(super) fn target_version(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    for word in words {
        let none = |errno| {
            let error = DmError::Ioctl {
                command: Command::TargetVersion,
                device: String::new(),
                errno,
            };
            Failure::Command(refusal(&error, &format!("{} ", word.to_string_lossy())))
        };
        let kind = TargetType::new(word.as_bytes()).map_err(|_| none(nix::errno::Errno::EINVAL))?;
        match session.dm()?.target_version(kind).map_err(Failure::refused_for_all)? {
            Some(version) => write_version(session, kind, version)?,
            None => return Err(none(nix::errno::Errno::EINVAL)),
        }
    }
    Ok(())
}

fn write_version(session: &Session, kind: TargetType, version: Version) -> Result<(), Failure> {
    let entry = json!({ "type": kind.as_str(), "version": version.to_string() });
    session.tell_each("targets", [entry]);
    Ok(session.say(format!("{:<16} v{version}\n", kind.as_str()))?)
}
