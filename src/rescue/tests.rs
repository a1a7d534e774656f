//! Volumes in memory, damaged in every way, and what is made of them.

use std::io;

use keyslots::hash::Hash;
use keyslots::header::Header;
use keyslots::kdf::{CostLimits, Kdf};
use keyslots::luks2::{self, Candidates, CreateParams, DataPlacement, NewKeyslot};
use keyslots::secret::{Passphrase, Secret, VolumeKey};
use keyslots::storage::{Memory, Storage};
use keyslots::units::Bytes;
use keyslots::wipe::Medium;

use super::scan::Disk;
use super::{Looks, RemedyKind, RepairKind, Report, Request, Verdict, examine};

const DATA: usize = 1 << 20;
const SIZE: usize = 2 << 20;

fn passphrase() -> Passphrase {
    Passphrase::new(Secret::copy_from(b"passphrase").expect("memory"))
}

/// A volume of 2 MiB with one keyslot, and noise for data.
fn volume() -> Memory {
    let params = CreateParams {
        encryption: "aes-xts-plain64".into(),
        sector_size: 512,
        uuid: Some("11111111-2222-3333-4444-555555555555".into()),
        label: String::new(),
        subsystem: String::new(),
        metadata_size: None,
        keyslots_size: Some(Bytes::kib(512)),
        data: DataPlacement::At(Bytes::new(DATA as u64)),
        digest_hash: Hash::Sha256,
        digest_iterations: 1000,
    };
    let (key, limits) = (VolumeKey::random(64).expect("random bytes"), CostLimits::default());
    let mut device = Memory::zeroed(SIZE);
    let mut header = luks2::Header::create(&params, &key, &limits).expect("a header");
    header.write_new(&mut device, Medium::Other).expect("written");
    let kdf = Kdf::Pbkdf2 {
        hash: Hash::Sha256,
        iterations: 1000,
    };
    let new = NewKeyslot {
        kdf,
        af_hash: Hash::Sha256,
        encryption: "aes-xts-plain64".parse().expect("a cipher"),
        area_key_size: 64,
        priority: None,
    };
    let sealed = new.seal(&key, &passphrase(), &limits).expect("sealed");
    let mut change = header.begin().expect("changeable");
    change.add_keyslot(None, &sealed, &key, &limits).expect("room");
    change.commit(&mut device, Medium::Other).expect("written");
    let mut seed = 1_u64;
    for byte in &mut device.0[DATA..] {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (seed >> 56) as u8;
    }
    device
}

fn look(disk: &mut dyn Disk) -> Report {
    examine(disk, &Request::default(), &mut |_| ()).expect("memory")
}

fn opens(device: &mut Memory) -> bool {
    let header = Header::read(device);
    header.is_ok_and(|header| {
        let unlocked = header.unlock(device, &passphrase(), Candidates::All, &CostLimits::default());
        unlocked.is_ok()
    })
}

/// The writes of the first remedy, which is a repair.
fn writes(report: &Report) -> Vec<(u64, Vec<u8>)> {
    let remedy = report.remedies.first().expect("a way out");
    let found = report
        .found
        .iter()
        .find(|found| found.start == remedy.start)
        .expect("its header");
    let start = |(at, bytes): &(u64, Vec<u8>)| (found.start + at, bytes.clone());
    found
        .repair
        .as_ref()
        .expect("a repair")
        .writes
        .iter()
        .map(start)
        .collect()
}

type Damage = (&'static str, Memory, fn(&RepairKind) -> bool);

/// Each kind of damage that a repair undoes.
fn damages() -> Vec<Damage> {
    let sound = volume();
    let damaged = |damage: &dyn Fn(&mut [u8])| {
        let mut device = sound.clone();
        damage(&mut device.0);
        device
    };
    let is_copy: fn(&RepairKind) -> bool = |kind| matches!(kind, RepairKind::Copy(_));
    let is_mended: fn(&RepairKind) -> bool = |kind| matches!(kind, RepairKind::Mended(..));
    let is_rebuilt: fn(&RepairKind) -> bool = |kind| matches!(kind, RepairKind::Rebuilt(..));
    vec![
        ("first copy", damaged(&|bytes| bytes[..0x4000].fill(0)), is_copy),
        (
            "second copy",
            damaged(&|bytes| bytes[0x4000..0x8000].fill(0x5a)),
            is_copy,
        ),
        (
            "magic numbers",
            damaged(&|bytes| {
                bytes[..6].fill(0);
                bytes[0x4000..0x4006].fill(0);
            }),
            is_mended,
        ),
        (
            "a bit, and the other copy",
            damaged(&|bytes| {
                bytes[0x1100] ^= 4;
                bytes[0x4000..0x8000].fill(0);
            }),
            is_mended,
        ),
        (
            "both binary headers",
            damaged(&|bytes| {
                bytes[..0x1000].fill(0);
                bytes[0x4000..0x4400].fill(0);
                bytes[0x1000..0x4000].fill(0);
            }),
            is_rebuilt,
        ),
    ]
}

#[test]
fn a_sound_volume_is_sound() {
    let report = look(&mut volume());
    assert_eq!(report.verdict(), Verdict::Sound);
    assert!(report.remedies.is_empty() && report.found.len() == 1);
}

#[test]
fn what_is_offered_works_and_may_be_stopped_anywhere() {
    for (name, mut device, is_expected) in damages() {
        let before = device.clone();
        let report = look(&mut device);
        assert!(device.0 == before.0, "{name}: only read");
        assert_eq!(report.verdict(), Verdict::Repairable, "{name}");
        let RemedyKind::Repair(kind) = &report.remedies[0].kind else {
            panic!("{name}: {:?}", report.remedies)
        };
        assert!(is_expected(kind), "{name}: {kind:?}");
        let writes = writes(&report);
        // Killed after each write, and in the middle of it.
        for stop in 0..writes.len() {
            for part in [0, writes[stop].1.len() / 1024 * 512] {
                let mut device = before.clone();
                for (at, bytes) in &writes[..stop] {
                    device.write_at(Bytes::new(*at), bytes).expect("memory");
                }
                let (at, bytes) = &writes[stop];
                device.write_at(Bytes::new(*at), &bytes[..part]).expect("memory");
                let report = look(&mut device);
                for (at, bytes) in self::writes_or_none(&report) {
                    device.write_at(Bytes::new(at), &bytes).expect("memory");
                }
                assert!(opens(&mut device), "{name}, stopped in write {stop} after {part} bytes");
            }
        }
        for (at, bytes) in &writes {
            device.write_at(Bytes::new(*at), bytes).expect("memory");
        }
        assert!(opens(&mut device), "{name}");
        assert_eq!(look(&mut device).verdict(), Verdict::Sound, "{name}");
    }
}

fn writes_or_none(report: &Report) -> Vec<(u64, Vec<u8>)> {
    if report.remedies.is_empty() {
        Vec::new()
    } else {
        writes(report)
    }
}

#[test]
fn a_header_is_found_at_any_sector_with_its_copies() {
    let volume = volume();
    for start in [512, 0x7e00, 0x10_0200] {
        let mut disk = Memory::zeroed(start + SIZE + 512);
        disk.0[start..start + SIZE].copy_from_slice(&volume.0);
        // Only its second copy.
        disk.0[start..start + 512].fill(0);
        let report = look(&mut disk);
        assert_eq!(report.verdict(), Verdict::Elsewhere(start as u64));
        assert_eq!(report.found.len(), 1, "{start}");
        for (at, bytes) in writes(&report) {
            disk.write_at(Bytes::new(at), &bytes).expect("memory");
        }
        let mut device = Memory(disk.0[start..start + SIZE].to_vec());
        assert!(opens(&mut device), "{start}");
    }
}

#[test]
fn what_no_passphrase_opens_is_not_offered() {
    // The first copy is lost too, and could be written anew: for nothing.
    for first in [false, true] {
        let mut device = volume();
        device.0[0x8000 + 1024..0x8000 + 1536].fill(0);
        if first {
            device.0[..512].fill(0);
        }
        let report = look(&mut device);
        assert_eq!(report.verdict(), Verdict::NoKeyslot);
        assert!(report.remedies.is_empty());
        let keyslot = &report.found[0].keyslots[0];
        assert!(keyslot.bad_blocks == 4 && keyslot.damage[0].looks == Looks::Zeros);
    }
}

#[test]
fn a_stale_header_is_told_from_the_one_at_the_start() {
    let volume = volume();
    let mut disk = Memory::zeroed(2 * SIZE);
    disk.0[..SIZE].copy_from_slice(&volume.0);
    disk.0[SIZE..].copy_from_slice(&volume.0);
    let report = look(&mut disk);
    assert_eq!(report.verdict(), Verdict::Sound);
    assert_eq!(
        report.found.iter().map(|found| found.start).collect::<Vec<_>>(),
        [0, SIZE as u64]
    );
}

#[test]
fn a_repair_never_overwrites_another_header() {
    let volume = volume();
    let mut disk = Memory::zeroed(SIZE + 0x4000);
    // A second copy, whose first copy would be over the key material of a sound header.
    disk.0[..SIZE].copy_from_slice(&volume.0);
    let at = 0x1_8000;
    disk.0.copy_within(0x4000..0x8000, at + 0x4000);
    let report = look(&mut disk);
    assert!(
        report
            .remedies
            .iter()
            .all(|remedy| !matches!(remedy.kind, RemedyKind::Repair(_)) || remedy.start != at as u64)
    );
    let mut overlapping = Memory::zeroed(SIZE);
    overlapping.0.copy_from_slice(&volume.0);
    overlapping.0.copy_within(0x4000..0x4200, 0x6000);
    assert_eq!(
        look(&mut overlapping)
            .remedies
            .iter()
            .filter(|remedy| remedy.start != 0)
            .count(),
        0
    );
}

/// Zeros without an end, of which nothing can be read.
struct Dead;

impl Storage for Dead {
    fn size(&mut self) -> io::Result<Bytes> {
        Ok(Bytes::new(1 << 30))
    }

    fn read_at(&mut self, _: Bytes, _: &mut [u8]) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(5))
    }

    fn write_at(&mut self, _: Bytes, _: &[u8]) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn sync(&mut self) -> io::Result<()> {
        unreachable!("nothing is written")
    }
}

impl Disk for Dead {}

#[test]
fn a_dead_disk_has_an_answer() {
    let report = look(&mut Dead);
    assert_eq!(report.verdict(), Verdict::Nothing);
    assert!(report.unreadable.len() == 1 && report.unreadable[0] == (0..1 << 30));
}
