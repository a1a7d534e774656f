//! Reencryption from outside: each mode from its begin to its end, each state that a stop can leave, errors of the storage, headers
//! and data that do not belong together, and the same volumes in cryptsetup's hands.

mod cryptsetup;
mod errors;
mod places;
mod states;
mod volumes;

use keyslots::KeyslotId;
use keyslots::header::SlotState;
use keyslots::luks2::Header;
use keyslots::luks2::reencrypt::{Mode, Status};
use keyslots::storage::Memory;

use self::volumes::{KINDS, on_disks};

#[test]
fn each_mode_converts_all_data_and_leaves_nothing_else() {
    for kind in KINDS {
        let mut disk = Memory(kind.begun());
        let data_of = |disk: &mut Memory| {
            let split = kind.split_of_begun();
            let header = on_disks(disk, split, |disks| Header::read(disks.header())).expect(kind.name);
            assert_eq!(
                kind.data(&header, &disk.0[split..]),
                Some(kind.plaintext()),
                "{}",
                kind.name
            );
            header
        };
        let header = data_of(&mut disk);
        assert!(matches!(header.reencryption(), Ok(Status::Running(_))), "{}", kind.name);
        kind.run(&mut disk, Some(1)).expect(kind.name);
        let header = data_of(&mut disk);
        if kind.mode == Mode::Reencrypt {
            // Neither key may go unnoticed.
            let all = header.metadata().keyslots.iter();
            let slots: Vec<KeyslotId> = all
                .filter(|(_, keyslot)| keyslot.key_size > 1)
                .map(|(&slot, _)| slot)
                .collect();
            let header = keyslots::header::Header::Luks2(header);
            assert_eq!(slots.len(), if kind.same_key { 1 } else { 2 }, "{}", kind.name);
            let is_last = |slot: KeyslotId| header.slot_state(slot) == SlotState::ActiveLast;
            assert!(slots.into_iter().all(is_last), "{}", kind.name);
        }
        kind.run(&mut disk, None).expect(kind.name);
        let header = data_of(&mut disk);
        assert_eq!(header.reencryption().expect("a state"), Status::None, "{}", kind.name);
        let metadata = header.metadata();
        let keyslots = usize::from(kind.mode != Mode::Decrypt);
        assert_eq!(
            (metadata.segments.len(), metadata.keyslots.len()),
            (1, keyslots),
            "{}",
            kind.name
        );
        assert_eq!(metadata.digests.len(), keyslots, "{}", kind.name);
        assert_eq!(metadata.config.requirements, [""; 0], "{}", kind.name);
    }
}
