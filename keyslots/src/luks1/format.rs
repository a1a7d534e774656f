//! The LUKS1 header as bytes and fields, and nothing else: no rule is checked here.
//!
//! LUKS1 On-Disk Format 1.2.3, §3 "The partition header": 592 bytes, integers big-endian. Every byte has its field, so
//! that a header that is read and written again comes out as it was, whatever it holds; the rules for the fields are in
//! [`super::validate`].

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 592;
/// The first six bytes of a LUKS header.
pub const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// The version of this format.
pub const VERSION: u16 = 1;
/// Keyslots in a header, always.
pub const KEYSLOTS: usize = 8;
/// State of a keyslot that holds a key.
pub const STATE_ACTIVE: u32 = 0x00ac_71f3;
/// State of a keyslot that holds none.
pub const STATE_INACTIVE: u32 = 0x0000_dead;
/// Pieces into which a volume key is split; the only number that LUKS has ever used.
pub const STRIPES: u32 = 4000;
/// Bytes of a salt.
pub const SALT_LEN: usize = 32;
/// Bytes of the volume key digest.
pub const DIGEST_LEN: usize = 20;
/// Bytes of the cipher name, cipher mode and hash fields, the final NUL included.
pub const NAME_LEN: usize = 32;
/// Length in bytes of the checksum of a keyslot's key material, which is not part of the header.
pub(super) const CHECKSUM: usize = 32;
/// Bytes of the UUID field, the final NUL included.
pub const UUID_LEN: usize = 40;

/// The fields of a header, verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawHeader {
    /// [`MAGIC`].
    pub magic: [u8; 6],
    /// [`VERSION`].
    pub version: u16,
    /// Cipher, as in `aes`, ended by a NUL.
    pub cipher_name: [u8; NAME_LEN],
    /// Mode and IV, as in `xts-plain64`, ended by a NUL.
    pub cipher_mode: [u8; NAME_LEN],
    /// Hash of the key derivation, the splitter and the digest, ended by a NUL.
    pub hash: [u8; NAME_LEN],
    /// The start of the data, in sectors of 512 bytes; 0 if they are on another device.
    pub payload_offset: u32,
    /// Length of the volume key, in bytes.
    pub key_bytes: u32,
    /// Digest of the volume key.
    pub mk_digest: [u8; DIGEST_LEN],
    /// Salt of the digest.
    pub mk_salt: [u8; SALT_LEN],
    /// Iterations of the digest.
    pub mk_iterations: u32,
    /// UUID as text, ended by a NUL.
    pub uuid: [u8; UUID_LEN],
    /// The keyslots.
    pub keyslots: [RawKeyslot; KEYSLOTS],
}

/// The fields of a keyslot, verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawKeyslot {
    /// [`STATE_ACTIVE`] or [`STATE_INACTIVE`].
    pub state: u32,
    /// Iterations of the key derivation.
    pub iterations: u32,
    /// Salt of the key derivation.
    pub salt: [u8; SALT_LEN],
    /// The start of the key material, in sectors of 512 bytes.
    pub material_offset: u32,
    /// [`STRIPES`].
    pub stripes: u32,
}

impl RawHeader {
    /// Splits the bytes into fields.
    pub fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Self {
        let mut cursor = Cursor(bytes);
        Self {
            magic: cursor.take(),
            version: u16::from_be_bytes(cursor.take()),
            cipher_name: cursor.take(),
            cipher_mode: cursor.take(),
            hash: cursor.take(),
            payload_offset: cursor.u32(),
            key_bytes: cursor.u32(),
            mk_digest: cursor.take(),
            mk_salt: cursor.take(),
            mk_iterations: cursor.u32(),
            uuid: cursor.take(),
            keyslots: std::array::from_fn(|_| RawKeyslot {
                state: cursor.u32(),
                iterations: cursor.u32(),
                salt: cursor.take(),
                material_offset: cursor.u32(),
                stripes: cursor.u32(),
            }),
        }
    }

    /// Puts the fields together again.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(&self.magic);
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.cipher_name);
        bytes.extend_from_slice(&self.cipher_mode);
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(&self.payload_offset.to_be_bytes());
        bytes.extend_from_slice(&self.key_bytes.to_be_bytes());
        bytes.extend_from_slice(&self.mk_digest);
        bytes.extend_from_slice(&self.mk_salt);
        bytes.extend_from_slice(&self.mk_iterations.to_be_bytes());
        bytes.extend_from_slice(&self.uuid);
        for keyslot in &self.keyslots {
            bytes.extend_from_slice(&keyslot.state.to_be_bytes());
            bytes.extend_from_slice(&keyslot.iterations.to_be_bytes());
            bytes.extend_from_slice(&keyslot.salt);
            bytes.extend_from_slice(&keyslot.material_offset.to_be_bytes());
            bytes.extend_from_slice(&keyslot.stripes.to_be_bytes());
        }
        bytes.try_into().expect("the fields add up to HEADER_LEN")
    }
}

/// Whether a keyslot of one header opens under the other.
pub(super) fn same_volume_key(one: &RawHeader, other: &RawHeader) -> bool {
    let of = |raw: &RawHeader| {
        (
            raw.cipher_name,
            raw.cipher_mode,
            raw.hash,
            raw.key_bytes,
            raw.mk_digest,
            raw.mk_salt,
            raw.mk_iterations,
        )
    };
    of(one) == of(other)
}

/// The text of a field up to its NUL, or `None` where it has none or is not plain visible ASCII.
pub(super) fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|&byte| byte == 0)?;
    let bytes = field.get(..end)?;
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    std::str::from_utf8(bytes).ok()
}

/// A field of `N` bytes that holds `text` and then NULs, or `None` where not one NUL would fit behind it.
pub(crate) fn field<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut field = [0; N];
    if text.len() >= N {
        return None;
    }
    field.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(field)
}

/// A cursor over the header; its fixed length makes every `take` succeed.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("the fields add up to HEADER_LEN");
        self.0 = rest;
        *head
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_field() {
        let bytes: [u8; HEADER_LEN] = std::array::from_fn(|i| (i * 7 + i / 256) as u8);
        assert_eq!(RawHeader::from_bytes(&bytes).to_bytes(), bytes);
    }

    #[test]
    fn fields_stand_where_the_specification_puts_them() {
        let mut bytes = [0; HEADER_LEN];
        for (offset, value) in [(104, 1_u32), (108, 2), (164, 3), (496, 4), (500, 5), (536, 6), (540, 7)] {
            bytes[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        }
        bytes[168] = b'u';
        let raw = RawHeader::from_bytes(&bytes);
        assert_eq!(
            (raw.payload_offset, raw.key_bytes, raw.mk_iterations, raw.uuid[0]),
            (1, 2, 3, b'u')
        );
        let six = &raw.keyslots[6];
        assert_eq!(
            (six.state, six.iterations, six.material_offset, six.stripes),
            (4, 5, 6, 7)
        );
    }

    #[test]
    fn text_ends_at_a_nul_that_must_be_there() {
        assert_eq!(text(b"ecb\0junk"), Some("ecb"));
        assert_eq!(text(b"ecb"), None);
        assert_eq!(text(b"e\x1b[2J\0"), None);
        assert_eq!(text(b"\0"), Some(""));
        assert_eq!(field::<4>("abc"), Some(*b"abc\0"));
        assert_eq!(field::<4>("abcd"), None);
    }
}
