//! Names of devices in crypttab(5) and on the kernel's command line, without udev's links.

use std::fmt;
use std::path::{Path, PathBuf};

/// A device, as a user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceSpec {
    /// By its path: a node, or a file.
    Path(PathBuf),
    /// By the UUID of what is on it, in lower case.
    Uuid(String),
    /// By the start of a LUKS UUID, in lower case, as dracut takes it.
    UuidPrefix(String),
    /// By the label of what is on it.
    Label(String),
    /// By the UUID of the partition, in lower case.
    PartUuid(String),
    /// By the name of the partition.
    PartLabel(String),
    /// By the serial number of the drive.
    Serial(String),
}

/// A file, perhaps on the file system of another device: `path` or `path:device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path; with a device, from the root of its file system.
    pub path: PathBuf,
    /// The device, where it is another one.
    pub device: Option<DeviceSpec>,
}

/// The form of a tag, the folder where udev would put a link for it, and the resulting type.
type Tag = (&'static str, &'static str, fn(&str) -> DeviceSpec);

const TAGS: [Tag; 4] = [
    ("PARTUUID=", "/dev/disk/by-partuuid/", |value| {
        DeviceSpec::PartUuid(value.to_ascii_lowercase())
    }),
    ("PARTLABEL=", "/dev/disk/by-partlabel/", |value| {
        DeviceSpec::PartLabel(value.to_owned())
    }),
    ("UUID=", "/dev/disk/by-uuid/", |value| {
        DeviceSpec::Uuid(value.to_ascii_lowercase())
    }),
    ("LABEL=", "/dev/disk/by-label/", |value| {
        DeviceSpec::Label(value.to_owned())
    }),
];

impl DeviceSpec {
    /// Parses a path, or a tag as in fstab(5). A path to one of udev's links means the target of the link, so that it
    /// works without udev too.
    /// works without udev too.
    pub fn parse(text: &str) -> Self {
        for (tag, link, make) in TAGS {
            if let Some(value) = text.strip_prefix(tag) {
                return make(unquoted(value));
            }
            if let Some(value) = text.strip_prefix(link) {
                return make(&unescape_link(value));
            }
        }
        match text.strip_prefix("ID=") {
            Some(id) => Self::Path(Path::new("/dev/disk/by-id").join(unquoted(id))),
            None => Self::Path(text.into()),
        }
    }

    /// Whether a text can only name a device.
    pub fn is_device(text: &str) -> bool {
        text.starts_with("/dev/") || text.starts_with("ID=") || TAGS.iter().any(|(tag, ..)| text.starts_with(tag))
    }
}

impl Place {
    /// `path`, or `path:device` as in systemd. A colon in a path is part of it unless a device follows.
    pub fn parse(text: &str) -> Self {
        if let Some((path, device)) = text.rsplit_once(':')
            && DeviceSpec::is_device(device)
        {
            return Self {
                path: path.into(),
                device: Some(DeviceSpec::parse(device)),
            };
        }
        Self {
            path: text.into(),
            device: None,
        }
    }
}

fn unquoted(value: &str) -> &str {
    value.trim_matches('"')
}

/// Decodes the `\x20` that udev writes into the names of its links.
fn unescape_link(name: &str) -> String {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match tail {
            [b'x', high, low, ..] if first == b'\\' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                digit(*high).zip(digit(*low)).map(|(high, low)| (high << 4 | low) as u8)
            }
            _ => None,
        };
        plain.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Uuid(uuid) => write!(f, "UUID={uuid}"),
            Self::UuidPrefix(start) => write!(f, "UUID={start}…"),
            Self::Label(label) => write!(f, "LABEL={label}"),
            Self::PartUuid(uuid) => write!(f, "PARTUUID={uuid}"),
            Self::PartLabel(label) => write!(f, "PARTLABEL={label}"),
            Self::Serial(serial) => write!(f, "serial number {serial}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.device {
            Some(device) => write!(f, "{} on {device}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_links_mean_the_same() {
        let parse = DeviceSpec::parse;
        assert_eq!(parse("UUID=AB-cd"), DeviceSpec::Uuid("ab-cd".into()));
        assert_eq!(parse("UUID=\"AB-cd\""), DeviceSpec::Uuid("ab-cd".into()));
        assert_eq!(parse("/dev/disk/by-uuid/ab-cd"), DeviceSpec::Uuid("ab-cd".into()));
        assert_eq!(parse("PARTUUID=0A-01"), DeviceSpec::PartUuid("0a-01".into()));
        assert_eq!(parse("LABEL=My Disk"), DeviceSpec::Label("My Disk".into()));
        assert_eq!(
            parse("/dev/disk/by-label/My\\x20Disk"),
            DeviceSpec::Label("My Disk".into())
        );
        assert_eq!(parse("PARTLABEL=root"), DeviceSpec::PartLabel("root".into()));
        assert_eq!(parse("ID=ata-X"), DeviceSpec::Path("/dev/disk/by-id/ata-X".into()));
        assert_eq!(parse("/dev/sda2"), DeviceSpec::Path("/dev/sda2".into()));
        assert_eq!(parse("/images/disk.img"), DeviceSpec::Path("/images/disk.img".into()));
    }

    #[test]
    fn a_place_has_a_device_only_where_one_follows() {
        let place = |text: &str| {
            let place = Place::parse(text);
            (place.path.display().to_string(), place.device)
        };
        let label = DeviceSpec::Label("keys".into());
        assert_eq!(place("/key:LABEL=keys"), ("/key".into(), Some(label)));
        assert_eq!(
            place("/a:b:/dev/sdb1"),
            ("/a:b".into(), Some(DeviceSpec::Path("/dev/sdb1".into())))
        );
        assert_eq!(place("/a:b"), ("/a:b".into(), None));
        assert_eq!(
            place("/dev/disk/by-path/pci-0000:00:1f"),
            ("/dev/disk/by-path/pci-0000:00:1f".into(), None)
        );
    }
}
