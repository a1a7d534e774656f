//! Targets that encrypt, authenticate or verify: crypt, inlinecrypt, integrity, verity. No key gets into a field.

use super::record::{Fill, Unit, record};
use super::words::Words;
use crate::dm::table::DeviceRef;

record!(Crypt {
    cipher: String,
    key_bits: Option<u64>,
    /// `dm-crypt` for a key that the table itself holds, or `keyring`.
    key_location: &'static str,
    key_type: Option<String>,
    key_description: Option<String>,
    iv_offset_sectors: u64,
    device: DeviceRef,
    offset_sectors: u64,
    options: Vec<String>,
});

record!(Integrity {
    device: DeviceRef,
    reserved_sectors: u64,
    /// `None` if the hash has it.
    tag_bytes: Option<u64>,
    mode: String,
    options: Vec<String>,
});

record!(IntegrityState {
    mismatches: u64,
    provided_sectors: Option<u64>,
    /// How much of the tags has been calculated, while they are calculated anew.
    copy: Option<Fill>,
});

record!(Verity {
    format_version: u64,
    data_device: DeviceRef,
    hash_device: DeviceRef,
    data_block_bytes: u64,
    hash_block_bytes: u64,
    data_blocks: u64,
    hash_start_block: u64,
    algorithm: String,
    root_digest: String,
    salt: String,
    options: Vec<String>,
});

record!(VerityState {
    corrupted: bool,
    corrected_blocks: Option<u64>,
});

impl Crypt {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let cipher = words.text()?;
        let key = words.word()?;
        let (key_bits, key_type, key_description) = match key.strip_prefix(':') {
            Some(key) => {
                let mut parts = key.splitn(3, ':');
                let bytes: u64 = parts.next()?.parse().ok()?;
                let (kind, description) = (parts.next()?, parts.next()?);
                (
                    bytes.checked_mul(8),
                    Some(kind.to_owned()),
                    Some(description.to_owned()),
                )
            }
            None if key == "-" => (Some(0), None, None),
            // Two digits for each byte.
            None => (Some(key.len() as u64 * 4), None, None),
        };
        Some(Self {
            cipher,
            key_bits,
            key_location: if key_type.is_some() { "keyring" } else { "dm-crypt" },
            key_type,
            key_description,
            iv_offset_sectors: words.number()?,
            device: words.device()?,
            offset_sectors: words.number()?,
            options: words.list()?,
        })
    }

    /// Why nobody should trust this cipher, if so.
    pub(crate) fn weakness(&self) -> Option<&'static str> {
        let cipher = self.cipher.to_ascii_lowercase();
        let any = |names: &[&str]| {
            let mut parts = cipher.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            parts.any(|part| names.contains(&part))
        };
        // IVs that a person can predict give a watermark away in this mode.
        let predictable = || cipher.ends_with("-plain") || cipher.ends_with("-plain64") || cipher.ends_with("-null");
        if any(&["cipher_null", "ecb_cipher_null"]) || self.key_bits == Some(0) {
            Some("does not encrypt")
        } else if any(&[
            "des", "des3_ede", "arc4", "blowfish", "cast5", "tea", "xtea", "xeta", "khazad", "anubis",
        ]) {
            Some("is an old cipher with known attacks")
        } else if any(&["ecb"]) {
            Some("shows which sectors have equal contents")
        } else if any(&["cbc"]) && predictable() {
            Some("has predictable initialisation vectors")
        } else if self.key_bits.is_some_and(|bits| bits < 128) {
            Some("has a key of less than 128 bits")
        } else {
            None
        }
    }
}

impl Integrity {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            device: words.device()?,
            reserved_sectors: words.number()?,
            tag_bytes: words.number_or_none()?,
            mode: match words.word()? {
                "D" => "direct".into(),
                "J" => "journal".into(),
                "B" => "bitmap".into(),
                "R" => "recovery".into(),
                other => other.to_owned(),
            },
            options: words.list()?.into_iter().map(without_key).collect(),
        })
    }
}

/// `internal_hash:hmac(sha256)` of `internal_hash:hmac(sha256):<key>`.
fn without_key(option: String) -> String {
    let keyed = ["internal_hash:", "journal_crypt:", "journal_mac:"];
    match keyed.iter().any(|prefix| option.starts_with(prefix)) {
        true => option.split(':').take(2).collect::<Vec<_>>().join(":"),
        false => option,
    }
}

impl IntegrityState {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let mismatches = words.number()?;
        let provided_sectors = words.number();
        // `-` if none are calculated.
        let position = words.number_or_none().flatten();
        Some(Self {
            mismatches,
            provided_sectors,
            copy: position
                .zip(provided_sectors)
                .map(|ratio| Fill::new(ratio, Unit::SECTORS)),
        })
    }
}

impl Verity {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            format_version: words.number()?,
            data_device: words.device()?,
            hash_device: words.device()?,
            data_block_bytes: words.number()?,
            hash_block_bytes: words.number()?,
            data_blocks: words.number()?,
            hash_start_block: words.number()?,
            algorithm: words.text()?,
            root_digest: words.text()?,
            salt: words.text()?,
            options: words.list()?,
        })
    }
}

impl VerityState {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let corrupted = words.maybe(|word| match word {
            "V" => Some(false),
            "C" => Some(true),
            _ => None,
        })?;
        Some(Self {
            corrupted,
            // `-` without error correction.
            corrected_blocks: words.number_or_none().flatten(),
        })
    }
}
