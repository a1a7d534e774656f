//! The order of a restore: a stop costs no keyslot, or the restore reports beforehand that it may cost one.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};

use super::*;
use crate::KeyslotId;
use crate::luks1::{AtRisk, Backup};
use crate::storage::fault::Recorder;
use crate::units::Bytes;
use crate::wipe::Medium;

struct Case {
    name: &'static str,
    backup: Memory,
    device: Memory,
    at_risk: AtRisk,
}

/// Which passphrases open a keyslot: the same bytes give the same answer, and most states have the same keyslots.
#[derive(Default)]
struct Verdicts(HashMap<u64, BTreeSet<String>>);

impl Verdicts {
    /// Which of `texts`, always the same ones, open.
    fn open(&mut self, image: &[u8], texts: &BTreeSet<String>) -> BTreeSet<String> {
        let mut disk = Memory(image.to_vec());
        let header = Header::read(&mut disk).expect("a header");
        let mut open = BTreeSet::new();
        for slot in header.active_keyslots() {
            let raw = header.raw();
            let start = raw.keyslots[slot.index()].material_offset as usize * 512;
            let mut id = DefaultHasher::new();
            id.write(&raw.keyslots[slot.index()].salt);
            id.write(&raw.mk_salt);
            id.write(&image[start..start + header.area_size().to_usize().expect("small")]);
            open.extend(
                self.0
                    .entry(id.finish())
                    .or_insert_with(|| {
                        let opens = |text: &&String| {
                            let unlocked = header.unlock(&mut disk, &passphrase(text), Some(slot), &limits());
                            unlocked.is_ok_and(|unlocked| unlocked.volume_key.expose() == KEY)
                        };
                        texts.iter().filter(opens).cloned().collect()
                    })
                    .iter()
                    .cloned(),
            );
        }
        open
    }
}

/// The volume with `slots` filled, each under its number and `age`.
fn aged(base: &(Memory, Header), slots: &[u32], age: &str) -> Memory {
    let (mut disk, mut header) = base.clone();
    for slot in slots {
        add(
            &mut header,
            &mut disk,
            &format!("{slot}{age}"),
            Some(KeyslotId::new(*slot)),
        )
        .expect("a free slot");
    }
    disk
}

/// Keyslots that `from` and `to` both use and of which `image` has neither, judged by their bytes.
fn lost(from: &[u8], to: &[u8], image: &[u8]) -> Vec<usize> {
    fn keyslot(image: &[u8], slot: usize) -> (&[u8], &[u8]) {
        let fields = &image[208 + 48 * slot..][..48];
        let start = 512 * (8 + 128 * slot);
        (&fields[..40], &image[start..start + 64_000])
    }
    let is_active = |image: &[u8], slot| keyslot(image, slot).0.starts_with(&STATE_ACTIVE.to_be_bytes());
    let in_both = |slot: &usize| is_active(from, *slot) && is_active(to, *slot);
    let has = |slot: &usize| {
        keyslot(image, *slot) == keyslot(to, *slot) || (0..8).any(|place| keyslot(image, place) == keyslot(from, *slot))
    };
    (0..8).filter(in_both).filter(|slot| !has(slot)).collect()
}

fn cases() -> Vec<Case> {
    let base = volume(&[]);
    let other = volume(&[]);
    let one = volume(&[(3, "3same")]);
    let case = |name, at_risk, backup, device| Case {
        name,
        backup,
        device,
        at_risk,
    };
    vec![
        case(
            "a keyslot differs, another does not",
            AtRisk::Nothing,
            aged(&one, &[1], "new"),
            aged(&one, &[1], "old"),
        ),
        case(
            "all that differ, with one that both leave free",
            AtRisk::Nothing,
            aged(&base, &[0, 6, 7], "new"),
            aged(&base, &[0, 5, 6], "old"),
        ),
        case(
            "one goes, and none is free",
            AtRisk::OneKeyslot,
            aged(&base, &[0, 6, 7], "new"),
            aged(&base, &[0, 1, 2, 3, 4, 5, 6, 7], "old"),
        ),
        case(
            "one comes, and none is free",
            AtRisk::Nothing,
            aged(&base, &[0, 1, 2, 3, 4, 5, 6, 7], "new"),
            aged(&base, &[1, 6], "old"),
        ),
        case(
            "all eight",
            AtRisk::OneKeyslot,
            aged(&base, &[0, 1, 2, 3, 4, 5, 6, 7], "new"),
            aged(&base, &[0, 1, 2, 3, 4, 5, 6, 7], "old"),
        ),
        case(
            "another volume key, with a keyslot that stays where it comes in",
            AtRisk::AllButOne,
            aged(&other, &[1, 6, 7], "new"),
            aged(&base, &[0, 6, 7], "old"),
        ),
        case(
            "another volume key, with a keyslot that comes in elsewhere",
            AtRisk::AllButOne,
            aged(&other, &[6, 7], "new"),
            aged(&base, &[6, 7], "old"),
        ),
        case(
            "another volume key, all of whose keyslots were in use",
            AtRisk::AllButOne,
            aged(&other, &[0, 1], "new"),
            aged(&base, &[0, 1, 2, 3, 4, 6, 7], "old"),
        ),
        case(
            "another volume key, and no room in the first sector",
            AtRisk::AllButOne,
            aged(&other, &[2, 7], "new"),
            aged(&base, &[0, 1, 2, 3, 4, 5], "old"),
        ),
    ]
}

#[test]
fn a_stop_of_a_restore_costs_what_it_says() {
    let mut points = 0;
    for case in cases() {
        let Case {
            name,
            backup: from,
            device: to,
            at_risk,
        } = case;
        let mut file = from.clone();
        let backup = Backup::read(&mut file).expect("a backup");
        let mut disk = Recorder::new(to.0.clone());
        let device = Header::read(&mut disk).expect("a header");
        let found = backup.at_risk(&mut file, &mut disk, &device);
        assert_eq!(found.ok(), Some(at_risk), "{name}");
        backup.restore(&mut file, &mut disk, Some(&device)).expect("no fault");
        assert!(disk.image() == from.0, "{name}: not restored byte for byte");

        let texts = |disk: &Memory, age: &str| -> BTreeSet<String> {
            let texts: BTreeSet<String> = (0..8).map(|slot| format!("{slot}{age}")).collect();
            Verdicts::default().open(&disk.0, &texts)
        };
        let (old, new) = (texts(&to, "old"), texts(&from, "new"));
        let all = &(&old | &new) | &BTreeSet::from(["3same".to_owned()]);
        let same_key = super::super::format::same_volume_key(backup.header().raw(), device.raw());
        let no_room = (0..6).all(|slot| device.active_keyslots().any(|active| active == KeyslotId::new(slot)));
        let mut verdicts = Verdicts::default();
        let has_same = opens(&to.0, "3same").is_some();
        let both: Vec<(String, String)> = (0..8)
            .map(|slot| (format!("{slot}old"), format!("{slot}new")))
            .filter(|(one, other)| old.contains(one) && new.contains(other))
            .collect();
        points += disk.for_each_crash(|crash| {
            let open = verdicts.open(crash.image, &all);
            let place = || format!("{name}: after {} events, {:?}: {open:?}", crash.after, crash.cause);
            assert!(!open.is_empty(), "{}", place());
            assert_eq!(open.contains("3same"), has_same, "{}", place());
            if same_key {
                let lost = both
                    .iter()
                    .filter(|(one, other)| !open.contains(one) && !open.contains(other));
                assert!(lost.count() <= usize::from(at_risk != AtRisk::Nothing), "{}", place());
            } else {
                let all_old = old.is_subset(&open);
                let is_new = !new.is_disjoint(&open);
                let lost = old.difference(&open).count();
                assert!(all_old || is_new || no_room && lost == 1, "{}", place());
            }
        });
        // Stopped, and restored once more.
        disk.for_each_crash(|crash| {
            let place = || format!("{name}: after {} events, {:?}", crash.after, crash.cause);
            let mut again = Memory(crash.image.to_vec());
            let device = Header::read(&mut again).expect("a header");
            let now_at_risk = backup.at_risk(&mut file.clone(), &mut again, &device);
            assert!(
                at_risk != AtRisk::Nothing || now_at_risk.ok() == Some(AtRisk::Nothing),
                "{}",
                place()
            );
            let restored = backup.restore(&mut file.clone(), &mut again, Some(&device));
            restored.expect("no fault");
            assert!(again.0 == from.0, "{}: not restored again", place());
        });
    }
    println!("{points} points tried, 0 losses");
    assert!(points > 500, "{points} points are not the whole sweep");
}

/// Where the only spare keyslot has a place in the backup too, it is told from one that is in use, whatever stopped a restore.
#[test]
fn a_restore_after_a_stop_finds_the_spare_keyslot_again() {
    let base = volume(&[]);
    let mut from = aged(&base, &[0, 1, 2, 3, 4, 5, 6, 7], "new");
    let backup = Backup::read(&mut from).expect("a backup");
    for (spare, slots) in [(5, [0, 1, 2, 3, 4, 6, 7]), (6, [0, 1, 2, 3, 4, 5, 7])] {
        // Two are enough: the others are the same.
        let mut to = from.clone();
        let mut header = Header::read(&mut to).expect("a header");
        let removed = header.remove_keyslot(&mut to, KeyslotId::new(spare), Medium::Other);
        removed.expect("an active slot");
        for slot in &slots[..2] {
            let removed = header.remove_keyslot(&mut to, KeyslotId::new(*slot), Medium::Other);
            removed.expect("an active slot");
            add(&mut header, &mut to, "old", Some(KeyslotId::new(*slot))).expect("a free slot");
        }
        let mut disk = Recorder::new(to.0.clone());
        backup
            .restore(&mut from.clone(), &mut disk, Some(&header))
            .expect("no fault");
        disk.for_each_crash(|crash| {
            let place = || format!("spare {spare}: after {} events, {:?}", crash.after, crash.cause);
            assert_eq!(lost(&from.0, &to.0, crash.image), [0; 0], "{}", place());
            let mut again = Recorder::new(crash.image.to_vec());
            let device = Header::read(&mut again).expect("a header");
            let found = backup.at_risk(&mut from.clone(), &mut again, &device);
            assert_eq!(found.ok(), Some(AtRisk::Nothing), "{}", place());
            let restored = backup.restore(&mut from.clone(), &mut again, Some(&device));
            restored.expect("no fault");
            assert!(again.image() == from.0, "{}: not restored again", place());
            again.for_each_crash(|crash| {
                let lost = lost(&from.0, &to.0, crash.image);
                let (after, cause) = (crash.after, crash.cause);
                assert_eq!(lost, [0; 0], "{}, then after {after} events, {cause:?}", place());
            });
        });
    }
}

/// What another program has put where the backup's keys lie elsewhere.
#[test]
fn another_layout_is_at_risk_as_a_whole() {
    let (from, _) = volume(&[(0, "new")]);
    let (mut to, _) = volume(&[(0, "old")]);
    let mut raw = Header::read(&mut to).expect("a header").raw().clone();
    // Slots 0 and 1 have changed places.
    let offsets = [raw.keyslots[0].material_offset, raw.keyslots[1].material_offset];
    raw.keyslots[0].material_offset = offsets[1];
    raw.keyslots[1].material_offset = offsets[0];
    to.0[..592].copy_from_slice(&raw.to_bytes());
    let mut file = from.clone();
    let backup = Backup::read(&mut file).expect("a backup");
    let device = Header::read(&mut to).expect("a header");
    let found = backup.at_risk(&mut file, &mut to, &device);
    assert_eq!(found.ok(), Some(AtRisk::Header));
    backup.restore(&mut file, &mut to, Some(&device)).expect("no fault");
    assert!(to.0 == from.0);
    // If nothing opens, there is nothing to lose.
    for keyslot in &mut raw.keyslots {
        keyslot.state = super::super::STATE_INACTIVE;
    }
    to.0[..592].copy_from_slice(&raw.to_bytes());
    let device = Header::read(&mut to).expect("a header");
    let found = backup.at_risk(&mut file, &mut to, &device);
    assert_eq!(found.ok(), Some(AtRisk::Nothing));
}

/// A backup may have been made during a change: the keyslot is half overwritten there, and its key comes last.
#[test]
fn a_keyslot_for_which_a_key_waits_does_not_come_in_alone() {
    let from = super::staged::half_changed_in(volume(&FULL).0, 1, "b", "new");
    let twice = super::staged::half_changed_in(from.clone(), 3, "d", "newer");
    let other = aged(&volume(&[]), &[0, 2, 3, 4, 5], "old");
    let header = Header::read(&mut from.clone()).expect("a header");
    let mut alone = from.clone();
    let mut raw = header.raw().clone();
    for slot in [0, 2, 3, 4, 5, 6, 7] {
        raw.keyslots[slot].state = super::super::STATE_INACTIVE;
    }
    alone.0[..592].copy_from_slice(&raw.to_bytes());
    let (mut changed, mut header) = (from.clone(), header);
    let removed = header.remove_keyslot(&mut changed, KeyslotId::new(0), Medium::Other);
    removed.expect("an active slot");
    add(&mut header, &mut changed, "0old", Some(KeyslotId::new(0))).expect("a free slot");

    let risk = |file: &Memory, disk: &Memory| {
        let (mut file, mut disk) = (file.clone(), disk.clone());
        let header = Header::read(&mut disk).expect("a header");
        let backup = Backup::read(&mut file).expect("a backup");
        backup.at_risk(&mut file, &mut disk, &header).ok()
    };
    assert_eq!(risk(&from, &other), Some(AtRisk::AllButOne));
    assert_eq!(risk(&from, &from), Some(AtRisk::OneKeyslot));
    // There is no spare one, so another may be lost too.
    assert_eq!(risk(&from, &changed), Some(AtRisk::Header));
    assert_eq!(risk(&alone, &other), Some(AtRisk::Header));
    assert_eq!(risk(&twice, &other), Some(AtRisk::Header));
    assert_eq!(risk(&twice, &from), Some(AtRisk::Header));

    let texts: BTreeSet<String> = (0..6).map(|slot| format!("{slot}old")).collect();
    let texts = &texts | &FULL.map(|(_, text)| text.to_owned()).into();
    let mut file = from.clone();
    let backup = Backup::read(&mut file).expect("a backup");
    let mut disk = Recorder::new(other.0);
    let device = Header::read(&mut disk).expect("a header");
    backup.restore(&mut file, &mut disk, Some(&device)).expect("no fault");
    assert!(disk.image() == from.0);
    let mut verdicts = Verdicts::default();
    disk.for_each_crash(|crash| {
        let open = verdicts.open(crash.image, &texts);
        assert!(!open.is_empty(), "after {} events, {:?}", crash.after, crash.cause);
    });
}

/// A key that makes room, or one that only its state keeps from opening, may be the last one.
#[test]
fn a_spare_keyslot_that_holds_a_key_is_at_risk() {
    let base = volume(&[]);
    let mut from = aged(&base, &[0], "new");
    let mut to = aged(&base, &[0, 1, 2, 3, 4, 5, 6, 7], "old");
    let backup = Backup::read(&mut from).expect("a backup");
    let device = Header::read(&mut to).expect("a header");
    let found = backup.at_risk(&mut from, &mut to, &device);
    assert_eq!(found.ok(), Some(AtRisk::OneKeyslot));
    // It goes before one that opens.
    let mut raw = device.raw().clone();
    raw.keyslots[3].state = 7;
    to.0[..592].copy_from_slice(&raw.to_bytes());
    let device = Header::read(&mut to).expect("a header");
    let found = backup.at_risk(&mut from, &mut to, &device);
    assert_eq!(found.ok(), Some(AtRisk::OneKeyslot));
    let mut disk = Recorder::new(to.0.clone());
    backup.restore(&mut from, &mut disk, Some(&device)).expect("no fault");
    assert!(disk.image() == from.0);
    disk.for_each_crash(|crash| {
        assert_eq!(lost(&from.0, &to.0, crash.image), [0; 0], "{:?}", crash.cause);
    });
}

/// A disk that forgets what a failed sync should have written, while who reads finds it in the cache.
struct Forgetful {
    cache: Memory,
    disk: Memory,
    dirty: Vec<std::ops::Range<usize>>,
    syncs: usize,
    fails: usize,
}

impl Storage for Forgetful {
    fn size(&mut self) -> std::io::Result<Bytes> {
        self.cache.size()
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> std::io::Result<()> {
        self.cache.read_at(offset, buf)
    }

    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> std::io::Result<()> {
        let start = offset.to_usize().expect("small");
        self.dirty.push(start..start + buf.len());
        self.cache.write_at(offset, buf)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        let dirty = std::mem::take(&mut self.dirty);
        self.syncs += 1;
        if self.syncs == self.fails {
            return Err(std::io::Error::from_raw_os_error(5));
        }
        for range in dirty {
            self.disk.0[range.clone()].copy_from_slice(&self.cache.0[range]);
        }
        Ok(())
    }
}

#[test]
fn a_restore_after_a_failed_sync_writes_what_only_reads_as_written() {
    let base = volume(&[]);
    let mut from = aged(&base, &[0, 1, 2, 3, 4, 5, 6], "new");
    let to = aged(&base, &[0, 1, 6, 7], "old");
    let backup = Backup::read(&mut from).expect("a backup");
    for there in [true, false] {
        let mut fails = 0;
        loop {
            fails += 1;
            let (cache, disk) = (to.clone(), to.clone());
            let (dirty, syncs) = (Vec::new(), 0);
            let mut device = Forgetful {
                cache,
                disk,
                dirty,
                syncs,
                fails,
            };
            let mut restore = || {
                let header = Header::read(&mut device).expect("a header");
                backup.restore(&mut from.clone(), &mut device, Some(&header).filter(|_| there))
            };
            let first = restore();
            if first.is_ok() {
                break;
            }
            restore().expect("no fault");
            assert!(device.disk.0 == from.0, "sync {fails} failed, and something is lost");
        }
        assert!(fails > 2, "{fails} syncs are not all");
    }
}

/// What a restore drops is overwritten while the header still names it.
#[test]
fn no_stop_of_a_restore_leaves_dropped_key_material_unnamed() {
    let base = volume(&[]);
    let mut from = aged(&base, &[0, 6], "new");
    let to = aged(&base, &[0, 1, 2, 7], "old");
    let backup = Backup::read(&mut from).expect("a backup");
    let mut disk = Recorder::new(to.0.clone());
    let device = Header::read(&mut disk).expect("a header");
    backup.restore(&mut from, &mut disk, Some(&device)).expect("no fault");
    let mut left = 0;
    disk.for_each_crash(|crash| {
        let header = Header::read(&mut Memory(crash.image.to_vec())).expect("a header");
        for slot in [1, 2, 7] {
            let start = header.raw().keyslots[slot].material_offset as usize * 512;
            let is_left = crash.image[start..start + 64_000] == to.0[start..start + 64_000];
            left += usize::from(is_left);
            let is_named = header
                .active_keyslots()
                .any(|active| active == KeyslotId::new(slot as u32));
            assert!(
                is_named || !is_left,
                "{slot}: after {} events, {:?}",
                crash.after,
                crash.cause
            );
        }
    });
    assert!(left > 0, "it is there before");
}
