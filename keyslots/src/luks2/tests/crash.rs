//! The kill sweep: after a stop at any write or sync, the old or the new passphrase opens, and the other copy recovers;
//! a failed write or sync is a failed action.

use super::super::backup::Backup;
use super::*;
use crate::KeyslotId;
use crate::storage::fault::{Fault, Recorder};

/// An operation on a volume; fails only if the storage does.
type Action = fn(&mut Header, &mut dyn Storage) -> Result<()>;

struct Sweep {
    name: &'static str,
    action: Action,
    /// One of these opens at each point.
    keys: &'static [&'static str],
    /// These open at the end, and no others.
    after: &'static [&'static str],
}

const ALL: [&str; 4] = ["old", "other", "new", "third"];

const SWEEPS: &[Sweep] = &[
    Sweep {
        name: "add",
        action: |header, disk| put(header, disk, "new").map(drop),
        keys: &["old"],
        after: &["old", "other", "new"],
    },
    Sweep {
        name: "change",
        action: |header, disk| change(header, disk, Medium::Other),
        keys: &["old", "new"],
        after: &["other", "new"],
    },
    Sweep {
        name: "change on a rotating disk",
        action: |header, disk| change(header, disk, Medium::Rotational),
        keys: &["old", "new"],
        after: &["other", "new"],
    },
    Sweep {
        name: "remove",
        action: |header, disk| header.remove_keyslot(disk, KeyslotId::new(0), Medium::Other),
        keys: &["other"],
        after: &["other"],
    },
    Sweep {
        name: "label and subsystem",
        action: |header, disk| header.set_labels(disk, Some("label"), Some("subsystem")),
        keys: &["old"],
        after: &["old", "other"],
    },
    Sweep {
        name: "UUID",
        action: |header, disk| header.set_uuid(disk, "11111111-2222-3333-4444-555555555556"),
        keys: &["old"],
        after: &["old", "other"],
    },
    Sweep {
        name: "flags",
        action: |header, disk| header.set_flags(disk, vec!["allow-discards".into()]),
        keys: &["old"],
        after: &["old", "other"],
    },
    Sweep {
        name: "priority",
        action: |header, disk| header.set_priority(disk, KeyslotId::new(1), Priority::Prefer),
        keys: &["old"],
        after: &["old", "other"],
    },
    Sweep {
        name: "put, assign and remove a token",
        action: |header, disk| {
            let token = header.put_token(disk, Token::keyring("desc", vec![KeyslotId::new(0)]), None, false)?;
            header.assign_token(disk, token, KeyslotId::new(1), true)?;
            header.remove_token(disk, token)
        },
        keys: &["old"],
        after: &["old", "other"],
    },
    Sweep {
        name: "an unbound keyslot",
        action: |header, disk| {
            let key = VolumeKey::random(16).expect("random bytes");
            add_unbound(header, disk, &key, &small_keyslot(), Some(KeyslotId::new(9)))?;
            header.remove_keyslot(disk, KeyslotId::new(9), Medium::Other)
        },
        keys: &["old"],
        after: &["old", "other"],
    },
];

pub(super) const KEY: &[u8; 16] = b"0123456789abcdef";

pub(super) fn small_key() -> VolumeKey {
    VolumeKey::new(Secret::copy_from(KEY).expect("a page"))
}

pub(super) fn small_keyslot() -> NewKeyslot {
    NewKeyslot {
        encryption: "aes-cbc-essiv:sha256".parse().expect("a specification"),
        area_key_size: 16,
        ..new_keyslot()
    }
}

/// A small keyslot that `text` opens.
pub(super) fn sealed(text: &str) -> WrappedKeyslot {
    let sealed = small_keyslot().seal(&small_key(), &passphrase(text), &limits());
    sealed.expect("memory")
}

pub(super) fn put(header: &mut Header, disk: &mut dyn Storage, text: &str) -> Result<KeyslotId> {
    add_sealed(header, disk, &small_key(), &sealed(text))
}

pub(super) fn change(header: &mut Header, disk: &mut dyn Storage, medium: Medium) -> Result<()> {
    change_sealed(header, disk, &small_key(), &sealed("new"), medium)
}

/// A volume that "old" and "other" open, with room for `room` keyslots.
pub(super) fn small(room: u64) -> (Vec<u8>, Header) {
    let params = CreateParams {
        encryption: "aes-cbc-essiv:sha256".into(),
        keyslots_size: Some(Bytes::kib(64 * room)),
        data: DataPlacement::Detached,
        ..params()
    };
    let mut header = Header::create(&params, &small_key(), &limits()).expect("a header");
    let mut disk = Memory::zeroed(header.size().to_usize().expect("small"));
    header.write_new(&mut disk, Medium::Other).expect("memory");
    put(&mut header, &mut disk, "old").expect("room");
    put(&mut header, &mut disk, "other").expect("room");
    (disk.0, header)
}

/// Other keyslots in the places of "old" and "other".
fn change_all_keys(header: &mut Header, disk: &mut dyn Storage) {
    for slot in [0, 1] {
        header
            .remove_keyslot(disk, KeyslotId::new(slot), Medium::Other)
            .expect("memory");
        put(header, disk, "third").expect("room");
    }
}

fn opens_image(image: &[u8], text: &str) -> bool {
    let mut disk = Memory(image.to_vec());
    opens(&mut disk, text).is_ok_and(|unlocked| unlocked.volume_key.expose() == KEY)
}

/// One of `keys` opens, and both copies are good after the recovery.
fn check(image: &[u8], keys: &[&str], what: &dyn std::fmt::Debug) {
    assert!(
        keys.iter().any(|text| opens_image(image, text)),
        "{what:?}: nothing opens"
    );
    let mut disk = Memory(image.to_vec());
    let mut header = Header::read(&mut disk).expect("a header");
    header.recover(&mut disk).expect("memory");
    for copy in [0, 16384] {
        let mut half = disk.clone();
        half.0[copy..copy + 4096].fill(0);
        let other = Header::read(&mut half).expect("the other copy");
        assert_eq!(other.metadata(), header.metadata(), "{what:?}");
    }
}

#[test]
fn no_stop_loses_the_last_key() {
    let mut points = 0;
    for sweep in SWEEPS {
        let (image, mut header) = small(4);
        let mut disk = Recorder::new(image);
        (sweep.action)(&mut header, &mut disk).unwrap_or_else(|error| panic!("{}: {error}", sweep.name));
        for text in ALL {
            let expected = sweep.after.contains(&text);
            assert_eq!(opens_image(disk.image(), text), expected, "{}: {text}", sweep.name);
        }
        points += disk.for_each_crash(|crash| check(crash.image, sweep.keys, &(sweep.name, crash.after, crash.cause)));
    }
    println!("{points} points tried, 0 losses");
    assert!(points > 500, "{points} points are not the whole sweep");
}

#[test]
fn each_failed_write_and_sync_is_reported_and_loses_nothing() {
    let (mut points, mut in_force) = (0, 0);
    for sweep in SWEEPS {
        let (image, header) = small(4);
        let mut dry = Recorder::new(image.clone());
        let mut changed = header.clone();
        (sweep.action)(&mut changed, &mut dry).expect("no fault");
        let in_one_write = changed.copy.binary.seqid == header.copy.binary.seqid + 1;
        let writes = (0..dry.writes()).map(Fault::Write);
        for fault in writes.chain((0..dry.syncs()).map(Fault::Sync)) {
            let mut failing = Recorder::failing(image.clone(), fault);
            let error = (sweep.action)(&mut header.clone(), &mut failing).expect_err("a fault");
            assert!(
                error.to_string().contains("os error 5"),
                "{}: {fault:?}: {error}",
                sweep.name
            );
            points += 1;
            check(failing.image(), sweep.keys, &(sweep.name, fault));
            let there = Header::read(&mut Memory(failing.image().to_vec())).expect("a header");
            if in_one_write && there.copy.binary.seqid > header.copy.binary.seqid {
                in_force += 1;
                assert!(
                    matches!(error, Error::HalfWritten(_)),
                    "{}: {fault:?}: {error}",
                    sweep.name
                );
            }
        }
    }
    // The sync of the first copy, three writes and a sync of the second.
    assert!(in_force >= 5 * (SWEEPS.len() - 2), "{in_force}");
    println!("{points} faults tried, 0 losses");
}

#[test]
fn no_stop_of_a_recovery_loses_the_good_copy() {
    for (name, damaged) in [("primary", 0), ("secondary", 16384)] {
        let (mut image, _) = small(2);
        image[damaged + 5000] ^= 1;
        let mut disk = Recorder::new(image);
        let mut header = Header::read(&mut disk).expect("the other copy");
        header.set_labels(&mut disk, Some("x"), None).expect("memory");
        let points = disk.for_each_crash(|crash| check(crash.image, &["old"], &(name, crash.after, crash.cause)));
        println!("{points} points tried, 0 losses");
    }
}

/// If the backup's own places are all in use on the device, one of its keyslots takes a free one for a while.
#[test]
fn no_stop_of_a_restore_loses_the_last_key() {
    let mut points = 0;
    for (name, room, lasting, edit) in RESTORES {
        let (from, header) = small(room);
        let mut to = Memory(from.clone());
        edit(&mut header.clone(), &mut to).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Both ways: to a device that has moved on, and from a backup that is newer than the device.
        for (from, to) in [(&from, &to.0), (&to.0, &from)] {
            let mut file = Memory(from.clone());
            let mut disk = Recorder::new(to.clone());
            let backup = Backup::read(&mut file).expect("a backup");
            let there = Header::read(&mut disk).expect("a header");
            backup.check(Some(&there), None).expect("it fits");
            let survives = backup.survives_a_stop(&mut file, &mut disk, &there);
            assert!(survives.expect("memory"), "{name}");
            backup.restore(&mut file, &mut disk, Some(&there)).expect("no fault");
            backup.verify(&mut file, &mut disk).expect("as the backup has it");
            assert!(disk.image() == from, "{name}: not restored byte for byte");
            points += disk.for_each_crash(|crash| {
                check(crash.image, &ALL, &(name, crash.after, crash.cause));
                // What it left is restored as safely.
                let mut disk = Memory(crash.image.to_vec());
                let there = Header::read(&mut disk).expect("a header");
                let survives = backup.survives_a_stop(&mut file.clone(), &mut disk, &there);
                assert!(survives.expect("memory"), "{name}: {:?}", crash.after);
                // A passphrase of both opens it after a stop.
                for text in lasting {
                    assert!(opens_image(crash.image, text), "{name}: {text}: {:?}", crash.after);
                }
            });

            for fault in (0..disk.writes())
                .map(Fault::Write)
                .chain((0..disk.syncs()).map(Fault::Sync))
            {
                let mut failing = Recorder::failing(to.clone(), fault);
                let error = backup
                    .restore(&mut file, &mut failing, Some(&there))
                    .expect_err("a fault");
                assert!(error.to_string().contains("os error 5"), "{name}: {fault:?}: {error}");
                check(failing.image(), &ALL, &(name, fault));
                for text in lasting {
                    assert!(opens_image(failing.image(), text), "{name}: {text}: {fault:?}");
                }
            }
        }
    }
    println!("{points} points tried, 0 losses");
}

/// A case: its name, the room for keyslots, the passphrases of both headers, and the change from one to the other.
type Ages = (&'static str, u64, &'static [&'static str], Action);

const RESTORES: [Ages; 4] = [
    ("one is the same", 4, &["other"], |header, disk| {
        header.remove_keyslot(disk, KeyslotId::new(0), Medium::Other)?;
        put(header, disk, "new").map(drop)
    }),
    ("one more", 4, &["old", "other"], |header, disk| {
        put(header, disk, "new").map(drop)
    }),
    ("none is the same", 6, &[], |header, disk| {
        header.remove_keyslot(disk, KeyslotId::new(0), Medium::Other)?;
        put(header, disk, "third")?;
        header.remove_keyslot(disk, KeyslotId::new(1), Medium::Other)?;
        put(header, disk, "new").map(drop)
    }),
    (
        "the same keyslots, other labels",
        2,
        &["old", "other"],
        |header, disk| header.set_labels(disk, Some("another"), None),
    ),
];

/// If not every keyslot can be staged, the restore does not claim to survive a stop.
#[test]
fn a_restore_without_room_does_not_claim_to_survive_a_stop() {
    for (room, survives) in [(2, false), (3, false), (4, true)] {
        let (from, header) = small(room);
        let mut to = Memory(from.clone());
        change_all_keys(&mut header.clone(), &mut to);
        let mut from = Memory(from);
        let backup = Backup::read(&mut from).expect("a backup");
        let there = Header::read(&mut to).expect("a header");
        let found = backup.survives_a_stop(&mut from, &mut to, &there);
        assert_eq!(found.ok(), Some(survives), "{room}");
    }
}

#[test]
fn a_restored_header_that_does_not_read_back_is_an_error() {
    let (image, _) = small(2);
    let mut file = Memory(image.clone());
    let backup = Backup::read(&mut file).expect("a backup");
    for at in [5000, 16384 + 5000, 32768, image.len() - 1] {
        let mut disk = Memory(image.clone());
        disk.0[at] ^= 1;
        assert!(
            matches!(backup.verify(&mut file, &mut disk), Err(Error::NotRestored)),
            "{at}"
        );
    }
}

/// A keyslot whose area on the device reaches into its area of the backup is no safe place for it.
#[test]
fn a_restore_over_a_keyslot_that_moved_a_little_survives_a_stop() {
    let (from, header) = small(4);
    let mut to = Memory(from.clone());
    let mut copy = header.copy.clone();
    let area = &mut copy
        .metadata
        .keyslots
        .get_mut(&KeyslotId::new(1))
        .expect("\"other\"")
        .area;
    let start = area.offset.to_usize().expect("small");
    let end = start + area.size.to_usize().expect("small");
    area.offset = Bytes::new(start as u64 + 4096);
    copy.binary.seqid += 1;
    to.0.copy_within(start..end, start + 4096);
    copies::write(&mut to, &copy).expect("memory");

    let mut file = Memory(from.clone());
    let backup = Backup::read(&mut file).expect("a backup");
    let mut disk = Recorder::new(to.0);
    let there = Header::read(&mut disk).expect("a header");
    let survives = backup.survives_a_stop(&mut file, &mut disk, &there);
    assert_eq!(survives.ok(), Some(true));
    backup.restore(&mut file, &mut disk, Some(&there)).expect("no fault");
    assert!(disk.image() == from, "not restored byte for byte");
    disk.for_each_crash(|crash| {
        for text in ["old", "other"] {
            let opens = opens_image(crash.image, text);
            assert!(opens, "{text}: after {} events, {:?}", crash.after, crash.cause);
        }
    });
}
