//! Many processes of both programs that add and remove keys of one header.

use super::*;

/// Processes at once, every fourth of them Debian's.
const WORKERS: usize = 32;

/// How many keys are added or removed in all: `LUKSMITH_RACE_OPERATIONS`, else as many as half a minute allows.
fn operations() -> usize {
    let text = std::env::var("LUKSMITH_RACE_OPERATIONS").unwrap_or_else(|_| "128".to_owned());
    text.parse().expect("LUKSMITH_RACE_OPERATIONS is a number")
}

/// Debian's gives up where another process wrote between its reading and its writing; nothing was changed then.
const GAVE_UP: &str = "Detected attempt for concurrent LUKS2 metadata update.";

/// Runs a command until the other processes leave it a moment; ours has to succeed at once.
fn insist(lab: &Lab, tool: Tool, arguments: &[&str]) {
    loop {
        let output = lab.try_run(tool, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return;
        }
        assert!(
            tool == Tool::Debians && error.contains(GAVE_UP),
            "{tool:?} {arguments:?}: {error}"
        );
    }
}

/// Counts a worker that is done, even by a panic.
struct Finished<'a>(&'a AtomicUsize);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Each worker adds its own key and removes it again, and again; "a" stays.
#[test]
fn many_at_once_lose_no_keyslot() {
    let lab = Lab::new();
    // LUKS2 has 32 keyslots, and one of them is of "a": one worker fewer.
    let workers = WORKERS - 1;
    let volume = fs::File::create(lab.path("v")).expect("a file");
    volume.set_len(20 << 20).expect("room");
    let format = ["luksFormat", "-q", "--type", "luks2", "-s", "256", "v", "a"];
    lab.run(Tool::Debians, &[&format, CHEAP.as_slice()].concat());
    for worker in 0..WORKERS {
        fs::write(lab.path(&format!("k{worker}")), format!("key {worker}")).expect("a key file");
    }

    // Each has its share, or those that never give up would do all of it.
    let (rounds, finished) = (operations().div_ceil(2 * workers), AtomicUsize::new(0));
    let (ours, theirs) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (lab, finished) = (&lab, &finished);
            let tool = if worker % 4 == 0 { Tool::Debians } else { Tool::Ours };
            let count = if tool == Tool::Ours { &ours } else { &theirs };
            scope.spawn(move || {
                let key = format!("k{worker}");
                let _counted = (worker != workers).then(|| Finished(finished));
                // The last one changes nothing: it opens the volume all the time, which must always work.
                if worker == workers {
                    while finished.load(Ordering::Relaxed) < workers {
                        lab.run(Tool::Ours, &["open", "--test-passphrase", "v", "-d", "a"]);
                    }
                    return;
                }
                for _ in 0..rounds {
                    let add = ["luksAddKey", "-q", "v", &key, "-d", "a"];
                    insist(lab, tool, &[&add, CHEAP.as_slice()].concat());
                    insist(lab, tool, &["luksRemoveKey", "-q", "v", &key]);
                    count.fetch_add(2, Ordering::Relaxed);
                }
                let add = ["luksAddKey", "-q", "v", &key, "-d", "a"];
                insist(lab, tool, &[&add, CHEAP.as_slice()].concat());
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    let total = ours.load(Ordering::Relaxed) + theirs.load(Ordering::Relaxed);
    println!("{total} operations by {WORKERS} processes at once, {theirs:?} of them Debian's");
    for tool in TOOLS {
        assert!(lab.opens(tool, "a"), "{tool:?}: the first key is gone");
        for worker in 0..workers {
            assert!(lab.opens(tool, &format!("k{worker}")), "{tool:?}: key {worker} is gone");
        }
    }
    let slots = lab.dump(Tool::Debians, &[]);
    assert_eq!(slots.lines().filter(|line| line.ends_with(": luks2")).count(), WORKERS);
    check_good(&lab.path("v"));
}
