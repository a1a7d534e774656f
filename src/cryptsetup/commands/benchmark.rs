//! `benchmark`: the speed of key derivations and ciphers here, measured with the code that unlocks.

use std::time::{Duration, Instant};

use keyslots::cipher::{CipherError, CipherName, SectorCipher};
use keyslots::hash::Hash;
use keyslots::kdf::calibrate::{self, Target, TargetKdf};
use keyslots::kdf::{Argon2Variant, Kdf};
use serde_json::{Value, json};

use super::context::Context;
use crate::crypt_device::clock;
use crate::cryptsetup::error::CliError;

/// Bytes of one encryption sector in a measurement.
const SECTOR: usize = 4096;
/// Bytes that are encrypted at a time.
const BLOCK: usize = 1024 * 1024;
/// How long one direction of one cipher is measured.
const CIPHER_TIME: Duration = Duration::from_millis(250);
/// Bytes of a derived key: that of AES-256.
const KEY_LEN: usize = 32;

/// The hashes of the default table, in cryptsetup's order.
const HASHES: [&str; 5] = ["sha1", "sha256", "sha512", "ripemd160", "whirlpool"];

/// The ciphers of the default table: name and bits of the key.
const CIPHERS: [(&str, usize); 12] = [
    ("aes-cbc-plain64", 128),
    ("serpent-cbc-plain64", 128),
    ("twofish-cbc-plain64", 128),
    ("aes-cbc-plain64", 256),
    ("serpent-cbc-plain64", 256),
    ("twofish-cbc-plain64", 256),
    ("aes-xts-plain64", 256),
    ("serpent-xts-plain64", 256),
    ("twofish-xts-plain64", 256),
    ("aes-xts-plain64", 512),
    ("serpent-xts-plain64", 512),
    ("twofish-xts-plain64", 512),
];

pub(super) fn benchmark(cx: &Context<'_>) -> Result<(), CliError> {
    cx.console
        .say("# Tests are approximate using memory only (no storage IO).");
    let options = cx.options;
    let (mut kdfs, mut ciphers) = (Vec::new(), Vec::new());
    match (&options.cipher, &options.pbkdf, &options.hash) {
        (Some(cipher), _, _) => {
            let bits = options.key_size.map_or(256, |size| size.bits() as usize);
            // Checked before the head of an empty table is printed.
            let (short, engine) = engine(cipher, bits)?;
            cipher_head(cx);
            ciphers.push(measure_cipher(cx, cipher, &short, bits, &engine)?);
        }
        (None, None, None) => {
            for hash in HASHES {
                kdfs.push(measure_pbkdf2(cx, hash)?);
            }
            for variant in [Argon2Variant::I, Argon2Variant::Id] {
                kdfs.push(measure_argon2(cx, variant)?);
            }
            cipher_head(cx);
            for (cipher, bits) in CIPHERS {
                let (short, engine) = engine(cipher, bits)?;
                ciphers.push(measure_cipher(cx, cipher, &short, bits, &engine)?);
            }
        }
        (None, Some(crate::cryptsetup::values::PbkdfKind::Argon2i), _) => {
            kdfs.push(measure_argon2(cx, Argon2Variant::I)?)
        }
        (None, Some(crate::cryptsetup::values::PbkdfKind::Argon2id), _) => {
            kdfs.push(measure_argon2(cx, Argon2Variant::Id)?)
        }
        (None, _, hash) => kdfs.push(measure_pbkdf2(cx, hash.as_deref().unwrap_or("sha256"))?),
    }
    cx.console
        .answer(|| json!({ "kdfs": kdfs, "ciphers": ciphers }), String::new);
    Ok(())
}

fn measure_pbkdf2(cx: &Context<'_>, name: &str) -> Result<Value, CliError> {
    let hash = Hash::from_name(name).ok_or_else(|| CliError::UnknownHash(name.to_owned()))?;
    let iterations = calibrate::pbkdf2_iterations(hash, KEY_LEN, 1000, &mut clock())?;
    cx.console.say(format_args!(
        "PBKDF2-{name:<9} {iterations:>9} iterations per second for {}-bit key",
        KEY_LEN * 8
    ));
    Ok(json!({ "type": "pbkdf2", "hash": name, "iterations_per_second": iterations }))
}

fn measure_argon2(cx: &Context<'_>, variant: Argon2Variant) -> Result<Value, CliError> {
    let iter_time_ms = cx.cost().iter_time_ms();
    let target = TargetKdf::Argon2 {
        variant,
        max_memory_kib: cx.cost().memory_kib(),
        max_lanes: cx.cost().lanes(),
    };
    let kdf = calibrate::calibrate(
        Target {
            iter_time_ms,
            kdf: target,
            key_len: KEY_LEN,
        },
        &mut clock(),
    )?;
    let Kdf::Argon2 {
        time,
        memory_kib,
        lanes,
        ..
    } = kdf
    else {
        return Ok(Value::Null);
    };
    let name = kdf.name();
    cx.console.say(format_args!(
        "{name:<10}{time:>7} iterations, {memory_kib} memory, {lanes} parallel threads (CPUs) for {}-bit key \
         (requested {iter_time_ms} ms time)",
        KEY_LEN * 8
    ));
    Ok(json!({ "type": name, "time": time, "memory_kib": memory_kib, "lanes": lanes, "iter_time_ms": iter_time_ms }))
}

fn cipher_head(cx: &Context<'_>) {
    cx.console
        .say("#     Algorithm |       Key |      Encryption |      Decryption");
}

/// The cipher with a random key, and its name without the IV generator, which need not be given: it costs next to nothing.
fn engine(cipher: &str, bits: usize) -> Result<(String, SectorCipher), CliError> {
    let unavailable = |source| CliError::CipherUnavailable {
        cipher: cipher.to_owned(),
        bits,
        source,
    };
    let mut name = CipherName::new(cipher);
    if matches!(name.spec(), Err(CipherError::MissingIv(_))) {
        name = CipherName::new(&format!("{cipher}-plain64"));
    }
    let spec = name.spec().map_err(unavailable)?;
    spec.check_key_len(bits / 8).map_err(unavailable)?;
    let key = keyslots::secret::Secret::random(bits / 8).map_err(CliError::memory)?;
    let engine = SectorCipher::new(spec, key.expose(), SECTOR, false).map_err(unavailable)?;
    Ok((name.short(), engine))
}

fn measure_cipher(
    cx: &Context<'_>,
    cipher: &str,
    short: &str,
    bits: usize,
    engine: &SectorCipher,
) -> Result<Value, CliError> {
    let encryption = mebibytes_per_second(|data| engine.encrypt(0, data))?;
    let decryption = mebibytes_per_second(|data| engine.decrypt(0, data))?;
    cx.console.say(format_args!(
        "{short:>15}   {bits:>8}b   {encryption:>9.1} MiB/s   {decryption:>9.1} MiB/s"
    ));
    Ok(json!({
        "cipher": cipher,
        "key_bits": bits,
        "encryption_mib_per_second": encryption,
        "decryption_mib_per_second": decryption,
    }))
}

fn mebibytes_per_second<E>(mut run: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<f64, CliError>
where
    CliError: From<E>,
{
    let mut data = vec![0; BLOCK];
    let start = Instant::now();
    let mut blocks = 0_u32;
    while start.elapsed() < CIPHER_TIME {
        run(&mut data)?;
        blocks += 1;
    }
    Ok(f64::from(blocks) * (BLOCK as f64 / 1_048_576.0) / start.elapsed().as_secs_f64())
}
