//! Requirements by which a header says that its volume is in reencryption.

use super::super::fields::decimal;
use crate::units::Bytes;

/// The start of the requirement for data that are still to be wiped; offset and size follow.
const WIPE: &str = "luksmith-reencrypt-wipe-";

/// A mandatory requirement that stands for a reencryption.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// `online-reencrypt-v2`, or `online-reencrypt-v3` for a decryption that moves the data to the place of the header.
    Online(Version),
    /// This crate's own: all data are converted, and what they were converted from is still to be wiped. cryptsetup does
    /// not know it, and leaves the volume alone.
    Wipe(Wipe),
    /// One that cannot be continued as it is: `online-reencrypt` of before cryptsetup 2.4.3, `offline-reencrypt`, or a later
    /// version.
    Other(String),
}

/// The version of an online reencryption, as far as this crate can continue it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `online-reencrypt-v2`.
    V2,
    /// `online-reencrypt-v3`.
    V3,
}

/// A range of the data device that is still to be wiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wipe {
    /// Its start.
    pub offset: Bytes,
    /// Its size.
    pub size: Bytes,
}

impl Requirement {
    /// Parses one mandatory requirement; `None` if it has nothing to do with reencryption.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "online-reencrypt-v2" => Self::Online(Version::V2),
            "online-reencrypt-v3" => Self::Online(Version::V3),
            _ => match Wipe::parse(name) {
                Some(wipe) => Self::Wipe(wipe),
                None if name.contains("reencrypt") => Self::Other(name.to_owned()),
                None => return None,
            },
        })
    }
}

/// Whether the requirement is that of an online reencryption of any version.
pub(in crate::luks2) fn is_online(name: &str) -> bool {
    name.starts_with("online-reencrypt")
}

impl Version {
    /// The name of the requirement.
    pub fn name(self) -> &'static str {
        match self {
            Self::V2 => "online-reencrypt-v2",
            Self::V3 => "online-reencrypt-v3",
        }
    }

    pub(super) fn digit(self) -> u8 {
        match self {
            Self::V2 => b'2',
            Self::V3 => b'3',
        }
    }
}

impl Wipe {
    fn parse(name: &str) -> Option<Self> {
        let (offset, size) = name.strip_prefix(WIPE)?.split_once('-')?;
        let (offset, size) = (Bytes::new(decimal(offset)?), Bytes::new(decimal(size)?));
        offset.checked_add(size).map(|_| Self { offset, size })
    }

    /// The name of the requirement.
    pub(super) fn name(self) -> String {
        format!("{WIPE}{}-{}", self.offset.get(), self.size.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_read_as_it_is_written() {
        let wipe = Wipe {
            offset: Bytes::mib(80),
            size: Bytes::mib(16),
        };
        assert_eq!(wipe.name(), "luksmith-reencrypt-wipe-83886080-16777216");
        assert_eq!(Requirement::parse(&wipe.name()), Some(Requirement::Wipe(wipe)));
        for version in [Version::V2, Version::V3] {
            assert_eq!(Requirement::parse(version.name()), Some(Requirement::Online(version)));
        }
        assert_eq!(Requirement::parse("inline-hw-tags"), None);
        let others = [
            "offline-reencrypt",
            "online-reencrypt",
            "online-reencrypt-v4",
            "luksmith-reencrypt-wipe-",
            "luksmith-reencrypt-wipe-1",
            "luksmith-reencrypt-wipe-+1-1",
            "luksmith-reencrypt-wipe-18446744073709551615-1",
        ];
        for name in others {
            assert_eq!(
                Requirement::parse(name),
                Some(Requirement::Other(name.into())),
                "{name}"
            );
        }
    }
}
