//! The known answers of `test-vectors/`: headers that Debian's cryptsetup made, opened by the program under the name
//! `cryptsetup`, as by a script. Every secret must open its keyslot and give cryptsetup's volume key, every wrong one must be
//! refused with exit 2 and nothing on standard output, and the dump must be cryptsetup's to the letter. No device is needed.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use keyslots::hash::Hash;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::OURS;

/// The secret that opens one keyslot.
struct Secret {
    slot: String,
    bytes: Vec<u8>,
    /// Its keyslot has priority "ignore": it opens only with `--key-slot`, and cryptsetup dumps no key from it.
    only_when_named: bool,
    /// For an unbound keyslot, the digest of its key.
    own_key: Option<String>,
}

/// One line of `vectors.json`.
struct Vector {
    name: String,
    file: String,
    dump: String,
    size: u64,
    detached: bool,
    volume_key_sha256: String,
    secrets: Vec<Secret>,
    unbound: Vec<Secret>,
}

fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is no string in {value}"))
        .to_owned()
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2)
        .map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("the vectors' hexadecimal is good"))
        .collect()
}

fn secrets(list: &Value) -> Vec<Secret> {
    let secret = |value: &Value| Secret {
        slot: value["slot"].as_u64().expect("a slot is a number").to_string(),
        bytes: unhex(&text(value, "secret_hex")),
        only_when_named: value["only_when_named"].as_bool().unwrap_or(false),
        own_key: value["key_sha256"].as_str().map(str::to_owned),
    };
    list.as_array()
        .expect("secrets are a list")
        .iter()
        .map(secret)
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test-vectors")
}

/// All vectors. That they are all there is part of every test: an empty list would prove nothing.
fn vectors() -> Vec<Vector> {
    let json = fs::read(folder().join("vectors.json")).expect("test-vectors/vectors.json is in the repository");
    let json: Value = serde_json::from_slice(&json).expect("vectors.json is JSON");
    let vector = |value: &Value| Vector {
        name: text(value, "name"),
        file: text(value, "file"),
        dump: text(value, "dump"),
        size: value["size"].as_u64().expect("a size is a number"),
        detached: value["detached"].as_bool().expect("detached is a boolean"),
        volume_key_sha256: text(value, "volume_key_sha256"),
        secrets: secrets(&value["secrets"]),
        unbound: secrets(&value["unbound"]),
    };
    let vectors: Vec<Vector> = json
        .as_array()
        .expect("vectors.json is a list")
        .iter()
        .map(vector)
        .collect();
    assert!(vectors.len() >= 100, "only {} vectors are left", vectors.len());
    vectors
}

/// A folder with the program under cryptsetup's name, and one vector's image at a time under the name in its dump.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder for temporary files");
        symlink(OURS, folder.path().join("cryptsetup")).expect("a link to the program");
        fs::write(folder.path().join("wrong"), b"not the secret of any vector").expect("a key file");
        Self { folder }
    }

    /// Unpacks the vector's header; returns the image's name. The part after the last area, which the archive leaves out,
    /// is zero.
    fn unpack(&self, vector: &Vector) -> String {
        let name = format!("{}.img", vector.name);
        let packed = File::open(folder().join(&vector.file)).expect("the vector's file is in the repository");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed)
            .read_to_end(&mut bytes)
            .expect("the vector's file is gzip");
        let path = self.folder.path().join(&name);
        fs::write(&path, bytes).expect("the image is written");
        File::options()
            .write(true)
            .open(&path)
            .and_then(|f| f.set_len(vector.size))
            .expect("the image is as large as it was");
        name
    }

    fn secret(&self, secret: &Secret) {
        fs::write(self.folder.path().join("secret"), &secret.bytes).expect("a key file");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(self.folder.path().join("cryptsetup"))
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("the program starts")
    }

    /// Dumps the key in a keyslot; returns its digest.
    fn key(&self, image: &str, slot: &str, unbound: bool) -> Result<String, String> {
        let file = self.folder.path().join("volume-key");
        let _ = fs::remove_file(&file);
        let which = if unbound { "--unbound" } else { "--dump-volume-key" };
        let ask = [
            "luksDump",
            "-q",
            which,
            "--volume-key-file",
            "volume-key",
            "--key-slot",
            slot,
            "-d",
            "secret",
            image,
        ];
        let output = self.run(&ask);
        if !output.status.success() {
            return Err(describe(&output));
        }
        let key = fs::read(&file).map_err(|error| format!("no key file: {error}"))?;
        let mut digest = [0; 32];
        Hash::Sha256.digest(&[&key], &mut digest);
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn describe(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{}; out {out:?}; err {err:?}", output.status)
}

/// Fails with all errors, not with the first one.
fn verdict(what: &str, tried: usize, problems: &[String]) {
    println!("{tried} {what}, {} problems", problems.len());
    assert!(
        problems.is_empty(),
        "{} of {tried} {what}:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

#[test]
fn every_secret_opens_its_keyslot_with_the_peers_volume_key() {
    let (bench, mut tried, mut problems) = (Bench::new(), 0, Vec::new());
    for vector in vectors() {
        let image = bench.unpack(&vector);
        for secret in vector.secrets.iter().chain(&vector.unbound) {
            tried += 1;
            bench.secret(secret);
            let mut problem = |text: String| problems.push(format!("{} slot {}: {text}", vector.name, secret.slot));
            let open = [
                "open",
                "--test-passphrase",
                "-d",
                "secret",
                "--key-slot",
                &secret.slot,
                &image,
            ];
            let output = bench.run(&open);
            if !output.status.success() {
                problem(describe(&output));
            }
            if secret.only_when_named {
                continue;
            }
            let expected = secret.own_key.as_ref().unwrap_or(&vector.volume_key_sha256);
            match bench.key(&image, &secret.slot, secret.own_key.is_some()) {
                Ok(digest) if digest == *expected => {}
                Ok(digest) => problem(format!("the key's digest is {digest}, not {expected}")),
                Err(text) => problem(text),
            }
        }
        fs::remove_file(bench.folder.path().join(&image)).expect("the image goes");
    }
    verdict("secrets", tried, &problems);
}

#[test]
fn every_secret_is_found_without_naming_its_keyslot() {
    let (bench, mut tried, mut problems) = (Bench::new(), 0, Vec::new());
    for vector in vectors() {
        let image = bench.unpack(&vector);
        fs::write(bench.folder.path().join("data"), vec![0; 1 << 20]).expect("a data file");
        for secret in &vector.secrets {
            tried += 1;
            bench.secret(secret);
            let output = match vector.detached {
                true => bench.run(&["open", "--test-passphrase", "-d", "secret", "--header", &image, "data"]),
                false => bench.run(&["open", "--test-passphrase", "-d", "secret", &image]),
            };
            let expected = if secret.only_when_named { Some(2) } else { Some(0) };
            if output.status.code() != expected || !output.stdout.is_empty() {
                problems.push(format!("{} slot {}: {}", vector.name, secret.slot, describe(&output)));
            }
        }
        fs::remove_file(bench.folder.path().join(&image)).expect("the image goes");
    }
    verdict("secrets", tried, &problems);
}

#[test]
fn every_wrong_secret_is_refused_with_exit_2_and_no_output() {
    let (bench, mut tried, mut problems) = (Bench::new(), 0, Vec::new());
    for vector in vectors() {
        let image = bench.unpack(&vector);
        let mut refuse = |file: &str, slot: Option<&str>| {
            tried += 1;
            let mut ask = vec!["open", "--test-passphrase", "-d", file];
            ask.extend(slot.map(|slot| ["--key-slot", slot]).iter().flatten());
            ask.push(&image);
            let output = bench.run(&ask);
            if output.status.code() != Some(2) || !output.stdout.is_empty() {
                problems.push(format!("{} {file} {slot:?}: {}", vector.name, describe(&output)));
            }
        };
        refuse("wrong", None);
        // Each keyslot refuses what opens its neighbour.
        for (secret, other) in vector.secrets.iter().zip(vector.secrets.iter().skip(1)) {
            bench.secret(secret);
            refuse("secret", Some(&other.slot));
        }
        fs::remove_file(bench.folder.path().join(&image)).expect("the image goes");
    }
    verdict("wrong secrets", tried, &problems);
}

#[test]
fn every_dump_is_the_peers_to_the_letter() {
    let (bench, mut tried, mut problems) = (Bench::new(), 0, Vec::new());
    for vector in vectors() {
        tried += 1;
        let image = bench.unpack(&vector);
        let expected = fs::read_to_string(folder().join(&vector.dump)).expect("the vector's dump is in the repository");
        let output = bench.run(&["luksDump", &image]);
        let dump = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || dump != expected {
            let different = expected.lines().zip(dump.lines()).find(|(theirs, ours)| theirs != ours);
            problems.push(format!(
                "{}: {} first difference: {different:?}",
                vector.name,
                describe(&output)
            ));
        }
        fs::remove_file(bench.folder.path().join(&image)).expect("the image goes");
    }
    verdict("dumps", tried, &problems);
}
