//! Derives a key with given costs and says how long it took: what a keyslot costs on this machine.
//!
//! ```text
//! cargo run --release --example derive -- argon2id 4 1048576 4
//! cargo run --release --example derive -- pbkdf2 sha256 1000000
//! ```

use std::error::Error;
use std::time::Instant;

use keyslots::hash::Hash;
use keyslots::kdf::{Argon2Variant, CostLimits, Kdf};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let kdf = match args[..] {
        ["pbkdf2", hash, iterations] => Kdf::Pbkdf2 {
            hash: Hash::from_name(hash).ok_or("unknown hash")?,
            iterations: iterations.parse()?,
        },
        [name @ ("argon2i" | "argon2id"), time, memory_kib, lanes] => Kdf::Argon2 {
            variant: if name == "argon2i" {
                Argon2Variant::I
            } else {
                Argon2Variant::Id
            },
            time: time.parse()?,
            memory_kib: memory_kib.parse()?,
            lanes: lanes.parse()?,
        },
        _ => return Err("usage: derive pbkdf2 HASH ITERATIONS | argon2i|argon2id TIME MEMORY_KIB LANES".into()),
    };
    let start = Instant::now();
    let mut key = [0; 64];
    kdf.derive(
        b"passphrase",
        b"a salt of thirty-two bytes......",
        &mut key,
        &CostLimits::default(),
    )?;
    println!("{} took {:.3} s", kdf.name(), start.elapsed().as_secs_f64());
    Ok(())
}
