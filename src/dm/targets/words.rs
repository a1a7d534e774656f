//! The words of a table or of a status, taken one by one. A text may end anywhere and hold anything.

use std::str::FromStr;

use crate::dm::table::{DeviceRef, digits};

/// The words that are still to come.
#[derive(Debug)]
pub(super) struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text.trim())
    }

    /// What was not taken.
    pub(super) fn rest(&self) -> &'a str {
        self.0
    }

    pub(super) fn peek(&self) -> Option<&'a str> {
        self.0.split_whitespace().next()
    }

    pub(super) fn word(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.0 = self.0[word.len()..].trim_start();
        Some(word)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        self.word().map(str::to_owned)
    }

    /// A word such as the kernel has for modes and actions.
    pub(super) fn name(&mut self) -> Option<String> {
        let is_name = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        self.maybe(|word| is_name(word).then(|| word.to_owned()))
    }

    /// Takes the next word if `read` understands it.
    pub(super) fn maybe<T>(&mut self, read: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        let value = read(self.peek()?)?;
        self.word();
        Some(value)
    }

    /// Takes the next word if it is this one.
    pub(super) fn is(&mut self, expected: &str) -> bool {
        self.maybe(|word| (word == expected).then_some(())).is_some()
    }

    pub(super) fn number<N: FromStr>(&mut self) -> Option<N> {
        self.maybe(digits)
    }

    /// `-` for none, or a number.
    pub(super) fn number_or_none(&mut self) -> Option<Option<u64>> {
        match self.is("-") {
            true => Some(None),
            false => self.number().map(Some),
        }
    }

    /// Two numbers with a slash between them.
    pub(super) fn ratio(&mut self) -> Option<(u64, u64)> {
        self.maybe(|word| {
            let (part, whole) = word.split_once('/')?;
            Some((digits(part)?, digits(whole)?))
        })
    }

    pub(super) fn device(&mut self) -> Option<DeviceRef> {
        self.maybe(|word| DeviceRef::parse(word.as_bytes()))
    }

    /// A device, or `-` where there is none.
    pub(super) fn device_or_none(&mut self) -> Option<Option<DeviceRef>> {
        match self.is("-") {
            true => Some(None),
            false => self.device().map(Some),
        }
    }

    /// As many words as the one before them says; none where the text ends.
    pub(super) fn list(&mut self) -> Option<Vec<String>> {
        match self.peek() {
            None => Some(Vec::new()),
            Some(_) => {
                let count: u64 = self.number()?;
                self.times(count, Self::text)
            }
        }
    }

    /// Reads something `count` times. Each has to take a word, so that a large count ends with the text.
    pub(super) fn times<T>(&mut self, count: u64, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..count).map(|_| read(self)).collect()
    }
}
