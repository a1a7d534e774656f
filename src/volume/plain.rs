//! The key of a plain volume: dm-crypt without a header, whose key is made of the passphrase alone, as described in
//! cryptsetup(8) under "Passphrase processing for PLAIN mode".
//!
//! There is no salt, no iteration and no check: a wrong passphrase gives another key, and the data look like noise.

use std::fmt;
use std::str::FromStr;

use keyslots::hash::Hash;
use keyslots::secret::{Secret, VolumeKey};

/// The longest key that is made: longer than any cipher of the kernel takes.
pub const MAX_KEY_LEN: usize = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlainKeyError {
    /// The hash is unknown.
    #[error("the hash {0} is unknown")]
    UnknownHash(String),
    /// The length behind the hash's name is not a number, or exceeds the key or the available bytes.
    #[error("the hash {0} cannot fill the key")]
    BadLength(String),
    /// The key is longer than any cipher's.
    #[error("a key of {len} bytes is longer than any cipher takes ({MAX_KEY_LEN})")]
    KeyTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Out of memory that can be wiped.
    #[error("no memory for a key: {0}")]
    Memory(#[from] std::io::Error),
}

/// The processing of a passphrase into a key: `sha256`, `sha256:20` for its first 20 bytes, or `plain` for none at all.
///
/// ```
/// use luksmith::volume::PlainHash;
///
/// let hash: PlainHash = "sha256:20".parse()?;
/// let key = hash.key(b"pw", 32)?;
/// assert_eq!(&key.expose()[..4], [0x30, 0xc9, 0x52, 0xfa]);
/// assert_eq!(&key.expose()[20..], [0; 12]);
/// # Ok::<(), luksmith::volume::PlainKeyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainHash {
    method: Method,
    /// Bytes of the key that are filled, `None` for all of them; the rest is zero.
    len: Option<usize>,
    /// The text as given, for messages.
    text: String,
}

/// The treatment of a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// Nothing: it is the key.
    Take,
    Hash(Hash),
}

impl PlainHash {
    /// Whether the passphrase itself is the key.
    pub fn is_plain(&self) -> bool {
        self.method == Method::Take
    }

    /// Whether each byte of the key has to come from the passphrase: missing ones would be zero.
    pub fn takes_all(&self) -> bool {
        self.is_plain() && self.len.is_none()
    }

    /// The key of `key_len` bytes for `passphrase`.
    ///
    /// A digest that is shorter than the key is followed by that of `A` and the passphrase, then of `AA` and the
    /// passphrase, and so on.
    ///
    /// # Errors
    /// [`PlainKeyError`].
    pub fn key(&self, passphrase: &[u8], key_len: usize) -> Result<VolumeKey, PlainKeyError> {
        if key_len > MAX_KEY_LEN {
            return Err(PlainKeyError::KeyTooLong { len: key_len });
        }
        let bad_length = || PlainKeyError::BadLength(self.text.clone());
        let len = self.len.unwrap_or(key_len);
        if len > key_len {
            return Err(bad_length());
        }
        let mut key = Secret::zeroed(key_len)?;
        let filled = &mut key.expose_mut()[..len];
        // No digest is shorter than a byte, so there are at most as many rounds as bytes.
        let prefix = [b'A'; MAX_KEY_LEN];
        match self.method {
            Method::Hash(hash) => {
                for (round, piece) in filled.chunks_mut(hash.output_len()).enumerate() {
                    hash.digest(&[&prefix[..round], passphrase], piece);
                }
            }
            Method::Take if self.len.is_some_and(|len| len > passphrase.len()) => return Err(bad_length()),
            Method::Take => {
                let taken = passphrase.len().min(len);
                filled[..taken].copy_from_slice(&passphrase[..taken]);
            }
        }
        Ok(VolumeKey::new(key))
    }
}

impl FromStr for PlainHash {
    type Err = PlainKeyError;

    fn from_str(text: &str) -> Result<Self, PlainKeyError> {
        let (name, len) = match text.split_once(':') {
            None => (text, None),
            Some((name, len)) => {
                let digits = !len.is_empty() && len.bytes().all(|byte| byte.is_ascii_digit());
                let len = len.parse().ok().filter(|_| digits);
                (
                    name,
                    Some(len.ok_or_else(|| PlainKeyError::BadLength(text.to_owned()))?),
                )
            }
        };
        let method = match name {
            "plain" => Method::Take,
            name => Method::Hash(Hash::from_name(name).ok_or_else(|| PlainKeyError::UnknownHash(name.to_owned()))?),
        };
        Ok(Self {
            method,
            len,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for PlainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hash: &str, passphrase: &[u8], len: usize) -> Result<String, String> {
        let hash: PlainHash = hash.parse().map_err(|error: PlainKeyError| error.to_string())?;
        let key = hash.key(passphrase, len).map_err(|error| error.to_string())?;
        Ok(key.expose().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// What Debian's cryptsetup 2.6.1 put into the kernel's table for the passphrase "pw".
    #[test]
    fn keys_are_those_of_the_reference() {
        let sha256 = "30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4";
        for (hash, len, expected) in [
            ("sha256", 32, sha256.to_owned()),
            ("SHA256", 32, sha256.to_owned()),
            ("sha256:32", 32, sha256.to_owned()),
            ("sha256", 16, sha256[..32].to_owned()),
            ("sha256:20", 64, format!("{}{}", &sha256[..40], "0".repeat(88))),
            ("sha256:40", 64, format!("{sha256}a41b5408f03fd9e6{}", "0".repeat(48))),
            ("sha256:0", 64, "0".repeat(128)),
            (
                "sha1",
                64,
                "1a91d62f7ca67399625a4368a6ab5d4a3baa607388dc22ce537380cc9b0302254f8d0bd757d248e89b86cf1a2d9b3d3a2fe71864\
                 990a4ceaf9de9f8a0e024aa8"
                    .to_owned(),
            ),
            (
                "ripemd160",
                64,
                "f43812dd5d3d19175eaf2196a9a0b6251a97a059ef6847331f400afcc0389dbcd3b5b399fedf04534c2f17c7c855474ddf2ced71\
                 848701c022f11004eb1e53e3"
                    .to_owned(),
            ),
            ("plain", 8, "7077000000000000".to_owned()),
            ("plain", 1, "70".to_owned()),
            ("plain:1", 4, "70000000".to_owned()),
            ("plain:2", 4, "70770000".to_owned()),
        ] {
            assert_eq!(key(hash, b"pw", len), Ok(expected), "{hash} {len}");
        }
        assert_eq!(
            key("sha256", b"", 32).as_deref(),
            Ok("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        );
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        for hash in [
            "sha256:",
            "sha256:x",
            "sha256:-1",
            "sha256: 5",
            "sha256:5x",
            "sha256:33",
            "plain:16",
            "plain:64",
        ] {
            assert!(key(hash, b"pw", 32).is_err_and(|error| error.contains(hash)), "{hash}");
        }
        for hash in ["", "nosuch", "nosuch:3", ":5"] {
            assert!(
                key(hash, b"pw", 32).is_err_and(|error| error.contains("unknown")),
                "{hash}"
            );
        }
        assert!(key("sha1", b"pw", MAX_KEY_LEN).is_ok());
        assert!(key("sha1", b"pw", MAX_KEY_LEN + 1).is_err());
    }
}
