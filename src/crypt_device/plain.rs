//! The encryption of a volume without a header, as its user states it, and its key.

use keyslots::cipher::CipherName;
use keyslots::header::DataLayout;
use keyslots::secret::{Passphrase, Secret, VolumeKey};
use keyslots::units::Sectors;

use super::CryptError;
use crate::defaults;
use crate::volume::{MAX_KEY_LEN, PlainHash, PlainKeyError, VolumeError};

/// The encryption.
#[derive(Clone, Debug)]
pub struct PlainEncryption {
    /// The cipher.
    pub cipher: CipherName,
    /// Bytes of one encryption sector.
    pub sector_size: u32,
    /// Bytes of the key.
    pub key_len: usize,
    /// How a passphrase becomes the key.
    pub hash: PlainHash,
}

impl PlainEncryption {
    /// What is given, and the defaults for the rest.
    ///
    /// # Errors
    /// [`CryptError::PlainKey`], [`CryptError::Volume`].
    pub fn new(
        cipher: Option<&str>,
        key_len: Option<usize>,
        hash: Option<&str>,
        sector_size: Option<u32>,
    ) -> Result<Self, CryptError> {
        let key_len = key_len.unwrap_or(defaults::PLAIN_KEY_BITS as usize / 8);
        if key_len > MAX_KEY_LEN {
            return Err(PlainKeyError::KeyTooLong { len: key_len }.into());
        }
        let cipher = cipher.unwrap_or(defaults::PLAIN_CIPHER);
        Ok(Self {
            cipher: CipherName::parse(cipher).map_err(VolumeError::from)?,
            sector_size: sector_size.unwrap_or(512),
            key_len,
            hash: hash.unwrap_or(defaults::PLAIN_HASH).parse()?,
        })
    }

    /// The place of the data. No size is that of the device.
    pub fn layout(&self, offset: Sectors, size: Option<Sectors>, iv_offset: Sectors) -> DataLayout {
        DataLayout {
            cipher: self.cipher.clone(),
            sector_size: self.sector_size,
            offset,
            size,
            iv_offset,
        }
    }

    /// The key: `secret` itself, or where it is `hashed`, what the hash makes of it.
    ///
    /// # Errors
    /// [`PlainKeyError`].
    pub fn key(&self, secret: &Passphrase, hashed: bool) -> Result<VolumeKey, PlainKeyError> {
        if self.cipher.is_null() {
            // The kernel takes none for it.
            return Ok(VolumeKey::new(Secret::zeroed(0)?));
        }
        match hashed {
            true => self.hash.key(secret.expose(), self.key_len),
            false => "plain".parse::<PlainHash>()?.key(secret.expose(), self.key_len),
        }
    }
}
