//! Two copies of a LUKS2 header, either of them damaged. The one that wins is valid, and the higher of two that are.
#![no_main]
use keyslots::luks2::copies::{self, Loser};
use keyslots::luks2::format::Which;
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz::{HDR_SIZE, copy, device};

const GOOD: &str = include_str!("../seeds/metadata.json");

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
    let mut device = device(&start);
    let Ok(found) = copies::read(&mut device) else {
        assert!(kind & 7 != 0, "two good copies");
        return;
    };
    if kind & 7 == 0 {
        assert_eq!(found.winner.binary.seqid, u64::from(*a.max(b)));
        assert_eq!(found.loser == Loser::Agrees, a == b);
    }
});
