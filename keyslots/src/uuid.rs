//! UUIDs of volumes: random ones (version 4, RFC 9562).

use std::io;

/// A random UUID in its usual form of 36 characters.
///
/// # Errors
/// The system's, where it has no random bytes.
pub fn random_uuid() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::from)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// Whether `text` is a UUID in its usual form.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_uuids_are_uuids_and_differ() {
        let (a, b) = (
            random_uuid().expect("random bytes"),
            random_uuid().expect("random bytes"),
        );
        assert!(is_uuid(&a) && a != b && a.as_bytes()[14] == b'4');
        assert!(!is_uuid("11111111-2222-3333-4444-55555555555"));
        assert!(!is_uuid("11111111x2222-3333-4444-555555555555"));
    }
}
