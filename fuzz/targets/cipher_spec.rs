//! A cipher specification and a key. Accepted: its text is one of the same cipher, and what is encrypted decrypts.
#![no_main]
use keyslots::cipher::{CipherSpec, SectorCipher};
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz as _;

fuzz_target!(|data: &[u8]| {
    let [len, sector, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(spec) = text.parse::<CipherSpec>() else { return };
    let again: CipherSpec = spec.to_string().parse().expect("its text is a specification");
    assert_eq!(spec, again);
    let size = 512 << (sector % 4);
    let key: Vec<u8> = (0..*len).collect();
    let Ok(cipher) = SectorCipher::new(&spec, &key, size, sector & 8 != 0) else {
        return;
    };
    let plain: Vec<u8> = (0..2 * size).map(|n| n as u8).collect();
    let mut bytes = plain.clone();
    if cipher.encrypt(u64::from(*sector) << 30, &mut bytes).is_ok() {
        cipher
            .decrypt(u64::from(*sector) << 30, &mut bytes)
            .expect("the way back");
        assert!(bytes == plain, "{spec}");
    }
});
