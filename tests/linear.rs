//! The cost of a header grows with its size and not with its square: anyone can plug in a disk with one of 4 MiB. The
//! measure is processor time, which other programs change little, with a margin for that. `benches/metadata.rs` compares
//! with cryptsetup.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

#[path = "common/shapes.rs"]
mod shapes;

const SMALL: usize = 128 << 10;
const LARGE: usize = 512 << 10;
/// A header four times as large costs four times as much, or sixteen times where time grows with the square.
const MOST: u32 = 10;
/// Below this, the cost of starting a process dominates.
const FLOOR: Duration = Duration::from_millis(25);
const COMMANDS: [&[&str]; 5] = [
    &["isLuks"],
    &["luksDump"],
    &["luksDump", "--json"],
    &["luksDump", "--dump-json-metadata"],
    &["luksDump", "--map"],
];

fn children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the usage of child processes");
    let times = [usage.user_time(), usage.system_time()];
    let micros = times.map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Duration::from_micros(micros.iter().sum::<i64>().unsigned_abs())
}

#[test]
fn time_grows_with_the_size_of_a_header() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("header");
    let mut costs: Vec<Vec<Duration>> = Vec::new();
    let mut names = Vec::new();
    for hdr_size in [SMALL, LARGE] {
        for (at, shape) in shapes::all(hdr_size).into_iter().enumerate() {
            let mut file = File::create(&path).expect("a file");
            file.write_all(&shapes::image(&shape.text, hdr_size)).expect("room");
            file.set_len(shapes::device_size(hdr_size)).expect("room");
            let cost = COMMANDS.map(|words| {
                let before = children();
                let status = Command::new(env!("CARGO_BIN_EXE_luksmith"))
                    .args(words)
                    .arg(&path)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .expect("a program");
                let bad = ["not there", "over one another"]
                    .iter()
                    .any(|bad| shape.name.contains(bad));
                assert_eq!(status.success(), !bad, "{}: {words:?}", shape.name);
                children() - before
            });
            if hdr_size == SMALL {
                names.push(shape.name);
                costs.push(cost.to_vec());
                continue;
            }
            for (words, (large, small)) in COMMANDS.iter().zip(cost.iter().zip(&costs[at])) {
                let most = (*small).max(FLOOR) * MOST;
                assert!(*large < most, "{}: {words:?} takes {small:?} and {large:?}", names[at]);
            }
        }
    }
}
