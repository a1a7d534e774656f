//! Every state that a stop can leave on the disk, for each action that changes a header: killed at each write and sync, torn at
//! each sector, with any of the sectors that were not synced lost, and stopped again while the damage is mended. In each of
//! them the old or the new secret opens the volume.
//!
//! A recovery after a kill reads what the killed process wrote from the page cache; a later power cut can still lose what was not synced.
//!
//! `LUKSMITH_CRASH_CHOICES` is how many sets of unsynced sectors are tried at each point (100); with it, the writes that mend a
//! state are torn at each sector too. The test prints how many states there were. It is the long form of the sweeps beside the
//! code, which also check what else has to hold.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use keyslots::hash::Hash;
use keyslots::header::Header;
use keyslots::kdf::{CostLimits, Kdf};
use keyslots::luks1::{self, ChangeTo, DataPlacement};
use keyslots::luks2::{self, Candidates, DataPlace, KeyFor, NewKeyslot, Priority, Token};
use keyslots::secret::{Passphrase, Secret, VolumeKey};
use keyslots::storage::fault::{Cause, Crash, Event, Recorder};
use keyslots::storage::{Memory, Storage};
use keyslots::units::{Bytes, Sectors};
use keyslots::wipe::Medium;
use keyslots::{Result, Unlocked, backup::Backup, convert};

const KEY: &[u8; 16] = b"0123456789abcdef";
/// As few as may be written.
const ITERATIONS: u32 = 1000;
/// All the passphrases there are here.
const TEXTS: [&str; 4] = ["old", "other", "new", "third"];

struct Action {
    name: &'static str,
    /// What is on the disk before.
    disk: fn() -> Vec<u8>,
    run: fn(&mut dyn Storage) -> Result<()>,
    /// One of these opens in each state; where there are none, nothing is meant to open.
    keys: &'static [&'static str],
    /// What the next process does with what a stop has left.
    next: Option<fn(&mut dyn Storage) -> Result<()>>,
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Secret::copy_from(text.as_bytes()).expect("a page"))
}

fn key() -> VolumeKey {
    VolumeKey::new(Secret::copy_from(KEY).expect("a page"))
}

fn limits() -> CostLimits {
    CostLimits::default()
}

fn luks1(disk: &mut dyn Storage, run: impl FnOnce(&mut luks1::Header, &mut dyn Storage) -> Result<()>) -> Result<()> {
    run(&mut luks1::Header::read(disk)?, disk)
}

fn luks2(disk: &mut dyn Storage, run: impl FnOnce(&mut luks2::Header, &mut dyn Storage) -> Result<()>) -> Result<()> {
    run(&mut luks2::Header::read(disk)?, disk)
}

fn add1(header: &mut luks1::Header, disk: &mut dyn Storage, slot: u32, text: &str) -> Result<()> {
    header
        .add_keyslot(disk, &key(), &passphrase(text), Some(slot), ITERATIONS, &limits())
        .map(drop)
}

fn change1(disk: &mut dyn Storage, slot: u32, to: ChangeTo, medium: Medium) -> Result<()> {
    luks1(disk, |header, disk| {
        let new = passphrase("new");
        header
            .change_keyslot(disk, &key(), slot, &new, to, ITERATIONS, &limits(), medium)
            .map(drop)
    })
}

fn new_keyslot() -> NewKeyslot {
    NewKeyslot {
        kdf: Kdf::Pbkdf2 {
            hash: Hash::Sha256,
            iterations: ITERATIONS,
        },
        af_hash: Hash::Sha256,
        encryption: "aes-cbc-essiv:sha256".parse().expect("a specification"),
        area_key_size: 16,
        priority: None,
    }
}

fn add2(header: &mut luks2::Header, disk: &mut dyn Storage, text: &str) -> Result<()> {
    header
        .add_keyslot(
            disk,
            &key(),
            &passphrase(text),
            &new_keyslot(),
            None,
            KeyFor::Data,
            &limits(),
        )
        .map(drop)
}

fn change2(disk: &mut dyn Storage, medium: Medium) -> Result<()> {
    luks2(disk, |header, disk| {
        header.change_keyslot(disk, 0, &key(), &passphrase("new"), &new_keyslot(), medium, &limits())
    })
}

/// A LUKS1 volume that "old" in slot 6, which lies across two sectors, and "other" in slot 0 open.
fn disk1() -> Vec<u8> {
    let params = luks1::CreateParams {
        cipher: &"aes-cbc-essiv:sha256".parse().expect("a specification"),
        hash: Hash::Sha256,
        volume_key: &key(),
        uuid: None,
        mk_iterations: ITERATIONS,
        data: DataPlacement::At(Sectors::new(2048)),
    };
    let mut header = luks1::Header::create(&params, &limits()).expect("good parameters");
    let mut disk = Memory::zeroed(2049 * 512);
    header.write_new(&mut disk, Medium::Other).expect("memory");
    add1(&mut header, &mut disk, 6, "old").expect("a free slot");
    add1(&mut header, &mut disk, 0, "other").expect("a free slot");
    disk.0
}

/// A LUKS2 volume with room for four keyslots that "old" and "other" open.
fn disk2() -> Vec<u8> {
    new_disk2(256)
}

fn new_disk2(areas_kib: u64) -> Vec<u8> {
    let params = luks2::CreateParams {
        encryption: "aes-cbc-essiv:sha256".into(),
        sector_size: 512,
        uuid: None,
        label: String::new(),
        subsystem: String::new(),
        metadata_size: None,
        keyslots_size: Some(Bytes::kib(areas_kib)),
        data: DataPlace::Detached,
        digest_hash: Hash::Sha256,
        digest_iterations: ITERATIONS,
    };
    let mut header = luks2::create(&params, &key(), &limits()).expect("good parameters");
    let mut disk = Memory::zeroed(header.size().to_usize().expect("small"));
    header.write_new(&mut disk, Medium::Other).expect("memory");
    add2(&mut header, &mut disk, "old").expect("room");
    add2(&mut header, &mut disk, "other").expect("room");
    disk.0
}

/// A LUKS1 volume of which all eight keyslots are in use; "old" is in slot 6, "third" in all the others.
fn full1() -> Vec<u8> {
    thread_local!(static MADE: Vec<u8> = {
        let mut disk = Memory(disk1());
        luks1(&mut disk, |header, disk| {
            (1..8).filter(|slot| *slot != 6).try_for_each(|slot| add1(header, disk, slot, "third"))
        })
        .expect("free slots");
        disk.0
    });
    MADE.with(Clone::clone)
}

/// A LUKS2 volume of which the keyslots area is full with "old" and "other".
fn full2() -> Vec<u8> {
    new_disk2(128)
}

/// A change that was killed when the keyslot was overwritten in part.
fn half_changed(disk: Vec<u8>, change: fn(&mut dyn Storage) -> Result<()>, area: u64) -> Vec<u8> {
    let mut recorder = Recorder::new(disk);
    change(&mut recorder).expect("memory");
    let mut half = None;
    recorder.for_each_crash(|crash| {
        let torn = matches!(crash.cause, Cause::TornHead(count) if count > 1);
        let next = recorder.events().get(crash.after);
        if torn && matches!(next, Some(Event::Write { offset, .. }) if offset.get() == area) {
            half = Some(crash.image.to_vec());
        }
    });
    half.expect("the area is written")
}

fn half_changed1() -> Vec<u8> {
    half_changed(full1(), full_change1, SLOT_6)
}

fn half_changed2() -> Vec<u8> {
    half_changed(full2_of_now(), |disk| change2(disk, Medium::Other), 32768)
}

/// The same volume each time.
fn full2_of_now() -> Vec<u8> {
    thread_local!(static MADE: Vec<u8> = full2());
    MADE.with(Clone::clone)
}

/// Where the key material of slot 6 starts.
const SLOT_6: u64 = 776 * 512;

fn full_change1(disk: &mut dyn Storage) -> Result<()> {
    change1(disk, 6, ChangeTo::FirstFree, Medium::Other)
}

/// Ends an interrupted change with the new passphrase, where there is one: then nothing of it is left.
fn finish(disk: &mut dyn Storage, medium: Medium) -> Result<()> {
    let mut header = Header::read(disk)?;
    if let Ok(Unlocked {
        keyslot,
        unfinished: Some(change),
        ..
    }) = header.unlock(disk, &passphrase("new"), Candidates::All, &limits())
    {
        header.finish_change(disk, keyslot, &change, medium)?;
        expect_clean(disk);
    }
    Ok(())
}

/// Nothing waits anywhere.
fn expect_clean(disk: &mut dyn Storage) {
    let is_luks1 = matches!(Header::read(disk).expect("a header"), Header::Luks1(_));
    let (start, end) = if is_luks1 { (1024, 4096) } else { (0, 32768) };
    let mut bytes = vec![0; end - start];
    disk.read_at(Bytes::new(start as u64), &mut bytes).expect("memory");
    let token = luks2::CHANGE_TOKEN.as_bytes();
    let clean = match is_luks1 {
        true => bytes.iter().all(|&byte| byte == 0),
        false => !bytes.windows(token.len()).any(|part| part == token),
    };
    assert!(clean, "something waits");
}

fn erase(disk: &mut dyn Storage) -> Result<()> {
    match Header::read(disk)? {
        Header::Luks1(mut header) => drop(header.erase(disk, Medium::Other)?),
        Header::Luks2(mut header) => drop(header.erase(disk, Medium::Other)?),
    }
    expect_clean(disk);
    Ok(())
}

fn remove(disk: &mut dyn Storage, slot: u32) -> Result<()> {
    Header::read(disk)?.remove_keyslot(disk, slot, Medium::Other)?;
    expect_clean(disk);
    Ok(())
}

/// One with both copies good but of different ages, as a stop between their writes leaves it.
fn stale2() -> Vec<u8> {
    let old = disk2();
    let mut disk = Memory(old.clone());
    luks2(&mut disk, |header, disk| header.set_labels(disk, Some("newer"), None)).expect("memory");
    disk.0[16384..32768].copy_from_slice(&old[16384..32768]);
    disk.0
}

fn damaged2() -> Vec<u8> {
    let mut disk = disk2();
    disk[5000] ^= 1;
    disk
}

/// Restores a backup that was made before "third" came and "other" went.
fn restore(disk: &mut dyn Storage, old: Vec<u8>) -> Result<()> {
    let there = Header::read(disk)?;
    let mut file = Memory(old);
    let backup = Backup::read(&mut file)?;
    backup.check(Some(&there), None).expect("it fits");
    backup.restore(&mut file, disk, Some(&there))
}

/// A disk, and what was on it before.
type Ages = (Vec<u8>, Vec<u8>);

/// The disk that is restored onto, and the backup it is restored from: one volume at two times.
fn two_ages(new: fn() -> Vec<u8>, run: fn(&mut dyn Storage) -> Result<()>) -> Ages {
    thread_local!(static MADE: RefCell<HashMap<usize, Ages>> = RefCell::default());
    MADE.with_borrow_mut(|made| {
        made.entry(run as usize)
            .or_insert_with(|| {
                let old = new();
                let mut disk = Memory(old.clone());
                run(&mut disk).expect("memory");
                (disk.0, old)
            })
            .clone()
    })
}

fn age1(disk: &mut dyn Storage) -> Result<()> {
    luks1(disk, |header, disk| {
        header.remove_keyslot(disk, 0, Medium::Other)?;
        add1(header, disk, 1, "third")
    })
}

fn changed1(disk: &mut dyn Storage) -> Result<()> {
    change1(disk, 6, ChangeTo::SameSlot, Medium::Other)
}

/// With all keyslots but 5 in use.
fn seven1() -> Vec<u8> {
    let mut disk = Memory(full1());
    luks1(&mut disk, |header, disk| header.remove_keyslot(disk, 5, Medium::Other)).expect("memory");
    disk.0
}

fn refilled1(disk: &mut dyn Storage) -> Result<()> {
    luks1(disk, |header, disk| add1(header, disk, 5, "third"))?;
    changed1(disk)
}

fn half_changed_of_seven1(disk: &mut dyn Storage) -> Result<()> {
    luks1(disk, |header, disk| add1(header, disk, 5, "third"))?;
    let mut all = vec![0; disk.size().expect("memory").to_usize().expect("small")];
    disk.read_at(Bytes::ZERO, &mut all).expect("memory");
    let half = half_changed(all, full_change1, SLOT_6);
    disk.write_at(Bytes::ZERO, &half).expect("memory");
    Ok(())
}

/// With the digest of the volume key made anew.
fn one1(text: &str) -> Vec<u8> {
    let mut disk = Memory(disk1());
    luks1(&mut disk, |header, disk| {
        header.erase(disk, Medium::Other)?;
        add1(header, disk, 6, text)
    })
    .expect("memory");
    disk.0
}

fn new_one1() -> Vec<u8> {
    one1("new")
}

fn old_one1(disk: &mut dyn Storage) -> Result<()> {
    disk.write_at(Bytes::ZERO, &one1("old")).expect("memory");
    Ok(())
}

fn age2(disk: &mut dyn Storage) -> Result<()> {
    luks2(disk, |header, disk| {
        header.remove_keyslot(disk, 1, Medium::Other)?;
        add2(header, disk, "third")
    })
}

const ACTIONS: &[Action] = &[
    Action {
        name: "LUKS1: add across two sectors",
        disk: || {
            let mut disk = Memory(disk1());
            luks1(&mut disk, |header, disk| header.remove_keyslot(disk, 6, Medium::Other)).expect("memory");
            disk.0
        },
        run: |disk| luks1(disk, |header, disk| add1(header, disk, 6, "new")),
        keys: &["other"],
        next: None,
    },
    Action {
        name: "LUKS1: add",
        disk: disk1,
        run: |disk| luks1(disk, |header, disk| add1(header, disk, 3, "new")),
        keys: &["old"],
        next: None,
    },
    Action {
        name: "LUKS1: change in another slot",
        disk: disk1,
        run: |disk| change1(disk, 6, ChangeTo::FirstFree, Medium::Other),
        keys: &["old", "new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS1: change in the same slot, rotating disk",
        disk: disk1,
        run: |disk| change1(disk, 6, ChangeTo::SameSlot, Medium::Rotational),
        keys: &["old", "new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS1: change, all slots in use",
        disk: full1,
        run: full_change1,
        keys: &["old", "new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS1: change, all slots in use, rotating disk",
        disk: full1,
        run: |disk| change1(disk, 6, ChangeTo::SameSlot, Medium::Rotational),
        keys: &["old", "new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS1: end an interrupted change",
        disk: half_changed1,
        run: |disk| finish(disk, Medium::Other),
        keys: &["new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS1: end an interrupted change, rotating disk",
        disk: half_changed1,
        run: |disk| finish(disk, Medium::Rotational),
        keys: &["new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS1: remove a half changed keyslot",
        disk: half_changed1,
        run: |disk| remove(disk, 6),
        keys: &["third"],
        next: None,
    },
    Action {
        name: "LUKS1: erase with a half changed keyslot",
        disk: half_changed1,
        run: erase,
        keys: &[],
        next: None,
    },
    Action {
        name: "LUKS1: restore over a half changed keyslot",
        disk: half_changed1,
        run: |disk| restore(disk, full1()),
        keys: &TEXTS,
        next: Some(|disk| restore(disk, full1())),
    },
    Action {
        name: "LUKS1: remove",
        disk: disk1,
        run: |disk| luks1(disk, |header, disk| header.remove_keyslot(disk, 6, Medium::Other)),
        keys: &["other"],
        next: None,
    },
    Action {
        name: "LUKS1: another UUID",
        disk: disk1,
        run: |disk| {
            luks1(disk, |header, disk| {
                header.set_uuid(disk, "11111111-2222-3333-4444-555555555556")
            })
        },
        keys: &["old"],
        next: None,
    },
    Action {
        name: "LUKS1: restore",
        disk: || two_ages(disk1, age1).0,
        run: |disk| restore(disk, two_ages(disk1, age1).1),
        keys: &TEXTS,
        next: Some(|disk| restore(disk, two_ages(disk1, age1).1)),
    },
    Action {
        name: "LUKS1: restore a keyslot that differs",
        disk: || two_ages(disk1, changed1).0,
        run: |disk| restore(disk, two_ages(disk1, changed1).1),
        keys: &["old", "new"],
        next: Some(|disk| restore(disk, two_ages(disk1, changed1).1)),
    },
    Action {
        name: "LUKS1: restore, a keyslot that goes has to make room",
        disk: || two_ages(seven1, refilled1).0,
        run: |disk| restore(disk, two_ages(seven1, refilled1).1),
        keys: &["old", "new"],
        next: Some(|disk| restore(disk, two_ages(seven1, refilled1).1)),
    },
    Action {
        name: "LUKS1: restore a half changed keyslot, with room for it",
        disk: || two_ages(seven1, half_changed_of_seven1).0,
        run: |disk| restore(disk, two_ages(seven1, half_changed_of_seven1).1),
        keys: &["old", "new"],
        next: Some(|disk| restore(disk, two_ages(seven1, half_changed_of_seven1).1)),
    },
    Action {
        name: "LUKS1: restore where both have eight keyslots",
        disk: || two_ages(full1, changed1).0,
        run: |disk| restore(disk, two_ages(full1, changed1).1),
        keys: &TEXTS,
        next: Some(|disk| restore(disk, two_ages(full1, changed1).1)),
    },
    Action {
        name: "LUKS1: restore over another volume key",
        disk: || two_ages(new_one1, old_one1).0,
        run: |disk| restore(disk, two_ages(new_one1, old_one1).1),
        keys: &["old", "new"],
        next: Some(|disk| restore(disk, two_ages(new_one1, old_one1).1)),
    },
    Action {
        name: "LUKS1 to LUKS2",
        disk: disk1,
        run: |disk| convert::to_luks2(&luks1::Header::read(disk)?, disk, Medium::Other).map(drop),
        keys: &["old"],
        next: None,
    },
    Action {
        name: "LUKS2 to LUKS1",
        disk: || {
            let mut disk = Memory(disk1());
            let header = luks1::Header::read(&mut disk).expect("a header");
            convert::to_luks2(&header, &mut disk, Medium::Other).expect("room");
            disk.0
        },
        run: |disk| convert::to_luks1(&luks2::Header::read(disk)?, disk).map(drop),
        keys: &["old"],
        next: None,
    },
    Action {
        name: "LUKS2: add",
        disk: disk2,
        run: |disk| luks2(disk, |header, disk| add2(header, disk, "new")),
        keys: &["old"],
        next: None,
    },
    Action {
        name: "LUKS2: change",
        disk: disk2,
        run: |disk| change2(disk, Medium::Other),
        keys: &["old", "new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS2: change, rotating disk",
        disk: disk2,
        run: |disk| change2(disk, Medium::Rotational),
        keys: &["old", "new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS2: change, area full",
        disk: full2,
        run: |disk| change2(disk, Medium::Other),
        keys: &["old", "new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS2: change, area full, rotating disk",
        disk: full2,
        run: |disk| change2(disk, Medium::Rotational),
        keys: &["old", "new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS2: end an interrupted change",
        disk: half_changed2,
        run: |disk| finish(disk, Medium::Other),
        keys: &["new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS2: end an interrupted change, rotating disk",
        disk: half_changed2,
        run: |disk| finish(disk, Medium::Rotational),
        keys: &["new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS2: remove a half changed keyslot",
        disk: half_changed2,
        run: |disk| remove(disk, 0),
        keys: &["other"],
        next: None,
    },
    Action {
        name: "LUKS2: erase with a half changed keyslot",
        disk: half_changed2,
        run: erase,
        keys: &[],
        next: None,
    },
    Action {
        name: "LUKS2: restore over a half changed keyslot",
        disk: half_changed2,
        run: |disk| restore(disk, full2_of_now()),
        keys: &TEXTS,
        next: Some(|disk| restore(disk, full2_of_now())),
    },
    Action {
        name: "LUKS2: remove",
        disk: disk2,
        run: |disk| luks2(disk, |header, disk| header.remove_keyslot(disk, 0, Medium::Other)),
        keys: &["other"],
        next: None,
    },
    Action {
        name: "LUKS2: label, UUID, flags, priority",
        disk: disk2,
        run: |disk| {
            luks2(disk, |header, disk| {
                header.set_labels(disk, Some("label"), Some("subsystem"))?;
                header.set_uuid(disk, "11111111-2222-3333-4444-555555555556")?;
                header.set_flags(disk, vec!["allow-discards".into()])?;
                header.set_priority(disk, 1, Priority::Prefer)
            })
        },
        keys: &["old"],
        next: None,
    },
    Action {
        name: "LUKS2: put, assign and remove a token",
        disk: disk2,
        run: |disk| {
            luks2(disk, |header, disk| {
                let token = header.put_token(disk, Token::keyring("desc", vec![0]), None, false)?;
                header.assign_token(disk, token, 1, true)?;
                header.remove_token(disk, token)
            })
        },
        keys: &["old"],
        next: None,
    },
    Action {
        name: "LUKS2: restore",
        disk: || two_ages(disk2, age2).0,
        run: |disk| restore(disk, two_ages(disk2, age2).1),
        keys: &TEXTS,
        next: Some(|disk| restore(disk, two_ages(disk2, age2).1)),
    },
    Action {
        name: "LUKS2: mend a damaged copy",
        disk: damaged2,
        run: |disk| luks2(disk, |header, disk| header.recover(disk).map(drop)),
        keys: &["old"],
        next: None,
    },
    Action {
        name: "LUKS2: mend an old copy",
        disk: stale2,
        run: |disk| luks2(disk, |header, disk| header.recover(disk).map(drop)),
        keys: &["old"],
        next: None,
    },
];

/// Which passphrases open a keyslot: the same bytes give the same answer, and most states have the same keyslots.
#[derive(Default)]
struct Verdicts {
    of_keyslot: HashMap<[u8; 32], [bool; TEXTS.len()]>,
    mended: HashSet<[u8; 32]>,
    ended: HashSet<[u8; 32]>,
}

impl Verdicts {
    fn opens(&mut self, image: &[u8], keys: &[&str]) -> bool {
        let mut disk = Memory(image.to_vec());
        let Ok(header) = Header::read(&mut disk) else {
            return false;
        };
        header.used_keyslots().into_iter().rev().any(|slot| {
            let Some((facts, area)) = facts(&header, slot, image) else {
                return false;
            };
            let mut id = [0; 32];
            // What an interrupted change has left behind a LUKS1 header counts too.
            let behind: &[u8] = header.luks1().and_then(|_| image.get(1024..4096)).unwrap_or_default();
            Hash::Sha256.digest(&[facts.as_bytes(), behind, area], &mut id);
            let opened = self.of_keyslot.entry(id).or_insert_with(|| {
                TEXTS.map(|text| {
                    header
                        .unlock(&mut disk, &passphrase(text), Candidates::Keyslot(slot), &limits())
                        .is_ok_and(|unlocked| unlocked.volume_key.expose() == KEY)
                })
            });
            let opened = TEXTS.iter().zip(opened).filter(|(_, opens)| **opens);
            opened.map(|(text, _)| text).any(|text| keys.contains(text))
        })
    }

    /// Whether this header, with such a rest, was not mended before.
    fn comes_first(&mut self, image: &[u8], rest: &[u8]) -> bool {
        let mut id = [0; 32];
        Hash::Sha256.digest(&[&image[..32768], rest], &mut id);
        self.mended.insert(id)
    }

    /// Whether what these metadata show, with such a rest, was not brought to an end before.
    fn is_not_ended(&mut self, image: &[u8], rest: &[u8]) -> bool {
        let mut id = [0; 32];
        match Header::read(&mut Memory(image.to_vec())) {
            Ok(Header::Luks2(header)) => {
                let facts = format!("{:?}", header.metadata());
                Hash::Sha256.digest(&[facts.as_bytes(), rest], &mut id);
            }
            _ => Hash::Sha256.digest(&[&image[..4096], rest], &mut id),
        }
        self.ended.insert(id)
    }
}

/// What else makes a state another one for who mends it: whether something may still be lost, and what the key material is.
fn rest(crash: &Crash<'_>, before: &[u8], after: &[u8]) -> Vec<u8> {
    if crash.cause == Cause::Killed {
        return crash.after.to_le_bytes().to_vec();
    }
    // Of the key material it is enough to know whose it is.
    let base = if crash.image.get(6..8) == Some(&[0, 1]) {
        4096
    } else {
        32768
    };
    let areas = (0..8).map(|slot| base + slot * 65536..base + slot * 65536 + 64_000);
    let is_of = |image: &[u8], area| image.get(Range::clone(&area)) == crash.image.get(area);
    areas
        .flat_map(|area| [before, after].map(|image| u8::from(is_of(image, area.clone()))))
        .collect()
}

/// All that decides whether a keyslot opens, and its key material.
fn facts<'a>(header: &Header, slot: u32, image: &'a [u8]) -> Option<(String, &'a [u8])> {
    let (facts, offset, size) = match header {
        Header::Luks1(header) => {
            let keyslot = header.keyslot(slot)?;
            let digest = (header.mk_digest(), header.mk_salt(), header.mk_iterations());
            let facts = format!("{keyslot:?} {digest:?} {:?} {}", header.hash(), header.cipher_mode());
            (facts, keyslot.material_offset.bytes()?, header.area_size())
        }
        Header::Luks2(header) => {
            let keyslot = header.metadata().keyslots.get(&slot)?;
            let digests: BTreeMap<_, _> = header.metadata().digests.iter().collect();
            let (segments, tokens) = (&header.metadata().segments, &header.metadata().tokens);
            let facts = format!("{slot} {keyslot:?} {digests:?} {segments:?} {tokens:?}");
            (facts, keyslot.area.offset, keyslot.area.size)
        }
    };
    let start = offset.to_usize()?;
    Some((facts, image.get(start..start.checked_add(size.to_usize()?)?)?))
}

/// Shows each state of `action`, and each state of mending that, to `check`; returns how many there were.
fn sweep(action: &Action, extent: Extent) -> usize {
    let before = (action.disk)();
    let mut disk = Recorder::new(before.clone());
    (action.run)(&mut disk).unwrap_or_else(|error| panic!("{}: {error}", action.name));
    let verdicts = RefCell::new(Verdicts::default());
    let check = |image: &[u8], what: &dyn std::fmt::Debug| {
        let opens = action.keys.is_empty() || verdicts.borrow_mut().opens(image, action.keys);
        assert!(opens, "{}: {what:?}: nothing opens", action.name);
    };
    let mut nested = 0;
    let states = disk.for_each_state(extent.choices, |crash| {
        check(crash.image, &(crash.after, crash.cause));
        let rest = rest(crash, &before, disk.image());
        if action.keys.is_empty() || !verdicts.borrow_mut().comes_first(crash.image, &rest) {
            return;
        }
        let mut again = |disk: &Recorder, what: &str| {
            let check = |again: &Crash<'_>| {
                check(again.image, &(crash.after, crash.cause, what, again.after, again.cause));
            };
            nested += match extent.all_tears {
                true => disk.for_each_state(4, check),
                false => disk.for_each_sample(2, check),
            };
        };
        // What a process wrote that was killed is no safer for it.
        let start = match crash.cause {
            Cause::Killed => disk.killed(crash.after),
            _ => Recorder::new(crash.image.to_vec()),
        };
        let mut mended = start.clone();
        // A LUKS1 header counts where there is one, and has no copy to mend.
        if let Ok(Header::Luks2(mut header)) = Header::read(&mut mended) {
            header.recover(&mut mended).expect("no fault");
            again(&mended, "mending");
        }
        let Some(next) = action.next else { return };
        if verdicts.borrow_mut().is_not_ended(mended.image(), &rest) {
            let mut ended = match mended.events().len() == start.events().len() {
                true => start,
                false => Recorder::new(mended.image().to_vec()),
            };
            next(&mut ended).expect("no fault");
            again(&ended, "bringing it to an end");
        }
    });
    println!(
        "{:<56} {states:>7} states, {nested:>7} more of mending them",
        action.name
    );
    states + nested
}

/// How much is tried.
#[derive(Clone, Copy)]
struct Extent {
    /// Sets of unsynced sectors at each point.
    choices: usize,
    /// Whether what mends a state is torn at each of its sectors too.
    all_tears: bool,
}

#[test]
fn the_old_or_the_new_secret_opens_in_every_state() {
    let extent = match std::env::var("LUKSMITH_CRASH_CHOICES") {
        Ok(text) => Extent {
            choices: text.parse().expect("a number"),
            all_tears: true,
        },
        Err(_) => Extent {
            choices: 100,
            all_tears: false,
        },
    };
    let next = &std::sync::atomic::AtomicUsize::new(0);
    let states: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..std::thread::available_parallelism().map_or(1, usize::from))
            .map(|_| {
                scope.spawn(move || {
                    let mut states = 0;
                    while let Some(action) = ACTIONS.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                        states += sweep(action, extent);
                    }
                    states
                })
            })
            .collect();
        let count = |worker: std::thread::ScopedJoinHandle<'_, usize>| match worker.join() {
            Ok(states) => states,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        workers.into_iter().map(count).sum()
    });
    println!("{states} states of {} actions, 0 keys lost", ACTIONS.len());
    assert!(states >= 50_000, "{states} states are not the whole sweep");
}
