//! A volume without the device-mapper: its plaintext, read by this program itself.

use std::fs::File;
use std::io;

use keyslots::cipher::{CipherError, CipherSpec, SectorCipher};
use keyslots::header::DataLayout;
use keyslots::secret::VolumeKey;
use keyslots::storage::Storage;
use keyslots::units::{Bytes, SECTOR_SIZE, Sectors};

/// Encryption sectors that are read at a time.
const BATCH: usize = 256;

/// Why a volume cannot be read here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Only the kernel can compute this cipher.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// The device failed.
    #[error("cannot read the data: {0}")]
    Io(#[from] io::Error),
    /// The device ends before the data start.
    #[error("the data start at sector {}, behind the end of the device", .0.get())]
    NoData(Sectors),
}

/// The plaintext of a volume, read-only.
#[derive(Debug)]
pub struct Plaintext {
    device: File,
    cipher: SectorCipher,
    sector_size: u64,
    start: Bytes,
    size: Bytes,
    iv_offset: Sectors,
}

impl Plaintext {
    /// The volume on `device` that is laid out as `layout` says and encrypted under `key`.
    ///
    /// # Errors
    /// [`ReadError::Cipher`] where this program lacks the cipher, [`ReadError::NoData`], [`ReadError::Io`].
    pub fn new(mut device: File, layout: &DataLayout, key: &VolumeKey) -> Result<Self, ReadError> {
        let spec: CipherSpec = layout.cipher.parse()?;
        let sector_size = layout.sector_size as usize;
        let cipher = SectorCipher::new(&spec, key.expose(), sector_size, false)?;
        let no_data = || ReadError::NoData(layout.offset);
        let start = layout.offset.bytes().ok_or_else(no_data)?;
        let available = device.size()?.checked_sub(start).ok_or_else(no_data)?;
        let wanted = layout.size.and_then(Sectors::bytes).unwrap_or(available).min(available);
        let whole = wanted.get() / u64::from(layout.sector_size) * u64::from(layout.sector_size);
        Ok(Self {
            device,
            cipher,
            sector_size: layout.sector_size.into(),
            start,
            size: Bytes::new(whole),
            iv_offset: layout.iv_offset,
        })
    }

    /// Size of the plaintext.
    pub fn size(&self) -> Bytes {
        self.size
    }

    /// Hands the plaintext from `offset` on to `put`, piece by piece: `length` bytes, or as many as there are.
    ///
    /// # Errors
    /// [`ReadError::Io`], that of `put` included.
    pub fn read(
        &mut self,
        offset: Bytes,
        length: Option<Bytes>,
        mut put: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ReadError> {
        let rest = self.size.checked_sub(offset).unwrap_or(Bytes::ZERO);
        let end = offset.get().saturating_add(length.unwrap_or(rest).min(rest).get());
        let mut buffer = vec![0; BATCH * self.sector_size as usize];
        let mut at = offset.get();
        while at < end {
            let first = at / self.sector_size * self.sector_size;
            let batch = (self.size.get() - first).min(buffer.len() as u64) as usize;
            let from = self
                .start
                .checked_add(Bytes::new(first))
                .ok_or(ReadError::NoData(Sectors::ZERO))?;
            self.device.read_at(from, &mut buffer[..batch])?;
            let iv = self.iv_offset.get().wrapping_add(first / SECTOR_SIZE);
            self.cipher.decrypt(iv, &mut buffer[..batch])?;
            let skip = (at - first) as usize;
            let take = (end - at).min((batch - skip) as u64) as usize;
            put(&buffer[skip..skip + take])?;
            at += take as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const CIPHER: &str = "aes-xts-plain64";

    /// A device of three encryption sectors behind one other sector, and its plaintext.
    fn device(key: &VolumeKey, sector_size: u32) -> (File, Vec<u8>, DataLayout) {
        let plain: Vec<u8> = (0..sector_size * 3).map(|n| (n / 7) as u8).collect();
        let mut data = plain.clone();
        let spec: CipherSpec = CIPHER.parse().expect("a specification");
        let cipher = SectorCipher::new(&spec, key.expose(), sector_size as usize, false).expect("a cipher");
        cipher.encrypt(0, &mut data).expect("whole sectors");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[0xee; 512])
            .and_then(|()| file.write_all(&data))
            .expect("space");
        let layout = DataLayout {
            cipher: CIPHER.into(),
            sector_size,
            offset: Sectors::new(1),
            size: None,
            iv_offset: Sectors::ZERO,
        };
        (file, plain, layout)
    }

    #[test]
    fn any_piece_can_be_read() {
        let key = VolumeKey::random(64).expect("random bytes");
        for sector_size in [512, 4096] {
            for (offset, length) in [
                (0, None),
                (1, Some(1)),
                (511, Some(2)),
                (600, Some(4096)),
                (100_000, None),
            ] {
                let (file, plain, layout) = device(&key, sector_size);
                let mut volume = Plaintext::new(file, &layout, &key).expect("a volume");
                assert_eq!(volume.size().get(), u64::from(sector_size) * 3);
                let mut read = Vec::new();
                let put = |piece: &[u8]| {
                    read.extend_from_slice(piece);
                    Ok(())
                };
                volume
                    .read(Bytes::new(offset), length.map(Bytes::new), put)
                    .expect("a file");
                let start = (offset as usize).min(plain.len());
                let end = length.map_or(plain.len(), |length| (start + length as usize).min(plain.len()));
                assert_eq!(read, plain[start..end], "{sector_size} {offset} {length:?}");
            }
        }
    }
}
