//! The kill sweep: after a stop at any write or sync, the old or the new passphrase opens; a failed sync is a failure.

use super::*;
use crate::KeyslotId;
use crate::luks1::{AtRisk, Backup};
use crate::storage::fault::{Event, Fault, Recorder};
use crate::wipe::Medium;

/// An operation on a volume; fails only if the storage does.
type Action = fn(&mut Header, &mut dyn Storage) -> Result<()>;

struct Sweep {
    name: &'static str,
    before: &'static [(u32, &'static str)],
    action: Action,
    /// One of these opens at each point.
    keys: &'static [&'static str],
    /// Exactly these of `before` and `keys` open at the end.
    after: &'static [&'static str],
}

const SWEEPS: &[Sweep] = &[
    Sweep {
        name: "add",
        before: &[(0, "old")],
        action: |header, disk| add(header, disk, "new", None).map(drop),
        keys: &["old"],
        after: &["old", "new"],
    },
    Sweep {
        name: "add to slot 6, which lies across two sectors",
        before: &[(7, "old")],
        action: |header, disk| add(header, disk, "new", Some(KeyslotId::new(6))).map(drop),
        keys: &["old"],
        after: &["old", "new"],
    },
    Sweep {
        name: "remove",
        before: &[(0, "gone"), (6, "stays")],
        action: |header, disk| header.remove_keyslot(disk, KeyslotId::new(0), Medium::Other),
        keys: &["stays"],
        after: &["stays"],
    },
    Sweep {
        name: "remove slot 6 from a rotating disk",
        before: &[(5, "stays"), (6, "gone")],
        action: |header, disk| header.remove_keyslot(disk, KeyslotId::new(6), Medium::Rotational),
        keys: &["stays"],
        after: &["stays"],
    },
    Sweep {
        name: "change to a free slot",
        before: &[(0, "old")],
        action: |header, disk| change(header, disk, 0, false),
        keys: &["old", "new"],
        after: &["new"],
    },
    Sweep {
        name: "change in slot 6",
        before: &[(6, "old")],
        action: |header, disk| change(header, disk, 6, true),
        keys: &["old", "new"],
        after: &["new"],
    },
    Sweep {
        name: "change in slot 0 with one free slot, 6",
        before: &[(0, "old"), (1, "b"), (2, "c"), (3, "d"), (4, "e"), (5, "f"), (7, "g")],
        action: |header, disk| change(header, disk, 0, true),
        keys: &["old", "new"],
        after: &["new", "b", "c", "d", "e", "f", "g"],
    },
    Sweep {
        name: "change in slot 0 with all slots in use",
        before: &FULL,
        action: |header, disk| change(header, disk, 0, false),
        keys: &["a", "new"],
        after: &["new", "b", "c", "d", "e", "f", "g", "h"],
    },
    Sweep {
        name: "change in slot 6 with all slots in use",
        before: &FULL,
        action: |header, disk| change(header, disk, 6, true),
        keys: &["g", "new"],
        after: &["new", "a", "b", "c", "d", "e", "f", "h"],
    },
    Sweep {
        name: "another UUID",
        before: &[(0, "old")],
        action: |header, disk| header.set_uuid(disk, "11111111-2222-3333-4444-555555555556"),
        keys: &["old"],
        after: &["old"],
    },
];

fn change(header: &mut Header, disk: &mut dyn Storage, slot: u32, stays: bool) -> Result<()> {
    super::change(header, disk, (slot, "new"), stays, Medium::Other).map(drop)
}

#[test]
fn no_stop_loses_the_last_key() {
    let mut points = 0;
    for sweep in SWEEPS {
        let (disk, mut header) = volume(sweep.before);
        let mut disk = Recorder::new(disk.0);
        (sweep.action)(&mut header, &mut disk).unwrap_or_else(|error| panic!("{}: {error}", sweep.name));
        assert_eq!(header, Header::read(&mut disk).expect("a header"), "{}", sweep.name);
        let texts = sweep.before.iter().map(|(_, text)| text).chain(sweep.keys);
        for text in texts {
            assert_eq!(
                opens(disk.image(), text).is_some(),
                sweep.after.contains(text),
                "{}: {text}",
                sweep.name
            );
        }
        points += disk.for_each_crash(|crash| {
            let opens = sweep.keys.iter().any(|text| opens(crash.image, text).is_some());
            assert!(opens, "{}: after {} events, {:?}", sweep.name, crash.after, crash.cause);
        });
    }
    println!("{points} points tried, 0 losses");
    assert!(points > 200, "{points} points are not the whole sweep");
}

/// A header must not refer to key material that does not exist yet, nor forget any that still does.
#[test]
fn key_material_is_on_the_disk_before_the_header_speaks_of_it() {
    let (disk, mut header) = volume(&[(0, "old")]);
    let mut disk = Recorder::new(disk.0);
    add(&mut header, &mut disk, "new", None).expect("a free slot");
    header
        .remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Other)
        .expect("an active slot");
    let places: Vec<Option<u64>> = disk
        .events()
        .iter()
        .map(|event| match event {
            Event::Write { offset, .. } => Some(offset.get() / 512),
            Event::Sync => None,
        })
        .collect();
    // The data that were read are synced before each.
    let (add, remove) = (
        [None, Some(136), None, Some(0), None],
        [None, Some(8), None, Some(0), None],
    );
    assert_eq!(places, [add, remove].concat());
}

#[test]
fn each_failed_write_and_sync_is_reported_and_loses_nothing() {
    for sweep in SWEEPS {
        let (disk, header) = volume(sweep.before);
        let mut dry = Recorder::new(disk.0.clone());
        (sweep.action)(&mut header.clone(), &mut dry).expect("no fault");
        let faults = (0..dry.writes())
            .map(Fault::Write)
            .chain((0..dry.syncs()).map(Fault::Sync));
        for fault in faults {
            let mut failing = Recorder::failing(disk.0.clone(), fault);
            let error = (sweep.action)(&mut header.clone(), &mut failing).expect_err("a fault");
            assert!(
                error.to_string().contains("os error 5"),
                "{}: {fault:?}: {error}",
                sweep.name
            );
            // The power may fail right after the failure, and unsynced data with it.
            failing.for_each_crash(|crash| {
                let opens = sweep.keys.iter().any(|text| opens(crash.image, text).is_some());
                assert!(
                    opens,
                    "{}: {fault:?}: after {} events, {:?}",
                    sweep.name, crash.after, crash.cause
                );
            });
        }
    }
}

#[test]
fn erasing_is_complete_or_reported() {
    let (disk, header) = volume(&[(0, "a"), (6, "b")]);
    let mut dry = Recorder::new(disk.0.clone());
    header.clone().erase(&mut dry, Medium::Other).expect("no fault");
    for fault in (0..dry.writes())
        .map(Fault::Write)
        .chain((0..dry.syncs()).map(Fault::Sync))
    {
        let mut failing = Recorder::failing(disk.0.clone(), fault);
        header.clone().erase(&mut failing, Medium::Other).expect_err("a fault");
    }
    // A torn header in which a wiped keyslot still counts as active is valid: the rest can be erased again.
    dry.for_each_crash(|crash| {
        Header::read(&mut Memory(crash.image.to_vec())).expect("a header");
    });
}

/// Old and new passphrases in all the ways in which two headers of one volume can differ.
#[test]
fn no_stop_of_a_restore_loses_the_last_key() {
    let (base, header) = volume(&[(0, "a")]);
    let with = |slots: &[(u32, &str)], removed: &[u32]| {
        let (mut disk, mut header) = (base.clone(), header.clone());
        for &(slot, text) in slots {
            add(&mut header, &mut disk, text, Some(KeyslotId::new(slot))).expect("a free slot");
        }
        for &slot in removed {
            header
                .remove_keyslot(&mut disk, KeyslotId::new(slot), Medium::Other)
                .expect("an active slot");
        }
        disk
    };
    let cases = [
        ("one is the same", with(&[(1, "b")], &[]), with(&[(2, "c")], &[])),
        ("both in one slot", with(&[(1, "t")], &[0]), base.clone()),
        (
            "none is the same",
            with(&[(1, "b"), (6, "c")], &[0]),
            with(&[(2, "d"), (7, "e")], &[0]),
        ),
        ("both in slot 6", with(&[(6, "b")], &[0]), with(&[(6, "c")], &[0])),
        (
            "seven against slot 0",
            with(&[(1, "b"), (2, "c"), (3, "d"), (4, "e"), (5, "f"), (7, "g")], &[0]),
            base.clone(),
        ),
    ];
    let mut points = 0;
    for (name, from, to) in cases {
        let mut file = from.clone();
        let backup = Backup::read(&mut file).expect("a backup");
        let all = ["a", "b", "c", "d", "e", "f", "g", "t"];
        let keys: Vec<&str> = all
            .into_iter()
            .filter(|key| [&from, &to].iter().any(|disk| opens(&disk.0, key).is_some()))
            .collect();
        let mut disk = Recorder::new(to.0);
        let device = Header::read(&mut disk).expect("a header");
        backup.check(Some(&device), None).expect("it fits");
        let at_risk = backup.at_risk(&mut file, &mut disk, &device);
        assert_eq!(at_risk.ok(), Some(AtRisk::Nothing), "{name}");
        backup.restore(&mut file, &mut disk, Some(&device)).expect("no fault");
        assert!(disk.image() == from.0, "{name}: not restored byte for byte");
        points += disk.for_each_crash(|crash| {
            let opens = keys.iter().any(|text| opens(crash.image, text).is_some());
            assert!(opens, "{name}: after {} events, {:?}", crash.after, crash.cause);
        });
    }
    println!("{points} points tried, 0 losses");
}
