//! The command line: its syntax, its meaning, and its messages. No device is touched here.
//!
//! [`flags`] has an entry for each option, with all that is known of it, and [`actions`] one for each action; [`parse`]
//! makes a [`request::Invocation`] of a line, for [`commands`] to run. [`error`] has an exit code for everything that can
//! fail.

pub mod actions;
mod arguments;
pub mod commands;
pub mod error;
pub mod flags;
pub mod help;
pub mod parse;
pub mod request;
mod rules;
pub mod tree;
pub mod usage;
pub mod values;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;

use actions::Verb;
use commands::DmsetupRun;
use error::CliError;
use flags::defs::Options;
use parse::{Checked, Request};
use usage::UsageError;

use crate::console::{Console, ExitCode, Manner, Persona, Report, print};

/// Runs a command line, from the words after the program's name to the exit code. `argv0` is the name that we were started
/// under.
pub fn run(persona: Persona, argv0: &OsStr, words: &[OsString], dmsetup: DmsetupRun) -> ExitCode {
    match parse::parse(persona, words) {
        Ok(Request::Run(checked)) => carry_out(persona, argv0, words, *checked, dmsetup),
        Ok(Request::Version) => print(help::version(persona)),
        Ok(Request::Usage) if persona == Persona::Cryptsetup => {
            // If standard error is closed, the message is lost.
            let _ = std::io::stderr().write_all(help::usage(&argv0.to_string_lossy()).as_bytes());
            ExitCode::Success
        }
        Ok(Request::Usage) => print(help::usage(&argv0.to_string_lossy())),
        Ok(Request::Help(verb)) => print(match persona {
            Persona::Cryptsetup => help::help(),
            Persona::Luksmith => tree::help(verb),
        }),
        Err(error) => refuse(persona, argv0, &error, parse::action(words)),
    }
}

fn carry_out(persona: Persona, argv0: &OsStr, words: &[OsString], checked: Checked, dmsetup: DmsetupRun) -> ExitCode {
    let console = Console::new(manner(persona, checked.options()));
    let line: Vec<_> = std::iter::once(argv0)
        .chain(words.iter().map(OsString::as_os_str))
        .collect();
    console.debug(format_args!(
        "{} processing \"{}\"",
        help::version(persona)
            .split(" flags")
            .next()
            .unwrap_or_default()
            .trim_end(),
        line.join(OsStr::new(" ")).to_string_lossy()
    ));
    let verb = checked.verb();
    console.debug(format_args!("Verifying parameters for command {}.", verb.name()));
    if let Some(note) = checked.note() {
        console.complain(note);
    }
    if checked.options().test_args {
        return print("No action taken. Invoked with --test-args option.\n");
    }
    match checked.invocation(persona) {
        // To cryptsetup, no word of the command line is wrong: the device is.
        Err(error @ CliError::Usage(UsageError::UnknownType(_))) if persona == Persona::Cryptsetup => {
            finish(&console, verb, Err(error))
        }
        Err(CliError::Usage(error)) => refuse(persona, argv0, &error, Some(verb)),
        Err(error) => finish(&console, verb, Err(error)),
        Ok(invocation) => finish(&console, verb, commands::run(&invocation, &console, dmsetup)),
    }
}

fn refuse(persona: Persona, argv0: &OsStr, error: &UsageError, verb: Option<Verb>) -> ExitCode {
    // If standard error is closed, only the exit code is left.
    let _ = std::io::stderr().write_all(help::refusal(persona, &argv0.to_string_lossy(), error).as_bytes());
    match verb {
        Some(Verb::Check) => ExitCode::Unknown,
        _ => ExitCode::Failure,
    }
}

fn manner(persona: Persona, options: &Options) -> Manner {
    Manner {
        persona,
        debug: options.debug || options.debug_json,
        verbose: options.verbose,
        json: options.json,
        batch: options.batch_mode,
    }
}

fn finish(console: &Console, verb: Verb, outcome: Result<(), CliError>) -> ExitCode {
    let report = |error: CliError| match verb {
        // A failure is no verdict.
        Verb::Check => Report {
            code: ExitCode::Unknown,
            ..error.report()
        },
        _ => error.report(),
    };
    console.finish(verb.name(), outcome.map_err(report))
}
