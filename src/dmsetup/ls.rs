//! `ls`: the devices, by name and number, or with a command run for each.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process;

use serde_json::{Value, json};

use super::error::Failure;
use super::options::Opt;
use super::session::{About, Session};
use super::tree;
use crate::block_device::{self, DevNo};
use crate::dm::{DeviceId, DeviceName, Printable, TableText, nodes};
use crate::mapping::Mapping;
use crate::mapping::describe;

pub(super) const NO_DEVICES: &str = "No devices found\n";

/// Checks the value of `-o`, before all else: except for reports and the tree, which have other values, it sets how numbers
/// are shown, and no verb takes any other value.
pub(super) fn check_form(session: &Session, verb: &str) -> Result<(), Failure> {
    if session.options.has(Opt::Tree) {
        return tree::Form::of(session).map(drop);
    }
    let reports = session.options.has(Opt::Columns) || session.as_dmstats || matches!(verb, "stats" | "splitname");
    if reports {
        return Ok(());
    }
    NumberForm::of(session).map(drop)
}

/// The form of a device's number.
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
    /// The form that `-o` requests.
    pub(super) fn of(session: &Session) -> Result<Option<Self>, Failure> {
        let Some(text) = session.options.text(Opt::Options) else {
            return Ok(None);
        };
        let mut form = None;
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (word, next) = rest.split_once(',').unwrap_or((rest, ""));
            form = match word {
                "" => form,
                "devno" => Some(Self::Number),
                "blkdevname" => Some(Self::KernelName),
                "devname" => Some(Self::MappedName),
                _ => return Err(Failure::CommandLine(format!("Option not recognised: {rest}."))),
            };
            rest = next;
        }
        Ok(form)
    }

    /// The name, if this form has one and sysfs reports it; mangled, as it is there.
    pub(super) fn name(self, number: DevNo) -> Option<Vec<u8>> {
        let name = match self {
            Self::Number => None,
            Self::KernelName => number.kernel_name(),
            Self::MappedName => block_device::dm_name_and_uuid(number)
                .map(|(name, _)| name)
                .or_else(|| number.kernel_name()),
        };
        Some(Printable(name?.as_bytes()).to_string().into_bytes())
    }
}

pub(super) fn ls(session: &Session, _: &[OsString]) -> Result<(), Failure> {
    let as_tree = session.options.has(Opt::Tree);
    let wanted_tree = as_tree.then(|| tree::Form::of(session)).transpose()?;
    let form = if as_tree { None } else { NumberForm::of(session)? };
    let all = session.all()?;
    session.tell_each(if as_tree { "layers" } else { "devices" }, []);
    if all.is_empty() {
        session.say(NO_DEVICES)?;
        return Ok(());
    }
    // When devices are selected or passed on, there is no tree.
    if let (Some(form), false, false) = (
        wanted_tree,
        session.options.has(Opt::Target),
        session.options.has(Opt::Exec),
    ) {
        return tree::show(session, &all, &form);
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
        if session.json() {
            session.tell_each("devices", [entry(mapping)]);
            continue;
        }
        let mut out = session.out();
        out.write_all(&session.shown(&mapping.name))?;
        let name = form.unwrap_or(NumberForm::Number).name(mapping.number);
        match name.filter(|_| wanted.is_none()) {
            Some(name) => {
                out.write_all(b"\t(")?;
                out.write_all(&name)?;
                out.write_all(b")\n")?;
            }
            // dmsetup writes numbers in another form if it has read the tables.
            None if wanted.is_some() => writeln!(out, "\t({}, {})", mapping.number.major, mapping.number.minor)?,
            None => writeln!(out, "\t({})", mapping.number)?,
        }
    }
    Ok(())
}

fn entry(mapping: &Mapping) -> Value {
    json!({
        "name": describe::name(&mapping.name),
        "path": describe::path(&mapping.name),
        "device_number": mapping.number.to_string(),
        "kernel_name": mapping.number.kernel_name(),
        "uuid": mapping.uuid.as_ref().map(describe::uuid),
        "type": describe::kind(mapping.uuid.as_ref()),
    })
}

fn has_target(table: &TableText, wanted: &[u8]) -> bool {
    table.lines().any(|line| line.kind.as_bytes() == wanted)
}

/// Runs a command with the device's node as its last argument. Its exit code is ignored.
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
