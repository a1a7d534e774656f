//! Several changes in one commit: all of them or none after a stop at any write, and an abandoned one leaves nothing.

use super::crash::{sealed, small, small_key};
use super::*;
use crate::KeyslotId;
use crate::storage::fault::{Event, Recorder};

/// A new keyslot, another one in the place of keyslot 0, and a flag.
fn replace_all(header: &mut Header, disk: &mut dyn Storage) -> Result<()> {
    let (third, new) = (sealed("third"), sealed("new"));
    let mut change = header.begin()?;
    let added = change.add_keyslot(None, &third, &small_key(), &limits())?;
    assert_eq!(added, KeyslotId::new(2));
    change.change_keyslot(KeyslotId::new(0), &new, &small_key(), &limits())?;
    change.set_flags(vec!["allow-discards".into()]);
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
        (3, vec![0, 1, 2].into_iter().map(KeyslotId::new).collect())
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
    let area = |metadata: &Metadata, slot: u32| metadata.keyslots[&KeyslotId::new(slot)].area.offset;
    assert_eq!(writes[writes.len() - 1], area(&before, 0));
    let mut placed = [area(&after, 0), area(&after, 2)];
    placed.sort_unstable();
    assert_eq!(writes[..2], placed);
    assert!(!writes.contains(&area(&before, 1)), "it stays as it is");
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
    change.set_flags(vec!["allow-discards".into()]);
    assert_eq!(change.metadata().config.flags, ["allow-discards"]);
    drop(change);
    assert_eq!(*header.metadata(), before);
    let new = sealed("new");
    let mut change = header.begin().expect("changeable");
    change
        .change_keyslot(KeyslotId::new(0), &new, &small_key(), &limits())
        .expect("room");
    change.next.metadata.digests.clear();
    let refused = change.commit(&mut disk, Medium::Other);
    assert!(matches!(refused, Err(Error::Luks2(_))), "{refused:?}");
    assert_eq!(*header.metadata(), before);
    assert!(disk.0 == image);
}

/// An operation on a volume.
type Action = fn(&mut Header, &mut dyn Storage) -> Result<()>;

#[test]
fn a_digest_that_nothing_names_is_in_no_change_s_way() {
    let actions: [Action; 7] = [
        |header, disk| header.set_labels(disk, Some("x"), None),
        |header, disk| super::crash::change(header, disk, Medium::Other),
        |header, disk| super::crash::put(header, disk, "third").map(drop),
        |header, disk| {
            let new = Digest::new(&small_key(), Hash::Sha256, 1000, &limits())?;
            let (sealed, mut change) = (sealed("third"), header.begin()?);
            change.add_unbound_keyslot(None, &sealed, new)?;
            change.commit(disk, Medium::Other)
        },
        |header, disk| header.remove_keyslot(disk, KeyslotId::new(1), Medium::Other),
        |header, disk| {
            disk.write_at(header.binary().hdr_size, &[0; 512]).expect("memory");
            Header::read(disk)?.recover(disk).map(drop)
        },
        |header, disk| {
            disk.write_at(header.binary().hdr_size, &[0; 512]).expect("memory");
            Header::read(disk)?.set_labels(disk, Some("x"), None)
        },
    ];
    for action in actions {
        for room in [2, 4] {
            let (image, _) = small(room);
            let mut disk = Memory(image);
            leave_digests(&mut disk);
            let mut header = Header::read(&mut disk).expect("a header");
            assert_eq!(header.metadata().digests.len(), MAX_DIGESTS as usize);
            match action(&mut header, &mut disk) {
                Err(Error::NoRoomForKeyslot { .. }) if room == 2 => {}
                outcome => outcome.expect("it can be changed"),
            }
            let header = Header::read(&mut disk).expect("a header");
            assert_eq!(*header.other_copy(), crate::luks2::copies::OtherCopy::Agrees);
        }
    }
}

/// Puts as many digests into both copies as there may be, of which nothing names more than one.
fn leave_digests(disk: &mut Memory) {
    let header = Header::read(disk).expect("a header");
    let size = header.binary().hdr_size.to_usize().expect("small");
    let mut object = header.metadata().to_object();
    let digests = object.get_mut("digests").and_then(|digests| digests.as_object_mut());
    let digests = digests.expect("an object");
    let mut unused = digests["0"].clone();
    unused["keyslots"] = serde_json::json!([]);
    unused["segments"] = serde_json::json!([]);
    for id in 1..MAX_DIGESTS {
        digests.insert(id.to_string(), unused.clone());
    }
    let mut json = serde_json::to_vec(&object).expect("JSON");
    json.resize(size - 4096, 0);
    for (which, at) in [(Which::Primary, 0), (Which::Secondary, size)] {
        let mut binary = header.binary().clone();
        binary.hdr_offset = Bytes::new(at as u64);
        let mut bytes = binary.to_bytes(which);
        crate::luks2::format::put_checksum(&mut bytes, &json, binary.checksum_hash);
        disk.0[at..at + bytes.len()].copy_from_slice(&bytes);
        disk.0[at + 4096..at + size].copy_from_slice(&json);
    }
}
