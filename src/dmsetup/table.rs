//! `table`, `status` and `measure`: the targets of a device, and their status.

use std::ffi::OsString;
use std::io::{self, Write};

use super::error::Failure;
use super::json::Tables;
use super::ls::{self, NO_DEVICES};
use super::options::Opt;
use super::output::Output;
use super::session::{About, Session};
use super::{concise, device_report, info};
use crate::dm::table::Line;
use crate::dm::{DeviceId, DeviceInfo, Dm, DmError, StatusOptions, TableText};

/// The query for each device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Table,
    Status,
    Measurement,
}

impl Question {
    /// Only tables have keys in them.
    fn with_keys(self, session: &Session) -> bool {
        self != Self::Table || session.options.has(Opt::ShowKeys)
    }

    /// The JSON name of the answer for one target.
    fn texts(self) -> &'static str {
        match self {
            Self::Table => "parameters",
            Self::Status => "status",
            Self::Measurement => "measurement",
        }
    }
}

pub(super) fn table(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    answer(session, words, Question::Table)
}

pub(super) fn status(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    answer(session, words, Question::Status)
}

pub(super) fn measure(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    answer(session, words, Question::Measurement)
}

fn answer(session: &Session, words: &[OsString], question: Question) -> Result<(), Failure> {
    let named = session.devices(words)?;
    let all = named.is_empty();
    let devices = if all {
        session
            .all()?
            .iter()
            .map(|mapping| DeviceId::Name(mapping.name.clone()))
            .collect()
    } else {
        named
    };
    session.tell_each("devices", []);
    if devices.is_empty() {
        session.say(NO_DEVICES)?;
        return Ok(());
    }
    let select = session.options.has(Opt::Select);
    let many = all || select || devices.len() > 1;
    let devices = device_report::selected(session, devices)?;
    let concise = question == Question::Table && session.options.has(Opt::Concise);
    let mut shown = 0;
    for id in &devices {
        let (info, table) = match ask(session, session.dm()?, id, question) {
            // It was removed since it was listed.
            Err(error) if all && error.is_not_found() => continue,
            Err(error) if question != Question::Table && error.is_not_found() => {
                return Err(Failure::because("Device does not exist."));
            }
            answer => answer.about(id)?,
        };
        let wanted = session.options.bytes(Opt::Target);
        if wanted.is_some_and(|kind| !table.lines().any(|line| line.kind.as_bytes() == kind)) {
            continue;
        }
        if let Some(command) = session.options.text(Opt::Exec) {
            ls::execute(session, &command, &info.name)?;
        } else if session.json() {
            session.tell_tables(Tables {
                info,
                table,
                texts: question.texts(),
                with_keys: question.with_keys(session),
                wanted: wanted.map(<[u8]>::to_vec),
            });
        } else if concise {
            concise::write(session, &info, &table, shown)?;
        } else {
            show(session, &info, &table, question, many)?;
        }
        shown += 1;
    }
    if concise && !session.json() && (shown > 0 || !select) {
        writeln!(session.out())?;
    }
    Ok(())
}

fn ask(session: &Session, dm: &Dm, id: &DeviceId, question: Question) -> Result<(DeviceInfo, TableText), DmError> {
    let which = session.which();
    let no_flush = session.options.has(Opt::NoFlush);
    match question {
        Question::Table => dm.table(id, which),
        Question::Status => dm.status(id, StatusOptions { which, no_flush }),
        Question::Measurement => dm.measurement(id),
    }
}

fn show(
    session: &Session,
    info: &DeviceInfo,
    table: &TableText,
    question: Question,
    many: bool,
) -> Result<(), Failure> {
    let verbose = session.options.has(Opt::Verbose);
    if verbose {
        info::show(session, info)?;
    }
    let mut out = session.out();
    let name = |out: &mut Output| -> io::Result<()> {
        if many && !verbose {
            out.write_all(&session.shown(&info.name))?;
            out.write_all(b": ")?;
        }
        Ok(())
    };
    let wanted = session.options.bytes(Opt::Target);
    let with_keys = question.with_keys(session);
    for line in table.lines() {
        if wanted.is_none_or(|kind| line.kind.as_bytes() == kind) {
            name(&mut out)?;
            write_line(&mut *out, &line, with_keys)?;
            writeln!(out)?;
        }
    }
    if table.lines().len() == 0 {
        name(&mut out)?;
        writeln!(out)?;
    }
    if many && verbose {
        writeln!(out)?;
    }
    Ok(())
}

/// One line, with keys only if they may be shown.
pub(super) fn write_line(out: &mut impl Write, line: &Line<'_>, with_keys: bool) -> io::Result<()> {
    write!(out, "{} {} {} ", line.start.get(), line.length.get(), line.kind)?;
    if with_keys {
        out.write_all(line.params)
    } else {
        out.write_all(&line.shown())
    }
}
