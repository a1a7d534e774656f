//! The device-mapper UUIDs of volumes, by which other programs recognise them.

use crate::dm::{DeviceName, DeviceUuid, MAX_UUID, Mangling};
use crate::terminal_text::clean;

use super::VolumeError;

/// Checks the name of a new mapping, as a person typed it: every command has to find it again.
///
/// # Errors
/// [`VolumeError::NameUnfit`]: a slash would be mangled here, and end the name of a folder for a program that is given
/// the mapping's path. [`VolumeError::Name`] where the kernel cannot hold it.
pub fn new_name(name: &str) -> Result<DeviceName, VolumeError> {
    let unfit = |why| VolumeError::NameUnfit { name: clean(name), why };
    match name {
        _ if name.contains('/') => Err(unfit("there is a slash (/) in it")),
        "." | ".." => Err(unfit("a folder has it")),
        "control" => Err(unfit("/dev/mapper has it already")),
        _ => Ok(DeviceName::mangled(name, Mangling::default())?),
    }
}

/// The identity of a mapped volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A LUKS1 volume, by its UUID.
    Luks1(String),
    /// A LUKS2 volume, by its UUID.
    Luks2(String),
    /// A plain one.
    Plain,
}

impl Identity {
    /// The device-mapper UUID of this volume under `name`, cut to what the kernel takes.
    ///
    /// # Errors
    /// [`VolumeError::Name`] where the parts make no valid UUID.
    pub fn dm_uuid(&self, name: &DeviceName) -> Result<DeviceUuid, VolumeError> {
        let mut bytes = self.prefix().into_bytes();
        bytes.extend_from_slice(name.as_bytes());
        // One byte of the kernel's field is for the NUL.
        bytes.truncate(MAX_UUID);
        DeviceUuid::new(bytes).map_err(VolumeError::Name)
    }

    /// Whether a device-mapper UUID is that of this volume, under whatever name. It is compared as it was made: the UUID
    /// in a header is text of any form. Without a UUID nothing can be compared.
    pub fn is_of(&self, uuid: &DeviceUuid) -> bool {
        let has_one = match self {
            Self::Luks1(uuid) | Self::Luks2(uuid) => !uuid.is_empty(),
            Self::Plain => false,
        };
        has_one && uuid.as_bytes().starts_with(self.prefix().as_bytes())
    }

    fn prefix(&self) -> String {
        match self {
            Self::Luks1(uuid) => format!("CRYPT-LUKS1-{}-", uuid.replace('-', "")),
            Self::Luks2(uuid) => format!("CRYPT-LUKS2-{}-", uuid.replace('-', "")),
            Self::Plain => "CRYPT-PLAIN-".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::VolumeKind;

    #[test]
    fn a_volume_is_known_by_its_uuid() {
        let uuid = "11111111-2222-3333-4444-555555555555";
        let name = DeviceName::new("x").expect("a name");
        let dm_uuid = Identity::Luks2(uuid.into()).dm_uuid(&name).expect("a UUID");
        assert_eq!(dm_uuid.as_bytes(), b"CRYPT-LUKS2-11111111222233334444555555555555-x");
        assert_eq!(
            VolumeKind::of_dm_uuid(&dm_uuid),
            Some((VolumeKind::Luks2, Some(uuid.into())))
        );
        let plain = Identity::Plain.dm_uuid(&name).expect("a UUID");
        assert_eq!(plain.as_bytes(), b"CRYPT-PLAIN-x");
        assert_eq!(VolumeKind::of_dm_uuid(&plain), Some((VolumeKind::Plain, None)));
        let lvm = DeviceUuid::new("LVM-abc").expect("a UUID");
        assert_eq!(VolumeKind::of_dm_uuid(&lvm), None);
    }

    #[test]
    fn a_mapping_gets_a_name_that_is_found_again() {
        assert_eq!(new_name("a b").expect("mangled").as_bytes(), b"a\\x20b");
        for name in ["a/b", "/", "/dev/sda", ".", "..", "control"] {
            let error = new_name(name).expect_err(name).to_string();
            assert!(error.contains(&format!("name {name} ")), "{error}");
        }
        assert!(new_name("a/b").is_err_and(|error| error.to_string().contains("slash (/)")));
        assert!(new_name(&"n".repeat(127)).is_ok());
        assert!(new_name(&"n".repeat(128)).is_err_and(|error| error.to_string().contains("128 bytes long")));
        assert!(new_name("").is_err());
    }

    #[test]
    fn what_cannot_be_compared_is_different() {
        let name = DeviceName::new("x").expect("a name");
        let uuids = [
            "odd",
            "other",
            "ODD",
            "",
            "o-dd-",
            "11111111222233334444555555555555",
            "x",
            "odd-x",
        ];
        for (n, uuid) in uuids.iter().enumerate() {
            let dm_uuid = Identity::Luks2((*uuid).into()).dm_uuid(&name).expect("a UUID");
            for (m, other) in uuids.iter().enumerate() {
                // Dashes are ignored, as they never reach the kernel.
                let same =
                    !uuid.is_empty() && (n == m || [*uuid, other].iter().all(|uuid| ["odd", "o-dd-"].contains(uuid)));
                assert_eq!(
                    Identity::Luks2((*other).into()).is_of(&dm_uuid),
                    same,
                    "{uuid:?} {other:?}"
                );
            }
            assert!(!Identity::Luks1((*uuid).into()).is_of(&dm_uuid), "{uuid:?}");
            assert!(!Identity::Plain.is_of(&dm_uuid), "{uuid:?}");
        }
    }

    #[test]
    fn a_uuid_that_would_be_too_long_is_cut() {
        let name = DeviceName::new("n".repeat(127)).expect("a name");
        let uuid = Identity::Luks1("1".repeat(36)).dm_uuid(&name).expect("a UUID");
        assert_eq!(uuid.as_bytes().len(), MAX_UUID);
    }
}
