//! Existing data on a device, so that a user can be asked before they are overwritten: file systems, partition tables,
//! members of RAIDs and volume groups. Names are those that `blkid` prints as `TYPE` and `PTTYPE`.
//!
//! This is for warnings, not for mounting: it checks magic numbers, and more only where those alone would often be
//! wrong.

mod identity;
mod judge;
mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use keyslots::storage::Storage;
use keyslots::units::Bytes;

pub(super) use identity::uuid_text;
pub use identity::{Identity, identify};
use table::{MAGICS, Place};

/// A signature that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name that `blkid` prints, such as `ext4`, `LVM2_member`, `gpt`.
    pub name: &'static str,
    /// The kind of signature.
    pub kind: SignatureKind,
    /// The offset of its magic number.
    pub offset: Bytes,
    /// Its length.
    pub length: Bytes,
}

/// The kinds of signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// A file system, a member of an array or of a volume group, an encrypted volume.
    Superblock,
    /// A partition table.
    PartitionTable,
}

impl SignatureKind {
    /// The word in cryptsetup's warning: `already contains a 'ext4' superblock signature`.
    fn word(self) -> &'static str {
        match self {
            Self::Superblock => "superblock",
            Self::PartitionTable => "partition",
        }
    }
}

/// All signatures on the device or file at `path`, with the copies that some of them keep.
///
/// # Errors
/// The system's, where it cannot be read.
pub fn probe(path: &Path) -> io::Result<Vec<Signature>> {
    probe_storage(&mut File::open(path)?)
}

/// All signatures in a storage, with the copies that some of them keep.
///
/// # Errors
/// The system's, where it cannot be read.
pub fn probe_storage(storage: &mut dyn Storage) -> io::Result<Vec<Signature>> {
    probe_image(&mut Image::read(storage)?)
}

/// As [`probe_storage`], on a disk with unreadable parts: a signature there is not found.
///
/// # Errors
/// The system's, if it does not report the size.
pub fn probe_readable(storage: &mut dyn Storage) -> io::Result<Vec<Signature>> {
    probe_image(&mut Image::readable(storage)?)
}

fn probe_image(image: &mut Image<'_>) -> io::Result<Vec<Signature>> {
    let mut found = Vec::new();
    for magic in MAGICS {
        for offset in magic.place.offsets(image.size) {
            if let Some(name) = magic.found_at(image, offset)? {
                found.push(signature(name, magic.kind, offset, magic.bytes.len()));
            }
        }
    }
    found.extend(zfs(image)?);
    found.extend(dos(image, &found)?);
    if found.iter().all(|found| found.offset >= Bytes::new(512)) {
        found.extend(judge::atari(image)?);
    }
    Ok(found)
}

/// Overwrites the magic numbers, so that these are not found again.
///
/// # Errors
/// The system's, where the device cannot be written.
pub fn wipe(storage: &mut dyn Storage, signatures: &[Signature]) -> io::Result<()> {
    for signature in signatures {
        let zeros = vec![0; signature.length.to_usize().ok_or(io::ErrorKind::InvalidInput)?];
        storage.write_at(signature.offset, &zeros)?;
    }
    storage.sync()
}

fn signature(name: &'static str, kind: SignatureKind, offset: u64, length: usize) -> Signature {
    Signature {
        name,
        kind,
        offset: Bytes::new(offset),
        length: Bytes::new(length as u64),
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {} signature", self.name, self.kind.word())
    }
}

/// A device whose start has been read at once; the rest is read on demand.
struct Image<'a> {
    storage: &'a mut dyn Storage,
    size: u64,
    head: Vec<u8>,
    /// The unreadable blocks, if they are not fatal. None of them is tried twice: a failing disk takes its time for each.
    unreadable: Option<BTreeSet<u64>>,
}

impl<'a> Image<'a> {
    /// The size of the first read: a ZFS label ends here.
    const HEAD: u64 = 256 * 1024;
    /// The amount that is lost with an unreadable sector.
    const BLOCK: u64 = 4096;

    fn read(storage: &'a mut dyn Storage) -> io::Result<Self> {
        let size = storage.size()?.get();
        let mut head = vec![0; size.min(Self::HEAD) as usize];
        storage.read_at(Bytes::ZERO, &mut head)?;
        Ok(Self {
            storage,
            size,
            head,
            unreadable: None,
        })
    }

    /// The same for a disk with unreadable parts.
    fn readable(storage: &'a mut dyn Storage) -> io::Result<Self> {
        let size = storage.size()?.get();
        let mut head = vec![0; size.min(Self::HEAD) as usize];
        let mut unreadable = BTreeSet::new();
        if storage.read_at(Bytes::ZERO, &mut head).is_err() {
            for (block, bytes) in (0..).zip(head.chunks_mut(Self::BLOCK as usize)) {
                if storage.read_at(Bytes::new(block * Self::BLOCK), bytes).is_err() {
                    unreadable.insert(block);
                }
            }
        }
        Ok(Self {
            storage,
            size,
            head,
            unreadable: Some(unreadable),
        })
    }

    /// One whose parts are read on demand.
    fn unread(storage: &'a mut dyn Storage) -> io::Result<Self> {
        Ok(Self {
            size: storage.size()?.get(),
            storage,
            head: Vec::new(),
            unreadable: None,
        })
    }

    /// This many bytes at an offset; `None` past the end, and if they are unreadable but that is not fatal.
    fn at(&mut self, offset: u64, len: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(end) = offset.checked_add(len as u64).filter(|end| *end <= self.size) else {
            return Ok(None);
        };
        let blocks = offset / Self::BLOCK..=end.saturating_sub(1) / Self::BLOCK;
        if let Some(unreadable) = &self.unreadable
            && !blocks.is_empty()
            && unreadable.range(blocks.clone()).next().is_some()
        {
            return Ok(None);
        }
        if end <= self.head.len() as u64 {
            return Ok(Some(self.head[offset as usize..end as usize].to_vec()));
        }
        let mut bytes = vec![0; len];
        match (
            self.storage.read_at(Bytes::new(offset), &mut bytes),
            &mut self.unreadable,
        ) {
            (Ok(()), _) => Ok(Some(bytes)),
            (Err(_), Some(unreadable)) => {
                unreadable.extend(blocks);
                Ok(None)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn le32(&mut self, offset: u64) -> io::Result<Option<u32>> {
        let bytes = self.at(offset, 4)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes))
    }
}

impl Place {
    fn offsets(&self, size: u64) -> Vec<u64> {
        match *self {
            Self::Start(offsets) => offsets.to_vec(),
            Self::FromEnd(all) => {
                let end = size / 512 * 512;
                all.iter().filter_map(|back| end.checked_sub(*back)).collect()
            }
            Self::LastPage(offset) => (size / 4096 * 4096)
                .checked_sub(4096)
                .map(|page| page + offset)
                .into_iter()
                .collect(),
            Self::Raid09 => (size & !0xffff).checked_sub(0x1_0000).into_iter().collect(),
            Self::Raid10 => (size / 512)
                .checked_sub(16)
                .map(|sector| (sector & !7) * 512)
                .into_iter()
                .collect(),
        }
    }
}

/// A ZFS label has its magic number in a ring of uberblocks, in either byte order; a few of them make it one. Two labels
/// are at the start, two at the end.
fn zfs(image: &mut Image<'_>) -> io::Result<Option<Signature>> {
    const ENOUGH: usize = 4;
    const LABEL: u64 = 256 * 1024;
    const RING: u64 = LABEL / 2;
    const LITTLE: [u8; 8] = 0x00ba_b10c_u64.to_le_bytes();
    const BIG: [u8; 8] = 0x00ba_b10c_u64.to_be_bytes();
    let end = image.size / LABEL * LABEL;
    for label in [0, LABEL, end.saturating_sub(2 * LABEL), end.saturating_sub(LABEL)] {
        let Some(ring) = image.at(label + RING, RING as usize)? else {
            continue;
        };
        let mut uberblocks = ring.chunks_exact(1024).enumerate().filter(|(_, block)| {
            let magic = &block[..8];
            magic == LITTLE || magic == BIG
        });
        if let Some((first, _)) = uberblocks.next()
            && uberblocks.count() + 1 >= ENOUGH
        {
            let offset = label + RING + 1024 * first as u64;
            return Ok(Some(signature("zfs_member", SignatureKind::Superblock, offset, 8)));
        }
    }
    Ok(None)
}

/// A DOS partition table has only `55 AA`, which boot sectors of file systems have too.
fn dos(image: &mut Image<'_>, found: &[Signature]) -> io::Result<Option<Signature>> {
    const ENTRIES: usize = 446;
    let Some(sector) = image.at(0, 512)? else {
        return Ok(None);
    };
    let boot_sector_of = [
        "vfat",
        "ntfs",
        "exfat",
        "BitLocker",
        "xfs",
        "crypto_LUKS",
        "LVM2_member",
    ];
    let taken = found
        .iter()
        .any(|other| other.offset < Bytes::new(512) && boot_sector_of.contains(&other.name));
    if sector[510..] != [0x55, 0xaa] || taken {
        return Ok(None);
    }
    let entries = || sector[ENTRIES..510].chunks_exact(16);
    let used = entries().filter(|entry| entry[4] != 0).count();
    if !entries().all(|entry| matches!(entry[0], 0x00 | 0x80)) || used == 0 {
        return Ok(None);
    }
    let protective = entries().any(|entry| entry[4] == 0xee);
    if protective && found.iter().any(|other| other.name == "gpt") {
        return Ok(None);
    }
    let name = if protective { "PMBR" } else { "dos" };
    Ok(Some(signature(name, SignatureKind::PartitionTable, 510, 2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslots::storage::Memory;

    fn names(image: &[(usize, &[u8])], size: usize) -> Vec<&'static str> {
        let mut memory = Memory::zeroed(size);
        for (offset, bytes) in image {
            memory.0[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        probe_storage(&mut memory)
            .expect("memory can be read")
            .iter()
            .map(|found| found.name)
            .collect()
    }

    const MIB: usize = 1 << 20;

    #[test]
    fn each_magic_number_has_its_name() {
        for (expected, offset, magic) in [
            ("xfs", 0, &b"XFSB"[..]),
            ("btrfs", 0x10040, b"_BHRfS_M"),
            ("ntfs", 3, b"NTFS    "),
            ("exfat", 3, b"EXFAT   "),
            ("BitLocker", 3, b"-FVE-FS-"),
            ("swap", 4086, b"SWAPSPACE2"),
            ("swap", 65526, b"SWAPSPACE2"),
            ("swsuspend", 4086, b"S1SUSPEND\0"),
            ("crypto_LUKS", 0, b"LUKS\xba\xbe\x00\x02"),
            ("crypto_LUKS", 0x8000, b"SKUL\xba\xbe"),
            ("gpt", 512, b"EFI PART"),
            ("gpt", 4096, b"EFI PART"),
            ("gpt", MIB - 512, b"EFI PART"),
            ("iso9660", 0x8001, b"CD001"),
            ("f2fs", 1024, b"\x10\x20\xf5\xf2"),
            ("squashfs", 0, b"hsqs"),
            (
                "bcache",
                4120,
                b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
            ),
            ("drbd", MIB - 4096 + 60, b"\x83\x74\x02\x6b"),
            ("jfs", 0x8000, b"JFS1"),
            ("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
            ("reiserfs", 0x10034, b"ReIsEr2Fs"),
            ("DM_verity_hash", 0, b"verity\0\0"),
            ("DM_integrity", 0, b"integrt\0"),
        ] {
            assert_eq!(names(&[(offset, magic)], MIB), [expected], "{expected} at {offset}");
        }
        assert!(names(&[], MIB).is_empty());
    }

    #[test]
    fn a_device_may_be_smaller_than_any_signature() {
        for size in [0, 1, 511, 512, 1024, 4096, 65536, 100_000] {
            assert!(names(&[], size).is_empty(), "{size}");
        }
    }

    #[test]
    fn the_three_ext_file_systems_differ_by_their_features() {
        let ext = |compat: u32, incompat: u32, ro_compat: u32| {
            let features = [compat, incompat, ro_compat].map(u32::to_le_bytes).concat();
            names(&[(1080, b"\x53\xef"), (1116, &features)], MIB)
        };
        assert_eq!(ext(0x38, 0x2, 0x3), ["ext2"]);
        assert_eq!(ext(0x3c, 0x2, 0x3), ["ext3"]);
        assert_eq!(ext(0x3c, 0x2c2, 0x46b), ["ext4"]);
        assert_eq!(ext(0, 0x8, 0), ["jbd"]);
    }

    #[test]
    fn volume_group_members_need_both_halves_of_their_label() {
        assert_eq!(names(&[(512, b"LABELONE"), (536, b"LVM2 001")], MIB), ["LVM2_member"]);
        assert!(names(&[(512, b"LABELONE")], MIB).is_empty());
    }

    #[test]
    fn raid_members_are_found_at_each_of_their_places() {
        let version_1: &[u8] = b"\xfc\x4e\x2b\xa9\x01\0\0\0";
        let version_0: &[u8] = b"\xfc\x4e\x2b\xa9\0\0\0\0\x5a\0\0\0";
        for offset in [0, 4096, MIB - 8192] {
            assert_eq!(names(&[(offset, version_1)], MIB), ["linux_raid_member"], "{offset}");
        }
        assert_eq!(names(&[(MIB - 65536, version_0)], MIB + 1000), ["linux_raid_member"]);
        // 1.0 on a size that is no multiple of its alignment.
        assert_eq!(names(&[(MIB - 8192, version_1)], MIB + 1024), ["linux_raid_member"]);
    }

    #[test]
    fn a_fat_boot_sector_is_no_partition_table() {
        let fat: &[(usize, &[u8])] = &[(11, &[0, 2, 4, 4, 0, 2]), (54, b"FAT16   "), (510, &[0x55, 0xaa])];
        assert_eq!(names(fat, MIB), ["vfat"]);
        let entry: &[u8] = &[0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0];
        assert_eq!(names(&[(446, entry), (510, &[0x55, 0xaa])], MIB), ["dos"]);
        assert!(names(&[(510, &[0x55, 0xaa])], MIB).is_empty());
        let protective: &[u8] = &[0, 0, 0, 0, 0xee, 0, 0, 0, 1, 0, 0, 0, 0, 8, 0, 0];
        let pmbr: &[(usize, &[u8])] = &[(446, protective), (510, &[0x55, 0xaa])];
        assert_eq!(names(pmbr, MIB), ["PMBR"]);
        assert_eq!(names(&[pmbr[0], pmbr[1], (512, b"EFI PART")], MIB), ["gpt"]);
    }

    #[test]
    fn one_uberblock_is_chance_and_four_are_a_pool() {
        let magic = 0x00ba_b10c_u64.to_le_bytes();
        let ring =
            |count: usize| -> Vec<(usize, &[u8])> { (0..count).map(|i| (128 * 1024 + 1024 * i, &magic[..])).collect() };
        assert!(names(&ring(1), MIB).is_empty());
        assert_eq!(names(&ring(4), MIB), ["zfs_member"]);
    }

    #[test]
    fn what_is_wiped_is_not_found_again() {
        let mut memory = Memory::zeroed(MIB);
        memory.0[512..520].copy_from_slice(b"EFI PART");
        memory.0[MIB - 512..MIB - 504].copy_from_slice(b"EFI PART");
        let found = probe_storage(&mut memory).expect("memory can be read");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].to_string(), "'gpt' partition signature");
        wipe(&mut memory, &found).expect("memory can be written");
        assert_eq!(probe_storage(&mut memory).expect("memory can be read"), []);
        assert!(memory.0.iter().all(|byte| *byte == 0));
    }
}
