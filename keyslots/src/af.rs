//! The anti-forensic splitter of LUKS1, which LUKS2 kept.
//!
//! It inflates a key to `stripes` times its size so that every byte of the result is needed to get it back: destroying
//! a few sectors destroys the key. It does not encrypt; see [`crate::material`].

use std::ops::Range;

use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::secret::Secret;

/// Stripes of every keyslot, in LUKS1 and LUKS2.
pub const STRIPES: u32 = 4000;

/// Splits `data` into `stripes` pieces of its length, in one buffer.
///
/// # Errors
/// [`Error::BadParameter`] for no data or no stripes, or where the product overflows, and [`Error::Io`] where the
/// system has no memory or no random bytes.
pub fn split(data: &[u8], hash: Hash, stripes: u32) -> Result<Secret> {
    let len = material_len(data.len(), stripes)?;
    let mut material = Secret::random(len).map_err(Error::io("make random stripes"))?;
    let mut mixed = Secret::zeroed(data.len()).map_err(Error::io("allocate memory for a key"))?;
    let last = len - data.len();
    mix(&material.expose()[..last], hash, mixed.expose_mut());
    let stripe = &mut material.expose_mut()[last..];
    stripe.copy_from_slice(data);
    xor(stripe, mixed.expose());
    Ok(material)
}

/// Gets back the `key_len` bytes that were split into `stripes` pieces. Bytes of `material` past these are padding.
///
/// # Errors
/// [`Error::BadParameter`] where the numbers are zero or do not fit the material, and [`Error::Io`] where the system
/// has no memory.
pub fn merge(material: &[u8], key_len: usize, hash: Hash, stripes: u32) -> Result<Secret> {
    let len = material_len(key_len, stripes)?;
    let material = material.get(..len).ok_or_else(|| Error::BadParameter {
        field: "key size",
        value: key_len.to_string(),
        rule: "the key material is shorter than key size times stripes",
    })?;
    let mut key = Secret::zeroed(key_len).map_err(Error::io("allocate memory for a key"))?;
    let (mixed, last) = material.split_at(len - key_len);
    mix(mixed, hash, key.expose_mut());
    xor(key.expose_mut(), last);
    Ok(key)
}

/// Bytes that a key of `key_len` bytes takes up when split, without padding.
///
/// # Errors
/// [`Error::BadParameter`] for a zero, or where the product overflows.
pub fn material_len(key_len: usize, stripes: u32) -> Result<usize> {
    let bad = |field, value: String, rule| Error::BadParameter { field, value, rule };
    if key_len == 0 {
        return Err(bad("key size", "0".into(), "there is nothing to split"));
    }
    if stripes == 0 {
        return Err(bad("stripes", "0".into(), "a key is split into one stripe at least"));
    }
    key_len
        .checked_mul(stripes as usize)
        .ok_or_else(|| bad("key size", key_len.to_string(), "key size times stripes overflows"))
}

/// Folds all `stripes` into `state`: each is added, and the sum diffused.
fn mix(stripes: &[u8], hash: Hash, state: &mut [u8]) {
    for stripe in stripes.chunks_exact(state.len()) {
        xor(state, stripe);
        diffuse(hash, state);
    }
}

/// Replaces each digest-sized piece by the hash of its number and itself; a short last piece by the start of its hash.
fn diffuse(hash: Hash, state: &mut [u8]) {
    for (number, piece) in (0u32..).zip(pieces(state.len(), hash.output_len())) {
        let piece = &mut state[piece];
        let mut digest = zeroize::Zeroizing::new([0; crate::hash::MAX_OUTPUT_LEN]);
        hash.digest(&[&number.to_be_bytes(), piece], &mut digest[..]);
        piece.copy_from_slice(&digest[..piece.len()]);
    }
}

fn pieces(len: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(size).map(move |start| start..len.min(start + size))
}

fn xor(data: &mut [u8], other: &[u8]) {
    for (byte, other) in data.iter_mut().zip(other) {
        *byte ^= other;
    }
}
