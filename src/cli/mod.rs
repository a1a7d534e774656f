//! The command line: what may be typed, what it means, and what is said about it. No device is touched here.
//!
//! [`args`] says what may be typed, [`takes`] which action takes which option, `rules` which options go together, and
//! [`parse`] makes an [`actions::Invocation`] of it, for [`commands`] to carry out. [`error`] has an exit code for
//! everything that can fail.

pub mod actions;
pub mod args;
pub mod commands;
pub mod confirm;
pub(crate) mod describe;
pub mod error;
pub mod exit_code;
mod failures;
pub mod generate;
mod generate_dm;
pub mod help;
pub mod output;
pub mod parse;
pub mod persona;
pub mod progress;
pub mod remedies;
mod rules;
pub mod takes;
pub mod usage;
pub mod values;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;

use clap::ValueEnum as _;
use clap_complete::Shell;

use error::CliError;
use exit_code::ExitCode;
use output::Console;
use parse::{Checked, Request};
use persona::{Persona, Program};
use usage::UsageError;

use crate::descriptors::close_inherited;
use crate::dmsetup;
use crate::initramfs::in_flight;

/// Runs the program, from its command line to its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let code = run_words(arguments);
    keyslots::secret::wipe_stack();
    code
}

fn run_words(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut words = arguments.into_iter();
    let argv0 = words.next().unwrap_or_default();
    let words: Vec<_> = words.collect();
    let persona = match Program::from_argv0(&argv0) {
        Program::Dmsetup => return dmsetup::run(&argv0.to_string_lossy(), &words),
        Program::Volumes(Persona::Luksmith) if words.first().is_some_and(|word| word == "dm") => {
            return dmsetup::run(dmsetup::OWN_NAME, &words[1..]);
        }
        Program::Volumes(persona) => persona,
    };
    if let Some(code) = for_packagers(persona, &words) {
        return code;
    }
    match parse::parse(persona, &words) {
        Ok(Request::Run(checked)) => carry_out(persona, &argv0, &words, *checked),
        Ok(Request::Version) => print(help::version(persona)),
        Ok(Request::Usage) if persona == Persona::Cryptsetup => {
            // Where standard error is closed, nobody can be told.
            let _ = std::io::stderr().write_all(help::usage(&argv0.to_string_lossy()).as_bytes());
            ExitCode::Success
        }
        Ok(Request::Usage) => print(help::usage(&argv0.to_string_lossy())),
        Ok(Request::Help(verb)) => print(match persona {
            Persona::Cryptsetup => help::help(),
            Persona::Luksmith => generate::help(verb),
        }),
        Err(error) => refuse(persona, &argv0, &error),
    }
}

fn carry_out(persona: Persona, argv0: &OsStr, words: &[OsString], checked: Checked) -> ExitCode {
    let console = Console::new(persona, checked.options());
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
        // No word of the command line is wrong to the reference: the device is.
        Err(error @ CliError::Usage(UsageError::UnknownType(_))) if persona == Persona::Cryptsetup => {
            console.finish(verb, Err(error))
        }
        Err(CliError::Usage(error)) => refuse(persona, argv0, &error),
        Err(error) => console.finish(verb, Err(error)),
        Ok(invocation) => console.finish(verb, commands::run(&invocation, &console)),
    }
}

fn refuse(persona: Persona, argv0: &OsStr, error: &UsageError) -> ExitCode {
    // Where standard error is closed, the exit code has to do.
    let _ = std::io::stderr().write_all(help::refusal(persona, &argv0.to_string_lossy(), error).as_bytes());
    ExitCode::Failure
}

/// `luksmith completions <shell>`, `luksmith man-pages <folder>` and the words that this program is started with by itself, which are no
/// actions.
fn for_packagers(persona: Persona, words: &[OsString]) -> Option<ExitCode> {
    let [command, argument] = words else { return None };
    match command.to_str()? {
        _ if persona != Persona::Luksmith => None,
        "completions" => {
            let shell = Shell::from_str(argument.to_str()?, false).ok()?;
            Some(print(generate::completions(shell)))
        }
        // A server, started by `open`; not for people.
        crate::userspace::SERVE_WORD => Some(match crate::userspace::serve(argument.to_str()?) {
            true => ExitCode::Success,
            false => ExitCode::Failure,
        }),
        // What a device that does not answer is left to; not for people.
        in_flight::WAITS => {
            close_inherited();
            in_flight::wait_for_answer();
            Some(ExitCode::Success)
        }
        "man-pages" => Some(match generate::write_man_pages(Path::new(argument)) {
            Ok(()) => ExitCode::Success,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "Cannot write the manual pages: {error}");
                ExitCode::Failure
            }
        }),
        _ => None,
    }
}

/// Prints an answer that needs no console.
fn print(text: impl AsRef<[u8]>) -> ExitCode {
    match std::io::stdout()
        .write_all(text.as_ref())
        .and_then(|()| std::io::stdout().flush())
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::Failure,
        _ => ExitCode::Success,
    }
}
