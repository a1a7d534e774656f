//! `rescue`: headers that other programs have damaged, what it says of each, and that its commands, followed to the letter,
//! open the volume again. Every run that only reads changes no byte; what a repair overwrote can be put back.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use luksmith::crypt_device::{Changing, Confirm, Event, LookedAt, Observer, Question};
use luksmith::header_device::HeaderDevice;
use luksmith::rescue::apply::{Applying, RescueError, apply};
use luksmith::rescue::{Request, examine};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{CHEAP, CRYPTSETUP, OURS};

const MIB: u64 = 1 << 20;

/// A folder with a key file, and our program under its name for commands that are followed.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("a"), "passphrase a").expect("a key file");
        fs::write(folder.path().join("b"), "passphrase b").expect("a key file");
        symlink(OURS, folder.path().join("luksmith")).expect("a link");
        Self(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// A shell command; whether it succeeded.
    fn try_sh(&self, line: &str) -> (bool, String) {
        let path = format!(
            "{}:/usr/sbin:/sbin:{}",
            self.0.path().display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .env("PATH", path)
            .env("LC_ALL", "C")
            .output()
            .expect("a shell");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    #[track_caller]
    fn sh(&self, line: &str) -> String {
        let (done, text) = self.try_sh(line);
        assert!(done, "{line}: {text}");
        text
    }

    /// A volume in the file `v`, whose data are noise. Its passphrases are "a" and "b".
    fn volume(&self, kind: &str, size: u64) {
        let template = format!("template-{kind}");
        if !self.path(&template).exists() {
            let cheap = CHEAP.join(" ");
            self.sh(&format!("truncate -s 20M {template}"));
            self.sh(&format!(
                "{CRYPTSETUP} luksFormat -q --type {kind} -s 256 {template} a {cheap}"
            ));
            self.sh(&format!("{CRYPTSETUP} luksAddKey -q {template} b -d a {cheap}"));
        }
        self.sh(&format!(
            "rm -f v && cp --sparse=always {template} v && truncate -s {size} v"
        ));
        let volume = fs::OpenOptions::new().write(true).open(self.path("v")).expect("a file");
        let mut noise = vec![0; (3 * MIB) as usize];
        getrandom(&mut noise);
        volume.write_all_at(&noise, 16 * MIB).expect("room");
    }

    /// What `rescue` says, in its two forms; it only reads.
    #[track_caller]
    fn rescue(&self, file: &str, options: &str) -> Value {
        let state = || {
            let metadata = fs::metadata(self.path(file)).expect("metadata");
            let mut start = vec![0; metadata.size().min(20 * MIB) as usize];
            fs::File::open(self.path(file))
                .and_then(|file| file.read_exact_at(&mut start, 0))
                .expect("a file");
            (metadata.size(), metadata.mtime(), metadata.mtime_nsec(), start)
        };
        let before = state();
        let json = self
            .try_sh(&format!("luksmith rescue {file} {options} --json 2>/dev/null"))
            .1;
        let (_, text) = self.try_sh(&format!("luksmith rescue {file} {options} --map"));
        assert!(state() == before, "{file} was written");
        let json: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        let result = json["result"].clone();
        assert!(
            text.starts_with(result["verdict"]["text"].as_str().expect("a verdict")),
            "{text}"
        );
        for remedy in result["remedies"].as_array().expect("a list") {
            assert!(text.contains(remedy["command"].as_str().expect("a command")), "{text}");
            assert_eq!(remedy["verified"], true);
        }
        result
    }

    fn opens(&self, file: &str, key: &str) -> bool {
        self.try_sh(&format!("{CRYPTSETUP} open --test-passphrase {file} -d {key}"))
            .0
    }
}

fn getrandom(bytes: &mut [u8]) {
    use std::io::Read as _;
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(bytes))
        .expect("random bytes");
}

fn kinds(result: &Value) -> Vec<&str> {
    let remedies = result["remedies"].as_array().expect("a list");
    remedies.iter().filter_map(|remedy| remedy["kind"].as_str()).collect()
}

fn command(result: &Value, number: usize) -> &str {
    result["remedies"][number - 1]["command"].as_str().expect("a command")
}

/// The damage, the verdict for LUKS2 and LUKS1, and the first way out, if there is one.
type Case = (u64, &'static str, [(&'static str, Option<&'static str>); 2]);

const NOTHING: (&str, Option<&str>) = ("nothing", None);
const LOST: [(&str, Option<&str>); 2] = [NOTHING, NOTHING];
const COPY: (&str, Option<&str>) = ("repairable", Some("copy"));

const CASES: &[Case] = &[
    (20, "true", [("sound", None), ("sound", None)]),
    (20, "mkfs.ext4 -q -F -E nodiscard v", LOST),
    (20, "mkfs.vfat v", LOST),
    (300, "mkfs.btrfs -q -f -K v", LOST),
    (400, "mkfs.xfs -q -f -K v", LOST),
    (20, "mkfs.ntfs -q -F -Q v", LOST),
    (20, "mkfs.exfat v", LOST),
    (20, "mkswap v", [("repairable", Some("checksum")), NOTHING]),
    (
        20,
        "echo label:gpt | sfdisk v",
        [("repairable", Some("metadata")), ("repairable", Some("fields"))],
    ),
    (
        20,
        "printf 'label:dos\\nstart=2048\\n' | sfdisk v",
        [COPY, ("repairable", Some("fields"))],
    ),
    (
        20,
        "wipefs -a v",
        [("repairable", Some("checksum")), ("repairable", Some("fields"))],
    ),
    (20, "dd if=/dev/zero of=v bs=512 count=1 conv=notrunc", [COPY, NOTHING]),
    (20, "dd if=/dev/zero of=v bs=16K count=1 conv=notrunc", [COPY, NOTHING]),
    (
        20,
        "dd if=/dev/urandom of=v bs=512 count=1 conv=notrunc",
        [COPY, NOTHING],
    ),
    (
        20,
        "dd if=/dev/urandom of=v bs=16K count=1 conv=notrunc",
        [COPY, NOTHING],
    ),
    (
        20,
        "dd if=/dev/zero of=v bs=16K count=1 seek=1 conv=notrunc",
        [COPY, ("some-keyslots", None)],
    ),
    (20, "dd if=/dev/zero of=v bs=32K count=1 conv=notrunc", LOST),
    (20, "dd if=/dev/zero of=v bs=1M count=1 conv=notrunc", LOST),
    // Both keyslots.
    (
        20,
        "dd if=/dev/zero of=v bs=4K seek=16 count=100 conv=notrunc",
        [("no-keyslot", None), ("no-keyslot", None)],
    ),
    // A label of LVM, and of an array of each kind that stands near the start.
    (
        20,
        "printf 'LABELONE' | dd of=v bs=512 seek=1 conv=notrunc,sync",
        [COPY, ("repairable", Some("fields"))],
    ),
    (
        20,
        "printf '\\374\\116\\053\\251\\001\\000\\000\\000' | dd of=v conv=notrunc,sync",
        [COPY, NOTHING],
    ),
    (
        20,
        "printf '\\374\\116\\053\\251\\001\\000\\000\\000' | dd of=v bs=512 seek=8 conv=notrunc,sync",
        [COPY, ("some-keyslots", None)],
    ),
    (20, "truncate -s 10M v", [("cut-off", None), ("sound", None)]),
    (20, "truncate -s 30K v", [("cut-off", None), ("cut-off", None)]),
];

/// Every case, for one version.
fn damage_and_restore(kind: &str, version: usize) {
    let folder = Folder::new();
    for (mib, damage, expected) in CASES {
        let case = format!("{kind}: {damage}");
        let (verdict, remedy) = expected[version];
        folder.volume(kind, mib * MIB);
        folder.sh(damage);
        let found = folder.rescue("v", "");
        assert_eq!(found["verdict"]["kind"], verdict, "{case}: {found:#}");
        assert_eq!(kinds(&found).first().copied(), remedy, "{case}: {found:#}");
        let damaged = fs::read(folder.path("v")).expect("a file");
        let Some(_) = remedy else {
            // Nor does the other program restore it.
            let opened = |folder: &Folder| ["a", "b"].map(|key| folder.opens("v", key));
            let before = opened(&folder);
            folder.try_sh(&format!("{CRYPTSETUP} repair -q v"));
            assert_eq!(opened(&folder), before, "{case}");
            continue;
        };
        let intact: Vec<_> = found["remedies"][0]["keyslots"].as_array().expect("a list").clone();
        assert!(!intact.is_empty(), "{case}");
        let done = folder.sh(command(&found, 1));
        for (n, key) in ["a", "b"].into_iter().enumerate() {
            assert_eq!(folder.opens("v", key), intact.contains(&n.into()), "{case}: {key}");
        }
        let again = folder.rescue("v", "");
        assert!(
            ["sound", "some-keyslots"].contains(&again["verdict"]["kind"].as_str().expect("a kind")),
            "{case}"
        );
        // What was saved is readable by its owner alone, and undoes it.
        let (_, undo) = done.split_once("To put it back:\n").expect("how to undo it");
        folder.sh(undo.trim());
        assert!(
            fs::read(folder.path("v")).expect("a file") == damaged,
            "{case}: not undone"
        );
        for entry in fs::read_dir(folder.0.path()).expect("a folder").flatten() {
            if entry.file_name().to_string_lossy().starts_with("luksmith-rescue-") {
                let mode = entry.metadata().expect("metadata").permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
                fs::remove_file(entry.path()).expect("removed");
            }
        }
    }
}

#[test]
fn what_other_programs_did_to_luks2_is_undone_by_the_command_that_is_shown() {
    damage_and_restore("luks2", 0);
}

#[test]
fn what_other_programs_did_to_luks1_is_undone_by_the_command_that_is_shown() {
    damage_and_restore("luks1", 1);
}

#[test]
fn a_backup_is_offered_where_it_helps() {
    let folder = Folder::new();
    for kind in ["luks2", "luks1"] {
        folder.volume(kind, 20 * MIB);
        folder.sh("rm -rf backups && mkdir backups && cp a backups/not-one");
        folder.sh(&format!(
            "{CRYPTSETUP} luksHeaderBackup v --header-backup-file backups/h"
        ));
        // A keyslot that the backup does not know, and then no header at all.
        folder.sh(&format!("{CRYPTSETUP} luksKillSlot -q v 1"));
        let sound = folder.rescue("v", "--backup backups");
        assert_eq!(
            (sound["verdict"]["kind"].as_str(), kinds(&sound)),
            (Some("sound"), vec![])
        );
        folder.sh("cp v one && dd if=/dev/zero of=one bs=4K seek=10 count=20 conv=notrunc");
        let one = folder.rescue("one", "--backup backups");
        assert_eq!(kinds(&one), ["backup"], "{one:#}");
        let checks = one["remedies"][0]["checks"].to_string();
        assert!(checks.contains("since the backup, keyslot 1 changed"), "{checks}");
        assert_eq!(one["remedies"][0]["keyslots"], serde_json::json!([0, 1]));
        folder.sh("dd if=/dev/zero of=v bs=1M count=1 conv=notrunc");
        for options in ["--backup backups", "--header-backup-file backups/h"] {
            let found = folder.rescue("v", options);
            assert_eq!(found["verdict"]["kind"], "backup-only");
            let says = found["remedies"][0]["checks"][0].as_str().expect("a check");
            assert!(
                says.contains("nothing on the device says whether it is of this volume"),
                "{says}"
            );
        }
        folder.sh("cp v two");
        let found = folder.rescue("v", "--backup backups");
        folder.sh(command(&found, 1));
        folder.sh("luksmith rescue two --backup backups --apply 1");
        for volume in ["v", "two"] {
            assert!(folder.opens(volume, "a") && folder.opens(volume, "b"), "{kind}");
        }
        // Of another volume, or where the data are not encrypted: no.
        folder.sh("rm template-*");
        folder.sh("dd if=/dev/zero of=v bs=1M count=20 conv=notrunc && mkfs.ext4 -q -F -E nodiscard v");
        assert_eq!(kinds(&folder.rescue("v", "--backup backups")), [""; 0]);
        folder.volume(kind, 20 * MIB);
        folder.sh("dd if=/dev/zero of=v bs=512 count=1 conv=notrunc");
        let other = folder.rescue("v", "--backup backups");
        assert!(kind == "luks1" || !kinds(&other).contains(&"backup"), "{other:#}");
    }
}

#[test]
fn a_partition_that_was_is_made_again_and_opened_where_it_is() {
    let folder = Folder::new();
    folder.volume("luks2", 20 * MIB);
    for label in ["gpt", "dos"] {
        for (damage, remedies) in [
            ("true", &[][..]),
            ("sfdisk -q --delete d 2", &["partition", "open"]),
            // Moved, as by another program's idea of where partitions start.
            (
                "echo 'start=24575, size=38913' | sfdisk -q -N 2 d",
                &["partition", "open"],
            ),
            (
                "sfdisk -q --delete d 1 2 3 && echo 'start=20000, size=43488' | sfdisk -q --append d",
                &["partition", "open"],
            ),
            (
                "dd if=/dev/zero of=d bs=1M count=1 conv=notrunc && dd if=/dev/zero of=d bs=1M seek=79 count=1 conv=notrunc",
                &["open", "partition"],
            ),
        ] {
            let case = format!("{label}: {damage}");
            folder.sh("rm -f d && truncate -s 80M d");
            let table = "start=2048, size=20480\\nstart=22528, size=40960\\nstart=63488, size=20480\\n";
            folder.sh(&format!("printf 'label: {label}\\n{table}' | sfdisk -q d"));
            folder.sh("dd if=v of=d bs=1M seek=11 conv=notrunc");
            folder.sh(damage);
            let found = folder.rescue("d", "");
            assert_eq!(kinds(&found), remedies, "{case}: {found:#}");
            let verdict = if remedies.is_empty() {
                "in-partitions"
            } else {
                "elsewhere"
            };
            assert_eq!(found["verdict"]["kind"], verdict, "{case}");
            let at = |kind: &str| remedies.iter().position(|remedy| *remedy == kind);
            if let Some(open) = at("open") {
                let command = command(&found, open + 1);
                let (_, attach) = command.split_once("\"$(").expect("a command in it");
                let (attach, _) = attach.split_once(")\"").expect("its end");
                let device = folder.sh(attach);
                let opened = folder.opens(device.trim(), "a");
                folder.sh(&format!("losetup -d {}", device.trim()));
                assert!(opened, "{case}: {command}");
            }
            if let Some(partition) = at("partition") {
                folder.sh(command(&found, partition + 1));
                let again = folder.rescue("d", "");
                assert_eq!(again["verdict"]["kind"], "in-partitions", "{case}: {again:#}");
            }
        }
    }
    // In an image inside a file system there is no partition to be made.
    folder.sh("rm -f d && truncate -s 60M d && mkfs.ext4 -q -F d && dd if=v of=d bs=1M seek=20 conv=notrunc");
    assert_eq!(kinds(&folder.rescue("d", "")), ["open"]);
    // From where it is on, the repair has a number of its own.
    folder.sh(
        "dd if=/dev/zero of=d bs=1M seek=20 count=1 conv=notrunc && dd if=v of=d bs=16K skip=1 seek=1281 conv=notrunc",
    );
    let found = folder.rescue("d", "");
    assert_eq!(command(&found, 1), "luksmith rescue d --from 20971520 --apply 1");
    folder.sh(command(&found, 1));
    assert_eq!(kinds(&folder.rescue("d", "")), ["open"]);
}

#[test]
fn bits_that_were_flipped_are_found() {
    let folder = Folder::new();
    folder.volume("luks2", 20 * MIB);
    let sound = fs::read(folder.path("v")).expect("a file");
    let text = sound[4096..16384]
        .iter()
        .position(|byte| *byte == 0)
        .expect("the end of the text");
    let flip = |flips: &[(usize, u8)]| {
        let mut bytes = sound.clone();
        for (at, bit) in flips {
            bytes[*at] ^= 1 << bit;
        }
        fs::write(folder.path("v"), &bytes).expect("written");
    };
    // In the first copy, where the second is gone: fields, salt, checksum, padding and text.
    let places = [0, 7, 15, 17, 30, 75, 110, 170, 210, 260, 300, 448, 470, 2000];
    let places = places.into_iter().chain((0..8).map(|n| 4096 + text * n / 8));
    for (n, place) in places.enumerate() {
        let bit = (n % 8) as u8;
        flip(&[(place, bit)]);
        folder.sh("dd if=/dev/zero of=v bs=16K seek=1 count=1 conv=notrunc");
        let found = folder.rescue("v", "");
        assert_eq!(kinds(&found), ["checksum"], "byte {place}: {found:#}");
        folder.sh(command(&found, 1));
        assert!(folder.opens("v", "a"), "byte {place}");
        let mended = fs::read(folder.path("v")).expect("a file");
        assert!(mended[..16384] == sound[..16384], "byte {place}");
    }
    // Two and three in each copy, where the other has what is right.
    for step in [3, 50, 333] {
        let flips: Vec<_> = (0..3).map(|n| (4096 + 10 + n * step, n as u8)).collect();
        let others: Vec<_> = (0..2).map(|n| (20480 + 200 + n * step, 7 - n as u8)).collect();
        flip(&[flips, others].concat());
        let found = folder.rescue("v", "");
        assert_eq!(kinds(&found), ["checksum"], "{found:#}");
        folder.sh(command(&found, 1));
        assert!(folder.opens("v", "a"));
    }
}

#[test]
fn a_device_is_as_good_as_a_file() {
    let folder = Folder::new();
    folder.volume("luks2", 20 * MIB);
    folder.sh("wipefs -a v");
    let device = folder.sh("losetup -f --show v").trim().to_owned();
    let found: Value = serde_json::from_str(&folder.sh(&format!("luksmith rescue {device} --json"))).expect("JSON");
    let command = found["result"]["remedies"][0]["command"].as_str().map(str::to_owned);
    let repaired = command.map(|command| folder.try_sh(&command));
    folder.sh(&format!("losetup -d {device}"));
    assert!(repaired.is_some_and(|(done, _)| done), "{found:#}");
    assert!(folder.opens("v", "a"));
}

#[test]
fn hostile_disks_have_short_answers() {
    let folder = Folder::new();
    folder.volume("luks2", 20 * MIB);
    let volume = fs::read(folder.path("v")).expect("a file");
    let disks: [(&str, Vec<u8>); 3] = [
        ("magic", volume[..512].repeat(8192)),
        ("copies", volume[16384..16896].repeat(8192)),
        ("headers", volume[..32768].repeat(300)),
    ];
    for (name, bytes) in disks {
        fs::write(folder.path(name), &bytes).expect("written");
        let (_, text) = folder.try_sh(&format!("luksmith rescue {name} --map"));
        assert!(text.len() < 100_000, "{name}: {}", text.len());
        let (_, json) = folder.try_sh(&format!("luksmith rescue {name} --json 2>/dev/null"));
        assert!(json.len() < 2_000_000, "{name}: {}", json.len());
        let found: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(found["result"]["remedies"], serde_json::json!([]), "{name}");
    }
}

#[derive(Debug)]
struct Quiet;

impl Observer for Quiet {
    fn notice(&self, _: Event<'_>) {}
}

impl Confirm for Quiet {
    fn confirm(&self, _: &Question<'_>) -> bool {
        true
    }
}

/// What a repair through the library comes to, after `between` what was examined and what is agreed to.
fn repaired(file: &Path, save_to: &Path, between: impl FnOnce(), agree: bool) -> Result<(), RescueError> {
    let device = HeaderDevice::new(file, false);
    let mut opened = device.open(false).expect("a file");
    let seen = LookedAt::at(file).expect("a file");
    let report = examine(&mut opened.file, &Request::default(), &mut |_| ()).expect("a size");
    between();
    let changing = Changing {
        backup: None,
        limits: &keyslots::kdf::CostLimits::default(),
        observer: &Quiet,
    };
    let applying = Applying {
        device: &device,
        seen: &seen,
        save_to,
        changing: &changing,
        confirm: &Quiet,
    };
    apply(&applying, &report, 1, || agree).map(drop)
}

#[test]
fn a_repair_that_is_not_what_was_agreed_to_writes_nothing() {
    let folder = Folder::new();
    folder.volume("luks2", 20 * MIB);
    folder.sh("dd if=/dev/zero of=v bs=512 count=1 conv=notrunc");
    let (file, here) = (folder.path("v"), folder.0.path());
    let write = |at: u64| {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(folder.path("v"))
            .expect("a file");
        file.write_all_at(b"x", at).expect("written");
    };
    // Something else wrote meanwhile, over what would be overwritten or what it is made from.
    for at in [100, 16384 + 5000] {
        let error = repaired(&file, here, || write(at), true).expect_err("changed");
        assert!(matches!(error, RescueError::Changed(_)), "{error}");
        let file = fs::OpenOptions::new()
            .write(true)
            .open(folder.path("v"))
            .expect("a file");
        file.write_all_at(&[0], at).expect("written");
    }
    // Another file under the same name.
    let replace = || {
        folder.sh("mv v w && cp w v");
    };
    assert!(matches!(
        repaired(&file, here, replace, true),
        Err(RescueError::Changed(_))
    ));
    let before = fs::read(&file).expect("a file");
    assert!(matches!(
        repaired(&file, here, || (), false),
        Err(RescueError::Declined)
    ));
    let nowhere = folder.path("no such folder");
    assert!(matches!(
        repaired(&file, &nowhere, || (), true),
        Err(RescueError::Save { .. })
    ));
    assert!(fs::read(&file).expect("a file") == before);
    assert_eq!(fs::metadata(&file).expect("metadata").size(), 20 * MIB);
    repaired(&file, here, || (), true).expect("repaired");
    assert!(folder.opens("v", "a"));
    // And there is no other.
    assert!(matches!(
        repaired(&file, here, || (), true),
        Err(RescueError::NoSuchRemedy { .. })
    ));
    let (done, text) = folder.try_sh("luksmith rescue v --apply 3");
    assert!(!done && text.contains("there is no remedy 3"), "{text}");
}
