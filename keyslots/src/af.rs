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

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    /// Computed from the LUKS1 specification over libgcrypt: digests that divide the key, that are longer, and that
    /// leave a short last piece.
    #[test]
    fn merging_is_what_the_specification_says() {
        let answers: &[(Hash, u32, &[u8])] = &[
            (Hash::Sha1, 4, &hex!("f34c288fd32c60922835b60a8317b538")),
            (
                Hash::Sha1,
                7,
                &hex!("880989f90ac72404abe8d747908c50bb5e2d90b56f652b0f25df577edf325e54"),
            ),
            (
                Hash::Sha256,
                5,
                &hex!(
                    "8a2ddd1b13827f5e2f444a99b8119386d011d3c6e3391a89d80c48e5a7b27c668d9d4c31bec5ae2f1c618228a8d6e7a7"
                    "206bed949acc6aab8c63bc3e0ce86888"
                ),
            ),
            (
                Hash::Sha256,
                3,
                &hex!("facf32e434d2bd7a16649b6364503efea68dd8e0217715a8a21d4c6f2f06f7ec31"),
            ),
            (Hash::Sha512, 6, &hex!("500a9f80bb8c0fe4a9750cf7ffe9cfd9d0144547")),
            (
                Hash::Ripemd160,
                2,
                &hex!(
                    "48cf0f909c10c97009adb240d1322f1e00ce12de1997f4fac99bfa3aef0531459534f77f613c6139968612a7c01fd38e"
                    "82c2c137eff846b85b9c2e4499"
                ),
            ),
            (
                Hash::Whirlpool,
                3,
                &hex!(
                    "675f53d78339fae7232a317ffd1651f0f3ad56b81d89a9bd9347f1bea5f709710d14ccf64056152cd05432cda060efcc"
                    "0ec648bfffada0f22a9058f7ddb6f571"
                ),
            ),
            (
                Hash::Blake2s128,
                4,
                &hex!("9dbb6c69be040a23b7f1616ea6913b13b21065dbb8638a6f"),
            ),
            (
                Hash::Sha256,
                1,
                &hex!("05121f2c394653606d7a8794a1aebbc8d5e2effc091623303d4a5764717e8b98"),
            ),
        ];
        for &(hash, stripes, expected) in answers {
            let material: Vec<u8> = (0..expected.len() * stripes as usize)
                .map(|n| (13 * n + 5) as u8)
                .collect();
            let key = merge(&material, expected.len(), hash, stripes).expect("valid sizes");
            assert_eq!(key.expose(), expected, "{hash}, {stripes} stripes");
        }
    }

    #[test]
    fn merging_undoes_splitting_for_every_hash_and_odd_lengths() {
        for &hash in Hash::ALL {
            for len in [1, 7, 16, 19, 20, 21, 31, 32, 33, 48, 63, 64, 65, 129] {
                let data: Vec<u8> = (0..len).map(|n| n as u8 ^ 0x5a).collect();
                for stripes in [1, 2, 9] {
                    let material = split(&data, hash, stripes).expect("valid sizes");
                    assert_eq!(material.len(), len * stripes as usize);
                    let key = merge(material.expose(), len, hash, stripes).expect("valid sizes");
                    assert_eq!(key.expose(), data, "{hash}, {len} bytes, {stripes} stripes");
                }
            }
        }
    }

    #[test]
    fn each_byte_of_each_stripe_is_needed() {
        let (data, hash) = ([0x5a; 40], Hash::Sha256);
        let material = split(&data, hash, 5).expect("valid sizes");
        for n in 0..material.len() {
            let mut damaged = material.expose().to_vec();
            damaged[n] ^= 1;
            assert_ne!(
                merge(&damaged, 40, hash, 5).expect("valid sizes").expose(),
                data,
                "byte {n}"
            );
        }
        assert_ne!(
            split(&data, hash, 5).expect("valid sizes").expose(),
            material.expose(),
            "stripes are random"
        );
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let field = |result: Result<Secret>| match result {
            Err(Error::BadParameter { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(split(&[], Hash::Sha1, 4000)), "key size");
        assert_eq!(field(split(&[1], Hash::Sha1, 0)), "stripes");
        assert_eq!(field(merge(&[0; 100], 0, Hash::Sha1, 4000)), "key size");
        assert_eq!(field(merge(&[0; 100], 10, Hash::Sha1, 0)), "stripes");
        assert_eq!(field(merge(&[0; 99], 10, Hash::Sha1, 10)), "key size");
        assert_eq!(field(merge(&[0; 99], usize::MAX, Hash::Sha1, u32::MAX)), "key size");
    }
}
