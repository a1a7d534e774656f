//! A passphrase and a volume key that would be recognised anywhere: no part of them is in the program's output, in what
//! other processes see of it, or in its memory when it ends.

use std::fs;

use keyslots::header::Header;
use keyslots::kdf::CostLimits;
use keyslots::luks2::Candidates;
use keyslots::secret::{Passphrase, Secret};

use crate::faults::COMMANDS;
use crate::lab::{CHEAP, Lab};
use crate::tracer;

/// The prefix of all key files here, and of nothing else.
const CANARY: &str = "QxZ81canary-j";

fn volume_key(lab: &Lab) -> Option<Vec<u8>> {
    let mut file = fs::File::open(lab.path("v")).expect("a file");
    let header = Header::read(&mut file).ok()?;
    ["a", "b", "c"].iter().find_map(|key| {
        let text = format!("{CANARY} {key}");
        let passphrase = Passphrase::new(Secret::copy_from(text.as_bytes()).expect("a page"));
        let unlocked = header.unlock(&mut file, &passphrase, Candidates::All, &CostLimits::default());
        Some(unlocked.ok()?.volume_key.expose().to_vec())
    })
}

/// Where `bytes` holds `secret`, or a good part of it, raw or as it would be printed.
fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    [&secret[..secret.len().min(16)], &hex.as_bytes()[..hex.len().min(24)]]
        .iter()
        .any(|part| bytes.windows(part.len()).any(|window| window == *part))
}

#[test]
fn nothing_is_left_in_memory_or_printed() {
    let mut scanned = 0;
    let mut looked = 0;
    let others = [
        ("luks2", vec!["open", "--test-passphrase", "v", "-d", "a"]),
        ("luks1", vec!["open", "--test-passphrase", "v", "-d", "a"]),
        ("luks2", vec!["cat", "v", "-d", "a", "--length", "4096"]),
        ("luks2", vec!["luksDump", "v"]),
    ];
    let commands = COMMANDS
        .iter()
        .map(|command| (command.lab_with_keys(CANARY), command.all_words()));
    let others = others
        .into_iter()
        .map(|(kind, words)| (Lab::with_keys(kind, CANARY), words));
    for (lab, words) in commands.chain(others) {
        let before = volume_key(&lab).expect("a key that opens");
        let debugged = [&["--debug"], words.as_slice()].concat();
        let ran = tracer::run(&lab, &debugged, None, true);
        assert_eq!(ran.output.status.code(), Some(0), "{words:?}: {:?}", ran.output);
        let after = volume_key(&lab).unwrap_or_else(|| before.clone());
        let secrets = [before, after, CANARY.into()];
        assert!(!ran.memory.is_empty(), "{words:?}: no memory was seen");
        for (nth, secret) in secrets.iter().enumerate() {
            assert!(!holds(&ran.output.stdout, secret), "{words:?}: said");
            assert!(!holds(&ran.output.stderr, secret), "{words:?}: said");
            for (name, piece) in &ran.memory {
                let found = position(piece, secret);
                assert_eq!(found, None, "{words:?}: secret {nth} of {name}");
            }
        }
        scanned += ran.memory.iter().map(|(_, piece)| piece.len()).sum::<usize>();
        looked += 1;
    }
    println!("{looked} commands, {} MiB of their memory at the end", scanned >> 20);
}

/// As [`holds`], for much memory: only raw, and at which place.
fn position(bytes: &[u8], secret: &[u8]) -> Option<usize> {
    let part = &secret[..secret.len().min(12)];
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == part[0]) {
        if bytes[from + at..].starts_with(part) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The scan works: a program that was given the passphrase as an argument has it in its memory at the end.
#[test]
fn the_scan_sees_a_passphrase_that_is_there() {
    let lab = Lab::with_keys("luks2", CANARY);
    let ran = tracer::run(&lab, &["isLuks", CANARY], None, true);
    assert!(
        ran.memory
            .iter()
            .any(|(_, piece)| position(piece, CANARY.as_bytes()).is_some())
    );
    assert!(holds(b"it is a passphrase.", b"passphrase") && !holds(b"passphrasf", b"passphrase"));
    assert!(holds(b"70617373706872617365", b"passphrase"));
}

/// While it waits for a passphrase, and works on it: not in its arguments, its environment or a dump of its memory,
/// which is impossible.
#[test]
fn other_processes_see_nothing() {
    let lab = Lab::with_keys("luks2", CANARY);
    let words = [&["luksAddKey", "-q", "v", "-d", "a"], CHEAP.as_slice()].concat();
    let child = lab.waiting(&words);
    let proc = |file: &str| fs::read(format!("/proc/{}/{file}", child.id())).unwrap_or_default();
    for file in ["cmdline", "environ", "comm"] {
        let bytes = proc(file);
        assert!(!bytes.is_empty(), "{file}");
        assert!(!holds(&bytes, CANARY.as_bytes()), "{file}");
    }
    let limits = String::from_utf8_lossy(&proc("limits")).into_owned();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let status = String::from_utf8_lossy(&proc("status")).into_owned();
    let locked: u64 = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmLck:")?
                .trim()
                .strip_suffix(" kB")?
                .trim()
                .parse()
                .ok()
        })
        .expect("VmLck");
    assert!(locked > 0, "no page is kept out of swap: {status}");
    // The end of a process that would leave a core: there is none.
    let killed = child.id();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(killed.try_into().expect("a process")),
        nix::sys::signal::Signal::SIGQUIT,
    )
    .expect("a child");
    let output = child.wait_with_output().expect("an end");
    assert!(
        !std::os::unix::process::ExitStatusExt::core_dumped(&output.status),
        "{output:?}"
    );
    assert!(fs::read_dir(lab.0.path()).expect("the folder").all(|file| {
        let name = file.expect("a file").file_name();
        !name.to_string_lossy().starts_with("core")
    }));
}
