//! Key material: a volume key as stored in a keyslot area, split and encrypted.
//!
//! This is the whole of a keyslot's cryptography but for the derivation of the area key, see [`crate::kdf`].

use crate::af;
use crate::cipher::{CipherSpec, SectorCipher};
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::secret::{Secret, VolumeKey};

/// The sector size that key material is encrypted in, whatever the data has.
const SECTOR: usize = 512;

/// Unit of the key material that waits for its keyslot.
pub(crate) const SPARE_SECTOR: usize = SECTOR;

/// Stripes of a key that waits for its keyslot: as many as the last of its sectors holds.
pub(crate) fn spare_stripes(key_len: usize) -> u32 {
    let sectors = key_len.max(1).next_multiple_of(SECTOR);
    u32::try_from(sectors / key_len.max(1)).unwrap_or(1)
}

/// How key material is split and encrypted.
#[derive(Clone, Copy, Debug)]
pub struct Wrapping<'a> {
    /// The cipher of the area.
    pub cipher: &'a CipherSpec,
    /// The hash of the anti-forensic split.
    pub af_hash: Hash,
    /// The pieces into which the key is split.
    pub stripes: u32,
}

impl Wrapping<'_> {
    /// Splits the volume key, pads it with zeros to whole sectors and encrypts them from IV sector 0: the bytes for the
    /// disk.
    ///
    /// # Errors
    /// Those of [`af::split`] and [`SectorCipher::new`].
    pub fn seal(&self, volume_key: &[u8], area_key: &[u8]) -> Result<Secret> {
        let cipher = SectorCipher::new(self.cipher, area_key, SECTOR, false)?;
        let split = af::split(volume_key, self.af_hash, self.stripes)?;
        let padded = padded_len(volume_key.len(), self.stripes)?;
        let mut sealed = Secret::zeroed(padded).map_err(Error::io("allocate memory for key material"))?;
        sealed.expose_mut()[..split.len()].copy_from_slice(split.expose());
        cipher.encrypt(0, sealed.expose_mut())?;
        Ok(sealed)
    }

    /// Decrypts and merges the output of [`Wrapping::seal`]. Only a digest can tell whether the key is right.
    ///
    /// # Errors
    /// Those of [`af::merge`] and [`SectorCipher::new`]; `ciphertext` has to be [`padded_len`] bytes at least.
    pub fn unseal(&self, mut ciphertext: Secret, area_key: &[u8], key_len: usize) -> Result<VolumeKey> {
        let cipher = SectorCipher::new(self.cipher, area_key, SECTOR, false)?;
        let padded = padded_len(key_len, self.stripes)?;
        let sectors = ciphertext
            .expose_mut()
            .get_mut(..padded)
            .ok_or_else(|| Error::BadParameter {
                field: "key material",
                value: format!("{padded} bytes"),
                rule: "the keyslot area is shorter than key size times stripes",
            })?;
        cipher.decrypt(0, sectors)?;
        af::merge(sectors, key_len, self.af_hash, self.stripes).map(VolumeKey::new)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> CipherSpec {
        text.parse().expect("a known cipher")
    }

    #[test]
    fn unsealing_undoes_sealing_whatever_is_left_of_the_last_sector() {
        for text in [
            "aes-xts-plain64",
            "aes-cbc-essiv:sha256",
            "twofish-lrw-benbi",
            "cast6-ctr-plain",
        ] {
            let spec = spec(text);
            let area_len = (0..=64)
                .rev()
                .find(|len| spec.check_key_len(*len).is_ok())
                .expect("some key fits");
            let area_key = vec![7; area_len];
            for (key_len, stripes) in [(64, 4000), (32, 4000), (33, 7), (24, 4000), (1, 1), (512, 1), (513, 1)] {
                let key: Vec<u8> = (0..key_len).map(|n| n as u8).collect();
                let wrapping = Wrapping {
                    cipher: &spec,
                    af_hash: Hash::Sha256,
                    stripes,
                };
                let sealed = wrapping.seal(&key, &area_key).expect("valid sizes");
                assert_eq!(sealed.len(), padded_len(key_len, stripes).expect("valid sizes"));
                assert!(sealed.len().is_multiple_of(SECTOR));
                let copy = Secret::copy_from(sealed.expose()).expect("a page");
                let opened = wrapping.unseal(copy, &area_key, key_len).expect("valid sizes");
                assert_eq!(opened.expose(), key, "{text}, {key_len} bytes");
                let other = wrapping.unseal(sealed, &vec![8; area_len], key_len);
                assert_ne!(
                    other.expect("valid sizes").expose(),
                    key,
                    "{text}, {key_len} bytes, another area key"
                );
            }
        }
    }

    #[test]
    fn an_area_that_is_too_short_and_a_key_that_does_not_fit_are_refused() {
        let spec = spec("aes-xts-plain64");
        let unseal = |area_key: &[u8], stripes, key_len| {
            let wrapping = Wrapping {
                cipher: &spec,
                af_hash: Hash::Sha1,
                stripes,
            };
            wrapping.unseal(Secret::zeroed(1024).expect("a page"), area_key, key_len)
        };
        let short = unseal(&[7; 64], 65, 16);
        assert!(
            matches!(
                short,
                Err(Error::BadParameter {
                    field: "key material",
                    ..
                })
            ),
            "{short:?}"
        );
        let zero = unseal(&[7; 64], 4000, 0);
        assert!(
            matches!(zero, Err(Error::BadParameter { field: "key size", .. })),
            "{zero:?}"
        );
        let huge = unseal(&[7; 64], u32::MAX, usize::MAX);
        assert!(
            matches!(huge, Err(Error::BadParameter { field: "key size", .. })),
            "{huge:?}"
        );
        let key = unseal(&[7; 63], 1, 16);
        assert!(matches!(key, Err(Error::Cipher(_))), "{key:?}");
    }
}
