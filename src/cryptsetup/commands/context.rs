//! The context of every command.

use std::ffi::OsString;

use crate::console::{Console, ExitCode, ProgressForm};
use crate::cryptsetup::flags::defs::Options;
use crate::volume::Flags;

/// Runs a command line of dmsetup, whose text those of our actions print that match one of its verbs.
pub type DmsetupRun = fn(&[OsString]) -> ExitCode;

/// The options, and where to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) options: &'a Options,
    pub(super) console: &'a Console,
    /// See [`DmsetupRun`].
    pub(super) dmsetup: DmsetupRun,
}

impl Context<'_> {
    /// The mapping flags that the options request.
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

    /// How to show the progress of a long copy.
    pub(super) fn progress_form(&self) -> ProgressForm {
        ProgressForm {
            json: self.options.progress_json,
            quiet: self.options.json || self.options.batch_mode,
            frequency: self.options.progress_frequency,
        }
    }
}
