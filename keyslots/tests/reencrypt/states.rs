//! Every state that a stop can leave, in each mode: while it begins, while it converts, and while what a stop left is recovered.
//! In each of them no byte of the data is lost, and the passphrase opens what is needed.
//!
//! `LUKSMITH_CRASH_CHOICES` is how many sets of unsynced sectors are tried at each point.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use keyslots::hash::Hash;
use keyslots::luks2::reencrypt::{self, Mode, State, Status};
use keyslots::luks2::{Candidates, Header};
use keyslots::storage::fault::{Cause, Crash, Recorder};
use keyslots::storage::{Memory, Storage};

use super::volumes::*;

/// What was looked at before: the same bytes give the same answer.
#[derive(Default)]
struct Seen {
    images: HashSet<[u8; 32]>,
    keys: HashMap<[u8; 32], bool>,
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut id = [0; 32];
    Hash::Sha256.digest(parts, &mut id);
    id
}

/// Whether the passphrase opens the keys that the header needs.
fn opens(kind: &Kind, header: &Header, storage: &mut dyn Storage, seen: &mut HashMap<[u8; 32], bool>) -> bool {
    let metadata = header.metadata();
    let mut areas = vec![0; kind.header - COPIES];
    storage
        .read_at(keyslots::units::Bytes::new(COPIES as u64), &mut areas)
        .expect("a header");
    // Not that of the reencryption, which differs in most states.
    for slot in metadata.keyslots.values().filter(|slot| !slot.is_luks2()) {
        let start = slot.area.offset.to_usize().expect("small") - COPIES;
        areas[start..][..slot.area.size.to_usize().expect("small")].fill(0);
    }
    let facts = format!("{metadata:?}");
    *seen.entry(hash(&[facts.as_bytes(), &areas])).or_insert_with(|| {
        let pass = passphrase("pass");
        match header.reencryption() {
            Ok(Status::Running(found)) if !matches!(found.state, State::Finished | State::Wiping) => {
                let Ok(keys) = reencrypt::unlock(header, storage, &pass, &limits()) else {
                    return false;
                };
                let expected = kind.keys();
                let same = |one: Option<&keyslots::secret::VolumeKey>, other: Option<&keyslots::secret::VolumeKey>| {
                    one.map(|key| key.expose().to_vec()) == other.map(|key| key.expose().to_vec())
                };
                same(keys.old.as_ref(), expected.old.as_ref()) && same(keys.new.as_ref(), expected.new.as_ref())
            }
            Ok(_) if metadata.segments.values().all(|segment| segment.crypt().is_none()) => true,
            Ok(_) => header.unlock(storage, &pass, Candidates::All, &limits()).is_ok(),
            Err(_) => false,
        }
    })
}

/// Recovers what is on the disk, and checks that nothing is lost; how that was done is what is recorded then.
fn recover(kind: &Kind, disk: &mut Recorder, seen: &RefCell<Seen>) -> Result<(), String> {
    let split = kind.split_of_begun();
    let text = |error: keyslots::Error| error.to_string();
    on_disks(disk, split, |disks| {
        let mut header = Header::read(disks.header()).map_err(text)?;
        match opens(kind, &header, disks.header(), &mut seen.borrow_mut().keys) {
            true => rescue(&mut header, disks, &kind.keys()).map_err(text),
            false => Err("a key is lost".to_owned()),
        }
    })?;
    let header = on_disks(disk, split, |disks| Header::read(disks.header())).map_err(text)?;
    match kind.data(&header, &disk.image()[split..]) == Some(kind.plaintext()) {
        true => Ok(()),
        false => Err("data are lost".to_owned()),
    }
}

/// The same while it begins: the header may be in two places.
fn recover_begin(kind: &Kind, disk: &mut Recorder, seen: &RefCell<Seen>) -> Result<(), String> {
    let text = |error: keyslots::Error| error.to_string();
    if kind.shift.is_none() {
        let header = on_disks(disk, kind.split, |disks| Header::read(disks.header())).map_err(text)?;
        // Until it has begun, the header of an encryption is nobody's.
        let untouched = disk.image()[kind.split..] == kind.plaintext() && kind.mode == Mode::Encrypt;
        return match untouched && !header.in_reencryption() {
            true => Ok(()),
            false => recover(kind, disk, seen),
        };
    }
    let up = kind.mode == Mode::Encrypt;
    let plain = kind.plaintext();
    let has_begun = |header: &Header| matches!(header.reencryption(), Ok(Status::Running(_)));
    let (header, on_device) = on_two(disk, kind.split, |file, device| {
        let in_file = Header::read(file);
        match in_file {
            Ok(header) if up && has_begun(&header) => {
                reencrypt::install(file, device).map_err(text)?;
                Ok((Some(Header::read(device).map_err(text)?), true))
            }
            // Nothing has happened to the data.
            Ok(_) if up => Ok((None, true)),
            Ok(header) => Ok((Some(header), false)),
            Err(_) => Ok::<_, String>((Some(Header::read(device).map_err(text)?), true)),
        }
    })?;
    let data = &disk.image()[kind.split..];
    let Some(header) = header else {
        return match data[..plain.len()] == plain {
            true => Ok(()),
            false => Err("plaintext is lost".to_owned()),
        };
    };
    let mut storage = Memory(if on_device { data } else { &disk.image()[..kind.split] }.to_vec());
    if !opens(kind, &header, &mut storage, &mut seen.borrow_mut().keys) {
        return Err("a key is lost".to_owned());
    }
    match kind.data(&header, data) == Some(plain) {
        true => Ok(()),
        false => Err("data are lost".to_owned()),
    }
}

type Recover = fn(&Kind, &mut Recorder, &RefCell<Seen>) -> Result<(), String>;

/// Shows each state of what was recorded on `disk`, and each state of recovering that.
fn sweep(kind: &Kind, what: &str, disk: &Recorder, choices: usize, recover: Recover) -> usize {
    let seen = RefCell::new(Seen::default());
    let is_new = |image: &[u8], more: &[u8]| seen.borrow_mut().images.insert(hash(&[image, more]));
    let mut nested = 0;
    let states = disk.for_each_state(choices, |crash: &Crash<'_>| {
        // What a killed process wrote can still be lost while its state is recovered.
        let pending = match crash.cause {
            Cause::Killed => crash.after.to_le_bytes().to_vec(),
            _ => Vec::new(),
        };
        if !is_new(crash.image, &pending) {
            return;
        }
        let mut next = match crash.cause {
            Cause::Killed => disk.killed(crash.after),
            _ => Recorder::new(crash.image.to_vec()),
        };
        let told = |error| {
            panic!(
                "{}, {what}: {:?} after {}: {error}",
                kind.name, crash.cause, crash.after
            )
        };
        recover(kind, &mut next, &seen).unwrap_or_else(told);
        // After a kill in each case, else in some: they are alike.
        let chosen = crash.cause == Cause::Killed || hash(&[crash.image])[0].is_multiple_of(6);
        if next.events().is_empty() || !chosen {
            return;
        }
        nested += next.for_each_sample(1, |again| {
            if is_new(again.image, &[]) {
                let mut last = Recorder::new(again.image.to_vec());
                let where_to = (crash.after, crash.cause, again.after, again.cause);
                let told = |error| panic!("{}, {what}, recovered: {where_to:?}: {error}", kind.name);
                recover(kind, &mut last, &seen).unwrap_or_else(told);
            }
        });
    });
    println!(
        "{:<40} {what:<8} {states:>7} states, {nested:>7} more of recovering them",
        kind.name
    );
    states + nested
}

#[test]
fn no_byte_and_no_key_is_lost_in_any_state() {
    let choices = std::env::var("LUKSMITH_CRASH_CHOICES").map_or(20, |text| text.parse().expect("a number"));
    let next = &AtomicUsize::new(0);
    let states: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..std::thread::available_parallelism().map_or(1, usize::from))
            .map(|_| {
                scope.spawn(move || {
                    let mut states = 0;
                    loop {
                        let job = next.fetch_add(1, Ordering::Relaxed);
                        let Some(kind) = KINDS.get(job / 2) else { return states };
                        states += if job.is_multiple_of(2) {
                            let mut disk = Recorder::new(kind.before());
                            kind.begin(&mut disk).expect(kind.name);
                            sweep(kind, "begin", &disk, choices, recover_begin)
                        } else {
                            let mut disk = Recorder::new(kind.begun());
                            kind.run(&mut disk, None).expect(kind.name);
                            sweep(kind, "convert", &disk, choices, recover)
                        };
                    }
                })
            })
            .collect();
        let count = |worker: std::thread::ScopedJoinHandle<'_, usize>| match worker.join() {
            Ok(states) => states,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        workers.into_iter().map(count).sum()
    });
    println!("{states} states of {} modes, 0 bytes and 0 keys lost", KINDS.len());
    assert!(states >= 100_000, "{states} states are not the whole sweep");
}
