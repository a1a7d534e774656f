//! A field of a row, and the defaults of a kind of report.

use std::cmp::Ordering;

use super::fields::Needs;

/// The defaults of one kind of report.
#[derive(Clone, Copy, Debug)]
pub(in crate::dmsetup) struct Kind<'a> {
    /// The columns without `-o`.
    pub(in crate::dmsetup) columns: &'a str,
    /// The sort keys without `-O`.
    pub(in crate::dmsetup) sort: &'static str,
    /// The fields that `all` selects.
    pub(in crate::dmsetup) all: fn(Needs) -> bool,
}

/// One field of one row.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dmsetup) struct Cell {
    /// The displayed text.
    pub(in crate::dmsetup) text: Vec<u8>,
    /// The value for sorting and selecting.
    pub(in crate::dmsetup) order: Order,
}

/// How a field of a row compares to those of others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::dmsetup) enum Order {
    /// By its text.
    Text,
    /// By a number: a size in sectors of 512 bytes.
    Number(u64),
}

impl Cell {
    pub(in crate::dmsetup) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self {
            text: text.into(),
            order: Order::Text,
        }
    }

    pub(in crate::dmsetup) fn number(number: impl Into<u64>) -> Self {
        let number = number.into();
        Self::shown(number.to_string(), number)
    }

    /// A number that is shown in another form.
    pub(in crate::dmsetup) fn shown(text: impl Into<Vec<u8>>, number: u64) -> Self {
        Self {
            text: text.into(),
            order: Order::Number(number),
        }
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self.order, other.order) {
            (Order::Number(a), Order::Number(b)) => a.cmp(&b),
            _ => self.text.cmp(&other.text),
        }
    }
}
