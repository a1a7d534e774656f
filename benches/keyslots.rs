//! What an unlock is made of, measured inside the process: key derivation, the anti-forensic merge, sector ciphers.
//! For comparisons with cryptsetup see `benches/peer.rs`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use keyslots::af;
use keyslots::cipher::{CipherSpec, SectorCipher};
use keyslots::hash::Hash;
use keyslots::kdf::{Argon2Variant, CostLimits, Kdf};

fn main() {
    divan::main();
}

fn derive(bencher: Bencher, kdf: &Kdf) {
    let limits = CostLimits::default();
    bencher.bench(|| {
        let mut key = [0; 64];
        kdf.derive(black_box(b"passphrase"), &[7; 32], &mut key, &limits)
            .expect("the cost is within the limits");
        key
    });
}

#[divan::bench(args = [1, 4], sample_count = 5, sample_size = 1)]
fn argon2id_256_mib(bencher: Bencher, lanes: u32) {
    derive(
        bencher,
        &Kdf::Argon2 {
            variant: Argon2Variant::Id,
            time: 4,
            memory_kib: 256 * 1024,
            lanes,
        },
    );
}

#[divan::bench(args = [Hash::Sha1, Hash::Sha256, Hash::Sha512, Hash::Whirlpool, Hash::Blake2b512], sample_count = 10, sample_size = 1)]
fn pbkdf2_100_000_iterations(bencher: Bencher, hash: Hash) {
    derive(
        bencher,
        &Kdf::Pbkdf2 {
            hash,
            iterations: 100_000,
        },
    );
}

#[divan::bench(args = [Hash::Sha1, Hash::Sha256, Hash::Sha512])]
fn af_merge_512_bits(bencher: Bencher, hash: Hash) {
    let material = af::split(&[7; 64], hash, af::STRIPES).expect("64 bytes can be split");
    bencher.counter(BytesCount::from(material.len())).bench(|| {
        af::merge(black_box(material.expose()), 64, hash, af::STRIPES).expect("what was split can be merged")
    });
}

#[divan::bench(args = ["aes-xts-plain64", "aes-cbc-essiv:sha256", "serpent-xts-plain64", "twofish-xts-plain64", "camellia-xts-plain64"])]
fn decrypt_1_mib_in_sectors_of_4096(bencher: Bencher, name: &str) {
    let spec: CipherSpec = name.parse().expect("a known cipher");
    let key = [[1; 32], [2; 32]].concat();
    let key = if name.contains("xts") { &key[..] } else { &key[..32] };
    let cipher = SectorCipher::new(&spec, key, 4096, false).expect("the key fits");
    bencher
        .counter(BytesCount::from(1_usize << 20))
        .with_inputs(|| vec![0; 1 << 20])
        .bench_local_refs(|data| cipher.decrypt(0, data).expect("whole sectors"));
}
