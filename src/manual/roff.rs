//! Text as the source of a manual page: escaped, one sentence on a line, lines short enough for readers of the source.

use crate::cryptsetup::actions::Verb;
use crate::cryptsetup::flags::Flag;

/// The longest line, in characters.
const WIDTH: usize = 78;

/// Escapes text so that nothing in it is an instruction: hyphens stay hyphens, and words in backticks are bold.
pub(super) fn escaped(text: &str) -> String {
    let mut bold = false;
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '`' => {
                bold = !bold;
                escaped.push_str(if bold { "\\fB" } else { "\\fR" });
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A paragraph of plain text, filled: a new sentence is on a new line.
pub(super) fn filled(text: &str) -> String {
    filled_raw(&escaped(text))
}

/// As [`filled`], for text that is already escaped.
pub(super) fn filled_raw(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let ended = |line: &str| line.ends_with(['.', '?', '!']) || line.ends_with(".)");
        let starts = word
            .trim_start_matches("\\fB")
            .starts_with(|letter: char| letter.is_uppercase() || letter.is_ascii_digit());
        let last = lines.last_mut().expect("there is a first line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() > WIDTH || (ended(last) && starts) {
            lines.push(word.to_owned());
        } else {
            last.push(' ');
            last.push_str(word);
        }
    }
    let mut text = String::new();
    for line in lines {
        // At the start of a line these two would make it an instruction.
        if line.starts_with(['.', '\'']) {
            text.push_str("\\&");
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// One option: its names, its value, and its description, as an action explains it or a list of all options.
pub(super) fn option(flag: &Flag, verb: Option<Verb>) -> String {
    let short = flag
        .short
        .map(|short| format!("\\fB\\-{short}\\fR, "))
        .unwrap_or_default();
    let mut names = format!("{short}\\fB\\-\\-{}\\fR", escaped(flag.long));
    if let Some(value) = verb.map_or(flag.value, |verb| flag.value_name(verb)) {
        names.push_str(&format!(" \\fI{}\\fR", escaped(value)));
    }
    let help = match verb {
        Some(verb) => flag.help(verb).to_owned(),
        None => flag.list_help(),
    };
    let end = if help.ends_with(['.', '!', '?']) { "" } else { "." };
    format!(".TP\n{names}\n{}", filled(&format!("{help}{end}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_instruction() {
        assert_eq!(filled(".br `a-b` \\n"), "\\&.br \\fBa\\-b\\fR \\en\n");
    }

    #[test]
    fn a_sentence_starts_a_line() {
        assert_eq!(
            filled("One, e.g. this. Two. 3 are three"),
            "One, e.g. this.\nTwo.\n3 are three\n"
        );
        assert!(filled(&"word ".repeat(100)).lines().all(|line| line.len() <= WIDTH));
    }
}
