//! The record that an interrupted change leaves behind the header: who opens it, what ends it, and what wipes it.

use super::*;
use crate::KeyslotId;
use crate::error::Error;
use crate::header::{Header as AnyHeader, Unfinished};
use crate::storage::fault::{Event, Recorder};
use crate::wipe::Medium;

/// A change of slot 1 to `text`, killed before the header names the new key, with half of the area written.
fn half_changed(disk: Memory, text: &str) -> Memory {
    half_changed_in(disk, 1, "b", text)
}

/// The same of another slot, which `old` opens.
pub(super) fn half_changed_in(disk: Memory, slot: u32, old: &str, text: &str) -> Memory {
    let mut disk = Recorder::new(disk.0);
    let mut header = Header::read(&mut disk).expect("a header");
    change_in(&mut header, &mut disk, slot, text).expect("memory");
    let mut half = None;
    disk.for_each_crash(|crash| {
        let opened = opens(crash.image, old).is_some();
        if !opened && half.is_none() {
            half = Some(crash.image.to_vec());
        }
    });
    Memory(half.expect("the old passphrase goes"))
}

fn change(header: &mut Header, disk: &mut dyn Storage, text: &str) -> Result<KeyslotId> {
    change_in(header, disk, 1, text)
}

fn change_in(header: &mut Header, disk: &mut dyn Storage, slot: u32, text: &str) -> Result<KeyslotId> {
    super::change(header, disk, (slot, text), false, Medium::Other)
}

fn is_blank(disk: &Memory) -> bool {
    disk.0[1024..4096].iter().all(|&byte| byte == 0)
}

#[test]
fn a_change_in_a_full_header_leaves_nothing_behind() {
    let (mut disk, mut header) = volume(&FULL);
    assert_eq!(
        change(&mut header, &mut disk, "new").expect("in place"),
        KeyslotId::new(1)
    );
    assert!(is_blank(&disk));
    assert_eq!((opens(&disk.0, "new"), opens(&disk.0, "b")), (Some(1), None));
}

#[test]
fn the_new_passphrase_ends_an_interrupted_change() {
    let mut disk = half_changed(volume(&FULL).0, "new");
    assert!(!is_blank(&disk));
    let mut header = AnyHeader::read(&mut disk).expect("a header");
    let unlocked =
        header
            .luks1()
            .expect("LUKS1")
            .unlock(&mut disk, &passphrase("new"), Some(KeyslotId::new(1)), &limits());
    let change = unlocked.expect("it waits").unfinished.expect("it is not finished");
    let first = disk.clone();
    header
        .finish_change(&mut disk, KeyslotId::new(1), &change, Medium::Other)
        .expect("memory");
    assert!(is_blank(&disk));
    assert_eq!(opens(&disk.0, "new"), Some(1));
    // Another process that read the header before has nothing left to do.
    let (mut again, mut late) = (disk.clone(), AnyHeader::read(&mut disk).expect("a header"));
    late.finish_change(&mut again, KeyslotId::new(1), &change, Medium::Other)
        .expect("nothing to do");
    assert_eq!(again.0, disk.0);
    assert_ne!(first.0, disk.0);
    assert!(matches!(*change, Unfinished::Luks1(_)));
}

#[test]
fn a_removed_keyslot_takes_the_waiting_key_with_it() {
    for erase in [false, true] {
        let mut disk = half_changed(volume(&FULL).0, "new");
        let mut header = Header::read(&mut disk).expect("a header");
        match erase {
            true => drop(header.erase(&mut disk, Medium::Other).expect("memory")),
            false => header
                .remove_keyslot(&mut disk, KeyslotId::new(1), Medium::Other)
                .expect("memory"),
        }
        assert!(is_blank(&disk));
        assert_eq!(opens(&disk.0, "new"), None);
    }
}

/// cryptsetup keeps the sectors behind the header, and does not know their contents.
#[test]
fn a_keyslot_that_another_program_freed_or_filled_is_not_opened_by_what_waited_for_it() {
    let disk = half_changed(volume(&FULL).0, "new");
    let mut freed = disk.clone();
    let slot_1 = 208 + 48;
    freed.0[slot_1..slot_1 + 4].copy_from_slice(&0xdead_u32.to_be_bytes());
    assert_eq!(opens(&freed.0, "new"), None);
    let mut filled = disk.clone();
    filled.0[slot_1 + 8..slot_1 + 40].fill(9);
    assert_eq!(opens(&filled.0, "new"), None);
    assert_eq!(opens(&disk.0, "new"), Some(1));
    // The next change wipes it, and does not take its place for its own before.
    let mut header = Header::read(&mut filled).expect("a header");
    change(&mut header, &mut filled, "newer").expect("in place");
    assert!(is_blank(&filled));
}

#[test]
fn what_waits_survives_the_change_of_another_keyslot() {
    let mut disk = half_changed(volume(&FULL).0, "new");
    let mut header = Header::read(&mut disk).expect("a header");
    change_in(&mut header, &mut disk, 2, "other").expect("there is a second place");
    assert_eq!((opens(&disk.0, "other"), opens(&disk.0, "new")), (Some(2), Some(1)));
    assert_eq!(
        header.unfinished_changes(&mut disk).expect("memory"),
        [1].map(KeyslotId::new)
    );
    let refused = crate::convert::to_luks2(&header, &mut disk, Medium::Other).expect_err("a key would be lost");
    assert!(refused.to_string().contains("keyslot 1 was interrupted"), "{refused}");
}

#[test]
fn sectors_in_use_elsewhere_are_left_alone() {
    let (mut disk, mut header) = volume(&FULL);
    for at in [1100, 2100, 3100] {
        disk.0[at] = 7;
    }
    let before = disk.clone();
    let refused = change(&mut header, &mut disk, "new").expect_err("no place");
    assert!(matches!(refused, Error::AllKeyslotsFull));
    assert_eq!(disk.0, before.0);
}

#[test]
fn a_hostile_record_opens_nothing() {
    let disk = half_changed(volume(&FULL).0, "new");
    let header = Header::read(&mut disk.clone()).expect("a header");
    for at in 1024..2048 {
        let mut broken = disk.clone();
        broken.0[at] ^= 0x80;
        let waiting = crate::luks1::staged::waiting(&mut broken, header.raw()).expect("memory");
        let padding = (1144..1536).contains(&at);
        assert_eq!(waiting.len(), usize::from(padding), "{at}");
    }
    assert_eq!(
        header.unfinished_changes(&mut Memory(disk.0[..2000].to_vec())).ok(),
        None
    );
}

/// The next change, removal or addition wipes whatever a stop leaves of a record, and so does opening the volume before
/// that.
#[test]
fn no_stop_leaves_a_record_for_good() {
    let mut disk = Recorder::new(volume(&FULL).0.0);
    let mut header = Header::read(&mut disk).expect("a header");
    change(&mut header, &mut disk, "new").expect("memory");
    let (mut leftovers, mut seen) = (0, std::collections::HashSet::new());
    disk.for_each_state(8, |crash| {
        if crash.image[1024..4096].iter().all(|&byte| byte == 0) || !seen.insert(crash.image[..4096].to_vec()) {
            return;
        }
        let mut disk = Memory(crash.image.to_vec());
        let mut header = AnyHeader::read(&mut disk).expect("a header");
        let text = if opens(&disk.0, "new").is_some() { "new" } else { "h" };
        let luks1 = header.luks1().expect("LUKS1");
        let unlocked = luks1
            .unlock(&mut disk, &passphrase(text), None, &limits())
            .expect("it opens");
        let waits = !luks1.unfinished_changes(&mut disk).expect("memory").is_empty();
        let what = (crash.after, crash.cause);
        match unlocked.unfinished {
            Some(change) => {
                let slot = unlocked.keyslot;
                header
                    .finish_change(&mut disk, slot, &change, Medium::Other)
                    .expect("memory");
                leftovers += usize::from(matches!(*change, Unfinished::Luks1Record));
            }
            // The old passphrase opens too: removing the keyslot wipes it.
            None => {
                assert!(waits, "{what:?}: nobody knows of it");
                header
                    .remove_keyslot(&mut disk, KeyslotId::new(1), Medium::Other)
                    .expect("memory");
            }
        }
        assert!(is_blank(&disk), "{what:?}");
    });
    assert!(leftovers > 4, "{leftovers}");
    for remove in [false, true] {
        let mut full = disk.clone();
        let mut header = Header::read(&mut full).expect("a header");
        header
            .remove_keyslot(&mut full, KeyslotId::new(0), Medium::Other)
            .expect("memory");
        let mut half = Memory(full.image().to_vec());
        half.0[1024..1040].copy_from_slice(b"LUKSMITH-CHANGE\x01");
        match remove {
            true => header
                .remove_keyslot(&mut half, KeyslotId::new(3), Medium::Other)
                .expect("memory"),
            false => drop(add(&mut header, &mut half, "x", None).expect("memory")),
        }
        assert!(is_blank(&half), "{remove}");
    }
}

/// Or a stop in between would leave the key of a keyslot that was being removed.
#[test]
fn what_waits_for_a_keyslot_goes_before_its_area() {
    for erase in [false, true] {
        let mut disk = Recorder::new(half_changed(volume(&FULL).0, "new").0);
        let mut header = Header::read(&mut disk).expect("a header");
        match erase {
            true => drop(header.erase(&mut disk, Medium::Other).expect("memory")),
            false => header
                .remove_keyslot(&mut disk, KeyslotId::new(1), Medium::Other)
                .expect("memory"),
        }
        let last = disk.events().iter().rposition(
            |event| matches!(event, Event::Write { offset, .. } if offset.get() < 4096 && offset.get() >= 1024),
        );
        let first = disk
            .events()
            .iter()
            .position(|event| matches!(event, Event::Write { offset, .. } if offset.get() >= 4096));
        assert!(last.expect("it is wiped") < first.expect("so is the area"), "{erase}");
    }
}
