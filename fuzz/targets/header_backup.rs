//! A header backup, of either version. No file panics; one that is accepted is not larger than its file.
#![no_main]
use keyslots::backup::Backup;
use keyslots::luks2::format::Which;
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz::{DEVICE, HDR_SIZE, copy, device};

fuzz_target!(|data: &[u8]| {
    let [kind, rest @ ..] = data else { return };
    // Some files are long enough for what their header says, others end right behind it, or in the key material.
    let size = match kind / 2 % 4 {
        0 => DEVICE / 4,
        1 => 2 * HDR_SIZE,
        n => usize::from(n) * HDR_SIZE,
    };
    let mut file = match kind % 2 {
        0 => device(rest, size),
        _ => {
            let mut start = copy(Which::Primary, 3, rest);
            start.extend(copy(Which::Secondary, 3, rest));
            device(&start, size)
        }
    };
    let len = file.0.len() as u64;
    if let Ok(backup) = Backup::read(&mut file) {
        assert!(backup.size().get() <= len);
    }
});
