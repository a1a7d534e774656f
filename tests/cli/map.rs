//! `luksDump --map`: the parts of both versions, together and apart from their data, to scale in any width.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{CHEAP, OURS};

const DEVICE_SIZE: u64 = 64 << 20;

fn luksmith(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(OURS);
    command
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("LC_ALL", "C");
    command
}

fn output(folder: &Path, words: &[&str]) -> String {
    let output = luksmith(folder, words).output().expect("luksmith starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

/// `v1` and `v2`, and `v3` whose header is in `h`. Keyslot 5 of `v2` has a name.
fn volumes() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path();
    fs::write(path.join("k"), "key").expect("a key file");
    for volume in ["v1", "v2", "v3"] {
        let file = File::create(path.join(volume)).expect("a file");
        file.set_len(DEVICE_SIZE).expect("room");
    }
    for words in [
        ["luksFormat", "-q", "--type", "luks1", "v1", "k"].as_slice(),
        &["luksFormat", "-q", "v2", "k"],
        &["luksAddKey", "v2", "k", "-S", "5", "-d", "k", "--slot-name", "office"],
        &["luksFormat", "-q", "--header", "h", "v3", "k"],
    ] {
        output(path, &[words, &CHEAP].concat());
    }
    folder
}

fn parts(folder: &Path, words: &[&str]) -> Value {
    let text = output(folder, &[&["luksDump", "--map", "--json"], words].concat());
    serde_json::from_str::<Value>(&text).expect("JSON")["result"].take()
}

/// The kinds and sizes of the parts on the header's device, which follow each other without a hole.
fn kinds(map: &Value) -> Vec<(String, u64)> {
    let mut end = 0;
    let parts = map["parts"].as_array().expect("parts").iter().map(|part| {
        let (offset, size) = (part["offset"].as_u64(), part["size"].as_u64());
        let (offset, size) = (offset.expect("an offset"), size.expect("a size"));
        // Less than this is left out only to align the next one to a multiple of it.
        assert!(offset >= end && offset - end < 4096, "{part}: not at {end}");
        end = offset + size;
        (part["kind"].as_str().expect("a kind").to_owned(), size)
    });
    let parts = parts.collect();
    assert_eq!(map["size"], end);
    parts
}

#[test]
fn the_parts_are_those_of_the_header() {
    let folder = volumes();
    let path = folder.path();
    let named = |parts: &[(&str, u64)]| -> Vec<(String, u64)> {
        parts.iter().map(|&(kind, size)| (kind.to_owned(), size)).collect()
    };
    let (area, header) = (258_048, 16 << 20);
    let v2 = parts(path, &["v2"]);
    let metadata = ("metadata", 16384);
    let free = header - 32768 - 2 * area;
    assert_eq!(
        kinds(&v2),
        named(&[
            metadata,
            metadata,
            ("keyslot", area),
            ("keyslot", area),
            ("free", free),
            ("data", DEVICE_SIZE - header)
        ])
    );
    assert_eq!(v2["parts"][3]["keyslot"], 5);
    assert!(
        v2["parts"][3]["what"]
            .as_str()
            .is_some_and(|what| what.contains("office"))
    );

    let v1 = parts(path, &["v1"]);
    let mut expected = vec![("metadata", 592), ("keyslot", 256_000)];
    expected.extend([("free", 256_000); 7]);
    expected.extend([("gap", 30720), ("data", DEVICE_SIZE - (2 << 20))]);
    assert_eq!(kinds(&v1), named(&expected));

    let v3 = parts(path, &["--header", "h", "v3"]);
    let detached = named(&[metadata, metadata, ("keyslot", area), ("free", header - 32768 - area)]);
    assert_eq!(kinds(&v3), detached);
    assert_eq!(v3["data_elsewhere"][0]["size"], DEVICE_SIZE);
    // The header alone does not tell the size of its data.
    let alone = parts(path, &["h"]);
    assert_eq!(kinds(&alone), detached);
    assert!(alone["data_elsewhere"][0]["size"].is_null());
}

#[test]
fn the_bars_are_as_wide_as_the_terminal_and_to_scale() {
    let folder = volumes();
    let text = output(folder.path(), &["luksDump", "--map", "v2"]);
    let lines: Vec<&str> = text.lines().collect();
    // A fourth of the device is before the data.
    assert_eq!(lines[1], format!("MM05{}{}", ".".repeat(16), "#".repeat(60)));
    assert_eq!(lines[3], format!("MM05{}", ".".repeat(76)));
    assert!(text.is_ascii());
    assert!(
        lines.iter().any(|line| line.ends_with("keyslot 5 (office), luks2")),
        "{text}"
    );

    let size = Winsize {
        ws_row: 25,
        ws_col: 40,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(&size, None).expect("a pseudo-terminal");
    let side = File::from(pty.slave);
    let status = luksmith(folder.path(), &["luksDump", "--map", "v1"])
        .env("LC_ALL", "C.UTF-8")
        .stdout(Stdio::from(side.try_clone().expect("a descriptor")))
        .status();
    assert!(status.expect("luksmith starts").success());
    let mut shown = vec![0; 4096];
    let read = File::from(pty.master).read(&mut shown).expect("what it wrote");
    let shown = String::from_utf8_lossy(&shown[..read]);
    let bars: Vec<&str> = shown.lines().filter(|line| line.starts_with('▓')).take(2).collect();
    assert_eq!(bars[0], format!("▓0·······░{}", "█".repeat(30)));
    assert_eq!(bars[1].chars().count(), 40);
}
