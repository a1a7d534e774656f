//! The magic numbers, from the formats' own documents and kernel headers, and the further looks that some need.

use std::io;

use super::{Image, SignatureKind};

/// Where a magic number may be.
pub(super) enum Place {
    /// At one of these offsets.
    Start(&'static [u64]),
    /// So many bytes before the end.
    FromEnd(u64),
    /// In the last whole 64 KiB of an MD 0.90 member.
    Raid09,
    /// 8 KiB before the end of an MD 1.0 member, rounded down to 4 KiB.
    Raid10,
}

/// Whether a magic number is what it seems, and under which name.
type Judge = fn(&mut Image<'_>, u64, &'static str) -> io::Result<Option<&'static str>>;

/// One entry of the table.
pub(super) struct Magic {
    pub(super) name: &'static str,
    pub(super) kind: SignatureKind,
    pub(super) place: Place,
    pub(super) bytes: &'static [u8],
    pub(super) judge: Judge,
}

const fn superblock(name: &'static str, offsets: &'static [u64], bytes: &'static [u8]) -> Magic {
    Magic {
        name,
        kind: SignatureKind::Superblock,
        place: Place::Start(offsets),
        bytes,
        judge: as_named,
    }
}

const fn partitions(name: &'static str, offsets: &'static [u64], bytes: &'static [u8]) -> Magic {
    Magic {
        name,
        kind: SignatureKind::PartitionTable,
        place: Place::Start(offsets),
        bytes,
        judge: as_named,
    }
}

impl Magic {
    const fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    const fn if_so(self, judge: Judge) -> Self {
        Self { judge, ..self }
    }
}

/// Ends of the first page, where swap areas say what they are: pages of 4 to 64 KiB.
const PAGE_ENDS: &[u64] = &[4086, 8182, 16374, 32758, 65526];
/// Where the second LUKS2 header may be.
const SECOND_LUKS2: &[u64] = &[
    0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000,
];
const MD: &[u8] = b"\xfc\x4e\x2b\xa9";

pub(super) const MAGICS: &[Magic] = &[
    superblock("crypto_LUKS", &[0], b"LUKS\xba\xbe"),
    superblock("crypto_LUKS", SECOND_LUKS2, b"SKUL\xba\xbe"),
    superblock("ext4", &[1080], b"\x53\xef").if_so(ext),
    superblock("xfs", &[0], b"XFSB"),
    superblock("btrfs", &[0x1_0040], b"_BHRfS_M"),
    superblock("vfat", &[82], b"FAT32   ").if_so(fat),
    superblock("vfat", &[54], b"FAT16   ").if_so(fat),
    superblock("vfat", &[54], b"FAT12   ").if_so(fat),
    superblock("ntfs", &[3], b"NTFS    "),
    superblock("exfat", &[3], b"EXFAT   "),
    superblock("BitLocker", &[3], b"-FVE-FS-"),
    superblock("BitLocker", &[3], b"MSWIN4.1").if_so(bitlocker_to_go),
    superblock("swap", PAGE_ENDS, b"SWAPSPACE2"),
    superblock("swap", PAGE_ENDS, b"SWAP-SPACE"),
    superblock("swsuspend", PAGE_ENDS, b"S1SUSPEND"),
    superblock("swsuspend", PAGE_ENDS, b"S2SUSPEND"),
    superblock("swsuspend", PAGE_ENDS, b"ULSUSPEND"),
    superblock("swsuspend", PAGE_ENDS, b"LINHIB0001"),
    superblock("LVM2_member", &[0, 512, 1024, 1536], b"LABELONE").if_so(lvm2),
    superblock("linux_raid_member", &[0, 4096], MD).if_so(md_1),
    superblock("linux_raid_member", &[], MD).at(Place::Raid10).if_so(md_1),
    superblock("linux_raid_member", &[], MD).at(Place::Raid09).if_so(md_0),
    superblock("linux_raid_member", &[], b"\xa9\x2b\x4e\xfc").at(Place::Raid09),
    superblock("isw_raid_member", &[], b"Intel Raid ISM Cfg Sig. ").at(Place::FromEnd(1024)),
    superblock("ddf_raid_member", &[], b"\xde\x11\xde\x11").at(Place::FromEnd(512)),
    superblock("drbd", &[], b"\x83\x74\x02\x6b").at(Place::FromEnd(4036)),
    superblock("drbd", &[], b"\x83\x74\x02\x6c").at(Place::FromEnd(4036)),
    superblock("drbd", &[], b"\x83\x74\x02\x6d").at(Place::FromEnd(4036)),
    superblock("iso9660", &[0x8001], b"CD001"),
    superblock("udf", &[0x8001, 0x8801, 0x9001], b"NSR02"),
    superblock("udf", &[0x8001, 0x8801, 0x9001], b"NSR03"),
    superblock("f2fs", &[1024], b"\x10\x20\xf5\xf2"),
    superblock("squashfs", &[0], b"hsqs"),
    superblock("squashfs", &[0], b"sqsh"),
    superblock("erofs", &[1024], b"\xe2\xe1\xf5\xe0"),
    superblock("cramfs", &[0], b"\x45\x3d\xcd\x28"),
    superblock("romfs", &[0], b"-rom1fs-"),
    superblock(
        "bcache",
        &[4120],
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
    ),
    superblock(
        "bcachefs",
        &[4120],
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
    ),
    superblock("reiserfs", &[0x1_0034], b"ReIsErFs"),
    superblock("reiserfs", &[0x1_0034], b"ReIsEr2Fs"),
    superblock("reiserfs", &[0x1_0034], b"ReIsEr3Fs"),
    superblock("reiserfs", &[0x2034], b"ReIsErFs"),
    superblock("jfs", &[0x8000], b"JFS1"),
    superblock("nilfs2", &[1030], b"\x34\x34").if_so(nilfs2),
    superblock("ocfs2", &[1024, 2048, 4096, 8192], b"OCFSV2"),
    superblock("gfs2", &[0x1_0000], b"\x01\x16\x19\x70\0\0\0\x01"),
    superblock("hfsplus", &[1024], b"H+\0\x04"),
    superblock("hfsplus", &[1024], b"HX\0\x05"),
    superblock("apfs", &[32], b"NXSB"),
    superblock("VMFS_volume_member", &[0x10_0000], b"\x0d\xd0\x01\xc0"),
    superblock("stratis", &[516, 8708], b"!Stra0tis\x86\xff\x02^\x41rh"),
    superblock("ceph_bluestore", &[0], b"bluestore block device"),
    superblock("DM_verity_hash", &[0], b"verity\0\0"),
    superblock("DM_integrity", &[0], b"integrt\0"),
    superblock("DM_snapshot_cow", &[0], b"SnAp"),
    superblock("vdo", &[0], b"dmvdo001"),
    partitions("gpt", &[512, 4096], b"EFI PART"),
    partitions("gpt", &[], b"EFI PART").at(Place::FromEnd(512)),
    partitions("gpt", &[], b"EFI PART").at(Place::FromEnd(4096)),
    partitions("mac", &[0], b"ER").if_so(mac),
    partitions("sgi", &[0], b"\x0b\xe5\xa9\x41"),
    partitions("sun", &[508], b"\xda\xbe").if_so(sun),
    partitions("bsd", &[512], b"\x57\x45\x56\x82").if_so(bsd),
];

fn as_named(_: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok(Some(name))
}

/// Which of the family it is shows in the features (`s_feature_compat`, `_incompat`, `_ro_compat` behind byte 92 of the
/// superblock).
fn ext(image: &mut Image<'_>, magic: u64, _: &'static str) -> io::Result<Option<&'static str>> {
    const HAS_JOURNAL: u32 = 0x4;
    const IS_JOURNAL: u32 = 0x8;
    // File types, meta block groups; for ext3 also a journal to be replayed.
    const EXT2_INCOMPAT: u32 = 0x12;
    const EXT3_INCOMPAT: u32 = EXT2_INCOMPAT | 0x4;
    // Sparse superblocks, large files, directory trees.
    const EXT3_RO_COMPAT: u32 = 0x7;
    let start = magic - 56;
    let mut feature = |offset| image.le32(start + offset);
    let (Some(compat), Some(incompat), Some(ro_compat)) = (feature(92)?, feature(96)?, feature(100)?) else {
        return Ok(None);
    };
    let old = ro_compat & !EXT3_RO_COMPAT == 0;
    Ok(Some(match compat & HAS_JOURNAL != 0 {
        _ if incompat & IS_JOURNAL != 0 => "jbd",
        true if old && incompat & !EXT3_INCOMPAT == 0 => "ext3",
        false if old && incompat & !EXT2_INCOMPAT == 0 => "ext2",
        _ => "ext4",
    }))
}

/// A boot sector that means it: its end mark, and a sector and a cluster size that are powers of two.
fn fat(image: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    let Some(sector) = image.at(0, 512)? else {
        return Ok(None);
    };
    let bytes = u16::from_le_bytes([sector[11], sector[12]]);
    let sound = sector[510..] == [0x55, 0xaa]
        && bytes.is_power_of_two()
        && (512..=4096).contains(&bytes)
        && sector[13].is_power_of_two();
    Ok(sound.then_some(name))
}

/// BitLocker To Go hides in a FAT32 boot sector, with its GUID behind the boot code.
fn bitlocker_to_go(image: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    const GUID: &[u8] = b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01";
    Ok((image.at(424, GUID.len())?.as_deref() == Some(GUID)).then_some(name))
}

fn lvm2(image: &mut Image<'_>, label: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.at(label + 24, 8)?.as_deref() == Some(b"LVM2 001")).then_some(name))
}

fn md_1(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.le32(magic + 4)? == Some(1)).then_some(name))
}

/// Version 0.90, or 0.91 in the middle of a reshape.
fn md_0(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    let sound = image.le32(magic + 4)? == Some(0) && matches!(image.le32(magic + 8)?, Some(90 | 91));
    Ok(sound.then_some(name))
}

/// Two bytes are little: the revision (2) in front of them must be right too.
fn nilfs2(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.le32(magic - 6)? == Some(2)).then_some(name))
}

/// An Apple driver descriptor is followed by a partition map.
fn mac(image: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.at(512, 2)?.as_deref() == Some(b"PM")).then_some(name))
}

/// A Sun label's 16-bit words come to zero under exclusive or.
fn sun(image: &mut Image<'_>, _: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    let Some(sector) = image.at(0, 512)? else {
        return Ok(None);
    };
    let sum = sector
        .chunks_exact(2)
        .fold([0, 0], |sum, word| [sum[0] ^ word[0], sum[1] ^ word[1]]);
    Ok((sum == [0, 0]).then_some(name))
}

/// A BSD label has its magic number twice.
fn bsd(image: &mut Image<'_>, magic: u64, name: &'static str) -> io::Result<Option<&'static str>> {
    Ok((image.at(magic + 132, 4)?.as_deref() == Some(b"\x57\x45\x56\x82")).then_some(name))
}
