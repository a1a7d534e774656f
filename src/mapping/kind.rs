//! The maker of a mapping, by its UUID.

use crate::dm::DeviceUuid;

/// The kind of a mapped volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// LUKS1.
    Luks1,
    /// LUKS2.
    Luks2,
    /// dm-crypt without a header.
    Plain,
    /// Another kind that cryptsetup maps, by the middle of its UUID: `TCRYPT`, `BITLK`, …
    Other,
}

impl VolumeKind {
    /// The kind of volume behind a device-mapper UUID, and a LUKS volume's own UUID with its dashes.
    /// `None` if it is not a volume.
    pub fn of_dm_uuid(uuid: &DeviceUuid) -> Option<(Self, Option<String>)> {
        // Most devices of a long list are not volumes, which is clear at this point.
        let rest = uuid.as_bytes().strip_prefix(b"CRYPT-")?;
        let rest = std::str::from_utf8(rest).ok()?;
        let (kind, rest) = rest.split_once('-')?;
        let kind = match kind {
            "LUKS1" => Self::Luks1,
            "LUKS2" => Self::Luks2,
            "PLAIN" => return Some((Self::Plain, None)),
            _ => return Some((Self::Other, None)),
        };
        let hex = rest
            .get(..32)
            .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let uuid = hex.map(|hex| [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"));
        Some((kind, uuid))
    }
}
