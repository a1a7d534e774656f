//! From an action to the file that carries it out.

use super::actions::Invocation;
use super::error::{CliError, ExitCode};
use super::output::Console;

/// Carries an invocation out.
///
/// # Errors
/// Whatever the action fails with.
pub fn run(invocation: &Invocation, console: &Console) -> Result<(), CliError> {
    console.debug(format_args!("Running command {}.", invocation.verb.name()));
    Err(CliError::Silent(ExitCode::Failure))
}
