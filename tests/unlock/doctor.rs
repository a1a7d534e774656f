//! `luksmith doctor` on a small system of files: no finding on a healthy one, and exactly the planted fault on others.

mod images;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::common::OURS;

/// A healthy system: a volume with a prompt, one with a key file, an initramfs as a folder, and backups.
struct System {
    folder: tempfile::TempDir,
    budget: &'static str,
    passphrase: &'static str,
}

const UUID_OF_DATA: &str = "da7ada7a-da7a-4a7a-8a7a-da7ada7ada7a";

/// The volumes of every healthy system and the backups of their headers, made once.
fn disks() -> &'static Path {
    static DISKS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = DISKS.get_or_init(|| {
        let system = System {
            folder: tempfile::tempdir().expect("a folder"),
            budget: "1G",
            passphrase: "open sesame",
        };
        fs::create_dir(system.path("backups")).expect("a folder");
        let [root, data] = ["root.img", "data.img"].map(|disk| system.text(disk));
        let file = fs::File::create(&root).expect("a disk");
        file.set_len(8 << 20).expect("its size");
        // The least cost that is not called cheap.
        system.format(
            "--pbkdf-memory 65536 --pbkdf-force-iterations 4 --pbkdf-parallel 1",
            &root,
        );
        fs::copy(&root, &data).expect("copied");
        system.run(&["luksUUID", "-q", "--uuid", UUID_OF_DATA, &data]);
        for disk in ["root.img", "data.img"] {
            let (path, backup) = (system.text(disk), system.text(&format!("backups/{disk}")));
            system.run(&["luksHeaderBackup", &path, "--header-backup-file", &backup]);
        }
        system.folder
    });
    folder.path()
}

impl System {
    fn healthy() -> Self {
        let system = Self {
            folder: tempfile::tempdir().expect("a folder"),
            budget: "1G",
            passphrase: "open sesame",
        };
        fs::create_dir(system.path("backups")).expect("a folder");
        for disk in ["root.img", "data.img"] {
            for name in [disk.to_owned(), format!("backups/{disk}")] {
                fs::copy(disks().join(&name), system.path(&name)).expect("copied");
            }
        }
        system.write("key", "key");
        fs::set_permissions(system.path("key"), fs::Permissions::from_mode(0o400)).expect("its mode");
        for file in [
            "bin/luksmith",
            "etc/us.kmap",
            "lib/modules/0/kernel/drivers/md/dm-crypt.ko.xz",
        ] {
            system.write(&format!("initramfs/{file}"), "");
        }
        for module in [
            "crypto/aes_generic.ko",
            "arch/x86/crypto/aesni-intel.ko",
            "crypto/xts.ko",
        ] {
            system.write(&format!("initramfs/lib/modules/0/kernel/{module}"), "");
        }
        let [root, data, key] = ["root.img", "data.img", "key"].map(|name| system.text(name));
        system.write(
            "crypttab",
            &format!("root {root} none luks,x-initrd.attach\ndata {data} {key} luks\n"),
        );
        system.write(
            "initramfs/etc/crypttab",
            &format!("root {root} none luks,x-initrd.attach\n"),
        );
        system.write("arguments", "quiet root=/dev/mapper/root\n");
        system
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// Its exit code and standard output; the passphrase is on its standard input.
    fn try_run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut child = Command::new(OURS)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        // A program that reads nothing closes the pipe.
        let _ = child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(self.passphrase.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    fn format(&self, options: &str, disk: &str) {
        let format = "luksFormat -q --type luks2 --luks2-keyslots-size 2M".split(' ');
        let arguments: Vec<&str> = format.chain(options.split(' ')).chain([disk, "-"]).collect();
        self.run(&arguments);
    }

    fn run(&self, arguments: &[&str]) {
        assert_eq!(self.try_run(arguments).0, Some(0), "{arguments:?}");
    }

    fn doctor(&self, more: &[&str]) -> (Option<i32>, String) {
        let names = ["crypttab", "arguments", "initramfs", "backups"].map(|name| self.text(name));
        let [crypttab, kernel_arguments, initramfs, backups] = &names;
        let arguments = [
            "doctor",
            "--test-passphrase",
            "--crypttab",
            crypttab,
            "--kernel-arguments",
            kernel_arguments,
        ];
        let places = [
            "--initramfs",
            initramfs,
            "--backup",
            backups,
            "--memory-budget",
            self.budget,
        ];
        self.try_run(&[&arguments[..], &places[..], more].concat())
    }
}

#[test]
fn nothing_is_found_on_a_healthy_system() {
    let (code, said) = System::healthy().doctor(&[]);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "Nothing stands in the way of unlocking root, data.\n")
    );
}

/// Plants one fault, and asserts that it is the only finding, with a message that contains `text`, in both forms.
#[track_caller]
fn finds(text: &str, plant: impl FnOnce(&mut System)) {
    let mut system = System::healthy();
    plant(&mut system);
    let (code, said) = system.doctor(&[]);
    assert_eq!(code, Some(1), "{text}: {said}");
    assert!(said.contains(text), "{text}: {said}");
    assert_eq!(
        said.lines().filter(|line| !line.starts_with("    ")).count(),
        1,
        "{text}: {said}"
    );
    let (code, said) = system.doctor(&["--json"]);
    let answer: serde_json::Value = serde_json::from_str(said.trim()).expect("one object");
    let findings = match &answer["result"]["findings"] {
        serde_json::Value::Array(findings) => findings.clone(),
        _ => panic!("no findings in {said}"),
    };
    assert_eq!((code, findings.len()), (Some(1), 1), "{said}");
    let volume = findings[0]["volume"]
        .as_str()
        .map(|name| format!("{name}: "))
        .unwrap_or_default();
    let message = volume + findings[0]["message"].as_str().expect("a text");
    assert!(message.contains(text) && findings[0]["remedy"] != "", "{said}");
}

#[test]
fn each_planted_fault_is_found_and_nothing_else() {
    let remove = |system: &System, name: &str| fs::remove_file(system.path(name)).expect("removed");
    finds("neither luksmith nor cryptsetup", |s| {
        remove(s, "initramfs/bin/luksmith")
    });
    finds("no crypttab", |s| remove(s, "initramfs/etc/crypttab"));
    finds("no module dm_crypt", |s| {
        remove(s, "initramfs/lib/modules/0/kernel/drivers/md/dm-crypt.ko.xz")
    });
    finds("unknown option 'luck' is ignored", |s| {
        let line = fs::read_to_string(s.path("crypttab")).expect("read");
        s.write("crypttab", &line.replace("x-initrd.attach", "luck"));
    });
    finds("the crypttab in the initramfs is empty", |s| {
        s.write("initramfs/etc/crypttab", "# none\n")
    });
    finds("no entry of crypttab and no kernel argument", |s| {
        s.write("crypttab", "")
    });
    for argument in ["rd.luks.enabled=0", "rd.luks=0", "luks=no"] {
        finds("kernel argument luks keeps all volumes from being unlocked", |s| {
            s.write("arguments", &format!("{argument} root=/dev/mapper/root\n"));
        });
    }
    finds(
        "root=/dev/mapper/nosuch needs /dev/mapper/nosuch, and no entry makes it",
        |s| {
            s.write("arguments", "root=/dev/mapper/nosuch\n");
        },
    );
    finds("resume=/dev/mapper/nosuch needs", |s| {
        s.write("arguments", "root=/dev/mapper/root resume=/dev/mapper/nosuch\n");
    });
    finds("data: it is needed before the root file system is mounted", |s| {
        s.write("arguments", "root=/dev/mapper/root resume=/dev/mapper/data\n");
    });
    finds("data: it is needed before the root file system is mounted", |s| {
        let line = fs::read_to_string(s.path("crypttab")).expect("read");
        s.write("crypttab", &line.replace("key luks", "key luks,initramfs"));
    });
    // Dependencies of the root are needed as early.
    finds("data: it is needed before the root file system is mounted", |s| {
        let early = format!("root {} /k:/dev/mapper/data luks,x-initrd.attach\n", s.text("root.img"));
        s.write("initramfs/etc/crypttab", &early);
    });
    finds("root needs /dev/mapper/nosuch, and no entry makes it", |s| {
        let early = format!("root {} none luks,header=/h:/dev/mapper/nosuch\n", s.text("root.img"));
        s.write("initramfs/etc/crypttab", &early);
    });
    for (fields, file) in [
        ("/keys/root luks", "/keys/root"),
        ("none luks,header=/headers/root", "/headers/root"),
        ("x luks,keyscript=my-script", "/lib/cryptsetup/scripts/my-script"),
        ("x luks,keyscript=/opt/my-script", "/opt/my-script"),
    ] {
        let early = |s: &System| format!("root {} {fields}\n", s.text("root.img"));
        finds(&format!("root: the initramfs does not hold {file}"), |s| {
            s.write("initramfs/etc/crypttab", &early(s));
        });
        let system = System::healthy();
        system.write("initramfs/etc/crypttab", &early(&system));
        system.write(&format!("initramfs/usr{file}"), "");
        assert_eq!(system.doctor(&[]).0, Some(0), "{fields}");
    }
    let entry_of_data = |s: &System, fields: &str| {
        let line = format!(
            "root {} none luks,x-initrd.attach\ndata {} {fields}\n",
            s.text("root.img"),
            s.text("data.img")
        );
        s.write("crypttab", &line);
    };
    finds("data: Luksmith cannot open volumes of type tcrypt", |s| {
        entry_of_data(s, "none tcrypt")
    });
    finds("data: /dev/urandom gives other bytes each time", |s| {
        entry_of_data(s, "/dev/urandom luks")
    });
    finds("data: there is no device LABEL=no-such-label with its key", |s| {
        entry_of_data(s, "/k:LABEL=no-such-label luks,headless");
    });
    finds("data: it is headless, and no key is named", |s| {
        entry_of_data(s, "none luks,headless")
    });
    finds(
        "data: it does not say how it is encrypted: size=256,hash=sha256 is assumed",
        |s| {
            entry_of_data(s, "none plain,cipher=aes-xts-plain64");
        },
    );
    // A passphrase can replace a key that only the volume itself holds, but here prompts are off.
    let mut system = System::healthy();
    entry_of_data(&mut system, "/k:/dev/mapper/data luks,headless");
    let (code, said) = system.doctor(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it can never be opened: data needs data"), "{said}");
    finds("there is no device UUID=00000000-dead", |s| {
        let line = fs::read_to_string(s.path("crypttab")).expect("read");
        s.write("crypttab", &(line + "gone UUID=00000000-dead none luks\n"));
    });
    finds("characters that are not on every keyboard", |s| {
        s.passphrase = "öffne dich"
    });
    finds("the second copy of its LUKS2 header is damaged", |s| {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(s.path("root.img"))
            .expect("opened");
        std::os::unix::fs::FileExt::write_all_at(&file, b"damage", 0x4000 + 5000).expect("written");
    });
    finds("no backup of its header", |s| remove(s, "backups/root.img"));
    finds("key file", |s| remove(s, "key"));
    finds("others than root can read its key file", |s| {
        fs::set_permissions(s.path("key"), fs::Permissions::from_mode(0o644)).expect("its mode");
    });
    finds("no keyslot that a passphrase could open", |s| {
        let disk = s.text("root.img");
        s.run(&["luksErase", "-q", &disk]);
    });
    finds("no LUKS header", |s| {
        let bytes = vec![0; 1 << 20];
        let file = fs::OpenOptions::new()
            .write(true)
            .open(s.path("root.img"))
            .expect("opened");
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).expect("written");
    });
}

#[test]
fn keyslots_that_do_not_fit_the_memory_are_told_one_by_one() {
    let mut system = System::healthy();
    system.budget = "16M";
    let (code, said) = system.doctor(&[]);
    assert_eq!(code, Some(1));
    assert_eq!(
        said.matches("keyslot 0 needs 67108864 bytes of memory").count(),
        2,
        "{said}"
    );
}

/// A keyslot that is cheap to attack opens anyway: it is noted, and changes no exit code.
#[test]
fn cheap_keyslots_are_noted() {
    let system = System::healthy();
    let data = system.text("data.img");
    let cheap = format!("--pbkdf pbkdf2 --hash sha256 --pbkdf-force-iterations 1000 --uuid {UUID_OF_DATA}");
    system.format(&cheap, &data);
    let healthy = "Nothing stands in the way of unlocking root, data.\n";
    let note = "data: keyslot 0 is cheap to attack: PBKDF2 makes 1000 iterations, fewer than 100000";
    let remedy = "Give it higher costs: luksConvertKey.";
    assert_eq!(
        system.doctor(&[]),
        (Some(0), format!("{healthy}Note: {note}.\n    {remedy}\n"))
    );
    let (code, said) = system.doctor(&["--json"]);
    let answer: serde_json::Value = serde_json::from_str(said.trim()).expect("one object");
    let (_, message) = note.split_once(": ").expect("a volume");
    let notes = serde_json::json!([{ "volume": "data", "message": message, "remedy": remedy }]);
    assert_eq!((code, &answer["result"]["notes"]), (Some(0), &notes), "{said}");
    assert_eq!(answer["result"]["findings"], serde_json::json!([]), "{said}");

    // Beside a fault it is reported, but not counted.
    let backup = system.path("backups/root.img");
    fs::rename(&backup, system.path("away")).expect("renamed");
    let (code, said) = system.doctor(&[]);
    let both = said.starts_with("root: no backup of its header") && said.contains(&format!("\nNote: {note}.\n"));
    assert!(code == Some(1) && both, "{said}");
    fs::rename(system.path("away"), backup).expect("renamed");

    // Keys that another program has made are long and random. Keys in the keyring need not be.
    for (kind, said) in [
        (
            r#""luks2-keyring","key_description":"d""#,
            format!("Note: {note}.\n    {remedy}\n"),
        ),
        (r#""clevis","jwe":{}"#, String::new()),
    ] {
        system.write("token", &format!(r#"{{"keyslots":["0"],"type":{kind}}}"#));
        system.run(&["token", "import", &data, "--json-file", &system.text("token")]);
        assert_eq!(system.doctor(&[]), (Some(0), format!("{healthy}{said}")), "{kind}");
    }
}
