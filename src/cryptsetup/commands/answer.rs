//! `answer`: passes the passphrase that `unlock` waits for from another shell.

use super::context::Context;
use crate::boot::prompt::responder;
use crate::console::ExitCode;
use crate::cryptsetup::error::CliError;

/// Returns the exit code of `unlock`.
pub(super) fn answer(_cx: &Context<'_>) -> Result<(), CliError> {
    match responder::converse()? {
        0 => Ok(()),
        2 => Err(CliError::Silent(ExitCode::Permission)),
        3 => Err(CliError::Silent(ExitCode::OutOfMemory)),
        4 => Err(CliError::Silent(ExitCode::WrongDevice)),
        5 => Err(CliError::Silent(ExitCode::Busy)),
        _ => Err(CliError::Silent(ExitCode::Failure)),
    }
}
