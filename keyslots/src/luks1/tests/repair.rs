//! Known damage, and damage that is left alone.

use super::*;
use crate::KeyslotId;
use crate::error::Error;
use crate::luks1::{Defect, Fix, Repair, STATE_INACTIVE};
use crate::storage::fault::Recorder;
use crate::units::Sectors;

fn diagnose(damage: impl FnOnce(&mut [u8])) -> (Memory, Result<Repair>) {
    let (mut disk, _) = volume(&[(0, "a")]);
    damage(&mut disk.0);
    let repair = Repair::diagnose(&mut disk);
    (disk, repair)
}

fn sectors(n: u64) -> Sectors {
    Sectors::new(n)
}

/// cryptsetup repairs the same in the same way.
#[test]
fn known_damage_is_mended_and_the_volume_opens() {
    type Case = (fn(&mut [u8]), Vec<Fix>);
    let cases: Vec<Case> = vec![
        (
            |disk| disk[72..75].copy_from_slice(b"SHA"),
            vec![Fix::HashCase("SHA256".into())],
        ),
        (
            |disk| disk[299] = 9,
            vec![Fix::MaterialOffset {
                slot: KeyslotId::new(1),
                found: sectors(9),
                fixed: sectors(136),
            }],
        ),
        (
            |disk| disk[303] = 0xff,
            vec![Fix::Stripes {
                slot: KeyslotId::new(1),
                found: 0x0fff,
            }],
        ),
        (
            |disk| disk[256..304].fill(0),
            vec![
                Fix::Stripes {
                    slot: KeyslotId::new(1),
                    found: 0,
                },
                Fix::MaterialOffset {
                    slot: KeyslotId::new(1),
                    found: sectors(0),
                    fixed: sectors(136),
                },
                Fix::State {
                    slot: KeyslotId::new(1),
                    found: 0,
                },
            ],
        ),
        (
            |disk| disk[256..260].fill(0xff),
            vec![Fix::State {
                slot: KeyslotId::new(1),
                found: u32::MAX,
            }],
        ),
        // An empty partition table.
        (
            |disk| {
                disk[440..510].fill(0);
                disk[510..512].copy_from_slice(&[0x55, 0xaa]);
            },
            vec![
                Fix::PartitionSignature,
                Fix::State {
                    slot: KeyslotId::new(6),
                    found: 0,
                },
                Fix::Stripes {
                    slot: KeyslotId::new(4),
                    found: 0,
                },
                Fix::MaterialOffset {
                    slot: KeyslotId::new(4),
                    found: sectors(0),
                    fixed: sectors(520),
                },
                Fix::Stripes {
                    slot: KeyslotId::new(5),
                    found: 0,
                },
                Fix::MaterialOffset {
                    slot: KeyslotId::new(5),
                    found: sectors(0),
                    fixed: sectors(648),
                },
                Fix::State {
                    slot: KeyslotId::new(5),
                    found: 0,
                },
            ],
        ),
    ];
    for (damage, fixes) in cases {
        let (mut disk, repair) = diagnose(damage);
        let repair = repair.expect("known damage");
        assert_eq!(repair.fixes(), fixes);
        let header = repair.write(&mut disk).expect("memory can be written");
        assert_eq!(Header::read(&mut disk).expect("mended"), header);
        assert_eq!(opens(&disk.0, "a"), Some(0));
        assert!(Repair::diagnose(&mut disk).expect("mended").fixes().is_empty());
    }
}

#[test]
fn ecb_takes_no_iv() {
    let mut raw = raw();
    raw.cipher_mode = [0; 32];
    raw.cipher_mode[..9].copy_from_slice(b"ecb-plain");
    let mut disk = Memory::zeroed(1 << 20);
    disk.0[..592].copy_from_slice(&raw.to_bytes());
    let repair = Repair::diagnose(&mut disk).expect("known damage");
    assert_eq!(repair.fixes(), [Fix::CipherMode("ecb-plain".into())]);
    assert_eq!(repair.header().cipher_mode(), "ecb");
}

#[test]
fn an_active_keyslot_is_never_touched() {
    let (_, repair) = diagnose(|disk| disk[255] = 0);
    assert!(matches!(repair, Err(Error::Luks1(Defect::Stripes { slot, .. })) if slot.get() == 0));
    let (mut disk, _) = volume(&[(6, "a")]);
    disk.0[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert!(Repair::diagnose(&mut disk).expect("a good header").fixes().is_empty());
    // A keyslot whose state alone was hit may be a key.
    let (mut disk, _) = volume(&[(1, "a")]);
    disk.0[256] = 1;
    assert!(Repair::diagnose(&mut disk).expect("a good header").fixes().is_empty());
}

#[test]
fn nothing_is_written_without_damage_or_over_a_change() {
    let (disk, repair) = diagnose(|_| {});
    let mut disk = Recorder::new(disk.0);
    repair.expect("a good header").write(&mut disk).expect("nothing to do");
    assert!(disk.events().is_empty());
    let (mut disk, repair) = diagnose(|disk| disk[303] = 0);
    disk.0[170] ^= 1;
    assert!(matches!(
        repair.expect("known damage").write(&mut disk),
        Err(Error::ChangedMeanwhile)
    ));
}

#[test]
fn a_repaired_keyslot_takes_a_key() {
    let (mut disk, repair) = diagnose(|disk| disk[256..304].fill(0));
    let mut header = repair
        .expect("known damage")
        .write(&mut disk)
        .expect("memory can be written");
    assert_eq!(header.raw().keyslots[1].state, STATE_INACTIVE);
    add(&mut header, &mut disk, "b", Some(KeyslotId::new(1))).expect("a free slot");
    assert_eq!(opens(&disk.0, "b"), Some(1));
}
