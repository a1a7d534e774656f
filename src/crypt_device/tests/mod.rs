//! A volume in a file: the events of unlocking and changing it, and what is refused.

mod format;
mod headers;
mod opening;
mod removal;

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::Path;

use keyslots::KeyslotId;
use keyslots::hash::Hash;
use keyslots::kdf::CostLimits;
use keyslots::luks2::{self, Candidates};
use keyslots::secret::{Passphrase, Secret, VolumeKey};
use keyslots::wipe::Medium;
use nix::errno::Errno;

use super::*;
use crate::header_device::{HeaderDevice, Wanted};
use crate::volume::fixtures::{cheap_header, cheap_keyslot};

#[derive(Debug, Default)]
struct Heard(RefCell<Vec<String>>);

impl Observer for Heard {
    fn notice(&self, event: Event<'_>) {
        self.0.borrow_mut().push(format!("{event:?}"));
    }
}

fn secret(text: &str) -> Passphrase {
    Passphrase::new(Secret::copy_from(text.as_bytes()).expect("a page"))
}

/// A volume without keyslots, and its key.
fn volume(path: &Path) -> (LuksDevice, VolumeKey) {
    let key = VolumeKey::random(32).expect("random bytes");
    let params = cheap_header();
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .expect("a file");
    file.set_len(18 << 20).expect("room");
    let mut header = luks2::Header::create(&params, &key, &CostLimits::default()).expect("a header");
    header.write_new(&mut file, Medium::Other).expect("written");
    (load(path, HeaderPlace::WithData), key)
}

fn load(path: &Path, place: HeaderPlace) -> LuksDevice {
    LuksDevice::load(HeaderDevice::new(path, false), place, Wanted::Any, false).expect("a header")
}

fn cost() -> KeyslotCost {
    KeyslotCost::Luks2(cheap_keyslot())
}

fn add(volume: &LuksDevice, changing: &Changing<'_>, key: &VolumeKey, text: &str) -> Result<KeyslotId, CryptError> {
    add_as(volume, changing, (key, KeyFor::Data, None), text)
}

/// Adds a keyslot for a key that came out of another one.
fn add_as(
    volume: &LuksDevice,
    changing: &Changing<'_>,
    (key, key_for, opened): (&VolumeKey, KeyFor, Option<KeyslotId>),
    text: &str,
) -> Result<KeyslotId, CryptError> {
    let new = NewKeyslot {
        key,
        key_for,
        passphrase: &secret(text),
        cost: &cost(),
        slot: None,
        name: None,
        token: None,
        opened,
    };
    volume.add_keyslot(changing, new)
}

/// Gives one answer to every question, and remembers those.
#[derive(Debug)]
struct Answer(bool, RefCell<Vec<String>>);

impl Answer {
    fn new(answer: bool) -> Self {
        Self(answer, RefCell::default())
    }
}

impl Confirm for Answer {
    fn confirm(&self, question: &Question<'_>) -> bool {
        self.1.borrow_mut().push(format!("{question:?}"));
        self.0
    }
}

/// Runs a change without a backup and without an observer that listens.
fn change<T>(run: impl FnOnce(&Changing<'_>) -> T) -> T {
    run(&Changing {
        backup: None,
        limits: &CostLimits::default(),
        observer: &Heard::default(),
    })
}

#[test]
fn the_observer_is_told_and_a_wrong_passphrase_is_eperm() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, key) = volume(&path);
    let (heard, limits) = (Heard::default(), CostLimits::default());
    let changing = Changing {
        backup: Some(folder.path()),
        limits: &limits,
        observer: &heard,
    };
    assert_eq!(add(&volume, &changing, &key, "pw").expect("room"), KeyslotId::new(0));
    let told = heard.0.take();
    assert_eq!(told[..2], ["Deriving", "Derived"]);
    assert!(told[2].starts_with("BackedUp") && told.len() == 3, "{told:?}");

    let mut volume = load(&path, HeaderPlace::WithData);
    let request = UnlockRequest {
        candidates: Candidates::All,
        limits: &limits,
        skip_costly: false,
        serialized: false,
        finish_changes: true,
        observer: &heard,
    };
    let error = volume
        .unlock(&secret("no"), &request)
        .map(drop)
        .expect_err("a wrong one");
    assert!(error.is_wrong_passphrase());
    assert_eq!(error.errno(), Errno::EPERM);
    assert_eq!(heard.0.take(), ["Deriving", "Derived"]);
    volume.unlock(&secret("pw"), &request).expect("the right one");
    assert_eq!(
        heard.0.take(),
        ["Deriving", "Derived", "Unlocked { keyslot: KeyslotId(0) }"]
    );
}

#[test]
fn a_device_in_the_place_of_another_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, _) = volume(&path);
    let looked_at = LookedAt::at(&path).expect("a file");
    let layout = volume.layout(&path).expect("one segment");
    let same = File::open(&path).expect("a file");
    volume.check_data(&layout, &path, &same).expect("the same");
    assert!(looked_at.is_there());

    // The same bytes at the same path: still another file.
    let copy = folder.path().join("copy");
    fs::copy(&path, &copy).expect("room");
    fs::rename(&copy, &path).expect("renamed");
    let other = File::open(&path).expect("a file");
    let error = volume.check_data(&layout, &path, &other).expect_err("another");
    assert!(matches!(error, CryptError::Replaced(_)), "{error}");
    assert_eq!(error.errno(), Errno::ENODEV);
    assert!(!looked_at.is_there());
    let apart = load(&path, HeaderPlace::Apart);
    apart.check_data(&layout, &path, &same).expect("data elsewhere");
}

#[test]
fn a_keyslot_that_has_become_the_last_one_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, key) = volume(&path);
    for (slot, text) in ["one", "two"].into_iter().enumerate() {
        let added = change(|changing| add(&volume, changing, &key, text));
        assert_eq!(added.expect("room"), KeyslotId::new(slot as u32));
    }
    let (first, second) = (load(&path, HeaderPlace::WithData), load(&path, HeaderPlace::WithData));
    change(|changing| first.remove_keyslot(changing, KeyslotId::new(0), None)).expect("another is left");
    let error = change(|changing| second.remove_keyslot(changing, KeyslotId::new(1), None)).expect_err("the last one");
    assert_eq!(error.errno(), Errno::ENODEV, "{error}");
    let now = load(&path, HeaderPlace::WithData);
    change(|changing| now.remove_keyslot(changing, KeyslotId::new(1), None)).expect("it was the last one before");
}

/// Or an erased volume would open again.
#[test]
fn a_removed_keyslot_gives_no_key_to_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, key) = volume(&path);
    change(|changing| add(&volume, changing, &key, "one")).expect("room");
    let opened = load(&path, HeaderPlace::WithData);
    let erased = change(|changing| opened.erase_keyslots(changing, &Answer::new(true), &path, None));
    erased.expect("they are there");
    let from_it = (&key, KeyFor::Data, Some(KeyslotId::new(0)));
    let error = change(|changing| add_as(&opened, changing, from_it, "two")).expect_err("it was erased");
    assert_eq!(error.errno(), Errno::ENODEV, "{error}");
    let now = load(&path, HeaderPlace::WithData);
    assert!(now.header.used_keyslots().is_empty());
}
