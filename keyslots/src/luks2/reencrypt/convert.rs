//! The data path of a zone: read, decrypt with the old key, encrypt with the new one, write. A few MiB are in memory at once,
//! however long the zone is, unless the caller reads it ahead.

use std::any::Any;
use std::fmt;
use std::io;

use super::digest::VolumeKeys;
use super::plan::Zone;
use super::state::Reencryption;
use crate::cipher::{CipherSpec, SectorCipher};
use crate::hash::Hash;
use crate::secret::VolumeKey;
use crate::storage::Storage;
use crate::units::{Bytes, SECTOR_SIZE};
use crate::{Error, Result};

/// Bytes that are worked on at once: a multiple of every block that is hashed.
const CHUNK: usize = 4 << 20;

/// The storages of a volume: one device, or a header and its data apart.
pub struct Disks<'a> {
    header: &'a mut dyn Storage,
    data: Option<&'a mut dyn Storage>,
    lock: Option<&'a dyn HeaderLock>,
}

/// Keeps other programs from the header while it is written.
pub trait HeaderLock {
    /// Holds the lock until what it returns is dropped. It is held already where another one is not dropped yet: no lock is taken
    /// twice.
    ///
    /// # Errors
    /// The lock cannot be taken.
    fn hold(&self) -> io::Result<Box<dyn Any>>;
}

impl fmt::Debug for Disks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.data.is_some() { "Disks(2)" } else { "Disks(1)" })
    }
}

impl<'a> Disks<'a> {
    /// One device with the header at its start.
    pub fn attached(device: &'a mut dyn Storage) -> Self {
        Self {
            header: device,
            data: None,
            lock: None,
        }
    }

    /// A header of its own. Both may not be one device.
    pub fn detached(header: &'a mut dyn Storage, data: &'a mut dyn Storage) -> Self {
        Self {
            header,
            data: Some(data),
            lock: None,
        }
    }

    /// Takes this lock for each write of the header, and for no longer. Without it, the caller holds one all the time.
    pub fn with_lock(self, lock: &'a dyn HeaderLock) -> Self {
        Self {
            lock: Some(lock),
            ..self
        }
    }

    pub(super) fn hold(&self) -> Result<Option<Box<dyn Any>>> {
        let held = self.lock.map(HeaderLock::hold).transpose();
        held.map_err(Error::io("lock the header"))
    }

    /// Whether the header is on the device with the data.
    pub fn is_attached(&self) -> bool {
        self.data.is_none()
    }

    /// The storage of the header.
    pub fn header(&mut self) -> &mut dyn Storage {
        self.header
    }

    /// The storage of the data.
    pub fn data(&mut self) -> &mut dyn Storage {
        match &mut self.data {
            Some(data) => *data,
            None => self.header,
        }
    }

    /// Both, where they are two.
    pub(super) fn both(&mut self) -> Option<(&mut dyn Storage, &mut dyn Storage)> {
        let data = self.data.as_deref_mut()?;
        Some((self.header, data))
    }

    pub(super) fn data_size(&mut self) -> Result<Bytes> {
        self.data().size().map_err(Error::io("get the size of the data device"))
    }

    pub(super) fn read_data(&mut self, at: Bytes, buf: &mut [u8]) -> Result<()> {
        self.data().read_at(at, buf).map_err(Error::io("read the data"))
    }

    pub(super) fn write_data(&mut self, at: Bytes, buf: &[u8]) -> Result<()> {
        self.data().write_at(at, buf).map_err(Error::io("write the data"))
    }

    pub(super) fn sync_data(&mut self) -> Result<()> {
        self.data().sync().map_err(Error::io("sync the data"))
    }
}

/// Both encryptions of the data. Sectors are of 512 bytes, and count from the start of the data.
///
/// Data are given in multiples of [`super::Plan::sector_size`], at multiples of it. Whole MiB come at once, so that an
/// implementation can split them between threads.
pub trait Codec: Sync {
    /// Turns data as they were on the disk into plaintext.
    ///
    /// # Errors
    /// Those of the cipher.
    fn decode(&self, first_sector: u64, data: &mut [u8]) -> Result<()>;

    /// Turns plaintext into data as they will be on the disk.
    ///
    /// # Errors
    /// Those of the cipher.
    fn encode(&self, first_sector: u64, data: &mut [u8]) -> Result<()>;

    /// Turns data as they were on the disk into data as they will be.
    ///
    /// # Errors
    /// Those of the cipher.
    fn convert(&self, first_sector: u64, data: &mut [u8]) -> Result<()> {
        self.decode(first_sector, data)?;
        self.encode(first_sector, data)
    }
}

/// The ciphers of this crate as a [`Codec`].
#[derive(Debug)]
pub struct Ciphers {
    old: Option<SectorCipher>,
    new: Option<SectorCipher>,
}

impl Ciphers {
    /// The ciphers of `found` with `keys`, which the caller has verified.
    ///
    /// # Errors
    /// [`Error::WrongVolumeKey`] where a key is missing, or that of a cipher which is unknown here.
    pub fn new(found: &Reencryption, keys: &VolumeKeys) -> Result<Self> {
        let cipher = |segment: &super::super::segment::Segment, key: Option<&VolumeKey>| {
            let Some(crypt) = segment.crypt() else { return Ok(None) };
            let spec: CipherSpec = crypt.encryption.parse()?;
            let key = key.ok_or(Error::WrongVolumeKey)?;
            let cipher = SectorCipher::new(&spec, key.expose(), crypt.sector_size as usize, false)?;
            Ok::<_, Error>(Some(cipher))
        };
        // One that no digest is of has not been verified.
        let kept = found.old_digest.is_some() && found.old_digest == found.new_digest;
        let new = if kept { keys.old.as_ref() } else { keys.of_new() };
        Ok(Self {
            old: cipher(&found.previous, keys.old.as_ref())?,
            new: cipher(&found.last, new)?,
        })
    }
}

impl Codec for Ciphers {
    fn decode(&self, first_sector: u64, data: &mut [u8]) -> Result<()> {
        let cipher = self.old.as_ref();
        Ok(cipher.map_or(Ok(()), |cipher| cipher.decrypt(first_sector, data))?)
    }

    fn encode(&self, first_sector: u64, data: &mut [u8]) -> Result<()> {
        let cipher = self.new.as_ref();
        Ok(cipher.map_or(Ok(()), |cipher| cipher.encrypt(first_sector, data))?)
    }
}

/// Converts what was read from the zone at `at` in place.
pub(super) fn convert(codec: &dyn Codec, zone: &Zone, at: usize, data: &mut [u8]) -> Result<()> {
    let sector = (at as u64 / SECTOR_SIZE)
        .checked_add(zone.first_sector())
        .ok_or_else(past_end)?;
    codec.convert(sector, data)
}

/// Calls `each` with every offset in the zone and a buffer for the bytes there.
pub(super) fn for_each_chunk(zone: &Zone, mut each: impl FnMut(usize, &mut [u8]) -> Result<()>) -> Result<()> {
    let len = length(zone)?;
    let mut buffer = vec![0; len.min(CHUNK)];
    let mut at = 0;
    while at < len {
        let now = buffer.len().min(len - at);
        each(at, &mut buffer[..now])?;
        at += now;
    }
    Ok(())
}

/// The length of the zone in memory.
pub(super) fn length(zone: &Zone) -> Result<usize> {
    zone.len.to_usize().ok_or_else(past_end)
}

/// `offset` bytes behind `start`.
pub(super) fn place(start: Bytes, offset: usize) -> Result<Bytes> {
    start.checked_add(Bytes::new(offset as u64)).ok_or_else(past_end)
}

fn past_end() -> Error {
    Error::io("convert the data")(io::ErrorKind::InvalidInput.into())
}

/// What was written of a zone, for reading it back.
#[derive(Debug, Default)]
pub(super) struct Written(Vec<[u8; 32]>);

impl Written {
    pub(super) fn put(&mut self, chunk: &[u8]) {
        self.0.push(sum(chunk));
    }

    /// Reads the zone back, chunk by chunk as it was written.
    pub(super) fn verify(&self, disks: &mut Disks<'_>, zone: &Zone) -> Result<()> {
        let mut sums = self.0.iter();
        for_each_chunk(zone, |at, chunk| {
            disks.read_data(place(zone.to, at)?, chunk)?;
            let same = sums.next() == Some(&sum(chunk));
            let from = place(zone.start, at)?;
            let to = place(from, chunk.len())?;
            same.then_some(()).ok_or(Error::NotReadBack { from, to })
        })
    }
}

fn sum(chunk: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    Hash::Sha256.digest(&[chunk], &mut sum);
    sum
}

/// Converts the zone, from where its old bytes are, and waits until it is on the device.
pub(super) fn convert_zone(
    disks: &mut Disks<'_>,
    codec: &dyn Codec,
    zone: &Zone,
    written: Option<&mut Written>,
) -> Result<()> {
    let mut written = written;
    for_each_chunk(zone, |at, chunk| {
        disks.read_data(place(zone.from, at)?, chunk)?;
        convert(codec, zone, at, chunk)?;
        if let Some(written) = &mut written {
            written.put(chunk);
        }
        disks.write_data(place(zone.to, at)?, chunk)
    })?;
    disks.sync_data()
}

/// Writes a zone that is converted, and waits until it is on the device.
pub(super) fn write_zone(disks: &mut Disks<'_>, zone: &Zone, data: &[u8], written: Option<&mut Written>) -> Result<()> {
    let mut written = written;
    for (index, chunk) in data.chunks(CHUNK).enumerate() {
        if let Some(written) = &mut written {
            written.put(chunk);
        }
        disks.write_data(place(zone.to, index * CHUNK)?, chunk)?;
    }
    disks.sync_data()
}
