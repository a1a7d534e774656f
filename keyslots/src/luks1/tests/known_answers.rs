//! A volume that Debian's cryptsetup made, see `testdata/README.md`.

use super::*;
use crate::KeyslotId;
use crate::error::Error;
use crate::luks1::KeyslotState;
use crate::units::{Bytes, Sectors};

const IMAGE: &[u8] = include_bytes!("../testdata/debian-aes128.img");

fn disk() -> Memory {
    let mut disk = Memory(IMAGE.to_vec());
    disk.0.resize(END as usize * 512, 0);
    disk
}

#[test]
fn it_opens_with_its_passphrase_and_gives_its_key() {
    let mut disk = disk();
    let header = Header::read(&mut disk).expect("a header");
    for slot in [None, Some(KeyslotId::new(0))] {
        let unlocked = header
            .unlock(&mut disk, &passphrase("correct horse"), slot, &limits())
            .expect("opens");
        assert_eq!(
            (unlocked.keyslot, unlocked.volume_key.expose()),
            (KeyslotId::new(0), KEY.as_slice())
        );
    }
    for wrong in ["correct horse\n", "", "Correct horse"] {
        let error = header
            .unlock(&mut disk, &passphrase(wrong), None, &limits())
            .expect_err("wrong");
        assert!(matches!(error, Error::WrongPassphrase), "{error}");
    }
}

#[test]
fn its_digest_knows_its_key_and_no_other() {
    let header = Header::from_bytes(IMAGE, None).expect("a header");
    header.verify_volume_key(&key(KEY), &limits()).expect("the key");
    // PBKDF2 pads its password with zeros: the longer key has the same digest, and is still another key.
    let mut padded = KEY.to_vec();
    padded.push(0);
    for wrong in [b"0123456789abcdeg".as_slice(), b"", &padded] {
        let error = header
            .verify_volume_key(&key(wrong), &limits())
            .expect_err("another key");
        assert!(matches!(error, Error::WrongVolumeKey), "{error}");
    }
}

/// What `luksDump` printed for it.
#[test]
fn its_fields_are_those_of_the_dump() {
    let header = Header::from_bytes(IMAGE, Some(Bytes::mib(1))).expect("a header");
    assert_eq!(
        (header.cipher_name(), header.cipher_mode()),
        ("aes", "cbc-essiv:sha256")
    );
    assert_eq!((header.hash_name(), header.hash()), ("sha256", Hash::Sha256));
    assert_eq!(
        (header.payload_offset(), header.key_size()),
        (Sectors::new(END), Bytes::new(16))
    );
    assert_eq!(header.uuid(), "11111111-2222-3333-4444-555555555556");
    assert_eq!(header.mk_iterations(), 1000);
    assert_eq!(header.active_keyslots().collect::<Vec<_>>(), [0].map(KeyslotId::new));
    let slot = header.keyslot(KeyslotId::new(0)).expect("eight keyslots");
    assert_eq!(
        (slot.iterations, slot.stripes, slot.material_offset),
        (1000, 4000, Sectors::new(8))
    );
    assert_eq!(
        header.keyslot(KeyslotId::new(1)).map(|slot| slot.state),
        Some(KeyslotState::Inactive)
    );
    assert!(header.keyslot(KeyslotId::new(8)).is_none());
    assert_eq!(header.raw().to_bytes(), IMAGE[..592]);
}

/// `luksHeaderBackup` wrote 528384 bytes of it.
#[test]
fn its_backup_has_the_size_of_cryptsetups() {
    let mut disk = disk();
    let header = Header::read(&mut disk).expect("a header");
    assert_eq!(header.backup_size(&mut disk).expect("readable"), Bytes::new(528_384));
    assert_eq!(header.metadata_size(), Bytes::new(528_384));
}

#[test]
fn a_keyslot_of_ours_stands_beside_it() {
    let mut disk = disk();
    let mut header = Header::read(&mut disk).expect("a header");
    assert_eq!(
        add(&mut header, &mut disk, "ours", None).expect("a free slot"),
        KeyslotId::new(1)
    );
    assert_eq!(opens(&disk.0, "ours"), Some(1));
    assert_eq!(opens(&disk.0, "correct horse"), Some(0));
}
