//! `deps`: the devices that a device uses.

use std::ffi::OsString;
use std::io::Write;

use super::error::Failure;
use super::every::every;
use super::ls::NumberForm;
use super::options::Opt;
use super::session::{About, Session};
use super::{device_report, info};
use crate::mapping::describe;

pub(super) fn deps(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let form = NumberForm::of(session)?.unwrap_or(NumberForm::Number);
    session.tell_each("devices", []);
    every(session, words, |id, many| {
        let many = many || session.options.has(Opt::Select);
        if device_report::selected(session, vec![id.clone()])?.is_empty() {
            return Ok(());
        }
        if session.json() {
            let (info, uses) = session.dm()?.info_and_deps(id, session.which()).about(id)?;
            session.tell_each("devices", [describe::device_and_uses(&info, &uses).into()]);
            return Ok(());
        }
        let numbers = session.dm()?.deps(id, session.which()).about(id)?;
        let verbose = session.options.has(Opt::Verbose);
        let found = session.dm()?.info(id).about(id)?;
        if verbose {
            info::show(session, &found)?;
        } else if many {
            let mut out = session.out();
            out.write_all(&session.shown(&found.name))?;
            out.write_all(b": ")?;
        }
        write!(session.out(), "{} dependencies\t:", numbers.len())?;
        for number in numbers {
            let name = form.name(number);
            let mut out = session.out();
            match name {
                Some(name) => {
                    out.write_all(b" (")?;
                    out.write_all(&name)?;
                    out.write_all(b")")?;
                }
                None => write!(out, " ({}, {})", number.major, number.minor)?,
            }
        }
        let mut out = session.out();
        writeln!(out)?;
        if many && verbose {
            writeln!(out)?;
        }
        Ok(())
    })
}
