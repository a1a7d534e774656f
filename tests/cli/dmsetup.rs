//! dmsetup's command line against the installed dmsetup (package dmsetup), as far as neither needs a device-mapper: what
//! either refuses, with its message and exit code; and the messages where the kernel has no device-mapper or we may not use
//! it.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::common::OURS;

const REFERENCE: &str = "/usr/sbin/dmsetup";

/// Exit code, standard output, standard error.
type Answer = (Option<i32>, String, String);

fn answer(program: &str, name: &str, words: &[&str]) -> Answer {
    let output = Command::new(program)
        .arg0(name)
        .args(words)
        .stdin(Stdio::null())
        .env_remove("DM_DEFAULT_NAME_MANGLING_MODE")
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run (package dmsetup?): {error}"));
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn compare(lines: &[&str]) {
    for line in lines {
        let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let theirs = answer(REFERENCE, "dmsetup", &words);
        let ours = answer(OURS, "dmsetup", &words);
        assert_eq!(ours, theirs, "dmsetup {line}");
    }
}

#[test]
fn the_usage_text_is_dmsetups() {
    compare(&[
        "help",
        "-h",
        "--help",
        "",
        "nosuchverb",
        "help ls",
        "ls --help",
        "--help -v nosuchverb",
        "stats",
        "stats help",
        "stats -h",
        "stats nosuch",
    ]);
}

#[test]
fn options_are_refused_as_dmsetup_refuses_them() {
    compare(&[
        "--nosuch",
        "--nosuch=x",
        "-Z",
        "-vZ",
        "--ver",
        "--no",
        "--a",
        "--c",
        "--f",
        "--g",
        "--h",
        "--i",
        "--m",
        "--n",
        "--p",
        "--r",
        "--re",
        "--s",
        "--se",
        "--t",
        "--u",
        "--un",
        "--table",
        "--tab",
        "-j",
        "-u",
        "-o",
        "--uuid",
        "--showkeys=yes",
        "--version=1",
        "--manglename x",
        "--manglename",
        "--mode 999 ls",
        "-M abc ls",
        "-M999 ls",
        "-j 1 ls",
        "-m 1 ls",
    ]);
}

/// `-o` takes a report's fields only for a report.
#[test]
fn words_of_other_forms_are_refused_as_dmsetup_refuses_them() {
    compare(&[
        "info -o name",
        "info -o name x",
        "-o name info",
        "info -o name,uuid",
        "info -o devno,name,uuid",
        "info -o ,name",
        "info --options help",
        "deps -o name",
        "ls -o devname,x,y",
        "table -o name x",
        "help -o name",
        "help ls -o name",
        "--help -o name",
        "info -h -o name",
        "nosuch -o name",
        "-o name",
        "rename a -o name",
        "targets x -o name",
        "info --tree -o x",
        "info --tree -c -o x",
        "ls --tree -o compact,,x,utf",
        "splitname -o nosuch vg-lv",
        "splitname --tree -o x vg-lv",
        "info -c -o nosuch",
        "stats list -o nosuch",
    ]);
}

#[test]
fn arguments_are_counted_as_dmsetup_counts_them() {
    let mut lines = Vec::new();
    for verb in [
        "remove_all",
        "ls",
        "targets",
        "version",
        "udevcreatecookie",
        "udevcookies",
    ] {
        lines.push(format!("{verb} x"));
    }
    for verb in ["udevflags", "udevcomplete", "udevreleasecookie", "udevcomplete_all"] {
        lines.push(format!("{verb} x y"));
    }
    for verb in [
        "udevflags",
        "udevcomplete",
        "rename",
        "message",
        "splitname",
        "target-version",
    ] {
        lines.push(verb.to_owned());
    }
    for line in [
        "create a b c",
        "load a b c",
        "reload a b c",
        "rename a b c",
        "message a",
        "wait a b c",
        "setgeometry a 1 2 3",
        "setgeometry a 1 2 3 4 5",
        "splitname a b c",
    ] {
        lines.push(line.to_owned());
    }
    compare(&lines.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn cookies_are_read_as_dmsetup_reads_them() {
    compare(&[
        "udevflags 0xd4d1234",
        "udevflags 0xffff0000",
        "udevflags 4194304",
        "udevflags 020000000",
        "udevflags 0",
        "udevflags x",
        "udevflags 12x",
        "udevflags 0x1234d4d12",
        "udevcomplete x",
        "udevreleasecookie x",
        "udevcomplete_all x",
    ]);
}

#[test]
fn our_own_name_serves_the_same() {
    let (code, out, err) = answer(OURS, "luksmith", &["dm", "udevflags", "0x600000"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out,
        "DM_UDEV_DISABLE_LIBRARY_FALLBACK_FLAG='1'\nDM_UDEV_PRIMARY_SOURCE_FLAG='1'\n"
    );
    let (code, _, err) = answer(OURS, "luksmith", &["dm"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("Usage:\n\nluksmith dm\n"), "{err}");
    assert_eq!(
        answer(OURS, "luksmith", &["dm", "--nosuch"]).2,
        "luksmith dm: unrecognized option '--nosuch'\nCouldn't process command line.\n"
    );
}

/// Without access to the device-mapper, one line reports it, with the remedy.
#[test]
fn without_a_device_mapper_one_line_says_what_to_do() {
    for words in [
        &["dm", "ls"][..],
        &["dm", "stats", "list"],
        &["dm", "create", "x", "--notable"],
        &["list"],
        &["list", "--json"],
        &["info"],
        &["info", "--json"],
        &["deps"],
        &["table", "x"],
        &["tree"],
        &["tree", "--json"],
    ] {
        // As an unprivileged user, in a namespace of its own: never permitted, whatever the machine has.
        let output = Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--bounding-set=-all",
                OURS,
            ])
            .args(words)
            .output()
            .expect("setpriv (package util-linux) runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {text}");
        let answer = String::from_utf8_lossy(&output.stdout);
        assert!(
            answer.is_empty() || words.contains(&"--json") && answer.contains("\"error\""),
            "{words:?}: {answer}"
        );
        assert_eq!(text.lines().count(), 1, "{words:?}: {text}");
        assert!(
            text.contains("modprobe dm_mod") || text.contains("Run as root, or with the capability CAP_SYS_ADMIN"),
            "{words:?}: {text}"
        );
    }
}
