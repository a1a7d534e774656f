//! Every header action against Debian's cryptsetup, on plain files: the other program opens the result of either, and
//! both show the same text. And both at once: many processes that add and remove keys of one header.
//!
//! No device is needed, and nothing is skipped: without cryptsetup the tests fail.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The cheapest costs that either program takes.
const CHEAP: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/// A folder with volumes, key files, and our program under the name `cryptsetup`.
struct Lab {
    folder: TempDir,
    ours: PathBuf,
}

/// The program of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Ours,
    Debians,
}

const TOOLS: [Tool; 2] = [Tool::Ours, Tool::Debians];

impl Lab {
    fn new() -> Self {
        let version = Command::new("cryptsetup").arg("--version").output();
        let version = version.expect("cryptsetup, which this test compares with, is not installed");
        assert!(String::from_utf8_lossy(&version.stdout).starts_with("cryptsetup "));
        let folder = TempDir::new().expect("a temporary folder");
        let ours = folder.path().join("cryptsetup");
        symlink(env!("CARGO_BIN_EXE_luksmith"), &ours).expect("a link");
        for key in ["a", "b", "c", "d"] {
            fs::write(folder.path().join(key), format!("passphrase {key}")).expect("a key file");
        }
        fs::write(
            folder.path().join("token.json"),
            r#"{"type":"clevis","keyslots":["0"],"jwe":{"x":[1,2]}}"#,
        )
        .expect("a token");
        Self { folder, ours }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn command(&self, tool: Tool, arguments: &[&str]) -> Command {
        let mut command = match tool {
            Tool::Ours => Command::new(&self.ours),
            Tool::Debians => Command::new("cryptsetup"),
        };
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("LC_ALL", "C");
        command
    }

    fn try_run(&self, tool: Tool, arguments: &[&str]) -> Output {
        self.command(tool, arguments).output().expect("the program starts")
    }

    fn run(&self, tool: Tool, arguments: &[&str]) -> Output {
        let output = self.try_run(tool, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{tool:?} {arguments:?}: {error}");
        output
    }

    /// A new volume `v` that "a" opens, and "b" too.
    fn volume(&self, kind: &str) {
        let volume = fs::File::create(self.path("v")).expect("a file");
        volume.set_len(20 << 20).expect("room");
        let mut format = vec![
            "luksFormat",
            "-q",
            "--type",
            kind,
            "-s",
            "256",
            "--uuid",
            UUID,
            "v",
            "a",
        ];
        format.extend(CHEAP);
        if kind == "luks2" {
            format.extend(["--sector-size", "512"]);
        }
        self.run(Tool::Debians, &format);
        self.run(
            Tool::Debians,
            &[&["luksAddKey", "-q", "v", "b", "-d", "a"], CHEAP.as_slice()].concat(),
        );
    }

    fn opens(&self, tool: Tool, key: &str) -> bool {
        self.try_run(tool, &["open", "--test-passphrase", "v", "-d", key])
            .status
            .success()
    }

    fn dump(&self, tool: Tool, options: &[&str]) -> String {
        let output = self.run(tool, &[&["luksDump", "v"], options].concat());
        String::from_utf8(output.stdout).expect("a dump is text")
    }
}

const UUID: &str = "11111111-2222-3333-4444-555555555555";

/// An operation on a volume that "a" (keyslot 0) and "b" (keyslot 1) open.
struct Action {
    name: &'static str,
    kind: &'static str,
    commands: &'static [&'static [&'static str]],
    /// The keys that open afterwards, of a, b, c and d.
    keys: &'static str,
}

const fn action(
    name: &'static str,
    kind: &'static str,
    commands: &'static [&'static [&'static str]],
    keys: &'static str,
) -> Action {
    Action {
        name,
        kind,
        commands,
        keys,
    }
}

/// `PBKDF` is replaced by the cheap costs, `DAMAGE@n` overwrites byte n of the volume.
#[rustfmt::skip]
const ACTIONS: &[Action] = &[
    action("add", "luks1", &[&["luksAddKey", "v", "c", "-d", "a", "PBKDF"]], "abc"),
    action("add", "luks2", &[&["luksAddKey", "v", "c", "-d", "a", "PBKDF"]], "abc"),
    action("add to a slot", "luks1", &[&["luksAddKey", "v", "c", "-d", "a", "-S", "6", "PBKDF"]], "abc"),
    action("add to a slot", "luks2", &[&["luksAddKey", "v", "c", "-d", "a", "-S", "31", "PBKDF"]], "abc"),
    action("add with argon2id", "luks2", &[&["luksAddKey", "v", "c", "-d", "a", "--pbkdf", "argon2id", "--pbkdf-memory",
        "32", "--pbkdf-parallel", "1", "--pbkdf-force-iterations", "4"]], "abc"),
    action("add with argon2i", "luks2", &[&["luksAddKey", "v", "c", "-d", "a", "--pbkdf", "argon2i", "--pbkdf-memory",
        "32", "--pbkdf-parallel", "1", "--pbkdf-force-iterations", "4"]], "abc"),
    action("add with another cipher", "luks2", &[&["luksAddKey", "v", "c", "-d", "a", "--keyslot-cipher",
        "aes-cbc-essiv:sha256", "--keyslot-key-size", "256", "PBKDF"]], "abc"),
    action("add with another hash", "luks2", &[&["luksAddKey", "v", "c", "-d", "a", "-h", "sha512", "PBKDF"]], "abc"),
    action("add unbound", "luks2", &[&["luksAddKey", "v", "c", "--unbound", "-s", "128", "PBKDF"]], "ab"),
    action("remove", "luks1", &[&["luksRemoveKey", "v", "a"]], "b"),
    action("remove", "luks2", &[&["luksRemoveKey", "v", "a"]], "b"),
    action("change", "luks1", &[&["luksChangeKey", "v", "c", "-d", "a", "PBKDF"]], "bc"),
    action("change", "luks2", &[&["luksChangeKey", "v", "c", "-d", "a", "PBKDF"]], "bc"),
    action("change in its slot", "luks1", &[&["luksChangeKey", "v", "c", "-d", "a", "-S", "0", "PBKDF"]], "bc"),
    action("change in its slot", "luks2", &[&["luksChangeKey", "v", "c", "-d", "b", "-S", "1", "PBKDF"]], "ac"),
    action("convert a key", "luks2", &[&["luksConvertKey", "v", "-d", "a", "--pbkdf", "argon2id", "--pbkdf-memory", "32",
        "--pbkdf-parallel", "1", "--pbkdf-force-iterations", "4"]], "ab"),
    action("kill a slot", "luks1", &[&["luksKillSlot", "v", "1"]], "a"),
    action("kill a slot", "luks2", &[&["luksKillSlot", "v", "0"]], "b"),
    action("erase", "luks1", &[&["luksErase", "v"]], ""),
    action("erase", "luks2", &[&["erase", "v"]], ""),
    action("set the UUID", "luks1", &[&["luksUUID", "v", "--uuid", "11111111-2222-3333-4444-555555555559"]], "ab"),
    action("set the UUID", "luks2", &[&["luksUUID", "v", "--uuid", "11111111-2222-3333-4444-555555555559"]], "ab"),
    action("set label and subsystem", "luks2", &[&["config", "v", "--label", "disk", "--subsystem", "sub"]], "ab"),
    action("clear the label", "luks2", &[&["config", "v", "--label", "disk"], &["config", "v", "--label", ""]], "ab"),
    action("prefer", "luks2", &[&["config", "v", "--priority", "prefer", "-S", "1"]], "ab"),
    action("ignore", "luks2", &[&["config", "v", "--priority", "ignore", "-S", "1"]], "a"),
    action("back to normal", "luks2", &[&["config", "v", "--priority", "ignore", "-S", "1"],
        &["config", "v", "--priority", "normal", "-S", "1"]], "ab"),
    action("add a token", "luks2", &[&["token", "add", "v", "--key-description", "desc"]], "ab"),
    action("add a token of one slot", "luks2", &[&["token", "add", "v", "--key-description", "desc", "-S", "1",
        "--token-id", "3"]], "ab"),
    action("import a token", "luks2", &[&["token", "import", "v", "--json-file", "token.json"]], "ab"),
    action("replace a token", "luks2", &[&["token", "add", "v", "--key-description", "desc"],
        &["token", "import", "v", "--json-file", "token.json", "--token-id", "0", "--token-replace"]], "ab"),
    action("unassign a token", "luks2", &[&["token", "add", "v", "--key-description", "desc"],
        &["token", "unassign", "v", "--token-id", "0", "-S", "1"]], "ab"),
    action("remove a token", "luks2", &[&["token", "add", "v", "--key-description", "desc"],
        &["token", "remove", "v", "--token-id", "0"]], "ab"),
    action("kill a token's slot", "luks2", &[&["token", "add", "v", "--key-description", "desc"],
        &["luksKillSlot", "v", "0"]], "b"),
    action("back up and restore", "luks1", &[&["luksHeaderBackup", "v", "--header-backup-file", "backup"],
        &["luksKillSlot", "v", "0"], &["luksHeaderRestore", "v", "--header-backup-file", "backup"]], "ab"),
    action("back up and restore", "luks2", &[&["luksHeaderBackup", "v", "--header-backup-file", "backup"],
        &["luksKillSlot", "v", "0"], &["luksAddKey", "v", "c", "-d", "b", "PBKDF"],
        &["luksHeaderRestore", "v", "--header-backup-file", "backup"]], "ab"),
    action("restore over an erased one", "luks2", &[&["luksHeaderBackup", "v", "--header-backup-file", "backup"],
        &["erase", "v"], &["luksHeaderRestore", "v", "--header-backup-file", "backup"]], "ab"),
    action("convert", "luks1", &[&["convert", "v", "--type", "luks2"]], "ab"),
    action("convert", "luks2", &[&["convert", "v", "--type", "luks1"]], "ab"),
    action("convert there and back", "luks1", &[&["convert", "v", "--type", "luks2"], &["convert", "v", "--type", "luks1"]],
        "ab"),
    action("convert and add", "luks1", &[&["convert", "v", "--type", "luks2"], &["luksAddKey", "v", "c", "-d", "a", "PBKDF"],
        &["luksKillSlot", "v", "0"]], "bc"),
    action("convert and add", "luks2", &[&["convert", "v", "--type", "luks1"], &["luksAddKey", "v", "c", "-d", "a", "PBKDF"],
        &["luksKillSlot", "v", "0"]], "bc"),
    action("convert, back up and restore", "luks2", &[&["convert", "v", "--type", "luks1"],
        &["luksHeaderBackup", "v", "--header-backup-file", "backup"], &["luksKillSlot", "v", "0"],
        &["luksHeaderRestore", "v", "--header-backup-file", "backup"]], "ab"),
    action("repair a name", "luks1", &[&["DAMAGE@72"], &["repair", "v"]], "ab"),
    action("repair the primary", "luks2", &[&["DAMAGE@5000"], &["repair", "v"]], "ab"),
    action("repair the secondary", "luks2", &[&["DAMAGE@21000"], &["repair", "v"]], "ab"),
    action("add to a damaged header", "luks2", &[&["DAMAGE@5000"], &["luksAddKey", "v", "c", "-d", "a", "PBKDF"]], "abc"),
];

impl Action {
    fn carry_out(&self, lab: &Lab, tool: Tool) {
        let _ = fs::remove_file(lab.path("backup"));
        for command in self.commands {
            if let Some(at) = command[0].strip_prefix("DAMAGE@") {
                let mut volume = fs::read(lab.path("v")).expect("a volume");
                let at: usize = at.parse().expect("a number");
                // An upper-case hash name is the damage that repair knows in LUKS1.
                volume[at..at + 3].copy_from_slice(b"SHA");
                fs::write(lab.path("v"), volume).expect("a file");
                continue;
            }
            let mut arguments = vec!["-q"];
            for argument in *command {
                match *argument {
                    "PBKDF" => arguments.extend(CHEAP),
                    other => arguments.push(other),
                }
            }
            lab.run(tool, &arguments);
        }
    }

    /// The differences, a line each.
    fn differences(&self, lab: &Lab, tool: Tool) -> Vec<String> {
        let mut found = Vec::new();
        let mut differ = |what: String| found.push(format!("{} ({}) by {tool:?}: {what}", self.name, self.kind));
        for key in ["a", "b", "c", "d"] {
            for asked in TOOLS {
                let opens = lab.opens(asked, key);
                if opens != self.keys.contains(key) {
                    differ(format!("{asked:?}: {key} opens: {opens}"));
                }
            }
        }
        if lab.dump(Tool::Ours, &[]) != lab.dump(Tool::Debians, &[]) {
            differ("the dumps differ".to_owned());
        }
        if lab.dump(Tool::Debians, &[]).contains("Epoch") {
            let json = ["--dump-json-metadata"];
            let parse = |text: String| serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
            if parse(lab.dump(Tool::Ours, &json)) != parse(lab.dump(Tool::Debians, &json)) {
                differ("the JSON dumps differ".to_owned());
            }
        }
        found
    }
}

/// A dump without random parts and write counts, and without the places of key material where they may differ.
fn comparable(dump: &str, places: bool) -> String {
    let mut lines = Vec::new();
    let mut random = false;
    for line in dump.lines() {
        let name = line.trim_start();
        let starts_random = ["Salt:", "MK salt:", "Digest:", "MK digest:"]
            .iter()
            .any(|start| name.starts_with(start));
        let continues = random && name.chars().all(|c| c.is_ascii_hexdigit() || c == ' ');
        random = starts_random || continues;
        let place = ["Area offset:", "Key material offset:", "Keyslots area:"];
        let left_out = name.starts_with("Epoch:") || !places && place.iter().any(|start| name.starts_with(start));
        if !random && !left_out {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// Where ours writes key material to a new place, so that a stop loses none, and Debian's overwrites the old one.
fn places_may_differ(action: &Action) -> bool {
    action.name.starts_with("convert") || action.name == "change in its slot"
}

#[test]
fn what_either_did_the_other_opens_and_shows_alike() {
    let lab = Lab::new();
    let mut differences = Vec::new();
    for action in ACTIONS {
        let mut dumps = Vec::new();
        for tool in TOOLS {
            lab.volume(action.kind);
            action.carry_out(&lab, tool);
            differences.extend(action.differences(&lab, tool));
            dumps.push(comparable(&lab.dump(Tool::Debians, &[]), !places_may_differ(action)));
        }
        if dumps[0] != dumps[1] {
            let name = (action.name, action.kind);
            let (ours, theirs): (Vec<&str>, Vec<&str>) = (dumps[0].lines().collect(), dumps[1].lines().collect());
            let only = |one: &[&str], other: &[&str]| -> Vec<String> {
                let missing = one.iter().filter(|line| !other.contains(line));
                missing.map(|line| line.trim().to_owned()).collect()
            };
            let (ours, theirs) = (only(&ours, &theirs), only(&theirs, &ours));
            differences.push(format!("{name:?}: ours left {ours:?}, Debian's {theirs:?}"));
        }
    }
    println!("{} actions × 2 tools, {} differences", ACTIONS.len(), differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A kind of volume, its preparation, and the command that is refused.
type Refusal = (
    &'static str,
    &'static [&'static [&'static str]],
    &'static [&'static str],
);

/// Both refuse the same, with the same messages and codes.
#[test]
fn refusals_are_the_same() {
    let lab = Lab::new();
    #[rustfmt::skip]
    let cases: &[Refusal] = &[
        ("luks1", &[], &["-v", "config", "v", "--label", "x"]),
        ("luks2", &[], &["-v", "config", "v"]),
        ("luks1", &[], &["-v", "convert", "-q", "v", "--type", "luks1"]),
        ("luks2", &[], &["-v", "convert", "-q", "v", "--type", "luks2"]),
        ("luks2", &[], &["-v", "convert", "-q", "v"]),
        ("luks2", &[&["token", "add", "v", "--key-description", "x"]], &["-v", "convert", "-q", "v", "--type", "luks1"]),
        ("luks2", &[&["luksAddKey", "v", "c", "-d", "a", "-S", "8", "PBKDF"]], &["-v", "convert", "-q", "v", "--type", "luks1"]),
        ("luks2", &[&["luksAddKey", "v", "c", "--unbound", "-s", "256", "PBKDF"]],
            &["-v", "convert", "-q", "v", "--type", "luks1"]),
        ("luks2", &[&["luksAddKey", "v", "c", "-d", "a", "-h", "sha512", "PBKDF"]],
            &["-v", "convert", "-q", "v", "--type", "luks1"]),
        ("luks2", &[], &["-v", "luksHeaderBackup", "v", "--header-backup-file", "a"]),
        ("luks2", &[], &["-v", "luksHeaderBackup", "v", "--header-backup-file", "/nowhere/b"]),
        ("luks2", &[], &["-v", "luksHeaderBackup", "a", "--header-backup-file", "backup"]),
        ("luks2", &[], &["-v", "luksHeaderRestore", "-q", "v", "--header-backup-file", "a"]),
        ("luks2", &[], &["-v", "luksHeaderRestore", "-q", "v", "--header-backup-file", "nothing"]),
        ("luks2", &[], &["-v", "luksHeaderRestore", "-q", "nothing", "--header-backup-file", "v"]),
        ("luks1", &[], &["-v", "repair", "-q", "v"]),
        ("luks2", &[], &["-v", "repair", "-q", "v"]),
        ("luks2", &[], &["-v", "repair", "-q", "nothing"]),
    ];
    let mut differences = Vec::new();
    for (kind, before, command) in cases {
        lab.volume(kind);
        let before = Action {
            name: "",
            kind,
            commands: before,
            keys: "",
        };
        before.carry_out(&lab, Tool::Debians);
        let [ours, theirs] = TOOLS.map(|tool| {
            let output = lab.try_run(tool, command);
            let (out, err) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            (output.status.code(), out.into_owned(), err.into_owned())
        });
        if ours != theirs {
            differences.push(format!("{kind} {command:?}:\n  ours {ours:?}\n  theirs {theirs:?}"));
        }
    }
    println!("{} refusals, {} differences", cases.len(), differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

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

/// Both copies agree: nothing was left half done.
fn check_good(volume: &Path) {
    let mut file = fs::File::open(volume).expect("a volume");
    let header = keyslots::luks2::Header::read(&mut file).expect("a header");
    assert_eq!(header.loser(), &keyslots::luks2::copies::Loser::Agrees);
}

/// After a stop of a conversion at any point, Debian's opens the result, with each passphrase.
#[test]
fn debians_opens_what_a_stopped_conversion_leaves() {
    use keyslots::header::Header;
    use keyslots::storage::fault::Recorder;
    use keyslots::wipe::Medium;

    let lab = Lab::new();
    lab.volume("luks1");
    let mut image = fs::read(lab.path("v")).expect("a volume");
    // The data start at 2 MiB; nothing behind that counts here.
    image.truncate(3 << 20);
    let mut points = 0;
    for _ in 0..2 {
        let mut disk = Recorder::new(image);
        match Header::read(&mut disk).expect("a header") {
            Header::Luks1(header) => {
                drop(keyslots::convert::to_luks2(&header, &mut disk, Medium::Other).expect("room"))
            }
            Header::Luks2(header) => drop(keyslots::convert::to_luks1(&header, &mut disk).expect("LUKS1 has it all")),
        }
        points += disk.for_each_crash(|crash| {
            fs::write(lab.path("v"), crash.image).expect("a file");
            // In turns, since a start of the program takes longer than all the rest.
            let key = ["a", "b"][crash.after % 2];
            assert!(
                lab.opens(Tool::Debians, key),
                "{key} after {} events, {:?}",
                crash.after,
                crash.cause
            );
        });
        image = disk.image().to_vec();
    }
    println!("{points} points tried, 0 losses");
}

/// cryptsetup takes no lock on a LUKS1 header: it reads it, derives a key, and writes it back with its own keyslot.
#[test]
fn a_luks1_keyslot_that_cryptsetup_overwrites_is_not_called_added() {
    let lab = Lab::new();
    let format = ["luksFormat", "-q", "--type", "luks1", "-s", "256", "v", "a"];
    let add = |key: &'static str| [&["luksAddKey", "-q", "v", key, "-d", "a"], CHEAP.as_slice()].concat();
    let opens = |key: &str| {
        let opened = lab.try_run(Tool::Debians, &["open", "--test-passphrase", "v", "-d", key]);
        opened.status.success()
    };
    let fresh = || {
        let volume = fs::File::create(lab.path("v")).expect("a file");
        volume.set_len(4 << 20).expect("room");
        lab.run(Tool::Debians, &[&format, CHEAP.as_slice()].concat());
    };
    // It has read the header, and waits for its new key; ours comes and goes; then it writes.
    for first in TOOLS {
        fresh();
        let pipe = lab.path("pipe");
        let _ = fs::remove_file(&pipe);
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let second = if first == Tool::Ours { Tool::Debians } else { Tool::Ours };
        let start = |tool, key| {
            let mut command = lab.command(tool, &add(key));
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("it runs")
        };
        let waiting = start(first, "pipe");
        // Opens when the other end is opened.
        let mut key = fs::OpenOptions::new().write(true).open(&pipe).expect("a pipe");
        let before = fs::read(lab.path("v")).expect("a volume");
        let quick = start(second, "b");
        while fs::read(lab.path("v")).expect("a volume")[..592] == before[..592] {
            thread::sleep(std::time::Duration::from_millis(5));
        }
        std::io::Write::write_all(&mut key, b"passphrase c").expect("it reads");
        drop(key);
        let (waiting, quick) = (waiting.wait_with_output(), quick.wait_with_output());
        for (tool, ended, key) in [(first, waiting, "c"), (second, quick, "b")] {
            let ended = ended.expect("it ends");
            let told = String::from_utf8_lossy(&ended.stderr);
            // Ours overwrites no other change, and notices when it is overwritten.
            if tool == Tool::Ours || first == Tool::Ours {
                assert_eq!(ended.status.success(), opens(key), "{tool:?} after {first:?}: {told}");
            }
            if tool == Tool::Ours && !ended.status.success() {
                assert!(told.contains("at the same time"), "{told}");
            }
        }
    }
    // And without synchronisation.
    for _ in 0..4 {
        fresh();
        let mut theirs = lab.command(Tool::Debians, &add("c")).spawn().expect("it runs");
        let ours = lab.try_run(Tool::Ours, &add("b"));
        theirs.wait().expect("it ends");
        let told = String::from_utf8_lossy(&ours.stderr);
        assert!(!ours.status.success() || opens("b"), "{told}");
    }
}

/// A cryptsetup that has read the LUKS1 header of "v", and waits for the key that it is to add, until it is let go on.
struct Waiting {
    lab: Lab,
    program: Child,
    key: fs::File,
}

impl Waiting {
    /// "a" and "b" open the volume.
    fn new(slot: &str) -> Self {
        let lab = Lab::new();
        let volume = fs::File::create(lab.path("v")).expect("a file");
        volume.set_len(4 << 20).expect("room");
        let format = ["luksFormat", "-q", "--type", "luks1", "-s", "256", "v", "a"];
        lab.run(Tool::Debians, &[&format, CHEAP.as_slice()].concat());
        lab.run(
            Tool::Debians,
            &[&["luksAddKey", "-q", "v", "b", "-d", "a"], CHEAP.as_slice()].concat(),
        );
        fs::copy(lab.path("v"), lab.path("w")).expect("a copy");
        lab.run(Tool::Ours, &["convert", "-q", "w", "--type", "luks2"]);
        lab.run(Tool::Ours, &["luksHeaderBackup", "w", "--header-backup-file", "w2"]);
        let pipe = lab.path("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let add = ["luksAddKey", "-q", "v", "pipe", "-d", "b", "-S", slot];
        let mut command = lab.command(Tool::Debians, &[&add, CHEAP.as_slice()].concat());
        let program = command.spawn().expect("it runs");
        // Opens when the other end is opened.
        let key = fs::OpenOptions::new().write(true).open(&pipe).expect("a pipe");
        Self { lab, program, key }
    }

    fn header(&self) -> Vec<u8> {
        fs::read(self.lab.path("v")).expect("a volume")[..592].to_vec()
    }

    /// It gets its key, and ends.
    fn go_on(mut self) -> Lab {
        std::io::Write::write_all(&mut self.key, b"passphrase c").expect("it reads");
        drop(self.key);
        assert!(self.program.wait().expect("it ends").success());
        self.lab
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let cheap = if ["convert", "luksHeaderRestore"].contains(&arguments[0]) {
            &[]
        } else {
            CHEAP.as_slice()
        };
        let mut command = self.lab.command(Tool::Ours, &[arguments, cheap].concat());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("it runs")
    }
}

/// Which of the keys open the volume.
fn opening(lab: &Lab) -> String {
    let opens = |key: &&str| {
        let opened = lab.try_run(Tool::Debians, &["open", "--test-passphrase", "v", "-d", key]);
        opened.status.success()
    };
    ["a", "b", "c", "d"].into_iter().filter(opens).collect()
}

/// Where it reads the header before our change and writes it back after, keys and headers would be lost.
#[test]
fn a_luks1_header_is_not_changed_under_a_cryptsetup_that_has_it_open() {
    let change: &[&str] = &["luksChangeKey", "-q", "v", "d", "-d", "a"];
    let convert: &[&str] = &["convert", "-q", "v", "--type", "luks2"];
    let format: &[&str] = &["luksFormat", "-q", "v", "d", "--type", "luks2"];
    let restore: &[&str] = &["luksHeaderRestore", "-q", "v", "--header-backup-file", "w2"];
    let changes = [
        (change, "bcd", 1),
        (convert, "abc", 2),
        (format, "d", 2),
        (restore, "ab", 2),
    ];
    thread::scope(|scope| {
        for (arguments, keys, version) in changes {
            scope.spawn(move || {
                let waiting = Waiting::new("5");
                let before = waiting.header();
                let mut ours = waiting.start(arguments);
                let mut told = BufReader::new(ours.stderr.take().expect("a pipe"));
                let mut line = String::new();
                told.read_line(&mut line).expect("text");
                let expected = format!("Waiting for process {} (cryptsetup), ", waiting.program.id());
                assert!(line.starts_with(&expected), "{arguments:?}: {line}");
                assert!(waiting.header() == before, "{arguments:?}");
                let lab = waiting.go_on();
                assert!(ours.wait().expect("it ends").success(), "{arguments:?}");
                assert_eq!(opening(&lab), keys, "{arguments:?}");
                assert_eq!(fs::read(lab.path("v")).expect("a volume")[7], version, "{arguments:?}");
            });
        }
        // It does not end: what could cost a key is not done.
        for arguments in [change, convert] {
            scope.spawn(move || {
                let waiting = Waiting::new("5");
                let before = waiting.header();
                let ours = waiting.start(arguments).wait_with_output().expect("it ends");
                let told = String::from_utf8_lossy(&ours.stderr);
                assert_eq!(ours.status.code(), Some(5), "{arguments:?}: {told}");
                assert!(waiting.header() == before, "{arguments:?}");
                assert_eq!(opening(&waiting.go_on()), "abc", "{arguments:?}");
            });
        }
        // What is added is put back into the header that it writes then.
        scope.spawn(|| {
            let waiting = Waiting::new("5");
            let before = waiting.header();
            let ours = waiting.start(&["luksAddKey", "-q", "v", "d", "-d", "a"]);
            while waiting.header() == before {
                thread::sleep(Duration::from_millis(5));
            }
            let lab = waiting.go_on();
            let ours = ours.wait_with_output().expect("it ends");
            let told = String::from_utf8_lossy(&ours.stderr);
            assert!(ours.status.success() && told.contains("has been put back"), "{told}");
            assert_eq!(opening(&lab), "abcd");
        });
    });
}

/// Anybody may have that library, and files with a lease on them: who opens these waits for most of a minute.
#[test]
fn a_lease_on_a_file_of_somebody_else_holds_no_change_up() {
    let lab = Lab::new();
    let volume = fs::File::create(lab.path("v")).expect("a file");
    volume.set_len(4 << 20).expect("room");
    let format = ["luksFormat", "-q", "--type", "luks1", "-s", "256", "v", "a"];
    lab.run(Tool::Debians, &[&format, CHEAP.as_slice()].concat());
    // F_SETLEASE, F_WRLCK.
    let hold = "open(F, '+>', 'leased') or die; $SIG{IO} = 'IGNORE'; fcntl(F, 1024, 1) or die; \
                $| = 1; print \"ready\\n\"; <STDIN>";
    let mut other = Command::new("perl")
        .args(["-e", hold])
        .current_dir(lab.folder.path())
        .env("LD_PRELOAD", "libcryptsetup.so.12")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("perl");
    let mut line = String::new();
    let mut told = BufReader::new(other.stdout.take().expect("a pipe"));
    told.read_line(&mut line).expect("text");
    assert_eq!(line, "ready\n");
    let maps = fs::read_to_string(format!("/proc/{}/maps", other.id())).expect("maps");
    assert!(maps.contains("/libcryptsetup."), "it has the library");
    let begin = Instant::now();
    lab.run(
        Tool::Ours,
        &[&["luksAddKey", "-q", "v", "b", "-d", "a"], CHEAP.as_slice()].concat(),
    );
    let took = begin.elapsed();
    other.kill().expect("it runs");
    other.wait().expect("it ends");
    assert!(took < Duration::from_secs(20), "{took:?}");
}
