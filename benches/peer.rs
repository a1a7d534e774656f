//! Luksmith against Debian's cryptsetup: the same headers, the same command lines, runs of the two interleaved, medians, and a
//! table of ratios. A harness of its own, since ratios of interleaved processes are not what Criterion and its like measure;
//! what happens inside the process is in `benches/keyslots.rs`.
//!
//! `scripts/bench` runs it on the static release; by hand, `LUKSMITH=PROGRAM cargo bench --bench peer`. Arguments are the first
//! letters of the rows to measure.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// One row of the table: a command that both tools run.
struct Row {
    what: &'static str,
    arguments: Vec<String>,
    rounds: usize,
    /// What the project promises, as a ratio of our time to the peer's.
    promise: Option<f64>,
}

fn row(what: &'static str, arguments: &[&str], rounds: usize, promise: Option<f64>) -> Row {
    Row {
        what,
        arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
        rounds,
        promise,
    }
}

/// The peer's program, and ours under the peer's name.
struct Tools {
    folder: TempDir,
    peer: PathBuf,
    ours: PathBuf,
}

impl Tools {
    fn find() -> Self {
        let folder = TempDir::new().expect("a folder for temporary files");
        let program = std::env::var_os("LUKSMITH").map_or_else(|| env!("CARGO_BIN_EXE_luksmith").into(), PathBuf::from);
        let program = fs::canonicalize(&program).expect("LUKSMITH names a program");
        let ours = folder.path().join("cryptsetup");
        symlink(program, &ours).expect("a link to the program");
        Self {
            folder,
            peer: which("cryptsetup"),
            ours,
        }
    }

    fn run(&self, program: &Path, arguments: &[String]) {
        let status = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("the program starts");
        assert!(
            status.success(),
            "{} {}: {status}",
            program.display(),
            arguments.join(" ")
        );
    }

    /// A header that the peer makes, opened by the file `key`.
    fn format(&self, image: &str, options: &[&str]) {
        let path = self.folder.path();
        fs::write(path.join("key"), b"passphrase").expect("a key file");
        File::create(path.join(image))
            .and_then(|file| file.set_len(20 << 20))
            .expect("an image");
        let arguments: Vec<&str> = [&["luksFormat", "-q"], options, &[image, "key"]].concat();
        self.run(
            &self.peer,
            &arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>(),
        );
    }
}

fn which(name: &str) -> PathBuf {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is missing: run scripts/setup-tests first"))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn measure(tools: &Tools, row: &Row) -> (Duration, Duration) {
    let time = |program: &Path| {
        let start = Instant::now();
        tools.run(program, &row.arguments);
        start.elapsed()
    };
    time(&tools.peer);
    time(&tools.ours);
    let rounds: Vec<(Duration, Duration)> = (0..row.rounds)
        .map(|_| (time(&tools.ours), time(&tools.peer)))
        .collect();
    let (ours, peer) = rounds.into_iter().unzip();
    (median(ours), median(peer))
}

/// The bytes of the programs and of every library that they load, each once.
fn size(programs: &[&Path]) -> u64 {
    let mut files = BTreeSet::new();
    for program in programs {
        files.insert(fs::canonicalize(program).expect("the program is there"));
        let output = Command::new("ldd").arg(program).output().expect("ldd starts");
        let libraries = String::from_utf8_lossy(&output.stdout).into_owned();
        let paths = libraries.split_whitespace().filter(|word| word.starts_with('/'));
        files.extend(paths.map(|path| fs::canonicalize(path).expect("a library that ldd names is there")));
    }
    files
        .iter()
        .map(|file| fs::metadata(file).expect("the file is there").len())
        .sum()
}

fn print(what: &str, ours: String, peer: String, ratio: f64, promise: Option<f64>) {
    let promise = promise.map_or(String::new(), |most| {
        format!("<= {most:.2}  {}", if ratio <= most { "kept" } else { "NOT KEPT" })
    });
    println!("{what:<44} {ours:>12} {peer:>12} {ratio:>7.2}  {promise}");
}

fn main() {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_chosen = |what: &str| chosen.is_empty() || chosen.iter().any(|prefix| what.starts_with(prefix.as_str()));
    let tools = Tools::find();

    let argon2 = |kind, memory| {
        [
            "--pbkdf",
            kind,
            "--pbkdf-force-iterations",
            "4",
            "--pbkdf-memory",
            memory,
            "--pbkdf-parallel",
            "4",
        ]
    };
    let pbkdf2 = |hash| {
        [
            "--pbkdf",
            "pbkdf2",
            "--pbkdf-force-iterations",
            "2000000",
            "--hash",
            hash,
        ]
    };
    tools.format("argon2id", &argon2("argon2id", "1048576"));
    tools.format("argon2id-small", &argon2("argon2id", "65536"));
    tools.format("argon2i", &argon2("argon2i", "262144"));
    tools.format("sha256", &pbkdf2("sha256"));
    tools.format("sha512", &pbkdf2("sha512"));
    tools.format("sha1", &pbkdf2("sha1"));
    tools.format("luks1", &["--type", "luks1", "--pbkdf-force-iterations", "1000"]);
    tools.format("cheap", &["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]);

    let unlock = |what, image, rounds, promise| {
        row(
            what,
            &["open", "--test-passphrase", "--key-file", "key", image],
            rounds,
            promise,
        )
    };
    let rows = [
        unlock("unlock: argon2id, 1 GiB, t=4, p=4", "argon2id", 7, Some(0.7)),
        unlock("unlock: argon2id, 64 MiB, t=4, p=4", "argon2id-small", 15, None),
        unlock("unlock: argon2i, 256 MiB, t=4, p=4", "argon2i", 9, None),
        unlock("unlock: pbkdf2-sha256, 2,000,000 iterations", "sha256", 9, None),
        unlock("unlock: pbkdf2-sha512, 2,000,000 iterations", "sha512", 9, None),
        unlock("unlock: pbkdf2-sha1, 2,000,000 iterations", "sha1", 9, None),
        unlock("unlock: LUKS1, pbkdf2-sha256, 1,000", "luks1", 51, None),
        row("start: isLuks, LUKS2", &["isLuks", "cheap"], 201, Some(0.3)),
        row("start: isLuks, LUKS1", &["isLuks", "luks1"], 201, Some(0.3)),
        row("start: luksDump, LUKS2", &["luksDump", "cheap"], 201, None),
        row("start: luksDump, LUKS1", &["luksDump", "luks1"], 201, None),
    ];
    println!(
        "{:<44} {:>12} {:>12} {:>7}  promised",
        "median of interleaved runs", "luksmith", "cryptsetup", "ratio"
    );
    for row in rows.iter().filter(|row| is_chosen(row.what)) {
        let (ours, peer) = measure(&tools, row);
        let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
        print(
            row.what,
            milliseconds(ours),
            milliseconds(peer),
            ours.as_secs_f64() / peer.as_secs_f64(),
            row.promise,
        );
    }
    if is_chosen("size") {
        let (ours, peer) = (size(&[&tools.ours]), size(&[&tools.peer, &which("dmsetup")]));
        let ratio = ours as f64 / peer as f64;
        print(
            "size: program(s) with all libraries",
            format!("{ours} B"),
            format!("{peer} B"),
            ratio,
            Some(0.35),
        );
    }
}
