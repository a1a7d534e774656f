//! The verification digest: it binds the parameters of a reencryption to both volume keys, so that nobody who cannot unlock the
//! volume can make a program convert its data in another way.

use super::super::Header;
use super::super::metadata::Digest;
use super::super::segment::Segment;
use super::super::unlock::{Candidates, digest_matches};
use super::slot::Guard;
use super::state::Reencryption;
use crate::hash::Hash;
use crate::kdf::CostLimits;
use crate::secret::{Passphrase, Secret, VolumeKey};
use crate::storage::Storage;
use crate::{Error, Result};

/// The volume keys of a volume in reencryption.
#[derive(Debug, Default)]
pub struct VolumeKeys {
    /// The key of the data that are not converted yet; none if they are plaintext.
    pub old: Option<VolumeKey>,
    /// The key of the data that are converted; none if they are plaintext, or if it is the old one.
    pub new: Option<VolumeKey>,
}

impl VolumeKeys {
    /// The key of the data that are converted, also if it is the old one.
    pub fn of_new(&self) -> Option<&VolumeKey> {
        self.new.as_ref().or(self.old.as_ref())
    }
}

/// The password of the verification digest.
///
/// # Errors
/// [`Error::WrongVolumeKey`] where a key is missing, else the system's.
pub fn verification_input(found: &Reencryption, keys: &VolumeKeys) -> Result<Secret> {
    let old = match found.old_digest {
        Some(_) => keys.old.as_ref().ok_or(Error::WrongVolumeKey)?.expose(),
        None => &[],
    };
    let new = match found.new_digest {
        Some(digest) if found.old_digest != Some(digest) => keys.new.as_ref().ok_or(Error::WrongVolumeKey)?.expose(),
        _ => &[],
    };
    let version = [b'v', found.version.digit()];
    let public = public_part(found);
    let parts = [version.as_slice(), old, new, &public];
    let len = parts.iter().map(|part| part.len()).sum();
    let mut input = Secret::zeroed(len).map_err(Error::io("allocate memory for a digest"))?;
    let mut rest = input.expose_mut();
    for part in parts {
        let (place, behind) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = behind;
    }
    Ok(input)
}

/// All but the version and the keys.
fn public_part(found: &Reencryption) -> Vec<u8> {
    let mut out = Vec::new();
    let params = &found.params;
    for text in [
        params.mode.name(),
        params.direction.name(),
        params.resilience.type_name(),
    ] {
        out.extend_from_slice(text.as_bytes());
    }
    for number in [found.area_offset, found.area_size] {
        out.extend_from_slice(&number.get().to_be_bytes());
    }
    if let Guard::Checksum { hash, block } = &params.resilience.guard {
        out.extend_from_slice(hash.as_str().as_bytes());
        out.extend_from_slice(&block.to_be_bytes());
    }
    if let Some(shift) = params.resilience.shift {
        out.extend_from_slice(&shift.get().to_be_bytes());
    }
    for segment in [&found.previous, &found.last].into_iter().chain(&found.moved) {
        push_segment(&mut out, segment);
    }
    out
}

fn push_segment(out: &mut Vec<u8>, segment: &Segment) {
    out.extend_from_slice(segment.type_name().as_bytes());
    out.extend_from_slice(&segment.offset.get().to_be_bytes());
    match segment.size {
        Some(size) => out.extend_from_slice(&size.get().to_be_bytes()),
        None => out.extend_from_slice(b"dynamic"),
    }
    if let Some(crypt) = segment.crypt() {
        out.extend_from_slice(&crypt.iv_tweak.to_be_bytes());
        out.extend_from_slice(crypt.encryption.as_bytes());
        out.extend_from_slice(&crypt.sector_size.to_be_bytes());
    }
}

/// A new verification digest, which names the reencryption's keyslot.
///
/// # Errors
/// Those of [`verification_input`] and of the derivation.
pub fn make_digest(
    found: &Reencryption,
    keys: &VolumeKeys,
    hash: Hash,
    iterations: u32,
    limits: &CostLimits,
) -> Result<Digest> {
    let input = VolumeKey::new(verification_input(found, keys)?);
    let digest = Digest::new(&input, hash, iterations, limits)?;
    Ok(Digest {
        keyslots: vec![found.keyslot],
        ..digest
    })
}

/// A reencryption whose parameters are those that were agreed to with its volume keys.
#[derive(Debug)]
pub struct Verified(Box<Reencryption>);

impl Verified {
    /// The reencryption.
    pub fn reencryption(&self) -> &Reencryption {
        &self.0
    }

    pub(super) fn into_reencryption(self) -> Reencryption {
        *self.0
    }
}

/// Checks the parameters of the reencryption of `header` against its verification digest. Without this check nothing of the volume
/// may be opened or converted.
///
/// # Errors
/// [`Error::ReencryptionNotVerified`]; [`Error::WrongVolumeKey`] where a key is missing; [`Error::NoReencryption`] where there is
/// nothing to verify; [`Error::UnmetRequirements`]; those of the derivation.
pub fn verify(header: &Header, keys: &VolumeKeys, limits: &CostLimits) -> Result<Verified> {
    header.check_requirements()?;
    let found = header.reencryption()?.running().ok_or(Error::NoReencryption)?;
    let input = VolumeKey::new(verification_input(&found, keys)?);
    let digest = header.metadata().digests.get(&found.digest);
    match digest_matches(digest.ok_or(Error::ReencryptionNotVerified)?, &input, limits)? {
        true => Ok(Verified(found.into())),
        false => Err(Error::ReencryptionNotVerified),
    }
}

/// The volume keys that one passphrase opens: the old one, the new one, or both.
///
/// # Errors
/// [`Error::WrongPassphrase`] where it opens neither, else those of [`Header::unlock`]; [`Error::NoReencryption`] where it is in
/// none that can be continued.
pub fn unlock(
    header: &Header,
    storage: &mut dyn Storage,
    passphrase: &Passphrase,
    limits: &CostLimits,
) -> Result<VolumeKeys> {
    let found = header.reencryption()?.running().ok_or(Error::NoReencryption)?;
    let mut keys = VolumeKeys::default();
    let mut failure = Error::WrongPassphrase;
    let new_digest = found.new_digest.filter(|_| found.new_digest != found.old_digest);
    let order = header.metadata().keyslots_to_try();
    for (digest, key) in [(found.old_digest, &mut keys.old), (new_digest, &mut keys.new)] {
        let named = digest
            .and_then(|id| header.metadata().digests.get(&id))
            .map(|digest| &digest.keyslots);
        for slot in order
            .iter()
            .filter(|slot| named.is_some_and(|named| named.contains(slot)))
        {
            match header.unlock(storage, passphrase, Candidates::Keyslot(*slot), limits) {
                Ok(unlocked) => {
                    *key = Some(unlocked.volume_key);
                    break;
                }
                Err(Error::WrongPassphrase) => {}
                Err(error) => failure = error,
            }
        }
    }
    match (&keys.old, &keys.new) {
        (None, None) => Err(failure),
        _ => Ok(keys),
    }
}
