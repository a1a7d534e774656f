//! Headers of the worst shapes, as large as the format allows: Luksmith against cryptsetup, runs of the two interleaved, in
//! processor time, and what a header of twice the size costs.
//!
//! `scripts/bench-metadata` runs it on the static release; by hand, `LUKSMITH=PROGRAM cargo bench --bench metadata`.
//! `PEER=PROGRAM` is another cryptsetup. Arguments are the first letters of the shapes to measure.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

#[path = "../tests/common/shapes.rs"]
mod shapes;

const SIZES: [usize; 2] = [2 << 20, 4 << 20];
const ROUNDS: usize = 5;
const COMMANDS: [&str; 3] = ["isLuks", "luksDump", "luksDump --dump-json-metadata"];
/// What is promised: no more time than cryptsetup, and for twice the size 2.5 times as much.
const PROMISE: (f64, f64) = (1.0, 2.5);

/// Seconds of processor time that a run takes.
fn cost(program: &Path, words: &str, header: &Path) -> f64 {
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the usage of child processes");
        let times = [usage.user_time(), usage.system_time()];
        times
            .iter()
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .sum::<f64>()
    };
    let before = used();
    let mut command = Command::new(program);
    command.args(words.split_whitespace()).arg(header);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("a program");
    used() - before
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

fn main() {
    let folder = TempDir::new().expect("a folder for temporary files");
    let variable = |name, default: &str| PathBuf::from(std::env::var_os(name).unwrap_or_else(|| default.into()));
    let program =
        fs::canonicalize(variable("LUKSMITH", env!("CARGO_BIN_EXE_luksmith"))).expect("LUKSMITH names a program");
    let (ours, theirs) = (
        folder.path().join("cryptsetup"),
        variable("PEER", "/usr/sbin/cryptsetup"),
    );
    symlink(program, &ours).expect("a link to the program");
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let header = folder.path().join("header");
    let mut broken = 0;
    println!("| shape | command | cryptsetup | luksmith | ratio | twice the size |\n|---|---|---|---|---|---|");
    let [small, large] = SIZES.map(shapes::all);
    for (small, large) in small.into_iter().zip(large) {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| small.name.starts_with(wanted)) {
            continue;
        }
        let mut ours_small = Vec::new();
        for (shape, hdr_size) in [(&small, SIZES[0]), (&large, SIZES[1])] {
            let mut file = File::create(&header).expect("a file");
            file.write_all(&shapes::image(&shape.text, hdr_size)).expect("room");
            file.set_len(shapes::device_size(hdr_size)).expect("room");
            for (at, words) in COMMANDS.iter().enumerate() {
                let (mut a, mut b) = (Vec::new(), Vec::new());
                for _ in 0..ROUNDS {
                    if hdr_size == SIZES[1] {
                        a.push(cost(&theirs, words, &header));
                    }
                    b.push(cost(&ours, words, &header));
                }
                let b = median(b);
                if hdr_size == SIZES[0] {
                    ours_small.push(b);
                    continue;
                }
                let a = median(a);
                let (ratio, growth) = (b / a.max(1e-3), b / ours_small[at].max(1e-3));
                let mark = if ratio > PROMISE.0 || growth > PROMISE.1 {
                    " **"
                } else {
                    ""
                };
                broken += usize::from(!mark.is_empty());
                println!(
                    "| {} | {words} | {a:.3} s | {b:.3} s | {ratio:.2} | {growth:.2}{mark} |",
                    shape.name
                );
            }
        }
    }
    println!("\n{broken} rows beyond the promise.");
}
