//! Backup and restore of header, key material and the data that other programs keep behind it.
//!
//! A backup is the start of the device, byte for byte: up to the end of the key material as cryptsetup writes it, and on
//! to the last block of the gap that is not empty. Luksmith and cryptsetup each restore the other's.

use std::io::Write;

use super::format::{HEADER_LEN, RawHeader, STATE_ACTIVE, same_volume_key};
use super::header::{Header, write_raw};
use super::layout::{GAP_END_AT_MOST, Range};
use super::restore::Restoring;
use crate::KeyslotId;
use crate::error::{Error, Result};
use crate::storage::Storage;
use crate::units::{Bytes, Sectors};
use crate::version::Version;

/// The block size in which the gap is checked and a restore compares.
const BLOCK: usize = 4096;

/// The most that a restore writes at once.
const MAX_RUN: usize = 256 * 1024;

impl Header {
    /// Size of a backup: [`Header::metadata_size`], and on to the last block of 4096 bytes before the data that is not
    /// all zero, but for what lies behind the first 16 MiB.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn backup_size(&self, storage: &mut dyn Storage) -> Result<Bytes> {
        let device = storage
            .size()
            .map_err(Error::io("find the size of the header device"))?;
        let metadata = self.metadata_size().min(device);
        let payload = self.payload_offset().bytes().unwrap_or_default();
        let gap_end = payload.min(device).min(GAP_END_AT_MOST);
        let mut size = metadata;
        for_each_block(storage, metadata, gap_end, |end, block| {
            if block.iter().any(|&byte| byte != 0) {
                size = end;
            }
            Ok(())
        })?;
        Ok(size)
    }

    /// Writes a backup to `out` and returns its size. The present passphrases will open it for ever.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::ChangedMeanwhile`].
    pub fn backup(&self, storage: &mut dyn Storage, out: &mut dyn Write) -> Result<Bytes> {
        self.expect_unchanged(storage)?;
        let size = self.backup_size(storage)?;
        for_each_block(storage, Bytes::ZERO, size, |_, block| {
            out.write_all(block).map_err(Error::io("write the header backup"))
        })?;
        Ok(size)
    }
}

/// A backup that was read and validated, except for its key material: without a passphrase, that looks like noise.
#[derive(Clone, Debug)]
pub struct Backup {
    header: Header,
    size: Bytes,
}

/// Why a backup cannot be restored onto a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupRefused {
    /// The data would start elsewhere.
    #[error("the payload offset is {backup} in the backup and {device} on the device")]
    PayloadOffset {
        /// In the backup.
        backup: Sectors,
        /// On the device.
        device: Sectors,
    },
    /// The volume key has another length.
    #[error("the volume key is {backup} in the backup and {device} on the device")]
    KeySize {
        /// In the backup.
        backup: Bytes,
        /// On the device.
        device: Bytes,
    },
    /// The key material does not fit the device.
    #[error("the backup takes {needed}, the device has {device}")]
    DoesNotFit {
        /// The size that it needs.
        needed: Bytes,
        /// The size that is available.
        device: Bytes,
    },
}

/// The possible cost of a stop during a restore, until the restore is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtRisk {
    /// Nothing: each keyslot opens with the old or the new passphrase at every moment.
    Nothing,
    /// One keyslot, the one that is being written or for which a key waits in the backup. All others open with the old or
    /// the new passphrase.
    OneKeyslot,
    /// The headers have different volume keys, and of the keyslots of both, one of the backup may be all that opens. Before it
    /// is there, the old ones open, but perhaps for one that has to make room.
    AllButOne,
    /// Every keyslot.
    Header,
}

/// The consequences of restoring a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Whether there is a LUKS1 header on the device now.
    pub replaces: bool,
    /// Whether backup and device have the same UUID.
    pub same_uuid: bool,
    /// Whether they have the same cipher, hash and volume key digest: else the data cannot be read afterwards, unless
    /// the header on the device is the wrong one.
    pub same_volume_key: bool,
    /// Keyslots whose passphrases work after it, but do not now: perhaps they were removed for a reason.
    pub revives: Vec<KeyslotId>,
    /// Keyslots whose passphrases work now, and not after it.
    pub drops: Vec<KeyslotId>,
}

impl Backup {
    /// Reads the header of a backup, and checks that the key material of all keyslots is there.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn read(file: &mut dyn Storage) -> Result<Self> {
        let header = Header::read(file)?;
        let size = file.size().map_err(Error::io("find the size of the header backup"))?;
        Ok(Self { header, size })
    }

    /// The header in the backup.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Checks whether the backup fits a device with the header `device`, or none, and returns what it would change.
    /// `device_size` is `None` for a file that can grow.
    ///
    /// # Errors
    /// [`BackupRefused`]. The rules are cryptsetup's: payload offset and key size have to be the same.
    pub fn check(
        &self,
        device: Option<&Header>,
        device_size: Option<Bytes>,
    ) -> std::result::Result<Restore, BackupRefused> {
        // Everything that a restore writes, other programs' data in the gap included: it must not fail halfway.
        let needed = self.header.material_end().max(self.end());
        if let Some(size) = device_size.filter(|&size| size < needed) {
            return Err(BackupRefused::DoesNotFit { needed, device: size });
        }
        let Some(device) = device else {
            let revives = self.header.active_keyslots().collect();
            return Ok(Restore {
                replaces: false,
                same_uuid: false,
                same_volume_key: false,
                revives,
                drops: Vec::new(),
            });
        };
        let (backup, there) = (self.header.payload_offset(), device.payload_offset());
        if backup != there {
            return Err(BackupRefused::PayloadOffset { backup, device: there });
        }
        let (backup, there) = (self.header.key_size(), device.key_size());
        if backup != there {
            return Err(BackupRefused::KeySize { backup, device: there });
        }
        Ok(Restore {
            replaces: true,
            same_uuid: self.header.uuid == device.uuid,
            same_volume_key: same_volume_key(&self.header.raw, &device.raw),
            revives: active_only_in(&self.header.raw, &device.raw),
            drops: active_only_in(&device.raw, &self.header.raw),
        })
    }

    /// Restores the backup in `file` onto `storage`, on which `device` was read, or no header. The caller has asked
    /// [`Backup::check`]. [`Backup::at_risk`] says what a stop at any write could cost.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`], [`Error::Io`].
    pub fn restore(&self, file: &mut dyn Storage, storage: &mut dyn Storage, device: Option<&Header>) -> Result<()> {
        self.header.expect_unchanged(file)?;
        if let Some(device) = device {
            device.settle(storage)?;
            return self.restoring(file, storage, device).run(self.end());
        }
        let behind_header = Range {
            start: Bytes::new(HEADER_LEN as u64),
            end: self.end(),
        };
        copy(file, storage, behind_header, &[])?;
        storage.sync().map_err(Error::io("sync the restored key material"))?;
        write_raw(storage, &self.header.raw)
    }

    /// Reads `storage` after a restore and compares it with the backup in `file`.
    ///
    /// # Errors
    /// [`Error::NotRestored`].
    pub fn verify(&self, file: &mut dyn Storage, storage: &mut dyn Storage) -> Result<()> {
        let range = Range {
            start: Bytes::ZERO,
            end: self.end(),
        };
        if same_bytes(file, storage, range)? {
            Ok(())
        } else {
            Err(Error::NotRestored)
        }
    }

    /// The possible cost of a stop at any write of a restore over `device`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn at_risk(&self, file: &mut dyn Storage, storage: &mut dyn Storage, device: &Header) -> Result<AtRisk> {
        self.restoring(file, storage, device).at_risk()
    }

    fn restoring<'a>(
        &'a self,
        file: &'a mut dyn Storage,
        device: &'a mut dyn Storage,
        there: &Header,
    ) -> Restoring<'a> {
        Restoring {
            backup: &self.header.raw,
            now: there.raw.clone(),
            file,
            device,
        }
    }

    /// The size of the area at the start of the device that a restore writes: never the data, however long the backup is.
    pub(crate) fn end(&self) -> Bytes {
        let metadata = self.header.metadata_size().min(self.size);
        match self.header.payload_offset().bytes() {
            Some(payload) if payload != Bytes::ZERO => self.size.min(payload).max(metadata),
            _ => metadata,
        }
    }
}

pub(super) fn is_active(raw: &RawHeader, slot: usize) -> bool {
    raw.keyslots[slot].state == STATE_ACTIVE
}

fn active_only_in(one: &RawHeader, other: &RawHeader) -> Vec<KeyslotId> {
    let pairs = KeyslotId::all(Version::Luks1).zip(one.keyslots.iter().zip(&other.keyslots));
    let only = pairs.filter(|(_, (one, other))| one.state == STATE_ACTIVE && one != other);
    only.map(|(slot, _)| slot).collect()
}

fn same_bytes(one: &mut dyn Storage, other: &mut dyn Storage, range: Range) -> Result<bool> {
    let mut same = true;
    for_each_block(one, range.start, range.end, |end, block| {
        same = same && is_there(other, start_of(end, block), block)?;
        Ok(())
    })?;
    Ok(same)
}

/// Copies `range`, but for what is there already of the areas in use, `live`: that is not put at risk by writing it again.
/// Elsewhere what reads so may have failed to reach the disk.
pub(super) fn copy(from: &mut dyn Storage, to: &mut dyn Storage, range: Range, live: &[Range]) -> Result<()> {
    let mut run = Run {
        start: range.start,
        bytes: Vec::new(),
    };
    for_each_block(from, range.start, range.end, |end, block| {
        let at = start_of(end, block);
        if live.iter().any(|area| area.overlaps(Range { start: at, end })) && is_there(to, at, block)? {
            return run.flush(to);
        }
        if run.bytes.len() >= MAX_RUN {
            run.flush(to)?;
        }
        if run.bytes.is_empty() {
            run.start = at;
        }
        run.bytes.extend_from_slice(block);
        Ok(())
    })?;
    run.flush(to)
}

/// Adjacent blocks that are written at once.
struct Run {
    start: Bytes,
    bytes: Vec<u8>,
}

impl Run {
    fn flush(&mut self, to: &mut dyn Storage) -> Result<()> {
        if !self.bytes.is_empty() {
            to.write_at(self.start, &self.bytes)
                .map_err(Error::io("restore the key material"))?;
            self.bytes.clear();
        }
        Ok(())
    }
}

/// Whether `storage` holds `block` at `at`; a file that ends before it does not.
pub(super) fn is_there(storage: &mut dyn Storage, at: Bytes, block: &[u8]) -> Result<bool> {
    let mut there = vec![0; block.len()];
    match storage.read_at(at, &mut there) {
        Ok(()) => Ok(there == block),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Error::io("read the key material")(error)),
    }
}

fn start_of(end: Bytes, block: &[u8]) -> Bytes {
    Bytes::new(end.get().saturating_sub(block.len() as u64))
}

/// Calls `f` with each block from `start` to `end` and where it ends; they are cut at multiples of [`BLOCK`].
fn for_each_block(
    storage: &mut dyn Storage,
    start: Bytes,
    end: Bytes,
    mut f: impl FnMut(Bytes, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = [0; BLOCK];
    let mut at = start;
    while at < end {
        let in_block = at.get() % BLOCK as u64;
        let len = (BLOCK as u64 - in_block).min(end.get() - at.get());
        let block = &mut buffer[..len as usize];
        storage
            .read_at(at, block)
            .map_err(Error::io("read header and key material"))?;
        at = Bytes::new(at.get() + len);
        f(at, block)?;
    }
    Ok(())
}
