//! The binary header of a LUKS2 copy: 4096 bytes and the JSON area behind them, as bytes and fields only.
//!
//! LUKS2 On-Disk Format Specification 1.1.x, section 2.1. Rules across fields and copies are in [`super::copies`].

use std::fmt;

use super::Defect;
use crate::hash::Hash;
use crate::units::Bytes;

/// Length of the binary header in bytes, without the JSON area.
pub const BINARY_HEADER_LEN: usize = 4096;
/// The same as a length.
pub const BINARY_HEADER_SIZE: Bytes = Bytes::kib(4);
/// The sizes of one copy (binary header and JSON area) that the specification allows.
pub const HEADER_SIZES: [Bytes; 9] = [
    Bytes::kib(16),
    Bytes::kib(32),
    Bytes::kib(64),
    Bytes::kib(128),
    Bytes::kib(256),
    Bytes::kib(512),
    Bytes::mib(1),
    Bytes::mib(2),
    Bytes::mib(4),
];
/// Magic of the primary copy, and of a LUKS1 header.
pub const PRIMARY_MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// Magic of the secondary copy.
pub const SECONDARY_MAGIC: [u8; 6] = *b"SKUL\xba\xbe";
/// Bytes of the label and of the subsystem field, the final NUL included.
pub const LABEL_LEN: usize = 48;
/// Bytes of the UUID field, the final NUL included.
pub const UUID_LEN: usize = 40;

const VERSION: u16 = 2;
const CHECKSUM_NAME_LEN: usize = 32;
const SALT_LEN: usize = 64;
const CHECKSUM_FIELD: std::ops::Range<usize> = 448..512;

/// One of the two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// At the start of the device.
    Primary,
    /// Right behind the primary.
    Secondary,
}

impl Which {
    fn magic(self) -> &'static [u8; 6] {
        match self {
            Self::Primary => &PRIMARY_MAGIC,
            Self::Secondary => &SECONDARY_MAGIC,
        }
    }
}

/// A label or a subsystem label. It is kept to the byte: cryptsetup takes it in whatever encoding the user's terminal
/// had, so it need not be UTF-8. Invalid bytes are replaced on display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label(Vec<u8>);

impl Label {
    fn read(field: &[u8], name: &'static str) -> Result<Self, Defect> {
        terminated(field, name).map(|bytes| Self(bytes.to_vec()))
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Label {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl PartialEq<&str> for Label {
    fn eq(&self, text: &&str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.0))
    }
}

/// The fields of a binary header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryHeader {
    /// Size of one copy, binary header and JSON area.
    pub hdr_size: Bytes,
    /// Counts the writes; the copy with the higher one is newer.
    pub seqid: u64,
    /// Label, or empty.
    pub label: Label,
    /// Checksum algorithm over the copy.
    pub checksum_hash: Hash,
    /// Random bytes that make each copy's checksum unique.
    pub salt: [u8; SALT_LEN],
    /// UUID of the volume.
    pub uuid: String,
    /// Subsystem label, or empty.
    pub subsystem: Label,
    /// The offset of the copy according to itself.
    pub hdr_offset: Bytes,
}

impl BinaryHeader {
    /// Reads the fields of the copy `which` and checks each by itself. The checksum is up to [`verify_checksum`].
    ///
    /// # Errors
    /// A [`Defect`] with the field and the value.
    pub fn parse(bytes: &[u8; BINARY_HEADER_LEN], which: Which) -> Result<Self, Defect> {
        if bytes[..6] != which.magic()[..] {
            return Err(Defect::Magic);
        }
        let version = u16::from_be_bytes(array(bytes, 6));
        if version != VERSION {
            return Err(Defect::Version(version));
        }
        let hdr_size = Bytes::new(u64::from_be_bytes(array(bytes, 8)));
        if !HEADER_SIZES.contains(&hdr_size) {
            return Err(Defect::HeaderSize(hdr_size.get()));
        }
        let checksum_name = text(&bytes[72..72 + CHECKSUM_NAME_LEN], "checksum algorithm")?;
        let checksum_hash = Hash::from_name(&checksum_name)
            .filter(|hash| hash.output_len() <= CHECKSUM_FIELD.len())
            .ok_or(Defect::ChecksumAlgorithm(checksum_name))?;
        Ok(Self {
            hdr_size,
            seqid: u64::from_be_bytes(array(bytes, 16)),
            label: Label::read(&bytes[24..24 + LABEL_LEN], "label")?,
            checksum_hash,
            salt: array(bytes, 104),
            uuid: text(&bytes[168..168 + UUID_LEN], "uuid")?,
            subsystem: Label::read(&bytes[208..208 + LABEL_LEN], "subsystem")?,
            hdr_offset: Bytes::new(u64::from_be_bytes(array(bytes, 256))),
        })
    }

    /// The 4096 bytes of copy `which`, with the checksum field zero.
    ///
    /// # Panics
    /// Never: label, subsystem and UUID are checked for their lengths where they enter.
    pub fn to_bytes(&self, which: Which) -> [u8; BINARY_HEADER_LEN] {
        let mut bytes = [0; BINARY_HEADER_LEN];
        bytes[..6].copy_from_slice(which.magic());
        bytes[6..8].copy_from_slice(&VERSION.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.hdr_size.get().to_be_bytes());
        bytes[16..24].copy_from_slice(&self.seqid.to_be_bytes());
        put_text(&mut bytes[24..24 + LABEL_LEN], &self.label.0);
        put_text(
            &mut bytes[72..72 + CHECKSUM_NAME_LEN],
            self.checksum_hash.name().as_bytes(),
        );
        bytes[104..104 + SALT_LEN].copy_from_slice(&self.salt);
        put_text(&mut bytes[168..168 + UUID_LEN], self.uuid.as_bytes());
        put_text(&mut bytes[208..208 + LABEL_LEN], &self.subsystem.0);
        bytes[256..264].copy_from_slice(&self.hdr_offset.get().to_be_bytes());
        bytes
    }

    /// Length of the JSON area of one copy in bytes.
    pub fn json_area_len(&self) -> usize {
        // hdr_size is one of HEADER_SIZES, 4 MiB at the most.
        self.hdr_size.get() as usize - BINARY_HEADER_LEN
    }
}

/// Puts the checksum over `header` and `json_area` into the checksum field of `header`.
pub fn put_checksum(header: &mut [u8; BINARY_HEADER_LEN], json_area: &[u8], hash: Hash) {
    let checksum = checksum(header, json_area, hash);
    header[CHECKSUM_FIELD].copy_from_slice(&checksum);
}

/// Clears the checksum field of `header`, which invalidates the copy.
pub(super) fn blank_checksum(header: &mut [u8; BINARY_HEADER_LEN]) {
    header[CHECKSUM_FIELD].fill(0);
}

/// Whether the checksum field of `header` is right for `header` and `json_area`.
///
/// # Errors
/// [`Defect::Checksum`].
pub fn verify_checksum(header: &[u8; BINARY_HEADER_LEN], json_area: &[u8], hash: Hash) -> Result<(), Defect> {
    if header[CHECKSUM_FIELD] == checksum(header, json_area, hash) {
        Ok(())
    } else {
        Err(Defect::Checksum)
    }
}

fn checksum(header: &[u8; BINARY_HEADER_LEN], json_area: &[u8], hash: Hash) -> [u8; 64] {
    let mut field = [0; CHECKSUM_FIELD.end - CHECKSUM_FIELD.start];
    let zeros = [0; CHECKSUM_FIELD.end - CHECKSUM_FIELD.start];
    let parts = [
        &header[..CHECKSUM_FIELD.start],
        &zeros,
        &header[CHECKSUM_FIELD.end..],
        json_area,
    ];
    hash.digest(&parts, &mut field[..hash.output_len()]);
    field
}

fn array<const N: usize>(bytes: &[u8; BINARY_HEADER_LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// The bytes before the NUL, which must exist.
fn terminated<'a>(field: &'a [u8], name: &'static str) -> Result<&'a [u8], Defect> {
    let end = field.iter().position(|&byte| byte == 0);
    end.map(|end| &field[..end]).ok_or(Defect::UnterminatedText(name))
}

fn text(field: &[u8], name: &'static str) -> Result<String, Defect> {
    String::from_utf8(terminated(field, name)?.to_vec()).map_err(|_| Defect::TextNotUtf8(name))
}

fn put_text(field: &mut [u8], text: &[u8]) {
    // One byte is for the NUL.
    let len = text.len().min(field.len() - 1);
    field[..len].copy_from_slice(&text[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BinaryHeader {
        BinaryHeader {
            hdr_size: Bytes::kib(16),
            seqid: 7,
            label: "disk".into(),
            checksum_hash: Hash::Sha256,
            salt: [9; 64],
            uuid: "11111111-2222-3333-4444-555555555555".into(),
            subsystem: Label::default(),
            hdr_offset: Bytes::ZERO,
        }
    }

    #[test]
    fn bytes_and_fields_agree() {
        for which in [Which::Primary, Which::Secondary] {
            assert_eq!(BinaryHeader::parse(&header().to_bytes(which), which), Ok(header()));
        }
        assert_eq!(
            BinaryHeader::parse(&header().to_bytes(Which::Primary), Which::Secondary),
            Err(Defect::Magic)
        );
    }

    #[test]
    fn a_label_of_another_encoding_is_kept_to_the_byte() {
        let mut bytes = header().to_bytes(Which::Primary);
        bytes[24..29].copy_from_slice(b"caf\xe9\0");
        let read = BinaryHeader::parse(&bytes, Which::Primary).expect("a label of Latin-1");
        assert_eq!(read.label.to_string(), "caf\u{fffd}");
        assert_eq!(read.to_bytes(Which::Primary), bytes);
    }

    #[test]
    fn each_field_has_its_defect() {
        let defect = |at: usize, value: &[u8]| {
            let mut bytes = header().to_bytes(Which::Primary);
            bytes[at..at + value.len()].copy_from_slice(value);
            BinaryHeader::parse(&bytes, Which::Primary).expect_err("a defect")
        };
        assert_eq!(defect(7, &[3]), Defect::Version(3));
        assert_eq!(defect(8, &u64::MAX.to_be_bytes()), Defect::HeaderSize(u64::MAX));
        assert_eq!(defect(8, &4096_u64.to_be_bytes()), Defect::HeaderSize(4096));
        assert_eq!(defect(24, &[b'x'; LABEL_LEN]), Defect::UnterminatedText("label"));
        assert_eq!(defect(72, b"md4\0\0\0\0"), Defect::ChecksumAlgorithm("md4".into()));
        assert_eq!(defect(168, &[0xff, 0]), Defect::TextNotUtf8("uuid"));
    }

    #[test]
    fn a_checksum_covers_every_byte_but_its_own() {
        let json = vec![b'{'; 12288];
        let mut bytes = header().to_bytes(Which::Primary);
        put_checksum(&mut bytes, &json, Hash::Sha256);
        assert_eq!(verify_checksum(&bytes, &json, Hash::Sha256), Ok(()));
        for at in [0, 447, 448, 479, 511, 512, 4095] {
            bytes[at] ^= 1;
            assert_eq!(
                verify_checksum(&bytes, &json, Hash::Sha256),
                Err(Defect::Checksum),
                "{at}"
            );
            bytes[at] ^= 1;
        }
        assert_eq!(verify_checksum(&bytes, &json[1..], Hash::Sha256), Err(Defect::Checksum));
    }
}
