//! What every command has at hand.

use std::ffi::OsString;

use crate::console::{Console, ExitCode, ProgressForm};
use crate::cryptsetup::args::Options;
use crate::volume::Flags;

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
    /// The flags of a mapping that the options ask for.
    pub(super) fn flags(&self) -> Flags {
        let options = self.options;
        Flags {
            read_only: options.readonly,
            allow_discards: options.allow_discards,
            same_cpu_crypt: options.perf_same_cpu_crypt,
            submit_from_crypt_cpus: options.perf_submit_from_crypt_cpus,
            no_read_workqueue: options.perf_no_read_workqueue,
            no_write_workqueue: options.perf_no_write_workqueue,
            high_priority: options.perf_high_priority,
        }
    }

    /// How the progress of a long copy is to be shown.
    pub(super) fn progress_form(&self) -> ProgressForm {
        ProgressForm {
            json: self.options.progress_json,
            quiet: self.options.json || self.options.batch_mode,
            frequency: self.options.progress_frequency,
        }
    }
}
