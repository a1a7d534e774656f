//! `luksmith doctor` on a small system of files: nothing is found on a healthy one, and of each planted fault just that.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A healthy system: a volume that is asked for, one with a key file, an initramfs as a folder, and backups.
struct System {
    folder: tempfile::TempDir,
    budget: &'static str,
    passphrase: &'static str,
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
            fs::File::create(system.path(disk))
                .expect("a disk")
                .set_len(20 << 20)
                .expect("its size");
            let (path, backup) = (system.text(disk), system.text(&format!("backups/{disk}")));
            let cheap = [
                "--pbkdf-memory",
                "32768",
                "--pbkdf-force-iterations",
                "4",
                "--pbkdf-parallel",
                "1",
            ];
            let format = [
                "luksFormat",
                "-q",
                "--type",
                "luks2",
                "--luks2-keyslots-size",
                "2M",
                &path,
                "-",
            ];
            system.run(&[&format[..], &cheap[..]].concat());
            system.run(&["luksHeaderBackup", &path, "--header-backup-file", &backup]);
        }
        system.write("key", "key");
        fs::set_permissions(system.path("key"), fs::Permissions::from_mode(0o400)).expect("its mode");
        for file in [
            "bin/luksmith",
            "etc/crypttab",
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
        system.write("arguments", "quiet\n");
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
        let mut child = Command::new(env!("CARGO_BIN_EXE_luksmith"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        // Who reads nothing closes the pipe.
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

/// Plants one fault, and asserts that it alone is found, in words that hold `text`, in both forms.
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
    assert!(
        findings[0]["message"].as_str().expect("a text").contains(text) && findings[0]["remedy"] != "",
        "{said}"
    );
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
        said.matches("keyslot 0 needs 33554432 bytes of memory").count(),
        2,
        "{said}"
    );
}
