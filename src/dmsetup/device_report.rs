//! `info -c`: a report with a row for each device, repeated as requested.

use std::ffi::OsString;

use super::device_row::{DeviceRow, Untold};
use super::error::Failure;
use super::ls;
use super::options::Opt;
use super::report::{Id, Kind, Needs, Report, Request, Row};
use super::reports::{self, Repetition};
use super::session::Session;
use crate::dm::DeviceId;
use crate::mapping::Tree;

const KIND: Kind<'_> = Kind {
    columns: "name,major,minor,attr,open,segments,events,uuid",
    sort: "",
    all: |needs| !matches!(needs, Needs::Special | Needs::Stats | Needs::Region),
};

pub(super) fn info(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let repetition = Repetition::of(session)?;
    let Some(mut report) = reports::begin(session, &KIND)? else {
        return Ok(());
    };
    repetition.each(session, |_| {
        let outcome = one_round(session, &mut report, words);
        // Rows from before a failure are printed before its message.
        reports::show(session, &mut report)?;
        outcome
    })
}

fn one_round(session: &Session, report: &mut Report, words: &[OsString]) -> Result<(), Failure> {
    let named = session.devices(words)?;
    let all = if named.is_empty() || report.uses(Needs::Tree) {
        Some(session.all()?)
    } else {
        None
    };
    let tree = match &all {
        Some(all) if report.uses(Needs::Tree) => Some(Tree::of(session.dm()?, all).map_err(Failure::refused_for_all)?),
        _ => None,
    };
    let with_deps = report.uses(Needs::Deps);
    let mut outcome = Ok(());
    for id in &named {
        let row = DeviceRow::asked(session, id, tree.as_ref(), with_deps)?;
        outcome = add(session, report, &row)?.and(outcome);
    }
    if let (true, Some(all)) = (named.is_empty(), &all) {
        if all.is_empty() {
            session.say(ls::NO_DEVICES)?;
        }
        for mapping in all {
            let row = DeviceRow::listed(session, mapping, tree.as_ref(), with_deps);
            outcome = add(session, report, &row)?.and(outcome);
        }
    }
    outcome
}

/// Those of some devices that `-S` selects, for verbs that are not reports; all of them without `-S`.
pub(super) fn selected(session: &Session, devices: Vec<DeviceId>) -> Result<Vec<DeviceId>, Failure> {
    let Some(select) = session.options.bytes(Opt::Select) else {
        return Ok(devices);
    };
    let request = Request {
        select: Some(select),
        ..Request::default()
    };
    let report = Report::new(&KIND, &request).map_err(|error| Failure::Report(error.to_string()))?;
    let tree = if report.uses(Needs::Tree) {
        Some(Tree::of(session.dm()?, &session.all()?).map_err(Failure::refused_for_all)?)
    } else {
        None
    };
    let mut taken = Vec::new();
    for id in devices {
        let row = DeviceRow::asked(session, &id, tree.as_ref(), report.uses(Needs::Deps))?;
        match report.selects(&row) {
            Ok(true) => taken.push(id),
            Ok(false) | Err((_, Untold::Gone)) => {}
            Err((_, Untold::Failed(failure))) => return Err(failure),
            Err((id, Untold::Because(message))) => {
                unreported(session, id, &message);
                return Err(Failure::Silent);
            }
        }
    }
    Ok(taken)
}

/// Adds a row. If one of its fields is unavailable, the other rows are shown anyway, and the inner failure is the whole
/// report's.
pub(super) fn add(
    session: &Session,
    report: &mut Report,
    row: &impl Row<Untold>,
) -> Result<Result<(), Failure>, Failure> {
    match report.add(row) {
        Ok(()) | Err((_, Untold::Gone)) => Ok(Ok(())),
        Err((_, Untold::Failed(failure))) => Err(failure),
        Err((id, Untold::Because(message))) => {
            unreported(session, id, &message);
            Ok(Err(Failure::Silent))
        }
    }
}

fn unreported(session: &Session, id: Id, message: &str) {
    session.complain(format!(
        "{message}_do_report_object: report function failed for field {}\n",
        id.name()
    ));
}
