//! Text for a terminal: nothing that somebody else has put into it is taken as a command there.

use std::borrow::Cow;
use std::path::Path;

/// The bytes of printable ASCII, new lines and tabulators.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = true;
        byte += 1;
    }
    plain[b'\n' as usize] = true;
    plain[b'\t' as usize] = true;
    plain
};

/// A text of somebody else's (a header's, a file name) as a part of a line: no control character of it reaches a
/// terminal, and none makes another line of it, which a program would take for ours.
pub(crate) fn clean(text: &str) -> String {
    let replace = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(replace).collect()
}

/// A path as a part of a line.
pub(crate) fn shown(path: &Path) -> String {
    clean(&path.display().to_string())
}

/// A message with whatever was put into it. Lines and columns may be our own.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    // Most is plain, and that is seen without a look at each character.
    if text.bytes().all(|byte| PLAIN[usize::from(byte)]) {
        return text.into();
    }
    let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}
