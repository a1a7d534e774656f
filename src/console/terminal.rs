//! What the terminal can show.

use std::env;
use std::io::{self, IsTerminal as _};

use terminal_size::Width;

/// Whether people here read UTF-8: the first of these that says anything decides, as in the C library.
pub fn speaks_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(env::var_os)
        .find(|value| !value.is_empty());
    let set = set.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    set.ends_with("utf-8") || set.ends_with("utf8")
}

/// The columns of the terminal that takes the output; what is too narrow to draw on is none.
pub fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (Width(columns), _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(columns)).filter(|columns| *columns > 3)
}
