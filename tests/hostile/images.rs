//! `image`, killed at each write and each sync: the source is unchanged, and no incomplete target is taken for a volume,
//! or for a file system.
//!
//! A share of all kills at a time, as in [`crate::faults`]; `LUKSMITH_FAULTS=all` tries all of them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::faults::share;
use crate::identity::Loop;
use crate::lab::{CHEAP, Lab};
use crate::tracer::{Fault, Kind, Plan, run};

/// An image with a superblock of ext4 and one of btrfs, and a hole.
fn plain() -> Vec<u8> {
    let mut data = vec![0; (5 << 20) + 512];
    for (n, byte) in data.iter_mut().enumerate() {
        *byte = if (2 << 20..3 << 20).contains(&n) {
            0
        } else {
            (n / 512 + 1) as u8
        };
    }
    data[1080..1082].copy_from_slice(b"\x53\xef");
    data[0x10040..0x10048].copy_from_slice(b"_BHRfS_M");
    data
}

struct Sweep {
    source: &'static str,
    words: &'static [&'static str],
    /// Whether the target is a loop device on `target`, which held another file system.
    device: bool,
    /// Files that the command makes.
    made: &'static [&'static str],
}

const SWEEPS: &[Sweep] = &[
    Sweep {
        source: "plain",
        words: &["--type", "luks2"],
        device: false,
        made: &["target"],
    },
    Sweep {
        source: "plain",
        words: &["--type", "luks1"],
        device: true,
        made: &[],
    },
    Sweep {
        source: "plain",
        words: &["--type", "luks2"],
        device: true,
        made: &[],
    },
    Sweep {
        source: "plain",
        words: &["--type", "luks2", "--header", "header"],
        device: false,
        made: &["header", "target"],
    },
    Sweep {
        source: "volume",
        words: &["--decrypt"],
        device: false,
        made: &["target"],
    },
    Sweep {
        source: "volume",
        words: &["--decrypt"],
        device: true,
        made: &[],
    },
];

#[test]
fn an_image_that_is_cut_off_is_nothing() {
    let (step, from) = share(31);
    let (mut tried, mut all, mut resumed) = (0, 0, 0);
    for sweep in SWEEPS {
        let lab = Lab::new("luks2");
        let plain = plain();
        fs::write(lab.path("plain"), &plain).expect("a file");
        let image = |words: &[&'static str]| [&["image", "-q", "-d", "a"], CHEAP.as_slice(), words].concat();
        lab.must(&image(&["plain", "volume"]));
        let source = fs::read(lab.path(sweep.source)).expect("a file");
        // The old contents are not found behind the start of other data.
        let mut old = vec![9; 22 << 20];
        old[1080..1082].copy_from_slice(b"\x53\xef");
        let target = if sweep.device {
            fs::write(lab.path("target"), &old).expect("a file");
            let device = Loop::over(&lab, "target", &[]);
            // The tracer counts what is in the folder.
            let number = fs::metadata(&device.0).expect("a device").rdev();
            mknod(
                &lab.path("node"),
                SFlag::S_IFBLK,
                Mode::from_bits_truncate(0o600),
                number,
            )
            .expect("a node");
            Some(device)
        } else {
            None
        };
        let to = if target.is_some() { "node" } else { "target" };
        let words = image(&[sweep.words, &[sweep.source, to]].concat());
        let reset = || {
            if target.is_some() {
                use std::os::unix::fs::FileExt as _;
                let node = fs::File::options()
                    .write(true)
                    .open(lab.path("node"))
                    .expect("a device");
                node.write_all_at(&old, 0)
                    .and_then(|()| node.sync_all())
                    .expect("space");
            }
            for file in sweep.made {
                let _ = fs::remove_file(lab.path(file));
            }
        };
        let content = || fs::read(lab.path(to)).unwrap_or_default();
        reset();
        let ran = run(&lab, &words, None, false);
        assert_eq!(ran.output.status.code(), Some(0), "{words:?}: {:?}", ran.output);
        let decrypts = sweep.words.contains(&"--decrypt");
        let header = if sweep.words.contains(&"--header") {
            "header"
        } else {
            to
        };
        // Whether the result is whole: a volume with all the data, or all the data.
        let is_whole = || match decrypts {
            true => content().starts_with(&plain),
            false => {
                let cat = ["cat", "-d", "a", "--header", header, to, "--length", "5243392"];
                let cat = lab.run(&cat);
                cat.status.success() && cat.stdout == plain
            }
        };
        assert!(is_whole(), "{words:?}");
        for (kind, calls) in [(Kind::Write, ran.writes), (Kind::Sync, ran.syncs)] {
            for at in 0..calls {
                all += 1;
                if all % step != from {
                    continue;
                }
                reset();
                let fault = Fault::Signal(Signal::SIGKILL);
                let plan = Plan {
                    kind,
                    fault,
                    at,
                    from_then_on: false,
                };
                let what = format!("{words:?} {plan:?} of {calls}");
                run(&lab, &words, Some(plan), false);
                tried += 1;
                assert!(
                    fs::read(lab.path(sweep.source)).expect("a file") == source,
                    "{what}: the source"
                );
                let shows = match decrypts {
                    // Nothing of the old file system and nothing of the new one, or the old target as it was.
                    true => {
                        let there = content();
                        let ext = there.get(1080..1082) == Some(b"\x53\xef");
                        let btrfs = there.get(0x10040..0x10048) == Some(b"_BHRfS_M");
                        (ext && !(target.is_some() && there == old))
                            || (btrfs && there[0x11000..plain.len()] != plain[0x11000..])
                    }
                    false => {
                        [
                            &["isLuks", header][..],
                            &["open", "--test-passphrase", "-d", "a", header],
                        ]
                        .iter()
                        .any(|words| lab.run(words).status.success())
                            || lab.debians(&["isLuks", header]).status.success()
                    }
                };
                assert!(!shows || is_whole(), "{what}: it is taken for what it is not");
                // It can be resumed, unless its header was incomplete.
                let again = lab.run(&[&words[..], &["--resume"]].concat());
                if again.status.success() {
                    assert!(is_whole(), "{what}: resumed");
                    resumed += 1;
                }
            }
        }
    }
    println!("killed at {tried} of {all} writes and syncs: 0 sources lost, {resumed} gone on with");
    assert!(tried > 10 && resumed > 3, "{tried} {resumed}");
}
