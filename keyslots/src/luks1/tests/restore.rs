//! The order of a restore: a stop costs no keyslot, or says beforehand that it may cost one.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};

use super::*;
use crate::luks1::{AtRisk, Backup};
use crate::storage::fault::{Cause, Recorder};

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
            let start = raw.keyslots[slot as usize].material_offset as usize * 512;
            let mut id = DefaultHasher::new();
            id.write(&raw.keyslots[slot as usize].salt);
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
        add(&mut header, &mut disk, &format!("{slot}{age}"), Some(*slot)).expect("a free slot");
    }
    disk
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
            AtRisk::Nothing,
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
            AtRisk::Nothing,
            aged(&other, &[1, 6, 7], "new"),
            aged(&base, &[0, 6, 7], "old"),
        ),
        case(
            "another volume key, with a keyslot that comes in elsewhere",
            AtRisk::Nothing,
            aged(&other, &[6, 7], "new"),
            aged(&base, &[6, 7], "old"),
        ),
        case(
            "another volume key, all of whose keyslots were in use",
            AtRisk::Nothing,
            aged(&other, &[0, 1], "new"),
            aged(&base, &[0, 1, 2, 3, 4, 6, 7], "old"),
        ),
        case(
            "another volume key, and no room in the first sector",
            AtRisk::OneKeyslot,
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
                assert!(
                    all_old || is_new || at_risk != AtRisk::Nothing && lost == 1,
                    "{}",
                    place()
                );
            }
        });
        // Killed, and restored once more.
        disk.for_each_crash(|crash| {
            if crash.cause == Cause::Killed {
                let mut again = Memory(crash.image.to_vec());
                let device = Header::read(&mut again).expect("a header");
                let now_at_risk = backup.at_risk(&mut file.clone(), &mut again, &device);
                assert!(
                    at_risk != AtRisk::Nothing || now_at_risk.ok() == Some(AtRisk::Nothing),
                    "{name}"
                );
                let restored = backup.restore(&mut file.clone(), &mut again, Some(&device));
                restored.expect("no fault");
                assert!(
                    again.0 == from.0,
                    "{name}: after {} events: not restored again",
                    crash.after
                );
            }
        });
    }
    println!("{points} points tried, 0 losses");
    assert!(points > 500, "{points} points are not the whole sweep");
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
    // Where nothing opens, there is nothing to lose.
    for keyslot in &mut raw.keyslots {
        keyslot.state = super::super::STATE_INACTIVE;
    }
    to.0[..592].copy_from_slice(&raw.to_bytes());
    let device = Header::read(&mut to).expect("a header");
    let found = backup.at_risk(&mut file, &mut to, &device);
    assert_eq!(found.ok(), Some(AtRisk::Nothing));
}
