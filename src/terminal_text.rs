//! Text for a terminal: nothing in it from another source is taken as a command there.

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

/// Whether a terminal would act on the character: control characters, and those that change the direction of the text
/// around them (Unicode's `Bidi_Control`) or end a line, with which a label can look like another one.
pub(crate) fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text from another source (a header, a file name) as a part of a line: no character that a terminal acts on reaches
/// it, and none starts a new line, which a program would take for ours.
pub(crate) fn clean(text: &str) -> String {
    let replace = |c: char| if acts(c) { '\u{fffd}' } else { c };
    text.chars().map(replace).collect()
}

/// A path as a part of a line.
pub(crate) fn shown(path: &Path) -> String {
    clean(&path.display().to_string())
}

/// A message with foreign text in it. Lines and columns may be our own.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    // Most is plain, which is clear without checking each character.
    if text.bytes().all(|byte| PLAIN[usize::from(byte)]) {
        return text.into();
    }
    let acts = |c: char| acts(c) && !matches!(c, '\n' | '\t');
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether the terminal can wipe a line and rewrite it. One that does not name itself counts as one that cannot.
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
