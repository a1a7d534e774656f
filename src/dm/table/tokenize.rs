//! The words of a target's parameters, read one by one and written one by one.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use keyslots::units::Sectors;

use super::text::TableText;
use crate::block_device::DevNo;

/// Why a text is not a valid table. It names the line and the field, and never shows a value: that may be a key.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A line lacks its start, its length or its target type, or they are not numbers.
    #[error("line {line} of the table does not begin with two numbers and a target type")]
    BadLine {
        /// Counted from 1.
        line: usize,
    },
    /// A target's parameters are wrong.
    #[error("the {field} of the {target} target is missing or wrong")]
    BadField {
        /// The target type.
        target: &'static str,
        /// The parameter.
        field: &'static str,
    },
    /// A value with a space or a NUL in it, which a table cannot hold.
    #[error("the {field} cannot stand in a table: it is empty, or has a space or a control character in it")]
    Unprintable {
        /// The kind of value.
        field: &'static str,
    },
    /// More than 15 bytes, or none, or a space in them.
    #[error("not the name of a target type")]
    BadType,
    /// Out of memory that can be locked and wiped.
    #[error("no memory for a table: {0}")]
    Memory(#[from] io::Error),
}

/// A device in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceRef {
    /// By number, as the kernel reports it.
    Number(DevNo),
    /// By path, which the kernel resolves when the table is loaded.
    Path(PathBuf),
}

impl DeviceRef {
    /// A path that opens the device, `None` where there is no such node.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Number(number) => number.path(),
            Self::Path(path) => Some(path.clone()),
        }
    }

    /// The device's number, `None` where the path leads to no block device.
    pub fn number(&self) -> Option<DevNo> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Path(path) => DevNo::of_path(path).ok().flatten(),
        }
    }
}

impl fmt::Display for DeviceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl DeviceRef {
    pub(crate) fn parse(word: &[u8]) -> Option<Self> {
        if let Some(number) = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok()) {
            return Some(Self::Number(number));
        }
        (word.first() == Some(&b'/')).then(|| Self::Path(OsStr::from_bytes(word).into()))
    }
}

impl From<DevNo> for DeviceRef {
    fn from(number: DevNo) -> Self {
        Self::Number(number)
    }
}

/// The characters that no word of a table may contain, read or written.
fn is_control(byte: &u8) -> bool {
    *byte < b' ' || *byte == 0x7f
}

/// The parameters of one target, being written word by word into wiped memory.
pub(super) struct Params<'a> {
    pub(super) text: &'a mut TableText,
    pub(super) first: bool,
}

impl Params<'_> {
    pub(super) fn word(&mut self, word: &[u8], field: &'static str) -> Result<(), TableError> {
        if word.is_empty() || word.iter().any(|b| *b == b' ' || is_control(b)) {
            return Err(TableError::Unprintable { field });
        }
        if !self.first {
            self.raw(b" ")?;
        }
        self.first = false;
        self.raw(word)
    }

    pub(super) fn number(&mut self, number: u64) -> Result<(), TableError> {
        self.word(number.to_string().as_bytes(), "number")
    }

    pub(super) fn device(&mut self, device: &DeviceRef) -> Result<(), TableError> {
        match device {
            DeviceRef::Number(number) => self.word(number.to_string().as_bytes(), "device"),
            DeviceRef::Path(path) => self.word(path.as_os_str().as_bytes(), "device path"),
        }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), TableError> {
        if bytes.contains(&0) {
            return Err(TableError::Unprintable { field: "parameter" });
        }
        Ok(self.text.append(bytes)?)
    }
}

/// The words of a parameter string, taken one by one; each error names what was expected.
pub(super) struct Words<'a> {
    target: &'static str,
    words: std::slice::Split<'a, u8, fn(&u8) -> bool>,
}

impl<'a> Words<'a> {
    pub(super) fn new(target: &'static str, params: &'a [u8]) -> Self {
        Self {
            target,
            words: params.split(|b| *b == b' '),
        }
    }

    pub(super) fn bad(&self, field: &'static str) -> TableError {
        TableError::BadField {
            target: self.target,
            field,
        }
    }

    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        self.words.find(|word| !word.is_empty())
    }

    pub(super) fn word(&mut self, field: &'static str) -> Result<&'a [u8], TableError> {
        let printable = |word: &&[u8]| !word.iter().any(is_control);
        self.next().filter(printable).ok_or_else(|| self.bad(field))
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, TableError> {
        let word = self.word(field)?;
        std::str::from_utf8(word).map_err(|_| self.bad(field))
    }

    pub(super) fn number<N: std::str::FromStr>(&mut self, field: &'static str) -> Result<N, TableError> {
        let word = self.text(field)?;
        digits(word).ok_or_else(|| self.bad(field))
    }

    pub(super) fn sectors(&mut self, field: &'static str) -> Result<Sectors, TableError> {
        self.number(field).map(Sectors::new)
    }

    pub(super) fn device(&mut self, field: &'static str) -> Result<DeviceRef, TableError> {
        let word = self.word(field)?;
        DeviceRef::parse(word).ok_or_else(|| self.bad(field))
    }

    pub(super) fn end(mut self) -> Result<(), TableError> {
        match self.next() {
            Some(_) => Err(self.bad("end")),
            None => Ok(()),
        }
    }
}

/// A number without a sign; `parse` alone would take `+1`.
pub(in crate::dm) fn digits<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}
