//! The steps of a program, for `--debug`; and warnings about what went wrong without being a failure.
//!
//! Every room may write here; the owner of the terminal says where it goes, and until then it goes nowhere. Never a secret,
//! and never a table or a message for a target, which may have a key in it.

use std::fmt;
use std::sync::OnceLock;

/// The level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A step.
    Debug,
    /// A warning for the user.
    Warning,
}

type Sink = fn(Level, &str);

static SINK: OnceLock<(Level, Sink)> = OnceLock::new();

/// Sends lines of this level and of those above it to `sink`, for the rest of the program's life.
pub fn send(least: Level, sink: Sink) {
    // The first call wins.
    let _ = SINK.set((least, sink));
}

fn line(level: Level, text: fmt::Arguments<'_>) {
    if let Some((least, sink)) = SINK.get()
        && level >= *least
    {
        sink(level, &text.to_string());
    }
}

/// Logs a step.
pub(crate) fn debug(text: fmt::Arguments<'_>) {
    line(Level::Debug, text);
}

/// Logs a warning for the user.
pub(crate) fn warn(text: fmt::Arguments<'_>) {
    line(Level::Warning, text);
}
