//! From a validated LUKS header to a mapping: its layout, its identity, and the place of the key.

use std::fs::File;

use keyslots::header::{DataLayout, Header, NotSingle};
use keyslots::kdf::CostLimits;
use keyslots::secret::VolumeKey;
use keyslots::units::{Bytes, Sectors};

use super::{Identity, KeyPlace, VolumeError};
use crate::same_bytes::ground_of_range;

/// Checks that the data of a volume on one device with its header come after it. If the detached header of a volume were
/// mapped as its data, writes would overwrite the keyslots.
///
/// # Errors
/// [`VolumeError::HeaderOverData`].
pub fn check_behind_header(header: &Header, layout: &DataLayout) -> Result<(), VolumeError> {
    match layout.offset.bytes() {
        Some(offset) if offset < header.size() => Err(VolumeError::HeaderOverData),
        _ => Ok(()),
    }
}

/// Checks that the header and the data share no bytes, whatever paths lead to them: writes to such a mapping would
/// overwrite the keyslots.
///
/// # Errors
/// [`VolumeError::HeaderOverData`], [`VolumeError::Ground`].
pub fn check_apart(
    header: &Header,
    header_file: &File,
    layout: &DataLayout,
    data_file: &File,
) -> Result<(), VolumeError> {
    let overlap = || {
        let header = ground_of_range(header_file, Bytes::ZERO, Some(header.size()))?;
        let start = layout.offset.bytes().unwrap_or(Bytes::new(u64::MAX));
        let data = ground_of_range(data_file, start, layout.size.and_then(Sectors::bytes))?;
        Ok(header.overlaps(&data))
    };
    match overlap().map_err(VolumeError::Ground)? {
        true => Err(VolumeError::HeaderOverData),
        false => Ok(()),
    }
}

/// The layout of the data, if dm-crypt can map it.
///
/// # Errors
/// [`VolumeError::InReencryption`], [`VolumeError::NeedsIntegrity`], [`VolumeError::NeedsOpal`],
/// [`VolumeError::SeveralSegments`], [`VolumeError::NoCryptSegment`], [`VolumeError::CipherText`], or a requirement that is unknown here.
pub fn mappable(header: &Header) -> Result<DataLayout, VolumeError> {
    if let Header::Luks2(header) = header {
        header.check_requirements()?;
        if let Some(requirement) = header.reencryption_requirement() {
            return Err(VolumeError::InReencryption(requirement.to_owned()));
        }
    }
    let layout = header.layout().single().map_err(|refused| match refused {
        NotSingle::Integrity => VolumeError::NeedsIntegrity,
        NotSingle::HwOpal => VolumeError::NeedsOpal,
        NotSingle::Several(several) => VolumeError::SeveralSegments(several),
        _ => VolumeError::NoCryptSegment,
    })?;
    layout.cipher.check()?;
    Ok(layout)
}

/// The identity of a header's volume.
pub fn identity(header: &Header) -> Identity {
    match header {
        Header::Luks1(header) => Identity::Luks1(header.uuid().to_owned()),
        Header::Luks2(header) => Identity::Luks2(header.binary().uuid.clone()),
    }
}

/// Where the kernel gets the key from: with LUKS2 from the keyring if possible and allowed, with LUKS1 from the table,
/// as with cryptsetup.
///
/// A LUKS2 keyslot may hold another key than that of the data, with which all reads would return garbage and all writes
/// be lost: this is the check for that, whatever the place.
///
/// # Errors
/// That of the digest, where the key is not the volume's.
pub fn key_place(
    header: &Header,
    key: &VolumeKey,
    may_use_keyring: bool,
    limits: &CostLimits,
) -> Result<KeyPlace, VolumeError> {
    let Header::Luks2(luks2) = header else {
        return Ok(KeyPlace::Table);
    };
    let digest = luks2.verify_volume_key(key, true, limits)?;
    // The null cipher has no key in the kernel.
    let keyless = key.is_empty() || header.data().is_some_and(|data| data.cipher.is_null());
    if may_use_keyring && !keyless && crate::keyring::is_available() {
        Ok(KeyPlace::Keyring(format!("cryptsetup:{}-d{digest}", header.uuid())))
    } else {
        Ok(KeyPlace::Table)
    }
}

#[cfg(test)]
mod tests {
    use keyslots::luks2;
    use keyslots::luks2::copies::{self, Copy};
    use keyslots::luks2::metadata::Metadata;
    use keyslots::luks2::segment::SegmentKind;
    use keyslots::storage::Memory;
    use keyslots::units::Bytes;

    use super::*;

    /// A header with the metadata as changed by `edit`, and its volume key.
    fn header(edit: impl FnOnce(&mut Metadata)) -> (Header, VolumeKey) {
        let key = VolumeKey::random(64).expect("random bytes");
        let params = crate::volume::fixtures::cheap_header();
        let made = luks2::Header::create(&params, &key, &CostLimits::default()).expect("a header");
        let mut copy = Copy {
            binary: made.binary().clone(),
            metadata: made.metadata().clone(),
        };
        edit(&mut copy.metadata);
        let mut storage = Memory::zeroed(16 << 20);
        copies::write(&mut storage, &copy).expect("a valid header");
        (Header::read(&mut storage).expect("a header"), key)
    }

    #[test]
    fn a_volume_is_mapped_as_a_whole_or_not_at_all() {
        assert!(mappable(&header(|_| ()).0).is_ok());
        let (several, _) = header(|metadata| {
            let mut first = metadata.segments[&0].clone();
            let mut second = first.clone();
            first.size = Some(Bytes::mib(1));
            second.offset = Bytes::mib(17);
            metadata.segments.insert(0, first);
            metadata.segments.insert(1, second);
            for digest in metadata.digests.values_mut() {
                digest.segments = vec![0, 1];
            }
        });
        assert!(matches!(mappable(&several), Err(VolumeError::SeveralSegments(2))));
        let (opal, _) = header(|metadata| {
            let mut segment = metadata.segments[&0].clone();
            let SegmentKind::Crypt(crypt) = segment.kind else {
                panic!("a crypt segment")
            };
            segment.kind = SegmentKind::HwOpal {
                segment_number: 1,
                key_size: 32,
                segment_size: Bytes::mib(8),
                crypt: Some(crypt),
            };
            segment.size = Some(Bytes::mib(8));
            metadata.segments.insert(0, segment);
        });
        assert!(matches!(mappable(&opal), Err(VolumeError::NeedsOpal)));
        let (future, _) = header(|metadata| metadata.config.requirements.push("from-the-future".into()));
        assert!(matches!(
            mappable(&future),
            Err(VolumeError::Luks(keyslots::Error::UnmetRequirements(_)))
        ));
    }

    #[test]
    fn no_other_key_than_that_of_the_data_gets_a_place() {
        let (header, key) = header(|_| ());
        let other = VolumeKey::random(64).expect("random bytes");
        for may_use_keyring in [true, false] {
            assert!(key_place(&header, &key, may_use_keyring, &CostLimits::default()).is_ok());
            let refused = key_place(&header, &other, may_use_keyring, &CostLimits::default());
            assert!(
                matches!(refused, Err(VolumeError::Luks(keyslots::Error::WrongVolumeKey))),
                "{refused:?}"
            );
        }
    }
}
