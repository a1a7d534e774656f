//! Before keyslots are destroyed, and a damaged header.

use std::os::unix::fs::FileExt as _;

use keyslots::KeyslotId;
use keyslots::header::Version;

use super::*;
use crate::crypt_device::repair::{Problem, examine, mend};

#[test]
fn another_keyslot_has_to_open_and_the_last_one_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, key) = volume(&path);
    for text in ["one", "two"] {
        change(|changing| add(&volume, changing, &key, text)).expect("room");
    }
    let other = VolumeKey::random(32).expect("random bytes");
    let unbound = (&other, KeyFor::Unbound(Hash::Sha256, 1000), None);
    change(|changing| add_as(&volume, changing, unbound, "unbound")).expect("room");
    let (volume, no) = (load(&path, HeaderPlace::WithData), Answer::new(false));
    // The passphrase of an unbound key says nothing about the data.
    assert_eq!(
        volume.proofs_for_removal(KeyslotId::new(0)),
        [Candidates::Keyslot(KeyslotId::new(1))]
    );
    volume.confirm_removal(&no, KeyslotId::new(0)).expect("another is left");
    volume.check_free_keyslot(Some(KeyslotId::new(0))).expect_err("in use");
    volume.check_used_keyslot(KeyslotId::new(3)).expect_err("free");
    change(|changing| volume.remove_keyslot(changing, KeyslotId::new(0), None)).expect("another is left");
    let volume = load(&path, HeaderPlace::WithData);
    assert_eq!(
        volume.proofs_for_removal(KeyslotId::new(1)),
        [Candidates::Keyslot(KeyslotId::new(1))]
    );
    assert!(no.1.borrow().is_empty());
    let declined = volume
        .confirm_removal(&no, KeyslotId::new(1))
        .expect_err("the last one");
    assert!(matches!(declined, CryptError::Declined), "{declined}");
}

#[test]
fn a_damaged_copy_is_found_and_repaired_when_it_is_still_the_same_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, _) = volume(&path);
    let device = HeaderDevice::new(&path, false);
    let examined = examine(&device, Wanted::Any).expect("a header");
    assert_eq!((examined.problems, examined.version), (vec![], Some(Version::Luks2)));
    let second = volume.header.luks2().expect("LUKS2").binary().hdr_size.get();
    let file = File::options().write(true).open(&path).expect("a file");
    file.write_all_at(&[7; 16], second + 0x1000).expect("written");
    let found = examine(&device, Wanted::Any).expect("a header").problems;
    assert!(matches!(found[..], [Problem::DamagedCopy { .. }]), "{found:?}");
    let other = change(|changing| mend(changing, &device, Wanted::Any, &[Problem::Leftovers]));
    assert_eq!(other.expect_err("not what was agreed to").errno(), Errno::ENODEV);
    change(|changing| mend(changing, &device, Wanted::Any, &found)).expect("repaired");
    assert!(examine(&device, Wanted::Any).expect("a header").problems.is_empty());
}
