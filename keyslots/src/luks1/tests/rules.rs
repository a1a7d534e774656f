//! One header for each rule, with that one broken.

use super::*;
use crate::KeyslotId;
use crate::error::Error;
use crate::luks1::{Defect, HEADER_LEN, KeyslotState, MAX_KEY_BYTES, validate};
use crate::storage::Unreadable;
use crate::units::{Bytes, Sectors};

/// The field that is broken, how, and the resulting error.
type Case = (fn(&mut RawHeader), fn(&Defect) -> bool, &'static str);

#[test]
fn each_rule_has_its_own_defect() {
    let cases: &[Case] = &[
        (
            |h| h.magic = *b"SKUL\xba\xbe",
            |d| matches!(d, Defect::Magic(_)),
            "magic is",
        ),
        (|h| h.version = 2, |d| *d == Defect::Version(2), "version is 2, not 1"),
        (
            |h| h.cipher_name = [b'a'; 32],
            |d| *d == Defect::NotTerminated { field: "cipher name" },
            "cipher name has no final NUL",
        ),
        (
            |h| h.cipher_mode = [b'a'; 32],
            |d| *d == Defect::NotTerminated { field: "cipher mode" },
            "cipher mode has no final NUL",
        ),
        (
            |h| h.hash = [b'a'; 32],
            |d| *d == Defect::NotTerminated { field: "hash" },
            "hash has no final NUL",
        ),
        (
            |h| h.uuid = [b'a'; 40],
            |d| *d == Defect::NotTerminated { field: "uuid" },
            "uuid has no final NUL",
        ),
        (
            |h| h.cipher_name = [0; 32],
            |d| *d == Defect::Empty { field: "cipher name" },
            "cipher name is empty",
        ),
        (
            |h| h.cipher_mode = [0; 32],
            |d| *d == Defect::Empty { field: "cipher mode" },
            "cipher mode is empty",
        ),
        (
            |h| h.hash = [0; 32],
            |d| *d == Defect::Empty { field: "hash" },
            "hash is empty",
        ),
        (
            |h| h.uuid[0] = 0x1b,
            |d| matches!(d, Defect::NotPrintable { field: "uuid", .. }),
            "uuid is \"\\u{1b}",
        ),
        (
            |h| h.cipher_mode[0] = 0xff,
            |d| {
                matches!(
                    d,
                    Defect::NotPrintable {
                        field: "cipher mode",
                        ..
                    }
                )
            },
            "not plain ASCII",
        ),
        (
            |h| h.hash[0] = b'x',
            |d| *d == Defect::UnknownHash("xha256".into()),
            "hash is \"xha256\", which is unknown",
        ),
        (|h| h.key_bytes = 0, |d| *d == Defect::KeyBytesZero, "key bytes is 0"),
        (
            |h| h.key_bytes = MAX_KEY_BYTES + 1,
            |d| *d == Defect::KeyBytesTooMany(4097),
            "key bytes is 4097: more than 4096",
        ),
        (
            |h| h.key_bytes = u32::MAX,
            |d| *d == Defect::KeyBytesTooMany(u32::MAX),
            "4294967295",
        ),
        (
            |h| h.mk_iterations = 0,
            |d| *d == Defect::DigestIterationsZero,
            "iterations is 0",
        ),
        (
            |h| h.keyslots[0].stripes = 3999,
            |d| {
                *d == Defect::Stripes {
                    slot: KeyslotId::new(0),
                    value: 3999,
                }
            },
            "keyslot 0: stripes is 3999, not 4000",
        ),
        (
            |h| h.keyslots[3].stripes = 0,
            |d| {
                *d == Defect::Stripes {
                    slot: KeyslotId::new(3),
                    value: 0,
                }
            },
            "keyslot 3",
        ),
        (
            |h| h.keyslots[0].material_offset = 1,
            |d| {
                *d == Defect::MaterialInHeader {
                    slot: KeyslotId::new(0),
                    offset: Sectors::new(1),
                }
            },
            "keyslot 0: key material offset is 1 sectors: inside the header",
        ),
        (
            |h| h.payload_offset = 1028,
            |d| matches!(d, Defect::MaterialInPayload { slot, end, .. } if slot.get() == 7 && *end == Sectors::new(1029)),
            "keyslot 7: key material ends at 1029 sectors: behind the payload offset of 1028 sectors",
        ),
        (
            |h| h.keyslots[1].material_offset = u32::MAX,
            |d| matches!(d, Defect::MaterialInPayload { slot, .. } if slot.get() == 1),
            "4294967420",
        ),
        (
            |h| h.keyslots[1].material_offset = 132,
            |d| {
                *d == Defect::MaterialOverlap {
                    slot: KeyslotId::new(1),
                    other: KeyslotId::new(0),
                }
            },
            "keyslot 1: key material overlaps that of keyslot 0",
        ),
        (
            |h| h.key_bytes = 32,
            |d| {
                *d == Defect::MaterialOverlap {
                    slot: KeyslotId::new(1),
                    other: KeyslotId::new(0),
                }
            },
            "overlaps",
        ),
        (
            |h| (h.payload_offset, h.keyslots[7].material_offset) = (0, 1928),
            |d| matches!(d, Defect::MaterialPastDevice { slot, .. } if slot.get() == 7),
            "keyslot 7: key material ends at 1051136 bytes: the device has 1048576 bytes",
        ),
        (
            |h| (h.payload_offset, h.keyslots[7].material_offset) = (0, u32::MAX),
            |d| matches!(d, Defect::MaterialPastDevice { slot, .. } if slot.get() == 7),
            "2199023319040",
        ),
    ];
    for (number, (break_it, is_it, text)) in cases.iter().enumerate() {
        let mut raw = raw();
        validate(&raw, Some(Bytes::mib(1))).expect("a good header");
        break_it(&mut raw);
        let defect = validate(&raw, Some(Bytes::mib(1))).expect_err(&format!("case {number}: {text}"));
        assert!(is_it(&defect), "case {number}: {defect:?}");
        assert!(defect.to_string().contains(text), "case {number}: {defect}");
    }
}

#[test]
fn a_hash_shorter_than_the_digest_is_refused() {
    let short = Hash::ALL
        .iter()
        .find(|hash| hash.output_len() < 20)
        .expect("blake2s-128 is one");
    let mut raw = raw();
    raw.hash = [0; 32];
    raw.hash[..short.name().len()].copy_from_slice(short.name().as_bytes());
    let defect = validate(&raw, None).expect_err("too short");
    assert_eq!(
        defect,
        Defect::HashTooShort {
            name: short.name().into(),
            len: short.output_len()
        }
    );
}

#[test]
fn what_is_at_the_very_limit_is_allowed() {
    let changes: [fn(&mut RawHeader); 7] = [
        |h| h.payload_offset = 1029,
        |h| h.keyslots[0].material_offset = 2,
        |h| h.keyslots[1].material_offset = 133,
        |h| h.payload_offset = 0,
        |h| h.uuid = [0; 40],
        |h| h.hash[..6].copy_from_slice(b"SHA256"),
        // Bytes after a NUL have no meaning, and are kept.
        |h| h.uuid[37] = 0xff,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut raw = raw();
        change(&mut raw);
        let header = validate(&raw, Some(Bytes::new(1029 * 512))).unwrap_or_else(|defect| panic!("{number}: {defect}"));
        assert_eq!(header.raw(), &raw);
        assert_eq!(header.hash(), Hash::Sha256);
    }
}

#[test]
fn another_state_is_invalid_and_not_inactive() {
    let mut raw = raw();
    raw.keyslots[2].state = 0xdead_0000;
    let header = validate(&raw, None).expect("only that keyslot is unusable");
    assert_eq!(header.keyslots()[2].state, KeyslotState::Invalid(0xdead_0000));
    assert_eq!(header.active_keyslots().collect::<Vec<_>>(), [0, 7].map(KeyslotId::new));
    assert!(matches!(header.free_keyslot(Some(KeyslotId::new(2))), Err(Error::KeyslotFull(slot)) if slot.get() == 2));
    assert_eq!(header.free_keyslot(None).expect("slot 1"), KeyslotId::new(1));
}

#[test]
fn what_is_no_header_is_told_from_a_broken_one() {
    let bytes = raw().to_bytes();
    assert!(matches!(Header::from_bytes(b"", None), Err(Error::NotLuks)));
    assert!(matches!(
        Header::from_bytes(&[0; HEADER_LEN], None),
        Err(Error::NotLuks)
    ));
    assert!(matches!(
        Header::from_bytes(&bytes[..591], None),
        Err(Error::Luks1(Defect::Truncated(591)))
    ));
    let mut version = bytes;
    version[7] = 3;
    assert!(matches!(
        Header::from_bytes(&version, None),
        Err(Error::UnknownVersion(3))
    ));
    for len in [0, 1, 591] {
        assert!(
            matches!(Header::read(&mut Memory(bytes[..len].to_vec())), Err(Error::NotLuks)),
            "{len} bytes"
        );
    }
}

#[test]
fn what_a_header_says_is_what_stands_in_it() {
    let raw = raw();
    let bytes = raw.to_bytes();
    let header = Header::from_bytes(&bytes, None).expect("a good header");
    // LUKS1 On-Disk Format 1.2.3, figure 1.
    assert_eq!(header.mk_digest()[..], bytes[112..132]);
    assert_eq!(header.mk_salt()[..], bytes[132..164]);
    assert_eq!(header.area_size(), Bytes::new(16 * 4000));
}

#[test]
fn a_device_that_cannot_be_read_is_no_foreign_one() {
    assert!(matches!(Header::read(&mut Unreadable), Err(Error::Io { .. })));
}

#[test]
fn areas_may_touch() {
    // 16 bytes in 4000 stripes are 125 sectors.
    let first = raw().keyslots[0].material_offset;
    let mut raw = raw();
    raw.keyslots[1].material_offset = first + 125;
    assert!(validate(&raw, None).is_ok());
    raw.keyslots[1].material_offset = first + 124;
    let overlap = Defect::MaterialOverlap {
        slot: KeyslotId::new(1),
        other: KeyslotId::new(0),
    };
    assert_eq!(validate(&raw, None).expect_err("they overlap"), overlap);
}

#[test]
fn a_hash_as_long_as_the_digest_is_taken() {
    let mut raw = raw();
    raw.hash = [0; 32];
    raw.hash[..4].copy_from_slice(b"sha1");
    assert_eq!(validate(&raw, None).expect("20 bytes are enough").hash(), Hash::Sha1);
}

/// Whatever value a byte of the header takes, reading it does not panic, and neither does opening the rest.
#[test]
fn no_byte_makes_it_panic() {
    let good = raw().to_bytes();
    let mut disk = Memory::zeroed(1 << 20);
    // All of them would take Miri hours.
    for at in (0..HEADER_LEN).step_by(if cfg!(miri) { 67 } else { 1 }) {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            disk.0[..HEADER_LEN].copy_from_slice(&good);
            disk.0[at] = value;
            if let Ok(header) = Header::read(&mut disk) {
                assert_eq!(header.raw().to_bytes()[at], value);
                assert!(header.metadata_size() <= Bytes::mib(1), "byte {at} is {value}");
            }
            let _ = crate::luks1::Repair::diagnose(&mut disk);
        }
    }
}
