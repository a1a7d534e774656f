//! The abilities of the terminal.

use std::env;
use std::io::{self, IsTerminal as _};

use terminal_size::Width;

/// Whether the locale is UTF-8: the first of these variables that is set decides, as in the C library.
pub fn speaks_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(env::var_os)
        .find(|value| !value.is_empty());
    let set = set.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    set.ends_with("utf-8") || set.ends_with("utf8")
}

/// The columns of the terminal that takes the output; `None` if it is too narrow to draw on.
pub fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (Width(columns), _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(columns)).filter(|columns| *columns > 3)
}
