//! What becomes of a change over which a program without a lock writes the header as it was before.

use super::*;
use crate::KeyslotId;
use crate::error::Error;
use crate::luks1::HEADER_LEN;
use crate::wipe::Medium;

/// Adds "other" as keyslot `slot`, with the header of `stale`.
fn write_stale(stale: &Memory, disk: &mut Memory, slot: KeyslotId) {
    let mut theirs = stale.clone();
    let mut header = Header::read(&mut theirs).expect("a header");
    add(&mut header, &mut theirs, "other", Some(slot)).expect("the slot is free");
    let at = header.raw().keyslots[slot.index()].material_offset as usize * 512;
    let len = header.area_size().get() as usize;
    for range in [0..HEADER_LEN, at..at + len] {
        disk.0[range.clone()].copy_from_slice(&theirs.0[range]);
    }
}

#[test]
fn a_keyslot_is_put_back_into_an_older_header() {
    let (mut disk, mut header) = volume(&[(0, "a"), (6, "b")]);
    let (stale, before) = (disk.clone(), header.raw().clone());
    for (slot, text) in [(0, "a2"), (6, "b2")] {
        let changed = change(&mut header, &mut disk, (slot, text), true, Medium::Other);
        assert_eq!(changed.expect("memory"), KeyslotId::new(slot));
    }
    assert!(!header.put_back(&mut disk, Some(&before)).expect("it is there").wrote());
    write_stale(&stale, &mut disk, KeyslotId::new(3));
    assert!(["a", "a2", "b", "b2"].iter().all(|text| opens(&disk.0, text).is_none()));
    assert_eq!(
        header.put_back(&mut disk, Some(&before)).expect("it can be").keyslots,
        [0, 6].map(KeyslotId::new)
    );
    for (text, slot) in [("a2", 0), ("b2", 6), ("other", 3)] {
        assert_eq!(opens(&disk.0, text), Some(slot));
    }
    assert!(!header.put_back(&mut disk, Some(&before)).expect("it is there").wrote());
}

#[test]
fn a_keyslot_whose_material_is_another_one_is_lost() {
    let (mut disk, mut header) = volume(&[(0, "a")]);
    let (stale, before) = (disk.clone(), header.raw().clone());
    add(&mut header, &mut disk, "new", Some(KeyslotId::new(1))).expect("the slot is free");
    let named = disk.clone();
    write_stale(&stale, &mut disk, KeyslotId::new(1));
    let theirs = disk.clone();
    let lost = header.put_back(&mut disk, Some(&before)).expect("it can be read");
    assert!(matches!(lost.problem, Some(Error::Overwritten(slot)) if slot.get() == 1));
    assert!(disk.0 == theirs.0, "it is left to whom it is of");
    // Also where the header names ours.
    disk.0[..HEADER_LEN].copy_from_slice(&named.0[..HEADER_LEN]);
    let lost = header.put_back(&mut disk, Some(&before)).expect("it can be read");
    assert!(matches!(lost.problem, Some(Error::Overwritten(slot)) if slot.get() == 1));
}

/// The only passphrase moved to another keyslot, and an older header, with a key of its own, names the one that is gone.
#[test]
fn a_removed_keyslot_is_taken_out_again_once_the_new_one_is_back() {
    let (mut disk, mut header) = volume(&[(0, "a")]);
    let (stale, before) = (disk.clone(), header.raw().clone());
    add(&mut header, &mut disk, "new", Some(KeyslotId::new(1))).expect("the slot is free");
    header
        .remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Other)
        .expect("it is not the last one");
    write_stale(&stale, &mut disk, KeyslotId::new(3));
    let back = header.put_back(&mut disk, Some(&before)).expect("it can be");
    assert_eq!(
        (back.keyslots, back.removed),
        (vec![KeyslotId::new(1)], vec![KeyslotId::new(0)])
    );
    assert!(back.problem.is_none());
    assert!(Header::read(&mut disk).expect("a header").raw().keyslots[0] == header.raw().keyslots[0]);
    for (text, slot) in [("new", 1), ("other", 3)] {
        assert_eq!(opens(&disk.0, text), Some(slot));
    }
}

/// A header and its key material that another program has restored meanwhile stay.
#[test]
fn a_removed_keyslot_that_was_restored_stays() {
    let (mut disk, mut header) = volume(&[(0, "a"), (1, "b")]);
    let (whole, before) = (disk.clone(), header.raw().clone());
    header
        .remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Other)
        .expect("it is not the last one");
    disk.0.clone_from(&whole.0);
    let back = header.put_back(&mut disk, Some(&before)).expect("it can be read");
    assert!(!back.wrote() && back.problem.is_none());
    assert_eq!(opens(&disk.0, "a"), Some(0));
}

/// A keyslot that was used on the way to another one is named by a header that was read in between.
#[test]
fn a_keyslot_of_the_meantime_is_taken_out_again() {
    let (mut disk, mut header) = volume(&[(0, "a")]);
    let before = header.raw().clone();
    add(&mut header, &mut disk, "between", Some(KeyslotId::new(1))).expect("the slot is free");
    let between = disk.clone();
    header
        .remove_keyslot(&mut disk, KeyslotId::new(1), Medium::Other)
        .expect("it is not the last one");
    disk.0[..HEADER_LEN].copy_from_slice(&between.0[..HEADER_LEN]);
    let back = header.put_back(&mut disk, Some(&before)).expect("it can be");
    assert_eq!((back.keyslots, back.removed), (vec![], vec![KeyslotId::new(1)]));
    assert_eq!(opens(&disk.0, "a"), Some(0));
}

/// Another program has used the place of a removed keyslot.
#[test]
fn a_new_keyslot_in_the_place_of_a_removed_one_stays() {
    let (mut disk, mut header) = volume(&[(0, "a"), (1, "b")]);
    let before = header.raw().clone();
    header
        .remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Other)
        .expect("it is not the last one");
    let mut theirs = Header::read(&mut disk).expect("a header");
    add(&mut theirs, &mut disk, "other", Some(KeyslotId::new(0))).expect("the slot is free");
    let back = header.put_back(&mut disk, Some(&before)).expect("it can be read");
    assert!(!back.wrote() && back.problem.is_none());
    assert_eq!(opens(&disk.0, "other"), Some(0));
}

/// Two programs took the same free keyslot: the one whose key material is there keeps it, and the other is told of.
#[test]
fn a_keyslot_that_was_overwritten_is_told_of() {
    let (mut disk, mut header) = volume(&[(0, "a")]);
    let (stale, before) = (disk.clone(), header.raw().clone());
    add(&mut header, &mut disk, "new", Some(KeyslotId::new(1))).expect("the slot is free");
    let mut theirs = stale.clone();
    let mut other = Header::read(&mut theirs).expect("a header");
    add(&mut other, &mut theirs, "other", Some(KeyslotId::new(1))).expect("the slot is free");
    disk.0[..HEADER_LEN].copy_from_slice(&theirs.0[..HEADER_LEN]);
    let back = header.put_back(&mut disk, Some(&before)).expect("it can be");
    assert_eq!(
        (back.keyslots, back.overwritten),
        (vec![KeyslotId::new(1)], vec![KeyslotId::new(1)])
    );
    assert_eq!(opens(&disk.0, "new"), Some(1));
}

/// The older header has another UUID by now: the key comes back, and the change is reported.
#[test]
fn a_keyslot_is_put_back_into_a_header_with_another_uuid() {
    let (mut disk, mut header) = volume(&[(0, "a")]);
    let (stale, before) = (disk.clone(), header.raw().clone());
    add(&mut header, &mut disk, "new", Some(KeyslotId::new(1))).expect("the slot is free");
    disk.0[..HEADER_LEN].copy_from_slice(&stale.0[..HEADER_LEN]);
    disk.0[168] ^= 1;
    let back = header.put_back(&mut disk, Some(&before)).expect("it can be");
    assert_eq!(back.keyslots, [1].map(KeyslotId::new));
    assert!(matches!(back.problem, Some(Error::ChangedMeanwhile)));
    assert_eq!(opens(&disk.0, "new"), Some(1));
    // Of another volume key nothing is known.
    disk.0[112] ^= 1;
    assert!(matches!(
        header.put_back(&mut disk, Some(&before)),
        Err(Error::ChangedMeanwhile)
    ));
}
