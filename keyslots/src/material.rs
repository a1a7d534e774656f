//! Key material: a volume key as it lies in a keyslot area, split and encrypted.
//!
//! This is the whole of a keyslot's cryptography but for the derivation of the area key, see [`crate::kdf`].

use crate::af;
use crate::cipher::{CipherSpec, SectorCipher};
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::secret::{Secret, VolumeKey};

/// Key material is encrypted in sectors of this size, whatever the data has.
const SECTOR: usize = 512;

/// Splits the volume key, pads it with zeros to whole sectors and encrypts them from IV sector 0: what goes to disk.
///
/// # Errors
/// Those of [`af::split`] and [`SectorCipher::new`].
pub fn seal(volume_key: &[u8], area_key: &[u8], spec: &CipherSpec, af_hash: Hash, stripes: u32) -> Result<Secret> {
    let cipher = SectorCipher::new(spec, area_key, SECTOR, false)?;
    let split = af::split(volume_key, af_hash, stripes)?;
    let padded = padded_len(volume_key.len(), stripes)?;
    let mut sealed = Secret::zeroed(padded).map_err(Error::io("allocate memory for key material"))?;
    sealed.expose_mut()[..split.len()].copy_from_slice(split.expose());
    cipher.encrypt(0, sealed.expose_mut())?;
    Ok(sealed)
}

/// Decrypts and merges what [`seal`] made. Whether the key is the right one, only a digest can tell.
///
/// # Errors
/// Those of [`af::merge`] and [`SectorCipher::new`]; `ciphertext` has to be [`padded_len`] bytes at least.
pub fn unseal(
    mut ciphertext: Secret,
    area_key: &[u8],
    spec: &CipherSpec,
    af_hash: Hash,
    stripes: u32,
    key_len: usize,
) -> Result<VolumeKey> {
    let cipher = SectorCipher::new(spec, area_key, SECTOR, false)?;
    let padded = padded_len(key_len, stripes)?;
    let sectors = ciphertext
        .expose_mut()
        .get_mut(..padded)
        .ok_or_else(|| Error::BadParameter {
            field: "key material",
            value: format!("{padded} bytes"),
            rule: "the keyslot area is shorter than key size times stripes",
        })?;
    cipher.decrypt(0, sectors)?;
    af::merge(sectors, key_len, af_hash, stripes).map(VolumeKey::new)
}

/// Bytes of key material that a volume key of `key_len` bytes takes up on disk: whole sectors.
///
/// # Errors
/// As [`af::material_len`].
pub fn padded_len(key_len: usize, stripes: u32) -> Result<usize> {
    af::material_len(key_len, stripes)?
        .checked_next_multiple_of(SECTOR)
        .ok_or_else(|| Error::BadParameter {
            field: "key size",
            value: key_len.to_string(),
            rule: "key size times stripes overflows",
        })
}
