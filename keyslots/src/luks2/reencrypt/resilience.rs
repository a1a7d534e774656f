//! The protection of a zone that is overwritten in place, and the recovery of one that was interrupted.
//!
//! A zone that moves needs no protection: its old bytes are still there. A block that is hashed is taken to be written as a
//! whole or not at all.

use super::super::Defect;
use super::convert::{Codec, Disks, convert, convert_zone, for_each_chunk, length, place};
use super::plan::{Plan, Zone};
use super::slot::Guard;
use super::state::Reencryption;
use crate::hash::{Hash, HashName};
use crate::{Error, Result};

/// Saves what is needed to recover the zone, and waits until it is on the device.
pub(super) fn protect(disks: &mut Disks<'_>, found: &Reencryption, zone: &Zone) -> Result<()> {
    if !zone.in_place() {
        return Ok(());
    }
    match &found.params.resilience.guard {
        Guard::None => return Ok(()),
        Guard::Checksum { hash, block } => {
            let mut hashes = Hashes::new(found, zone, hash, *block)?;
            for_each_chunk(zone, |at, chunk| {
                disks.read_data(place(zone.from, at)?, chunk)?;
                hashes.put(at, chunk);
                Ok(())
            })?;
            write_area(disks, found, 0, &hashes.bytes)?;
        }
        Guard::Journal => {
            check_room(found, zone.len.get())?;
            for_each_chunk(zone, |at, chunk| {
                disks.read_data(place(zone.from, at)?, chunk)?;
                write_area(disks, found, at, chunk)
            })?;
        }
    }
    sync_area(disks)
}

fn sync_area(disks: &mut Disks<'_>) -> Result<()> {
    disks.header().sync().map_err(Error::io("sync the keyslot area"))
}

/// A zone that was read and converted ahead of its turn, perhaps by another thread.
#[derive(Debug)]
pub struct Prepared<B> {
    zone: Zone,
    /// What is needed to recover it.
    protection: Vec<u8>,
    data: B,
}

impl<B: AsRef<[u8]>> Prepared<B> {
    /// The zone.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// The buffer, for the next zone.
    pub fn into_buffer(self) -> B {
        self.data
    }

    /// The converted bytes.
    pub(super) fn data(&self) -> Result<&[u8]> {
        Ok(&self.data.as_ref()[..length(&self.zone)?])
    }

    /// As [`protect`].
    pub(super) fn protect(&self, disks: &mut Disks<'_>, found: &Reencryption) -> Result<()> {
        if self.protection.is_empty() {
            return Ok(());
        }
        check_room(found, self.protection.len() as u64)?;
        write_area(disks, found, 0, &self.protection)?;
        sync_area(disks)
    }
}

impl Plan {
    /// Prepares `zone` for [`super::Driver::step_prepared`]. `buffer` has its old bytes, those at `zone.from`, and may be longer.
    ///
    /// Zones do not overlap, and none overwrites the old bytes of one that comes later: a zone may be read and prepared while
    /// an earlier one is written, as long as nobody else writes to the data.
    ///
    /// # Errors
    /// Those of the cipher; a buffer that is too short; the [`Defect`] of a zone that cannot be protected.
    pub fn prepare<B>(&self, zone: Zone, mut buffer: B, codec: &dyn Codec) -> Result<Prepared<B>>
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
    {
        let len = length(&zone)?;
        let short = || Error::io("convert the data")(std::io::ErrorKind::UnexpectedEof.into());
        let data = buffer.as_mut().get_mut(..len).ok_or_else(short)?;
        let found = self.reencryption();
        let protection = match &found.params.resilience.guard {
            _ if !zone.in_place() => Vec::new(),
            Guard::None => Vec::new(),
            Guard::Checksum { hash, block } => {
                let mut hashes = Hashes::new(found, &zone, hash, *block)?;
                hashes.put(0, data);
                hashes.bytes
            }
            Guard::Journal => data.to_vec(),
        };
        convert(codec, &zone, 0, data)?;
        Ok(Prepared {
            zone,
            protection,
            data: buffer,
        })
    }
}

/// Converts what is left of a zone that was interrupted, and waits until it is on the device. May be interrupted itself.
pub(super) fn recover(disks: &mut Disks<'_>, found: &Reencryption, codec: &dyn Codec, zone: &Zone) -> Result<()> {
    if !zone.in_place() {
        return convert_zone(disks, codec, zone, None);
    }
    match &found.params.resilience.guard {
        Guard::None => return Err(Defect::Reencryption("an unprotected zone was interrupted").into()),
        Guard::Checksum { hash, block } => {
            let mut hashes = Hashes::new(found, zone, hash, *block)?;
            let unreadable = Error::io("read the keyslot area");
            disks
                .header()
                .read_at(found.area_offset, &mut hashes.bytes)
                .map_err(unreadable)?;
            for_each_chunk(zone, |at, chunk| {
                disks.read_data(place(zone.to, at)?, chunk)?;
                let mut start = 0;
                while start < chunk.len() {
                    let old = hashes.count_old(at + start, &chunk[start..]);
                    if old > 0 {
                        let run = &mut chunk[start..start + old];
                        convert(codec, zone, at + start, run)?;
                        disks.write_data(place(zone.to, at + start)?, run)?;
                    }
                    start += old.max(hashes.block);
                }
                Ok(())
            })?;
        }
        Guard::Journal => {
            check_room(found, zone.len.get())?;
            for_each_chunk(zone, |at, chunk| {
                let from = place(found.area_offset, at)?;
                let unreadable = Error::io("read the keyslot area");
                disks.header().read_at(from, chunk).map_err(unreadable)?;
                convert(codec, zone, at, chunk)?;
                disks.write_data(place(zone.to, at)?, chunk)
            })?;
        }
    }
    disks.sync_data()
}

fn write_area(disks: &mut Disks<'_>, found: &Reencryption, at: usize, bytes: &[u8]) -> Result<()> {
    let place = place(found.area_offset, at)?;
    disks
        .header()
        .write_at(place, bytes)
        .map_err(Error::io("write the keyslot area"))
}

fn check_room(found: &Reencryption, needed: u64) -> Result<()> {
    match needed <= found.area_size.get() {
        true => Ok(()),
        false => Err(Defect::Reencryption("the zone is longer than what can protect it").into()),
    }
}

/// The hashes of a zone's blocks.
struct Hashes {
    hash: Hash,
    block: usize,
    bytes: Vec<u8>,
}

impl Hashes {
    fn new(found: &Reencryption, zone: &Zone, name: &HashName, block: u32) -> Result<Self> {
        let hash = name
            .known()
            .ok_or_else(|| Error::UnknownHash(name.as_str().to_owned()))?;
        let count = zone.len.get().div_ceil(block.into());
        let needed = count.saturating_mul(hash.output_len() as u64);
        check_room(found, needed)?;
        Ok(Self {
            hash,
            block: block as usize,
            bytes: vec![0; needed as usize],
        })
    }

    fn of_block(&mut self, at: usize) -> &mut [u8] {
        let len = self.hash.output_len();
        &mut self.bytes[at / self.block * len..][..len]
    }

    fn put(&mut self, at: usize, chunk: &[u8]) {
        let (hash, block) = (self.hash, self.block);
        for (index, bytes) in chunk.chunks(block).enumerate() {
            hash.digest(&[bytes], self.of_block(at + index * block));
        }
    }

    /// How many bytes at the start of `chunk`, which is `at` in the zone, are in blocks that are as they were.
    fn count_old(&mut self, at: usize, chunk: &[u8]) -> usize {
        let mut digest = [0; crate::hash::MAX_OUTPUT_LEN];
        let mut old = 0;
        for bytes in chunk.chunks(self.block) {
            let digest = &mut digest[..self.hash.output_len()];
            self.hash.digest(&[bytes], digest);
            if self.of_block(at + old) != digest {
                break;
            }
            old += bytes.len();
        }
        old
    }
}
