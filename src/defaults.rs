//! Default values. They are cryptsetup's since 2.7; to build for a system whose cryptsetup has others, set them in the
//! environment of the build (`docs/packaging.md`).

/// Cipher of a plain volume: `LUKSMITH_PLAIN_CIPHER`.
pub const PLAIN_CIPHER: &str = or(option_env!("LUKSMITH_PLAIN_CIPHER"), "aes-xts-plain64");
/// Bits of its key: `LUKSMITH_PLAIN_KEY_BITS`.
pub const PLAIN_KEY_BITS: u32 = bits(option_env!("LUKSMITH_PLAIN_KEY_BITS"), 256);
/// Hash of its passphrase: `LUKSMITH_PLAIN_HASH`.
pub const PLAIN_HASH: &str = or(option_env!("LUKSMITH_PLAIN_HASH"), "sha256");
/// Cipher of a new LUKS volume: `LUKSMITH_LUKS_CIPHER`.
pub const LUKS_CIPHER: &str = or(option_env!("LUKSMITH_LUKS_CIPHER"), "aes-xts-plain64");
/// Bits of its key, of which XTS takes two: `LUKSMITH_LUKS_KEY_BITS`.
pub const LUKS_KEY_BITS: u32 = bits(option_env!("LUKSMITH_LUKS_KEY_BITS"), 256);
/// Hash of its header: `LUKSMITH_LUKS_HASH`.
pub const LUKS_HASH: &str = or(option_env!("LUKSMITH_LUKS_HASH"), "sha256");

const fn or(given: Option<&'static str>, usual: &'static str) -> &'static str {
    match given {
        Some(text) => text,
        None => usual,
    }
}

/// A number of whole bytes; an invalid one ends the build.
const fn bits(given: Option<&'static str>, usual: u32) -> u32 {
    let Some(text) = given else { return usual };
    let (digits, mut at, mut value) = (text.as_bytes(), 0, 0);
    while at < digits.len() {
        assert!(
            digits[at].is_ascii_digit() && value < 100_000,
            "a number of bits is expected"
        );
        value = value * 10 + (digits[at] - b'0') as u32;
        at += 1;
    }
    assert!(
        value > 0 && value % 8 == 0 && value <= 4096,
        "a number of bits that are whole bytes is expected"
    );
    value
}

#[cfg(test)]
mod tests {
    use keyslots::cipher::CipherName;
    use keyslots::hash::Hash;

    use super::*;

    /// Whatever values the build was given.
    #[test]
    fn defaults_are_known_here() {
        for cipher in [PLAIN_CIPHER, LUKS_CIPHER] {
            assert!(CipherName::parse(cipher).is_ok(), "{cipher}");
        }
        assert!(PLAIN_HASH.parse::<crate::volume::PlainHash>().is_ok(), "{PLAIN_HASH}");
        assert!(Hash::from_name(LUKS_HASH).is_some(), "{LUKS_HASH}");
        assert_eq!((bits(Some("512"), 256), bits(None, 256)), (512, 256));
        assert_eq!(or(Some("a"), "b"), "a");
    }
}
