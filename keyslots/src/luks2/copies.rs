//! The two copies of a header: which one wins, how both are written, how one recovers the other.
//!
//! LUKS2 On-Disk Format Specification 1.1.x, section 2.2 and 4. Locks are the caller's: a write needs the exclusive
//! one.

use std::io;

use serde_json::Value;

use super::Defect;
use super::format::{self, BINARY_HEADER_LEN, BinaryHeader, HEADER_SIZES, Which};
use super::json;
use super::metadata::Metadata;
use super::validate;
use crate::storage::Storage;
use crate::units::Bytes;
use crate::wipe::wipe_zeros;
use crate::{Error, Result};

/// The first read of a copy: all of it where it has the usual size.
const FIRST_READ: usize = 16 * 1024;

/// One copy that is valid throughout.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// The binary header.
    pub binary: BinaryHeader,
    /// The metadata, validated.
    pub metadata: Metadata,
}

impl Copy {
    /// Whether both are copies of one header in one state. The salt is each copy's own.
    pub(super) fn same_header(&self, other: &Self) -> bool {
        let of = |copy: &Self| (copy.binary.hdr_size, copy.binary.seqid);
        of(self) == of(other)
            && self.binary.uuid == other.binary.uuid
            && self.binary.label == other.binary.label
            && self.binary.subsystem == other.binary.subsystem
            && self.metadata == other.metadata
    }
}

/// The copies on a device.
#[derive(Clone, Debug)]
pub struct Copies {
    /// The copy that wins.
    pub winner: Copy,
    /// The state of the other copy.
    pub other_copy: OtherCopy,
}

/// The state of the copy that did not win.
#[derive(Clone, Debug, PartialEq)]
pub enum OtherCopy {
    /// It has the same contents as the winner.
    Agrees,
    /// It is valid, but older.
    Stale(Which),
    /// It is not valid.
    Damaged(Which, Defect),
}

impl OtherCopy {
    /// The copy that needs to be rewritten.
    pub fn needs_recovery(&self) -> Option<Which> {
        match self {
            Self::Agrees => None,
            Self::Stale(which) | Self::Damaged(which, _) => Some(*which),
        }
    }
}

/// Reads both copies and chooses: the one that is valid; of two, the one with the higher seqid; on a tie, the primary.
///
/// # Errors
/// [`Error::NotLuks`] where there is no magic of either copy, the primary's [`Defect`] where neither is valid.
pub fn read(storage: &mut dyn Storage) -> Result<Copies> {
    let size = storage.size().map_err(Error::io("get the size of the header device"))?;
    let first = read_first(storage, size);
    read_from(storage, size, first)
}

/// The first bytes of a device, as many as a copy usually has.
///
/// # Errors
/// The [`Defect`] that they give the primary copy.
pub fn read_first(storage: &mut dyn Storage, size: Bytes) -> std::result::Result<Vec<u8>, Defect> {
    read_start(storage, Bytes::ZERO, size)
}

/// As [`read`], where the first bytes of the device have been read already.
///
/// # Errors
/// As [`read`].
pub fn read_from(
    storage: &mut dyn Storage,
    size: Bytes,
    first: std::result::Result<Vec<u8>, Defect>,
) -> Result<Copies> {
    let primary = first.and_then(|bytes| read_copy(storage, Bytes::ZERO, size, bytes, None));
    let secondary = match &primary {
        Ok(copy) if copy.metadata.is_ok() => read_secondary(storage, copy.binary.hdr_size, size, Some(copy)),
        other => find_secondary(storage, size, other.as_ref().ok()),
    };
    let primary = primary.and_then(ReadCopy::usable);
    let secondary = secondary.and_then(ReadCopy::usable);
    match (primary, secondary) {
        (Ok(primary), Ok(secondary)) if secondary.binary.seqid > primary.binary.seqid => Ok(Copies {
            winner: secondary.into_copy(Some(primary)),
            other_copy: OtherCopy::Stale(Which::Primary),
        }),
        (Ok(primary), Ok(secondary)) => {
            let agrees = primary.binary.seqid == secondary.binary.seqid;
            let other_copy = if agrees {
                OtherCopy::Agrees
            } else {
                OtherCopy::Stale(Which::Secondary)
            };
            Ok(Copies {
                winner: primary.into_copy(None),
                other_copy,
            })
        }
        (Ok(primary), Err(defect)) => Ok(Copies {
            winner: primary.into_copy(None),
            other_copy: OtherCopy::Damaged(Which::Secondary, defect),
        }),
        (Err(defect), Ok(secondary)) => Ok(Copies {
            winner: secondary.into_copy(None),
            other_copy: OtherCopy::Damaged(Which::Primary, defect),
        }),
        (Err(Defect::Magic | Defect::Truncated), Err(_)) => Err(Error::NotLuks),
        (Err(defect), Err(_)) => Err(defect.into()),
    }
}

/// Looks for a secondary copy where the primary does not state its size.
fn find_secondary(
    storage: &mut dyn Storage,
    size: Bytes,
    primary: Option<&ReadCopy>,
) -> std::result::Result<ReadCopy, Defect> {
    let mut defect = Defect::Magic;
    for offset in HEADER_SIZES {
        match read_secondary(storage, offset, size, primary).and_then(ReadCopy::usable) {
            Ok(copy) => return Ok(copy),
            Err(Defect::Magic | Defect::Truncated) => {}
            Err(other) => defect = other,
        }
    }
    Err(defect)
}

fn read_secondary(
    storage: &mut dyn Storage,
    offset: Bytes,
    size: Bytes,
    primary: Option<&ReadCopy>,
) -> std::result::Result<ReadCopy, Defect> {
    let bytes = read_start(storage, offset, size)?;
    read_copy(storage, offset, size, bytes, primary)
}

fn read_start(storage: &mut dyn Storage, offset: Bytes, size: Bytes) -> std::result::Result<Vec<u8>, Defect> {
    let available = size.checked_sub(offset).ok_or(Defect::Truncated)?;
    let mut bytes = vec![0; available.to_usize().unwrap_or(usize::MAX).min(FIRST_READ)];
    storage.read_at(offset, &mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// A copy with the right checksum, and its bytes.
struct ReadCopy {
    binary: BinaryHeader,
    /// `None` if they are those of the primary copy, byte for byte.
    metadata: std::result::Result<Option<Metadata>, Defect>,
    bytes: Vec<u8>,
}

impl ReadCopy {
    fn json_area(&self) -> &[u8] {
        &self.bytes[BINARY_HEADER_LEN..][..self.binary.json_area_len()]
    }

    /// One whose metadata are valid.
    fn usable(self) -> std::result::Result<Self, Defect> {
        let metadata = Ok(self.metadata?);
        Ok(Self { metadata, ..self })
    }

    fn into_copy(self, primary: Option<Self>) -> Copy {
        let metadata = self.metadata.ok().flatten();
        let metadata = metadata.or_else(|| primary?.metadata.ok().flatten());
        Copy {
            binary: self.binary,
            metadata: metadata.expect("only a secondary copy has none, and comes with its primary"),
        }
    }
}

/// Reads the rest of the copy that starts with `bytes`, and checks all of it. Metadata equal to those of the `primary`
/// copy, of the same size and on the same device, have been checked with it.
fn read_copy(
    storage: &mut dyn Storage,
    offset: Bytes,
    size: Bytes,
    mut bytes: Vec<u8>,
    primary: Option<&ReadCopy>,
) -> std::result::Result<ReadCopy, Defect> {
    let available = size.checked_sub(offset).ok_or(Defect::Truncated)?;
    let header: [u8; BINARY_HEADER_LEN] = *bytes.first_chunk().ok_or(Defect::Truncated)?;
    let which = match offset == Bytes::ZERO {
        true => Which::Primary,
        false => Which::Secondary,
    };
    let binary = BinaryHeader::parse(&header, which)?;
    if binary.hdr_offset != offset {
        return Err(Defect::HeaderOffset {
            field: binary.hdr_offset.get(),
            read_at: offset.get(),
        });
    }
    // The place of the secondary gives the size of a copy.
    if which == Which::Secondary && binary.hdr_size != offset {
        return Err(Defect::HeaderSize(binary.hdr_size.get()));
    }
    if binary.hdr_size > available {
        return Err(Defect::Truncated);
    }
    let copy_len = BINARY_HEADER_LEN + binary.json_area_len();
    if copy_len > bytes.len() {
        let first_len = bytes.len();
        bytes.resize(copy_len, 0);
        let rest = offset
            .checked_add(Bytes::new(first_len as u64))
            .ok_or(Defect::Truncated)?;
        storage.read_at(rest, &mut bytes[first_len..]).map_err(unreadable)?;
    }
    let json_area = &bytes[BINARY_HEADER_LEN..copy_len];
    format::verify_checksum(&header, json_area, binary.checksum_hash)?;
    let metadata = match primary.filter(|primary| primary.json_area() == json_area) {
        Some(same) => same.metadata.as_ref().map(|_| None).map_err(Defect::clone),
        None => read_metadata(json_area, binary.hdr_size, size).map(Some),
    };
    Ok(ReadCopy {
        binary,
        metadata,
        bytes,
    })
}

fn read_metadata(json_area: &[u8], hdr_size: Bytes, size: Bytes) -> std::result::Result<Metadata, Defect> {
    let metadata = Metadata::parse(json::parse_area(json_area)?)?;
    validate::validate(&metadata, hdr_size)?;
    validate::fits_device(&metadata, hdr_size, size)?;
    Ok(metadata)
}

fn unreadable(error: io::Error) -> Defect {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Defect::Truncated,
        _ => Defect::Unreadable(error.to_string()),
    }
}

/// A header as it will be on the device: it fits its area, and a reader will find in it what was meant.
///
/// The types allow more than the format does, and an unreadable header loses every key.
#[derive(Debug)]
pub(super) struct Encoded<'a> {
    copy: &'a Copy,
    json_area: Vec<u8>,
}

impl<'a> Encoded<'a> {
    /// # Errors
    /// [`Error::MetadataTooLarge`] where the JSON does not fit its area, else the [`Defect`] that a reader would find.
    pub(super) fn new(copy: &'a Copy) -> Result<Self> {
        let json_area = json_area(copy)?;
        let metadata = Metadata::parse(json::parse_area(&json_area)?)?;
        validate::validate(&metadata, copy.binary.hdr_size)?;
        let binary = BinaryHeader::parse(&copy.binary.to_bytes(Which::Primary), Which::Primary)?;
        // No write keeps a digest that nothing names.
        let mut meant = copy.metadata.clone();
        meant.digests.retain(|_, digest| !digest.is_unused());
        let same = metadata == meant && binary == copy.binary;
        if same {
            Ok(Self { copy, json_area })
        } else {
            Err(Defect::NotReadAsWritten.into())
        }
    }

    /// Writes both copies: the primary until it is safe on the device, then the secondary.
    ///
    /// A kill at any point leaves at least one valid copy, either the old or the new one.
    ///
    /// # Errors
    /// The storage's; [`Error::HalfWritten`] from where the primary can be valid and new.
    pub(super) fn write(&self, storage: &mut dyn Storage) -> Result<()> {
        write_unchecked(storage, &self.copy.binary, &self.json_area, Which::Primary)?
            .complete(storage)
            .and_then(|()| write_copy(storage, &self.copy.binary, &self.json_area, Which::Secondary))
            .map_err(|error| Error::HalfWritten(error.into()))
    }
}

/// Writes both copies, each encoded and read back in memory first.
///
/// # Errors
/// [`Error::MetadataTooLarge`], or the [`Defect`] that a reader would find, and nothing was written; else the storage's.
pub fn write(storage: &mut dyn Storage, copy: &Copy) -> Result<()> {
    Encoded::new(copy)?.write(storage)
}

/// Rewrites one copy, with the same seqid as the other. That one may have been read from a cache, where a killed process
/// left it: it is synced to the device before its only alternative is overwritten.
///
/// # Errors
/// As [`write()`].
pub fn recover(storage: &mut dyn Storage, winner: &Copy, which: Which) -> Result<()> {
    let encoded = Encoded::new(winner)?;
    sync_read(storage)?;
    write_copy(storage, &winner.binary, &encoded.json_area, which)
}

/// Makes what was read durable, even if another process wrote it.
///
/// # Errors
/// The storage's.
pub(super) fn sync_read(storage: &mut dyn Storage) -> Result<()> {
    storage.sync().map_err(Error::io("sync the header that was read"))
}

/// Writes one copy as the backup in `file` has it, byte for byte: `copy` was read there, and is valid.
///
/// # Errors
/// [`Error::ChangedMeanwhile`] where it is no longer there, else the storage's.
pub(super) fn restore(
    file: &mut dyn Storage,
    storage: &mut dyn Storage,
    copy: &BinaryHeader,
    which: Which,
) -> Result<()> {
    let offset = match which {
        Which::Primary => Bytes::ZERO,
        Which::Secondary => copy.hdr_size,
    };
    let json_offset = offset.checked_add(format::BINARY_HEADER_SIZE).ok_or(Error::NotLuks)?;
    let mut bytes = [0; BINARY_HEADER_LEN];
    let mut json_area = vec![0; copy.json_area_len()];
    let unreadable = "read the header backup";
    file.read_at(offset, &mut bytes).map_err(Error::io(unreadable))?;
    file.read_at(json_offset, &mut json_area)
        .map_err(Error::io(unreadable))?;
    format::verify_checksum(&bytes, &json_area, copy.checksum_hash).map_err(|_| Error::ChangedMeanwhile)?;
    let mut blank = bytes;
    format::blank_checksum(&mut blank);
    put_unchecked(storage, offset, &blank, &json_area)?;
    Unchecked { offset, bytes }.complete(storage)
}

/// Wipes the remains of secondary copies from `end` on, where the header on the device ends: they would stand in for it
/// if it were damaged, with the keyslots of an older volume.
///
/// # Errors
/// The storage's.
pub(crate) fn forget_secondaries(storage: &mut dyn Storage, end: Bytes) -> Result<()> {
    let mut behind = HEADER_SIZES.into_iter().filter(|at| *at >= end);
    behind.try_for_each(|at| forget_secondary(storage, at))
}

/// The same where only one place can hold such a copy.
///
/// # Errors
/// The storage's.
pub(crate) fn forget_secondary(storage: &mut dyn Storage, at: Bytes) -> Result<()> {
    let size = storage.size().map_err(Error::io("get the size of the header device"))?;
    if at.checked_add(format::BINARY_HEADER_SIZE).is_none_or(|end| end > size) {
        return Ok(());
    }
    let mut magic = [0; 6];
    storage
        .read_at(at, &mut magic)
        .map_err(Error::io("read what was there before"))?;
    if magic == format::SECONDARY_MAGIC {
        wipe_zeros(storage, at, format::BINARY_HEADER_SIZE)?;
    }
    Ok(())
}

/// Whether the metadata of the copy at `offset` have members that `copy`, which was read there, lacks.
///
/// # Errors
/// The storage's.
pub(super) fn has_leftovers(storage: &mut dyn Storage, copy: &Copy, offset: Bytes) -> Result<bool> {
    let mut area = vec![0; copy.binary.json_area_len()];
    let at = offset.checked_add(format::BINARY_HEADER_SIZE).ok_or(Error::NotLuks)?;
    storage.read_at(at, &mut area).map_err(Error::io("read the header"))?;
    let there = Value::Object(json::parse_area(&area)?);
    Ok(has_more(&there, &Value::Object(copy.metadata.to_object())))
}

/// Whether `one` has a member, at any depth, that `other` lacks. Empty lists and objects do not count.
fn has_more(one: &Value, other: &Value) -> bool {
    let says_nothing = |value: &Value| match value {
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => one.iter().any(|(name, value)| {
            other
                .get(name)
                .map_or(!says_nothing(value), |theirs| has_more(value, theirs))
        }),
        _ => false,
    }
}

fn json_area(copy: &Copy) -> Result<Vec<u8>> {
    let mut text = json::to_bytes(&Value::Object(copy.metadata.to_object()));
    let room = copy.binary.json_area_len();
    // One byte is for the NUL.
    if text.len() >= room {
        return Err(Error::MetadataTooLarge {
            len: text.len(),
            room: room - 1,
        });
    }
    text.resize(room, 0);
    Ok(text)
}

fn write_copy(storage: &mut dyn Storage, binary: &BinaryHeader, json_area: &[u8], which: Which) -> Result<()> {
    write_unchecked(storage, binary, json_area, which)?.complete(storage)
}

/// A copy that is on the device except for its checksum: it is not valid.
struct Unchecked {
    offset: Bytes,
    /// Its binary header, with the checksum.
    bytes: [u8; BINARY_HEADER_LEN],
}

impl Unchecked {
    /// Makes it valid, and waits until it is safe on the device.
    fn complete(self, storage: &mut dyn Storage) -> Result<()> {
        storage
            .write_at(self.offset, &self.bytes)
            .map_err(Error::io("write the header"))?;
        storage.sync().map_err(Error::io("sync the header"))
    }
}

fn write_unchecked(
    storage: &mut dyn Storage,
    binary: &BinaryHeader,
    json_area: &[u8],
    which: Which,
) -> Result<Unchecked> {
    let offset = if which == Which::Primary {
        Bytes::ZERO
    } else {
        binary.hdr_size
    };
    let mut binary = BinaryHeader {
        hdr_offset: offset,
        ..binary.clone()
    };
    getrandom::fill(&mut binary.salt).map_err(|error| Error::io("get random bytes")(error.into()))?;
    let mut bytes = binary.to_bytes(which);
    put_unchecked(storage, offset, &bytes, json_area)?;
    format::put_checksum(&mut bytes, json_area, binary.checksum_hash);
    Ok(Unchecked { offset, bytes })
}

/// Without its checksum the copy is not valid until all of it is there.
fn put_unchecked(
    storage: &mut dyn Storage,
    offset: Bytes,
    blank: &[u8; BINARY_HEADER_LEN],
    json_area: &[u8],
) -> Result<()> {
    let json_offset = offset.checked_add(format::BINARY_HEADER_SIZE).ok_or(Error::NotLuks)?;
    storage.write_at(offset, blank).map_err(Error::io("write the header"))?;
    storage
        .write_at(json_offset, json_area)
        .map_err(Error::io("write the header"))
}
