//! A volume served as a file, by and for an ordinary user: needs /dev/fuse, and fusermount3 of package fuse3.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fsx::Exerciser;
use super::sandbox::{CHEAP, Sandbox, run_as_user};

const SIZE: usize = 24 << 20;

#[test]
fn the_served_file() {
    run_as_user("served::");
}

/// A signal takes its time to arrive. A process that is gone counts as in every state.
fn wait_for_state(process: Pid, states: &[&str]) {
    let start = Instant::now();
    while let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) {
        let state = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').next());
        if state.is_some_and(|state| states.contains(&state)) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{stat}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A volume in a sandbox, and its name.
struct Lab {
    sandbox: Sandbox,
}

impl Lab {
    fn new(options: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let image = sandbox.ok(&vec![0; SIZE], &[&["image"][..], &CHEAP, options, &["-", "-"]].concat());
        sandbox.put("volume", &image);
        Self { sandbox }
    }

    fn luksmith(&self, words: &[&str]) -> Output {
        self.sandbox.with_helper(words)
    }

    fn ok(&self, words: &[&str]) -> String {
        let output = self.luksmith(words);
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }

    fn open(&self, options: &[&str]) -> PathBuf {
        let words = ["open", "--backend", "userspace", "--key-file", "key"];
        let said = self.ok(&[&words[..], options, &["volume", "x"]].concat());
        let path = self.sandbox.path("run/luksmith/x");
        assert!(said.contains(&*path.to_string_lossy()), "{said}");
        path
    }

    /// Without a chance for it to end cleanly.
    fn kill_server(&self) {
        let server = self.server();
        kill(server, Signal::SIGKILL).expect("a signal");
        wait_for_state(server, &["Z", "X"]);
    }

    /// An ordinary user without served volumes is told how to see more: that is a failure.
    fn is_listed(&self) -> bool {
        let output = self.luksmith(&["list"]);
        String::from_utf8_lossy(&output.stdout).contains("run/luksmith/x")
    }

    fn cat(&self) -> Vec<u8> {
        self.sandbox.ok(b"", &["cat", "volume"])
    }

    fn server(&self) -> Pid {
        let status = self.ok(&["status", "x"]);
        let (_, rest) = status.split_once("(process ").expect("a process");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Pid::from_raw(digits.parse().expect("a number"))
    }

    fn is_mounted(&self) -> bool {
        let path = self.sandbox.path("run/luksmith/x");
        fs::read_to_string("/proc/self/mountinfo")
            .expect("mounts")
            .contains(&format!(" {} ", path.display()))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Leftovers of a failed test.
        if self.is_mounted() {
            self.luksmith(&["close", "x"]);
        }
    }
}

#[test]
#[ignore = "run by the_served_file as an ordinary user"]
fn a_volume_is_served_to_an_ordinary_user() {
    let lab = Lab::new(&[]);
    let path = lab.open(&[]);
    let file = File::options().read(true).write(true).open(&path).expect("the file");
    assert_eq!(file.metadata().expect("metadata").len(), SIZE as u64);
    file.write_all_at(b"through FUSE", 5000).expect("room");
    file.sync_all().expect("fsync");

    let status = lab.ok(&["status", "x"]);
    for line in [
        "is active",
        "type:    LUKS2",
        "mode:    read/write",
        "backend: userspace",
    ] {
        assert!(status.contains(line), "{status}");
    }
    let list = lab.ok(&["list"]);
    assert!(list.starts_with("x\t") && list.contains("userspace"), "{list}");
    // Others are locked out of the container, and of the name.
    assert_eq!(lab.sandbox.run(b"", &["cat", "volume"]).status.code(), Some(5));
    let again = ["open", "--backend", "userspace", "--key-file", "key", "volume", "x"];
    assert_eq!(lab.luksmith(&again).status.code(), Some(5));
    // The file stays while it is in use.
    let busy = lab.luksmith(&["close", "x"]);
    assert_eq!(busy.status.code(), Some(5), "{}", String::from_utf8_lossy(&busy.stderr));
    let mut back = [0; 12];
    file.read_exact_at(&mut back, 5000).expect("it is still there");
    assert_eq!(&back, b"through FUSE");

    drop(file);
    lab.ok(&["close", "x"]);
    assert!(!path.exists() && !lab.is_mounted());
    assert!(!lab.is_listed());
    assert!(!lab.luksmith(&["status", "x"]).status.success());
    assert_eq!(&lab.cat()[5000..5012], b"through FUSE");

    let path = lab.open(&["--readonly"]);
    assert!(File::options().write(true).open(&path).is_err());
    assert_eq!(&fs::read(&path).expect("the data")[5000..5012], b"through FUSE");
    lab.ok(&["close", "x"]);
}

/// A descriptor of the caller's in the server kept its lock, and kept the reader of its other end from the end of input.
#[test]
#[ignore = "run by the_served_file as an ordinary user"]
fn a_server_holds_nothing_of_who_started_it() {
    let lab = Lab::new(&[]);
    let open = "./luksmith open --backend userspace --key-file key volume x";
    let script = format!("exec 3>three 200>last; flock 3; flock 200; {open} >said 2>&1");
    let status = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(lab.sandbox.path("."))
        .env("XDG_RUNTIME_DIR", lab.sandbox.path("run"))
        .status();
    assert!(status.expect("bash").success());
    let is_free = |name: &str| {
        let file = File::open(lab.sandbox.path(name)).expect("a file");
        nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).is_ok()
    };
    let free = ["three", "last"].map(is_free);
    lab.ok(&["close", "x"]);
    assert_eq!(free, [true, true], "the server holds the lock");
}

/// Seconds here, and `LUKSMITH_FSX_SECONDS` in a run by hand.
#[test]
#[ignore = "run by the_served_file as an ordinary user"]
fn random_operations_are_what_they_are_on_any_file() {
    let seconds = std::env::var("LUKSMITH_FSX_SECONDS").ok();
    let seconds = seconds.map_or(6, |text| text.parse().expect("LUKSMITH_FSX_SECONDS is a number"));
    let rounds = 3;
    for (seed, options) in [
        (1, &["--sector-size", "4096"][..]),
        (
            2,
            &[
                "--sector-size",
                "512",
                "--cipher",
                "serpent-cbc-essiv:sha256",
                "--key-size",
                "256",
            ],
        ),
    ] {
        let lab = Lab::new(options);
        let mut exerciser = Exerciser::new(vec![0; SIZE], seed);
        for round in 0..rounds {
            // Discarded sectors have to read as zeros too.
            let path = lab.open(if round == 1 { &["--allow-discards"] } else { &[] });
            let discarding = round == 1;
            let before = exerciser.operations();
            exerciser.run(&path, Duration::from_secs(seconds) / (2 * rounds));
            lab.ok(&["close", "x"]);
            let discards: &[&str] = if discarding { &["--allow-discards"] } else { &[] };
            let data = lab.sandbox.ok(b"", &[&["cat"][..], discards, &["volume"]].concat());
            assert!(
                data == exerciser.model(),
                "what is in the volume after {options:?}, round {round}"
            );
            if discarding {
                // Without that option a hole is not data of this volume, so they are written again.
                lab.sandbox.ok(&data, &["write", "volume"]);
            }
            println!(
                "{options:?}, round {round}: {} operations",
                exerciser.operations() - before
            );
        }
        assert!(exerciser.operations() > 50);
    }
}

#[test]
#[ignore = "run by the_served_file as an ordinary user"]
fn a_killed_server_loses_nothing_that_was_written() {
    let lab = Lab::new(&[]);
    let path = lab.open(&[]);
    let file = File::options().write(true).open(&path).expect("the file");
    let data: Vec<u8> = (0..5 << 20).map(|n: usize| (n / 3) as u8).collect();
    file.write_all_at(&data[..4 << 20], 777).expect("room");
    file.sync_all().expect("fsync");
    // No fsync for the rest: its writes have returned, so they are in the page cache of the container.
    file.write_all_at(&data[4 << 20..], 777 + (4 << 20)).expect("room");
    lab.kill_server();
    assert!(file.write_all_at(b"x", 0).is_err());
    drop(file);

    let status = lab.luksmith(&["status", "x"]);
    assert_eq!(status.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&status.stdout).contains("ended without being closed"));
    assert!(lab.ok(&["list"]).contains("dead"));
    // Its name and its container are free again, with or without a close.
    lab.open(&[]);
    lab.kill_server();
    lab.ok(&["close", "x"]);
    assert!(!path.exists() && !lab.is_mounted());
    assert!(lab.cat()[777..777 + data.len()] == data);
}

/// `close` waited for ever.
#[test]
#[ignore = "run by the_served_file as an ordinary user"]
fn a_stopped_server_is_told_of() {
    let lab = Lab::new(&[]);
    let path = lab.open(&[]);
    let server = lab.server();
    kill(server, Signal::SIGSTOP).expect("a signal");
    let start = Instant::now();
    wait_for_state(server, &["T"]);
    let status = lab.ok(&["status", "x"]);
    assert!(status.contains(&format!("(process {server}, stopped)")), "{status}");
    let refused = lab.luksmith(&["close", "x"]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && errors.contains("is stopped"), "{errors}");
    assert!(start.elapsed() < Duration::from_secs(60));
    kill(server, Signal::SIGCONT).expect("a signal");
    // The first one may have got as far as the unmount.
    if lab.luksmith(&["status", "x"]).status.success() {
        lab.ok(&["close", "x"]);
    }
    assert!(!path.exists() && !lab.is_mounted());
}

/// A signal that asks it to end does so, if the file is not in use.
#[test]
#[ignore = "run by the_served_file as an ordinary user"]
fn a_server_goes_cleanly_when_asked_to() {
    let lab = Lab::new(&[]);
    let path = lab.open(&[]);
    fs::write(&path, b"written").expect("room");
    kill(lab.server(), Signal::SIGTERM).expect("a signal");
    let start = Instant::now();
    while lab.is_mounted() || path.exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "it is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!lab.is_listed());
    assert_eq!(&lab.cat()[..7], b"written");
}
