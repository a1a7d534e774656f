//! Guest scripts on a real kernel, in an emulated machine: each test boots one, and fails when a check of its script fails.
//!
//! Not part of a bare `cargo test` (`test = false` in Cargo.toml), since each boot takes its seconds: `scripts/test` runs it, and
//! so does `cargo test --test vm`. It never passes without its oracle: with no emulator, kernel or peer tool, it fails and
//! names `scripts/setup-tests`. Not for what needs no kernel: that belongs beside the code, or into the other files here.

use std::path::Path;
use std::process::Command;

/// How a guest is started.
#[derive(Clone, Copy)]
enum Udev {
    /// systemd-udevd runs, and completes the cookies as on a desktop.
    Running,
    /// Nothing completes a cookie or makes a node, as in an initramfs or a container.
    Absent,
}

/// Boots a machine for `script` (a file of `tests/guest/`), prints what it printed, and asserts that its checks passed.
fn guest(udev: Udev, limit_seconds: u32, script: &str, arguments: &[&str]) {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/vm"));
    command.args([
        "--bin",
        env!("CARGO_BIN_EXE_luksmith"),
        "--timeout",
        &limit_seconds.to_string(),
    ]);
    if let Udev::Running = udev {
        command.arg("--udev");
    }
    let output = command.arg(script).args(arguments).output().expect("scripts/vm starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{text}{errors}");
    let failures: Vec<&str> = text.lines().filter(|line| line.starts_with("FAIL ")).collect();
    assert!(
        output.status.success(),
        "{script}: {}\n{errors}\n{}",
        output.status,
        failures.join("\n")
    );
    assert!(failures.is_empty(), "{script} exited 0, but: {}", failures.join("\n"));
    let total = text.lines().rev().find(|line| line.ends_with(" passed, 0 failed"));
    assert!(
        total.is_some_and(|line| !line.starts_with("0 ")),
        "{script} ended without a total of passed checks"
    );
}

#[test]
fn machine_and_peers_work_without_udev() {
    guest(Udev::Absent, 120, "smoke.sh", &[]);
}

#[test]
fn machine_and_peers_work_with_udev() {
    guest(Udev::Running, 120, "smoke.sh", &[]);
}

#[test]
fn matrix_without_udev() {
    guest(Udev::Absent, 1500, "matrix.sh", &[]);
}

#[test]
fn matrix_with_udev() {
    guest(Udev::Running, 1500, "matrix.sh", &[]);
}
