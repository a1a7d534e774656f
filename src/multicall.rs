//! Choosing the command line by the name that the program is started under.

use std::ffi::{OsStr, OsString};

use clap::ValueEnum as _;
use clap_complete::Shell;

use crate::boot::in_flight;
use crate::console::{ExitCode, Persona, print};
use crate::descriptors::close_inherited;
use crate::{cryptsetup, dmsetup, manual, userspace};

/// The command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// The one for volumes, in one of its two styles.
    Volumes(Persona),
    /// dmsetup's.
    Dmsetup,
}

impl Program {
    /// From the first word of the command line.
    fn from_argv0(argv0: &OsStr) -> Self {
        if dmsetup::is_called(argv0) {
            Self::Dmsetup
        } else {
            Self::Volumes(Persona::from_argv0(argv0))
        }
    }
}

/// Runs the program, from its command line to its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let code = run_words(arguments);
    keyslots::secret::wipe_stack_after_secrets();
    code
}

fn run_words(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut words = arguments.into_iter();
    let argv0 = words.next().unwrap_or_default();
    let words: Vec<_> = words.collect();
    let persona = match Program::from_argv0(&argv0) {
        Program::Dmsetup => return dmsetup::run(&argv0.to_string_lossy(), &words),
        Program::Volumes(persona) => persona,
    };
    if persona == Persona::Luksmith {
        if words.first().is_some_and(|word| word == "dm") {
            return luksmith_dm(&words[1..]);
        }
        if let Some(code) = no_action(&words) {
            return code;
        }
    }
    cryptsetup::run(persona, &argv0, &words, luksmith_dm)
}

fn luksmith_dm(words: &[OsString]) -> ExitCode {
    dmsetup::run(dmsetup::OWN_NAME, words)
}

/// `luksmith completions <shell>` and the words that this program starts itself with, which are
/// not actions.
fn no_action(words: &[OsString]) -> Option<ExitCode> {
    let [command, argument] = words else { return None };
    match command.to_str()? {
        "completions" => {
            let shell = Shell::from_str(argument.to_str()?, false).ok()?;
            Some(print(manual::completions(shell)))
        }
        // A server, started by `open`; not for users.
        userspace::SERVE_WORD => Some(match userspace::serve(argument.to_str()?) {
            true => ExitCode::Success,
            false => ExitCode::Failure,
        }),
        // Waits for a device that does not answer; not for users.
        in_flight::WAITS => {
            close_inherited();
            in_flight::wait_for_answer();
            Some(ExitCode::Success)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_decides() {
        let program = |argv0: &str| Program::from_argv0(OsStr::new(argv0));
        assert_eq!(program("/sbin/dmsetup"), Program::Dmsetup);
        assert_eq!(program("dmsetup.static"), Program::Dmsetup);
        assert_eq!(program("/dmsetup/luksmith"), Program::Volumes(Persona::Luksmith));
    }
}
