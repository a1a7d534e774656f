//! From a validated LUKS header to what is mapped: which layout, under which identity, with the key in which place.

use keyslots::header::{DataLayout, Header};
use keyslots::kdf::CostLimits;
use keyslots::secret::VolumeKey;

use super::{Identity, KeyPlace, VolumeError};

/// How the data are laid out, where that is something that can be mapped.
///
/// # Errors
/// [`VolumeError::InReencryption`], [`VolumeError::NeedsIntegrity`], [`VolumeError::NoCryptSegment`], or a requirement
/// that is unknown here.
pub fn mappable(header: &Header) -> Result<DataLayout, VolumeError> {
    if let Header::Luks2(header) = header {
        header.check_requirements()?;
        let requirements = &header.metadata().config.requirements;
        if let Some(requirement) = requirements.iter().find(|name| name.contains("reencrypt")) {
            return Err(VolumeError::InReencryption(requirement.clone()));
        }
        if header.crypt().is_some_and(|crypt| crypt.integrity.is_some()) {
            return Err(VolumeError::NeedsIntegrity);
        }
    }
    header.data().ok_or(VolumeError::NoCryptSegment)
}

/// Which volume a header is of.
pub fn identity(header: &Header) -> Identity {
    match header {
        Header::Luks1(header) => Identity::Luks1(header.uuid().to_owned()),
        Header::Luks2(header) => Identity::Luks2(header.binary().uuid.clone()),
    }
}

/// Where the kernel is to get the key from: LUKS2 hands it over in the keyring where it can and may, LUKS1 in the
/// table, as the reference has it.
///
/// # Errors
/// That of the digest, where the key is not the volume's.
pub fn key_place(header: &Header, key: &VolumeKey, may_use_keyring: bool) -> Result<KeyPlace, VolumeError> {
    match header {
        Header::Luks2(luks2) if may_use_keyring && !key.is_empty() && crate::keyring::is_available() => {
            let digest = luks2.verify_volume_key(key, true, &CostLimits::default())?;
            Ok(KeyPlace::Keyring(format!("cryptsetup:{}-d{digest}", header.uuid())))
        }
        _ => Ok(KeyPlace::Table),
    }
}
