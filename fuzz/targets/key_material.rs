//! Key material and the anti-forensic merge. No input panics, and what was split merges again.
#![no_main]
use keyslots::af;
use keyslots::hash::Hash;
use keyslots::material::Wrapping;
use keyslots::secret::Secret;
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz as _;

const HASHES: [&str; 4] = ["sha1", "sha256", "sha512", "ripemd160"];
const CIPHERS: [&str; 4] = [
    "aes-xts-plain64",
    "aes-cbc-essiv:sha256",
    "serpent-xts-plain",
    "aes-ecb",
];

fuzz_target!(|data: &[u8]| {
    let [hash, cipher, stripes, len, rest @ ..] = data else {
        return;
    };
    let hash = Hash::from_name(HASHES[usize::from(*hash) % HASHES.len()]).expect("a hash");
    // Few and short: what goes wrong does so at an edge, and each stripe is a hash.
    let (stripes, len) = (u32::from(*stripes) % 24, usize::from(*len) % 80);
    let rest = &rest[..rest.len().min(2048)];
    let _ = af::merge(rest, len, hash, stripes);
    let spec = CIPHERS[usize::from(*cipher) % CIPHERS.len()].parse().expect("a cipher");
    let wrapping = Wrapping {
        cipher: &spec,
        af_hash: hash,
        stripes,
    };
    let _ = wrapping.unseal(Secret::copy_from(rest).expect("memory"), rest, len);
    let key = &rest[..rest.len().min(64)];
    if let Ok(split) = af::split(key, hash, stripes.max(1)) {
        let merged = af::merge(split.expose(), key.len(), hash, stripes.max(1)).expect("what was split");
        assert!(merged.ct_eq(key));
    }
});
