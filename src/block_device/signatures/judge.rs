//! Further checks that some magic numbers need: to tell two formats apart, or to rule out a chance match of two bytes.

use std::io;

use keyslots::units::Bytes;

use super::image::Image;
use super::signature::{Signature, SignatureKind, signature};

pub(super) fn as_named(_: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok(Some(name))
}

/// The features (`s_feature_compat`, `_incompat`, `_ro_compat` behind byte 92 of the superblock) show which of the
/// family it is.
pub(super) fn ext(image: &mut Image<'_>, magic: u64, _: &'static str) -> io::Result<Option<&'static str>> {
    const HAS_JOURNAL: u32 = 0x4;
    const IS_JOURNAL: u32 = 0x8;
    // File types, meta block groups; for ext3 also a journal to be replayed.
    const EXT2_INCOMPAT: u32 = 0x12;
    const EXT3_INCOMPAT: u32 = EXT2_INCOMPAT | 0x4;
    // Sparse superblocks, large files, directory trees.
    const EXT3_RO_COMPAT: u32 = 0x7;
    const TEST_FILE_SYSTEM: u32 = 0x4;
    // Two bytes are not enough: the size of a block (1 KiB times a power of two) and the revision must be right too.
    const LARGEST_BLOCK: u32 = 6;
    const NEWEST_REVISION: u32 = 1;
    let start = magic - 56;
    let is_at_most = |field: Option<u32>, most| field.is_some_and(|value| value <= most);
    if !is_at_most(image.le32(start + 24)?, LARGEST_BLOCK) || !is_at_most(image.le32(start + 76)?, NEWEST_REVISION) {
        return Ok(None);
    }
    let flags = image.le32(start + 0x160)?.unwrap_or(0);
    let mut feature = |offset| image.le32(start + offset);
    let (Some(compat), Some(incompat), Some(ro_compat)) = (feature(92)?, feature(96)?, feature(100)?) else {
        return Ok(None);
    };
    let old = ro_compat & !EXT3_RO_COMPAT == 0;
    Ok(Some(match compat & HAS_JOURNAL != 0 {
        _ if incompat & IS_JOURNAL != 0 => "jbd",
        true if old && incompat & !EXT3_INCOMPAT == 0 => "ext3",
        false if old && incompat & !EXT2_INCOMPAT == 0 => "ext2",
        _ if flags & TEST_FILE_SYSTEM != 0 => "ext4dev",
        _ => "ext4",
    }))
}

/// A real boot sector: a sector and a cluster size that are powers of two.
pub(super) fn fat(image: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok(image.at(0, 512)?.filter(|sector| has_fat_sizes(sector)).map(|_| name))
}

/// A boot sector without the name of its FAT: it starts with a jump, and has FATs and a medium too.
pub(super) fn fat_unnamed(image: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    let Some(sector) = image.at(0, 512)?.filter(|sector| has_fat_sizes(sector)) else {
        return Ok(None);
    };
    let (jump, reserved, fats, medium) = (sector[0], &sector[14..16], sector[16], sector[21]);
    let sound = matches!(jump, 0xeb | 0xe9) && reserved != [0, 0] && matches!(fats, 1 | 2) && medium >= 0xf0;
    Ok((sound && bitlocker_to_go(image, 0, name)?.is_none()).then_some(name))
}

fn has_fat_sizes(sector: &[u8]) -> bool {
    let bytes = u16::from_le_bytes([sector[11], sector[12]]);
    bytes.is_power_of_two() && (512..=4096).contains(&bytes) && sector[13].is_power_of_two()
}

/// BitLocker To Go is disguised as a FAT32 boot sector, with its GUID behind the boot code.
pub(super) fn bitlocker_to_go(image: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    const GUID: &[u8] = b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01";
    Ok((image.at(424, GUID.len())?.as_deref() == Some(GUID)).then_some(name))
}

pub(super) fn lvm2(image: &mut Image<'_>, label: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.at(label + 24, 8)?.as_deref() == Some(b"LVM2 001")).then_some(name))
}

pub(super) fn md_1(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.le32(magic + 4)? == Some(1)).then_some(name))
}

/// Version 0.90, or 0.91 in the middle of a reshape.
pub(super) fn md_0(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    let sound = image.le32(magic + 4)? == Some(0) && matches!(image.le32(magic + 8)?, Some(90 | 91));
    Ok(sound.then_some(name))
}

/// Two bytes are not enough: the revision (2) in front of them must be right too.
pub(super) fn nilfs2(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.le32(magic - 6)? == Some(2)).then_some(name))
}

/// An Apple driver descriptor is followed by a partition map.
pub(super) fn mac(image: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.at(512, 2)?.as_deref() == Some(b"PM")).then_some(name))
}

/// A Sun label's 16-bit words come to zero under exclusive or.
pub(super) fn sun(image: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    let Some(sector) = image.at(0, 512)? else {
        return Ok(None);
    };
    let sum = sector
        .chunks_exact(2)
        .fold([0, 0], |sum, word| [sum[0] ^ word[0], sum[1] ^ word[1]]);
    Ok((sum == [0, 0]).then_some(name))
}

/// A BSD label has its magic number twice.
pub(super) fn bsd(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.at(magic + 132, 4)?.as_deref() == Some(b"\x57\x45\x56\x82")).then_some(name))
}

/// LVM1 has two bytes, and version 1 or 2.
pub(super) fn lvm1(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok(matches!(image.at(magic + 2, 2)?.as_deref(), Some([1 | 2, 0])).then_some(name))
}

/// HFS has allocation blocks of whole sectors; one that only wraps HFS Plus has that one's magic number too.
pub(super) fn hfs(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    if matches!(image.at(magic + 124, 2)?.as_deref(), Some(b"H+" | b"HX")) {
        return Ok(Some("hfsplus"));
    }
    let size = image.at(magic + 20, 4)?.and_then(|bytes| bytes.try_into().ok());
    let size = size.map_or(0, u32::from_be_bytes);
    // 65535 of them for 2 TiB.
    Ok(((1..=32 << 20).contains(&size) && size.is_multiple_of(512)).then_some(name))
}

/// Minix: maps that have a bit for each inode and each zone and little more, and a first zone of data behind them, in the magic
/// number's byte order. Version 3 has another superblock.
pub(super) fn minix(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    const LARGEST_ZONE: u64 = 4;
    let Some(bytes) = image.at(0x400, 32)? else {
        return Ok(None);
    };
    let third = magic == 0x418;
    let at = (magic - 0x400) as usize;
    let little = matches!(bytes[at], 0x7f | 0x8f | 0x68 | 0x78 | 0x5a);
    let number = |at: usize, len: usize| {
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match little {
            true => bytes[at..at + len].iter().rev().fold(0, add),
            false => bytes[at..at + len].iter().fold(0, add),
        }
    };
    let second = matches!(
        &bytes[at..at + 2],
        b"\x68\x24" | b"\x24\x68" | b"\x78\x24" | b"\x24\x78"
    );
    let (inodes, maps) = if third { (number(0, 4), 6) } else { (number(0, 2), 4) };
    let zones = if third || second { number(20, 4) } else { number(2, 2) };
    let [inode_maps, zone_maps, first, log_zone] = [0, 2, 4, 6].map(|field| number(maps + field, 2));
    let block = if third { number(28, 2) } else { 1024 };
    let bits = 8 * block;
    // Some programs count a bit more, or all zones.
    let fits = |maps: u64, least: u64, most: u64| (least.div_ceil(bits)..=most.div_ceil(bits)).contains(&maps);
    let sound = inodes > 0
        && log_zone <= LARGEST_ZONE
        && (block.is_power_of_two() && block >= 1024)
        && (2 + inode_maps + zone_maps..zones).contains(&first)
        && fits(inode_maps, inodes + 1, inodes + 2)
        && fits(zone_maps, zones - first + 1, zones + 2);
    Ok(sound.then_some(name))
}

/// JMicron: the 16-bit words of the sector come to 0 or 1, and there are modes 0 to 5.
pub(super) fn jmicron(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    let Some(bytes) = image.at(magic, 512)? else {
        return Ok(None);
    };
    let words = bytes.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0u16, u16::wrapping_add);
    Ok((sum <= 1 && bytes[0x34] <= 5).then_some(name))
}

/// The major version distinguishes squashfs from its predecessors.
pub(super) fn squashfs(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    let version = image.at(magic + 28, 2)?.unwrap_or_default();
    let old = matches!(version[..], [1..=3, 0] | [0, 1..=3]);
    Ok(Some(if old { "squashfs3" } else { name }))
}

/// GFS and GFS2 differ by the number of their format.
pub(super) fn gfs2(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    const GFS1: [u8; 4] = 1309_u32.to_be_bytes();
    let old = image.at(magic + 24, 4)?.as_deref() == Some(&GFS1);
    Ok(Some(if old { "gfs" } else { name }))
}

/// ScoutFS has one device for the metadata and one for the data.
pub(super) fn scoutfs(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    let of_metadata = image.le32(magic + 44)?.is_some_and(|flags| flags & 1 != 0);
    Ok(Some(if of_metadata { "scoutfs_meta" } else { name }))
}

/// Core Storage (FileVault 2): version 1 of a volume header.
pub(super) fn core_storage(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.at(magic - 80, 4)?.as_deref() == Some(&[1, 0, 0x10, 0])).then_some(name))
}

/// HPFS has a second magic number behind the first.
pub(super) fn hpfs(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.at(magic + 4, 4)?.as_deref() == Some(b"\xc5\xe9\x53\xfa")).then_some(name))
}

/// A log starts with a record of version 1 or 2.
pub(super) fn xfs_log(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok(matches!(image.at(magic + 8, 4)?.as_deref(), Some([0, 0, 0, 1 | 2])).then_some(name))
}

/// Adaptec: a second magic number in the middle of the sector.
pub(super) fn adaptec(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.at(magic + 256, 4)?.as_deref() == Some(b"DPTM")).then_some(name))
}

/// VIA: version 0 or 1, and the sum of the first 50 bytes behind them.
pub(super) fn via(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    let Some(bytes) = image.at(magic, 51)? else {
        return Ok(None);
    };
    let sum = bytes[..50].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    Ok((bytes[2] <= 1 && sum == bytes[50]).then_some(name))
}

/// An Atari partition table has no magic number: entries whose names are letters or digits, and which lie within the disk.
/// An entry that is not used is empty, and one that is used may be bootable: noise has that in no more than one of 2^32.
pub(super) fn atari(image: &mut Image<'_>) -> io::Result<Option<Signature>> {
    const DISK_SIZE: u64 = 0x1c2;
    let be = |bytes: &[u8]| bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let sectors = image.size / 512;
    let Some(table) = image.at(DISK_SIZE, 4 + 4 * 12)? else {
        return Ok(None);
    };
    let size = be(&table[..4]);
    let known = |flags: u8| matches!(flags, 0 | 1 | 0x81);
    let mut active = table[4..].chunks_exact(12).filter(|entry| entry[0] & 1 != 0).peekable();
    let sound = (1..=sectors).contains(&size)
        && table[4..].chunks_exact(12).all(|entry| known(entry[0]))
        && active.peek().is_some()
        && active.all(|entry| {
            let end = be(&entry[4..8]) + be(&entry[8..12]);
            entry[1..4].iter().all(u8::is_ascii_alphanumeric) && be(&entry[8..12]) > 0 && end <= size
        });
    Ok(sound.then(|| signature("atari", SignatureKind::PartitionTable, DISK_SIZE + 4, 4)))
}

/// A ZFS label has its magic number in a ring of uberblocks, in either byte order; a few of them make it one. Two labels
/// are at the start, two at the end.
pub(super) fn zfs(image: &mut Image<'_>) -> io::Result<Option<Signature>> {
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
pub(super) fn dos(image: &mut Image<'_>, found: &[Signature]) -> io::Result<Option<Signature>> {
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
