//! Two paths to the same bytes, and one path to other bytes at every look. As root: loop devices are the second paths.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, symlink};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use nix::libc;

use crate::lab::{CHEAP, Lab, OURS, PATIENCE, error};
use crate::tracer;

/// A loop device that is detached on drop.
#[derive(Debug)]
pub(crate) struct Loop(pub(crate) String);

impl Loop {
    pub(crate) fn over(lab: &Lab, file: &str, options: &[&str]) -> Self {
        let words = [&["-f", "--show"], options, &[file]].concat();
        let output = lab.command("losetup", &words).output().expect("losetup starts");
        assert!(output.status.success(), "{output:?}");
        Self(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup").args(["-d", &self.0]).status();
    }
}

/// Bytes that do not repeat.
fn noise(len: usize) -> Vec<u8> {
    let mut number = 1_u64;
    (0..len)
        .map(|_| {
            number = number
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (number >> 56) as u8
        })
        .collect()
}

fn image<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["image", "-q", "-d", "a"], CHEAP.as_slice(), words].concat()
}

#[test]
fn no_path_leads_an_image_over_its_own_source() {
    let lab = Lab::new("luks2");
    let plain = noise(3 << 20);
    fs::write(lab.path("plain"), &plain).expect("a file");
    lab.must(&image(&["plain", "volume"]));
    let volume = fs::read(lab.path("volume")).expect("a file");
    let [over_plain, over_volume] = ["plain", "volume"].map(|file| Loop::over(&lab, file, &[]));
    let over_loop = Loop::over(&lab, &over_plain.0, &[]);
    let inside = Loop::over(&lab, "plain", &["-o", "1048576"]);
    // A loop device knows its file even if the name is gone, or is another's.
    fs::hard_link(lab.path("plain"), lab.path("second")).expect("a link");
    let over_second = Loop::over(&lab, "second", &[]);
    fs::remove_file(lab.path("second")).expect("a file");
    for (source, target) in [
        ("plain", over_plain.0.as_str()),
        ("plain", &over_loop.0),
        ("plain", &inside.0),
        ("plain", &over_second.0),
        (&over_loop.0, "plain"),
        (&inside.0, &over_loop.0),
    ] {
        let refused = lab.run(&image(&[source, target]));
        assert_eq!(refused.status.code(), Some(1), "{source} {target}: {refused:?}");
        assert!(
            error(&refused).contains("read and overwritten"),
            "{source} {target}: {refused:?}"
        );
        assert!(
            fs::read(lab.path("plain")).expect("a file") == plain,
            "{source} {target}"
        );
    }
    for target in [over_volume.0.as_str(), "volume"] {
        let refused = lab.run(&image(&["--decrypt", "volume", target]));
        assert!(!refused.status.success(), "{target}: {refused:?}");
        let over_header = lab.run(&image(&["--decrypt", "--header", "volume", "plain", target]));
        assert!(!over_header.status.success(), "{target}: {over_header:?}");
        assert!(fs::read(lab.path("volume")).expect("a file") == volume, "{target}");
    }
    let written = lab.run(&["write", "-q", "-d", "a", "volume", &over_volume.0]);
    assert_eq!(written.status.code(), Some(5), "{written:?}");
    drop(over_volume);
    assert_eq!(
        lab.run(&["write", "-q", "-d", "a", "volume", "volume"]).status.code(),
        Some(1)
    );
    for (words, append) in [
        (&["cat", "-d", "a", "volume"][..], true),
        (&image(&["--decrypt", "volume", "-"]), false),
    ] {
        let itself = File::options()
            .append(append)
            .write(true)
            .open(lab.path("volume"))
            .expect("a file");
        let output = lab
            .command(OURS, words)
            .stdout(itself)
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
    }
    assert!(fs::read(lab.path("volume")).expect("a file") == volume);

    // Two pieces of one disk do not overlap.
    fs::write(lab.path("disk"), noise(24 << 20)).expect("a file");
    let first = Loop::over(&lab, "disk", &["--sizelimit", "1048576"]);
    let rest = Loop::over(&lab, "disk", &["-o", "1048576"]);
    lab.must(&image(&[&first.0, &rest.0]));
    let overlapping = Loop::over(&lab, "disk", &["-o", "1048064"]);
    assert_eq!(lab.run(&image(&[&first.0, &overlapping.0])).status.code(), Some(1));
}

#[test]
fn other_mounts_of_a_file_are_that_file() {
    let lab = Lab::new("luks2");
    fs::create_dir_all(lab.path("below/upper")).expect("a folder");
    for folder in ["bind", "over", "below/work"] {
        fs::create_dir(lab.path(folder)).expect("a folder");
    }
    let plain = noise(1 << 20);
    fs::write(lab.path("below/upper/plain"), &plain).expect("a file");
    let cheap = CHEAP.join(" ");
    let script = format!(
        "set -e
        mount -t tmpfs none below
        mkdir below/upper below/work below/lower
        cat >below/upper/plain
        mount --bind below/upper bind
        mount -t overlay -o lowerdir=below/lower,upperdir=below/upper,workdir=below/work none over
        cp below/upper/plain before
        for pair in 'below/upper/plain bind/plain' 'bind/plain over/plain' 'over/plain below/upper/plain'; do
            if {OURS} image -q -d a {cheap} $pair; then echo $pair; exit 9; fi
            cmp before below/upper/plain
        done"
    );
    let mut shell = lab
        .command("unshare", &["-m", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare starts");
    shell.stdin.take().expect("a pipe").write_all(&plain).expect("a reader");
    let output = shell.wait_with_output().expect("an end");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_does_not_fit_into_a_device_leaves_it_as_it_was() {
    let lab = Lab::new("luks2");
    fs::write(lab.path("plain"), noise(3 << 20)).expect("a file");
    lab.must(&image(&["plain", "volume"]));
    let content = noise(2 << 20);
    fs::write(lab.path("small"), &content).expect("a file");
    let small = Loop::over(&lab, "small", &[]);
    for words in [
        &["plain", &small.0][..],
        &["--type", "luks1", "plain", &small.0],
        &["--decrypt", "volume", &small.0],
    ] {
        let refused = lab.run(&image(words));
        assert_eq!(refused.status.code(), Some(1), "{words:?}: {refused:?}");
        assert!(
            error(&refused).contains("is too small. Need at least"),
            "{words:?}: {refused:?}"
        );
        assert!(fs::read(lab.path("small")).expect("a file") == content, "{words:?}");
    }
}

fn format_apart<'a>(header: &'a str, data: &'a str) -> Vec<&'a str> {
    [&["luksFormat", "-q", "--header", header, data, "a"], CHEAP.as_slice()].concat()
}

/// A volume in the file `data`, with its header in `header`.
fn lab_with_header_apart() -> Lab {
    let lab = Lab::new("luks2");
    for (file, size) in [("header", 16 << 20), ("data", 4 << 20)] {
        File::create(lab.path(file))
            .and_then(|file| file.set_len(size))
            .expect("room");
    }
    lab.must(&format_apart("header", "data"));
    lab
}

#[test]
fn a_header_is_not_where_its_data_are() {
    let lab = lab_with_header_apart();
    let same = Loop::over(&lab, "header", &[]);
    let inside = Loop::over(&lab, "header", &["-o", "1048576"]);
    for data in [&same.0, &inside.0] {
        let open = [
            "open",
            "--backend",
            "userspace",
            "--header",
            "header",
            "-d",
            "a",
            data,
            "luksmith-test-over",
        ];
        let refused = lab.run(&open);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(error(&refused).contains("Reduced data offset"), "{refused:?}");
        let before = fs::read(lab.path("header")).expect("a file");
        for words in [&["write", "-q"][..], &["cat"]] {
            let refused = lab.run(&[words, &["--header", "header", "-d", "a", data]].concat());
            assert_eq!(refused.status.code(), Some(1), "{words:?} {refused:?}");
        }
        assert_ne!(lab.run(&format_apart("header", data)).status.code(), Some(0));
        assert!(fs::read(lab.path("header")).expect("a file") == before);
    }
}

/// A served volume that is closed on drop.
struct Served<'a>(&'a Lab, &'static str);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.run(&["close", self.1]);
    }
}

#[test]
fn the_only_header_of_an_active_volume_is_kept() {
    let lab = lab_with_header_apart();
    let format = |header: &'static str| format_apart(header, "data");
    lab.must(&["luksHeaderBackup", "header", "--header-backup-file", "own"]);
    lab.must(&format("other"));
    let name = "luksmith-test-header";
    lab.must(&[
        "open",
        "--backend",
        "userspace",
        "--header",
        "header",
        "-d",
        "a",
        "data",
        name,
    ]);
    let served = Served(&lab, name);
    let before = fs::read(lab.path("header")).expect("a file");
    // A resumed image writes to its header in the end.
    for file in ["plain", "half"] {
        fs::write(lab.path(file), vec![7; 1 << 20]).expect("a file");
    }
    let resumed = lab.run(&["image", "--resume", "--header", "header", "-d", "a", "plain", "half"]);
    assert!(error(&resumed).contains("in use"), "{resumed:?}");
    let restore = |backup: &'static str| ["luksHeaderRestore", "-q", "header", "--header-backup-file", backup];
    let bare = [&["luksFormat", "-q", "header", "a"], CHEAP.as_slice()].concat();
    for words in [&format("header")[..], &bare, &restore("other")] {
        let refused = lab.run(words);
        let told = error(&refused).contains(if words.contains(&"data") { "in use" } else { name });
        assert!(!refused.status.success() && told, "{words:?}: {refused:?}");
        assert!(fs::read(lab.path("header")).expect("a file") == before, "{words:?}");
    }
    lab.must(&restore("own"));
    drop(served);
    lab.must(&restore("other"));
    lab.must(&bare);
}

/// The kernel claims a mounted, mapped or swap device in the same way.
fn claimed(path: &str) -> File {
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(libc::O_EXCL)
        .open(path)
        .expect("nobody else")
}

#[test]
fn a_foreign_header_is_not_restored_over_what_is_in_use() {
    let lab = Lab::new("luks2");
    lab.must(&["luksHeaderBackup", "v", "--header-backup-file", "backup"]);
    lab.must(&["luksHeaderBackup", "v", "--header-backup-file", "same"]);
    fs::write(lab.path("disk"), noise(20 << 20)).expect("a file");
    let disk = Loop::over(&lab, "disk", &[]);
    let above = Loop::over(&lab, &disk.0, &[]);
    let restore = |device: &str| {
        let refused = lab.run(&["luksHeaderRestore", "-q", device, "--header-backup-file", "backup"]);
        (refused.status.code(), error(&refused).contains("in use"))
    };
    let before = fs::read(lab.path("disk")).expect("a file");
    for device in [&disk.0, &above.0] {
        let held = claimed(device);
        assert_eq!(restore(&disk.0), (Some(5), true));
        assert_eq!(restore("disk"), (Some(5), true));
        drop(held);
        assert!(fs::read(lab.path("disk")).expect("a file") == before);
    }
    // Its own header can be restored under an active volume.
    let volume = Loop::over(&lab, "v", &[]);
    let held = claimed(&volume.0);
    assert_eq!(restore(&volume.0), (Some(0), false));
    drop(held);
    // A backup cannot be read from the target itself.
    let backup = ["luksHeaderRestore", "-q", "v", "--header-backup-file", &volume.0];
    assert_eq!(lab.run(&backup).status.code(), Some(1));
    drop((above, volume));
    assert_eq!(restore(&disk.0), (Some(0), false));
}

/// The kernel keeps a disk and its partitions apart, and ignores loop devices on either.
#[test]
fn what_is_in_use_through_a_piece_of_it_is_left_alone() {
    let lab = Lab::new("luks2");
    fs::write(lab.path("disk"), noise(40 << 20)).expect("a file");
    fs::write(lab.path("plain"), [b'x'; 4096]).expect("a file");
    let disk = Loop::over(&lab, "disk", &[]);
    let [first, second] = [("0", "20971520"), ("20971520", "20971520")]
        .map(|(offset, size)| Loop::over(&lab, "disk", &["-o", offset, "--sizelimit", size]));
    // On the piece, like one on a partition.
    let above = Loop::over(&lab, &first.0, &[]);
    // With cryptsetup's exit code.
    let format = |device: &str| {
        let words = [&["luksFormat", "-q", "-d", "a"], CHEAP.as_slice(), &[device]].concat();
        let output = lab.run(&words);
        (output.status.code(), error(&output).contains("in use"))
    };
    let write = |device: &str| {
        let output = lab.run(&image(&["plain", device]));
        (output.status.code(), error(&output).contains("in use"))
    };
    let before = fs::read(lab.path("disk")).expect("a file");
    for (held, device) in [
        (&first, &disk),
        (&above, &disk),
        (&above, &first),
        (&disk, &first),
        (&disk, &second),
        (&first, &above),
    ] {
        let held = claimed(&held.0);
        assert_eq!(format(&device.0), (Some(1), true), "{device:?}");
        assert_eq!(write(&device.0), (Some(5), true), "{device:?}");
        drop(held);
        assert!(fs::read(lab.path("disk")).expect("a file") == before);
    }
    // Another piece does not matter.
    let held = claimed(&above.0);
    assert_eq!(format(&second.0), (Some(0), false));
    assert_eq!(write(&second.0), (Some(0), false));
    drop(held);
    assert_eq!(format(&disk.0), (Some(0), false));
}

/// How often the link is swapped, unless `LUKSMITH_SWAPS` says otherwise.
const SWAPS: usize = 40;

#[test]
fn a_link_that_is_swapped_leads_to_nothing_in_use() {
    let lab = Lab::new("luks2");
    let (used_file, used_disk) = (noise(4 << 20), noise(4 << 20));
    for (file, content) in [("used", &used_file), ("disk", &used_disk), ("free", &vec![0; 4 << 20])] {
        fs::write(lab.path(file), content).expect("a file");
    }
    let disk = Loop::over(&lab, "disk", &[]);
    let _claimed = claimed(&disk.0);
    let access = luksmith::userspace::Access::Write;
    let _locked = luksmith::userspace::open_device(&lab.path("used"), access).expect("nobody else");
    let swaps: usize = std::env::var("LUKSMITH_SWAPS").map_or(SWAPS, |swaps| swaps.parse().expect("a number"));
    symlink(lab.path("free"), lab.path("link")).expect("a link");
    let small = [
        "--luks2-metadata-size",
        "16k",
        "--luks2-keyslots-size",
        "512k",
        "--offset",
        "4096",
    ];
    let words = [&["luksFormat", "-q", "link", "a"], CHEAP.as_slice(), &small].concat();
    let (over, swapped) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut made, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let targets = [
                lab.path("free"),
                lab.path("used"),
                lab.path("free"),
                disk.0.clone().into(),
            ];
            while !over.load(Ordering::Relaxed) {
                let count = swapped.load(Ordering::Relaxed);
                symlink(&targets[count % 4], lab.path("next")).expect("a link");
                fs::rename(lab.path("next"), lab.path("link")).expect("a link");
                swapped.store(count + 1, Ordering::Relaxed);
                // At every pace: there is a gap between two looks somewhere.
                std::thread::sleep(std::time::Duration::from_micros(count as u64 * 7919 % 20_000));
            }
        });
        // The swapper may be slow on this machine: go on until it has swapped as often.
        while made + refused < swaps || swapped.load(Ordering::Relaxed) <= swaps {
            let output = lab.run(&words);
            match output.status.code() {
                Some(0) => made += 1,
                Some(_) => refused += 1,
                None => panic!("{output:?}"),
            }
        }
        over.store(true, Ordering::Relaxed);
        swapper.join().expect("the swapper");
    });
    let (times, swapped) = (made + refused, swapped.into_inner());
    println!("{times} times, {swapped} swaps: {made} made, {refused} refused");
    assert!(fs::read(lab.path("used")).expect("a file") == used_file);
    assert!(fs::read(lab.path("disk")).expect("a file") == used_disk);
    assert!(made > 0 && refused > 0, "{made} {refused} {swapped}");
}

#[test]
fn room_is_reserved_before_a_byte_is_written() {
    let lab = Lab::new("luks2");
    let blocks = |file: &str| fs::metadata(lab.path(file)).expect("a file").blocks() * 512;
    fs::write(lab.path("zeros"), vec![0; 2 << 20]).expect("a file");
    lab.must(
        &[
            &["luksFormat", "-q", "--header", "header", "zeros", "a"],
            CHEAP.as_slice(),
        ]
        .concat(),
    );
    assert!(blocks("header") >= 16 << 20);
    lab.must(&image(&["zeros", "image"]));
    assert!(blocks("image") >= 18 << 20);
    lab.must(&image(&["--allow-discards", "zeros", "holes"]));
    assert!(blocks("holes") < 18 << 20);
    lab.must(&image(&["--decrypt", "--allow-discards", "holes", "back"]));
    assert!(blocks("back") < 1 << 20);
    // On a full disk nothing is begun.
    let cheap = CHEAP.join(" ");
    let script = format!(
        "mkdir full && mount -t tmpfs -o size=8m none full || exit 9
        {OURS} luksFormat -q --header full/header zeros a {cheap} && exit 8
        {OURS} luksHeaderBackup v --header-backup-file full/backup && exit 7
        {OURS} image -q -d a {cheap} zeros full/image && exit 6
        ls full; cat full/*"
    );
    let output = lab
        .command("unshare", &["-m", "sh", "-c", &script])
        .output()
        .expect("unshare starts");
    let errors = error(&output);
    assert_eq!(errors.matches("No space left on device").count(), 3, "{output:?}");
    // The image's file is there, and empty.
    assert_eq!(output.stdout, b"image\n", "{output:?}");
}

/// The start of a disk may be large, or damaged.
#[test]
fn a_key_far_into_a_device_is_found_without_reading_up_to_it() {
    let lab = Lab::new("luks2");
    let disk = File::create(lab.path("disk")).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&disk, b"passphrase a", 6 << 30).expect("room");
    disk.set_len((6 << 30) + 4096).expect("room");
    let disk = Loop::over(&lab, "disk", &[]);
    let far = [
        "open",
        "--test-passphrase",
        "v",
        "-d",
        &disk.0,
        "--keyfile-size",
        "12",
        "--keyfile-offset",
        "6442450944",
    ];
    // The tracer gives up on a program that makes too many calls.
    let ran = tracer::run(&lab, &far, None, false);
    assert_eq!(ran.output.status.code(), Some(0), "{:?}", ran.output);
    let beyond = [&far[..8], &["9999999999"]].concat();
    assert!(error(&lab.run(&beyond)).contains("Cannot seek to requested keyfile offset."));
}

#[test]
fn a_mount_elsewhere_is_named() {
    let lab = Lab::new("luks2");
    File::create(lab.path("disk"))
        .and_then(|file| file.set_len(4 << 20))
        .expect("room");
    let made = lab
        .command("mke2fs", &["-q", "-F", "disk"])
        .status()
        .expect("mke2fs starts");
    assert!(made.success());
    let disk = Loop::over(&lab, "disk", &[]);
    fs::create_dir(lab.path("there")).expect("a folder");
    let script = format!("mount {} there && touch mounted && read end", disk.0);
    let mut shell = lab
        .command("unshare", &["-m", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .spawn()
        .expect("unshare starts");
    let start = Instant::now();
    while !lab.path("mounted").exists() {
        assert!(start.elapsed() < PATIENCE && shell.try_wait().expect("a child").is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let refused = lab.run(&[&["luksFormat", "-q", &disk.0, "a"], CHEAP.as_slice()].concat());
    drop(shell.stdin.take());
    shell.wait().expect("an end");
    let errors = error(&refused);
    let expected = format!(
        "file system mounted on {} in the mount namespace of process",
        lab.path("there").display()
    );
    assert!(errors.contains(&expected), "{errors}");
}
