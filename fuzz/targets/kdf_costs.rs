//! The costs of a key derivation. Whatever they are, what is derived stays within the limits.
#![no_main]
use keyslots::hash::Hash;
use keyslots::kdf::{Argon2Variant, Kdf};
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz::small;

fuzz_target!(|data: &[u8]| {
    let [kind, numbers @ ..] = data else { return };
    let number = |n: usize| {
        let bytes = numbers.get(4 * n..4 * n + 4).unwrap_or(&[0, 0, 0, 1]);
        u32::from_be_bytes(bytes.try_into().expect("four bytes"))
    };
    let kdf = match kind % 3 {
        0 => Kdf::Pbkdf2 {
            hash: Hash::from_name("sha256").expect("a hash"),
            iterations: number(0),
        },
        kind => Kdf::Argon2 {
            variant: if kind == 1 { Argon2Variant::I } else { Argon2Variant::Id },
            time: number(0),
            memory_kib: number(1),
            lanes: number(2),
        },
    };
    let mut out = vec![0; usize::from(*kind)];
    let allowed = small().check(&kdf).is_ok();
    let derived = kdf.derive(b"passphrase", &[7; 32], &mut out, &small()).is_ok();
    assert!(allowed || !derived);
    if let (true, Kdf::Argon2 { memory_kib, lanes, .. }) = (derived, kdf) {
        assert!(memory_kib <= 256 && (1..=4).contains(&lanes));
    }
});
