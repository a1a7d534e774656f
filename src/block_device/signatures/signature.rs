//! What was found: the name of a format, and the place of its magic number.

use std::fmt;

use keyslots::units::Bytes;

/// A signature that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name that `blkid` prints, such as `ext4`, `LVM2_member`, `gpt`.
    pub name: &'static str,
    /// The kind of signature.
    pub kind: SignatureKind,
    /// The offset of its magic number.
    pub offset: Bytes,
    /// Its length.
    pub length: Bytes,
}

/// The kinds of signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// A file system, a member of an array or of a volume group, an encrypted volume.
    Superblock,
    /// A partition table.
    PartitionTable,
}

impl SignatureKind {
    /// The word in cryptsetup's warning: `already contains a 'ext4' superblock signature`.
    fn word(self) -> &'static str {
        match self {
            Self::Superblock => "superblock",
            Self::PartitionTable => "partition",
        }
    }
}

/// One of `length` bytes at `offset`.
pub(super) fn signature(name: &'static str, kind: SignatureKind, offset: u64, length: usize) -> Signature {
    Signature {
        name,
        kind,
        offset: Bytes::new(offset),
        length: Bytes::new(length as u64),
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {} signature", self.name, self.kind.word())
    }
}
