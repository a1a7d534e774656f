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

/// Whether a terminal would act on the character: control characters, and those that turn the direction of the text around
/// them (Unicode's `Bidi_Control`) or end a line, with which a label can look like another one.
pub(crate) fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of somebody else's (a header's, a file name) as a part of a line: no character of it that a terminal acts on
/// reaches one, and none makes another line of it, which a program would take for ours.
pub(crate) fn clean(text: &str) -> String {
    let replace = |c: char| if acts(c) { '\u{fffd}' } else { c };
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
    let acts = |c: char| acts(c) && !matches!(c, '\n' | '\t');
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether the terminal can wipe a line and write it anew. One that says nothing of itself is taken for one that cannot.
pub(crate) fn can_wipe_line() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_turns_or_ends_a_line() {
        for c in "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{7f}\u{9b}\u{1b}".chars() {
            let text = format!("a{c}ü");
            assert_eq!(clean(&text), "a\u{fffd}ü", "{c:?}");
            assert_eq!(harmless(&text), "a\u{fffd}ü", "{c:?}");
        }
        assert_eq!(harmless("a\n\tb – \u{5d0}"), "a\n\tb – \u{5d0}");
    }
}
