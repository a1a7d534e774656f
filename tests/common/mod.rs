//! What the tests share: the two programs, cheap costs, and one way to run a command line and to report how it ended.
#![allow(dead_code, reason = "not every test needs all of it")]

pub(crate) mod pty;

use std::path::Path;
use std::process::{Command, Stdio};

/// The tested program, under its own name.
pub(crate) const OURS: &str = env!("CARGO_BIN_EXE_luksmith");
/// The program that it is compared with: Debian's.
pub(crate) const CRYPTSETUP: &str = "/usr/sbin/cryptsetup";
/// The cheapest costs that either program takes.
pub(crate) const CHEAP: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/// The words of a command line; PBKDF stands for the cheap costs.
pub(crate) fn words(line: &str) -> Vec<&str> {
    let words = line.split_whitespace();
    words
        .flat_map(|word| if word == "PBKDF" { CHEAP.to_vec() } else { vec![word] })
        .collect()
}

/// Runs a command line without input: exit code, standard output, standard error.
pub(crate) fn run(folder: &Path, program: &str, line: &str) -> (Option<i32>, String, String) {
    let output = Command::new(program)
        .args(words(line))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// As [`run`], and it has to succeed: what it printed, standard output before standard error.
#[track_caller]
pub(crate) fn done(folder: &Path, program: &str, line: &str) -> (String, String) {
    let (code, out, errors) = run(folder, program, line);
    assert_eq!(code, Some(0), "{program} {line}: {out}{errors}");
    (out, errors)
}
