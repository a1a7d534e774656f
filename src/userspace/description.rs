//! The description of a served volume: handed to its server, and reported as its state.

use std::path::PathBuf;

use keyslots::cipher::CipherName;
use keyslots::header::DataLayout;
use keyslots::units::Sectors;
use serde_json::{Value, json};

/// A served volume, without its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The device or file under it.
    pub device: PathBuf,
    /// `LUKS1`, `LUKS2`, or another kind.
    pub kind: String,
    /// The volume's own UUID.
    pub uuid: Option<String>,
    /// Cipher specification.
    pub cipher: String,
    /// Length of the key in bytes.
    pub key_len: usize,
    /// Bytes encrypted as one.
    pub sector_size: u32,
    /// Whether IVs count encryption sectors instead of 512-byte ones.
    pub iv_large_sectors: bool,
    /// The start of the data on the device.
    pub offset: Sectors,
    /// Their size, `None` for the rest of the device.
    pub fixed_size: Option<Sectors>,
    /// Added to the sector number for the IV.
    pub iv_offset: Sectors,
    /// Whether it cannot be written to.
    pub read_only: bool,
    /// Whether discards reach the device.
    pub allow_discards: bool,
}

impl Description {
    /// The layout of the data.
    pub fn layout(&self) -> DataLayout {
        DataLayout {
            cipher: CipherName::new(&self.cipher),
            sector_size: self.sector_size,
            offset: self.offset,
            size: self.fixed_size,
            iv_offset: self.iv_offset,
        }
    }

    /// As JSON, for a state file or a server. Numbers of 64 bits are text.
    pub fn to_json(&self) -> Value {
        json!({
            "device": self.device.to_string_lossy(),
            "type": self.kind,
            "uuid": self.uuid,
            "cipher": self.cipher,
            "key_bytes": self.key_len,
            "sector_size": self.sector_size,
            "iv_large_sectors": self.iv_large_sectors,
            "offset": self.offset.get().to_string(),
            "size": self.fixed_size.map(|size| size.get().to_string()),
            "iv_offset": self.iv_offset.get().to_string(),
            "read_only": self.read_only,
            "allow_discards": self.allow_discards,
        })
    }

    /// From [`Description::to_json`]; `None` where a member is missing or invalid.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let sectors = |name: &str| value[name].as_str()?.parse().ok().map(Sectors::new);
        let flag = |name: &str| value[name].as_bool();
        Some(Self {
            device: text("device")?.into(),
            kind: text("type")?,
            uuid: text("uuid"),
            cipher: text("cipher")?,
            key_len: value["key_bytes"].as_u64()?.try_into().ok()?,
            sector_size: value["sector_size"].as_u64()?.try_into().ok()?,
            iv_large_sectors: flag("iv_large_sectors")?,
            offset: sectors("offset")?,
            fixed_size: match value["size"] {
                Value::Null => None,
                _ => Some(sectors("size")?),
            },
            iv_offset: sectors("iv_offset")?,
            read_only: flag("read_only")?,
            allow_discards: flag("allow_discards")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_survives_its_json() {
        let description = Description {
            device: "/dev/sda".into(),
            kind: "LUKS2".into(),
            uuid: Some("x".into()),
            cipher: "aes-xts-plain64".into(),
            key_len: 64,
            sector_size: 4096,
            offset: Sectors::new(u64::MAX),
            fixed_size: Some(Sectors::new(8)),
            read_only: true,
            ..Description::default()
        };
        assert_eq!(
            Description::from_json(&description.to_json()),
            Some(description.clone())
        );
        let mut value = description.to_json();
        value["size"] = "-1".into();
        assert_eq!(Description::from_json(&value), None);
        assert_eq!(Description::from_json(&Value::Null), None);
    }
}
