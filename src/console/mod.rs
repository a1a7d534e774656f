//! What both command lines share: text and JSON output, exit codes, questions, progress, trees. It knows no option and no
//! action.

mod confirm;
mod envelope;
mod exit_code;
pub(crate) mod forest;
mod output;
mod persona;
mod progress;
mod terminal;
mod unreachable;

pub use confirm::confirm;
pub use envelope::{SCHEMA_VERSION, json_text};
pub use exit_code::ExitCode;
pub use output::{Console, Deriving, Manner, Report, print};
pub use persona::Persona;
pub(crate) use progress::amount;
pub use progress::{Progress, ProgressForm};
pub use terminal::{speaks_utf8, terminal_width};
pub(crate) use unreachable::unreachable_text;
