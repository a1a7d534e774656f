//! New volumes: cryptsetup's layout, and invalid parameters.

use super::*;
use crate::error::Error;
use crate::luks1::DEFAULT_ALIGNMENT;
use crate::storage::fault::{Event, Recorder};
use crate::units::{Bytes, Sectors};

fn create(cipher: &str, key_len: usize, data: DataPlacement) -> Result<Header> {
    let params = CreateParams {
        cipher: &cipher.parse()?,
        hash: Hash::Sha256,
        uuid: None,
        digest_iterations: ITERATIONS,
        data,
    };
    Header::create(&params, &key(&vec![7; key_len]), &limits())
}

/// Payload offsets that Debian's cryptsetup 2.6.1 chose for the same options.
#[test]
fn the_data_start_where_cryptsetup_puts_them() {
    let aligned = |sectors| DataPlacement::Aligned(Sectors::new(sectors));
    let at = |sectors| DataPlacement::At(Sectors::new(sectors));
    let cases = [
        ("aes-cbc-essiv:sha256", 16, aligned(2048), 2048),
        ("aes-cbc-essiv:sha256", 24, aligned(2048), 2048),
        ("aes-cbc-essiv:sha256", 32, aligned(2048), 4096),
        ("aes-xts-plain64", 64, aligned(2048), 4096),
        ("aes-xts-plain64", 64, aligned(1), 4040),
        ("aes-xts-plain64", 64, aligned(8), 4040),
        ("aes-xts-plain64", 64, aligned(3000), 6000),
        ("aes-xts-plain64", 64, aligned(8192), 8192),
        ("aes-cbc-essiv:sha256", 24, aligned(3), 1545),
        ("aes-xts-plain64", 64, at(8192), 8192),
        ("aes-xts-plain64", 64, at(4040), 4040),
        ("aes-xts-plain64", 64, DataPlacement::Detached, 0),
    ];
    for (cipher, key_len, data, expected) in cases {
        let header = create(cipher, key_len, data).expect("good parameters");
        assert_eq!(
            header.payload_offset(),
            Sectors::new(expected),
            "{cipher} {key_len} {data:?}"
        );
        assert_eq!(header.key_size(), Bytes::new(key_len as u64));
    }
    assert_eq!(DEFAULT_ALIGNMENT, Sectors::new(2048));
}

#[test]
fn what_cannot_be_is_named() {
    let cases = [
        (
            "aes-xts-plain64",
            64,
            DataPlacement::At(Sectors::new(4032)),
            "payload offset",
        ),
        (
            "aes-xts-plain64",
            64,
            DataPlacement::At(Sectors::new(8)),
            "payload offset",
        ),
        (
            "aes-xts-plain64",
            64,
            DataPlacement::At(Sectors::new(4041)),
            "payload offset",
        ),
        (
            "aes-xts-plain64",
            64,
            DataPlacement::At(Sectors::new(1 << 32)),
            "payload offset",
        ),
        (
            "aes-xts-plain64",
            64,
            DataPlacement::Aligned(Sectors::new(1 << 32)),
            "payload offset",
        ),
        (
            "aes-xts-plain64",
            64,
            DataPlacement::Aligned(Sectors::ZERO),
            "payload offset",
        ),
        ("cipher_null-ecb", 16, DataPlacement::Detached, "cipher"),
    ];
    for (cipher, key_len, data, expected) in cases {
        match create(cipher, key_len, data).expect_err("cannot be") {
            Error::BadParameter { field, ref value, .. } => {
                assert_eq!(field, expected, "{cipher} {data:?}");
                // Readable for a person.
                assert!(!value.contains('('), "{value}");
            }
            other => panic!("{other}"),
        }
    }
    assert!(matches!(
        create("aes-xts-plain64", 17, DataPlacement::Detached),
        Err(Error::Cipher(_))
    ));
    let cipher: CipherSpec = "aes-cbc-plain".parse().expect("a known cipher");
    let volume_key = key(KEY);
    let good = || CreateParams {
        cipher: &cipher,
        hash: Hash::Sha256,
        uuid: None,
        digest_iterations: 1000,
        data: DataPlacement::Detached,
    };
    Header::create(&good(), &volume_key, &limits()).expect("good parameters");
    for bad in [
        CreateParams {
            uuid: Some("no uuid"),
            ..good()
        },
        CreateParams {
            digest_iterations: 999,
            ..good()
        },
        CreateParams {
            hash: *Hash::ALL
                .iter()
                .find(|hash| hash.output_len() < 20)
                .expect("blake2s-128 is one"),
            ..good()
        },
    ] {
        assert!(
            matches!(
                Header::create(&bad, &volume_key, &limits()),
                Err(Error::BadParameter { .. })
            ),
            "{bad:?}"
        );
    }
}

/// Sector by sector what cryptsetup leaves of a device that was full of 0xaa.
#[test]
fn a_new_volume_covers_all_that_was_there() {
    let header = header(DataPlacement::At(Sectors::new(2048)));
    let mut disk = Memory(vec![0xaa; 3000 * 512]);
    header
        .write_new(&mut disk, Default::default())
        .expect("memory can be written");
    let areas: Vec<u64> = header
        .keyslots()
        .iter()
        .map(|slot| slot.material_offset.get())
        .collect();
    for (number, sector) in (0_u64..).zip(disk.0.chunks(512)) {
        let in_area = areas.iter().any(|&start| (start..start + 125).contains(&number));
        match number {
            0..2 => {}
            2048.. => assert!(sector.iter().all(|&byte| byte == 0xaa), "sector {number} is data"),
            _ if in_area => assert!(
                sector.iter().any(|&byte| byte != sector[0]),
                "sector {number} is random"
            ),
            _ => assert!(sector.iter().all(|&byte| byte == 0), "sector {number} is zero"),
        }
    }
    assert_eq!(Header::read(&mut disk).expect("a header"), header);
    assert_eq!(header.active_keyslots().count(), 0);
}

#[test]
fn a_detached_header_ends_where_cryptsetups_file_does() {
    let header = create("aes-xts-plain64", 64, DataPlacement::Detached).expect("good parameters");
    assert_eq!(header.metadata_size(), Bytes::new(2_068_480));
    let mut disk = Memory(vec![0xaa; 2_068_480 + 512]);
    header
        .write_new(&mut disk, Default::default())
        .expect("memory can be written");
    assert_eq!(disk.0[2_068_480 - 1], 0);
    assert_eq!(disk.0[2_068_480], 0xaa);
    assert!(
        header
            .write_new(&mut Memory::zeroed(2_068_479), Default::default())
            .is_err()
    );
}

#[test]
fn the_header_comes_last_and_the_old_one_goes_first() {
    let (old, _) = volume(&[(0, "old")]);
    let mut disk = Recorder::new(old.0);
    let header = header(DataPlacement::Aligned(DEFAULT_ALIGNMENT));
    header
        .write_new(&mut disk, Default::default())
        .expect("memory can be written");
    let is_header = |event: &Event| matches!(event, Event::Write { offset, .. } if *offset == Bytes::ZERO);
    let events = disk.events();
    assert!(is_header(&events[0]) && events[1] == Event::Sync);
    assert!(events[events.len() - 3] == Event::Sync && is_header(&events[events.len() - 2]));
    assert_eq!(events[events.len() - 1], Event::Sync);
    disk.for_each_crash(|crash| {
        // The zeros may be on the disk as soon as they are written, and certainly are once they are synced.
        if let Ok(read) = Header::read(&mut Memory(crash.image.to_vec())) {
            assert!(
                crash.after <= if read == header { usize::MAX } else { 1 },
                "{:?}",
                crash.cause
            );
            assert!(crash.after <= 1 || crash.after >= events.len() - 2, "{:?}", crash.cause);
        }
    });
}

#[test]
fn uuids_are_taken_or_made() {
    let uuid = "11111111-2222-3333-4444-555555555556";
    let (mut disk, mut header) = volume(&[]);
    assert!(crate::uuid::is_uuid(header.uuid()));
    header.set_uuid(&mut disk, uuid).expect("a UUID");
    assert_eq!(Header::read(&mut disk).expect("a header").uuid(), uuid);
    assert!(matches!(
        header.set_uuid(&mut disk, "x"),
        Err(Error::BadParameter { .. })
    ));
    assert_eq!(header.uuid(), uuid);
}
