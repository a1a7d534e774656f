//! A volume's data as a stream, for pipes, which cannot seek.

use std::io;

use keyslots::cipher::SectorCipher;
use keyslots::header::DataLayout;
use keyslots::secret::VolumeKey;
use keyslots::units::SECTOR_SIZE;

use super::UserspaceError;
use super::parallel::Parts;

/// Encrypts or decrypts the data of a volume from their start on, whole sectors at a time.
#[derive(Debug)]
pub struct Sequential {
    cipher: SectorCipher,
    parts: Parts,
    iv_offset: u64,
    /// Bytes done.
    position: u64,
}

impl Sequential {
    /// Starts a stream for data with this `layout`. Where they are is up to the caller.
    ///
    /// # Errors
    /// [`UserspaceError::Cipher`].
    pub fn new(layout: &DataLayout, key: &VolumeKey) -> Result<Self, UserspaceError> {
        let spec = layout.cipher.spec()?;
        let cipher = SectorCipher::new(spec, key.expose(), layout.sector_size as usize, false)?;
        Ok(Self {
            parts: Parts::for_cipher(&cipher)?,
            cipher,
            iv_offset: layout.iv_offset.get(),
            position: 0,
        })
    }

    /// Encrypts the next sectors in place.
    ///
    /// # Errors
    /// `InvalidInput` for a part of a sector.
    pub fn encrypt(&mut self, data: &mut [u8]) -> io::Result<()> {
        self.next(data, |cipher, iv, part| cipher.encrypt(iv, part))
    }

    /// Decrypts the next sectors in place.
    ///
    /// # Errors
    /// `InvalidInput` for a part of a sector.
    pub fn decrypt(&mut self, data: &mut [u8]) -> io::Result<()> {
        self.next(data, |cipher, iv, part| cipher.decrypt(iv, part))
    }

    /// Skips sectors without changing them.
    pub fn skip(&mut self, len: u64) {
        self.position += len;
    }

    fn next(
        &mut self,
        data: &mut [u8],
        crypt: impl Fn(&SectorCipher, u64, &mut [u8]) -> Result<(), keyslots::cipher::CipherError> + Sync,
    ) -> io::Result<()> {
        let (cipher, len) = (&self.cipher, data.len() as u64);
        let (position, iv_offset) = (self.position, self.iv_offset);
        self.parts.run(data, |at, part| {
            let iv = iv_offset.wrapping_add((position + at) / SECTOR_SIZE);
            crypt(cipher, iv, part).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
        })?;
        self.position += len;
        Ok(())
    }
}
