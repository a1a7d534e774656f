//! The token that an interrupted change leaves: who opens it, what ends it, and what drops it.

use std::io;

use super::crash::{KEY, change, sealed, small, small_key, small_keyslot};
use super::*;
use crate::KeyslotId;
use crate::header::Header as AnyHeader;
use crate::luks2::CHANGE_TOKEN;
use crate::luks2::backup::Backup;
use crate::luks2::copies::OtherCopy;
use crate::luks2::fields::base64_to_value;
use crate::storage::fault::{Event, Recorder};

/// A change of slot 0 from "old" to "new" in a full area, killed with the area half written.
fn half_changed() -> Memory {
    let (image, mut header) = small(2);
    let mut disk = Recorder::new(image);
    change(&mut header, &mut disk, Medium::Other).expect("in place");
    let mut half = None;
    disk.for_each_crash(|crash| {
        let mut disk = Memory(crash.image.to_vec());
        if half.is_none() && opens(&mut disk, "old").is_err() {
            half = Some(disk);
        }
    });
    half.expect("the old passphrase goes")
}

/// The names and bytes of the token, in any copy.
fn remains(disk: &Memory) -> bool {
    disk.0[..32768]
        .windows(CHANGE_TOKEN.len())
        .any(|bytes| bytes == CHANGE_TOKEN.as_bytes())
}

#[test]
fn a_change_in_a_full_area_leaves_nothing_in_either_copy() {
    let (image, mut header) = small(2);
    let mut disk = Memory(image);
    change(&mut header, &mut disk, Medium::Other).expect("in place");
    assert!(!remains(&disk));
    assert_eq!(opens(&mut disk, "new").expect("the new one").keyslot, KeyslotId::new(0));
    assert!(matches!(opens(&mut disk, "old"), Err(Error::WrongPassphrase)));
    opens(&mut disk, "other").expect("it stays");
}

#[test]
fn the_new_passphrase_ends_an_interrupted_change() {
    let mut disk = half_changed();
    assert!(remains(&disk));
    let unlocked = opens(&mut disk, "new").expect("it waits");
    assert_eq!(
        (unlocked.keyslot, unlocked.volume_key.expose()),
        (KeyslotId::new(0), KEY.as_slice())
    );
    let change = unlocked.unfinished.expect("it is not finished");
    let mut header = AnyHeader::read(&mut disk).expect("a header");
    header
        .finish_change(&mut disk, KeyslotId::new(0), &change, Medium::Other)
        .expect("memory");
    assert!(!remains(&disk));
    assert!(opens(&mut disk, "new").expect("it opens").unfinished.is_none());
    // Nothing is left to do for a process that was slower.
    let before = disk.clone();
    header
        .finish_change(&mut disk, KeyslotId::new(0), &change, Medium::Other)
        .expect("nothing to do");
    assert_eq!(disk.0, before.0);
}

/// The priority that is set last counts, whatever the interrupted change would have made of it.
#[test]
fn a_priority_set_after_an_interruption_stays() {
    for priority in [Priority::Normal, Priority::Ignore, Priority::Prefer] {
        let (image, mut header) = small(2);
        let mut disk = Recorder::new(image);
        let mut sealed = sealed("new");
        sealed.priority = Some(Priority::Prefer);
        change_sealed(&mut header, &mut disk, &small_key(), &sealed, Medium::Other).expect("in place");
        let mut half = None;
        disk.for_each_crash(|crash| {
            let mut disk = Memory(crash.image.to_vec());
            if half.is_none() && opens(&mut disk, "old").is_err() {
                half = Some(disk);
            }
        });
        let mut disk = half.expect("the old passphrase goes");
        let mut header = AnyHeader::read(&mut disk).expect("a header");
        let there =
            |header: &AnyHeader| header.luks2().expect("LUKS2").metadata().keyslots[&KeyslotId::new(0)].priority();
        assert_eq!(there(&header), Priority::Prefer, "the change's own");
        if let AnyHeader::Luks2(header) = &mut header {
            header
                .set_priority(&mut disk, KeyslotId::new(0), priority)
                .expect("memory");
        }
        let unlocked = header
            .unlock(
                &mut disk,
                &passphrase("new"),
                Candidates::Keyslot(KeyslotId::new(0)),
                &limits(),
            )
            .expect("it waits");
        let change = unlocked.unfinished.expect("it is not finished");
        header
            .finish_change(&mut disk, KeyslotId::new(0), &change, Medium::Other)
            .expect("memory");
        assert_eq!(there(&header), priority);
    }
}

#[test]
fn a_removed_keyslot_takes_the_waiting_key_with_it() {
    let mut disk = half_changed();
    let mut header = Header::read(&mut disk).expect("a header");
    header
        .remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Other)
        .expect("memory");
    assert!(!remains(&disk));
    // As another program leaves it: the token no longer names a keyslot.
    let mut disk = half_changed();
    let mut header = Header::read(&mut disk).expect("a header");
    let token = header.metadata().tokens.keys().copied().next().expect("the token");
    let there = header.copy.metadata.tokens.get_mut(&token);
    there.expect("the token").keyslots.clear();
    header.write(&mut disk).expect("memory");
    assert!(!remains(&disk));
    assert!(matches!(opens(&mut disk, "new"), Err(Error::WrongPassphrase)));
}

/// Anyone can make a header with such a token.
#[test]
fn a_hostile_token_opens_nothing_and_harms_nothing() {
    let (image, _) = small(2);
    let keyslot = |key_size: u32, memory: u32| {
        format!(
            r#"{{"type":"luks2","key_size":{key_size},"af":{{"type":"luks1","stripes":4000,"hash":"sha256"}},"area":{{"type":"raw","offset":"18446744073709551615","size":"1","encryption":"aes-xts-plain64","key_size":64}},"kdf":{{"type":"argon2id","time":4294967295,"memory":{memory},"cpus":4294967295,"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}}}"#
        )
    };
    let material = "A".repeat(684 - 1) + "=";
    for (keyslot, material) in [
        (keyslot(16, u32::MAX), material.as_str()),
        (keyslot(u32::MAX, 1), material.as_str()),
        (keyslot(16, 1), "AA=="),
        ("{}".to_owned(), ""),
        ("7".to_owned(), ""),
    ] {
        let mut disk = Memory(image.clone());
        let mut header = Header::read(&mut disk).expect("a header");
        let salt = base64_to_value(
            &header.metadata().keyslots[&KeyslotId::new(0)]
                .luks2()
                .expect("a key")
                .salt,
        );
        let text = format!(
            r#"{{"type":"{CHANGE_TOKEN}","keyslots":["0"],"slot":0,"replaces":{salt},"keyslot":{keyslot},"material":"{material}"}}"#
        );
        let token = Token::from_json(text.as_bytes()).expect("a token");
        let imported = header.put_token(&mut disk, token.clone(), None, false);
        assert!(matches!(imported, Err(Error::BadParameter { .. })), "{imported:?}");
        header.copy.metadata.tokens.insert(0, token);
        header.write(&mut disk).expect("room");
        assert!(remains(&disk));
        assert!(
            matches!(opens(&mut disk, "wrong"), Err(Error::WrongPassphrase)),
            "{text}"
        );
        opens(&mut disk, "old").expect("it opens");
        // And the change takes its place.
        change(&mut header, &mut disk, Medium::Other).expect("in place");
        assert!(!remains(&disk));
        opens(&mut disk, "new").expect("it opens");
    }
}

#[test]
fn without_room_for_the_token_nothing_is_written() {
    let (image, mut header) = small(2);
    let mut disk = Memory(image);
    let big = format!(r#"{{"type":"big","keyslots":[],"x":"{}"}}"#, "x".repeat(10_600));
    let token = Token::from_json(big.as_bytes()).expect("a token");
    header.put_token(&mut disk, token, None, false).expect("room");
    let before = disk.clone();
    let full = change(&mut header, &mut disk, Medium::Other);
    assert!(matches!(full, Err(Error::MetadataTooLarge { .. })), "{full:?}");
    assert_eq!(disk.0, before.0);
    opens(&mut disk, "old").expect("it opens");
}

/// As [`half_changed`], but killed when both copies have the token and the area is as it was.
fn not_yet_changed() -> Memory {
    let (image, mut header) = small(2);
    let mut disk = Recorder::new(image);
    change(&mut header, &mut disk, Medium::Other).expect("in place");
    let mut waits = None;
    disk.for_each_crash(|crash| {
        let mut disk = Memory(crash.image.to_vec());
        let header = Header::read(&mut disk).expect("a header");
        if !header.unfinished_changes().is_empty()
            && *header.other_copy() == OtherCopy::Agrees
            && opens(&mut disk, "old").is_ok()
        {
            waits = Some(disk);
        }
    });
    waits.expect("both copies have it")
}

/// Another program changes the passphrase that still opens, and keeps the token: the staged key must not take its place.
#[test]
fn a_passphrase_that_was_set_later_stays() {
    let mut disk = not_yet_changed();
    opens(&mut disk, "new").expect("it waits");
    let mut later = Header::read(&mut disk).expect("a header");
    let tokens = later.metadata().tokens.clone();
    change_sealed(&mut later, &mut disk, &small_key(), &sealed("third"), Medium::Other).expect("in place");
    later.copy.metadata.tokens = tokens;
    later.copy.binary.seqid += 1;
    crate::luks2::copies::write(&mut disk, &later.copy).expect("memory");
    assert!(remains(&disk));
    assert!(matches!(opens(&mut disk, "new"), Err(Error::WrongPassphrase)));
    assert!(opens(&mut disk, "third").expect("it opens").unfinished.is_none());
    let mut header = Header::read(&mut disk).expect("a header");
    assert!(header.unfinished_changes().is_empty());
    header.set_labels(&mut disk, Some("x"), None).expect("memory");
    assert!(!remains(&disk));
}

#[test]
fn a_token_with_a_waiting_key_is_neither_removed_nor_replaced() {
    let mut disk = half_changed();
    let before = disk.clone();
    let mut header = Header::read(&mut disk).expect("a header");
    let held = |result: Result<u32>| {
        assert!(
            matches!(result, Err(Error::TokenHoldsKey { token: 0, keyslot }) if keyslot.get() == 0),
            "{result:?}"
        )
    };
    held(header.remove_token(&mut disk, 0).map(|()| 0));
    held(header.assign_token(&mut disk, 0, KeyslotId::new(0), false).map(|()| 0));
    held(header.assign_token(&mut disk, 0, KeyslotId::new(1), true).map(|()| 0));
    held(header.put_token(&mut disk, Token::keyring("x", vec![]), Some(0), true));
    assert_eq!(disk.0, before.0);
    assert!(opens(&mut disk, "new").is_ok());
}

/// A token that lists another keyslot too, and another one in front of it, as a program that edits tokens may leave
/// them.
#[test]
fn each_token_counts_for_its_own_keyslot_alone_and_all_are_tried() {
    let mut disk = half_changed();
    let mut header = Header::read(&mut disk).expect("a header");
    let tokens = &mut header.copy.metadata.tokens;
    let mut token = tokens.remove(&0).expect("the token");
    token.keyslots = vec![KeyslotId::new(0), KeyslotId::new(1)];
    let mut bad = token.clone();
    let material = bad.extra.get_mut("material").expect("material");
    *material = base64_to_value(&[7; 512]);
    tokens.insert(0, bad);
    tokens.insert(1, token);
    header.write(&mut disk).expect("memory");
    assert_eq!(header.unfinished_changes(), [0].map(KeyslotId::new));
    assert_eq!(opens(&mut disk, "new").expect("the second").keyslot, KeyslotId::new(0));
    assert_eq!(header.waiting_derivations(Some(KeyslotId::new(1))), []);
    assert_eq!(header.waiting_derivations(None).len(), 2);
    let mut other = Header::read(&mut disk).expect("a header");
    other
        .remove_keyslot(&mut disk, KeyslotId::new(1), Medium::Other)
        .expect("memory");
    assert_eq!(opens(&mut disk, "new").expect("it stays").keyslot, KeyslotId::new(0));
}

/// cryptsetup's erase leaves tokens without keyslots.
#[test]
fn an_erase_drops_what_waits_even_where_no_keyslot_is_left() {
    let mut disk = half_changed();
    let mut header = Header::read(&mut disk).expect("a header");
    let metadata = &mut header.copy.metadata;
    let mut token = metadata.tokens.remove(&0).expect("the token");
    token.keyslots.clear();
    for slot in [0, 1] {
        header
            .remove_keyslot(&mut disk, KeyslotId::new(slot), Medium::Other)
            .expect("memory");
    }
    header.copy.metadata.tokens.insert(0, token);
    header.copy.binary.seqid += 1;
    crate::luks2::copies::write(&mut disk, &header.copy).expect("memory");
    assert!(remains(&disk));
    let mut header = Header::read(&mut disk).expect("a header");
    assert_eq!(
        header.erase(&mut disk, Medium::Other).expect("memory"),
        Vec::<KeyslotId>::new()
    );
    assert!(!remains(&disk));

    let mut disk = half_changed();
    let mut header = Header::read(&mut disk).expect("a header");
    assert_eq!(
        header.erase(&mut disk, Medium::Other).expect("memory"),
        [0, 1].map(KeyslotId::new)
    );
    assert!(!remains(&disk));
}

/// The token is removed before the area is, or a stop in between would leave the key of a keyslot that was being
/// removed.
#[test]
fn a_keyslot_that_goes_cannot_be_opened_once_its_area_is_wiped() {
    let mut disk = Recorder::new(half_changed().0);
    let mut header = Header::read(&mut disk).expect("a header");
    let area = header.metadata().keyslots[&KeyslotId::new(0)].area.offset;
    header
        .remove_keyslot(&mut disk, KeyslotId::new(0), Medium::Other)
        .expect("memory");
    let wiped = |event: &Event| matches!(event, Event::Write { offset, .. } if *offset == area);
    let wiped = disk.events().iter().position(wiped).expect("it is wiped");
    let mut points = 0;
    disk.for_each_crash(|crash| {
        let mut image = Memory(crash.image.to_vec());
        if crash.after >= wiped {
            points += 1;
            assert!(opens(&mut image, "new").is_err(), "{:?}", (crash.after, crash.cause));
            assert!(
                crash.after == wiped || !remains(&image),
                "{:?}",
                (crash.after, crash.cause)
            );
        }
    });
    assert!(points > 4);
}

/// An area of another program's need not be whole sectors.
#[test]
fn a_change_in_place_writes_nothing_behind_the_area() {
    let key = VolumeKey::new(Secret::copy_from(&[7; 24]).expect("a page"));
    let new = NewKeyslot {
        encryption: "aes-cbc-essiv:sha256".parse().expect("a specification"),
        area_key_size: 16,
        ..new_keyslot()
    };
    let params = CreateParams {
        encryption: "aes-cbc-essiv:sha256".into(),
        keyslots_size: Some(Bytes::kib(96)),
        data: DataPlacement::Detached,
        ..params()
    };
    let mut header = Header::create(&params, &key, &limits()).expect("a header");
    let mut disk = Memory::zeroed(header.size().to_usize().expect("small"));
    header.write_new(&mut disk, Medium::Other).expect("memory");
    let of = |text: &str| new.seal(&key, &passphrase(text), &limits()).expect("memory");
    add_sealed(&mut header, &mut disk, &key, &of("old")).expect("room");
    let area = &mut header
        .copy
        .metadata
        .keyslots
        .get_mut(&KeyslotId::new(0))
        .expect("a keyslot")
        .area;
    area.size = Bytes::new(96_000);
    header.write(&mut disk).expect("memory");
    let before = disk.clone();
    let refused = change_sealed(&mut header, &mut disk, &key, &of("new"), Medium::Other);
    assert!(
        matches!(refused, Err(Error::NoRoomForKeyslot { needed: 96_256 })),
        "{refused:?}"
    );
    assert_eq!(disk.0, before.0);
}

#[test]
fn an_ended_change_has_what_was_asked_for_with_it() {
    let (image, mut header) = small(2);
    let mut disk = Recorder::new(image);
    let new = NewKeyslot {
        priority: Some(Priority::Prefer),
        ..small_keyslot()
    };
    let sealed = new.seal(&small_key(), &passphrase("new"), &limits()).expect("memory");
    let mut change = header.begin().expect("changeable");
    change
        .change_keyslot(KeyslotId::new(0), &sealed, &small_key(), &limits())
        .expect("a keyslot");
    change.set_labels(Some("named"), None).expect("short");
    change.commit(&mut disk, Medium::Other).expect("in place");
    let mut ended = 0;
    disk.for_each_crash(|crash| {
        let mut disk = Memory(crash.image.to_vec());
        let Ok(Unlocked {
            unfinished: Some(change),
            ..
        }) = opens(&mut disk, "new")
        else {
            return;
        };
        let mut header = AnyHeader::read(&mut disk).expect("a header");
        header
            .finish_change(&mut disk, KeyslotId::new(0), &change, Medium::Other)
            .expect("memory");
        let header = Header::read(&mut disk).expect("a header");
        assert_eq!(
            header.metadata().keyslots[&KeyslotId::new(0)].priority,
            Some(Priority::Prefer)
        );
        assert_eq!(header.binary().label, "named");
        ended += 1;
    });
    assert!(ended > 0);
}

/// Two ends of one interrupted change have one salt and different key material.
#[test]
fn a_keyslot_with_the_same_salt_is_not_taken_for_the_same() {
    let disk = half_changed();
    let end = || {
        let mut disk = disk.clone();
        let change = opens(&mut disk, "new").expect("it waits").unfinished;
        let mut header = AnyHeader::read(&mut disk).expect("a header");
        let ended = header.finish_change(
            &mut disk,
            KeyslotId::new(0),
            &change.expect("it is not finished"),
            Medium::Other,
        );
        ended.expect("memory");
        disk
    };
    let (mut from, to) = (end(), end());
    let backup = Backup::read(&mut from).expect("a backup");
    let mut disk = Recorder::new(to.0);
    let there = Header::read(&mut disk).expect("a header");
    assert_eq!(backup.header().metadata(), there.metadata());
    let survives = backup.survives_a_stop(&mut from, &mut disk, &there);
    assert_eq!(survives.ok(), Some(false));
    backup.restore(&mut from, &mut disk, Some(&there)).expect("no fault");
    assert!(disk.image() == from.0);
    // The other keyslot is the same, and not written.
    let area = &there.metadata().keyslots[&KeyslotId::new(1)].area;
    let (start, end) = (area.offset.get(), area.offset.get() + area.size.get());
    for event in disk.events() {
        let Event::Write { offset, data } = event else { continue };
        let (at, len) = (offset.get(), data.len() as u64);
        assert!(at >= end || at + len <= start, "{len} bytes are written at {at}");
    }
}

/// A disk that cannot read one of its sectors until that is written.
struct BadSector {
    disk: Memory,
    at: u64,
}

impl Storage for BadSector {
    fn size(&mut self) -> io::Result<Bytes> {
        self.disk.size()
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        match (offset.get()..offset.get() + buf.len() as u64).contains(&self.at) {
            true => Err(io::ErrorKind::Other.into()),
            false => self.disk.read_at(offset, buf),
        }
    }

    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> io::Result<()> {
        if (offset.get()..offset.get() + buf.len() as u64).contains(&self.at) {
            self.at = u64::MAX;
        }
        self.disk.write_at(offset, buf)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync()
    }
}

#[test]
fn a_restore_mends_a_keyslot_that_the_device_cannot_read() {
    let mut from = half_changed();
    let backup = Backup::read(&mut from).expect("a backup");
    let at = backup.header().metadata().keyslots[&KeyslotId::new(1)]
        .area
        .offset
        .get();
    let mut disk = BadSector {
        disk: from.clone(),
        at: at + 4096,
    };
    let there = Header::read(&mut disk).expect("its header can be read");
    backup
        .survives_a_stop(&mut from, &mut disk, &there)
        .expect("that is no error");
    backup
        .restore(&mut from, &mut disk, Some(&there))
        .expect("it can be written");
    assert_eq!(disk.at, u64::MAX);
    assert!(disk.disk.0 == from.0);
}
