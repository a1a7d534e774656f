//! A reencryption that is killed, or whose disk fails, at any write: it goes on, by this program or by cryptsetup, and no byte of
//! the data is lost. A share of all writes at a time, as in [`crate::faults`].

use std::fs;

use nix::libc::{EIO, ENOSPC};
use nix::sys::signal::Signal;

use crate::faults::share;
use crate::lab::{CHEAP, Lab, OURS};
use crate::tracer::{Fault, Kind, Plan, run};

/// Bytes of data; of a header too.
const DATA: usize = 2 << 20;
const HEADER: usize = 1 << 20;

/// A way to begin.
struct Mode {
    name: &'static str,
    /// Whether `v` is encrypted at first, with the header on it or in `h`.
    before: Place,
    after: Place,
    words: &'static [&'static str],
    /// Goes on with it.
    resume: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    OnDevice,
    InFile,
}

const MODES: &[Mode] = &[
    Mode {
        name: "checksum",
        before: Place::OnDevice,
        after: Place::OnDevice,
        words: &["reencrypt", "-q", "v", "-d", "a", "--hotzone-size", "1M"],
        resume: &["v"],
    },
    Mode {
        name: "journal",
        before: Place::OnDevice,
        after: Place::OnDevice,
        words: &["reencrypt", "-q", "v", "-d", "a", "--resilience", "journal"],
        resume: &["v"],
    },
    Mode {
        name: "encryption with a header of its own",
        before: Place::Plain,
        after: Place::InFile,
        words: &[
            "reencrypt",
            "-q",
            "--encrypt",
            "v",
            "--header",
            "h",
            "-d",
            "a",
            "--hotzone-size",
            "1M",
        ],
        resume: &["v", "--header", "h"],
    },
    Mode {
        name: "decryption with a header of its own",
        before: Place::InFile,
        after: Place::Plain,
        words: &[
            "reencrypt",
            "-q",
            "--decrypt",
            "v",
            "--header",
            "h",
            "-d",
            "a",
            "--hotzone-size",
            "1M",
        ],
        resume: &["v", "--header", "h"],
    },
    Mode {
        name: "encryption in place",
        before: Place::Plain,
        after: Place::OnDevice,
        words: &[
            "reencrypt",
            "-q",
            "--encrypt",
            "v",
            "--reduce-device-size",
            "2M",
            "-d",
            "a",
        ],
        resume: &["v"],
    },
    Mode {
        name: "decryption with an exported header",
        before: Place::OnDevice,
        after: Place::Plain,
        words: &["reencrypt", "-q", "--decrypt", "v", "--header", "h", "-d", "a"],
        resume: &["v", "--header", "h"],
    },
];

impl Mode {
    fn lab(&self, data: &[u8]) -> Lab {
        let lab = Lab::new("luks2");
        let file = fs::File::create(lab.path("v")).expect("a file");
        file.set_len((DATA + 2 * HEADER) as u64).expect("room");
        let format = ["luksFormat", "-q", "v", "a", "--luks2-keyslots-size", "512k"];
        match self.before {
            Place::Plain => fs::write(lab.path("v"), [data, &[0; 2 * HEADER]].concat()).expect("a file"),
            Place::OnDevice => {
                let offset = (HEADER / 512).to_string();
                lab.must(&[&format, CHEAP.as_slice(), &["--offset", &offset]].concat());
            }
            Place::InFile => {
                lab.must(&[&format, CHEAP.as_slice(), &["--header", "h"]].concat());
            }
        }
        if self.before != Place::Plain {
            fs::write(lab.path("data"), data).expect("a file");
            let place = if self.before == Place::InFile {
                &["--header", "h"][..]
            } else {
                &[]
            };
            lab.must(&[&["write", "v", "data", "-d", "a"], place].concat());
        }
        lab
    }

    /// The files of a lab, to begin again from.
    fn files(lab: &Lab) -> Files {
        let read = |name: &str| fs::read(lab.path(name)).ok();
        Files {
            volume: read("v").expect("a volume"),
            header: read("h"),
        }
    }

    fn words(&self) -> Vec<&'static str> {
        let cheap = if self.before == Place::Plain {
            CHEAP.as_slice()
        } else {
            &[]
        };
        let small: &[&str] = if self.before == Place::Plain {
            &["--luks2-keyslots-size", "512k"]
        } else {
            &[]
        };
        [self.words, cheap, small].concat()
    }

    /// The data as they are read when everything is done.
    fn read(&self, lab: &Lab, place: Place) -> Vec<u8> {
        let mut data = match place {
            Place::Plain => lab.image(),
            Place::OnDevice => lab.must(&["cat", "v", "-d", "a"]).stdout,
            Place::InFile => lab.must(&["cat", "v", "-d", "a", "--header", "h"]).stdout,
        };
        data.truncate(DATA);
        data
    }

    /// Goes on with what is there, or begins again where nothing was begun.
    fn end(&self, lab: &Lab, program: &str) -> Result<(), String> {
        if program != OURS && self.goes_on(lab) {
            // That may end the last zone, and so everything.
            lab.debians(&[&["repair", "-q", "-d", "a"], self.resume].concat());
        }
        let going_on = [
            "reencrypt",
            "-q",
            "--resume-only",
            "--force-offline-reencrypt",
            "-d",
            "a",
        ];
        let words = match self.goes_on(lab) {
            true => [&going_on, self.resume].concat(),
            false if self.is_done(lab) => return Ok(()),
            false => {
                if !lab.run(&["isLuks", "h"]).status.success() {
                    // It is that of an encryption that has not begun, or an unfinished copy of what is still on the device.
                    let _ = fs::remove_file(lab.path("h"));
                }
                self.words()
            }
        };
        let output = match program {
            OURS => lab.run(&words),
            _ => match lab.debians(&words) {
                // It refuses what it would lose.
                refused if String::from_utf8_lossy(&refused.stderr).contains("Unmet LUKS2 requirements") => {
                    lab.run(&words)
                }
                output => output,
            },
        };
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Whether there is nothing left to do. A new header of its own says nothing of its data before the first state is in it.
    fn is_done(&self, lab: &Lab) -> bool {
        let is_data = || lab.image()[..DATA] == pattern();
        match self.after {
            Place::InFile => !is_data(),
            Place::Plain => is_data(),
            Place::OnDevice => lab.run(&["isLuks", "v"]).status.success(),
        }
    }

    /// Whether the header says that it goes on.
    fn goes_on(&self, lab: &Lab) -> bool {
        let dump = lab.run(&[&["luksDump"], self.resume].concat());
        let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
        dump.contains("online-reencrypt") || dump.contains("luksmith-")
    }
}

struct Files {
    volume: Vec<u8>,
    header: Option<Vec<u8>>,
}

impl Files {
    fn put_back(&self, lab: &Lab) {
        for entry in fs::read_dir(lab.0.path()).expect("a folder") {
            let path = entry.expect("a name").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name == "h" || name.starts_with("LUKS2-temp-") {
                fs::remove_file(path).expect("a file");
            }
        }
        fs::write(lab.path("v"), &self.volume).expect("a file");
        if let Some(header) = &self.header {
            fs::write(lab.path("h"), header).expect("a file");
        }
    }
}

fn pattern() -> Vec<u8> {
    (0..DATA as u32 / 4)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes())
        .collect()
}

#[test]
fn killed_at_any_write_it_loses_nothing() {
    let data = pattern();
    for mode in MODES {
        let lab = mode.lab(&data);
        let files = Mode::files(&lab);
        let all = run(&lab, &mode.words(), None, false);
        assert!(all.output.status.success(), "{}: {:?}", mode.name, all.output);
        assert!(mode.read(&lab, mode.after) == data, "{}", mode.name);
        let (step, first) = share(all.writes.div_ceil(6).max(1));
        for (n, at) in (first..all.writes).step_by(step).enumerate() {
            // One after the other where not all are tried.
            let both: &[&str] = &[OURS, "cryptsetup"];
            for program in if step == 1 { both } else { &both[n % 2..][..1] } {
                files.put_back(&lab);
                let plan = Plan {
                    kind: Kind::Write,
                    fault: Fault::Signal(Signal::SIGKILL),
                    at,
                    from_then_on: false,
                };
                run(&lab, &mode.words(), Some(plan), false);
                let what = format!("{} at write {at} of {}, then {program}", mode.name, all.writes);
                mode.end(&lab, program)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(mode.read(&lab, mode.after) == data, "{what}");
            }
        }
    }
}

#[test]
fn a_failing_disk_is_told_and_loses_nothing() {
    let data = pattern();
    for mode in MODES {
        let lab = mode.lab(&data);
        let files = Mode::files(&lab);
        let all = run(&lab, &mode.words(), None, false);
        let calls = [(Kind::Write, all.writes), (Kind::Sync, all.syncs)];
        for (kind, number) in calls {
            let (step, first) = share(number.div_ceil(3).max(1));
            for at in (first..number).step_by(step) {
                files.put_back(&lab);
                let errno = if kind == Kind::Write && at % 2 == 0 {
                    ENOSPC
                } else {
                    EIO
                };
                let plan = Plan {
                    kind,
                    fault: Fault::Error(errno),
                    at,
                    from_then_on: false,
                };
                let ran = run(&lab, &mode.words(), Some(plan), false);
                let what = format!("{} with {errno} at {kind:?} {at} of {number}", mode.name);
                if ran.output.status.success() {
                    assert!(mode.read(&lab, mode.after) == data, "{what}");
                    continue;
                }
                assert!(!ran.output.stderr.is_empty(), "{what} says nothing");
                mode.end(&lab, OURS).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(mode.read(&lab, mode.after) == data, "{what}");
            }
        }
    }
}
