//! dmsetup: its command line, its output and its exit codes, over the same device-mapper layer that the volumes use.
//!
//! `options` defines the options, `verbs` the arguments and the function of each verb; there is one file for each group
//! of verbs. Exit codes are 0 and 1.

mod change;
mod concise;
mod cookies;
mod create;
mod deps;
mod device_report;
mod device_row;
mod error;
mod every;
mod getopt;
mod info;
mod json;
mod ls;
mod naming;
mod nodes;
mod options;
mod output;
mod remove;
mod report;
mod reports;
mod session;
mod shared_cookie;
mod source;
mod splitname;
mod stats;
mod suspend_load;
mod table;
mod targets;
mod tree;
mod usage;
mod verbs;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

use crate::block_device::DevNo;
use crate::console::ExitCode;
use crate::dm::DeviceId;
use crate::log::{self, Level};
use crate::mapping;
use crate::terminal_text::clean;
use error::Failure;
pub use options::OWN_NAME;
use options::{Opt, Options};
use session::{About, Session};

const DMSETUP: &str = "dmsetup";
/// A verb that udev's rules used to call: the name of a device, by its number.
const DEVMAP_NAME: &str = "devmap_name";

/// Each verb's name, its arguments line by line, and its description.
pub fn verbs() -> impl Iterator<Item = (&'static str, &'static [&'static str], &'static str)> {
    verbs::summaries()
}

/// Whether this name means dmsetup. Endings such as `dmsetup.static` do not matter.
pub fn is_called(argv0: &OsStr) -> bool {
    let name = Path::new(argv0).file_name().and_then(OsStr::to_str).unwrap_or_default();
    [DMSETUP, stats::OWN_NAME, DEVMAP_NAME, stats::monitor::OWN_NAME]
        .iter()
        .any(|own| name.starts_with(own))
}

/// Runs a command line, from the words after the program's name to the exit code.
pub fn run(argv0: &str, words: &[OsString]) -> ExitCode {
    log::send(Level::Warning, |_, text| {
        // If standard error is closed, the message is lost.
        let _ = writeln!(io::stderr(), "{}", clean(text));
    });
    match run_words(argv0, words) {
        Ok(()) => ExitCode::Success,
        Err(failure) => {
            // If standard error is closed, only the exit code is left.
            let _ = io::stderr().write_all(usage::failure_text(&failure, argv0).as_bytes());
            ExitCode::Failure
        }
    }
}

fn run_words(argv0: &str, words: &[OsString]) -> Result<(), Failure> {
    let name = Path::new(argv0).file_name().and_then(OsStr::to_str).unwrap_or_default();
    if name.starts_with(stats::monitor::OWN_NAME) {
        let (options, _) = Options::parse(argv0, &[])?;
        return stats::monitor::run(&Session::new(options)?, words);
    }
    let (options, mut words) = Options::parse(argv0, words)?;
    let mut session = Session::new(options)?;
    session.as_dmstats = name.starts_with(stats::OWN_NAME);
    if session.as_dmstats && !words.is_empty() {
        words.insert(0, "stats".into());
    }
    let outcome = if name.starts_with(DEVMAP_NAME) {
        devmap_name(&session, &words)
    } else {
        dispatch(&session, argv0, &words)
    };
    let written = session.write_answer(outcome.as_ref().copied());
    // Output from before a failure is printed before its message.
    let finished = session.finish();
    outcome?;
    match written {
        // A reader that closes early is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(finished?)
}

fn devmap_name(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let number: Option<DevNo> = words.join(":").parse().ok();
    let usage = || Failure::CommandLine(format!("Usage: {DEVMAP_NAME} <major> <minor>\n"));
    let id = DeviceId::Number(number.ok_or_else(usage)?);
    let info = mapping::find(session.dm()?, &id).about(&id)?;
    let info = info.ok_or_else(|| Failure::because("Device does not exist."))?;
    let mut out = session.out();
    out.write_all(&session.shown(&info.name))?;
    Ok(out.write_all(b"\n")?)
}

fn dispatch(session: &Session, argv0: &str, words: &[OsString]) -> Result<(), Failure> {
    session.name_command(|| "dm".to_owned());
    if session.options.has(Opt::Version) {
        session.name_command(|| "dm version".to_owned());
        return targets::version(session, &[]);
    }
    let is_help = words.first().is_some_and(|word| word == "help");
    if is_help && words.len() > 1 {
        return Err(Failure::Arguments);
    }
    if is_help && !session.options.has(Opt::Help) {
        ls::check_form(session, "help")?;
    }
    if session.as_dmstats && words.is_empty() {
        return Err(Failure::Report(stats::usage(session)));
    }
    if session.options.has(Opt::Help) && words.first().is_some_and(|word| word == "stats") {
        session.complain(stats::usage(session));
        return Ok(());
    }
    if is_help || session.options.has(Opt::Help) {
        session.complain(usage::usage(argv0));
        if session.options.has(Opt::Columns) {
            session.complain(report::field_list());
        }
        return Ok(());
    }
    let Some((name, words)) = words.split_first() else {
        return Err(Failure::NoCommand);
    };
    let verb = verbs::find(name).ok_or(Failure::UnknownCommand)?;
    session.name_command(|| format!("dm {}", verb.name));
    if !verb.takes(words.len()) {
        return Err(Failure::Arguments);
    }
    ls::check_form(session, verb.name)?;
    (verb.run)(session, words)
}
