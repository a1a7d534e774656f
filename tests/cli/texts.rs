//! Failures of commands: with `--json` the exit code is the same as without, every error has a message, and every text is
//! whole. All actions are tried without arguments, with too many, and with nonexistent names.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use luksmith::cryptsetup::actions::VERBS;
use serde_json::Value;

use crate::common::OURS;

struct Said {
    code: Option<i32>,
    out: String,
    errors: String,
}

fn run(folder: &Path, words: &[&str]) -> Said {
    let output = Command::new(OURS)
        .arg0("luksmith")
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        errors: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The flaw of a text for people, if there is one.
fn is_broken(text: &str) -> bool {
    let unfinished = [
        "..", " .", "  ", " ,", ":.", "?.", "!.", "{", "}", "Some(", "None", "Error {", "n/a",
    ];
    text.lines().any(|line| {
        line != line.trim_end() || unfinished.iter().any(|part| line.contains(part)) || line.contains("only  as")
    })
}

#[test]
fn with_json_all_fails_alike_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("f"), vec![0; 4096]).expect("written");
    let mut wrong = Vec::new();
    for info in VERBS {
        let arguments: &[&[&str]] = match info.name {
            // It measures for as long as it takes.
            "benchmark" => &[&["too", "many"]],
            // All that the machine has.
            "unlock" | "doctor" | "list" | "tree" | "answer" => &[&["no-such-name"], &["1", "2", "3", "4", "5", "6"]],
            _ => &[
                &[],
                &["no-such-name"],
                &["/no/such/device"],
                &["/no/such/device", "other"],
                &["/dev/mapper/no-such-name"],
                &["f"],
                &["f", "other"],
                &["f", "1"],
                &["/dev/null", "other"],
                &["1", "2", "3", "4", "5", "6"],
            ],
        };
        for arguments in arguments {
            let words = [&[info.name], *arguments].concat();
            let plain = run(folder.path(), &words);
            let json = run(folder.path(), &[&words[..], &["--json"]].concat());
            let mut complain = |what: &str| {
                wrong.push(format!(
                    "{words:?}: {what}\n  {:?} {:?} {:?}\n  {:?} {:?} {:?}",
                    plain.code, plain.out, plain.errors, json.code, json.out, json.errors
                ));
            };
            if plain.code != json.code {
                complain("the exit code is another with --json");
            }
            if plain.code != Some(0) && (plain.out.clone() + &plain.errors).trim().is_empty() && info.name != "isLuks" {
                complain("it fails without a word");
            }
            // If standard output is for data, the answer is on standard error.
            let is_json = |line: &&str| line.starts_with('{');
            let document = json.out.lines().chain(json.errors.lines()).find(is_json);
            let errors: Vec<_> = json.errors.lines().filter(|line| !is_json(line)).collect();
            if is_broken(&plain.errors) || is_broken(&errors.join("\n")) {
                complain("a text is broken");
            }
            // An invalid command line is reported on standard error alone.
            let Some(document) = document else {
                if json.errors.is_empty() || json.code != Some(1) {
                    complain("there is no answer");
                }
                continue;
            };
            let answer: Value = serde_json::from_str(document).unwrap_or_default();
            let message = answer["error"]["message"].as_str().unwrap_or_default();
            match json.code {
                Some(0) if answer["result"].is_object() => {}
                Some(0) => complain("there is no result"),
                // Where there is a device-mapper: a verdict, which is no error.
                Some(3) if info.name == "check" && answer["result"]["devices"].is_array() => {}
                _ if message.is_empty() || is_broken(message) => complain("the message is empty or broken"),
                code => {
                    if answer["error"]["code"].as_i64() != code.map(i64::from) {
                        complain("the code in the JSON is another");
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Names that later commands would not find, and those that a kernel cannot hold.
#[test]
fn a_name_that_no_command_would_find_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("f"), vec![0; 1 << 20]).expect("written");
    let long = "n".repeat(128);
    for (name, says) in [
        (
            "a/b",
            "The name a/b cannot be given to a device: there is a slash (/) in it.",
        ),
        (
            "/dev/mapper/a/b",
            "The name a/b cannot be given to a device: there is a slash (/) in it.",
        ),
        (".", "The name . cannot be given to a device: a folder has it."),
        ("..", "The name .. cannot be given to a device: a folder has it."),
        (
            "control",
            "The name control cannot be given to a device: /dev/mapper has it already.",
        ),
        (&long, "The name is 128 bytes long, and the limit is 127."),
    ] {
        for backend in ["kernel", "userspace"] {
            for kind in [
                &["--type", "plain", "--cipher", "aes-xts-plain64", "--key-size", "256"][..],
                &[],
            ] {
                let words = [&["open", "--backend", backend, "f", name], kind].concat();
                let said = run(folder.path(), &words);
                assert_eq!(said.code, Some(1), "{words:?} {}", said.errors);
                assert!(said.errors.starts_with(says), "{words:?} {}", said.errors);
            }
        }
    }
}

/// If nothing is mapped and nothing served, the list is empty, and that is no failure.
#[test]
fn a_kernel_that_maps_nothing_has_an_empty_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(OURS)
        .arg0("luksmith")
        .args(["list", "--json"])
        .env("XDG_RUNTIME_DIR", folder.path())
        // No control node, and no number for one.
        .env("DM_DEV_DIR", folder.path())
        .output()
        .expect("the program runs");
    // With a device-mapper the node is made in that folder, and the answer may have devices.
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert!(
        output.status.success() && answer["result"]["volumes"].is_array(),
        "{output:?}"
    );
}

/// Closed descriptors without a `/dev/null` ended the program with SIGABRT before it began.
#[test]
fn closed_descriptors_are_no_end() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("f"), vec![0; 4096]).expect("written");
    let script = |closed: &str| format!("mount -t tmpfs none /dev && exec \"$0\" isLuks f {closed}");
    for closed in ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"] {
        let status = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script(closed), OURS])
            .current_dir(folder.path())
            .status()
            .expect("unshare of util-linux");
        assert_eq!(status.code(), Some(1), "{closed} {status:?}");
    }
}

/// The substitute for a closed descriptor was closed again in each started program, whose first file took its place.
#[test]
fn closed_descriptors_are_passed_on_as_such() {
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$0\" benchmark <&- >&- 2>&-", OURS])
        .spawn()
        .expect("a shell");
    let start = Instant::now();
    for fd in 0..3 {
        let flags = loop {
            let info = fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", child.id())).unwrap_or_default();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let target = fs::read_link(format!("/proc/{}/fd/{fd}", child.id())).unwrap_or_default();
            // Until the shell has become the program, it has descriptors of its own.
            if let Some(flags) = flags
                && (target == Path::new("/") || target.starts_with("/memfd:closed (deleted)"))
            {
                break u32::from_str_radix(flags.trim(), 8).expect("digits");
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{fd}: {}", target.display());
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(flags & 0o2_000_000, 0, "{fd} is closed by exec: {flags:o}");
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    // Output that is not delivered is no success.
    let script = "exec \"$0\" --version >&-";
    let status = Command::new("sh").args(["-c", script, OURS]).status().expect("a shell");
    assert!(!status.success());
}

/// Debug lines name the steps, and never the secrets: the passphrase and the key are not in them.
#[test]
fn debug_tells_each_step_and_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    fs::write(path.join("v"), vec![0; 20 << 20]).expect("written");
    fs::write(path.join("secret"), "correct horse battery").expect("written");
    let key: Vec<u8> = (0..64).map(|byte| byte ^ 0x5a).collect();
    fs::write(path.join("key"), &key).expect("written");
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let format = "luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --volume-key-file key v secret";
    let mut steps = 0;
    for line in [
        format,
        "open --test-passphrase v --key-file secret",
        "luksAddKey --pbkdf pbkdf2 --pbkdf-force-iterations 1000 v --key-file secret secret",
        "open --test-passphrase v --volume-key-file key",
        "luksDump v",
    ] {
        let words: Vec<_> = line.split(' ').chain(["--debug"]).collect();
        let said = run(path, &words);
        assert_eq!(said.code, Some(0), "{line}: {}", said.errors);
        assert!(
            said.out.lines().all(|line| !line.starts_with("# ")),
            "in the answer: {}",
            said.out
        );
        let lines: Vec<_> = said.errors.lines().filter(|line| line.starts_with("# ")).collect();
        for part in ["Opening v for ", "Locking v ", "Releasing the lock"] {
            assert!(
                lines.iter().any(|line| line.contains(part)),
                "{line}: no {part} in {lines:?}"
            );
        }
        for secret in ["correct horse", &digits[..32], &digits[96..]] {
            assert!(
                !said.errors.contains(secret) && !said.out.contains(secret),
                "{line}: {secret}"
            );
        }
        steps += lines.len();
    }
    assert!(steps > 40, "{steps} lines");
}
