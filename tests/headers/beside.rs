//! A cryptsetup that has read a LUKS1 header before our change, and writes it back after it.

use super::*;

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
            assert!(
                ours.status.success() && told.contains("was added to it again"),
                "{told}"
            );
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
