//! Other formats on a disk are data to keep: each that Debian's `wipefs` names has its name here too, and no command that
//! only reads writes a header over one.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Output};

use keyslots::KeyslotId;
use keyslots::header::Header;
use keyslots::storage::{Memory, Storage};
use keyslots::units::Bytes;
use luksmith::block_device::signatures;
use luksmith::header_device::{HeaderDevice, HeaderError, Wanted};
use nix::errno::Errno;

use crate::lab::{CHEAP, Lab};

/// A name, whether Debian's `wipefs` sees these few bytes too (for some it wants checksums), and the bytes; an offset below
/// zero counts from the end.
type Sample = (&'static str, bool, Vec<(i64, Vec<u8>)>);

fn sample(name: &'static str, parts: &[(i64, &[u8])]) -> Sample {
    let parts = parts.iter().map(|(offset, bytes)| (*offset, bytes.to_vec()));
    (name, true, parts.collect())
}

fn ours(name: &'static str, parts: &[(i64, &[u8])]) -> Sample {
    let (name, _, parts) = sample(name, parts);
    (name, false, parts)
}

#[rustfmt::skip]
fn samples() -> Vec<Sample> {
    let uberblock = 0x00ba_b10c_u64.to_le_bytes();
    let zfs: Vec<(i64, &[u8])> = (0..64).map(|n| (0x2_0000 + 1024 * n, &uberblock[..])).collect();
    let fat: &[u8] = b"\xeb\x3c\x90MSDOS5.0\0\x02\x01\x01\0\x02\0\x02\0\x20\xf8\x20\0";
    let end_mark: (i64, &[u8]) = (510, b"\x55\xaa");
    let mut via = [0; 51];
    via[..2].copy_from_slice(b"\x55\xaa");
    via[50] = 0xff;
    let mut sgi = [0; 512];
    sgi[..4].copy_from_slice(&0x0be5_a941_u32.to_be_bytes());
    sgi[508..].copy_from_slice(&0x0be5_a941_u32.wrapping_neg().to_be_bytes());
    vec![
        sample("linux_raid_member", &[(0, b"\xfc\x4e\x2b\xa9\x01\0\0\0")]),
        sample("linux_raid_member", &[(-65536, b"\xfc\x4e\x2b\xa9\0\0\0\0\x5a\0\0\0")]),
        sample("ddf_raid_member", &[(-512, b"\xde\x11\xde\x11")]),
        sample("ddf_raid_member", &[(-257 * 512, b"\xde\x11\xde\x11")]),
        sample("isw_raid_member", &[(-1024, b"Intel Raid ISM Cfg Sig. 1.0.00")]),
        sample("lsi_mega_raid_member", &[(-512, b"$XIDE$")]),
        sample("via_raid_member", &[(-512, &via)]),
        sample("silicon_medley_raid_member", &[(-416, b"\0\0\0\x2f")]),
        sample("nvidia_raid_member", &[(-1024, b"NVIDIA  \x1e\0\0\0\0\0\0\0\x64\0")]),
        sample("promise_fasttrack_raid_member", &[(-63 * 512, b"Promise Technology, Inc.")]),
        sample("promise_fasttrack_raid_member", &[(-3087 * 512, b"Promise Technology, Inc.")]),
        sample("hpt45x_raid_member", &[(-11 * 512, b"\xf3\x16\x78\x5a")]),
        sample("hpt37x_raid_member", &[(0x1220, b"\xf0\x16\x78\x5a")]),
        sample("adaptec_raid_member", &[(-512, b"\x37\xfc\x4d\x1e"), (-256, b"DPTM")]),
        sample("jmicron_raid_member", &[(-512, b"JM\0\0\xb6\xb2")]),
        ours("bcache", &[(4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81")]),
        ours("bcachefs", &[(4120, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef")]),
        sample("ceph_bluestore", &[(0, b"bluestore block device")]),
        sample("drbd", &[(-4036, b"\x83\x74\x02\x6b")]),
        ours("drbdmanage_control_volume", &[(0, b"$DRBDmgr=q")]),
        sample("drbdproxy_datalog", &[(0, b"DRBDdlh*")]),
        sample("LVM2_member", &[(512, b"LABELONE\x01\0\0\0\0\0\0\0\x01\x02\x03\x04\x20\0\0\0LVM2 001")]),
        sample("LVM1_member", &[(0, b"HM\x01\0")]),
        sample("LVM1_member", &[(0, b"HM\x02\0")]),
        sample("DM_snapshot_cow", &[(0, b"SnAp\x01\0\0\0\x01\0\0\0\x08\0\0\0")]),
        sample("DM_verity_hash", &[(0, b"verity\0\0\x01\0\0\0")]),
        sample("DM_integrity", &[(0, b"integrt\0\x01")]),
        sample("VMFS_volume_member", &[(0x10_0000, b"\x0d\xd0\x01\xc0")]),
        sample("ubi", &[(0, b"UBI#")]),
        sample("vdo", &[(0, b"dmvdo001")]),
        ours("stratis", &[(516, b"!Stra0tis\x86\xff\x02^\x41rh")]),
        ours("BitLocker", &[(0, b"\xeb\x58\x90-FVE-FS-")]),
        ours("cs_fvault2", &[(8, b"\x01\0\x10\0"), (88, b"CS")]),
        sample("vfat", &[(0, fat), (54, b"FAT16   ")]),
        sample("vfat", &[(0, fat), (54, b"MSDOS")]),
        sample("vfat", &[(0, fat), end_mark]),
        sample("swsuspend", &[(4086, b"S1SUSPEND"), (1024, b"\x01\0\0\0\xff")]),
        sample("swsuspend", &[(8182, b"LINHIB0001"), (1024, b"\x01\0\0\0\xff")]),
        sample("swap", &[(4086, b"SWAP-SPACE")]),
        ours("xfs", &[(0, b"XFSB")]),
        ours("xfs_external_log", &[(0, b"\xfe\xed\xba\xbe\0\0\0\x01\0\0\0\x02")]),
        ours("exfs", &[(0, b"EXFS")]),
        sample("ext2", &[(1080, b"\x53\xef")]),
        sample("ext3", &[(1080, b"\x53\xef"), (1116, b"\x04")]),
        sample("ext4", &[(1080, b"\x53\xef"), (1116, b"\x04\0\0\0\x40")]),
        sample("ext4dev", &[(1080, b"\x53\xef"), (1116, b"\x04\0\0\0\x40"), (1376, b"\x04")]),
        sample("jbd", &[(1080, b"\x53\xef"), (1120, b"\x08")]),
        ours("reiserfs", &[(0x1_0034, b"ReIsEr2Fs")]),
        sample("reiser4", &[(0x1_0000, b"ReIsEr4")]),
        ours("jfs", &[(0x8000, b"JFS1")]),
        ours("udf", &[(0x8001, b"BEA01"), (0x8801, b"NSR03")]),
        sample("iso9660", &[(0x8009, b"CDROM")]),
        ours("iso9660", &[(0x8001, b"CD001")]),
        ours("zfs_member", &zfs),
        ours("hfsplus", &[(1024, b"H+\0\x04")]),
        sample("hfs", &[(1024, b"BD"), (1044, b"\0\0\x10\0")]),
        sample("ufs", &[(0x255c, b"\x54\x19\x01\0")]),
        sample("ufs", &[(0x1_055c, b"\x19\x54\x01\x19")]),
        sample("ufs", &[(0x4_055c, b"\x19\x01\x54\x19")]),
        sample("hpfs", &[(0x2000, b"\x49\xe8\x95\xf9\xc5\xe9\x53\xfa\x02"), (0x2200, b"\x49\x18\x91\xf9")]),
        sample("sysv", &[(0x3f8, b"\x20\x7e\x18\xfd")]),
        sample("sysv", &[(0x4bf8, b"\xfd\x18\x7e\x20")]),
        ours("xenix", &[(0x7f8, b"\x44\x55\x2b\0")]),
        ours("ntfs", &[(0, b"\xeb\x52\x90NTFS    ")]),
        sample("ReFS", &[(0, b"\0\0\0ReFS\0")]),
        sample("cramfs", &[(0, b"\x45\x3d\xcd\x28")]),
        sample("cramfs", &[(0, b"\x28\xcd\x3d\x45")]),
        sample("romfs", &[(0, b"-rom1fs-")]),
        ours("scoutfs_meta", &[(0x1_0004, b"\x8b\x42\x3c\x10"), (0x1_0030, b"\x01")]),
        ours("scoutfs_data", &[(0x1_0004, b"\x8b\x42\x3c\x10")]),
        sample("minix", &[(1024, b"\x60\x01\0\x04\x01\0\x01\0\x0f\0\0\0\0\x1c\x08\x10\x7f\x13\x01\0")]),
        sample("minix", &[(1024, b"\x60\x01\0\0\x01\0\x01\0\x0f\0\0\0\xff\xff\xff\x7f\x78\x24\x01\0\0\x04\0\0")]),
        ours("gfs", &[(0x1_0000, b"\x01\x16\x19\x70\0\0\0\x01"), (0x1_0018, b"\0\0\x05\x1d")]),
        ours("gfs2", &[(0x1_0000, b"\x01\x16\x19\x70\0\0\0\x01"), (0x1_0018, b"\0\0\x07\x09")]),
        ours("ocfs", &[(8, b"OracleCFS")]),
        ours("ocfs2", &[(2048, b"OCFSV2")]),
        sample("oracleasm", &[(32, b"ORCLDISK")]),
        sample("vxfs", &[(1024, b"\xf5\xfc\x01\xa5")]),
        sample("vxfs", &[(8192, b"\xa5\x01\xfc\xf5")]),
        ours("squashfs", &[(0, b"hsqs"), (28, b"\x04\0")]),
        sample("squashfs3", &[(0, b"hsqs"), (28, b"\x03\0")]),
        sample("nss", &[(4096, b"SPB5")]),
        sample("btrfs", &[(0x1_0040, b"_BHRfS_M")]),
        sample("ubifs", &[(0, b"\x31\x18\x10\x06")]),
        sample("bfs", &[(0, b"\xce\xfa\xad\x1b")]),
        sample("VMFS", &[(0x20_0000, b"\x5e\xf1\xab\x2f")]),
        ours("befs", &[(544, b"1SFB")]),
        sample("nilfs2", &[(1024, b"\x02\0\0\0\0\0\x34\x34\x18\x01")]),
        sample("nilfs2", &[(-4096, b"\x02\0\0\0\0\0\x34\x34\x18\x01")]),
        sample("exfat", &[(0, b"\xeb\x76\x90EXFAT   ")]),
        sample("f2fs", &[(1024, b"\x10\x20\xf5\xf2")]),
        sample("mpool", &[(0, b"mpoolDev")]),
        sample("apfs", &[(24, b"\x01\0\0\x80\0\0\0\0NXSB\0\x10\0\0")]),
        sample("zonefs", &[(0, b"SFOZ")]),
        sample("erofs", &[(1024, b"\xe2\xe1\xf5\xe0")]),
        ours("gpt", &[(512, b"EFI PART")]),
        sample("dos", &[(446, b"\x80\0\0\0\x83\0\0\0\0\x08\0\0\0\x08\0\0"), end_mark]),
        sample("PMBR", &[(446, b"\0\0\0\0\xee\0\0\0\x01\0\0\0\0\x08\0\0"), end_mark]),
        sample("aix", &[(0, b"\xc9\xc2\xd4\xc1")]),
        sample("sgi", &[(0, &sgi)]),
        sample("sun", &[(508, b"\xda\xbe\xda\xbe")]),
        ours("bsd", &[(512, b"\x57\x45\x56\x82"), (644, b"\x57\x45\x56\x82")]),
        sample("mac", &[(0, b"ER\x02\0"), (512, b"PM")]),
        sample("ultrix", &[(0x3fb8, b"\x57\x29\x03\0\x01\0\0\0")]),
        sample("atari", &[(0x1c2, b"\0\0\x20\0\x01GEM\0\0\0\x02\0\0\x03\xe8")]),
    ]
}

fn put(file: &File, parts: &[(i64, Vec<u8>)]) {
    let size = file.metadata().expect("a file").len();
    for (offset, bytes) in parts {
        file.write_all_at(
            bytes,
            size.wrapping_add_signed(if *offset < 0 { *offset } else { *offset - size as i64 }),
        )
        .expect("a file is written");
    }
}

fn debians(program: &str, words: &[&str], file: Option<&Path>) -> String {
    let output = Command::new(program).args(words).args(file).output();
    let output = output.unwrap_or_else(|error| panic!("{program}, which this test compares with: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn each_format_that_wipefs_names_has_its_name() {
    let lab = tempfile::tempdir().expect("a folder");
    let path = lab.path().join("image");
    let mut named = BTreeSet::new();
    for (name, by_wipefs, parts) in samples() {
        let file = File::create(&path).expect("a file");
        file.set_len(4 << 20).expect("room");
        put(&file, &parts);
        let found = signatures::probe(&path).expect("a file can be read");
        assert!(found.iter().any(|found| found.name == name), "{name}: {found:?}");
        if by_wipefs {
            let theirs = debians("wipefs", &["-n", "-i", "-p"], Some(&path));
            assert!(
                theirs.contains(&format!(",{name}")),
                "wipefs does not see {name}: {theirs}"
            );
        }
        named.insert(name);
    }
    named.extend(["crypto_LUKS"]);
    for name in debians("blkid", &["-k"], None).split_whitespace() {
        assert!(named.contains(name), "{name} has no sample");
    }
}

#[test]
fn what_wipefs_does_not_see_is_not_found() {
    let lab = tempfile::tempdir().expect("a folder");
    let path = lab.path().join("image");
    for seed in 0..20_u64 {
        // A generator of pseudo-random numbers by Marsaglia.
        let mut state = seed + 0x9e37_79b9_7f4a_7c15;
        let noise: Vec<u8> = (0..1 << 17)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        fs::write(&path, noise).expect("a file");
        assert_eq!(signatures::probe(&path).expect("a file can be read"), [], "{seed}");
    }
}

#[test]
fn no_format_over_the_first_copy_is_overwritten_by_a_reader() {
    let lab = Lab::new("luks2");
    let path = lab.path("v");
    let intact = lab.image();
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("a file");
    let mut head = vec![0; 0x1_0000];
    for (name, _, parts) in samples() {
        let over_second = |(offset, _): &(i64, Vec<u8>)| (0x4000..0x8000).contains(offset);
        if parts.iter().any(over_second) {
            continue;
        }
        file.write_all_at(&[0; 4096], 0).expect("a file is written");
        put(&file, &parts);
        let mut before = head.clone();
        file.read_exact_at(&mut before, 0).expect("a file is read");
        let read = HeaderDevice::new(&path, true).read(Wanted::Any);
        assert!(matches!(read, Err(HeaderError::Ambiguous { .. })), "{name}: {read:?}");
        file.read_exact_at(&mut head, 0).expect("a file is read");
        assert!(head == before, "{name} was overwritten");
        for (offset, bytes) in &parts {
            let at = intact.len().wrapping_add_signed(*offset as isize) % intact.len();
            file.write_all_at(&intact[at..at + bytes.len()], at as u64)
                .expect("a file is written");
        }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_label_of_lvm2_over_the_first_copy_is_no_luks() {
    let lab = Lab::new("luks2");
    lab.poke(0, &[0; 4096]);
    lab.poke(512, b"LABELONE\x01\0\0\0\0\0\0\0\x01\x02\x03\x04\x20\0\0\0LVM2 001");
    let before = lab.image();
    for words in [&["isLuks", "v"][..], &["isLuks", "--disable-locks", "v"]] {
        let output = lab.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
    }
    // A repair reports what is lost.
    let output = lab.must(&["repair", "-q", "v"]);
    assert!(
        stderr(&output).contains("'LVM2_member' superblock signature"),
        "{output:?}"
    );
    assert!(lab.image() != before && lab.opens("a"));
}

#[test]
fn a_repair_is_told_and_a_question_comes_before_it() {
    let lab = Lab::new("luks2");
    lab.poke(0, &[0; 4096]);
    // An old partition table's copy at the end does not concern the first sectors.
    let end = lab.image().len();
    lab.poke(end - 512, b"EFI PART");
    let damaged = lab.image();
    for words in [
        "luksFormat v a",
        "erase v",
        "luksUUID v --uuid 01234567-89ab-cdef-0123-456789abcdef",
    ] {
        let words = format!("script -qec '{} {words}' /dev/null", crate::lab::OURS);
        let mut command = lab.command("sh", &["-c", &format!("echo no | {words}")]);
        let output = command.output().expect("script, of Debian's bsdutils, starts");
        assert!(lab.image() == damaged, "{words}: {output:?}");
    }
    lab.must(&["open", "--test-passphrase", "--readonly", "-d", "a", "v"]);
    assert!(lab.image() == damaged);
    let output = lab.must(&["isLuks", "v"]);
    let told = "The primary copy of the header was damaged or out of date, and has been written anew.";
    assert!(stderr(&output).contains(told), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert_eq!(stderr(&lab.must(&["isLuks", "v"])), "");
}

#[test]
fn what_is_not_writable_is_called_that() {
    use std::os::unix::fs::PermissionsExt as _;
    let nobody = |lab: &Lab, words: &[&str]| {
        let mut command = lab.command("setpriv", &["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg("./luksmith").args(words).output().expect("setpriv starts")
    };
    for kind in ["luks1", "luks2"] {
        let lab = Lab::new(kind);
        fs::copy(crate::lab::OURS, lab.path("luksmith")).expect("a copy");
        lab.must(&["luksHeaderBackup", "v", "--header-backup-file", "backup"]);
        fs::copy(lab.path("v"), lab.path("w")).expect("a copy");
        fs::set_permissions(lab.path("w"), fs::Permissions::from_mode(0o444)).expect("a mode");
        for (path, mode) in [
            (lab.path("v"), 0o444),
            (lab.path("backup"), 0o444),
            (lab.0.path().to_owned(), 0o755),
        ] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        let before = lab.image();
        let words: [&[&str]; 8] = [
            &["luksAddKey", "-q", "-d", "a", "v", "b"],
            &["luksKillSlot", "-q", "-d", "a", "v", "0"],
            &["erase", "-q", "v"],
            &["luksUUID", "-q", "v", "--uuid", "01234567-89ab-cdef-0123-456789abcdef"],
            &["luksHeaderRestore", "-q", "v", "--header-backup-file", "backup"],
            &["luksFormat", "-q", "v", "a"],
            &["write", "v", "-d", "a"],
            &["image", "-q", "--decrypt", "w", "v", "-d", "a"],
        ];
        for words in words {
            let cheap = matches!(words[0], "luksAddKey" | "luksFormat")
                .then_some(CHEAP)
                .unwrap_or_default();
            let words = [words, &cheap[..]].concat();
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            let output = nobody(&lab, &words);
            let error = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
            assert!(
                error.contains("Cannot write to device v, permission denied."),
                "{words:?}: {error}"
            );
            assert!(!error.contains("in force"), "{words:?}: {error}");
        }
        assert!(lab.image() == before);
    }
}

/// A folder that is a file system of its own, until the test ends.
struct Mounted<'a>(&'a Lab);

impl<'a> Mounted<'a> {
    fn new(lab: &'a Lab) -> Self {
        File::create(lab.path("disk"))
            .and_then(|disk| disk.set_len(64 << 20))
            .expect("room");
        fs::create_dir(lab.path("m")).expect("a folder");
        run(lab, "mkfs.ext4", &["-q", "-F", "disk"]);
        run(lab, "mount", &["-o", "loop", "disk", "m"]);
        Self(lab)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // A file that cannot be removed does no harm: it is deleted with its disk.
        let _ = self.0.command("umount", &["m"]).status();
    }
}

fn run(lab: &Lab, program: &str, words: &[&str]) {
    let status = lab.command(program, words).status().expect("a program");
    assert!(status.success(), "{program} {words:?}");
}

/// A file system or a file that is immutable, also for root. The messages of Debian's cryptsetup differ from command to
/// command; the exit code of those that change something is 1.
#[test]
fn what_takes_no_changes_is_called_that() {
    let told = "Cannot write to device m/v, permission denied.";
    for kind in ["luks1", "luks2"] {
        let lab = Lab::new(kind);
        let _mounted = Mounted::new(&lab);
        fs::write(lab.path("token"), r#"{"type":"x","keyslots":[]}"#).expect("a token");
        lab.must(&["luksHeaderBackup", "v", "--header-backup-file", "backup"]);
        fs::copy(lab.path("v"), lab.path("m/v")).expect("a copy");
        let before = lab.image();
        let cheap = |words: &[&'static str]| [words, CHEAP.as_slice()].concat();
        let mut both = vec![
            cheap(&["luksFormat", "-q", "--type", kind, "m/v", "a"]),
            cheap(&["luksAddKey", "-q", "-d", "a", "m/v", "b"]),
            cheap(&["luksChangeKey", "-q", "-d", "a", "m/v", "b"]),
            vec!["luksErase", "-q", "m/v"],
            vec!["luksHeaderRestore", "-q", "m/v", "--header-backup-file", "backup"],
        ];
        if kind == "luks2" {
            both.push(vec!["token", "import", "m/v", "--json-file", "token"]);
            both.push(vec!["config", "m/v", "--label", "x"]);
        }
        let ours = [
            vec!["write", "m/v", "-d", "a"],
            vec!["image", "-q", "--decrypt", "v", "m/v", "-d", "a"],
        ];
        let change = |state: &str, change: &[&str]| {
            run(&lab, change[0], &change[1..]);
            for words in both.iter().chain(&ours) {
                let output = lab.run(words);
                assert_eq!(output.status.code(), Some(1), "{state}, {words:?}: {output:?}");
                assert!(stderr(&output).contains(told), "{state}, {words:?}: {output:?}");
            }
            for words in [
                &["repair", "-q", "m/v"][..],
                &["open", "--test-passphrase", "-d", "a", "m/v"],
            ] {
                let output = lab.must(words);
                assert_eq!(stderr(&output), "", "{state}, {words:?}");
            }
        };
        change("immutable", &["chattr", "+i", "m/v"]);
        run(&lab, "chattr", &["-i", "m/v"]);
        change("read-only file system", &["mount", "-o", "remount,ro", "m"]);
        for words in &both {
            let output = lab.debians(words);
            assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        }
        let repaired = lab.debians(&["repair", "-q", "m/v"]);
        assert!(repaired.status.success(), "{repaired:?}");
        assert!(fs::read(lab.path("m/v")).expect("a file") == before, "{kind}");
    }
}

/// A block device without write permission opens for writing too, and fails at the first write.
#[test]
fn a_read_only_device_is_neither_written_nor_served_for_writing() {
    let lab = Lab::new("luks2");
    fs::copy(lab.path("v"), lab.path("copy")).expect("a file");
    let attached = lab.command("losetup", &["-f", "-r", "--show", "v"]).output();
    let attached = attached.expect("losetup starts");
    let device = String::from_utf8_lossy(&attached.stdout).trim().to_owned();
    assert!(attached.status.success(), "{attached:?}");
    let before = lab.image();
    let outputs = [
        lab.run(&["write", &device, "-d", "a"]),
        lab.run(&["image", "-q", "--decrypt", "copy", &device, "-d", "a"]),
        lab.run(&["luksErase", "-q", &device]),
    ];
    let opened = lab.run(&[
        "open",
        "--backend",
        "userspace",
        &device,
        "foreign-read-only",
        "-d",
        "a",
    ]);
    let shown = lab.run(&["status", "foreign-read-only"]);
    let closed = lab.run(&["close", "foreign-read-only"]);
    run(&lab, "losetup", &["-d", &device]);
    for output in outputs {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = format!("Cannot write to device {device}, permission denied.");
        assert!(stderr(&output).contains(&told), "{output:?}");
    }
    assert!(
        opened.status.success() && closed.status.success(),
        "{opened:?} {closed:?}"
    );
    assert!(String::from_utf8_lossy(&shown.stdout).contains("readonly"), "{shown:?}");
    assert!(lab.image() == before);
}

#[test]
fn a_damaged_header_is_told_with_its_device_and_a_way_out() {
    // The stripes of keyslot 4.
    let lab = Lab::new("luks1");
    lab.poke(208 + 48 * 4 + 44, &[0xf4, 0x8f, 0x0f, 0xa6]);
    let error = stderr(&lab.run(&["luksDump", "v"]));
    assert!(error.contains("keyslot 4"), "{error}");
    assert!(error.contains("Device v is not a valid LUKS device."), "{error}");
    assert!(error.contains("luksmith repair v"), "{error}");
}

#[test]
fn debug_names_what_a_format_overwrites_without_asking() {
    let lab = Lab::new("luks1");
    lab.poke(512, b"LABELONE\x01\0\0\0\0\0\0\0\x01\x02\x03\x04\x20\0\0\0LVM2 001");
    let format = |words: &[&str]| {
        let output = lab.must(&[&["luksFormat", "-q", "--debug", "v", "a"], words, &CHEAP].concat());
        String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output)
    };
    assert!(!format(&["--disable-blkid"]).contains("signature"));
    lab.poke(512, b"LABELONE\x01\0\0\0\0\0\0\0\x01\x02\x03\x04\x20\0\0\0LVM2 001");
    assert!(format(&[]).contains("Device v already contains a 'LVM2_member' superblock signature."));
}

#[test]
fn a_new_line_too_many_or_too_few_is_told_by_each_command() {
    let lab = Lab::new("luks2");
    let key = fs::read(lab.path("a")).expect("a key");
    fs::write(lab.path("ended"), [&key[..], b"\n"].concat()).expect("a key");
    let commands: [&[&str]; 6] = [
        &["open", "--test-passphrase", "v", "-d"],
        &["luksAddKey", "-q", "v", "b", "-d"],
        &["luksChangeKey", "-q", "v", "b", "-d"],
        &["luksRemoveKey", "-q", "v", "-d"],
        &["luksKillSlot", "-q", "v", "0", "-d"],
        &["luksDump", "-q", "--dump-volume-key", "v", "-d"],
    ];
    for words in commands {
        let output = lab.run(&[words, &["ended"]].concat());
        assert!(!output.status.success(), "{words:?}");
        assert!(
            stderr(&output).contains("without it, it would open key slot 0."),
            "{words:?}: {output:?}"
        );
    }
    lab.must(&[&["luksChangeKey", "-q", "v", "ended", "-d", "a"][..], &CHEAP].concat());
    for words in commands {
        let output = lab.run(&[words, &["a"]].concat());
        assert!(!output.status.success(), "{words:?}");
        assert!(
            stderr(&output).contains("with one, it would open key slot 0."),
            "{words:?}: {output:?}"
        );
    }
    let script = format!("cat a | exec {} open --test-passphrase v", crate::lab::OURS);
    let output = lab.command("sh", &["-c", &script]).output().expect("a shell");
    assert!(
        stderr(&output).contains("with one, it would open key slot 0."),
        "{output:?}"
    );
}

#[test]
fn repair_looks_at_the_keyslots_areas() {
    for (kind, area) in [("luks1", 0x1000), ("luks2", 0x8000)] {
        let lab = Lab::new(kind);
        let quiet = lab.must(&["repair", "-q", "v"]);
        assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet:?}");
        // Behind the 256000 bytes of key material an area may hold anything.
        lab.poke(area + 256_000, &[0; 512]);
        assert!(lab.must(&["repair", "-q", "v"]).stdout.is_empty());
        let intact = lab.image();
        lab.poke(area + 0x100, &[0; 64]);
        let hint = "You can use hexdump -v -C -n 128 -s <offset_0xXXXX> \"v\" to inspect the data.\n";
        let told = |offsets: &str| format!("Keyslot 0 binary data could be corrupted.\n{offsets}{hint}");
        let offset = |behind: usize| format!("  Suspected offset: {:#x}\n", area + behind);
        let output = lab.must(&["repair", "-q", "v"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), told(&offset(0x100)));
        lab.poke(area + 0x100, &[0; 4096]);
        let output = lab.must(&["repair", "-q", "v"]);
        let many = [0x100, 0x180, 0x200].map(offset).concat() + "  Subsequent suspected offsets are suppressed.\n";
        assert_eq!(String::from_utf8_lossy(&output.stdout), told(&many));
        lab.poke(area, &intact[area..area + 256_000]);
        assert!(lab.must(&["repair", "-q", "v"]).stdout.is_empty());
    }
}

/// A disk with sectors that cannot be read.
struct Failing {
    image: Memory,
    bad: Range<u64>,
}

impl Storage for Failing {
    fn size(&mut self) -> io::Result<Bytes> {
        self.image.size()
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        let (start, end) = (offset.get(), offset.get() + buf.len() as u64);
        match start < self.bad.end && self.bad.start < end {
            true => Err(Errno::EIO.into()),
            false => self.image.read_at(offset, buf),
        }
    }

    fn write_at(&mut self, offset: Bytes, bytes: &[u8]) -> io::Result<()> {
        self.image.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.image.sync()
    }
}

#[test]
fn an_unreadable_sector_does_not_hide_the_other_copy() {
    let lab = Lab::new("luks2");
    let device = HeaderDevice::new(lab.path("v"), true);
    let mut disk = Failing {
        image: Memory(lab.image()),
        bad: 0..4096,
    };
    let header = Header::read(&mut disk).expect("the other copy is whole");
    let header = header.luks2().expect("it is LUKS2");
    let over = |disk: &mut Failing| {
        device
            .foreign_over(header, disk)
            .expect("what can be read is looked at")
    };
    assert_eq!(over(&mut disk), None);
    // The rest is still checked, at the end too.
    let end = disk.image.0.len();
    disk.image.0[0x1_0040..0x1_0048].copy_from_slice(b"_BHRfS_M");
    assert_eq!(over(&mut disk).map(|found| found.name), Some("btrfs"));
    disk.image.0[0x1_0040..0x1_0048].fill(0);
    disk.image.0[0..4096].fill(0);
    disk.bad = end as u64 - 512..end as u64;
    let header = Header::read(&mut disk).expect("the other copy is whole");
    assert_eq!(
        device
            .foreign_over(header.luks2().expect("it is LUKS2"), &mut disk)
            .expect("looked at"),
        None
    );
}

#[test]
fn an_unreadable_keyslot_hides_no_other_and_ends_no_repair() {
    let lab = Lab::new("luks2");
    lab.must(&[&["luksAddKey", "-q", "v", "b", "-d", "a"], CHEAP.as_slice()].concat());
    let mut disk = Failing {
        image: Memory(lab.image()),
        bad: 0x8000..0x8200,
    };
    let header = Header::read(&mut disk).expect("a header");
    let second = header.luks2().expect("it is LUKS2").metadata().keyslots[&KeyslotId::new(1)]
        .area
        .offset
        .get() as usize;
    disk.image.0[second..second + 512].fill(0);
    let found = header.suspect_keyslots(&mut disk).expect("it goes on");
    let found: Vec<_> = found
        .iter()
        .map(|suspect| (suspect.slot.get(), suspect.unreadable))
        .collect();
    assert_eq!(found, [(0, true), (1, false)]);
}

/// Chance matches of two bytes of noise: no passphrase is right because of them, and no volume counts as other data.
#[test]
fn two_bytes_are_no_format() {
    for (offset, magic) in [
        (1080, &b"\x53\xef"[..]),
        (0x410, b"\x7f\x13"),
        (0x410, b"\x24\x78"),
        (0x418, b"\x5a\x4d"),
        (1024, b"BD"),
        ((1 << 20) - 512, b"JM"),
    ] {
        for fill in [0xa7, 0x5a, 0xff, 0x31] {
            let mut disk = Memory(vec![fill; 1 << 20]);
            disk.0[offset..offset + 2].copy_from_slice(magic);
            assert_eq!(
                signatures::probe_storage(&mut disk).expect("memory"),
                [],
                "{magic:?} in {fill:#x}"
            );
        }
    }
    let mut atari = Memory(vec![0x31; 1 << 20]);
    atari.0[0x1c2..0x1c6].copy_from_slice(&[0, 0, 8, 0]);
    for entry in atari.0[0x1c6..0x1f6].chunks_exact_mut(12) {
        entry[4..].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    }
    assert_eq!(signatures::probe_storage(&mut atari).expect("memory"), []);
}
