//! `ls`: the devices, by name and number, or with a command run for each.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process;

use super::error::Failure;
use super::options::Opt;
use super::session::{About, Session};
use crate::block_device::DevNo;
use crate::dm::{DeviceId, DeviceName, TableText, nodes};
use crate::mapping;

pub(super) const NO_DEVICES: &str = "No devices found\n";

/// How a device's number is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberForm {
    /// As two numbers.
    Number,
    /// As the kernel's name of the block device.
    KernelName,
    /// As the name of a mapped device, and as the kernel's name for any other.
    MappedName,
}

impl NumberForm {
    /// What `-o` asks for.
    pub(super) fn of(session: &Session) -> Result<Option<Self>, Failure> {
        let Some(text) = session.options.text(Opt::Options) else {
            return Ok(None);
        };
        let mut form = None;
        for word in text.split(',') {
            form = Some(match word {
                "devno" => Self::Number,
                "blkdevname" => Self::KernelName,
                "devname" => Self::MappedName,
                _ => return Err(Failure::CommandLine(format!("Option not recognised: {word}."))),
            });
        }
        Ok(form)
    }

    /// The name, where this form has one and the system knows it.
    pub(super) fn name(self, session: &Session, number: DevNo) -> Result<Option<Vec<u8>>, Failure> {
        if self == Self::MappedName && mapping::is_mapped(number) {
            let found = mapping::find(session.dm()?, &DeviceId::Number(number)).about(&DeviceId::Number(number))?;
            if let Some(info) = found {
                return Ok(Some(session.shown(&info.name)));
            }
        }
        Ok(match self {
            Self::Number => None,
            Self::KernelName | Self::MappedName => number.kernel_name().map(String::into_bytes),
        })
    }
}

pub(super) fn ls(session: &Session, _: &[OsString]) -> Result<(), Failure> {
    let form = NumberForm::of(session)?;
    let all = session.all()?;
    if all.is_empty() {
        session.out().write_all(NO_DEVICES.as_bytes())?;
        return Ok(());
    }
    for mapping in &all {
        let wanted = session.options.bytes(Opt::Target);
        if let Some(wanted) = wanted {
            let id = DeviceId::Number(mapping.number);
            match session.dm()?.table(&id, session.which()) {
                Ok((_, table)) if has_target(&table, wanted) => {}
                Err(error) if !error.is_not_found() => return Err(error).about(&id),
                _ => continue,
            }
        }
        if let Some(command) = session.options.text(Opt::Exec) {
            execute(session, &command, &mapping.name)?;
            continue;
        }
        let mut out = session.out();
        out.write_all(&session.shown(&mapping.name))?;
        let name = form.unwrap_or(NumberForm::Number).name(session, mapping.number)?;
        match name.filter(|_| wanted.is_none()) {
            Some(name) => {
                out.write_all(b"\t(")?;
                out.write_all(&name)?;
                out.write_all(b")\n")?;
            }
            // dmsetup writes numbers in another form where it has asked for the tables.
            None if wanted.is_some() => writeln!(out, "\t({}, {})", mapping.number.major, mapping.number.minor)?,
            None => writeln!(out, "\t({})", mapping.number)?,
        }
    }
    Ok(())
}

fn has_target(table: &TableText, wanted: &[u8]) -> bool {
    table.lines().any(|line| line.kind.as_bytes() == wanted)
}

/// Runs a command with the device's node as its last word. Its exit code does not matter.
pub(super) fn execute(session: &Session, command: &str, name: &DeviceName) -> Result<(), Failure> {
    session.out().flush()?;
    let mut words = command.split_ascii_whitespace();
    let Some(program) = words.next() else {
        return Ok(());
    };
    let node: PathBuf = nodes::mapper_dir().join(std::ffi::OsStr::from_bytes(&session.shown(name)));
    if let Err(error) = process::Command::new(program).args(words).arg(node).status() {
        session.complain(format!("{program}: cannot be run: {error}\n"));
    }
    Ok(())
}
