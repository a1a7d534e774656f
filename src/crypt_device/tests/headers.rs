//! Changes of a header as a whole: settings, conversion.

use std::fs;

use keyslots::KeyslotId;
use keyslots::header::Version;
use keyslots::luks2::Priority;

use super::*;
use crate::slot_names::SlotRef;

#[test]
fn settings_are_changed_all_at_once_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, key) = volume(&path);
    change(|changing| add(&volume, changing, &key, "pw")).expect("room");
    let set = |slot, name| {
        let slot = SlotRef::Number(slot);
        let settings = Settings {
            label: Some("label"),
            subsystem: None,
            keyslot: Some(KeyslotSettings {
                slot: &slot,
                priority: Some(Priority::Prefer),
                name,
            }),
        };
        change(|changing| configure(changing, &volume.device, &settings))
    };
    let before = fs::read(&path).expect("a file");
    assert_eq!(
        set(KeyslotId::new(1), None).expect_err("no key in it").errno(),
        Errno::ENOENT
    );
    assert_eq!(
        set(KeyslotId::new(0), Some(("7", false))).expect_err("no name").errno(),
        Errno::EINVAL
    );
    assert_eq!(fs::read(&path).expect("a file"), before);
    set(KeyslotId::new(0), Some(("office", true))).expect("a keyslot");
    // It is protected now, and has to be called by its name.
    assert_eq!(
        set(KeyslotId::new(0), Some(("home", true)))
            .expect_err("protected")
            .errno(),
        Errno::EPERM
    );
    let volume = load(&path, HeaderPlace::WithData);
    let header = volume.header.luks2().expect("LUKS2");
    assert_eq!(header.binary().label, "label");
    assert_eq!(
        header.metadata().keyslots[&KeyslotId::new(0)].priority(),
        Priority::Prefer
    );
}

#[test]
fn a_new_uuid_is_checked_and_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, _) = volume(&path);
    let uuid = "11111111-2222-3333-4444-555555555555";
    let set = |uuid, answer: &Answer| change(|changing| volume.set_uuid(changing, answer, uuid));
    let (yes, no) = (Answer::new(true), Answer::new(false));
    assert!(matches!(set("no UUID", &yes), Err(CryptError::BadUuid(_))));
    assert!(yes.1.borrow().is_empty());
    assert_eq!(set(uuid, &no).expect_err("declined").errno(), Errno::ECANCELED);
    set(uuid, &yes).expect("agreed to");
    assert_eq!(load(&path, HeaderPlace::WithData).header.uuid(), uuid);
}

#[test]
fn a_volume_is_converted_when_that_was_confirmed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, key) = volume(&path);
    change(|changing| add(&volume, changing, &key, "pw")).expect("room");
    let convert = |to, answer: &Answer| {
        let mut volume = load(&path, HeaderPlace::WithData);
        change(|changing| volume.convert(changing, answer, &path, to))
    };
    let (yes, no) = (Answer::new(true), Answer::new(false));
    let same = convert(Version::Luks2, &yes).expect_err("it is LUKS2");
    assert!(matches!(same, CryptError::AlreadyVersion(Version::Luks2)), "{same}");
    let before = fs::read(&path).expect("a file");
    let declined = convert(Version::Luks1, &no).expect_err("declined");
    assert!(matches!(declined, CryptError::Declined), "{declined}");
    assert_eq!(fs::read(&path).expect("a file"), before);
    convert(Version::Luks1, &yes).expect("LUKS1 can hold it");
    assert!(yes.1.borrow()[0].contains("loses: false"), "{yes:?}");
    let limits = CostLimits::default();
    let mut luks1 = load(&path, HeaderPlace::WithData);
    assert_eq!(luks1.header.version(), Version::Luks1);
    assert_eq!(
        luks1.opens(&secret("pw"), Candidates::All, &limits),
        Some(KeyslotId::new(0))
    );
    convert(Version::Luks2, &yes).expect("and back");
    let mut luks2 = load(&path, HeaderPlace::WithData);
    assert_eq!(
        luks2.opens(&secret("pw"), Candidates::All, &limits),
        Some(KeyslotId::new(0))
    );
}

#[test]
fn a_backup_is_restored_when_that_was_confirmed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, backup) = (folder.path().join("volume"), folder.path().join("backup"));
    let (mut volume, key) = volume(&path);
    change(|changing| add(&volume, changing, &key, "pw")).expect("room");
    volume.back_up_to(&backup).expect("room");
    let exists = volume.back_up_to(&backup).expect_err("it is there");
    assert_eq!(exists.errno(), Errno::EEXIST);
    let volume = load(&path, HeaderPlace::WithData);
    let kept = change(|changing| volume.erase_keyslots(changing, &Answer::new(false), &path, None));
    assert!(matches!(kept, Err(CryptError::Declined)));
    change(|changing| volume.erase_keyslots(changing, &Answer::new(true), &path, None)).expect("one keyslot");

    let nowhere = folder.path().join("none");
    let restore = |file, answer: &Answer| {
        let device = HeaderDevice::new(&path, false);
        change(|changing| restore(changing, answer, &device, file))
    };
    let (yes, no) = (Answer::new(true), Answer::new(false));
    let itself = restore(&path, &yes).expect_err("the same file");
    assert!(
        matches!(itself, CryptError::Restore(RestoreError::Itself(_))),
        "{itself}"
    );
    let missing = restore(&nowhere, &yes).expect_err("no file");
    assert_eq!(missing.errno(), Errno::ENOENT);
    assert!(yes.1.borrow().is_empty());
    let before = fs::read(&path).expect("a file");
    assert!(matches!(restore(&backup, &no), Err(CryptError::Declined)));
    assert_eq!(fs::read(&path).expect("a file"), before);
    assert_eq!(restore(&backup, &yes).expect("it fits"), [0].map(KeyslotId::new));
    assert!(yes.1.borrow()[0].contains("same_uuid: true"), "{yes:?}");
    let mut volume = load(&path, HeaderPlace::WithData);
    assert_eq!(
        volume.opens(&secret("pw"), Candidates::All, &CostLimits::default()),
        Some(KeyslotId::new(0))
    );
}

#[test]
fn tokens_are_added_and_removed_but_not_reserved_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, key) = volume(&path);
    change(|changing| add(&volume, changing, &key, "pw")).expect("room");
    let volume = load(&path, HeaderPlace::WithData);
    let place = TokenPlace {
        id: Some(3),
        replace: false,
    };
    let added = change(|changing| volume.add_keyring_token(changing, "a key", None, place));
    assert_eq!(added.expect("room"), 3);
    let taken = change(|changing| volume.add_keyring_token(changing, "a key", None, place));
    assert!(taken.is_err());
    let volume = load(&path, HeaderPlace::WithData);
    assert_eq!(volume.token_key_description(3).expect("it names a key"), b"a key");
    assert_eq!(volume.token(3).expect("a token").keyslots, [0].map(KeyslotId::new));
    assert_eq!(volume.token(4).expect_err("none").errno(), Errno::ENOENT);
    assert_eq!(volume.token(32).expect_err("no such number").errno(), Errno::EINVAL);
    change(|changing| volume.unassign_token(changing, 3, KeyslotId::new(0))).expect("it is assigned");
    let text = br#"{"type":"mine","keyslots":["0"]}"#;
    let token = parse_importable(text).expect("a token");
    let replace = TokenPlace { replace: true, ..place };
    assert_eq!(
        change(|changing| volume.add_token(changing, token, replace)).expect("replaced"),
        3
    );
    change(|changing| volume.remove_token(changing, 3)).expect("it is there");
    for text in [&br#"{"type":"luks2-mine","keyslots":[]}"#[..], b"{", b"[]"] {
        parse_importable(text).expect_err("not for import");
    }
}
