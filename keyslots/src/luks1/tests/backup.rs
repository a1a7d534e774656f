//! Backup and restore: their contents, their result, and what is refused.

use super::*;
use crate::KeyslotId;
use crate::luks1::{Backup, BackupRefused};
use crate::units::{Bytes, Sectors};
use crate::wipe::Medium;

fn backup(disk: &mut Memory) -> Memory {
    let header = Header::read(disk).expect("a header");
    let mut bytes = Vec::new();
    let size = header.backup(disk, &mut bytes).expect("readable");
    assert_eq!(size, Bytes::new(bytes.len() as u64));
    Memory(bytes)
}

#[test]
fn the_gap_goes_into_a_backup_and_comes_back() {
    let (mut disk, mut header) = volume(&[(0, "a")]);
    assert_eq!(backup(&mut disk).0.len(), 528_384);
    // Between key material and data, as luksmeta does.
    disk.0[1040 * 512..1040 * 512 + 7].copy_from_slice(b"LUKSMET");
    let mut file = backup(&mut disk);
    assert_eq!(file.0, disk.0[..1048 * 512]);
    let with_gap = disk.clone();
    header
        .remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Other)
        .expect("an active slot");
    disk.0[1040 * 512..1040 * 512 + 7].fill(0);
    let read = Backup::read(&mut file).expect("a backup");
    read.restore(&mut file, &mut disk, Some(&header)).expect("it fits");
    assert!(disk.0 == with_gap.0);
}

#[test]
fn what_is_in_the_gap_is_never_touched() {
    let (mut disk, mut header) = volume(&[(0, "a")]);
    let mut file = backup(&mut disk);
    let gap = 1032 * 512..disk.0.len();
    disk.0[gap.clone()].fill(0x6d);
    add(&mut header, &mut disk, "b", Some(KeyslotId::new(7))).expect("a free slot");
    header
        .remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Rotational)
        .expect("an active slot");
    Backup::read(&mut file)
        .expect("a backup")
        .restore(&mut file, &mut disk, Some(&header))
        .expect("it fits");
    let mut header = Header::read(&mut disk).expect("a header");
    header.erase(&mut disk, Medium::Other).expect("memory can be written");
    assert!(disk.0[gap].iter().all(|&byte| byte == 0x6d));
}

#[test]
fn data_right_behind_the_key_material_is_not_in_a_backup_nor_restored() {
    let (mut disk, _) = volume(&[(0, "a")]);
    // The last area ends at sector 1029: rounded up to 4096 bytes, three sectors of data would go with it.
    disk.0[104..108].copy_from_slice(&1029_u32.to_be_bytes());
    disk.0[1029 * 512..].fill(0xda);
    let mut file = backup(&mut disk);
    assert_eq!(file.0.len(), 1029 * 512);
    // cryptsetup does include them, and a backup may be longer for any reason.
    file.0.resize(1040 * 512, 0xbb);
    let header = Header::read(&mut disk).expect("a header");
    Backup::read(&mut file)
        .expect("a backup")
        .restore(&mut file, &mut disk, Some(&header))
        .expect("it fits");
    assert!(disk.0[1029 * 512..].iter().all(|&byte| byte == 0xda));
}

#[test]
fn it_is_restored_onto_a_device_without_a_header() {
    let (mut disk, _) = volume(&[(0, "a")]);
    let mut file = backup(&mut disk);
    let mut empty = Memory(vec![0x11; disk.0.len()]);
    let read = Backup::read(&mut file).expect("a backup");
    let facts = read
        .check(None, Some(Bytes::new(empty.0.len() as u64)))
        .expect("it fits");
    assert_eq!(
        (facts.replaces, facts.revives, facts.drops),
        (false, vec![KeyslotId::new(0)], vec![])
    );
    read.restore(&mut file, &mut empty, None).expect("it fits");
    assert_eq!(opens(&empty.0, "a"), Some(0));
    assert_eq!(empty.0[..528_384], disk.0[..528_384]);
    assert!(empty.0[528_384..].iter().all(|&byte| byte == 0x11));
}

#[test]
fn the_decision_states_the_facts() {
    let (mut disk, mut header) = volume(&[(0, "a"), (1, "b")]);
    let mut file = backup(&mut disk);
    let read = Backup::read(&mut file).expect("a backup");
    let facts = read.check(Some(&header), None).expect("it fits");
    assert!(facts.replaces && facts.same_uuid && facts.same_volume_key);
    assert!(facts.revives.is_empty() && facts.drops.is_empty());
    header
        .remove_keyslot(&mut disk, KeyslotId::new(1), Medium::Other)
        .expect("an active slot");
    add(&mut header, &mut disk, "c", Some(KeyslotId::new(2))).expect("a free slot");
    let facts = read.check(Some(&header), None).expect("it fits");
    assert_eq!(
        (facts.revives, facts.drops),
        (vec![KeyslotId::new(1)], vec![KeyslotId::new(2)])
    );
    let (_, other) = volume(&[]);
    let facts = read.check(Some(&other), None).expect("it fits");
    assert!(!facts.same_uuid && !facts.same_volume_key);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (mut disk, header) = volume(&[(0, "a")]);
    let mut file = backup(&mut disk);
    let read = Backup::read(&mut file).expect("a backup");
    let mut raw = header.raw().clone();
    raw.payload_offset += 8;
    let elsewhere = crate::luks1::validate(&raw, None).expect("a good header");
    assert_eq!(
        read.check(Some(&elsewhere), None),
        Err(BackupRefused::PayloadOffset {
            backup: Sectors::new(2048),
            device: Sectors::new(2056)
        })
    );
    raw.payload_offset -= 8;
    raw.key_bytes = 15;
    let shorter = crate::luks1::validate(&raw, None).expect("a good header");
    assert!(matches!(
        read.check(Some(&shorter), None),
        Err(BackupRefused::KeySize { .. })
    ));
    let size = Bytes::new(1029 * 512 - 1);
    assert!(matches!(
        read.check(Some(&header), Some(size)),
        Err(BackupRefused::DoesNotFit { .. })
    ));
    // A truncated file is not a backup.
    assert!(Backup::read(&mut Memory(file.0[..1028 * 512].to_vec())).is_err());
    Backup::read(&mut Memory(file.0[..1029 * 512].to_vec())).expect("as cryptsetup, up to the last area's end");
}
