//! Every state that a stop can leave on the disk, for each action that changes a header: killed at each write and sync, torn at
//! each sector, with any of the sectors that were not synced lost, and stopped again while the damage is mended. In each of
//! them the old or the new secret opens the volume.
//!
//! A recovery after a kill reads what the killed process wrote from the page cache; a later power cut can still lose what was not synced.
//!
//! `LUKSMITH_CRASH_CHOICES` is how many sets of unsynced sectors are tried at each point (100); with it, the writes that mend a
//! state are torn at each sector too. The test prints how many states there were. It is the long form of the sweeps beside the
//! code, which also check what else has to hold.

mod actions;
mod disks;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use keyslots::KeyslotId;
use keyslots::hash::Hash;
use keyslots::header::Header;
use keyslots::kdf::{CostLimits, Kdf};
use keyslots::luks1::{self, ChangeTo};
use keyslots::luks2::{self, Candidates, DataPlacement, NewKeyslot, Priority, Token, WrappedKeyslot};
use keyslots::secret::{Passphrase, Secret, VolumeKey};
use keyslots::storage::fault::{Cause, Crash, Event, Recorder};
use keyslots::storage::{Memory, Storage};
use keyslots::units::{Bytes, Sectors};
use keyslots::wipe::Medium;
use keyslots::{Result, Unlocked, backup::Backup, convert};

use self::actions::ACTIONS;
use self::disks::{limits, passphrase};

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
fn facts<'a>(header: &Header, slot: KeyslotId, image: &'a [u8]) -> Option<(String, &'a [u8])> {
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
