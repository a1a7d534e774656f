//! What `luksFormat` makes of its options, and how every action handles a wrong device, type, name or number: line for
//! line against the installed cryptsetup (package cryptsetup-bin), on files. Exit code, texts and the resulting header
//! are the same, or the line is in the table of intended differences, with its reason.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::{CHEAP, CRYPTSETUP, OURS};

const MIB: u64 = 1 << 20;

/// The outcome of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    code: Option<i32>,
    out: String,
    err: String,
    /// cryptsetup's dump of the volume, without random parts. Letters are small: it keeps a cipher's name as it was
    /// typed, which no kernel knows.
    dump: String,
    /// The length of the key file, which no line may touch.
    key: u64,
}

/// The files that lines name: `k` opens keyslot 0 of `v1` and `v2`, `k2` keyslot 1 of `v2`; `capitals` is LUKS1 with a
/// cipher in capitals. Files that are not volumes are made anew for each line.
struct Base(TempDir);

const VOLUMES: [&str; 4] = ["v1", "v2", "capitals", "capitals2"];
const SIZES: [(&str, u64); 5] = [
    ("blank", 32 * MIB),
    ("small", 8 * MIB),
    ("half", 32 * MIB + 2048),
    ("quarter", 32 * MIB + 1024),
    ("torn", 32 * MIB + 100),
];

impl Base {
    fn new() -> Self {
        let base = Self(TempDir::new().expect("a temporary folder"));
        fs::write(base.0.path().join("k"), "secret").expect("a key file");
        fs::write(base.0.path().join("k2"), "another").expect("a key file");
        for volume in VOLUMES {
            let file = File::create(base.0.path().join(volume)).expect("a file");
            file.set_len(3 * MIB).expect("room");
        }
        for line in [
            "luksFormat -q v1 k LUKS1",
            "luksFormat -q v2 k PBKDF --offset 4096",
            "luksAddKey -q v2 k2 PBKDF -d k",
            "luksFormat -q capitals k LUKS1 -c AES-xts-PLAIN64",
            "luksFormat -q capitals2 k PBKDF --offset 4096 -s 256 -c Aes-cbc-Essiv:SHA256",
        ] {
            let seen = run(CRYPTSETUP, base.0.path(), line);
            assert_eq!(seen.code, Some(0), "{line}: {}", seen.err);
        }
        base
    }

    /// Runs a line in a folder of its own.
    fn seen(&self, program: &str, line: &str) -> Seen {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path();
        let named: Vec<_> = line.split_whitespace().collect();
        for file in ["k", "k2"].into_iter().chain(VOLUMES) {
            if file.starts_with('k') || named.contains(&file) {
                fs::copy(self.0.path().join(file), path.join(file)).expect("a copy");
            }
        }
        for (file, size) in SIZES.into_iter().filter(|(file, _)| named.contains(file)) {
            File::create(path.join(file))
                .and_then(|file| file.set_len(size))
                .expect("a file");
        }
        let mut seen = run(program, path, line);
        // The new volume, if one was made: in the header's file, else in the only named one.
        let header = ["nh"]
            .into_iter()
            .chain(named.iter().copied())
            .find(|file| path.join(file).is_file() && !file.starts_with('k'));
        if let Some(file) = header {
            seen.dump = dump(path, file);
        }
        seen.key = fs::metadata(path.join("k")).map_or(0, |key| key.len());
        seen
    }
}

/// Runs one line; `PBKDF` and `LUKS1` are replaced by the cheap costs.
fn run(program: &str, folder: &Path, line: &str) -> Seen {
    let words = line.split_whitespace().flat_map(|word| match word {
        "PBKDF" => CHEAP.to_vec(),
        "LUKS1" => vec!["--type", "luks1", "--pbkdf-force-iterations", "1000"],
        word => vec![word],
    });
    let output = Command::new(program)
        .arg0("cryptsetup")
        .args(words)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run (package cryptsetup-bin?): {error}"));
    let err = String::from_utf8_lossy(&output.stderr);
    // The usage texts are of different versions; only their presence is compared.
    let err = err.lines().filter_map(|line| match line {
        line if line.starts_with("Usage: ") => Some("(usage)"),
        line if line.starts_with("        ") => None,
        line => Some(line),
    });
    Seen {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: err.collect::<Vec<_>>().join("\n"),
        dump: String::new(),
        key: 0,
    }
}

fn dump(folder: &Path, file: &str) -> String {
    let dump = run(CRYPTSETUP, folder, &format!("luksDump {file}"));
    let random = |line: &&str| {
        let text = line.trim_start();
        let hex = text.len() > 2 && text.split_whitespace().all(|word| word.len() == 2);
        !hex && !["UUID:", "Salt:", "Digest:", "MK digest:", "MK salt:"]
            .iter()
            .any(|name| text.starts_with(name))
    };
    dump.out
        .lines()
        .filter(random)
        .collect::<Vec<_>>()
        .join("\n")
        .to_lowercase()
}

fn lines(list: &str) -> impl Iterator<Item = &str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty())
}

fn assert_alike(list: &str) {
    let base = Base::new();
    let mut differences = Vec::new();
    for line in lines(list) {
        let (ours, mut theirs) = (base.seen(OURS, line), base.seen(CRYPTSETUP, line));
        if line.starts_with("luksFormat") && theirs.code != Some(0) {
            // cryptsetup may have overwritten the header by then. A file that ours refuses stays unchanged.
            let volume = VOLUMES
                .into_iter()
                .find(|volume| line.split(' ').any(|word| word == *volume));
            theirs.dump = volume.map(|volume| dump(base.0.path(), volume)).unwrap_or_default();
        }
        if ours != theirs {
            differences.push(format!("{line}\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// A key file in the wrong place stays unchanged; and an impossible volume is refused before anything is written.
#[test]
fn a_file_of_less_than_a_sector_is_no_device() {
    assert_alike(
        "
        luksFormat -q PBKDF k k
        luksFormat -q LUKS1 k k
        luksFormat -q PBKDF --header k blank k2
        luksFormat -q LUKS1 --header k blank k2
        luksFormat -q PBKDF --header nh k k2
        ",
    );
}

#[test]
fn what_luks1_has_no_place_for_is_refused() {
    assert_alike(
        "
        luksFormat -q LUKS1 --sector-size 4096 v2 k
        luksFormat -q LUKS1 --sector-size 512 blank k
        luksFormat -q LUKS1 --luks2-metadata-size 16k v2 k
        luksFormat -q LUKS1 --luks2-keyslots-size 1M v2 k
        luksFormat -q LUKS1 --keyslot-cipher aes-cbc-plain64 --keyslot-key-size 256 v2 k
        luksFormat -q LUKS1 --keyslot-cipher foo-bar --keyslot-key-size 256 v2 k
        luksFormat -q LUKS1 --sector-size 4096 --luks2-metadata-size 16k --keyslot-cipher a-b --keyslot-key-size 8 v2 k
        luksFormat -q LUKS1 --integrity hmac-sha256 v2 k
        luksAddKey -q --pbkdf-force-iterations 1000 --keyslot-cipher foo-bar --keyslot-key-size 256 -d k v1 k2
        luksChangeKey -q --pbkdf-force-iterations 1000 --keyslot-cipher aes-cbc-plain64 --keyslot-key-size 256 -d k v1 k2
        ",
    );
}

#[test]
fn sectors_and_the_start_of_the_data_are_those_of_cryptsetup() {
    assert_alike(
        "
        luksFormat -q PBKDF blank k
        luksFormat -q PBKDF half k
        luksFormat -q PBKDF quarter k
        luksFormat -q PBKDF torn k
        luksFormat -q PBKDF --header nh half k
        luksFormat -q PBKDF --align-payload 7 blank k
        luksFormat -q PBKDF --align-payload 8 blank k
        luksFormat -q PBKDF --align-payload 0 blank k
        luksFormat -q PBKDF --align-payload 2056 blank k
        luksFormat -q PBKDF --sector-size 4096 half k
        luksFormat -q PBKDF --sector-size 2048 half k
        luksFormat -q PBKDF --sector-size 2048 quarter k
        luksFormat -q PBKDF --sector-size 4096 --align-payload 7 blank k
        luksFormat -q PBKDF --sector-size 1024 --align-payload 7 blank k
        luksFormat -q PBKDF --sector-size 4096 --align-payload 4 blank k
        luksFormat -q PBKDF --offset 0 small k
        luksFormat -q LUKS1 --offset 0 small k
        luksFormat -q PBKDF --offset 8 v1 k
        luksFormat -q LUKS1 --offset 8 v2 k
        luksFormat -q LUKS1 --offset 1024 v2 k
        luksFormat -q PBKDF --offset 4096 blank k
        luksFormat -q LUKS1 --offset 4096 blank k
        luksFormat -q PBKDF --luks2-keyslots-size 16M --offset 4096 blank k
        luksFormat -q PBKDF --luks2-metadata-size 1M --offset 2048 v1 k
        luksFormat -q PBKDF --luks2-metadata-size 0 blank k
        luksFormat -q PBKDF --luks2-keyslots-size 0 blank k
        ",
    );
}

#[test]
fn a_detached_header_leaves_the_data_where_cryptsetup_does() {
    assert_alike(
        "
        luksFormat -q PBKDF --header nh small k
        luksFormat -q LUKS1 --header nh small k
        luksFormat -q PBKDF --offset 0 --header nh small k
        luksFormat -q LUKS1 --offset 0 --header nh small k
        luksFormat -q PBKDF --offset 4096 --header nh small k
        luksFormat -q LUKS1 --offset 4096 --header nh small k
        luksFormat -q PBKDF --align-payload 0 --header nh small k
        luksFormat -q LUKS1 --align-payload 0 --header nh small k
        luksFormat -q PBKDF --align-payload 4096 --header nh small k
        luksFormat -q LUKS1 --align-payload 4096 --header nh small k
        luksFormat -q PBKDF --align-payload 4097 --header nh blank k
        luksFormat -q LUKS1 --align-payload 4097 --header nh blank k
        luksFormat -q PBKDF --align-payload 40000 --sector-size 512 --header nh small k
        luksFormat -q LUKS1 --align-payload 40000 --header nh small k
        ",
    );
}

/// A volume that is not made after all costs nothing: not the existing volume, and no stray file. (cryptsetup leaves a
/// header's file of 4096 zero bytes, and overwrites a header before it finds no room for a keyslot.)
#[test]
fn a_volume_that_cannot_be_made_leaves_all_as_it_was() {
    let base = Base::new();
    for (line, text) in [
        (
            "luksFormat -q PBKDF --offset 8 --header nh blank k",
            "Requested data offset is too small.",
        ),
        (
            "luksFormat -q PBKDF --align-payload 8 --header nh blank k",
            "Requested data offset is too small.",
        ),
        (
            "luksFormat -q LUKS1 --offset 8 --header nh blank k",
            "Data offset for LUKS header must be either 0 or higher than header size.",
        ),
        (
            "luksFormat -q LUKS1 --align-payload 2048 --header nh blank k",
            "Data offset for LUKS header must be either 0 or higher than header size.",
        ),
        (
            "luksFormat -q PBKDF --sector-size 4096 --header nh half k",
            "Device size is not aligned to requested sector size.",
        ),
        ("luksFormat -q PBKDF --offset 512 v2 k", "No space for new keyslot."),
        (
            "luksFormat -q PBKDF --luks2-keyslots-size 4k v2 k",
            "No space for new keyslot.",
        ),
        ("luksFormat -q PBKDF --offset 64 v2 k", "No space for new keyslot."),
    ] {
        let theirs = base.seen(CRYPTSETUP, line);
        assert_eq!((theirs.code, theirs.err.as_str()), (Some(1), text), "{line}");
        let before = fs::read(base.0.path().join("v2")).expect("a volume");
        for file in ["blank", "half"] {
            File::create(base.0.path().join(file))
                .and_then(|file| file.set_len(33 * MIB + 2048))
                .expect("a file");
        }
        let ours = run(OURS, base.0.path(), line);
        assert_eq!((ours.code, ours.err.as_str()), (Some(1), text), "{line}");
        assert!(!base.0.path().join("nh").exists(), "{line}");
        assert!(
            before == fs::read(base.0.path().join("v2")).expect("a volume"),
            "{line}"
        );
    }
}

#[test]
fn names_in_capitals_are_the_same_names() {
    assert_alike(
        "
        open --test-passphrase -d k capitals
        open --test-passphrase -d k capitals2
        luksAddKey -q PBKDF -d k capitals k2
        luksAddKey -q PBKDF -d k capitals2 k2
        luksDump capitals2
        luksFormat -q PBKDF -c AES-xts-plain64 blank k
        luksFormat -q LUKS1 -c AES-xts-plain64 blank k
        luksFormat -q PBKDF -c aes-xts-PLAIN64 blank k
        luksFormat -q PBKDF -c aes-cbc-ESSIV:sha256 -s 256 blank k
        luksFormat -q PBKDF -c capi:XTS(AES)-plain64 blank k
        luksFormat -q PBKDF --keyslot-cipher AES-cbc-plain64 --keyslot-key-size 256 blank k
        luksFormat -q --pbkdf ARGON2ID --pbkdf-force-iterations 4 --pbkdf-memory 32 blank k
        luksFormat -q --pbkdf Argon2i --pbkdf-force-iterations 4 --pbkdf-memory 32 blank k
        luksFormat -q --pbkdf PBKDF2 --pbkdf-force-iterations 1000 blank k
        luksFormat -q --pbkdf PBKDF2 LUKS1 blank k
        ",
    );
}

#[test]
fn a_mapping_that_cannot_be_there_is_told_alike() {
    let mut list = String::new();
    for verb in [
        "close",
        "remove",
        "luksClose",
        "close --deferred",
        "luksSuspend",
        "luksResume",
        "resize",
        "status",
    ] {
        for name in [
            "luksmith-test-nothere",
            "/dev/mapper/luksmith-test-nothere",
            "../x",
            "a/b",
            "/dev/null",
            "k",
        ] {
            list += &format!("-v {verb} {name}\n");
        }
    }
    assert_alike(&list);
}

#[test]
fn devices_types_and_numbers_that_mean_nothing_are_told_alike() {
    assert_alike(
        "
        isLuks v1 v2
        isLuks -v v1 v2
        isLuks k v2
        luksUUID v1 v2
        luksDump v1 v2
        -v open --type foo v2 nm
        open --type foo --test-passphrase v2
        -v isLuks --type foo v2
        isLuks --type plain v2
        luksUUID --type foo v2
        luksDump --type foo v2
        luksDump --type plain v2
        luksAddKey --type foo -d k v2 k2
        luksKillSlot -q --type foo v2 1
        luksRemoveKey --type foo v2 k2
        luksChangeKey --type foo -d k v2 k2
        convert -q --type foo v2
        config --type foo --label x v2
        close --type foo luksmith-test-nothere
        luksSuspend --type foo luksmith-test-nothere
        resize --type foo luksmith-test-nothere
        status --type foo luksmith-test-nothere
        luksHeaderBackup --type foo v2 --header-backup-file backup
        token export --token-id 0 --type foo v2
        open --type luks1 v2 luksmith-test-nothere
        open --type luks1 --test-passphrase -d k v2
        open --type luks2 --test-passphrase -d k v1
        luksDump --type luks1 v2
        luksDump --type luks2 v1
        luksUUID --type luks1 v2
        luksAddKey --type luks1 -d k v2 k2
        luksKillSlot -q --type luks1 v2 1
        config --label x v1
        config --type luks1 --label x v1
        luksConvertKey --type luks1 -d k v1
        open --test-passphrase -S foo -d k v2
        luksAddKey -S foo -d k v2 k2
        luksFormat -q PBKDF -S foo v2 k
        luksFormat -q PBKDF --volume-key-file nofile v2 k
        open --test-passphrase --volume-key-file nofile v2
        luksAddKey --volume-key-file nofile v2 k2
        open --test-passphrase --token-id -1 -d k v2
        open --test-passphrase --token-id=-1 -d k v2
        token export --token-id -1 v2
        open --test-passphrase --verify-passphrase -d k v2
        open --test-passphrase --verify-passphrase -d k v1
        luksFormat -q PBKDF -y -d k blank
        luksAddKey -q PBKDF -y -d k v2 k2
        ",
    );
}

#[test]
fn a_volume_key_is_shown_alike() {
    assert_alike(
        "
        luksDump -q --dump-volume-key -d k v2
        luksDump -q --dump-volume-key -d k -S 1 v2
        luksDump -q --dump-volume-key -d k2 -S 0 v2
        luksDump -q --dump-volume-key -d k -S 7 v1
        luksDump -q --dump-volume-key -d k -S 99 v2
        luksDump -q --dump-volume-key -d k --header v2 blank
        luksDump -q --dump-volume-key -d k --header v1 blank
        luksDump -q --unbound -S 1 --header v2 blank
        ",
    );
}

/// The intended differences.
#[test]
fn where_cryptsetup_does_harm_or_is_silent_ours_is_not() {
    let base = Base::new();
    for (line, code, text, why) in [
        (
            "luksErase -q --type luks1 v2",
            1,
            "Device v2 is not a valid LUKS device.",
            "it erases what was not meant",
        ),
        (
            "luksErase -q --type foo v2",
            1,
            "Unrecognized metadata device type foo.",
            "it erases whatever was mistyped",
        ),
        (
            "luksKillSlot -q v2 foo",
            1,
            "No keyslot is named foo.",
            "it takes the word for keyslot 0 and wipes that",
        ),
        (
            "luksFormat -q --type foo v2 k",
            1,
            "Unrecognized metadata device type foo.",
            "it fails without a word",
        ),
        (
            "repair -q --type foo v2",
            1,
            "Unrecognized metadata device type foo.",
            "it fails without a word",
        ),
        (
            "open --test-passphrase --token-id -2 -d k v2",
            1,
            "(usage)\ncryptsetup: invalid numeric value",
            "no token has the number",
        ),
    ] {
        let ours = base.seen(OURS, line);
        assert_eq!((ours.code, ours.err.as_str()), (Some(code), text), "{line}: {why}");
        let theirs = base.seen(CRYPTSETUP, line);
        assert!(
            theirs.code != ours.code || theirs.err.is_empty(),
            "no longer so: {line}: {why}"
        );
        assert_eq!(ours.dump, dump(base.0.path(), "v2"), "{line}");
    }
    // It takes no default for -s 0 but half of one, which makes AES-128 of the AES-256 that its manual promises.
    for line in ["luksFormat -q PBKDF -s 0 blank k", "luksFormat -q LUKS1 -s 0 blank k"] {
        let [ours, theirs] = [OURS, CRYPTSETUP].map(|program| base.seen(program, line));
        assert_eq!((ours.code, theirs.code), (Some(0), Some(0)), "{line}: {}", ours.err);
        assert!(
            ours.dump.contains(" 512 bits") || ours.dump.contains("mk bits:       \t512"),
            "{}",
            ours.dump
        );
        assert!(
            theirs.dump.contains(" 256 bits") || theirs.dump.contains("mk bits:       \t256"),
            "{}",
            theirs.dump
        );
    }
    // It reckons an offset of --offset as one of bytes, and takes sectors of 512 bytes where 4096 fit as well.
    let line = "luksFormat -q PBKDF --offset 2048 blank k";
    let [ours, theirs] = [OURS, CRYPTSETUP].map(|program| base.seen(program, line).dump);
    assert!(
        ours.contains("sector: 4096 [bytes]") && theirs.contains("sector: 512 [bytes]"),
        "{ours}\n{theirs}"
    );
    assert_eq!(ours.replace("sector: 4096", "sector: 512"), theirs);
}
