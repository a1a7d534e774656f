//! Each byte of the data is converted exactly once, from where it is to where it belongs, whatever the sizes; and what the
//! segments say at each moment is where the data are.

use super::*;

/// One MiB of a device: which MiB of the data it holds, and whether that is converted.
type Cell = Option<(u64, bool)>;

struct Case {
    sample: Sample,
    device: u64,
    data: u64,
}

fn in_place(mode: &'static str, direction: &'static str, offset: u64, data: u64) -> Case {
    let leaked = |of, offset| vec![(of, offset, 0, 0)].leak();
    Case {
        sample: Sample {
            mode,
            direction,
            area: checksum(),
            active: leaked("old", offset),
            backups: vec![(offset, 0), (offset, 0)].leak(),
        },
        device: offset + data,
        data,
    }
}

fn up(shift_by: u64, data: u64, behind: u64) -> Case {
    let moved = data + shift_by + behind;
    let mut active = vec![("old", moved, shift_by, 0)];
    if data > shift_by {
        active.push(("old", shift_by, data - shift_by, shift_by));
    }
    Case {
        sample: Sample {
            mode: "encrypt",
            direction: "backward",
            area: shift("datashift", shift_by),
            active: active.leak(),
            backups: vec![(0, data), (shift_by, 0), (moved, shift_by)].leak(),
        },
        device: moved + shift_by,
        data,
    }
}

fn down(shift_by: u64, moved: u64, data: u64) -> Case {
    let mut active = vec![("old", 0, moved, 0)];
    if data > moved {
        active.push(("old", shift_by + moved, 0, moved));
    }
    Case {
        sample: Sample {
            mode: "decrypt",
            direction: "forward",
            area: shift("datashift-checksum", shift_by),
            active: active.leak(),
            backups: vec![(shift_by, 0), (0, 0), (0, moved)].leak(),
        },
        device: shift_by + data,
        data,
    }
}

fn mib(bytes: Bytes) -> u64 {
    assert!(bytes.is_multiple_of(Bytes::mib(1)));
    bytes.get() / MIB
}

/// Where the segments say that the data are.
fn according_to(active: &[(Part, crate::luks2::segment::Segment)], device: u64, data: u64) -> Vec<(u64, Part)> {
    let mut places = Vec::new();
    for (part, segment) in active {
        let left = data - places.len() as u64;
        let len = segment.size.map_or(left.min(device), mib).min(left);
        places.extend((0..len).map(|at| (mib(segment.offset) + at, *part)));
    }
    assert_eq!(places.len() as u64, data);
    places
}

fn convert_all(case: &Case, len: u64) {
    let mut found = running(&case.sample.json());
    let device = Bytes::mib(case.device);
    let mut disk: Vec<Cell> = vec![None; case.device as usize];
    for (logical, (place, _)) in according_to(&found.active, case.device, case.data)
        .into_iter()
        .enumerate()
    {
        disk[place as usize] = Some((logical as u64, false));
    }
    let mut done = None;
    loop {
        let plan = Plan::new(&found, device).expect("as planned");
        assert_eq!(plan.size(), Bytes::mib(case.data));
        let at = plan.progress();
        assert!(done < Some(plan.bytes_done(at).0), "no progress");
        done = Some(plan.bytes_done(at).0);
        for (logical, (place, part)) in according_to(&found.active, case.device, case.data)
            .into_iter()
            .enumerate()
        {
            assert_eq!(disk[place as usize], Some((logical as u64, part == Part::New)));
        }
        let Some(zone) = plan.next_zone(at, Bytes::mib(len)) else {
            assert!(plan.is_done(at) && found.state == State::Finished);
            assert_eq!(plan.bytes_done(at).0, plan.bytes_done(at).1);
            break;
        };
        found.active = plan.segments(at, Some(zone));
        found.state = State::Crash;
        let hot = Plan::new(&found, device).expect("as planned");
        assert_eq!((hot.progress(), hot.interrupted()), (at, Some(zone)));
        let (from, to, start) = (mib(zone.from), mib(zone.to), mib(zone.start));
        let cells: Vec<Cell> = (0..mib(zone.len)).map(|at| disk[(from + at) as usize]).collect();
        for (at, cell) in cells.iter().enumerate() {
            assert_eq!(*cell, Some((start + at as u64, false)), "{zone:?}");
            disk[to as usize + at] = Some((start + at as u64, true));
        }
        if !zone.in_place() {
            let still = (0..mib(zone.len)).map(|at| disk[(from + at) as usize]);
            assert!(still.eq(cells), "an interruption would lose {zone:?}");
        }
        let at = plan.after(at, &zone);
        found.active = plan.segments(at, None);
        found.state = if plan.is_done(at) {
            State::Finished
        } else {
            State::Clean
        };
    }
    let to = mib(found.last.offset);
    for at in 0..case.data {
        assert_eq!(disk[(to + at) as usize], Some((at, true)));
    }
}

#[test]
fn all_data_are_converted_exactly_once() {
    for data in 1..=33 {
        for len in [1, 2, 3, 7, 16, 40] {
            for (mode, offset) in [("reencrypt", 16), ("encrypt", 0), ("decrypt", 0)] {
                for direction in ["forward", "backward"] {
                    convert_all(&in_place(mode, direction, offset, data), len);
                }
            }
        }
        for shift_by in 1..=data {
            for behind in [0, 3] {
                convert_all(&up(shift_by, data, behind), shift_by);
            }
            for moved in 1..=shift_by.min(15) {
                convert_all(&down(shift_by, moved, data), shift_by);
            }
        }
    }
}

#[test]
fn progress_counts_as_cryptsetup_shows_it() {
    // 32 MiB of 96 were given up.
    let plan = Plan::new(&running(&up(16, 64, 0).sample.json()), Bytes::mib(96)).expect("as planned");
    assert_eq!(plan.bytes_done(plan.progress()), (Bytes::mib(16), Bytes::mib(80)));
}

#[test]
fn zones_are_as_long_as_their_protection_allows() {
    let length = |area: Value, limits: ZoneLimits| {
        let mut case = in_place("reencrypt", "forward", 16, 4096);
        case.sample.area = area;
        let plan = Plan::new(&running(&case.sample.json()), Bytes::mib(case.device)).expect("as planned");
        plan.zone_length(limits).map(Bytes::get)
    };
    let none = ZoneLimits::default();
    let of_512 = json!({ "type": "checksum", "hash": "sha256", "sector_size": 4096 });
    assert_eq!(length(of_512.clone(), none), Ok(1 << 30));
    let sha512 = json!({ "type": "checksum", "hash": "sha512", "sector_size": 4096 });
    assert_eq!(length(sha512, none), Ok(16228352 / 64 * 4096));
    let limits = |wanted: u64, memory: u64| ZoneLimits {
        wanted: Some(Bytes::new(wanted)),
        memory: Some(Bytes::new(memory)),
        block: Bytes::new(512),
    };
    assert_eq!(length(of_512.clone(), limits(1 << 21, 1 << 28)), Ok(1 << 21));
    assert_eq!(length(of_512, limits(1 << 29, 1 << 28)), Ok(1 << 28));
    let journal = json!({ "type": "journal" });
    assert_eq!(length(journal.clone(), none), Ok(16228352 / 4096 * 4096));
    assert_eq!(length(journal, limits(4097, 1 << 28)), Ok(4096));
    assert_eq!(length(json!({ "type": "none" }), none), Ok(20 << 20));
    assert_eq!(length(json!({ "type": "none" }), limits(1 << 26, 1 << 28)), Ok(1 << 26));
    assert!(length(json!({ "type": "none" }), limits(512, 1 << 28)).is_err());
}
