//! Both conversions, with a stop at every write.

use super::*;
use crate::KeyslotId;
use crate::header::Header;
use crate::kdf::CostLimits;
use crate::luks1::{self, DataPlacement};
use crate::luks2::{self, Candidates};
use crate::secret::{Passphrase, Secret, VolumeKey};
use crate::storage::Memory;
use crate::storage::fault::{Fault, Recorder};
use crate::units::Sectors;
use crate::wipe::Medium;

const ITERATIONS: u32 = 1000;
const KEY: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Secret::copy_from(text.as_bytes()).expect("a page"))
}

fn key() -> VolumeKey {
    VolumeKey::new(Secret::copy_from(&KEY).expect("a page"))
}

fn limits() -> CostLimits {
    CostLimits::default()
}

/// A LUKS1 volume with these keyslots, each with its number as the passphrase; the data start at `payload`.
fn luks1(slots: &[u32], payload: u64) -> Memory {
    let params = luks1::CreateParams {
        cipher: &"aes-xts-plain64".parse().expect("a known cipher"),
        hash: crate::hash::Hash::Sha256,
        uuid: None,
        digest_iterations: ITERATIONS,
        data: DataPlacement::At(Sectors::new(payload)),
    };
    let mut header = luks1::Header::create(&params, &key(), &limits()).expect("good parameters");
    let mut disk = Memory::zeroed(payload as usize * 512 + 4096);
    header.write_new(&mut disk, Medium::Other).expect("memory");
    for &slot in slots {
        let text = passphrase(&slot.to_string());
        let sealed = header.seal(&key(), &text, ITERATIONS, &limits()).expect("memory");
        header
            .add_keyslot(&mut disk, Some(KeyslotId::new(slot)), &sealed)
            .expect("a free slot");
    }
    let data = payload as usize * 512;
    disk.0[data..].fill(b'd');
    disk
}

/// Opens with the header that a reader finds, and returns its version.
fn opens(image: &[u8], slot: KeyslotId) -> Option<crate::header::Version> {
    let mut disk = Memory(image.to_vec());
    let header = Header::read(&mut disk).ok()?;
    let unlocked = header.unlock(
        &mut disk,
        &passphrase(&slot.to_string()),
        Candidates::Keyslot(slot),
        &limits(),
    );
    (unlocked.ok()?.volume_key.expose() == KEY).then(|| header.version())
}

fn convert(storage: &mut dyn Storage) -> Result<()> {
    match Header::read(storage)? {
        Header::Luks1(header) => to_luks2(&header, storage, Medium::Other).map(drop),
        Header::Luks2(header) => to_luks1(&header, storage).map(drop),
    }
}

const CASES: [(&[u32], u64); 6] = [
    // Room behind the key material.
    (&[0], 4096),
    (&[0, 1, 5, 7], 4096),
    (&[0, 1, 2, 3, 4, 5, 6, 7], 4096),
    // None: the place of an unused keyslot is taken.
    (&[0], 2056),
    (&[0, 1, 2, 3, 4, 6, 7], 2056),
    // Nothing has to move.
    (&[3, 6], 2056),
];

#[test]
fn every_passphrase_opens_after_a_stop_at_any_write() {
    let mut points = 0;
    for (slots, payload) in CASES {
        let before = luks1(slots, payload);
        let mut forth = Recorder::new(before.0.clone());
        convert(&mut forth).unwrap_or_else(|error| panic!("{slots:?} {payload}: {error}"));
        let mut back = Recorder::new(forth.image().to_vec());
        convert(&mut back).unwrap_or_else(|error| panic!("{slots:?} {payload} back: {error}"));
        for disk in [&forth, &back] {
            points += disk.for_each_crash(|crash| {
                // One slot per image keeps this quick; each has its turn.
                let slot = slots[crash.after % slots.len()];
                assert!(
                    opens(crash.image, KeyslotId::new(slot)).is_some(),
                    "{slots:?} {payload}: {crash:?}",
                    crash = (crash.after, crash.cause)
                );
            });
        }
        for &slot in slots {
            assert_eq!(
                opens(forth.image(), KeyslotId::new(slot)),
                Some(crate::header::Version::Luks2)
            );
            assert_eq!(
                opens(back.image(), KeyslotId::new(slot)),
                Some(crate::header::Version::Luks1)
            );
        }
        assert!(
            back.image()[payload as usize * 512..].iter().all(|&byte| byte == b'd'),
            "the data were touched"
        );
    }
    println!("{points} points tried, 0 losses");
    assert!(points > 400, "{points} points are not the whole sweep");
}

#[test]
fn each_failed_write_and_sync_is_reported() {
    for start in [luks1(&[0, 6], 2056), {
        let mut disk = luks1(&[0, 6], 2056);
        convert(&mut disk).expect("memory");
        disk
    }] {
        let mut dry = Recorder::new(start.0.clone());
        convert(&mut dry).expect("no fault");
        let faults = (0..dry.writes())
            .map(Fault::Write)
            .chain((0..dry.syncs()).map(Fault::Sync));
        for fault in faults {
            let mut failing = Recorder::failing(start.0.clone(), fault);
            let error = convert(&mut failing).expect_err("a fault");
            assert!(error.to_string().contains("os error 5"), "{fault:?}: {error}");
            failing.for_each_crash(|crash| {
                assert!(
                    opens(crash.image, KeyslotId::new(0)).is_some(),
                    "{fault:?} {}",
                    crash.after
                )
            });
        }
    }
}

#[test]
fn what_cannot_be_moved_is_refused_before_any_write() {
    let refused = |disk: Memory| {
        let mut disk = Recorder::new(disk.0);
        let error = convert(&mut disk).expect_err("refused");
        assert_eq!(disk.writes(), 0);
        match error {
            Error::CannotConvert(refused) => refused,
            other => panic!("{other}"),
        }
    };
    assert_eq!(
        refused(luks1(&[0, 1, 2, 3, 4, 5, 6, 7], 2056)),
        ConvertRefused::NoRoomToMove(KeyslotId::new(0))
    );
    // Keyslot 0 and the free one are in different sectors of the header.
    assert_eq!(
        refused(luks1(&[0, 1, 2, 3, 4, 5, 6], 2056)),
        ConvertRefused::NoRoomToMove(KeyslotId::new(0))
    );
    let mut damaged = luks1(&[0], 4096);
    damaged.0[208 + 48] = 7;
    assert_eq!(refused(damaged), ConvertRefused::DamagedKeyslot(KeyslotId::new(1)));
}

/// luksmeta and others keep their data between the key material and the volume's data.
#[test]
fn what_others_keep_before_the_data_is_not_touched() {
    let mut disk = luks1(&[0, 1], 4096);
    let gap = 2056 * 512..4096 * 512;
    disk.0[gap.clone()].fill(b'm');
    convert(&mut disk).expect("the place of an unused keyslot");
    assert!(disk.0[gap.clone()].iter().all(|&byte| byte == b'm'));
    let header = luks2::Header::read(&mut disk).expect("a header");
    assert_eq!(header.size(), Bytes::new(gap.start as u64));
    convert(&mut disk).expect("memory");
    assert!(disk.0[gap].iter().all(|&byte| byte == b'm'));
}

/// A restore of the version from before a conversion, or without a free keyslot, can be spoiled by a stop: it reports so.
#[test]
fn a_restore_that_cannot_be_staged_says_so() {
    use crate::backup::{AtRisk, Backup};

    let old = luks1(&[0, 1], 4096);
    let mut converted = old.clone();
    let header = luks1::Header::read(&mut converted).expect("a header");
    drop(to_luks2(&header, &mut converted, Medium::Other).expect("room"));
    let full = luks1(&[7, 6, 5, 4, 3, 2, 1, 0], 4096);
    let cases = [
        (&old, &converted, AtRisk::Header),
        (&converted, &old, AtRisk::Header),
        // Of another volume key.
        (&old, &full, AtRisk::AllButOne),
        (&old, &old, AtRisk::Nothing),
        (&converted, &converted, AtRisk::Nothing),
    ];
    for (n, (file, device, at_risk)) in cases.into_iter().enumerate() {
        let (mut file, mut device) = (file.clone(), device.clone());
        let backup = Backup::read(&mut file).expect("a backup");
        let there = Header::read(&mut device).expect("a header");
        let found = backup.at_risk(&mut file, &mut device, Some(&there));
        assert_eq!(found.ok(), Some(at_risk), "case {n}");
        let nothing = backup.at_risk(&mut file, &mut device, None);
        assert_eq!(nothing.ok(), Some(AtRisk::Nothing), "case {n}, over nothing");
    }
}
