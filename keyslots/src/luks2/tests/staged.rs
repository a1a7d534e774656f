//! What an interrupted change leaves in a token: who opens it, what ends it, and what drops it.

use super::crash::{KEY, change, small};
use super::*;
use crate::header::Header as AnyHeader;
use crate::luks2::CHANGE_TOKEN;
use crate::storage::fault::Recorder;

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
    assert_eq!(opens(&mut disk, "new").expect("the new one").keyslot, 0);
    assert!(matches!(opens(&mut disk, "old"), Err(Error::WrongPassphrase)));
    opens(&mut disk, "other").expect("it stays");
}

#[test]
fn the_new_passphrase_ends_an_interrupted_change() {
    let mut disk = half_changed();
    assert!(remains(&disk));
    let unlocked = opens(&mut disk, "new").expect("it waits");
    assert_eq!((unlocked.keyslot, unlocked.volume_key.expose()), (0, KEY.as_slice()));
    let change = unlocked.unfinished.expect("it is not finished");
    let mut header = AnyHeader::read(&mut disk).expect("a header");
    header
        .finish_change(&mut disk, 0, &change, Medium::Other)
        .expect("memory");
    assert!(!remains(&disk));
    assert!(opens(&mut disk, "new").expect("it opens").unfinished.is_none());
    // Nothing is left for a process that was slower.
    let before = disk.clone();
    header
        .finish_change(&mut disk, 0, &change, Medium::Other)
        .expect("nothing to do");
    assert_eq!(disk.0, before.0);
}

#[test]
fn a_removed_keyslot_takes_the_waiting_key_with_it() {
    let mut disk = half_changed();
    let mut header = Header::read(&mut disk).expect("a header");
    header.remove_keyslot(&mut disk, 0, Medium::Other).expect("memory");
    assert!(!remains(&disk));
    // As another program leaves it: the token names no keyslot any more.
    let mut disk = half_changed();
    let mut header = Header::read(&mut disk).expect("a header");
    let token = header.metadata().tokens.keys().copied().next().expect("the token");
    header.assign_token(&mut disk, token, 0, false).expect("memory");
    assert!(!remains(&disk));
    assert!(matches!(opens(&mut disk, "new"), Err(Error::WrongPassphrase)));
}

/// Anybody can import a token of this type.
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
        let text =
            format!(r#"{{"type":"{CHANGE_TOKEN}","keyslots":["0"],"keyslot":{keyslot},"material":"{material}"}}"#);
        let token = Token::from_json(text.as_bytes()).expect("a token");
        let mut disk = Memory(image.clone());
        let mut header = Header::read(&mut disk).expect("a header");
        header.put_token(&mut disk, token, None, false).expect("room");
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
