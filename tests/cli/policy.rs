//! `open --policy`: a header that meets one opens, and each rule alone rejects one that does not.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use keyslots::KeyslotId;
use keyslots::luks2::copies;
use keyslots::luks2::keyslot::{KeyslotKind, SlotKdf};
use keyslots::luks2::segment::SegmentKind;
use tempfile::TempDir;

use crate::common::OURS;

const UUID: &str = "11111111-2222-3333-4444-555555555555";

fn luksmith(folder: &Path, words: &[&str]) -> Output {
    Command::new(OURS)
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("luksmith starts")
}

/// A volume of each version, and a key file.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("key"), "passphrase").expect("a key file");
    let argon2: &[&str] = &[
        "--pbkdf",
        "argon2id",
        "--pbkdf-force-iterations",
        "4",
        "--pbkdf-memory",
        "64",
        "--pbkdf-parallel",
        "1",
    ];
    let pbkdf2: &[&str] = &["--pbkdf-force-iterations", "1000"];
    for (image, kind, costs) in [("v2", "luks2", argon2), ("v1", "luks1", pbkdf2)] {
        let file = fs::File::create(folder.path().join(image)).expect("an image");
        file.set_len(20 << 20).expect("its size");
        let words = [
            &["luksFormat", "-q", "--type", kind, "--uuid", UUID],
            costs,
            &[image, "key"],
        ];
        let made = luksmith(folder.path(), &words.concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    folder
}

fn open(folder: &Path, image: &str, policy: &str) -> (Option<i32>, String) {
    fs::write(folder.join("policy"), policy).expect("the policy's file");
    let words = ["open", "--test-passphrase", "-d", "key", "--policy", "policy", image];
    let output = luksmith(folder, &words);
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// The digest of the volume key, as JSON metadata or a dump have it.
fn digest(folder: &Path, image: &str) -> String {
    let dump = luksmith(folder, &["luksDump", image]).stdout;
    let dump = String::from_utf8_lossy(&dump).into_owned();
    let mut lines = dump.lines().skip_while(|line| {
        let line = line.trim_start();
        !line.starts_with("Digest: ") && !line.starts_with("MK digest:")
    });
    let first = lines
        .next()
        .expect("a digest")
        .split_once(':')
        .expect("its name")
        .1
        .to_owned();
    let bytes = |line: &str| line.split_whitespace().all(|word| word.len() == 2);
    let rest: String = lines.take_while(|line| bytes(line)).collect();
    (first + &rest).split_whitespace().collect()
}

#[test]
fn what_meets_every_rule_opens_and_each_rule_alone_keeps_out() {
    let folder = folder();
    let folder = folder.path();
    let v2 = [
        ("version = 2", "version = 1"),
        (
            "uuid = 11111111-2222-3333-4444-555555555555",
            "uuid = 22222222-2222-3333-4444-555555555555",
        ),
        (
            "cipher = serpent-xts-plain64 aes-xts-plain64",
            "cipher = serpent-xts-plain64",
        ),
        ("key-size = 256..512", "key-size = 256"),
        ("sector-size = 512 4096", "sector-size = 512"),
        ("keyslot-cipher = aes-xts-plain64", "keyslot-cipher = aes-cbc-plain64"),
        ("pbkdf = argon2id", "pbkdf = pbkdf2 argon2i"),
        ("argon2-memory = 32..64", "argon2-memory = 65..1048576"),
        ("argon2-time = 4", "argon2-time = 5..10"),
        ("argon2-threads = 1", "argon2-threads = 2..4"),
        ("keyslots = 0 1", "keyslots = 1"),
        ("tokens =", "tokens = systemd-tpm2"),
        ("requirements =", "requirements ="),
    ];
    let v1 = [
        ("version = 1", "version = 2"),
        ("pbkdf = pbkdf2", "pbkdf = argon2id"),
        ("pbkdf2-iterations = 1000..2000", "pbkdf2-iterations = 1001..2000"),
        ("pbkdf2-hash = sha256", "pbkdf2-hash = sha512"),
        ("cipher = aes-xts-plain64", "cipher = aes-cbc-plain64"),
        ("keyslots = 0", "keyslots = 7"),
    ];
    for (image, rules) in [("v2", &v2[..]), ("v1", &v1[..])] {
        let pinned = format!("volume-key-digest = {}", digest(folder, image));
        let all: Vec<&str> = rules.iter().map(|rule| rule.0).chain([pinned.as_str()]).collect();
        assert_eq!(
            open(folder, image, &all.join("\n")),
            (Some(0), String::new()),
            "{image}"
        );
        for (met, broken) in rules
            .iter()
            .filter(|(_, broken)| !broken.ends_with('=') && !broken.starts_with("tokens"))
        {
            let (code, text) = open(folder, image, broken);
            assert_eq!(code, Some(1), "{image}: {broken}: {text}");
            assert_eq!(text.matches(", and must be ").count(), 1, "{image}: {broken}: {text}");
            assert_eq!(open(folder, image, met).0, Some(0), "{image}: {met}");
        }
        let other = pinned.replace(['0', '1', '2', '3'], "4");
        assert_eq!(open(folder, image, &other).0, Some(1), "{image}: another volume key");
    }
}

#[test]
fn tokens_are_allowed_by_type() {
    let folder = folder();
    let folder = folder.path();
    let added = luksmith(folder, &["token", "add", "--key-description", "x", "v2"]);
    assert!(added.status.success());
    assert_eq!(open(folder, "v2", "tokens = systemd-tpm2 luks2-keyring").0, Some(0));
    let (code, text) = open(folder, "v2", "tokens =");
    assert_eq!(code, Some(1));
    assert!(text.contains("a token is luks2-keyring, and must be none"), "{text}");
}

#[test]
fn a_policy_that_cannot_be_used_opens_nothing() {
    let folder = folder();
    let folder = folder.path();
    for policy in ["", "cypher = x", "key-size = wide"] {
        let (code, text) = open(folder, "v2", policy);
        assert_eq!(code, Some(1), "{policy}");
        assert!(text.contains("Cannot use the policy"), "{text}");
    }
    let words = ["open", "--test-passphrase", "-d", "key", "--policy", "nowhere", "v2"];
    assert_eq!(luksmith(folder, &words).status.code(), Some(1));
}

#[test]
fn what_is_not_encrypted_meets_no_policy() {
    let folder = folder();
    let folder = folder.path();
    let file = fs::File::create(folder.join("null")).expect("an image");
    file.set_len(20 << 20).expect("its size");
    let words = [
        "luksFormat",
        "-q",
        "--cipher",
        "cipher_null-ecb",
        "--key-size",
        "256",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        "1000",
        "null",
        "key",
    ];
    let made = luksmith(folder, &words);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (code, text) = open(folder, "null", "version = 1 2");
    assert_eq!(code, Some(1));
    assert!(text.contains("one that encrypts"), "{text}");
}

/// Changes the text of a cipher in `v2`: that of the data, or that of keyslot 0.
fn set_cipher(folder: &Path, keyslot: bool, cipher: &str) {
    let path = folder.join("v2");
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("the volume");
    let mut copy = copies::read(&mut file).expect("a header").winner;
    if keyslot {
        let slot = copy.metadata.keyslots.get_mut(&KeyslotId::new(0)).expect("a keyslot");
        let KeyslotKind::Luks2(slot) = &mut slot.kind else {
            panic!("no keyslot of LUKS2");
        };
        slot.encryption = cipher.to_owned();
    } else {
        let segment = copy.metadata.segments.get_mut(&0).expect("a segment");
        let SegmentKind::Crypt(crypt) = &mut segment.kind else {
            panic!("no segment of dm-crypt");
        };
        crypt.encryption = cipher.to_owned();
    }
    copy.binary.seqid += 1;
    copies::write(&mut file, &copy).expect("valid metadata");
}

/// Neither capitals nor the kernel's own terms hide a cipher that encrypts nothing; without a policy, it causes a warning.
#[test]
fn a_cipher_of_none_is_known_however_it_is_written() {
    let folder = folder();
    let folder = folder.path();
    for cipher in [
        "cipher_null-ecb",
        "CIPHER_NULL-ecb",
        "Cipher_NULL-ecb",
        "NULL-ecb",
        "null",
        "null-ecb",
        "capi:ecb(cipher_null)-plain",
        "capi:cbc(cipher_null)-plain64",
    ] {
        set_cipher(folder, false, cipher);
        let (code, text) = open(folder, "v2", "version = 2");
        assert!(
            code == Some(1) && text.contains("one that encrypts"),
            "{cipher}: {text}"
        );
        let output = luksmith(folder, &["open", "--test-passphrase", "-d", "key", "v2"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains("is not encrypted"),
            "{cipher}: {text}"
        );
        set_cipher(folder, false, "aes-xts-plain64");
        set_cipher(folder, true, cipher);
        let (code, text) = open(folder, "v2", "version = 2");
        assert!(
            code == Some(1) && text.contains("keyslot 0: cipher is"),
            "{cipher}: {text}"
        );
        set_cipher(folder, true, "aes-xts-plain64");
    }
    // The same cipher in another form matches a rule; a constant IV encrypts.
    for cipher in ["capi:xts(aes)-plain64", "aes-xts-plain64:sha256", "AES-xts-plain64"] {
        set_cipher(folder, false, cipher);
        let (code, text) = open(folder, "v2", "cipher = aes-xts-plain64");
        assert_eq!(code, Some(0), "{cipher}: {text}");
    }
    set_cipher(folder, false, "aes-cbc-null");
    let (code, text) = open(folder, "v2", "version = 2");
    assert_eq!(code, Some(0), "{text}");
}

/// A cipher that the kernel takes in a table opens a keyslot and shows the data; one that names a driver opens a keyslot
/// at most.
#[test]
fn ciphers_are_understood_as_the_kernel_takes_them() {
    let folder = folder();
    let folder = folder.path();
    let read = |volume: &str| luksmith(folder, &["cat", "-d", "key", "--length", "4096", volume]);
    let data = read("v2").stdout;
    assert_eq!(data.len(), 4096);
    for cipher in [
        "aes-xts-plain64:sha256",
        "capi:xts(aes)-plain64",
        "AES-XTS-plain64",
        "aes:1-xts-plain64",
    ] {
        for keyslot in [true, false] {
            set_cipher(folder, keyslot, cipher);
            let output = read("v2");
            assert!(
                output.stdout == data,
                "{cipher}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            set_cipher(folder, keyslot, "aes-xts-plain64");
        }
    }
    set_cipher(folder, false, "capi:xts(ecb(aes-generic))-plain64");
    let words = ["open", "--test-passphrase", "-d", "key", "v2"];
    assert!(luksmith(folder, &words).status.success());
    let refused = read("v2");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text.contains("No known cipher specification pattern detected."),
        "{text}"
    );
    for cipher in ["capi:xts(ecb(aes-generic))-plain64", "capi:xts-aes-aesni-plain64"] {
        let words = [
            &[
                "--type", "plain", "-s", "256", "-h", "sha256", "-d", "key", "-c", cipher, "v1",
            ],
            &[][..],
        ]
        .concat();
        let refused = luksmith(folder, &[&["cat"][..], &words].concat());
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(
            text.contains("No known cipher specification pattern detected."),
            "{cipher}: {text}"
        );
        assert_eq!(refused.status.code(), Some(1), "{cipher}");
    }
    // LUKS1 has the two parts apart.
    let data = read("v1").stdout;
    let path = folder.join("v1");
    let mut header = fs::read(&path).expect("the volume");
    header[40..40 + 19].copy_from_slice(b"xts-plain64:sha256\0");
    fs::write(&path, &header).expect("the volume");
    let output = read("v1");
    assert!(
        output.stdout == data && data.len() == 4096,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A volume under HCTR2, in its keyslots too, is made and read without the kernel.
#[test]
fn hctr2_needs_no_kernel() {
    let folder = folder();
    let folder = folder.path();
    fs::write(folder.join("text"), [7; 8192]).expect("a text");
    fs::File::create(folder.join("h"))
        .and_then(|file| file.set_len(20 << 20))
        .expect("an image");
    let words = "luksFormat -q -c aes-hctr2-plain64 -s 256 --sector-size 4096 --keyslot-cipher aes-hctr2-plain64 \
                 --keyslot-key-size 256 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 h key";
    let words: Vec<_> = words.split_whitespace().collect();
    let made = luksmith(folder, &words);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let written = Command::new(OURS)
        .args(["write", "-d", "key", "h"])
        .current_dir(folder)
        .stdin(fs::File::open(folder.join("text")).expect("the text"))
        .output()
        .expect("luksmith starts");
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let read = luksmith(folder, &["cat", "-d", "key", "--length", "8192", "h"]);
    assert!(read.stdout == [7; 8192], "{}", String::from_utf8_lossy(&read.stderr));
}

/// A cipher need not name an IV generator to be measured; a cipher that cannot be computed here stops a server before it starts.
#[test]
fn ciphers_are_measured_and_served_by_name() {
    let folder = folder();
    let folder = folder.path();
    for (cipher, name) in [
        ("aes-xts", "aes-xts "),
        ("capi:xts(aes)", "aes-xts "),
        ("AES-cbc-plain64", "aes-cbc "),
    ] {
        let output = luksmith(folder, &["benchmark", "-c", cipher]);
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default().trim_start();
        assert!(output.status.success() && last.starts_with(name), "{cipher}: {text}");
    }
    set_cipher(folder, false, "capi:authenc(hmac(sha256),xts(aes))-random");
    for _ in 0..2 {
        let words = [
            "open",
            "--backend",
            "userspace",
            "-d",
            "key",
            "v2",
            "luksmith-test-no-cipher",
        ];
        let output = luksmith(folder, &words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text.contains("authenc") && !text.contains("fuse") && !text.contains("in use"),
            "{text}"
        );
    }
}

/// Its passphrase cannot be derived here, but perhaps by another program that reads the header.
#[test]
fn a_keyslot_of_an_unknown_derivation_is_looked_at_too() {
    let folder = folder();
    let folder = folder.path();
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .open(folder.join("v2"))
        .expect("the volume");
    let mut copy = copies::read(&mut file).expect("a header").winner;
    let slot = copy.metadata.keyslots.get_mut(&KeyslotId::new(0)).expect("a keyslot");
    let KeyslotKind::Luks2(slot) = &mut slot.kind else {
        panic!("no keyslot of LUKS2");
    };
    slot.kdf = SlotKdf::Unknown("scrypt".into(), Default::default());
    slot.salt = Vec::new();
    copy.binary.seqid += 1;
    copies::write(&mut file, &copy).expect("valid metadata");
    let (code, text) = open(folder, "v2", "pbkdf = argon2id\nkeyslot-cipher = serpent-xts-plain64");
    assert_eq!(code, Some(1));
    assert!(text.contains("keyslot 0: cipher is aes-xts-plain64"), "{text}");
    assert!(text.contains("keyslot 0: pbkdf is not known"), "{text}");
}

/// The example of the documentation is a policy, and has every key.
#[test]
fn the_example_is_one() {
    let example = include_str!("../../docs/example.policy");
    luksmith::policy::Policy::parse(example).expect("a policy");
    for line in include_str!("../../docs/policy.md")
        .lines()
        .filter(|line| line.starts_with("| `"))
    {
        let keys = line.split('|').nth(1).expect("the first column").split(',');
        for key in keys.map(|key| key.trim().trim_matches('`')) {
            assert!(example.contains(&format!("\n{key} =")), "{key}");
        }
    }
}
