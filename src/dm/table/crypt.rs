//! The parameters of dm-crypt: `<cipher> <key> <iv_offset> <device> <offset> [<n> <options…>]`, as in the kernel's
//! `admin-guide/device-mapper/dm-crypt.rst`.

use std::fmt;

use keyslots::secret::Secret;
use keyslots::units::Sectors;

use super::tokenize::{DeviceRef, Params, TableError, Words, digits};

const TARGET: &str = "crypt";

/// The parameters of a crypt target.
#[derive(Debug)]
pub struct CryptTarget {
    /// `aes-xts-plain64`, or `capi:…` in the kernel's own terms.
    pub cipher: String,
    /// The key, or where it is.
    pub key: CryptKey,
    /// Added to the sector number before the IV is made; in units of 512 bytes, or of the sector size with
    /// [`CryptOptions::iv_large_sectors`].
    pub iv_offset: Sectors,
    /// The device with the ciphertext.
    pub device: DeviceRef,
    /// Its start on that device.
    pub offset: Sectors,
    /// The optional parameters.
    pub options: CryptOptions,
}

/// The source of a crypt target's key.
pub enum CryptKey {
    /// The key itself, raw; it is hexadecimal only in the table. An empty one is `-`.
    Raw(Secret),
    /// The kernel's keyring.
    Keyring {
        /// Length in bytes.
        len: usize,
        /// The type of key.
        kind: KeyKind,
        /// Its description.
        description: String,
    },
}

/// Types of keys that dm-crypt takes from the kernel's keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Cannot be read back from user space.
    Logon,
    /// Can be read back by those with permission.
    User,
    /// Made by the kernel, encrypted under another key.
    Encrypted,
    /// Sealed by a TPM or the like.
    Trusted,
}

/// The options of a crypt target, in the order in which the kernel tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CryptOptions {
    /// Pass discards on.
    pub allow_discards: bool,
    /// Encrypt on the processor that submitted the request.
    pub same_cpu_crypt: bool,
    /// Use a high-priority work queue.
    pub high_priority: bool,
    /// Do not sort writes in a thread of their own.
    pub submit_from_crypt_cpus: bool,
    /// Decrypt without a work queue.
    pub no_read_workqueue: bool,
    /// Encrypt without a work queue.
    pub no_write_workqueue: bool,
    /// Authentication tags.
    pub integrity: Option<IntegrityTags>,
    /// Bytes that are encrypted as one unit: 512 by default.
    pub sector_size: Option<u32>,
    /// Count IVs in sectors of [`CryptOptions::sector_size`].
    pub iv_large_sectors: bool,
    /// Bytes of the key that belong to the integrity algorithm.
    pub integrity_key_size: Option<u32>,
    /// Options that only a newer kernel knows.
    pub other: Vec<String>,
}

/// The place and the kind of a crypt target's authentication tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrityTags {
    /// Bytes of metadata for each sector.
    pub tag_size: u32,
    /// `aead`, `none`…
    pub kind: String,
}

impl KeyKind {
    /// The type's name in a table and in the kernel's keyring.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logon => "logon",
            Self::User => "user",
            Self::Encrypted => "encrypted",
            Self::Trusted => "trusted",
        }
    }

    /// The type by that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Logon, Self::User, Self::Encrypted, Self::Trusted]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl CryptKey {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Raw(key) => key.len(),
            Self::Keyring { len, .. } => *len,
        }
    }

    /// Whether there is no key, as with `cipher_null`.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn parse(words: &mut Words<'_>) -> Result<Self, TableError> {
        let field = "key";
        let word = words.word(field)?;
        let Some(reference) = word.strip_prefix(b":") else {
            return unhex(word, words);
        };
        let text = std::str::from_utf8(reference).map_err(|_| words.bad(field))?;
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or_else(|| words.bad(field));
        let len = digits(part()?).ok_or_else(|| words.bad(field))?;
        let kind = KeyKind::from_name(part()?).ok_or_else(|| words.bad(field))?;
        Ok(Self::Keyring {
            len,
            kind,
            description: part()?.to_owned(),
        })
    }

    fn render(&self, out: &mut Params<'_>) -> Result<(), TableError> {
        match self {
            Self::Raw(key) if key.is_empty() => out.word(b"-", "key"),
            Self::Raw(key) => {
                let mut hex = Secret::zeroed(key.len().saturating_mul(2))?;
                put_hex(hex.expose_mut(), key.expose());
                out.word(hex.expose(), "key")
            }
            Self::Keyring { len, kind, description } => out.word(
                format!(":{len}:{}:{description}", kind.name()).as_bytes(),
                "key description",
            ),
        }
    }
}

impl fmt::Debug for CryptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw(key) => write!(f, "Raw({} bytes)", key.len()),
            Self::Keyring { len, kind, description } => write!(f, "Keyring({len} bytes, {kind:?}, {description:?})"),
        }
    }
}

/// Writes a key as hexadecimal digits, two for each byte, the form that tables and messages of dm-crypt take.
pub fn put_hex(out: &mut [u8], key: &[u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(key) {
        pair[0] = hex_digit(byte >> 4);
        pair[1] = hex_digit(byte & 0xf);
    }
}

// Arithmetic instead of a lookup table: no key byte becomes an address.
fn hex_digit(nibble: u8) -> u8 {
    let letter = (9_u8.wrapping_sub(nibble)) >> 7;
    nibble + b'0' + letter * (b'a' - b'0' - 10)
}

fn unhex(word: &[u8], words: &Words<'_>) -> Result<CryptKey, TableError> {
    if word == b"-" {
        return Ok(CryptKey::Raw(Secret::zeroed(0)?));
    }
    let bad = || words.bad("key");
    if !word.len().is_multiple_of(2) {
        return Err(bad());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|d| d as u8).ok_or_else(bad);
    let mut key = Secret::zeroed(word.len() / 2)?;
    for (byte, pair) in key.expose_mut().iter_mut().zip(word.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(CryptKey::Raw(key))
}

impl CryptTarget {
    pub(super) fn parse(params: &[u8]) -> Result<Self, TableError> {
        let mut words = Words::new(TARGET, params);
        let cipher = words.text("cipher")?.to_owned();
        let key = CryptKey::parse(&mut words)?;
        let iv_offset = words.sectors("IV offset")?;
        let device = words.device("device")?;
        let offset = words.sectors("offset")?;
        let options = CryptOptions::parse(&mut words)?;
        words.end()?;
        Ok(Self {
            cipher,
            key,
            iv_offset,
            device,
            offset,
            options,
        })
    }

    pub(super) fn render(&self, out: &mut Params<'_>) -> Result<(), TableError> {
        out.word(self.cipher.as_bytes(), "cipher")?;
        self.key.render(out)?;
        out.number(self.iv_offset.get())?;
        out.device(&self.device)?;
        out.number(self.offset.get())?;
        let options = self.options.words();
        if !options.is_empty() {
            out.number(options.len() as u64)?;
        }
        options
            .iter()
            .try_for_each(|option| out.word(option.as_bytes(), "option"))
    }
}

impl CryptOptions {
    fn parse(words: &mut Words<'_>) -> Result<Self, TableError> {
        let mut options = Self::default();
        let Some(count) = words.next() else { return Ok(options) };
        let field = "count of options";
        let count = std::str::from_utf8(count)
            .ok()
            .and_then(digits::<u32>)
            .ok_or_else(|| words.bad(field))?;
        for _ in 0..count {
            options.take(words.text("option")?);
        }
        Ok(options)
    }

    /// Takes one option. One that is unknown, or not in the known form, is kept as it is.
    fn take(&mut self, option: &str) {
        if let Some(flag) = self.flag(option) {
            *flag = true;
        } else if let Some(size) = option.strip_prefix("sector_size:").and_then(digits) {
            self.sector_size = Some(size);
        } else if let Some(size) = option.strip_prefix("integrity_key_size:").and_then(digits) {
            self.integrity_key_size = Some(size);
        } else if let Some(tags) = option.strip_prefix("integrity:").and_then(IntegrityTags::parse) {
            self.integrity = Some(tags);
        } else {
            self.other.push(option.to_owned());
        }
    }

    fn flag(&mut self, option: &str) -> Option<&mut bool> {
        Some(match option {
            "allow_discards" => &mut self.allow_discards,
            "same_cpu_crypt" => &mut self.same_cpu_crypt,
            "high_priority" => &mut self.high_priority,
            "submit_from_crypt_cpus" => &mut self.submit_from_crypt_cpus,
            "no_read_workqueue" => &mut self.no_read_workqueue,
            "no_write_workqueue" => &mut self.no_write_workqueue,
            "iv_large_sectors" => &mut self.iv_large_sectors,
            _ => return None,
        })
    }

    /// The options as words.
    pub fn words(&self) -> Vec<String> {
        let flag = |set: bool, name: &str| set.then(|| name.to_owned());
        [
            flag(self.allow_discards, "allow_discards"),
            flag(self.same_cpu_crypt, "same_cpu_crypt"),
            flag(self.high_priority, "high_priority"),
            flag(self.submit_from_crypt_cpus, "submit_from_crypt_cpus"),
            flag(self.no_read_workqueue, "no_read_workqueue"),
            flag(self.no_write_workqueue, "no_write_workqueue"),
            self.integrity
                .as_ref()
                .map(|tags| format!("integrity:{}:{}", tags.tag_size, tags.kind)),
            self.sector_size.map(|size| format!("sector_size:{size}")),
            flag(self.iv_large_sectors, "iv_large_sectors"),
            self.integrity_key_size.map(|size| format!("integrity_key_size:{size}")),
        ]
        .into_iter()
        .flatten()
        .chain(self.other.iter().cloned())
        .collect()
    }
}

impl IntegrityTags {
    fn parse(text: &str) -> Option<Self> {
        let (size, kind) = text.split_once(':')?;
        Some(Self {
            tag_size: digits(size)?,
            kind: kind.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Table, TableText, Target, TargetType};
    use super::*;
    use crate::block_device::DevNo;

    fn round_trip(params: &str) -> Table {
        let text = TableText::parse(format!("0 64 crypt {params}").as_bytes()).expect("a table");
        let table = Table::from_text(&text).expect("a crypt target");
        let again = table.to_text().expect("a text");
        let line = again.lines().next().expect("a line");
        assert_eq!(line.kind, TargetType::CRYPT);
        assert_eq!(std::str::from_utf8(line.params), Ok(params));
        table
    }

    #[test]
    fn tables_of_the_kernel_go_there_and_back() {
        let table = round_trip(
            "aes-xts-plain64 00ff10a9 0 8:1 4096 7 allow_discards same_cpu_crypt submit_from_crypt_cpus \
             no_read_workqueue no_write_workqueue sector_size:4096 iv_large_sectors",
        );
        let (line, crypt) = table.as_crypt().expect("one crypt target");
        assert_eq!(line.length, Sectors::new(64));
        assert!(matches!(&crypt.key, CryptKey::Raw(key) if key.expose() == [0x00, 0xff, 0x10, 0xa9]));
        assert_eq!(crypt.device, DeviceRef::Number(DevNo::new(8, 1)));
        assert_eq!(crypt.options.sector_size, Some(4096));
        round_trip("aes-cbc-essiv:sha256 0123456789abcdef 5 /dev/loop0 8");
        round_trip("cipher_null-ecb - 0 7:0 0");
        round_trip("capi:gcm(aes)-random 00 0 7:0 0 2 integrity:28:aead integrity_key_size:32");
        round_trip("aes-xts-plain64 00 0 7:0 0 3 high_priority sector_size:big new:option");
    }

    /// Found by fuzzing: this could be read, but not written.
    #[test]
    fn control_characters_are_in_no_word() {
        CryptTarget::parse(b"aes-xts-pla\x01\t64 00 0 7:0 0").expect_err("a control character");
        let table = round_trip("aes-xts-plain64 :64:logon:cryptsetup:some-uuid-d0 0 7:0 0");
        let (_, crypt) = table.as_crypt().expect("one crypt target");
        assert_eq!(crypt.key.len(), 64);
        assert!(
            matches!(&crypt.key, CryptKey::Keyring { kind: KeyKind::Logon, description, .. }
            if description == "cryptsetup:some-uuid-d0")
        );
    }

    #[test]
    fn every_nibble_has_its_digit() {
        let digits: Vec<u8> = (0..16).map(hex_digit).collect();
        assert_eq!(digits, b"0123456789abcdef");
    }

    #[test]
    fn a_bad_field_is_named_and_its_value_is_not() {
        for (params, wrong) in [
            ("", "cipher"),
            ("aes", "key"),
            ("aes c0ffee1", "key"),
            ("aes c0ffeg", "key"),
            ("aes :64:logon", "key"),
            ("aes :x:logon:d", "key"),
            ("aes :64:stolen:d", "key"),
            ("aes c0ff", "IV offset"),
            ("aes c0ff -1", "IV offset"),
            ("aes c0ff 0 sda", "device"),
            ("aes c0ff 0 8:1", "offset"),
            ("aes c0ff 0 8:1 0 x", "count of options"),
            ("aes c0ff 0 8:1 0 2 allow_discards", "option"),
            ("aes c0ff 0 8:1 0 1 allow_discards more", "end"),
        ] {
            let error = CryptTarget::parse(params.as_bytes()).expect_err(params);
            assert!(
                matches!(error, TableError::BadField { target: "crypt", field } if field == wrong),
                "{params}"
            );
            assert!(!error.to_string().contains("c0ff"));
        }
    }

    #[test]
    fn no_debug_output_has_a_key_and_no_word_may_have_a_space() {
        let crypt = |cipher: &str, description: &str| {
            let key = CryptKey::Keyring {
                len: 1,
                kind: KeyKind::User,
                description: description.to_owned(),
            };
            let options = CryptOptions::default();
            let device = DeviceRef::Number(DevNo::new(7, 0));
            let target = CryptTarget {
                cipher: cipher.to_owned(),
                key,
                iv_offset: Sectors::ZERO,
                device,
                offset: Sectors::ZERO,
                options,
            };
            Table::single(Sectors::new(8), Target::Crypt(target))
        };
        assert!(crypt("aes", "d").to_text().is_ok());
        assert!(matches!(
            crypt("aes -", "d").to_text(),
            Err(TableError::Unprintable { field: "cipher" })
        ));
        assert!(matches!(
            crypt("", "d").to_text(),
            Err(TableError::Unprintable { field: "cipher" })
        ));
        assert!(crypt("aes", "d 0 8:0 0\n").to_text().is_err());
        let table = round_trip("aes-xts-plain64 c0ffee 0 8:1 0");
        assert!(!format!("{table:?}").to_lowercase().contains("c0ffee"));
        assert!(!format!("{table:?}").contains("192"));
    }
}
