//! What every command has at hand.

use std::ffi::OsString;

use crate::cli::args::Options;
use crate::console::{Console, ExitCode, ProgressForm};

/// Carries a command line of dmsetup's out, which has the text of those of our actions that answer as it does.
pub type DmsetupRun = fn(&[OsString]) -> ExitCode;

/// What was typed beside the action, and where to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) options: &'a Options,
    pub(super) console: &'a Console,
    /// See [`DmsetupRun`].
    pub(super) dmsetup: DmsetupRun,
}

impl Context<'_> {
    /// How the progress of a long copy is to be shown.
    pub(super) fn progress_form(&self) -> ProgressForm {
        ProgressForm {
            json: self.options.progress_json,
            quiet: self.options.json || self.options.batch_mode,
            frequency: self.options.progress_frequency,
        }
    }
}
