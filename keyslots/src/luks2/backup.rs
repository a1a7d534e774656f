//! Header backups: both copies and the keyslots area, byte for byte, and their restore.

use std::collections::BTreeMap;
use std::io::Write;

use super::copies::{self, Copy};
use super::format::{BinaryHeader, Which};
use super::keyslot::Area;
use super::reencrypt::is_online;
use super::validate::{self, KeyslotsArea};
use super::{Header, KNOWN_REQUIREMENTS, areas};
use crate::shown::shown;
use crate::storage::Storage;
use crate::units::Bytes;
use crate::{Error, KeyslotId, Result};

/// Bytes that are copied at a time.
const CHUNK: usize = 1024 * 1024;

/// A backup that was read and validated, except for its key material: without a passphrase, that looks like noise.
#[derive(Clone, Debug)]
pub struct Backup {
    header: Header,
}

/// Why a backup cannot be restored onto a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupRefused {
    /// The data would start elsewhere.
    #[error("the data start at {backup} in the backup and at {device} on the device")]
    DataOffset {
        /// In the backup.
        backup: Bytes,
        /// On the device.
        device: Bytes,
    },
    /// The header would reach into the data.
    #[error("the header takes {backup} in the backup and {device} on the device")]
    Size {
        /// In the backup.
        backup: Bytes,
        /// On the device.
        device: Bytes,
    },
    /// The device is too small.
    #[error("the backup takes {needed}, the device has {device}")]
    DoesNotFit {
        /// The size that it needs.
        needed: Bytes,
        /// The size that is available.
        device: Bytes,
    },
    /// A requirement that a restored header may not have: only the device itself knows the progress.
    #[error("the backup has the requirement {}", shown(.0))]
    Requirement(String),
}

/// The consequences of restoring a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Whether there is a LUKS2 header on the device now.
    pub replaces: bool,
    /// Whether backup and device have the same UUID.
    pub same_uuid: bool,
    /// Whether the device is in reencryption: its progress would be lost with the header, and the data with that.
    pub loses_reencryption: bool,
    /// Keyslots whose passphrases may work after it, but do not now: perhaps they were removed for a reason.
    pub revives: Vec<KeyslotId>,
}

impl Header {
    /// Writes the bytes of both copies and of the keyslots area to `out`, and returns how many.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn backup(&self, storage: &mut dyn Storage, out: &mut dyn Write) -> Result<Bytes> {
        let size = self.size();
        copy_range(storage, Bytes::ZERO, size, |_, chunk| {
            out.write_all(chunk).map_err(Error::io("write the header backup"))
        })?;
        Ok(size)
    }
}

impl Backup {
    /// Reads and validates the header in a backup.
    ///
    /// # Errors
    /// As [`Header::read`]; [`Error::DeviceTooSmall`] where the file ends before the keyslots area does.
    pub fn read(file: &mut dyn Storage) -> Result<Self> {
        let header = Header::read(file)?;
        let size = file.size().map_err(Error::io("get the size of the header backup"))?;
        if size < header.size() {
            return Err(Error::DeviceTooSmall {
                size: size.get(),
                needed: header.size().get(),
            });
        }
        Ok(Self { header })
    }

    /// The header in the backup.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Checks whether the backup fits a device with the header `device`, or none, and returns what it would change.
    /// `device_size` is `None` for a file that can grow.
    ///
    /// # Errors
    /// [`BackupRefused`].
    pub fn check(
        &self,
        device: Option<&Header>,
        device_size: Option<Bytes>,
    ) -> std::result::Result<Restore, BackupRefused> {
        let needed = self.header.size();
        if let Some(size) = device_size.filter(|&size| size < needed) {
            return Err(BackupRefused::DoesNotFit { needed, device: size });
        }
        let requirements = self.header.metadata().config.requirements.iter();
        let mut forbidden = requirements.filter(|name| !may_be_restored(name));
        if let Some(requirement) = forbidden.next() {
            return Err(BackupRefused::Requirement(requirement.clone()));
        }
        let slots = self.header.metadata().keyslots.keys().copied();
        let Some(device) = device else {
            return Ok(Restore {
                replaces: false,
                same_uuid: false,
                loses_reencryption: false,
                revives: slots.collect(),
            });
        };
        let offset = |header: &Header| header.segment().map_or(Bytes::ZERO, |segment| segment.offset);
        if offset(&self.header) != offset(device) {
            return Err(BackupRefused::DataOffset {
                backup: offset(&self.header),
                device: offset(device),
            });
        }
        if needed != device.size() {
            return Err(BackupRefused::Size {
                backup: needed,
                device: device.size(),
            });
        }
        let there = &device.metadata().keyslots;
        let same = |slot: &KeyslotId| there.get(slot) == self.header.metadata().keyslots.get(slot);
        Ok(Restore {
            replaces: true,
            same_uuid: self.header.binary().uuid == device.binary().uuid,
            loses_reencryption: device.in_reencryption(),
            revives: slots.filter(|slot| !same(slot)).collect(),
        })
    }

    /// Writes the backup in `file` to `device`, on which `there` was read, or no header. The caller has asked
    /// [`Backup::check`] and holds the exclusive lock.
    ///
    /// The keyslots area comes first, then the copies. So that all of the old or all of the new passphrases open after a
    /// stop at any write, the keyslots of the backup are put into places that both leave free, with a header of their
    /// own, before anything that is in use is overwritten. This is done for as many of them as there are such places:
    /// those that hold the key of the data come first. If there is none, a stop leaves only the backup itself.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`], [`Error::Io`].
    pub fn restore(&self, file: &mut dyn Storage, device: &mut dyn Storage, there: Option<&Header>) -> Result<()> {
        let spots = match there {
            Some(there) => {
                there.settle(device)?;
                self.stage(file, device, there)?
            }
            None => Vec::new(),
        };
        let mut staged = Vec::new();
        for spot in &spots {
            staged.push((spot.to, spot.to.checked_add(spot.len).ok_or(Error::NotLuks)?));
        }
        staged.sort_unstable();
        // From one place that is in use by what was staged to the next.
        let mut at = self.areas_start()?;
        for &(start, end) in &staged {
            restore_range(file, device, at, start)?;
            at = end;
        }
        restore_range(file, device, at, self.header.size())?;
        device.sync().map_err(Error::io("sync the keyslots area"))?;
        for which in [Which::Primary, Which::Secondary] {
            // A copy that is damaged in the backup is just as damaged on the device.
            match self.header.other_copy.needs_recovery() == Some(which) {
                true => copies::recover(device, &self.header.copy, which)?,
                false => copies::restore(file, device, self.header.binary(), which)?,
            }
        }
        // What was staged goes too, but for what is where it stays.
        for spot in spots.iter().filter(|spot| spot.to != spot.from) {
            let end = spot.to.checked_add(spot.len).ok_or(Error::NotLuks)?;
            restore_range(file, device, spot.to, end)?;
        }
        device.sync().map_err(Error::io("sync the keyslots area"))
    }

    /// Reads `device` after a restore and compares it with the backup in `file`.
    ///
    /// # Errors
    /// [`Error::NotRestored`].
    pub fn verify(&self, file: &mut dyn Storage, device: &mut dyn Storage) -> Result<()> {
        let restored = Header::read(device)?;
        let (ours, theirs) = (self.header.binary(), restored.binary());
        let same = self.header.metadata() == restored.metadata()
            && (ours.seqid, &ours.uuid, &ours.label) == (theirs.seqid, &theirs.uuid, &theirs.label)
            && restored.other_copy.needs_recovery().is_none();
        if !same {
            return Err(Error::NotRestored);
        }
        let start = match self.header.other_copy.needs_recovery() {
            None => Bytes::ZERO,
            Some(_) => self.areas_start()?,
        };
        copy_range(file, start, self.header.size(), |at, chunk| {
            let mut there = vec![0; chunk.len()];
            device
                .read_at(at, &mut there)
                .map_err(Error::io("read the keyslots area"))?;
            if there == chunk {
                Ok(())
            } else {
                Err(Error::NotRestored)
            }
        })
    }

    fn areas_start(&self) -> Result<Bytes> {
        self.header.binary().hdr_size.checked_mul(2).ok_or(Error::NotLuks)
    }

    /// Whether all passphrases of the old header or all of the new one open after a stop at any write of a restore over
    /// `there`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn survives_a_stop(&self, file: &mut dyn Storage, device: &mut dyn Storage, there: &Header) -> Result<bool> {
        let keys = self.header.metadata().keyslots.values().filter(|slot| slot.is_luks2());
        let staged = self.plan(file, device, there)?;
        Ok(staged.is_some_and(|staged| staged.spots.len() == keys.count()))
    }

    /// Puts keyslots of the backup, and a header that has no others, beside what is in use on the device; returns where
    /// they are.
    fn stage(&self, file: &mut dyn Storage, device: &mut dyn Storage, there: &Header) -> Result<Vec<Spot>> {
        let Some(Staged { spots, copy }) = self.plan(file, device, there)? else {
            return Ok(Vec::new());
        };
        // What is there is in use, and not put at risk by writing it again.
        for spot in spots.iter().filter(|spot| !spot.is_there) {
            let mut material = vec![0; spot.len.to_usize().ok_or(Error::NotLuks)?];
            file.read_at(spot.from, &mut material)
                .map_err(Error::io("read the header backup"))?;
            device
                .write_at(spot.to, &material)
                .map_err(Error::io("write the keyslots area"))?;
        }
        device.sync().map_err(Error::io("sync the keyslots area"))?;
        copies::write(device, &copy)?;
        Ok(spots)
    }

    fn plan(&self, file: &mut dyn Storage, device: &mut dyn Storage, there: &Header) -> Result<Option<Staged>> {
        let mut at = BTreeMap::new();
        for &slot in self.header.metadata().keyslots.keys() {
            if let Some(to) = self.is_at(file, device, there, slot)? {
                at.insert(slot, to);
            }
        }
        Ok(self.arrange(there, &at))
    }

    /// Finds the places for those keyslots of the backup that are not `at` one.
    fn arrange(&self, there: &Header, at: &BTreeMap<KeyslotId, Bytes>) -> Option<Staged> {
        let hdr_size = self.header.binary().hdr_size;
        let metadata = self.header.metadata();
        if there.binary().hdr_size != hdr_size || there.size() != self.header.size() {
            return None;
        }
        let bound = |slot: &KeyslotId| {
            let digest = metadata.digest_of_keyslot(*slot);
            digest.is_some_and(|(_, digest)| !digest.segments.is_empty())
        };
        // The key of the data, in the order in which it is tried, and then all others.
        let mut slots: Vec<KeyslotId> = metadata.keyslots_to_try().into_iter().filter(bound).collect();
        let keys = metadata.keyslots.iter().filter(|(_, slot)| slot.is_luks2());
        for (&slot, _) in keys {
            if !slots.contains(&slot) {
                slots.push(slot);
            }
        }

        // The areas that no place may overlap: all of both.
        let both = metadata.keyslots.values().chain(there.metadata().keyslots.values());
        let mut taken: Vec<Area> = both.map(|keyslot| keyslot.area.clone()).collect();
        let bounds = KeyslotsArea::new(hdr_size, metadata.config.keyslots_size)?;
        let mut alone = metadata.clone();
        let (mut staged, mut spots) = (Vec::new(), Vec::new());
        for slot in slots {
            let mut moved = metadata.keyslots.get(&slot)?.clone();
            let to = match at.get(&slot) {
                Some(to) => *to,
                None => match areas::find_gap(bounds, taken.iter(), moved.area.size) {
                    Some(to) => to,
                    None => continue,
                },
            };
            spots.push(Spot {
                from: moved.area.offset,
                to,
                len: moved.area.size,
                is_there: at.contains_key(&slot),
            });
            moved.area.offset = to;
            taken.push(moved.area.clone());
            alone.keyslots.insert(slot, moved);
            staged.push(slot);
        }
        alone.keep_only_keyslots(&staged);
        if !staged.iter().any(bound) {
            return None;
        }
        validate::validate(&alone, hdr_size).ok()?;
        let seqid = there.binary().seqid.max(self.header.binary().seqid).checked_add(1)?;
        let binary = BinaryHeader {
            seqid,
            ..self.header.binary().clone()
        };
        Some(Staged {
            spots,
            copy: Copy {
                binary,
                metadata: alone,
            },
        })
    }

    /// Where the device has keyslot `slot` of the backup: in its own place where it did not change, elsewhere where a restore
    /// was interrupted. None where the backup has a keyslot there, or other key material, as the two ends of one interrupted
    /// change have under one salt.
    fn is_at(
        &self,
        file: &mut dyn Storage,
        device: &mut dyn Storage,
        there: &Header,
        slot: KeyslotId,
    ) -> Result<Option<Bytes>> {
        let backup = &self.header.metadata().keyslots;
        let (Some(ours), Some(theirs)) = (backup.get(&slot), there.metadata().keyslots.get(&slot)) else {
            return Ok(None);
        };
        let (from, to) = (&ours.area, &theirs.area);
        let mut moved = ours.clone();
        moved.area.offset = to.offset;
        let is_free = || !backup.values().any(|other| other.area.overlaps(to));
        if moved != *theirs || from.offset != to.offset && !is_free() {
            return Ok(None);
        }
        let mut same = true;
        let mut material = Vec::new();
        copy_range(file, from.offset, from.end(), |at, chunk| {
            // From the start of the one to the start of the other.
            let at = at.checked_sub(from.offset).and_then(|at| to.offset.checked_add(at));
            material.resize(chunk.len(), 0);
            // Unreadable counts as missing: writing the sector may mend it.
            same &= at.is_some_and(|at| device.read_at(at, &mut material).is_ok()) && material == chunk;
            Ok(())
        })?;
        Ok(same.then_some(to.offset))
    }
}

/// Spare keyslots, and the header that has them alone.
struct Staged {
    spots: Vec<Spot>,
    copy: Copy,
}

/// Key material that is kept twice for a while: where it is in the backup, and where it fits on the device.
struct Spot {
    from: Bytes,
    to: Bytes,
    len: Bytes,
    /// Whether the device has it there already.
    is_there: bool,
}

fn restore_range(from: &mut dyn Storage, to: &mut dyn Storage, start: Bytes, end: Bytes) -> Result<()> {
    copy_range(from, start, end, |at, chunk| {
        to.write_at(at, chunk).map_err(Error::io("write the keyslots area"))
    })
}

fn may_be_restored(requirement: &str) -> bool {
    KNOWN_REQUIREMENTS.contains(&requirement) && (is_online(requirement) || requirement == "inline-hw-tags")
}

fn copy_range(
    from: &mut dyn Storage,
    start: Bytes,
    end: Bytes,
    mut put: impl FnMut(Bytes, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut at = start;
    while let Some(rest) = end.checked_sub(at).filter(|&rest| rest > Bytes::ZERO) {
        let now = rest.to_usize().unwrap_or(CHUNK).min(CHUNK);
        from.read_at(at, &mut chunk[..now])
            .map_err(Error::io("read the header"))?;
        put(at, &chunk[..now])?;
        at = at.checked_add(Bytes::new(now as u64)).unwrap_or(end);
    }
    Ok(())
}
