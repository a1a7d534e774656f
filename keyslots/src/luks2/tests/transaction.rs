//! Several changes in one commit: all of them or none after a stop at any write, and an abandoned one leaves nothing.

use super::crash::{sealed, small, small_key};
use super::*;
use crate::KeyslotId;
use crate::storage::fault::{Event, Recorder};

/// A new keyslot, another one in the place of keyslot 0, keyslot 1 gone, a flag and a requirement.
fn replace_all(header: &mut Header, disk: &mut dyn Storage) -> Result<()> {
    let (third, new) = (sealed("third"), sealed("new"));
    let mut change = header.begin()?;
    assert_eq!(
        change.add_keyslot(None, &third, &small_key(), &limits())?,
        KeyslotId::new(2)
    );
    change.change_keyslot(KeyslotId::new(0), &new, &small_key(), &limits())?;
    change.retire_keyslot(KeyslotId::new(1))?;
    change.set_flags(vec!["allow-discards".into()]);
    change.metadata_mut().config.requirements.push("inline-hw-tags".into());
    change.commit(disk, Medium::Other)
}

#[test]
fn a_commit_is_there_as_a_whole_or_not_at_all() {
    let (image, mut header) = small(4);
    let before = header.metadata().clone();
    let mut disk = Recorder::new(image);
    replace_all(&mut header, &mut disk).expect("room");
    let after = header.metadata().clone();
    assert_eq!(
        (after.keyslots.len(), after.digests[&0].keyslots.clone()),
        (2, vec![KeyslotId::new(0), KeyslotId::new(2)])
    );
    let mut states = [0; 2];
    disk.for_each_crash(|crash| {
        let mut disk = Memory(crash.image.to_vec());
        let metadata = Header::read(&mut disk).expect("a header").metadata().clone();
        let is_new = metadata == after;
        assert!(is_new || metadata == before, "{}, {:?}", crash.after, crash.cause);
        for text in if is_new { ["new", "third"] } else { ["old", "other"] } {
            let opened = opens(&mut disk, text);
            assert!(opened.is_ok(), "{text}: {}, {:?}", crash.after, crash.cause);
        }
        states[usize::from(is_new)] += 1;
    });
    assert!(states.iter().all(|count| *count > 9), "{states:?}");
    // What no keyslot has any more is wiped once, after all else.
    let writes: Vec<_> = disk
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::Write { offset, .. } => Some(*offset),
            Event::Sync => None,
        })
        .collect();
    let areas = |metadata: &Metadata| {
        metadata
            .keyslots
            .values()
            .map(|slot| slot.area.offset)
            .collect::<Vec<_>>()
    };
    assert_eq!(writes[writes.len() - 2..], areas(&before));
    let mut placed = areas(&after);
    placed.sort_unstable();
    assert_eq!(writes[..2], placed);
}

/// Neither keyslot has room beside itself.
#[test]
fn two_keyslots_are_changed_in_place_in_one_commit() {
    let (image, mut header) = small(2);
    let mut disk = Recorder::new(image);
    let (new, third) = (sealed("new"), sealed("third"));
    let mut change = header.begin().expect("changeable");
    for (slot, sealed) in [(0, &new), (1, &third)] {
        change
            .change_keyslot(KeyslotId::new(slot), sealed, &small_key(), &limits())
            .expect("in place");
    }
    let again = change.change_keyslot(KeyslotId::new(0), &third, &small_key(), &limits());
    assert!(
        matches!(again, Err(Error::NoRoomForKeyslot { .. } | Error::BadParameter { .. })),
        "{again:?}"
    );
    change.commit(&mut disk, Medium::Other).expect("memory");
    assert!(header.metadata().tokens.is_empty());
    disk.for_each_crash(|crash| {
        let mut disk = Memory(crash.image.to_vec());
        for texts in [["old", "new"], ["other", "third"]] {
            let opened = texts.iter().any(|text| opens(&mut disk, text).is_ok());
            assert!(opened, "{texts:?}: {}, {:?}", crash.after, crash.cause);
        }
    });
    let mut disk = Memory(disk.image().to_vec());
    assert!(["new", "third"].iter().all(|text| opens(&mut disk, text).is_ok()));
}

#[test]
fn what_is_not_committed_or_cannot_be_read_changes_nothing() {
    let (image, mut header) = small(4);
    let (mut disk, before) = (Memory(image.clone()), header.metadata().clone());
    let mut change = header.begin().expect("changeable");
    change.retire_keyslot(KeyslotId::new(0)).expect("a keyslot");
    assert!(!change.metadata().keyslots.contains_key(&KeyslotId::new(0)));
    drop(change);
    assert_eq!(*header.metadata(), before);
    let new = sealed("new");
    let mut change = header.begin().expect("changeable");
    change
        .change_keyslot(KeyslotId::new(0), &new, &small_key(), &limits())
        .expect("room");
    change.metadata_mut().digests.clear();
    let refused = change.commit(&mut disk, Medium::Other);
    assert!(matches!(refused, Err(Error::Luks2(_))), "{refused:?}");
    assert_eq!(*header.metadata(), before);
    assert!(disk.0 == image);
}
