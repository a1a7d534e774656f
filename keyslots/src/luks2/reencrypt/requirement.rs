//! Requirements by which a header says that its volume is in reencryption.

/// The requirement of a reencryption that has converted all data, and has yet to wipe what they were converted from.
const WIPE: &str = "luksmith-reencrypt-wipe";

/// The requirement of a reencryption whose last zone is being converted, in the order in which cryptsetup would begin anew after it.
const LAST: &str = "luksmith-reencrypt-last";

/// A mandatory requirement that stands for a reencryption.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// `online-reencrypt-v2`, or `online-reencrypt-v3` for a decryption that moves the data to the place of the header.
    Online(Version),
    /// This crate's own, beside that of an online reencryption: all data are converted, and what they were converted from is
    /// still to be wiped. cryptsetup does not know it, and leaves the volume alone.
    Wipe,
    /// This crate's own, beside that of an online reencryption: the last zone is being converted. It is only used for a decryption
    /// from the end to the start: there cryptsetup recovers the zone, and then decrypts what is plaintext.
    Last,
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

impl Requirement {
    /// Parses one mandatory requirement; `None` if it has nothing to do with reencryption.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "online-reencrypt-v2" => Self::Online(Version::V2),
            "online-reencrypt-v3" => Self::Online(Version::V3),
            WIPE => Self::Wipe,
            LAST => Self::Last,
            _ if name.contains("reencrypt") => Self::Other(name.to_owned()),
            _ => return None,
        })
    }

    /// The name in the metadata.
    pub fn name(&self) -> &str {
        match self {
            Self::Online(version) => version.name(),
            Self::Wipe => WIPE,
            Self::Last => LAST,
            Self::Other(name) => name,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_read_as_it_is_written() {
        let (v2, v3) = (Requirement::Online(Version::V2), Requirement::Online(Version::V3));
        for known in [v2, v3, Requirement::Wipe, Requirement::Last] {
            assert_eq!(Requirement::parse(known.name()), Some(known));
        }
        assert_eq!(Requirement::parse("inline-hw-tags"), None);
        let others = [
            "offline-reencrypt",
            "online-reencrypt",
            "online-reencrypt-v4",
            "luksmith-reencrypt-wipe-",
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
