//! Every rule that a LUKS2 header can break, each by its own name.
//!
//! Paths and values come from the header, so their control characters are escaped wherever they are shown.

use crate::KeyslotId;
use crate::shown::shown;

/// A defect of a LUKS2 copy. `path` is where in the metadata, as in `keyslots.0.area.offset`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The magic of the copy is missing.
    #[error("the magic is missing")]
    Magic,
    /// The version field is not 2.
    #[error("version is {0}, not 2")]
    Version(u16),
    /// `hdr_size` is not one of the allowed sizes.
    #[error("hdr_size is {0}: not one of 16 KiB to 4 MiB in powers of two")]
    HeaderSize(u64),
    /// `hdr_offset` differs from where the copy was read.
    #[error("hdr_offset is {field}, but the copy is at {read_at}")]
    HeaderOffset {
        /// The value of the field, in bytes.
        field: u64,
        /// The offset at which the copy was read, in bytes.
        read_at: u64,
    },
    /// The copy ends past the end of the device.
    #[error("the header copy ends past the end of the device")]
    Truncated,
    /// The storage failed to read the copy.
    #[error("the header copy cannot be read: {0}")]
    Unreadable(String),
    /// The checksum algorithm is unknown.
    #[error("checksum algorithm {0:?} is unknown")]
    ChecksumAlgorithm(String),
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// A text field has no final NUL.
    #[error("the {0} field is not terminated")]
    UnterminatedText(&'static str),
    /// A text field is not UTF-8.
    #[error("the {0} field is not UTF-8")]
    TextNotUtf8(&'static str),
    /// The JSON area does not start with `{`, or is not an object.
    #[error("the JSON area is not an object")]
    JsonStart,
    /// No NUL follows the JSON text.
    #[error("the JSON area is not terminated")]
    JsonUnterminated,
    /// Something other than NULs follows the JSON text.
    #[error("there is data after the JSON text")]
    JsonTrailingData,
    /// The JSON text is malformed.
    #[error("the JSON text is malformed: {0}")]
    JsonSyntax(String),
    /// A required member is missing.
    #[error("{} is missing", shown(.0))]
    Missing(String),
    /// A member has the wrong JSON type.
    #[error("{} is not {expected}", shown(path))]
    WrongType {
        /// The path in the metadata.
        path: String,
        /// The expected type.
        expected: &'static str,
    },
    /// A number is not in the form that its member requires.
    #[error("{} is {}: not {expected}", shown(path), shown(value))]
    Number {
        /// The path in the metadata.
        path: String,
        /// The value.
        value: String,
        /// The required form.
        expected: &'static str,
    },
    /// An object name is not a decimal number.
    #[error("{} is not named by a decimal number", shown(.0))]
    ObjectName(String),
    /// An array names an object that does not exist.
    #[error("{} names {id}, which does not exist", shown(path))]
    DanglingReference {
        /// The path in the metadata.
        path: String,
        /// The missing object.
        id: u32,
    },
    /// A string that must not be empty is.
    #[error("{} is empty", shown(.0))]
    Empty(String),
    /// An object with a fixed set of members has another one.
    #[error("{} has a member {member:?} that does not belong there", shown(path))]
    UnexpectedMember {
        /// The path in the metadata.
        path: String,
        /// The member.
        member: String,
    },
    /// A value breaks a rule of its member.
    #[error("{} is {}: {rule}", shown(path), shown(value))]
    Value {
        /// The path in the metadata.
        path: String,
        /// The value.
        value: String,
        /// The rule.
        rule: &'static str,
    },
    /// Base64 does not decode, or to the wrong length.
    #[error("{} is not base64 of {expected}", shown(path))]
    Base64 {
        /// The path in the metadata.
        path: String,
        /// The required length.
        expected: &'static str,
    },
    /// `json_size` does not fit `hdr_size`.
    #[error("config.json_size is {json_size}: with the binary header it must make hdr_size {hdr_size}")]
    JsonSize {
        /// The value, in bytes.
        json_size: u64,
        /// Size of a copy, in bytes.
        hdr_size: u64,
    },
    /// `keyslots_size` is too large or not aligned.
    #[error("config.keyslots_size is {0}: not a multiple of 4096 up to 128 MiB")]
    KeyslotsSize(u64),
    /// The data start inside the header.
    #[error("segment {id} starts at {offset}, inside the header that ends at {end}")]
    SegmentInsideHeader {
        /// The segment.
        id: u32,
        /// Its offset in bytes.
        offset: u64,
        /// End of the keyslots area in bytes.
        end: u64,
    },
    /// There is no segment.
    #[error("there is no segment")]
    NoSegment,
    /// There are only backup segments.
    #[error("there is no regular segment")]
    NoRegularSegment,
    /// Segment numbers have a gap.
    #[error("segment {0} is missing: numbers must follow one another from 0")]
    SegmentGap(u32),
    /// A regular segment follows a backup one.
    #[error("regular segment {0} comes after a backup segment")]
    SegmentOrder(u32),
    /// Two regular segments overlap.
    #[error("segments {0} and {1} overlap")]
    SegmentOverlap(u32, u32),
    /// A dynamic segment that is not the last regular one.
    #[error("segment {0} is dynamic, but not the last regular one")]
    DynamicNotLast(u32),
    /// A segment beside others whose end does not fit 64 bits.
    #[error("segment {0} ends past 2^64")]
    SegmentEnd(u32),
    /// A crypt segment has no digest.
    #[error("segment {0} has no digest")]
    SegmentWithoutDigest(u32),
    /// A luks2 keyslot does not have exactly one digest.
    #[error("keyslot {id} has {count} digests: it needs one")]
    KeyslotDigests {
        /// The keyslot.
        id: KeyslotId,
        /// The digests that name it.
        count: usize,
    },
    /// A keyslot area lies outside the keyslots area.
    #[error("the area of keyslot {id} ({offset}+{size}) is not inside the keyslots area ({start} to {end})")]
    AreaOutside {
        /// The keyslot.
        id: KeyslotId,
        /// Offset in bytes.
        offset: u64,
        /// Size in bytes.
        size: u64,
        /// Start of the keyslots area in bytes.
        start: u64,
        /// End of the keyslots area in bytes.
        end: u64,
    },
    /// Two keyslot areas overlap.
    #[error("the areas of keyslots {0} and {1} overlap")]
    AreaOverlap(KeyslotId, KeyslotId),
    /// A keyslot area cannot hold its key material.
    #[error("the area of keyslot {id} has {size} bytes: its key material needs {needed}")]
    AreaTooSmall {
        /// The keyslot.
        id: KeyslotId,
        /// Size in bytes.
        size: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The device ends before the header does.
    #[error("the header needs {needed} bytes, the device has {size}")]
    DeviceTooSmall {
        /// Size of the device in bytes.
        size: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// A header to be written would be read as another one.
    #[error("the header would not be read back as intended")]
    NotReadAsWritten,
    /// Reencryption without its segments, its keyslot or its requirement.
    #[error("reencryption is inconsistent: {0}")]
    Reencryption(&'static str),
}

/// How header and data do not lie as they have to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misplaced {
    /// An encryption in place goes on with its header on the device.
    #[error("the header is in a file of its own, and has to be put onto the device first")]
    NotInstalled,
    /// The data lie, or will lie, where a header would be.
    #[error("the header is on the device with the data, and has to be in a file of its own")]
    NotDetached,
    /// The data device has a header where its data should be, or a second one of the same volume.
    #[error("the data device has a LUKS header of its own")]
    OtherHeader,
    /// The device has not what the header says.
    #[error("the device does not hold the data that the header is of")]
    OtherDevice,
}
