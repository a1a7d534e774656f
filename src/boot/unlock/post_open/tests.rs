//! Checks, and what is made or left alone.

use std::fs;

use super::swap::{page_size, swap_header};
use super::*;

fn options(list: &str) -> VolumeOptions {
    VolumeOptions::parse(list, &mut Vec::new())
}

#[test]
fn a_swap_area_is_one_that_is_known() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(1 << 20).expect("its size");
    make_swap(file.path()).expect("made");
    let names: Vec<_> = signatures::probe(file.path())
        .expect("probed")
        .iter()
        .map(|found| found.name)
        .collect();
    assert_eq!(names, ["swap"]);
    let bytes = fs::read(file.path()).expect("read");
    assert_eq!(bytes[1028..1032], 255_u32.to_ne_bytes());
    assert!(swap_header(4096, 9).is_err());
}

#[test]
fn checks_look_at_what_was_decrypted() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(1 << 20).expect("its size");
    let passes = |list: &str| check(Path::new("/source"), file.path(), &options(list)).is_ok();
    assert!(passes("luks") && !passes("check") && passes("check=un_blkid") && passes("check,checkargs=none"));
    make_swap(file.path()).expect("made");
    assert!(passes("check") && passes("check=blkid,checkargs=swap") && !passes("check,checkargs=ext4"));
    assert!(!passes("check=un_blkid") && passes("check=un_blkid,checkargs=ext4") && !passes("check,checkargs=none"));
    assert!(passes("check=/bin/true") && !passes("check=/bin/false") && !passes("check=no-such-check"));
}

#[test]
fn what_was_there_before_is_not_destroyed() {
    let source = tempfile::NamedTempFile::new().expect("a file");
    source.as_file().set_len(1 << 20).expect("its size");
    let mut header = vec![0; 600];
    header[512..520].copy_from_slice(b"EFI PART");
    fs::write(source.path(), &header).expect("written");
    let mapping = tempfile::NamedTempFile::new().expect("a file");
    mapping.as_file().set_len(1 << 20).expect("its size");
    let made = |key, offset, may_destroy| {
        let place = Place {
            source: source.path(),
            mapping: mapping.path(),
            key,
            offset: Sectors::new(offset),
        };
        mapping.as_file().set_len(0).expect("emptied");
        mapping.as_file().set_len(1 << 20).expect("its size");
        make(&place, &options("swap"), may_destroy)
    };
    let refused = |made| matches!(made, Err(UnlockError::WouldDestroy { .. }));
    let random = KeyLasts::No;
    assert!(refused(made(random, 0, false)) && refused(made(random, 2048, false)));
    assert!(made(random, 0, true).is_ok());
    // A small file system in front of the volume, by which it is found, is no reason.
    let mut ext = vec![0; 2048];
    ext[1024 + 4..1024 + 8].copy_from_slice(&512_u32.to_le_bytes());
    ext[1024 + 56..1024 + 58].copy_from_slice(&0xef53_u16.to_le_bytes());
    ext[1024 + 76] = 1;
    fs::write(source.path(), &ext).expect("written");
    assert!(made(random, 1024, false).is_ok() && refused(made(random, 1023, false)));
    // Nor is an empty volume; but one with a permanent key must not be overwritten.
    fs::write(source.path(), vec![0; 2048]).expect("written");
    assert!(made(random, 0, false).is_ok() && refused(made(KeyLasts::Proven, 4096, false)));
}

/// Data that a wrong key turns into noise may be a hibernation image.
#[test]
fn only_a_random_key_makes_anything() {
    let source = tempfile::NamedTempFile::new().expect("a file");
    source.as_file().set_len(1 << 20).expect("its size");
    let mapping = tempfile::NamedTempFile::new().expect("a file");
    for list in ["swap", "tmp=ext4"] {
        for (key, may_destroy, makes) in [
            (KeyLasts::Typed, false, false),
            (KeyLasts::Typed, true, false),
            (KeyLasts::Yes, false, false),
            (KeyLasts::Yes, true, true),
            (KeyLasts::Proven, true, true),
            (KeyLasts::No, false, true),
        ] {
            fs::write(mapping.path(), vec![0x5a; 1 << 20]).expect("noise");
            let place = Place {
                source: source.path(),
                mapping: mapping.path(),
                key,
                offset: Sectors::ZERO,
            };
            let made = make(&place, &options(list), may_destroy);
            let changed = fs::read(mapping.path()).expect("read") != vec![0x5a; 1 << 20];
            assert_eq!(changed, makes, "{list} {key:?} {may_destroy}: {made:?}");
            match key {
                // Another prompt appears.
                KeyLasts::Typed => assert!(made.is_err_and(|error| error.is_wrong_passphrase())),
                KeyLasts::Yes if !may_destroy => assert!(made.is_ok_and(|note| note.is_some())),
                _ => assert!(made.is_ok_and(|note| note.is_none())),
            }
        }
    }
}

#[test]
fn no_image_of_a_machine_that_sleeps_is_overwritten() {
    const KINDS: [&[u8]; 5] = [
        b"S1SUSPEND\0",
        b"S2SUSPEND\0",
        b"ULSUSPEND\0",
        b"LINHIB0001",
        b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c",
    ];
    let outside = tempfile::NamedTempFile::new().expect("a file");
    let inside = tempfile::NamedTempFile::new().expect("a file");
    for magic in KINDS {
        for in_front in [false, true] {
            let mut image = vec![0; 1 << 20];
            image[4086..4086 + magic.len()].copy_from_slice(magic);
            let blank = vec![0; 1 << 20];
            let (front, behind) = if in_front { (&image, &blank) } else { (&blank, &image) };
            fs::write(outside.path(), front).expect("written");
            fs::write(inside.path(), behind).expect("written");
            for key in [KeyLasts::No, KeyLasts::Yes, KeyLasts::Typed, KeyLasts::Proven] {
                let place = Place {
                    source: outside.path(),
                    mapping: inside.path(),
                    key,
                    offset: Sectors::ZERO,
                };
                for list in ["swap", "tmp=ext4"] {
                    let made = make(&place, &options(list), true);
                    let kept = list == "swap" && !in_front;
                    assert_eq!(made.is_ok(), kept, "{list} {key:?} {magic:?}: {made:?}");
                    assert!(fs::read(inside.path()).expect("read") == *behind);
                }
            }
        }
    }
}

#[test]
fn an_image_that_ends_in_front_of_the_volume_is_no_reason() {
    let outside = tempfile::NamedTempFile::new().expect("a file");
    let inside = tempfile::NamedTempFile::new().expect("a file");
    let page = page_size().expect("known");
    let mut image = vec![0; 1 << 20];
    image[page - 10..page].copy_from_slice(b"S1SUSPEND\0");
    image[1028..1032].copy_from_slice(&9_u32.to_ne_bytes());
    fs::write(outside.path(), image).expect("written");
    let end = page as u64 / 512 * 10;
    for (offset, made) in [(0, false), (end - 1, false), (end, true)] {
        fs::write(inside.path(), vec![0; 1 << 20]).expect("written");
        let place = Place {
            source: outside.path(),
            mapping: inside.path(),
            key: KeyLasts::No,
            offset: Sectors::new(offset),
        };
        assert_eq!(make(&place, &options("swap"), false).is_ok(), made, "{offset}");
    }
}

#[test]
fn a_swap_area_and_what_sleeps_in_it_are_left_alone() {
    let source = tempfile::NamedTempFile::new().expect("a file");
    let mapping = tempfile::NamedTempFile::new().expect("a file");
    mapping.as_file().set_len(1 << 20).expect("its size");
    make_swap(mapping.path()).expect("made");
    let before = fs::read(mapping.path()).expect("read");
    for (key, may_destroy) in [(KeyLasts::Proven, false), (KeyLasts::No, false), (KeyLasts::Yes, true)] {
        let place = Place {
            source: source.path(),
            mapping: mapping.path(),
            key,
            offset: Sectors::ZERO,
        };
        make(&place, &options("swap"), may_destroy).expect("it is there");
        assert!(fs::read(mapping.path()).expect("read") == before);
        if !may_destroy {
            let made = make(&place, &options("tmp=ext4"), false);
            assert!(matches!(made, Err(UnlockError::WouldDestroy { .. })));
        }
    }
}
