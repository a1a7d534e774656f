//! Tables: which target serves which sectors of a device.
//!
//! [`Table`] has types for the targets that this program makes or looks into; [`TableText`] holds the parameters in the
//! kernel's form, in wiped memory, since a crypt target's hold the key. [`Table::to_text`] and [`Table::from_text`]
//! convert between them. A target of an unknown type is kept as its text.

mod crypt;
mod simple;
mod text;
mod tokenize;

pub use crypt::{CryptKey, CryptOptions, CryptTarget, IntegrityTags, KeyKind, put_hex};
pub use simple::{Linear, Snapshot, Stripe, Striped};
pub use text::{Line, TableText, TargetType};
use tokenize::Params;
pub(super) use tokenize::digits;
pub use tokenize::{DeviceRef, TableError};

use std::fmt;

use keyslots::secret::Secret;
use keyslots::units::Sectors;

/// A table with its targets by type.
#[derive(Debug)]
pub struct Table {
    /// The lines, in ascending order of their starts, without gaps.
    pub lines: Vec<TargetLine>,
}

/// One line of a [`Table`].
#[derive(Debug)]
pub struct TargetLine {
    /// Its start on the device.
    pub start: Sectors,
    /// Its length.
    pub length: Sectors,
    /// The target that serves it.
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

/// A target whose parameters are kept verbatim.
pub struct OtherTarget {
    /// The type.
    pub kind: TargetType,
    /// The parameters; dm-integrity's have keys in them, so none are printed.
    pub params: Secret,
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

    /// Parses the parameters. A target of an unknown type becomes [`Target::Other`].
    ///
    /// # Errors
    /// [`TableError`] where a known target's parameters are invalid.
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

    /// Parses the parameters of one line.
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
