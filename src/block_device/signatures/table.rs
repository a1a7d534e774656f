//! The one table of formats: their magic numbers, from the formats' own documents and kernel headers, and the functions
//! that read the names of those that have names. It has every type that `wipefs` and `blkid` know.

use std::io;

use super::image::Image;
use super::judge::*;
use super::names::{self, ReadNames};
use super::signature::SignatureKind;

/// The possible places of a magic number.
pub(super) enum Place {
    /// At one of these offsets.
    Start(&'static [u64]),
    /// This many bytes before the end of the last sector.
    FromEnd(&'static [u64]),
    /// At this offset in the last whole 4 KiB.
    LastPage(u64),
    /// In the last whole 64 KiB of an MD 0.90 member.
    Raid09,
    /// 8 KiB before the end of an MD 1.0 member, rounded down to 4 KiB.
    Raid10,
}

impl Place {
    /// The offsets to look at on a device of this size.
    pub(super) fn offsets(&self, size: u64) -> Vec<u64> {
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

/// Checks a magic number, and returns the name of its format.
type Judge = fn(&mut Image<'_>, u64, &'static str) -> io::Result<Option<&'static str>>;

/// One entry of the table.
pub(super) struct Magic {
    pub(super) name: &'static str,
    pub(super) kind: SignatureKind,
    pub(super) place: Place,
    pub(super) bytes: &'static [u8],
    pub(super) judge: Judge,
    pub(super) names: Option<ReadNames>,
}

const fn superblock(name: &'static str, offsets: &'static [u64], bytes: &'static [u8]) -> Magic {
    Magic {
        name,
        kind: SignatureKind::Superblock,
        place: Place::Start(offsets),
        bytes,
        judge: as_named,
        names: None,
    }
}

const fn partitions(name: &'static str, offsets: &'static [u64], bytes: &'static [u8]) -> Magic {
    Magic {
        name,
        kind: SignatureKind::PartitionTable,
        place: Place::Start(offsets),
        bytes,
        judge: as_named,
        names: None,
    }
}

impl Magic {
    const fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    const fn if_so(self, judge: Judge) -> Self {
        Self { judge, ..self }
    }

    const fn names(self, names: ReadNames) -> Self {
        Self {
            names: Some(names),
            ..self
        }
    }

    /// The name, if the magic number at `offset` is real.
    pub(super) fn found_at(&self, image: &mut Image<'_>, offset: u64) -> io::Result<Option<&'static str>> {
        if image.at(offset, self.bytes.len())?.as_deref() != Some(self.bytes) {
            return Ok(None);
        }
        (self.judge)(image, offset, self.name)
    }
}

/// Ends of the first page, with the magic number of swap areas: pages of 4 to 64 KiB.
const PAGE_ENDS: &[u64] = &[4086, 8182, 16374, 32758, 65526];
/// Where the second LUKS2 header may be.
const SECOND_LUKS2: &[u64] = &[
    0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000,
];
/// Superblocks of UFS are at 0, 8, 64 or 256 KiB, and the magic number is this far in.
const UFS: &[u64] = &[0x55c, 0x255c, 0x1_055c, 0x4_055c];
/// Superblocks of System V are in the second sector of one of these KiB: 0, 9, 15, 18.
const SYSV: &[u64] = &[0x3f8, 0x27f8, 0x3ff8, 0x4bf8];
/// Where Promise's controllers may keep theirs, by the size of the disk.
const PROMISE: &[u64] = &[
    63 * 512,
    255 * 512,
    256 * 512,
    16 * 512,
    399 * 512,
    591 * 512,
    675 * 512,
    735 * 512,
    911 * 512,
    951 * 512,
    974 * 512,
    991 * 512,
    3087 * 512,
];
const MD: &[u8] = b"\xfc\x4e\x2b\xa9";

#[rustfmt::skip]
pub(super) const MAGICS: &[Magic] = &[
    superblock("crypto_LUKS", &[0], b"LUKS\xba\xbe").names(names::luks),
    superblock("crypto_LUKS", SECOND_LUKS2, b"SKUL\xba\xbe"),
    superblock("ext4", &[1080], b"\x53\xef").if_so(ext).names(names::ext),
    superblock("xfs", &[0], b"XFSB").names(names::xfs),
    superblock("btrfs", &[0x1_0040], b"_BHRfS_M").names(names::btrfs),
    superblock("vfat", &[82], b"FAT32   ").if_so(fat).names(names::fat32),
    superblock("vfat", &[54], b"FAT16   ").if_so(fat).names(names::fat16),
    superblock("vfat", &[54], b"FAT12   ").if_so(fat).names(names::fat16),
    superblock("vfat", &[54], b"FAT     ").if_so(fat),
    superblock("vfat", &[54], b"MSDOS").if_so(fat),
    superblock("vfat", &[510], b"\x55\xaa").if_so(fat_unnamed),
    superblock("ntfs", &[3], b"NTFS    ").names(names::ntfs),
    superblock("exfat", &[3], b"EXFAT   ").names(names::exfat),
    superblock("BitLocker", &[3], b"-FVE-FS-"),
    superblock("BitLocker", &[3], b"MSWIN4.1").if_so(bitlocker_to_go),
    superblock("swap", PAGE_ENDS, b"SWAPSPACE2").names(names::swap),
    superblock("swap", PAGE_ENDS, b"SWAP-SPACE"),
    superblock("swsuspend", PAGE_ENDS, b"S1SUSPEND"),
    superblock("swsuspend", PAGE_ENDS, b"S2SUSPEND"),
    superblock("swsuspend", PAGE_ENDS, b"ULSUSPEND"),
    superblock("swsuspend", PAGE_ENDS, b"LINHIB0001"),
    superblock("swsuspend", PAGE_ENDS, b"linhib0001"),
    // TuxOnIce.
    superblock("swsuspend", PAGE_ENDS, b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c"),
    superblock("LVM2_member", &[0, 512, 1024, 1536], b"LABELONE").if_so(lvm2).names(names::lvm2),
    superblock("linux_raid_member", &[0, 4096], MD).if_so(md_1),
    superblock("linux_raid_member", &[], MD).at(Place::Raid10).if_so(md_1),
    superblock("linux_raid_member", &[], MD).at(Place::Raid09).if_so(md_0),
    superblock("linux_raid_member", &[], b"\xa9\x2b\x4e\xfc").at(Place::Raid09),
    superblock("isw_raid_member", &[], b"Intel Raid ISM Cfg Sig. ").at(Place::FromEnd(&[1024])),
    superblock("ddf_raid_member", &[], b"\xde\x11\xde\x11").at(Place::FromEnd(&[512, 257 * 512])),
    superblock("drbd", &[], b"\x83\x74\x02\x6b").at(Place::FromEnd(&[4036])),
    superblock("drbd", &[], b"\x83\x74\x02\x6c").at(Place::FromEnd(&[4036])),
    superblock("drbd", &[], b"\x83\x74\x02\x6d").at(Place::FromEnd(&[4036])),
    superblock("iso9660", &[0x8001], b"CD001").names(names::iso9660),
    superblock("udf", &[0x8001, 0x8801, 0x9001, 0xa001], b"NSR02"),
    superblock("udf", &[0x8001, 0x8801, 0x9001, 0xa001], b"NSR03"),
    superblock("f2fs", &[1024], b"\x10\x20\xf5\xf2").names(names::f2fs),
    superblock("squashfs", &[0], b"hsqs").if_so(squashfs),
    superblock("squashfs", &[0], b"sqsh").if_so(squashfs),
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
    superblock("gfs2", &[0x1_0000], b"\x01\x16\x19\x70\0\0\0\x01").if_so(gfs2),
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
    superblock("nilfs2", &[], b"\x34\x34").at(Place::LastPage(6)).if_so(nilfs2),
    superblock("LVM1_member", &[0], b"HM").if_so(lvm1),
    superblock("lsi_mega_raid_member", &[], b"$XIDE$").at(Place::FromEnd(&[512])),
    superblock("via_raid_member", &[], b"\x55\xaa").at(Place::FromEnd(&[512])).if_so(via),
    superblock("silicon_medley_raid_member", &[], b"\0\0\0\x2f").at(Place::FromEnd(&[512 - 0x60])),
    superblock("nvidia_raid_member", &[], b"NVIDIA").at(Place::FromEnd(&[1024])),
    superblock("promise_fasttrack_raid_member", &[], b"Promise Technology, Inc.").at(Place::FromEnd(PROMISE)),
    superblock("hpt45x_raid_member", &[], b"\xf3\x16\x78\x5a").at(Place::FromEnd(&[11 * 512])),
    superblock("hpt45x_raid_member", &[], b"\xfd\x16\x78\x5a").at(Place::FromEnd(&[11 * 512])),
    superblock("hpt37x_raid_member", &[0x1220], b"\xf0\x16\x78\x5a"),
    superblock("hpt37x_raid_member", &[0x1220], b"\xfd\x16\x78\x5a"),
    superblock("adaptec_raid_member", &[], b"\x37\xfc\x4d\x1e").at(Place::FromEnd(&[512])).if_so(adaptec),
    superblock("jmicron_raid_member", &[], b"JM").at(Place::FromEnd(&[512])).if_so(jmicron),
    superblock("drbdmanage_control_volume", &[0], b"$DRBDmgr=q"),
    superblock("drbdproxy_datalog", &[0], b"DRBDdlh*"),
    superblock("ubi", &[0], b"UBI#"),
    superblock("ubifs", &[0], b"\x31\x18\x10\x06"),
    superblock("cs_fvault2", &[88], b"CS").if_so(core_storage),
    superblock("xfs_external_log", &[0], b"\xfe\xed\xba\xbe").if_so(xfs_log),
    superblock("exfs", &[0], b"EXFS"),
    superblock("reiser4", &[0x1_0000], b"ReIsEr4"),
    superblock("iso9660", &[0x8009], b"CDROM"),
    superblock("udf", &[0x8001], b"BEA01"),
    superblock("hfs", &[1024], b"BD").if_so(hfs),
    superblock("ufs", UFS, &0x0001_1954_u32.to_le_bytes()),
    superblock("ufs", UFS, &0x0001_1954_u32.to_be_bytes()),
    superblock("ufs", UFS, &0x1954_0119_u32.to_le_bytes()),
    superblock("ufs", UFS, &0x1954_0119_u32.to_be_bytes()),
    superblock("ufs", UFS, &0x0019_5612_u32.to_le_bytes()),
    superblock("ufs", UFS, &0x0019_5612_u32.to_be_bytes()),
    superblock("ufs", UFS, &0x0009_5014_u32.to_le_bytes()),
    superblock("ufs", UFS, &0x0009_5014_u32.to_be_bytes()),
    superblock("ufs", UFS, &0x0061_2195_u32.to_le_bytes()),
    superblock("ufs", UFS, &0x0061_2195_u32.to_be_bytes()),
    superblock("ufs", UFS, &0x0523_1994_u32.to_le_bytes()),
    superblock("ufs", UFS, &0x0523_1994_u32.to_be_bytes()),
    superblock("hpfs", &[0x2000], b"\x49\xe8\x95\xf9").if_so(hpfs),
    superblock("sysv", SYSV, b"\x20\x7e\x18\xfd"),
    superblock("sysv", SYSV, b"\xfd\x18\x7e\x20"),
    superblock("xenix", &[0x7f8], b"\x44\x55\x2b\0"),
    superblock("xenix", &[0x7f8], b"\0\x2b\x55\x44"),
    superblock("ReFS", &[0], b"\0\0\0ReFS\0"),
    superblock("cramfs", &[0], b"\x28\xcd\x3d\x45"),
    superblock("scoutfs_data", &[0x1_0004], b"\x8b\x42\x3c\x10").if_so(scoutfs),
    superblock("minix", &[0x410], b"\x7f\x13").if_so(minix),
    superblock("minix", &[0x410], b"\x13\x7f").if_so(minix),
    superblock("minix", &[0x410], b"\x8f\x13").if_so(minix),
    superblock("minix", &[0x410], b"\x13\x8f").if_so(minix),
    superblock("minix", &[0x410], b"\x68\x24").if_so(minix),
    superblock("minix", &[0x410], b"\x24\x68").if_so(minix),
    superblock("minix", &[0x410], b"\x78\x24").if_so(minix),
    superblock("minix", &[0x410], b"\x24\x78").if_so(minix),
    superblock("minix", &[0x418], b"\x5a\x4d").if_so(minix),
    superblock("minix", &[0x418], b"\x4d\x5a").if_so(minix),
    superblock("ocfs", &[8], b"OracleCFS"),
    superblock("oracleasm", &[32], b"ORCLDISK"),
    superblock("vxfs", &[1024], b"\xf5\xfc\x01\xa5"),
    superblock("vxfs", &[8192], b"\xa5\x01\xfc\xf5"),
    superblock("nss", &[4096], b"SPB5"),
    superblock("bfs", &[0], b"\xce\xfa\xad\x1b"),
    superblock("VMFS", &[0x20_0000], b"\x5e\xf1\xab\x2f"),
    superblock("befs", &[32, 544], b"BFS1"),
    superblock("befs", &[32, 544], b"1SFB"),
    superblock("mpool", &[0], b"mpoolDev"),
    superblock("zonefs", &[0], b"SFOZ"),
    partitions("gpt", &[512, 4096], b"EFI PART"),
    partitions("gpt", &[], b"EFI PART").at(Place::FromEnd(&[512])),
    partitions("gpt", &[], b"EFI PART").at(Place::FromEnd(&[4096])),
    partitions("mac", &[0], b"ER").if_so(mac),
    partitions("sgi", &[0], b"\x0b\xe5\xa9\x41"),
    partitions("sun", &[508], b"\xda\xbe").if_so(sun),
    partitions("bsd", &[64, 512], b"\x57\x45\x56\x82").if_so(bsd),
    partitions("aix", &[0], b"\xc9\xc2\xd4\xc1"),
    partitions("ultrix", &[0x3fb8], b"\x57\x29\x03\0\x01\0\0\0"),
];
