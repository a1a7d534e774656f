//! Errors in a selection, in dmsetup's words.

use std::fmt;

use super::super::help;
use super::super::regex::RegexError;

/// An invalid selection. `Display` is every line that dmsetup shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dmsetup) enum SelectionError {
    /// It asks for the list of fields and operators.
    Help,
    /// No such field.
    Field { name: String, at: String },
    /// A field that cannot be compared.
    NotComparable { name: String, at: String },
    /// A field is missing.
    FieldMissing { at: String },
    /// No operator follows a field, or one that does not fit it.
    Operator {
        defect: OperatorDefect,
        rest: String,
        at: String,
    },
    /// A value of the wrong kind.
    Value {
        defect: ValueDefect,
        field: &'static str,
        at: String,
    },
    /// A number that does not fit into 64 bits.
    Range { value: String, field: &'static str },
    /// A regular expression for a number.
    NotText { field: &'static str },
    /// An invalid regular expression.
    Regex { defect: RegexError, field: &'static str },
    /// Text after a comparison without a logical operator.
    LogicalOperator { at: String },
    /// A missing parenthesis, or one nested too deeply.
    Parenthesis { which: &'static str, at: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dmsetup) enum OperatorDefect {
    Unknown,
    NumbersOnly,
    TimesOnly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dmsetup) enum ValueDefect {
    NoNumber,
    SizeForNumber,
    PercentForNumber,
    PercentForSize,
    NoRegex,
    /// The quotes are not closed.
    Quotes {
        regex: bool,
    },
}

impl fmt::Display for SelectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = help::Fields { kinds: true };
        let at = match self {
            Self::Help => return write!(f, "{fields}{}", help::SELECTION),
            Self::Range { value, field } => {
                return writeln!(
                    f,
                    "Field selection value {value} out of supported range for field {field}."
                );
            }
            Self::NotText { field } => {
                return writeln!(f, "dm_report: incompatible comparison type for selection field {field}");
            }
            Self::Regex { defect, field } => {
                return writeln!(
                    f,
                    "{defect}\nParse error in regex\nCouldn't parse regex\n\
                     dm_report: failed to create regex matcher for selection field {field}"
                );
            }
            Self::Parenthesis { which, at } => {
                return writeln!(f, "Syntax error: {which} parenthesis expected at '{at}'");
            }
            Self::Field { name, at } => {
                writeln!(f, "{fields}Unrecognised selection field: {name}")?;
                at
            }
            Self::NotComparable { name, at } => {
                writeln!(f, "{fields}Selection field is uncomparable: {name}.")?;
                at
            }
            Self::FieldMissing { at } => {
                writeln!(f, "Expecting field name")?;
                at
            }
            Self::Operator { defect, rest, at } => {
                let text = match defect {
                    OperatorDefect::Unknown => "Unrecognised comparison operator",
                    OperatorDefect::NumbersOnly => {
                        "Operator can be used only with number, size, time or percent fields"
                    }
                    OperatorDefect::TimesOnly => "Operator can be used only with time fields",
                };
                writeln!(f, "{}{text}: {rest}", help::SELECTION)?;
                at
            }
            Self::Value { defect, field, at } => {
                writeln!(f, "{defect} for selection field {field}{}", defect.full_stop())?;
                at
            }
            Self::LogicalOperator { at } => {
                writeln!(f, "Expecting logical operator")?;
                at
            }
        };
        writeln!(
            f,
            "Selection syntax error at '{at}'.\nUse 'help' for selection to get more help."
        )
    }
}

impl fmt::Display for ValueDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNumber => "Failed to parse numeric value",
            Self::SizeForNumber => "Found size unit specifier but numeric value expected",
            Self::PercentForNumber => "Found percent value but numeric value expected",
            Self::PercentForSize => "Found percent value but size value expected",
            Self::NoRegex => "Regular expression expected",
            Self::Quotes { regex: true } => "Missing end quote.\nFailed to parse regex value",
            Self::Quotes { regex: false } => "Missing end quote.\nFailed to parse string value",
        })
    }
}

impl ValueDefect {
    fn full_stop(self) -> &'static str {
        if self == Self::NoRegex { "" } else { "." }
    }
}
