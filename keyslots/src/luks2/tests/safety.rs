//! What a change must not do: overwrite another process's changes, destroy before it is certain to finish, take a
//! keyslot's key for another's, or write an unreadable header.

use super::super::keyslot::{Area, KeyslotKind, SlotKdf};
use super::super::reencrypt::{Direction, Guard, Mode, ReencryptKeyslot, Resilience};
use super::super::segment::{Segment, SegmentKind};
use super::*;
use crate::KeyslotId;
use crate::luks2::copies;

/// Two processes have read the same header, and the first one has given the volume a second keyslot since.
fn two_readers() -> (Memory, Header, VolumeKey) {
    let (mut storage, mut first, key) = volume();
    let second = Header::read(&mut storage).expect("a header");
    add(&mut first, &mut storage, &key, "second").expect("room");
    (storage, second, key)
}

fn is_race<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::ChangedMeanwhile)), "{result:?}");
}

#[test]
fn a_keyslot_of_another_process_is_never_overwritten() {
    let (mut storage, mut stale, key) = two_readers();
    let before = storage.0.clone();
    is_race(add(&mut stale, &mut storage, &key, "third"));
    let sealed = new_keyslot()
        .seal(&key, &passphrase("third"), &limits())
        .expect("memory");
    is_race(change_sealed(&mut stale, &mut storage, &key, &sealed, Medium::Other));
    assert!(storage.0 == before, "a byte was written on the way to the error");
    assert_eq!(opens(&mut storage, "second").expect("opens").keyslot, KeyslotId::new(1));
}

#[test]
fn nothing_is_destroyed_by_who_read_an_older_header() {
    let (mut storage, mut first, key) = volume();
    let mut stale = Header::read(&mut storage).expect("a header");
    add(&mut first, &mut storage, &key, "second").expect("room");
    first
        .remove_keyslot(&mut storage, KeyslotId::new(0), Medium::Other)
        .expect("another one is left");
    // The area of the removed one now holds the only known key.
    add(&mut first, &mut storage, &key, "third").expect("room");
    first
        .remove_keyslot(&mut storage, KeyslotId::new(1), Medium::Other)
        .expect("another one is left");
    is_race(stale.remove_keyslot(&mut storage, KeyslotId::new(0), Medium::Other));
    assert_eq!(opens(&mut storage, "third").expect("opens").keyslot, KeyslotId::new(0));
}

#[test]
fn a_volume_that_was_formatted_anew_is_not_the_one_that_was_read() {
    let (mut storage, mut stale, _) = volume();
    let (fresh, mut header, _) = volume();
    storage.0.copy_from_slice(&fresh.0);
    assert_eq!(stale.binary().seqid, header.binary().seqid, "as many writes");
    is_race(stale.set_labels(&mut storage, Some("x"), None));
    header.set_labels(&mut storage, Some("x"), None).expect("its own");
}

/// A volume with the marks of a reencryption that has begun, as far as its metadata are concerned.
fn in_reencryption() -> (Memory, Header) {
    let (mut storage, mut header, _) = volume();
    let metadata = &mut header.copy.metadata;
    metadata.config.requirements.push("online-reencrypt-v2".into());
    let area = Area {
        kind: "none".into(),
        offset: Bytes::kib(512),
        size: Bytes::kib(4),
        extra: Default::default(),
    };
    let keyslot = Keyslot {
        kind: KeyslotKind::Reencrypt(ReencryptKeyslot {
            mode: Mode::Encrypt,
            direction: Direction::Forward,
            resilience: Resilience {
                guard: Guard::None,
                shift: None,
            },
        }),
        key_size: 1,
        area,
        priority: None,
        extra: Default::default(),
    };
    metadata.keyslots.insert(KeyslotId::new(1), keyslot);
    let crypt = metadata.segments[&0].clone();
    for (id, flag) in [(1, "backup-previous"), (2, "backup-final")] {
        let segment = Segment {
            flags: vec![flag.into()],
            kind: if id == 1 {
                SegmentKind::Linear
            } else {
                crypt.kind.clone()
            },
            ..crypt.clone()
        };
        metadata.segments.insert(id, segment);
    }
    for digest in metadata.digests.values_mut() {
        digest.segments.push(2);
    }
    header.write(&mut storage).expect("valid");
    (storage, header)
}

#[test]
fn the_state_of_a_reencryption_is_not_destroyed() {
    let (mut storage, mut header) = in_reencryption();
    let before = storage.0.clone();
    let killed = header.remove_keyslot(&mut storage, KeyslotId::new(1), Medium::Other);
    assert!(matches!(killed, Err(Error::InReencryption)), "{killed:?}");
    let labelled = header.set_labels(&mut storage, Some("x"), None);
    assert!(matches!(labelled, Err(Error::InReencryption)), "{labelled:?}");
    let is_needed = |result: Result<()>| assert!(matches!(result, Err(Error::NeededByReencryption)), "{result:?}");
    is_needed(header.remove_keyslot(&mut storage, KeyslotId::new(0), Medium::Other));
    is_needed(header.erase(&mut storage, Medium::Other).map(drop));
    let backup = volume().0;
    let read = crate::backup::Backup::read(&mut backup.clone()).expect("a backup");
    let there = crate::header::Header::Luks2(header.clone());
    assert!(read.check(Some(&there), None).is_ok_and(|plan| plan.loses_reencryption));
    is_needed(read.restore(&mut backup.clone(), &mut storage, Some(&there)));
    assert!(storage.0 == before, "a byte was written on the way to the error");
    let mut copy = storage.clone();
    read.replace(&mut backup.clone(), &mut copy, Some(&there))
        .expect("forced");
    assert!(!Header::read(&mut copy).expect("a header").in_reencryption());
    let mut copy = (storage.clone(), header.clone());
    copy.1.destroy_keyslots(&mut copy.0, Medium::Other).expect("forced");
    header
        .destroy_keyslot(&mut storage, KeyslotId::new(0), Medium::Other)
        .expect("forced");
}

#[test]
fn a_keyslot_keeps_the_key_that_it_has() {
    let (mut storage, mut header, key) = volume();
    let before = storage.0.clone();
    let other = VolumeKey::random(64).expect("random bytes");
    let sealed = new_keyslot()
        .seal(&other, &passphrase("new"), &limits())
        .expect("memory");
    let changed = change_sealed(&mut header, &mut storage, &other, &sealed, Medium::Other);
    assert!(matches!(changed, Err(Error::WrongVolumeKey)), "{changed:?}");
    assert!(storage.0 == before);
    assert!(
        opens(&mut storage, "first")
            .expect("opens")
            .volume_key
            .expose()
            .eq(key.expose())
    );
}

#[test]
fn a_header_that_could_not_be_read_again_is_not_written() {
    let (mut storage, mut header, _) = volume();
    let before = storage.0.clone();
    let Some(KeyslotKind::Luks2(slot)) = header
        .copy
        .metadata
        .keyslots
        .get_mut(&KeyslotId::new(0))
        .map(|slot| &mut slot.kind)
    else {
        panic!("a keyslot")
    };
    slot.kdf = SlotKdf::Pbkdf2 {
        hash: Hash::Sha256.into(),
        iterations: 0,
    };
    let written = header.write(&mut storage);
    assert!(
        matches!(written, Err(Error::Luks2(Defect::Value { .. }))),
        "{written:?}"
    );
    let copy = header.copy.clone();
    let recovered = copies::recover(&mut storage, &copy, Which::Primary);
    assert!(
        matches!(recovered, Err(Error::Luks2(Defect::Value { .. }))),
        "{recovered:?}"
    );
    assert!(storage.0 == before);
}

#[test]
fn there_are_no_more_digests_than_others_can_read() {
    let (mut storage, mut header, _) = volume();
    let unbound = |header: &mut Header, storage: &mut Memory| {
        let key = VolumeKey::random(16).expect("random bytes");
        add_unbound(header, storage, &key, &new_keyslot(), None)
    };
    for _ in 1..MAX_DIGESTS {
        unbound(&mut header, &mut storage).expect("room");
    }
    let before = storage.0.clone();
    let one_more = unbound(&mut header, &mut storage);
    assert!(matches!(one_more, Err(Error::AllDigestsInUse)), "{one_more:?}");
    assert!(storage.0 == before);
}
