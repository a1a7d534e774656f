//! The engine: plaintext in and out at any byte, from any number of threads.
//!
//! A read fills the caller's buffer and is decrypted there. A write is encrypted into a separate buffer, since the
//! caller's may not change. Large requests are split into one part for each processor; each part does its own input,
//! output and encryption.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use keyslots::cipher::SectorCipher;
use keyslots::header::DataLayout;
use keyslots::secret::VolumeKey;
use keyslots::storage::Storage as _;
use keyslots::units::{Bytes, SECTOR_SIZE, Sectors};

use super::UserspaceError;
use super::device::Access;
use super::parallel::Parts;
use super::ranges::{Ranges, Use};
use super::span::{Span, whole};

/// Bytes that are encrypted and written at a time: they stay in the processor's cache. A multiple of every sector size.
pub(super) const CHUNK: usize = 256 * 1024;

/// The options of using a volume.
#[derive(Clone, Copy, Debug)]
pub struct VolumeOptions {
    /// Reading only, or writing too. The device must be open for it.
    pub access: Access,
    /// Whether IVs count encryption sectors instead of 512-byte ones.
    pub iv_large_sectors: bool,
    /// Whether discards reach the device. What was discarded then reads as zeros here, but as random data through
    /// dm-crypt; without this, discarding writes encrypted zeros.
    pub allow_discards: bool,
}

impl VolumeOptions {
    /// The usual options.
    pub fn new(access: Access) -> Self {
        Self {
            access,
            iv_large_sectors: false,
            allow_discards: false,
        }
    }
}

/// The plaintext of a volume, without the device-mapper. See the [module](super) for an example.
///
/// The methods with a position work from any number of threads at once. [`Read`](io::Read), [`Write`](io::Write) and
/// [`Seek`](io::Seek) add a position of its own to it. Nothing is buffered: a completed write is with the device, and
/// survives a power loss after [`Volume::sync`].
#[derive(Debug)]
pub struct Volume {
    pub(super) device: File,
    cipher: SectorCipher,
    pub(super) sector_size: u64,
    /// The start of the data on the device.
    pub(super) start: u64,
    pub(super) size: AtomicU64,
    /// The expected size.
    full_size: Bytes,
    /// Whether the data extend to the end of the device.
    pub(super) dynamic: bool,
    iv_offset: u64,
    pub(super) options: VolumeOptions,
    parts: Parts,
    pub(super) ranges: Ranges,
    /// Reusable buffers for ciphertext.
    buffers: Mutex<Vec<Vec<u8>>>,
    /// Whether a sync has failed: the kernel may have dropped unwritten data, and would not report it again.
    broken: AtomicBool,
    /// The position of `Read`, `Write` and `Seek`.
    pub(super) position: u64,
}

impl Volume {
    /// The volume on `device` with this `layout`, encrypted under `key`. Lock others out of the device with
    /// [`open_device`](super::open_device).
    ///
    /// # Errors
    /// [`UserspaceError::Cipher`] where this program lacks the cipher, [`UserspaceError::NoData`],
    /// [`UserspaceError::Io`].
    pub fn new(
        mut device: File,
        layout: &DataLayout,
        key: &VolumeKey,
        options: VolumeOptions,
    ) -> Result<Self, UserspaceError> {
        let spec = layout.cipher.spec()?;
        let sector_size = layout.sector_size as usize;
        let cipher = SectorCipher::new(spec, key.expose(), sector_size, options.iv_large_sectors)?;
        let no_data = || UserspaceError::NoData(layout.offset);
        let start = layout.offset.bytes().ok_or_else(no_data)?;
        let available = device.size()?.checked_sub(start).ok_or_else(no_data)?;
        let full_size = layout.size.and_then(Sectors::bytes).unwrap_or(available);
        let wanted = full_size.min(available);
        let parts = Parts::for_cipher(&cipher)?;
        Ok(Self {
            device,
            cipher,
            sector_size: layout.sector_size.into(),
            start: start.get(),
            size: AtomicU64::new(whole(wanted.get(), layout.sector_size.into())),
            full_size,
            dynamic: layout.size.is_none(),
            iv_offset: layout.iv_offset.get(),
            options,
            parts,
            ranges: Ranges::default(),
            buffers: Mutex::default(),
            broken: AtomicBool::new(false),
            position: 0,
        })
    }

    /// Size of the plaintext.
    pub fn size(&self) -> Bytes {
        Bytes::new(self.size.load(Ordering::Acquire))
    }

    /// The size according to the header, if it has one: more than [`Volume::size`] if the device was cut off.
    pub fn full_size(&self) -> Bytes {
        if self.dynamic { self.size() } else { self.full_size }
    }

    /// Bytes encrypted as one unit: requests of whole sectors are the fastest.
    pub fn sector_size(&self) -> u32 {
        self.sector_size as u32
    }

    /// Whether it may be written to.
    pub fn is_writable(&self) -> bool {
        self.options.access == Access::Write
    }

    /// The device or file underneath.
    pub fn device(&self) -> &File {
        &self.device
    }

    /// Reads plaintext from byte `offset` on, and returns how many bytes: less than asked for only where the volume
    /// ends, none from there on.
    ///
    /// # Errors
    /// The device's.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.size().get().saturating_sub(offset).min(buf.len() as u64);
        if len == 0 {
            return Ok(0);
        }
        let buf = &mut buf[..len as usize];
        let span = Span::of(offset, len, self.sector_size);
        let _reading = self.ranges.hold(span.sectors.clone(), Use::Read);
        let (head, rest) = buf.split_at_mut(span.head.min(len) as usize);
        let (body, tail) = rest.split_at_mut(span.body as usize);
        if !head.is_empty() {
            self.read_piece(offset, head)?;
        }
        self.parts
            .run(body, |at, part| self.read_sectors(offset + span.head + at, part))?;
        if !tail.is_empty() {
            self.read_piece(offset + span.head + span.body, tail)?;
        }
        Ok(len as usize)
    }

    /// Writes plaintext from byte `offset` on, and returns how many bytes: less than asked for only where the volume
    /// ends. Parts of a sector are read, changed and written.
    ///
    /// # Errors
    /// `StorageFull` from the end of the volume on, `ReadOnlyFilesystem`, or the device's; it is then unknown what was
    /// written.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.check_writable()?;
        let len = self.size().get().saturating_sub(offset).min(data.len() as u64);
        if len == 0 && !data.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let data = &data[..len as usize];
        let span = Span::of(offset, len, self.sector_size);
        let _writing = self.ranges.hold(span.sectors.clone(), Use::Write);
        let (head, rest) = data.split_at(span.head.min(len) as usize);
        let (body, tail) = rest.split_at(span.body as usize);
        if !head.is_empty() {
            self.write_piece(offset, head)?;
        }
        self.parts
            .run(body, |at, part| self.write_sectors(offset + span.head + at, part))?;
        if !tail.is_empty() {
            self.write_piece(offset + span.head + span.body, tail)?;
        }
        Ok(len as usize)
    }

    /// Returns when all writes will survive a power loss. After one failure it fails for good: the kernel may have
    /// dropped the data that it could not write.
    ///
    /// # Errors
    /// The device's.
    pub fn sync(&self) -> io::Result<()> {
        if self.broken.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier sync of the device has failed"));
        }
        self.device
            .sync_data()
            .inspect_err(|_| self.broken.store(true, Ordering::Release))
    }

    pub(super) fn check_writable(&self) -> io::Result<()> {
        if self.is_writable() {
            Ok(())
        } else {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        }
    }

    /// Reads a part of one sector.
    fn read_piece(&self, offset: u64, piece: &mut [u8]) -> io::Result<()> {
        let within = (offset % self.sector_size) as usize;
        self.with_buffer(self.sector_size as usize, |sector| {
            self.read_sectors(offset - within as u64, sector)?;
            piece.copy_from_slice(&sector[within..within + piece.len()]);
            Ok(())
        })
    }

    /// Reads, changes and writes a part of one sector.
    fn write_piece(&self, offset: u64, piece: &[u8]) -> io::Result<()> {
        let within = (offset % self.sector_size) as usize;
        let start = offset - within as u64;
        self.with_buffer(self.sector_size as usize, |sector| {
            self.read_sectors(start, sector)?;
            sector[within..within + piece.len()].copy_from_slice(piece);
            self.write_sectors(start, sector)
        })
    }

    /// Reads whole sectors.
    fn read_sectors(&self, offset: u64, sectors: &mut [u8]) -> io::Result<()> {
        for (n, chunk) in sectors.chunks_mut(CHUNK).enumerate() {
            let at = offset + (n * CHUNK) as u64;
            self.device.read_exact_at(chunk, self.start + at)?;
            if self.options.allow_discards {
                self.decrypt_written(at, chunk)?;
            } else {
                self.cipher.decrypt(self.iv(at), chunk).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Decrypts everything except holes. Real ciphertext is never all zeros.
    fn decrypt_written(&self, offset: u64, sectors: &mut [u8]) -> io::Result<()> {
        let size = self.sector_size as usize;
        for (n, sector) in sectors.chunks_mut(size).enumerate() {
            if !is_zero(sector) {
                let iv = self.iv(offset + (n * size) as u64);
                self.cipher.decrypt(iv, sector).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Writes whole sectors.
    fn write_sectors(&self, offset: u64, sectors: &[u8]) -> io::Result<()> {
        self.with_buffer(sectors.len().min(CHUNK), |buffer| {
            for (n, chunk) in sectors.chunks(CHUNK).enumerate() {
                let at = offset + (n * CHUNK) as u64;
                let encrypted = &mut buffer[..chunk.len()];
                self.cipher
                    .encrypt_to(self.iv(at), chunk, encrypted)
                    .map_err(io::Error::other)?;
                self.device.write_all_at(encrypted, self.start + at)?;
            }
            Ok(())
        })
    }

    /// The number of the sector at `offset` for the IV.
    fn iv(&self, offset: u64) -> u64 {
        let number = self.iv_offset.wrapping_add(offset / SECTOR_SIZE);
        if self.options.iv_large_sectors {
            number / (self.sector_size / SECTOR_SIZE)
        } else {
            number
        }
    }

    /// Lends a buffer of `len` bytes.
    fn with_buffer<T>(&self, len: usize, work: impl FnOnce(&mut [u8]) -> io::Result<T>) -> io::Result<T> {
        let list = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = list().pop().unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let outcome = work(&mut buffer[..len]);
        list().push(buffer);
        outcome
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<64>();
    chunks.iter().all(|chunk| *chunk == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}
