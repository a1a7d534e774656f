//! Keyslots in the normal case, and refusals.

use super::*;
use crate::KeyslotId;
use crate::error::Error;
use crate::luks1::{KeyslotState, STATE_INACTIVE};
use crate::units::Bytes;
use crate::wipe::Medium;

const EIGHT: [(u32, &str); 8] = [
    (0, "p0"),
    (1, "p1"),
    (2, "p2"),
    (3, "p3"),
    (4, "p4"),
    (5, "p5"),
    (6, "p6"),
    (7, "p7"),
];

fn change(header: &mut Header, disk: &mut Memory, slot: u32, text: &str, stays: bool) -> Result<KeyslotId> {
    super::change(header, disk, (slot, text), stays, Medium::Other)
}

#[test]
fn eight_keyslots_open_each_with_its_own() {
    let (mut disk, mut header) = volume(&EIGHT);
    for (slot, text) in EIGHT {
        assert_eq!(opens(&disk.0, text), Some(slot));
        for (other, _) in EIGHT.iter().filter(|(other, _)| *other != slot) {
            let result = header.unlock(&mut disk, &passphrase(text), Some(KeyslotId::new(*other)), &limits());
            assert!(matches!(result, Err(Error::WrongPassphrase)));
        }
    }
    let before = disk.clone();
    assert!(matches!(
        add(&mut header, &mut disk, "ninth", None),
        Err(Error::AllKeyslotsFull)
    ));
    assert!(matches!(
        add(&mut header, &mut disk, "ninth", Some(KeyslotId::new(3))),
        Err(Error::KeyslotFull(slot)) if slot.get() == 3
    ));
    assert!(matches!(
        add(&mut header, &mut disk, "ninth", Some(KeyslotId::new(8))),
        Err(Error::KeyslotOutOfRange(slot)) if slot.get() == 8
    ));
    assert_eq!(before.0, disk.0);
    for (slot, stays) in [(0, false), (7, true)] {
        let text = format!("new{slot}");
        assert_eq!(
            change(&mut header, &mut disk, slot, &text, stays).expect("in place"),
            KeyslotId::new(slot)
        );
        assert_eq!(opens(&disk.0, &text), Some(slot));
    }
}

#[test]
fn removing_destroys_the_key_material_and_nothing_else() {
    let (mut disk, mut header) = volume(&[(0, "a"), (1, "b")]);
    let before = disk.clone();
    header
        .remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Other)
        .expect("an active keyslot");
    assert_eq!((opens(&disk.0, "a"), opens(&disk.0, "b")), (None, Some(1)));
    let changed = |range: std::ops::Range<usize>| before.0[range.clone()] != disk.0[range];
    assert!(!changed(0..208) && changed(208..256) && !changed(256..4096));
    assert!((8..133).all(|sector| changed(sector * 512..(sector + 1) * 512)));
    assert!(!changed(133 * 512..disk.0.len()));
    assert!(matches!(
        header.remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Other),
        Err(Error::KeyslotInactive(slot)) if slot.get() == 0
    ));
    assert!(matches!(
        header.remove_keyslot(&mut disk, KeyslotId::new(8), Medium::Other),
        Err(Error::KeyslotOutOfRange(slot)) if slot.get() == 8
    ));
    // As cryptsetup leaves it: offset and stripes stay, the rest is zero.
    let raw = &Header::read(&mut disk).expect("a header").raw().keyslots[0].clone();
    assert_eq!((raw.state, raw.iterations, raw.salt), (STATE_INACTIVE, 0, [0; 32]));
    assert_eq!((raw.material_offset, raw.stripes), (8, 4000));
}

#[test]
fn a_change_goes_to_the_first_free_slot_or_stays() {
    let (mut disk, mut header) = volume(&[(0, "old"), (1, "other")]);
    assert_eq!(
        change(&mut header, &mut disk, 0, "new", false).expect("a free slot"),
        KeyslotId::new(2)
    );
    assert_eq!(
        (opens(&disk.0, "old"), opens(&disk.0, "new"), opens(&disk.0, "other")),
        (None, Some(2), Some(1))
    );
    assert_eq!(
        change(&mut header, &mut disk, 2, "newer", true).expect("a free slot"),
        KeyslotId::new(2)
    );
    assert_eq!((opens(&disk.0, "new"), opens(&disk.0, "newer")), (None, Some(2)));
    assert_eq!(header.active_keyslots().collect::<Vec<_>>(), [1, 2].map(KeyslotId::new));
    let result = change(&mut header, &mut disk, 5, "x", false);
    assert!(matches!(result, Err(Error::KeyslotInactive(slot)) if slot.get() == 5));
}

#[test]
fn erasing_leaves_no_key() {
    let (mut disk, _) = volume(&[(0, "a"), (6, "b")]);
    // A keyslot in an unknown state may hold a key too.
    disk.0[256..260].copy_from_slice(&1_u32.to_be_bytes());
    let mut header = Header::read(&mut disk).expect("a header");
    let before = disk.clone();
    assert_eq!(
        header.erase(&mut disk, Medium::Other).expect("memory can be written"),
        [0, 1, 6].map(KeyslotId::new)
    );
    assert!(
        header
            .keyslots()
            .iter()
            .all(|slot| slot.state == KeyslotState::Inactive)
    );
    for start in [8, 136, 776] {
        let range = start * 512..(start + 125) * 512;
        assert!(
            before.0[range.clone()]
                .chunks(512)
                .zip(disk.0[range].chunks(512))
                .all(|(old, new)| old != new)
        );
    }
    let result = header.unlock(&mut disk, &passphrase("a"), None, &limits());
    assert!(matches!(result, Err(Error::NoUsableKeyslot)));
}

#[test]
fn an_invalid_keyslot_opens_only_when_it_is_named() {
    let (mut disk, _) = volume(&[(0, "a"), (1, "b")]);
    disk.0[256..260].copy_from_slice(&1_u32.to_be_bytes());
    let mut header = Header::read(&mut disk).expect("a header");
    let mut unlock = |slot| header.unlock(&mut disk, &passphrase("b"), slot, &limits());
    assert!(matches!(unlock(None), Err(Error::WrongPassphrase)));
    assert_eq!(
        unlock(Some(KeyslotId::new(1))).expect("its key is there").keyslot,
        KeyslotId::new(1)
    );
    assert!(matches!(unlock(Some(KeyslotId::new(2))), Err(Error::KeyslotInactive(slot)) if slot.get() == 2));
    assert!(matches!(
        unlock(Some(KeyslotId::new(u32::MAX))),
        Err(Error::KeyslotOutOfRange(_))
    ));
    header
        .remove_keyslot(&mut disk, KeyslotId::new(1), Medium::Other)
        .expect("it can be killed");
}

#[test]
fn a_keyslot_that_cannot_be_tried_says_why() {
    let (mut disk, _) = volume(&[(0, "a"), (1, "b")]);
    disk.0[212..216].copy_from_slice(&u32::MAX.to_be_bytes());
    let header = Header::read(&mut disk).expect("a header");
    let limits = limits().allow_iterations(10_000_000);
    let mut unlock = |text| header.unlock(&mut disk, &passphrase(text), None, &limits);
    assert_eq!(unlock("b").expect("the other one opens").keyslot, KeyslotId::new(1));
    assert!(matches!(unlock("a"), Err(Error::Kdf(_))));
}

#[test]
fn a_null_cipher_opens_with_the_empty_passphrase_only_and_is_not_added_to() {
    // Key material under the null cipher is the split key itself.
    let (mut disk, header) = volume(&[]);
    let mut raw = header.raw().clone();
    raw.cipher_name = *b"cipher_null\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    raw.cipher_mode = [0; 32];
    raw.cipher_mode[..3].copy_from_slice(b"ecb");
    raw.keyslots[0].state = STATE_ACTIVE;
    raw.keyslots[0].iterations = ITERATIONS;
    let split = crate::af::split(KEY, Hash::Sha256, 4000).expect("a page");
    disk.write_at(Bytes::kib(4), split.expose()).expect("inside");
    disk.write_at(Bytes::ZERO, &raw.to_bytes()).expect("inside");
    assert_eq!(opens(&disk.0, ""), Some(0));
    assert_eq!(opens(&disk.0, "anything"), None);
    let mut header = Header::read(&mut disk).expect("a header");
    let result = add(&mut header, &mut disk, "", None);
    assert!(matches!(result, Err(Error::BadParameter { field: "cipher", .. })));
}

#[test]
fn only_the_volume_key_is_put_into_a_keyslot_and_only_with_enough_iterations() {
    let (_, header) = volume(&[(0, "a")]);
    let wrong = key(b"0123456789abcdeX");
    let result = header.seal(&wrong, &passphrase("b"), ITERATIONS, &limits());
    assert!(matches!(result, Err(Error::WrongVolumeKey)));
    let result = header.seal(&key(KEY), &passphrase("b"), 999, &limits());
    assert!(matches!(result, Err(Error::BadParameter { .. })));
}

#[test]
fn a_header_that_someone_else_changed_is_not_written_over() {
    let (mut disk, mut first) = volume(&[(0, "a")]);
    let mut second = first.clone();
    add(&mut second, &mut disk, "b", Some(KeyslotId::new(1))).expect("a free slot");
    let after = disk.clone();
    assert!(matches!(
        add(&mut first, &mut disk, "c", Some(KeyslotId::new(1))),
        Err(Error::ChangedMeanwhile)
    ));
    assert!(matches!(
        first.remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Other),
        Err(Error::ChangedMeanwhile)
    ));
    assert!(matches!(
        first.erase(&mut disk, Medium::Other),
        Err(Error::ChangedMeanwhile)
    ));
    assert!(matches!(
        first.set_uuid(&mut disk, "11111111-2222-3333-4444-555555555556"),
        Err(Error::ChangedMeanwhile)
    ));
    assert_eq!(after.0, disk.0);
}
