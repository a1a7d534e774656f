//! `-S`: selects rows. `field operator value`, combined with `&&` (or `,`), `||` (or `#`), `!` and parentheses; `&&`
//! binds closer than `||`.

mod error;
mod parser;

use super::cell::{Cell, Order};
use super::fields::Id;
use super::regex::Regex;

pub(in crate::dmsetup) use error::SelectionError;

/// A selection.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Selection {
    Is(Id, Test),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// The value that a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Text { value: Vec<u8>, equal: bool },
    Regex { regex: Regex, matching: bool },
    Number { value: f64, exact: u64, compare: Compare },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Selection {
    /// Every field in it.
    pub(super) fn fields(&self) -> Vec<Id> {
        match self {
            Self::Is(id, _) => vec![*id],
            Self::Not(inner) => inner.fields(),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::fields).collect(),
        }
    }

    /// Whether it selects a row with these fields.
    pub(super) fn takes<E>(&self, cell: &mut dyn FnMut(Id) -> Result<Cell, E>) -> Result<bool, E> {
        match self {
            Self::Is(id, test) => Ok(test.holds(&cell(*id)?)),
            Self::Not(inner) => Ok(!inner.takes(cell)?),
            Self::All(parts) => {
                for part in parts {
                    if !part.takes(cell)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(parts) => {
                for part in parts {
                    if part.takes(cell)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

impl Test {
    fn holds(&self, cell: &Cell) -> bool {
        match self {
            Self::Text { value, equal } => (cell.text == *value) == *equal,
            Self::Regex { regex, matching } => regex.matches(&cell.text) == *matching,
            Self::Number { value, exact, compare } => {
                let order = match cell.order {
                    // Whole numbers of 64 bits would lose digits as fractions.
                    Order::Number(number) if value.fract() == 0.0 => number.partial_cmp(exact),
                    Order::Number(number) => (number as f64).partial_cmp(value),
                    Order::Text => None,
                };
                order.is_some_and(|order| match compare {
                    Compare::Equal => order.is_eq(),
                    Compare::NotEqual => order.is_ne(),
                    Compare::Greater => order.is_gt(),
                    Compare::GreaterOrEqual => order.is_ge(),
                    Compare::Less => order.is_lt(),
                    Compare::LessOrEqual => order.is_le(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
