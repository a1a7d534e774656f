//! Attacks that were made, or could be, on tools of this kind, judged by what the user loses.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use keyslots::KeyslotId;
use keyslots::hash::Hash;
use keyslots::header::Header;
use keyslots::kdf::CostLimits;
use keyslots::luks2::Candidates;
use keyslots::luks2::keyslot::{KeyslotKind, SlotKdf};
use keyslots::luks2::metadata::Metadata;
use keyslots::luks2::segment::SegmentKind;
use keyslots::material::Wrapping;
use keyslots::secret::{Passphrase, Secret};

use crate::lab::{CHEAP, Lab, OURS, PATIENCE, error};

fn luks2_keyslot(metadata: &mut Metadata) -> &mut keyslots::luks2::keyslot::Luks2Keyslot {
    match &mut metadata.keyslots.get_mut(&KeyslotId::new(0)).expect("keyslot 0").kind {
        KeyslotKind::Luks2(luks2) => luks2,
        other => panic!("{other:?}"),
    }
}

/// A keyslot whose key is not encrypted opens only without a passphrase: a typed one would seem to protect it.
#[test]
fn a_keyslot_in_the_clear_takes_no_passphrase() {
    let lab = Lab::new("luks2");
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .open(lab.path("v"))
        .expect("a file");
    let header = Header::read(&mut file).expect("a header");
    let passphrase = Passphrase::new(Secret::copy_from(b"passphrase a").expect("a page"));
    let unlocked = header
        .unlock(&mut file, &passphrase, Candidates::All, &CostLimits::default())
        .expect("its passphrase");
    let null = "cipher_null-ecb".parse().expect("a specification");
    let wrapping = Wrapping {
        cipher: &null,
        af_hash: Hash::Sha256,
        stripes: 4000,
    };
    let clear = wrapping.seal(unlocked.volume_key.expose(), &[0; 64]).expect("material");
    lab.edit(|metadata| luks2_keyslot(metadata).encryption = "cipher_null-ecb".into());
    let area = header.luks2().expect("LUKS2").metadata().keyslots[&KeyslotId::new(0)]
        .area
        .offset;
    file.write_all_at(clear.expose(), area.get()).expect("room");
    fs::write(lab.path("empty"), "").expect("a key file");
    // cryptsetup opens no such keyslot at all.
    for (key, code) in [("a", 2), ("b", 2), ("empty", 0)] {
        let words = ["open", "--test-passphrase", "v", "-d", key];
        let (ours, theirs) = (lab.run(&words), lab.debians(&words));
        assert_eq!(ours.status.code(), Some(code), "{key}: {ours:?}");
        assert_eq!(theirs.status.code(), Some(1), "{key}: {theirs:?}");
    }
}

/// An unaffordable cost is refused before a byte of it is allocated.
#[test]
fn a_bomb_is_not_set_off() {
    let lab = Lab::new("luks2");
    let cheap = [
        "--pbkdf",
        "argon2id",
        "--pbkdf-force-iterations",
        "4",
        "--pbkdf-memory",
        "32",
    ];
    lab.must(&[&["luksAddKey", "-q", "v", "b", "-d", "a"], cheap.as_slice()].concat());
    for (time, memory_kib, lanes) in [
        (4, 4 << 20, 4),
        (u32::MAX, 32, 1),
        (u32::MAX, 4 << 20, 4),
        (1000, 4 << 20, 1),
    ] {
        lab.edit(|metadata| {
            let slot = metadata.keyslots.get_mut(&KeyslotId::new(1)).expect("keyslot 1");
            let KeyslotKind::Luks2(luks2) = &mut slot.kind else {
                panic!("{slot:?}")
            };
            let SlotKdf::Argon2 { variant, .. } = luks2.kdf else {
                panic!("{slot:?}")
            };
            luks2.kdf = SlotKdf::Argon2 {
                variant,
                time,
                memory_kib,
                lanes,
            };
        });
        let start = Instant::now();
        let words = ["-v", "1000000", lab.0.path().to_str().expect("UTF-8")];
        let script = "ulimit $1 $2; cd $3; exec $0 open --test-passphrase v -d b -S 1";
        let output = lab
            .command("sh", &[&["-c", script, OURS], words.as_slice()].concat())
            .output()
            .expect("a shell");
        let what = format!("{time} {memory_kib} {lanes}: {output:?}");
        assert!(matches!(output.status.code(), Some(1 | 3)), "{what}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{what}");
        assert!(start.elapsed() < PATIENCE, "{what}");
        // The other keyslot is as good as before.
        assert!(
            lab.run(&["open", "--test-passphrase", "v", "-d", "a", "-S", "0"])
                .status
                .success(),
            "{what}"
        );
    }
}

/// A cipher becomes words of a kernel table: a text that would become more words, or another target, is not a cipher.
#[test]
fn a_cipher_cannot_write_a_table() {
    for cipher in [
        "aes-xts-plain64 00 0 7:0 0 1 allow_discards",
        "aes-xts-plain64\n0 1 zero",
        "aes-xts-plain64\u{0}",
        "capi:xts(aes)-plain64 :32:logon:x",
        "capi:xts(aes-plain64",
        "capi:../../evil-plain64",
        "",
    ] {
        let lab = Lab::new("luks2");
        let mut file = fs::File::options()
            .read(true)
            .write(true)
            .open(lab.path("v"))
            .expect("a file");
        let mut copy = keyslots::luks2::copies::read(&mut file).expect("a header").winner;
        let segment = copy.metadata.segments.get_mut(&0).expect("a segment");
        let SegmentKind::Crypt(crypt) = &mut segment.kind else {
            panic!("{segment:?}")
        };
        crypt.encryption = cipher.into();
        // A header that does not hold such a text is one way to be safe.
        if keyslots::luks2::copies::write(&mut file, &copy).is_err() {
            continue;
        }
        let output = lab.run(&["cat", "v", "-d", "a", "--length", "512"]);
        assert_eq!(output.status.code(), Some(1), "{cipher:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{cipher:?}: {output:?}");
        let format = [&["luksFormat", "-q", "v", "a", "-c", cipher], CHEAP.as_slice()].concat();
        if !cipher.contains('\0') {
            let output = lab.run(&format);
            assert_eq!(output.status.code(), Some(1), "{cipher:?}: {output:?}");
        }
    }
}

/// HMAC pads a short key with zeros, so PBKDF2 takes a passphrase followed by zeros for the same one, here as in
/// cryptsetup; Argon2 does not. A volume key has one length.
#[test]
fn zeros_behind_a_key_mean_what_they_mean_to_cryptsetup() {
    for pbkdf in [
        CHEAP.as_slice(),
        &[
            "--pbkdf",
            "argon2id",
            "--pbkdf-force-iterations",
            "4",
            "--pbkdf-memory",
            "32",
        ],
    ] {
        let lab = Lab::new("luks2");
        lab.must(&[&["luksFormat", "-q", "v", "a"], pbkdf].concat());
        lab.must(&[
            "luksDump",
            "v",
            "--dump-volume-key",
            "-q",
            "-d",
            "a",
            "--volume-key-file",
            "key",
        ]);
        let key = fs::read(lab.path("key")).expect("a volume key");
        for len in [1, 10, 100] {
            let zeros = vec![0; len];
            fs::write(lab.path("padded"), [b"passphrase a".as_slice(), &zeros].concat()).expect("a key file");
            fs::write(lab.path("long"), [&key, zeros.as_slice()].concat()).expect("a key file");
            fs::write(lab.path("short"), &key[..key.len() - 1]).expect("a key file");
            for words in [
                ["open", "--test-passphrase", "v", "-d", "padded"],
                ["open", "--test-passphrase", "v", "--volume-key-file", "long"],
                ["open", "--test-passphrase", "v", "--volume-key-file", "short"],
            ] {
                let (ours, theirs) = (lab.run(&words), lab.debians(&words));
                assert_eq!(
                    ours.status.code(),
                    theirs.status.code(),
                    "{pbkdf:?} {len} {words:?}: {} {}",
                    error(&ours),
                    error(&theirs)
                );
            }
        }
    }
}

/// With less memory than it needs, however little there is, the program reports it: it is not killed and does not abort.
#[test]
fn too_little_memory_is_reported() {
    let lab = Lab::new("luks2");
    let slot = [
        "--pbkdf",
        "argon2id",
        "--pbkdf-force-iterations",
        "4",
        "--pbkdf-memory",
        "65536",
    ];
    lab.must(&[&["luksFormat", "-q", "v", "a"], slot.as_slice()].concat());
    let before = lab.image();
    let limited = |kib: u32, words: &str| {
        let script = format!("ulimit -v {kib}; exec {} {words}", OURS);
        lab.command("sh", &["-c", &script]).output().expect("a shell")
    };
    // The program and its libraries alone need this much.
    let least = (1..64)
        .map(|mib| mib << 10)
        .find(|&kib| limited(kib, "--version").status.success());
    let least = least.expect("a limit that the program starts under");
    let mut codes = std::collections::BTreeSet::new();
    for words in [
        "open --test-passphrase v -d a",
        "luksAddKey -q v b -d a --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 65536",
        "luksChangeKey -q v c -d a --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 65536",
    ] {
        for kib in (least..least + (160 << 10)).step_by(4 << 10) {
            let output = limited(kib, words);
            let code = output.status.code();
            codes.insert(code);
            match code {
                Some(0) => break,
                Some(3) => assert!(error(&output).contains("memory"), "{kib} {words}: {output:?}"),
                _ => panic!("{kib} {words}: {output:?}"),
            }
            assert!(lab.image() == before, "{kib} {words}: something was written");
        }
        fs::write(lab.path("v"), &before).expect("the volume as it was");
    }
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), [Some(0), Some(3)]);
}
