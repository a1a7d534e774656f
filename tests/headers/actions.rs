//! Each action by one program, opened and shown by the other; refusals; a conversion that was stopped.

use super::*;

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
