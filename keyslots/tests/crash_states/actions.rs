//! Each action that changes a header, and what opens before and after it.

use super::disks::*;
use super::*;
use keyslots::KeyslotId;

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "LUKS1: add across two sectors",
        disk: || {
            let mut disk = Memory(disk1());
            luks1(&mut disk, |header, disk| {
                header.remove_keyslot(disk, KeyslotId::new(6), Medium::Other)
            })
            .expect("memory");
            disk.0
        },
        run: |disk| luks1(disk, |header, disk| add1(header, disk, KeyslotId::new(6), "new")),
        keys: &["other"],
        next: None,
    },
    Action {
        name: "LUKS1: add",
        disk: disk1,
        run: |disk| luks1(disk, |header, disk| add1(header, disk, KeyslotId::new(3), "new")),
        keys: &["old"],
        next: None,
    },
    Action {
        name: "LUKS1: change in another slot",
        disk: disk1,
        run: |disk| change1(disk, KeyslotId::new(6), false, Medium::Other),
        keys: &["old", "new"],
        next: Some(|disk| finish(disk, Medium::Other)),
    },
    Action {
        name: "LUKS1: change in the same slot, rotating disk",
        disk: disk1,
        run: |disk| change1(disk, KeyslotId::new(6), true, Medium::Rotational),
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
        run: |disk| change1(disk, KeyslotId::new(6), true, Medium::Rotational),
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
        run: |disk| remove(disk, KeyslotId::new(6)),
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
        run: |disk| {
            luks1(disk, |header, disk| {
                header.remove_keyslot(disk, KeyslotId::new(6), Medium::Other)
            })
        },
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
        run: |disk| remove(disk, KeyslotId::new(0)),
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
        run: |disk| {
            luks2(disk, |header, disk| {
                header.remove_keyslot(disk, KeyslotId::new(0), Medium::Other)
            })
        },
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
                header.set_priority(disk, KeyslotId::new(1), Priority::Prefer)
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
                let token = header.put_token(disk, Token::keyring("desc", vec![KeyslotId::new(0)]), None, false)?;
                header.assign_token(disk, token, KeyslotId::new(1), true)?;
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
