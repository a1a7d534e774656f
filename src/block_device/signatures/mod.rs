//! Existing data on a device, so that a user can be asked before they are overwritten: file systems, partition tables,
//! members of RAIDs and volume groups. Names are those that `blkid` prints as `TYPE` and `PTTYPE`.
//!
//! This is for warnings, not for mounting: it checks magic numbers, and more only where those alone would often be
//! wrong.

mod file_system;
mod identity;
mod image;
mod judge;
mod names;
mod signature;
mod table;

use std::fs::File;
use std::io;
use std::path::Path;

use keyslots::storage::Storage;
use keyslots::units::Bytes;

pub use file_system::{FileSystem, file_system};
pub use identity::{Identity, identify};
use image::Image;
pub(super) use names::uuid_text;
use signature::signature;
pub use signature::{Signature, SignatureKind};
use table::MAGICS;

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
    found.extend(judge::zfs(image)?);
    found.extend(judge::dos(image, &found)?);
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
