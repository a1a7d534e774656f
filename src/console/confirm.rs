//! Confirmation before something is lost.

use super::Console;
use crate::passphrase;

/// Warns, and asks for a YES in capital letters. Without a terminal, and with `--batch-mode`, no question appears and
/// the answer is yes, as scripts rely on. Ctrl-C and the end of the input count as no.
pub fn confirm(console: &Console, warning: &str) -> bool {
    if console.batch() || !passphrase::is_interactive() {
        return true;
    }
    let question = format!("\nWARNING!\n========\n{warning}\n\nAre you sure? (Type 'yes' in capital letters): ");
    passphrase::ask_openly(&question).is_ok_and(|answer| answer == b"YES")
}
