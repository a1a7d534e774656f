//! A command line parsed as the C library's `getopt_long` does it, with its messages: options may be anywhere, long ones
//! may be abbreviated if that is unambiguous, and `--` ends them.
//!
//! It knows no option; [`super::options`] does.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// One option: its names, and whether it takes a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec<T> {
    pub(super) long: &'static str,
    /// Its letters; most have one or none.
    pub(super) letters: &'static [u8],
    pub(super) value: bool,
    pub(super) id: T,
}

/// The parts of a command line.
#[derive(Debug)]
pub(super) struct Parsed<T> {
    /// Options in the order in which they were typed.
    pub(super) options: Vec<(T, Option<OsString>)>,
    /// All other words.
    pub(super) words: Vec<OsString>,
}

/// An unknown option. `Display` is the C library's wording, less the program's name in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OptionError {
    Unknown(String),
    UnknownShort(u8),
    Ambiguous(String, Vec<&'static str>),
    MissingValue(&'static str),
    MissingShortValue(u8),
    NoValueTaken(&'static str),
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(typed) => write!(f, "unrecognized option '--{typed}'"),
            Self::UnknownShort(letter) => write!(f, "invalid option -- '{}'", letter.escape_ascii()),
            Self::Ambiguous(typed, names) => {
                write!(f, "option '--{typed}' is ambiguous; possibilities:")?;
                names.iter().try_for_each(|name| write!(f, " '--{name}'"))
            }
            Self::MissingValue(long) => write!(f, "option '--{long}' requires an argument"),
            Self::MissingShortValue(letter) => write!(f, "option requires an argument -- '{}'", char::from(*letter)),
            Self::NoValueTaken(long) => write!(f, "option '--{long}' doesn't allow an argument"),
        }
    }
}

/// Parses a command line. `permute` allows options after other words.
pub(super) fn parse<T: Copy>(specs: &[Spec<T>], words: &[OsString], permute: bool) -> Result<Parsed<T>, OptionError> {
    let mut parsed = Parsed {
        options: Vec::new(),
        words: Vec::new(),
    };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_bytes() {
            b"--" => break,
            [b'-', b'-', long @ ..] => {
                let option = take_long(specs, long, || rest.next().cloned())?;
                parsed.options.push(option);
            }
            [b'-', letters @ ..] if !letters.is_empty() => {
                take_short(specs, letters, &mut parsed.options, || rest.next().cloned())?;
            }
            _ => {
                parsed.words.push(word.clone());
                if !permute {
                    break;
                }
            }
        }
    }
    parsed.words.extend(rest.cloned());
    Ok(parsed)
}

fn take_long<T: Copy>(
    specs: &[Spec<T>],
    typed: &[u8],
    next: impl FnOnce() -> Option<OsString>,
) -> Result<(T, Option<OsString>), OptionError> {
    let shown = || OsStr::from_bytes(typed).to_string_lossy().into_owned();
    let equals = typed.iter().position(|b| *b == b'=');
    let (name, value) = match equals {
        Some(at) => (&typed[..at], Some(OsString::from_vec(typed[at + 1..].to_vec()))),
        None => (typed, None),
    };
    let exact = specs.iter().find(|spec| spec.long.as_bytes() == name);
    let spec = match exact {
        Some(spec) => spec,
        None => {
            let candidates: Vec<_> = specs
                .iter()
                .filter(|spec| spec.long.as_bytes().starts_with(name))
                .collect();
            match candidates.as_slice() {
                [] => return Err(OptionError::Unknown(shown())),
                [one] => *one,
                many => {
                    return Err(OptionError::Ambiguous(
                        shown(),
                        many.iter().map(|spec| spec.long).collect(),
                    ));
                }
            }
        }
    };
    match (spec.value, value) {
        (false, Some(_)) => Err(OptionError::NoValueTaken(spec.long)),
        (false, None) => Ok((spec.id, None)),
        (true, Some(value)) => Ok((spec.id, Some(value))),
        (true, None) => match next() {
            Some(value) => Ok((spec.id, Some(value))),
            None => Err(OptionError::MissingValue(spec.long)),
        },
    }
}

fn take_short<T: Copy>(
    specs: &[Spec<T>],
    letters: &[u8],
    options: &mut Vec<(T, Option<OsString>)>,
    next: impl FnOnce() -> Option<OsString>,
) -> Result<(), OptionError> {
    for (i, letter) in letters.iter().enumerate() {
        let spec = specs
            .iter()
            .find(|spec| spec.letters.contains(letter))
            .ok_or(OptionError::UnknownShort(*letter))?;
        if !spec.value {
            options.push((spec.id, None));
            continue;
        }
        let attached = &letters[i + 1..];
        let value = if attached.is_empty() {
            next().ok_or(OptionError::MissingShortValue(*letter))?
        } else {
            OsString::from_vec(attached.to_vec())
        };
        options.push((spec.id, Some(value)));
        break;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[Spec<u8>] = &[
        Spec {
            long: "verbose",
            letters: b"vV",
            value: false,
            id: 1,
        },
        Spec {
            long: "version",
            letters: b"",
            value: false,
            id: 2,
        },
        Spec {
            long: "major",
            letters: b"j",
            value: true,
            id: 3,
        },
    ];

    fn parsed(line: &[&str]) -> Result<Parsed<u8>, String> {
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        parse(SPECS, &words, true).map_err(|error| error.to_string())
    }

    #[test]
    fn options_stand_anywhere_and_may_be_cut_short() {
        let line = parsed(&[
            "info", "-vV", "-j7", "a", "--maj=8", "--major", "9", "-j", "10", "--", "-v",
        ]);
        let line = line.expect("a good line");
        assert_eq!(line.words, ["info", "a", "-v"]);
        let options: Vec<_> = line
            .options
            .iter()
            .map(|(id, value)| (*id, value.as_deref().and_then(OsStr::to_str).unwrap_or("")))
            .collect();
        assert_eq!(options, [(1, ""), (1, ""), (3, "7"), (3, "8"), (3, "9"), (3, "10")]);
        assert_eq!(parsed(&["-"]).expect("a good line").words, ["-"]);
    }

    #[test]
    fn the_messages_are_the_c_librarys() {
        for (line, message) in [
            (
                "--ver",
                "option '--ver' is ambiguous; possibilities: '--verbose' '--version'",
            ),
            ("--x=y", "unrecognized option '--x=y'"),
            ("-Z", "invalid option -- 'Z'"),
            ("-j", "option requires an argument -- 'j'"),
            ("--maj", "option '--major' requires an argument"),
            ("--verb=1", "option '--verbose' doesn't allow an argument"),
        ] {
            assert_eq!(parsed(&[line]).expect_err(line), message);
        }
    }

    #[test]
    fn where_order_matters_the_first_word_ends_the_options() {
        let words: Vec<OsString> = ["-v", "info", "-j"].iter().map(OsString::from).collect();
        let line = parse(SPECS, &words, false).expect("a good line");
        assert_eq!(line.options.len(), 1);
        assert_eq!(line.words, ["info", "-j"]);
    }
}
