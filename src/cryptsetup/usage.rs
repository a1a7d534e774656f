//! Errors of the command line itself, before any device is accessed.
//!
//! cryptsetup prints its usage text first, then the message; under our own name the message names the correct form
//! instead.

use std::fmt;

use super::actions::Verb;
use super::flags::Flag;
use super::flags::defs::FLAGS;
use super::values::ValueError;

/// An invalid command line. `Display` is cryptsetup's wording.
#[derive(Clone, Debug)]
pub enum UsageError {
    /// No such option; as it was typed.
    UnknownOption(String),
    /// The last option lacks its value; as it was typed.
    MissingValue(String),
    /// A value for an option that has none; as it was typed.
    NoValueTaken(String),
    /// A value that does not fit its option.
    Value {
        /// The option, without dashes.
        option: String,
        /// The value.
        value: String,
        /// The reason.
        error: ValueError,
    },
    /// An option value that is not UTF-8, where only a path may be.
    NotUtf8,
    /// No action.
    ActionMissing,
    /// No such action.
    UnknownAction,
    /// Too few arguments for the action.
    Arguments(Verb),
    /// More arguments than the action takes.
    TooManyArguments(Verb),
    /// An option that the action does not take.
    NotAllowed {
        /// The option.
        option: &'static Flag,
        /// The action.
        verb: Verb,
    },
    /// Options that exclude each other; see `super::rules`.
    Rule(&'static str),
    /// No such type of volume.
    UnknownType(String),
}

impl UsageError {
    /// Whether cryptsetup puts the program's name before the message.
    pub fn is_prefixed(&self) -> bool {
        !matches!(
            self,
            Self::UnknownOption(_) | Self::MissingValue(_) | Self::NoValueTaken(_) | Self::UnknownType(_)
        )
    }

    /// The correct form, if it fits on a line.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::UnknownOption(typed) => similar_option(typed).map(|long| format!("Did you mean --{long}?")),
            Self::Value {
                option,
                value,
                error: ValueError::Number,
            } => Some(format!(
                "--{option} takes a whole number without a unit, not {value:?}."
            )),
            Self::Value {
                option,
                value,
                error: ValueError::Size,
            } => Some(format!(
                "--{option} takes a number with an optional unit (k, M, G, T, or s for sectors), not {value:?}."
            )),
            Self::Value { option, value, .. } => Some(format!("The value of --{option} was {value:?}.")),
            Self::NotAllowed { option, .. } => {
                let names: Vec<_> = option.users().map(|info| info.name).collect();
                Some(match names.is_empty() {
                    true => format!("--{} has no effect in Luksmith.", option.long),
                    false => format!("--{} is for: {}.", option.long, names.join(", ")),
                })
            }
            Self::ActionMissing | Self::UnknownAction => Some("See `luksmith --help` for the actions.".into()),
            Self::Arguments(verb) | Self::TooManyArguments(verb) => {
                Some(format!("See `luksmith {} --help`.", verb.name()))
            }
            Self::UnknownType(_) => {
                Some("Types are luks, luks1, luks2, plain, loopaes, tcrypt, bitlk and fvault2.".into())
            }
            Self::MissingValue(_) | Self::NoValueTaken(_) | Self::NotUtf8 | Self::Rule(_) => None,
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption(typed) => write!(f, "{typed}: unknown option"),
            Self::MissingValue(typed) => write!(f, "{typed}: missing argument"),
            Self::NoValueTaken(typed) => write!(f, "{typed}: option does not take an argument"),
            Self::Value {
                option,
                error: ValueError::Size,
                ..
            } => write!(f, "{} in parameter --{option}.", ValueError::Size),
            Self::Value { error, .. } => error.fmt(f),
            Self::NotUtf8 => f.write_str("an argument is not valid UTF-8"),
            Self::ActionMissing => f.write_str("Argument <action> missing."),
            Self::UnknownAction => f.write_str("Unknown action."),
            Self::Arguments(verb) => write!(f, "{}: requires {} as arguments", verb.name(), verb.info().arguments),
            Self::TooManyArguments(verb) if verb.info().arguments.is_empty() => {
                write!(f, "{}: takes no arguments", verb.name())
            }
            Self::TooManyArguments(verb) => {
                write!(f, "{}: takes only {} as arguments", verb.name(), verb.info().arguments)
            }
            Self::NotAllowed { option, verb } => {
                write!(
                    f,
                    "Option --{} is not allowed with {} action.",
                    option.long,
                    verb.name()
                )
            }
            Self::Rule(text) => f.write_str(text),
            Self::UnknownType(name) => write!(f, "Unrecognized metadata device type {name}."),
        }
    }
}

/// The option that was typed with one dash, or the only one that a mistyped one is the start of.
fn similar_option(typed: &str) -> Option<&'static str> {
    let start = typed
        .trim_start_matches('-')
        .split('=')
        .next()
        .filter(|start| start.len() >= 3)?;
    let mut options = FLAGS
        .iter()
        .map(|flag| flag.long)
        .filter(|long| long.starts_with(start));
    match FLAGS.iter().find(|flag| flag.long == start) {
        Some(flag) => Some(flag.long),
        None => options.next().filter(|_| options.next().is_none()),
    }
}
