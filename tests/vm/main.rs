//! Guest scripts on a real kernel, emulated or in user mode: each test boots one, and fails when a check of its script fails.
//!
//! Not part of a bare `cargo test` (`test = false` in Cargo.toml), since each boot takes its seconds: `scripts/test` runs it,
//! and so does `cargo test --test vm`. It never passes without its oracle: with no emulator, kernel or peer tool, it fails
//! and names `scripts/setup-tests`. `TESTED_LUKSMITH` names another program than the one that cargo has built: `scripts/test`
//! takes the static one, which is the shipped one. The ignored ones are long: `scripts/test --long` runs them too. Not for
//! tests that need no kernel: those belong beside the code, or into the other files here.

mod json;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The configuration of a guest.
#[derive(Clone, Copy)]
enum Udev {
    /// systemd-udevd runs, and completes the cookies as on a desktop.
    Running,
    /// Nothing completes a cookie or makes a node, as in an initramfs or a container.
    Absent,
}

/// Scripts that need what a user-mode kernel lacks: zoned disks. It runs all others, in a fifth of the time;
/// `LUKSMITH_EMULATED_GUESTS` has those emulated too.
const EMULATED: [&str; 1] = ["alignment.sh"];

/// Scripts in which several processes work on the same thing at once: two processors where they are emulated, since a user-mode
/// kernel has one. One is faster under emulation.
const AT_ONCE: [&str; 4] = ["container.sh", "dmsetup-rounds.sh", "fuse.sh", "unlock.sh"];

/// The options of `scripts/vm` for the machine of a script.
fn machine(script: &str) -> &'static [&'static str] {
    if !EMULATED.contains(&script) && std::env::var_os("LUKSMITH_EMULATED_GUESTS").is_none() {
        &["--user-mode"]
    } else if AT_ONCE.contains(&script) {
        &["--cpus", "2"]
    } else {
        &[]
    }
}

/// The tested program.
fn luksmith() -> PathBuf {
    std::env::var_os("TESTED_LUKSMITH").map_or_else(|| env!("CARGO_BIN_EXE_luksmith").into(), PathBuf::from)
}

/// Boots a machine for `script` (a file of `tests/guest/`), and asserts that its checks passed.
#[track_caller]
fn guest(udev: Udev, limit_seconds: u32, script: &str, arguments: &[&str]) {
    guest_with(&luksmith(), udev, limit_seconds, script, arguments);
}

/// As [`guest`], with another program in the place of Luksmith. Its output on a failure leaves out the checks that passed,
/// since it may be cut short when it is shown.
#[track_caller]
fn guest_with(program: &Path, udev: Udev, limit_seconds: u32, script: &str, arguments: &[&str]) {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/vm"));
    command.arg("--bin").arg(program);
    command.args(["--timeout", &limit_seconds.to_string()]);
    if let Udev::Running = udev {
        command.arg("--udev");
    }
    command.args(machine(script));
    let output = command.arg(script).args(arguments).output().expect("scripts/vm starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let (passed, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("PASS "));
    let said = rest.join("\n");
    let last = passed.last().unwrap_or(&"none");
    assert!(
        output.status.success() && !rest.iter().any(|line| line.starts_with("FAIL ")),
        "{script}: {}, the last of {} checks that passed: {last}\n{errors}\n{said}",
        output.status,
        passed.len(),
    );
    let total = rest.iter().rev().find(|line| line.ends_with(" passed, 0 failed"));
    assert!(
        total.is_some_and(|line| !line.starts_with("0 ")),
        "{script} ended without a total of passed checks:\n{said}"
    );
    println!("{said}");
}

#[test]
fn machine_and_peers_work_without_udev() {
    guest(Udev::Absent, 1200, "smoke.sh", &[]);
}

#[test]
fn machine_and_peers_work_with_udev() {
    guest(Udev::Running, 1200, "smoke.sh", &[]);
}

/// The null cipher, integrity, texts with more than a cipher's name, and a kernel without dm-crypt.
#[test]
fn ciphers_are_the_kernels_however_they_are_written() {
    guest(Udev::Absent, 1200, "cipher-names.sh", &[]);
}

/// The transcript of the newest cryptsetup, line by line.
#[test]
fn transcript_of_the_newest_cryptsetup() {
    guest(Udev::Absent, 1200, "transcript.sh", &[]);
}

/// Disks whose sectors lie otherwise, zoned ones, and devices that take no lock or no write.
#[test]
fn devices_that_are_special() {
    guest(Udev::Running, 1200, "alignment.sh", &[]);
}

/// What `open` requests from the kernel: reads, writes, waits.
#[test]
fn system_calls_of_open() {
    guest(Udev::Absent, 1200, "strace.sh", &[]);
}

/// A disk that fails in places, and at each write.
#[test]
#[ignore = "long: scripts/test --long"]
fn faults_of_a_disk() {
    guest(Udev::Absent, 1800, "faults.sh", &[]);
}

/// The machine's memory, searched from outside while a volume is open, suspended and closed.
#[test]
fn leaks_into_memory() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/leaks");
    let output = Command::new(script).arg(luksmith()).output();
    let output = output.expect("scripts/leaks starts");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let points = text.lines().filter(|line| line.ends_with(" fine")).count();
    assert_eq!(points, 8, "{text}");
}

/// The command lines of other programs that need device-mapper.
#[test]
fn command_lines_of_other_programs_without_udev() {
    guest(Udev::Absent, 2000, "contract.sh", &[]);
}

/// Each action on headers, on block devices, by each tool. `scripts/vm … actions.sh detached` does those on a detached
/// header.
#[test]
fn actions_on_luks1_devices_without_udev() {
    guest(Udev::Absent, 1800, "actions.sh", &["luks1"]);
}

#[test]
fn actions_on_luks2_devices_without_udev() {
    guest(Udev::Absent, 1800, "actions.sh", &["luks2"]);
}

#[test]
fn active_mappings_without_udev() {
    guest(Udev::Absent, 1800, "active.sh", &[]);
}

#[test]
fn active_mappings_with_udev() {
    // The parts that depend on udev.
    guest(Udev::Running, 1800, "active.sh", &["resize", "suspend", "busy"]);
}

#[test]
fn matrix_without_udev() {
    guest(Udev::Absent, 3000, "matrix.sh", &[]);
}

/// The modes that depend on udev: the header of each version, and a loop device that comes and goes.
#[test]
fn matrix_with_udev() {
    guest(Udev::Running, 3000, "matrix.sh", &["luks1", "luks2-512", "loopfile"]);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn matrix_of_every_mode_with_udev() {
    guest(Udev::Running, 5000, "matrix.sh", &[]);
}

/// A container file that is mapped and written to at the same time.
#[test]
fn one_container_through_the_kernel_and_without_it() {
    guest(Udev::Absent, 1200, "container.sh", &[]);
}

/// An example, built. Cargo names no path for it, but puts it beside the tests.
fn example(name: &str) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--example", name, "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .status()
        .expect("cargo starts");
    assert!(built.success(), "examples/{name}.rs builds");
    let own = std::env::current_exe().expect("a test has a path");
    let profile = own.ancestors().nth(2).expect("a test lies in deps/ of its profile");
    profile.with_file_name("debug").join("examples").join(name)
}

#[test]
fn device_mapper_layer_without_udev() {
    guest_with(&example("dm"), Udev::Absent, 1200, "dm.sh", &[]);
}

#[test]
fn device_mapper_layer_with_udev() {
    guest_with(&example("dm"), Udev::Running, 1200, "dm.sh", &[]);
}

#[test]
fn every_verb_of_dmsetup_on_every_target_without_udev() {
    guest(Udev::Absent, 2400, "dmsetup.sh", &[]);
}

/// With udevd each session takes longer: the targets whose events differ.
#[test]
fn every_verb_of_dmsetup_with_udev() {
    guest(
        Udev::Running,
        1800,
        "dmsetup.sh",
        &["linear", "crypt", "snapshot", "thin-pool", "raid"],
    );
}

#[test]
fn names_cookies_and_failures_of_dmsetup_without_udev() {
    guest(Udev::Absent, 1200, "dmsetup-cases.sh", &[]);
}

/// The parts that depend on udev; `scripts/vm --udev … dmsetup-cases.sh` runs them all.
#[test]
fn names_cookies_and_failures_of_dmsetup_with_udev() {
    guest(
        Udev::Running,
        1200,
        "dmsetup-cases.sh",
        &["cookies", "devices", "concise"],
    );
}

/// Neither printed nor kept: the memory of each program is searched.
#[test]
fn keys_of_tables_stay_secret() {
    guest(Udev::Absent, 1600, "dmsecrets.sh", &[]);
}

/// Under our own name, as text and as JSON, and the tree.
#[test]
fn any_mapping_without_udev() {
    guest(Udev::Absent, 1200, "mapped.sh", &[]);
}

/// Every target that the kernel has, in good and in bad states, and lvm2's own reports of the same devices.
#[test]
fn states_and_verdicts_without_udev() {
    guest(Udev::Absent, 1200, "dmcheck.sh", &[]);
}

/// Few devices and a build that is not optimized: only the answers and the number of questions count here.
/// `scripts/vm --bin target/static/luksmith dmsetup-thousand.sh` judges the times.
#[test]
fn many_devices_in_few_questions() {
    guest(Udev::Absent, 1200, "dmsetup-thousand.sh", &["150", "1", "1000"]);
}

#[test]
fn statistics_of_dmstats_without_udev() {
    guest(Udev::Absent, 1600, "dmstats.sh", &[]);
}

#[test]
fn logical_volumes_of_lvm2_without_udev() {
    guest(Udev::Absent, 1200, "dmsetup-lvm.sh", &[]);
}

#[test]
fn logical_volumes_of_lvm2_and_udevs_rules_with_our_dmsetup() {
    guest(Udev::Running, 1200, "dmsetup-lvm.sh", &[]);
}

/// Few rounds here; `scripts/vm --udev … dmsetup-rounds.sh 500 ours` is the long run.
#[test]
fn lvm2_dmsetup_and_cryptsetup_at_work_at_once_with_udev() {
    guest(Udev::Running, 1200, "dmsetup-rounds.sh", &["15", "ours"]);
}

#[test]
fn lvm2_dmsetup_and_cryptsetup_at_work_at_once_without_udev() {
    guest(Udev::Absent, 1200, "dmsetup-rounds.sh", &["15", "peer"]);
}

/// Every field of `info -c`, sorted, selected and laid out, and `splitname`.
#[test]
fn reports_of_dmsetup_with_udev() {
    guest(Udev::Running, 1600, "dmreport.sh", &[]);
}

#[test]
fn unlock_takes_no_part_for_the_whole_and_changes_no_key_device() {
    guest(Udev::Absent, 1200, "unlock.sh", &[]);
}

/// `examples/ciphers.rs` on the kernel that it compares with; `scripts/vm … ciphers.sh full` tries every combination.
#[test]
#[ignore = "long: scripts/test --long"]
fn every_cipher_of_the_kernel_both_ways() {
    guest_with(&example("ciphers"), Udev::Absent, 1200, "ciphers.sh", &[]);
}

/// Accidents under a volume that is served from userspace; `scripts/vm … fuse.sh 50` has more of them.
#[test]
fn accidents_under_a_served_volume() {
    guest(Udev::Absent, 1600, "fuse.sh", &["1"]);
}
