//! Tables: which target serves which sectors of a device.
//!
//! [`Table`] has types for the targets that this program makes or looks into; [`TableText`] holds the parameters as the
//! kernel has them, in wiped memory, since a crypt target's hold the key. One becomes the other: [`Table::to_text`],
//! [`Table::from_text`]. A target that is not known in detail is kept as its text.

mod crypt;
mod simple;
mod text;

pub use crypt::{CryptKey, CryptOptions, CryptTarget, IntegrityTags, KeyKind, put_hex};
pub use simple::{Linear, Snapshot, Stripe, Striped};
pub use text::{Line, TableText, TargetType};

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use keyslots::secret::Secret;
use keyslots::units::Sectors;

use crate::block_device::DevNo;

/// Why a text is no table. It names the line and the field, and never shows a value: that may be a key.
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
        /// What kind of value.
        field: &'static str,
    },
    /// More than 15 bytes, or none, or a space in them.
    #[error("not the name of a target type")]
    BadType,
    /// No memory that can be locked and wiped.
    #[error("no memory for a table: {0}")]
    Memory(#[from] io::Error),
}

/// A table with its targets by type.
#[derive(Debug)]
pub struct Table {
    /// The lines, in ascending order of their starts, without gaps.
    pub lines: Vec<TargetLine>,
}

/// One line of a [`Table`].
#[derive(Debug)]
pub struct TargetLine {
    /// Where it begins on the device.
    pub start: Sectors,
    /// How much of the device it serves.
    pub length: Sectors,
    /// Who serves it.
    pub target: Target,
}

/// A target and its parameters.
#[derive(Debug)]
pub enum Target {
    /// Encryption by dm-crypt.
    Crypt(CryptTarget),
    /// A piece of another device.
    Linear(Linear),
    /// Pieces of several devices in turns.
    Striped(Striped),
    /// Each read and write fails.
    Error,
    /// Reads zeros, forgets writes.
    Zero,
    /// A snapshot, its origin, or a snapshot that is being merged back.
    Snapshot(Snapshot),
    /// Any other, as text.
    Other(OtherTarget),
}

/// A target whose parameters are kept as they came.
pub struct OtherTarget {
    /// The type.
    pub kind: TargetType,
    /// The parameters; dm-integrity's have keys in them, so none are printed.
    pub params: Secret,
}

/// A device in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceRef {
    /// By number, as the kernel tells it.
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

impl Table {
    /// A table of one target.
    pub fn single(length: Sectors, target: Target) -> Self {
        Self {
            lines: vec![TargetLine {
                start: Sectors::ZERO,
                length,
                target,
            }],
        }
    }

    /// Puts the parameters into the kernel's form.
    ///
    /// # Errors
    /// [`TableError`] for a value that a table cannot hold, or where there is no memory.
    pub fn to_text(&self) -> Result<TableText, TableError> {
        let mut text = TableText::with_room(0)?;
        for line in &self.lines {
            text.push_with(line.start, line.length, line.target.kind(), |params| {
                line.target.render(params)
            })?;
        }
        Ok(text)
    }

    /// Takes the parameters apart. A target of an unknown type becomes [`Target::Other`].
    ///
    /// # Errors
    /// [`TableError`] where a known target's parameters are not what they must be.
    pub fn from_text(text: &TableText) -> Result<Self, TableError> {
        let lines = text
            .lines()
            .map(|line| {
                let target = Target::parse(line.kind, line.params)?;
                Ok(TargetLine {
                    start: line.start,
                    length: line.length,
                    target,
                })
            })
            .collect::<Result<_, TableError>>()?;
        Ok(Self { lines })
    }

    /// The one crypt target that an encrypted volume's table consists of.
    pub fn as_crypt(&self) -> Option<(&TargetLine, &CryptTarget)> {
        match self.lines.as_slice() {
            [
                line @ TargetLine {
                    target: Target::Crypt(crypt),
                    ..
                },
            ] => Some((line, crypt)),
            _ => None,
        }
    }
}

impl Target {
    /// The type's name.
    pub fn kind(&self) -> TargetType {
        match self {
            Self::Crypt(_) => TargetType::CRYPT,
            Self::Linear(_) => TargetType::LINEAR,
            Self::Striped(_) => TargetType::STRIPED,
            Self::Error => TargetType::ERROR,
            Self::Zero => TargetType::ZERO,
            Self::Snapshot(snapshot) => snapshot.kind(),
            Self::Other(other) => other.kind,
        }
    }

    /// Takes the parameters of one line apart.
    ///
    /// # Errors
    /// As [`Table::from_text`].
    pub fn parse(kind: TargetType, params: &[u8]) -> Result<Self, TableError> {
        Ok(match kind {
            TargetType::CRYPT => Self::Crypt(CryptTarget::parse(params)?),
            TargetType::LINEAR => Self::Linear(Linear::parse(params)?),
            TargetType::STRIPED => Self::Striped(Striped::parse(params)?),
            TargetType::ERROR if params.is_empty() => Self::Error,
            TargetType::ZERO if params.is_empty() => Self::Zero,
            TargetType::SNAPSHOT | TargetType::SNAPSHOT_ORIGIN | TargetType::SNAPSHOT_MERGE => {
                Self::Snapshot(Snapshot::parse(kind, params)?)
            }
            _ => Self::Other(OtherTarget {
                kind,
                params: Secret::copy_from(params)?,
            }),
        })
    }

    fn render(&self, out: &mut Params<'_>) -> Result<(), TableError> {
        match self {
            Self::Crypt(crypt) => crypt.render(out),
            Self::Linear(linear) => linear.render(out),
            Self::Striped(striped) => striped.render(out),
            Self::Error | Self::Zero => Ok(()),
            Self::Snapshot(snapshot) => snapshot.render(out),
            Self::Other(other) => out.raw(other.params.expose()),
        }
    }
}

impl fmt::Debug for OtherTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtherTarget")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
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

/// What is in no word of a table, read or written.
fn is_control(byte: &u8) -> bool {
    *byte < b' ' || *byte == 0x7f
}

/// The parameters of one target, being written word by word into wiped memory.
struct Params<'a> {
    text: &'a mut TableText,
    first: bool,
}

impl Params<'_> {
    fn word(&mut self, word: &[u8], field: &'static str) -> Result<(), TableError> {
        if word.is_empty() || word.iter().any(|b| *b == b' ' || is_control(b)) {
            return Err(TableError::Unprintable { field });
        }
        if !self.first {
            self.raw(b" ")?;
        }
        self.first = false;
        self.raw(word)
    }

    fn number(&mut self, number: u64) -> Result<(), TableError> {
        self.word(number.to_string().as_bytes(), "number")
    }

    fn device(&mut self, device: &DeviceRef) -> Result<(), TableError> {
        match device {
            DeviceRef::Number(number) => self.word(number.to_string().as_bytes(), "device"),
            DeviceRef::Path(path) => self.word(path.as_os_str().as_bytes(), "device path"),
        }
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), TableError> {
        if bytes.contains(&0) {
            return Err(TableError::Unprintable { field: "parameter" });
        }
        Ok(self.text.append(bytes)?)
    }
}

/// The words of a parameter string, taken one by one; each error names what was expected.
struct Words<'a> {
    target: &'static str,
    words: std::slice::Split<'a, u8, fn(&u8) -> bool>,
}

impl<'a> Words<'a> {
    fn new(target: &'static str, params: &'a [u8]) -> Self {
        Self {
            target,
            words: params.split(|b| *b == b' '),
        }
    }

    fn bad(&self, field: &'static str) -> TableError {
        TableError::BadField {
            target: self.target,
            field,
        }
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        self.words.find(|word| !word.is_empty())
    }

    fn word(&mut self, field: &'static str) -> Result<&'a [u8], TableError> {
        let printable = |word: &&[u8]| !word.iter().any(is_control);
        self.next().filter(printable).ok_or_else(|| self.bad(field))
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, TableError> {
        let word = self.word(field)?;
        std::str::from_utf8(word).map_err(|_| self.bad(field))
    }

    fn number<N: std::str::FromStr>(&mut self, field: &'static str) -> Result<N, TableError> {
        let word = self.text(field)?;
        digits(word).ok_or_else(|| self.bad(field))
    }

    fn sectors(&mut self, field: &'static str) -> Result<Sectors, TableError> {
        self.number(field).map(Sectors::new)
    }

    fn device(&mut self, field: &'static str) -> Result<DeviceRef, TableError> {
        let word = self.word(field)?;
        DeviceRef::parse(word).ok_or_else(|| self.bad(field))
    }

    fn end(mut self) -> Result<(), TableError> {
        match self.next() {
            Some(_) => Err(self.bad("end")),
            None => Ok(()),
        }
    }
}

/// A number without a sign; `parse` alone would take `+1`.
fn digits<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}
