//! Parsing a selection.

use super::super::fields::{Holds, Id, Word};
use super::super::regex::Regex;
use super::error::{OperatorDefect, SelectionError, ValueDefect};
use super::{Compare, Selection, Test};

/// How deep parentheses may be nested.
const DEEPEST: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Compare(Compare),
    Regex { matching: bool },
    Time,
}

/// Longer ones first, if one begins with another.
const OPERATORS: &[(&[u8], Operator)] = &[
    (b"=~", Operator::Regex { matching: true }),
    (b"!~", Operator::Regex { matching: false }),
    (b"=", Operator::Compare(Compare::Equal)),
    (b"!=", Operator::Compare(Compare::NotEqual)),
    (b">=", Operator::Compare(Compare::GreaterOrEqual)),
    (b">", Operator::Compare(Compare::Greater)),
    (b"<=", Operator::Compare(Compare::LessOrEqual)),
    (b"<", Operator::Compare(Compare::Less)),
    (b"since", Operator::Time),
    (b"after", Operator::Time),
    (b"until", Operator::Time),
    (b"before", Operator::Time),
];

impl Selection {
    pub(in super::super) fn parse(text: &[u8]) -> Result<Self, SelectionError> {
        let mut parser = Parser { rest: text };
        let selection = parser.any(0)?;
        parser.skip_blanks();
        if !parser.rest.is_empty() {
            return Err(SelectionError::LogicalOperator { at: parser.at() });
        }
        Ok(selection)
    }
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn at(&self) -> String {
        text_of(self.rest)
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn eat(&mut self, word: &[u8]) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn any(&mut self, depth: usize) -> Result<Selection, SelectionError> {
        let mut parts = vec![self.all(depth)?];
        loop {
            self.skip_blanks();
            if !self.eat(b"||") && !self.eat(b"#") {
                return Ok(joined(parts, Selection::Any));
            }
            parts.push(self.all(depth)?);
        }
    }

    fn all(&mut self, depth: usize) -> Result<Selection, SelectionError> {
        let mut parts = vec![self.one(depth)?];
        loop {
            self.skip_blanks();
            if !self.eat(b"&&") && !self.eat(b",") {
                return Ok(joined(parts, Selection::All));
            }
            parts.push(self.one(depth)?);
        }
    }

    fn one(&mut self, depth: usize) -> Result<Selection, SelectionError> {
        let missing = |parser: &Self, which| SelectionError::Parenthesis { which, at: parser.at() };
        self.skip_blanks();
        let negated = self.eat(b"!");
        if !self.eat(b"(") {
            return if negated {
                Err(missing(self, "left"))
            } else {
                self.comparison()
            };
        }
        if depth > DEEPEST {
            return Err(missing(self, "right"));
        }
        let inner = self.any(depth + 1)?;
        if !self.eat(b")") {
            return Err(missing(self, "right"));
        }
        Ok(if negated {
            Selection::Not(Box::new(inner))
        } else {
            inner
        })
    }

    fn comparison(&mut self) -> Result<Selection, SelectionError> {
        let whole = self.at();
        let at = || whole.clone();
        let len = self.rest.iter().take_while(|b| is_name(**b)).count();
        let (name, rest) = self.rest.split_at(len);
        if name.is_empty() {
            return Err(SelectionError::FieldMissing { at: at() });
        }
        let name = text_of(name);
        let id = match Id::find(&name) {
            Some(Word::Field(id)) => id,
            Some(Word::Help) if rest.is_empty() => return Err(SelectionError::Help),
            Some(Word::Help) => return Err(SelectionError::NotComparable { name, at: at() }),
            _ => return Err(SelectionError::Field { name, at: at() }),
        };
        self.rest = rest.trim_ascii_start();
        let found = OPERATORS.iter().find(|(word, _)| self.rest.starts_with(word));
        let refuse = |defect, rest: String| SelectionError::Operator { defect, rest, at: at() };
        let Some((word, operator)) = found else {
            return Err(refuse(OperatorDefect::Unknown, text_of(rest)));
        };
        self.rest = self.rest[word.len()..].trim_ascii_start();
        let field = id.field();
        let test = match (operator, field.holds) {
            (Operator::Time, _) => return Err(refuse(OperatorDefect::TimesOnly, at())),
            (Operator::Regex { matching }, Holds::Text) => self.regex(field.name, *matching, at)?,
            (Operator::Regex { .. }, _) => return Err(SelectionError::NotText { field: field.name }),
            (Operator::Compare(compare), Holds::Text) => {
                let equal = match compare {
                    Compare::Equal => true,
                    Compare::NotEqual => false,
                    _ => return Err(refuse(OperatorDefect::NumbersOnly, at())),
                };
                let value = self.text().map_err(|()| SelectionError::Value {
                    defect: ValueDefect::Quotes { regex: false },
                    field: field.name,
                    at: at(),
                })?;
                Test::Text { value, equal }
            }
            (Operator::Compare(compare), holds) => self.number(id, holds, *compare, at)?,
        };
        Ok(Selection::Is(id, test))
    }

    fn regex(&mut self, field: &'static str, matching: bool, at: impl Fn() -> String) -> Result<Test, SelectionError> {
        let refuse = |defect| SelectionError::Value {
            defect,
            field,
            at: at(),
        };
        // Brackets around the whole serve as quotes, too.
        let closing = match self.rest.first() {
            Some(b'(') => Some(b')'),
            Some(b'[') => Some(b']'),
            Some(b'{') => Some(b'}'),
            Some(quote @ (b'"' | b'\'')) => Some(*quote),
            _ => None,
        };
        let text = match closing {
            Some(closing) => self
                .quoted(closing)
                .ok_or_else(|| refuse(ValueDefect::Quotes { regex: true }))?,
            None => self.unquoted(),
        };
        if closing.is_none() && text.is_empty() {
            return Err(refuse(ValueDefect::NoRegex));
        }
        let regex = Regex::parse(text).map_err(|defect| SelectionError::Regex { defect, field })?;
        Ok(Test::Regex { regex, matching })
    }

    fn text(&mut self) -> Result<Vec<u8>, ()> {
        let text = match self.rest.first() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(*quote).ok_or(())?,
            _ => self.unquoted(),
        };
        Ok(text.to_vec())
    }

    /// The text between the first byte and the next `closing`.
    fn quoted(&mut self, closing: u8) -> Option<&'a [u8]> {
        let inner = &self.rest[1..];
        let end = inner.iter().position(|b| *b == closing)?;
        self.rest = &inner[end + 1..];
        Some(&inner[..end])
    }

    fn unquoted(&mut self) -> &'a [u8] {
        let ends = |n: &usize| {
            let rest = &self.rest[*n..];
            matches!(rest[0], b' ' | b')' | b',' | b'#') || rest.starts_with(b"||") || rest.starts_with(b"&&")
        };
        let end = (0..self.rest.len()).find(ends).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text
    }

    fn number(
        &mut self,
        id: Id,
        holds: Holds,
        compare: Compare,
        at: impl Fn() -> String,
    ) -> Result<Test, SelectionError> {
        let field = id.field().name;
        let refuse = |defect| SelectionError::Value {
            defect,
            field,
            at: at(),
        };
        let digits = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        let whole = digits(self.rest);
        let fraction = match self.rest.get(whole) {
            Some(b'.') => 1 + digits(&self.rest[whole + 1..]),
            _ => 0,
        };
        if whole + fraction == 0 {
            return Err(refuse(ValueDefect::NoNumber));
        }
        let (text, rest) = self.rest.split_at(whole + fraction);
        self.rest = rest;
        let text = text_of(text);
        let unit = rest.first().and_then(|unit| sectors_in(*unit));
        match (holds, rest.first()) {
            (Holds::Size, Some(b'%')) => return Err(refuse(ValueDefect::PercentForSize)),
            (_, Some(b'%')) => return Err(refuse(ValueDefect::PercentForNumber)),
            (Holds::Size, _) => {}
            _ if unit.is_some() => return Err(refuse(ValueDefect::SizeForNumber)),
            _ => {}
        }
        if holds == Holds::Size {
            let number: f64 = text.parse().map_err(|_| refuse(ValueDefect::NoNumber))?;
            if unit.is_some() {
                self.rest = &self.rest[1..];
            }
            let value = number * unit.unwrap_or(MEGABYTE);
            return Ok(Test::Number {
                value,
                exact: value as u64,
                compare,
            });
        }
        // Digits behind the point are ignored.
        let digits = &text[..whole];
        let exact = match digits {
            "" => 0,
            digits => digits.parse().map_err(|_| SelectionError::Range {
                value: text.clone(),
                field,
            })?,
        };
        Ok(Test::Number {
            value: exact as f64,
            exact,
            compare,
        })
    }
}

const MEGABYTE: f64 = 2048.0;

/// The sectors in one of a unit: small letters are powers of 1024, large ones powers of 1000.
fn sectors_in(unit: u8) -> Option<f64> {
    if matches!(unit, b's' | b'S') {
        return Some(1.0);
    }
    let power = b"bkmgtpe".iter().position(|b| *b == unit.to_ascii_lowercase())?;
    let base: f64 = if unit.is_ascii_uppercase() { 1000.0 } else { 1024.0 };
    Some(base.powi(i32::try_from(power).ok()?) / 512.0)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'?')
}

fn joined(mut parts: Vec<Selection>, join: fn(Vec<Selection>) -> Selection) -> Selection {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
