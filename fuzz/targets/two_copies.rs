//! Two copies of a LUKS2 header, either of them damaged. The one that wins is valid, and the higher of two that are.
#![no_main]
use std::cell::RefCell;

use keyslots::luks2::copies::{self, OtherCopy};
use keyslots::luks2::format::Which;
use keyslots::storage::Memory;
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz::{DEVICE, HDR_SIZE, copy};

const GOOD: &str = include_str!("../seeds/metadata.json");

thread_local! {
    // What takes most of the time is made once: a device, behind whose copies nothing changes.
    static DISK: RefCell<Memory> = RefCell::new(Memory::zeroed(DEVICE));
}

fuzz_target!(|data: &[u8]| {
    let [a, b, kind, rest @ ..] = data else { return };
    let text = |bit: u8, edit: &[u8]| match kind & bit {
        0 => GOOD.as_bytes().to_vec(),
        _ => edit.to_vec(),
    };
    let middle = rest.len() / 2;
    let mut start = copy(Which::Primary, (*a).into(), &text(1, &rest[..middle]));
    start.extend(copy(Which::Secondary, (*b).into(), &text(2, &rest[middle..])));
    // A byte anywhere.
    if kind & 4 != 0 && rest.len() > 4 {
        let at = usize::from(u16::from_be_bytes([rest[0], rest[1]])) % (2 * HDR_SIZE);
        start[at] ^= rest[2];
    }
    let Ok(found) = DISK.with_borrow_mut(|disk| {
        disk.0[..start.len()].copy_from_slice(&start);
        copies::read(disk)
    }) else {
        assert!(kind & 7 != 0, "two good copies");
        return;
    };
    if kind & 7 == 0 {
        assert_eq!(found.winner.binary.seqid, u64::from(*a.max(b)));
        assert_eq!(found.other_copy == OtherCopy::Agrees, a == b);
    }
});
