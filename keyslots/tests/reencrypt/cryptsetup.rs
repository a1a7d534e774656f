//! The same volumes in cryptsetup's hands: begun, interrupted and continued by either program. cryptsetup is killed by strace at
//! one of its writes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use keyslots::cipher::SectorCipher;
use keyslots::hash::Hash;
use keyslots::kdf::Kdf;
use keyslots::luks2::reencrypt::{self, Direction, Disks, Guard, Mode, Part, Proof, Start, State, Status, VolumeKeys};
use keyslots::luks2::segment::Segment;
use keyslots::luks2::{Candidates, Digest, Header, NewKeyslot};
use keyslots::secret::VolumeKey;
use keyslots::storage::fault::{Event, Recorder};
use keyslots::units::Bytes;
use keyslots::wipe::Medium;

use super::places::wiping;
use super::volumes::{COPIES, KINDS, continued, key, limits, passphrase, plaintext};

const MIB: usize = 1 << 20;
const CHEAP: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
const SMALL: [&str; 4] = ["--luks2-keyslots-size", "524288", "--offset", "2048"];
/// With room for the protection of long zones.
const LARGE: [&str; 4] = ["--luks2-keyslots-size", "2064384", "--offset", "4096"];

/// A volume that cryptsetup has begun to work on.
struct Case {
    name: &'static str,
    mib: usize,
    /// How the volume is made, if there is one at first.
    format: Option<&'static [&'static str]>,
    reencrypt: &'static [&'static str],
    /// Whether the header is in a file.
    detached: bool,
    /// Writes at which cryptsetup is killed when it continues.
    kills: &'static [u32],
}

const CASES: &[Case] = &[
    Case {
        name: "reencrypt-checksum",
        mib: 6,
        format: Some(&LARGE),
        reencrypt: &["--resilience", "checksum"],
        detached: false,
        // In the only zone; finished; and with the material of the old keyslot, or all of it, gone.
        kills: &[8, 15, 17, 23],
    },
    Case {
        name: "reencrypt-journal",
        mib: 6,
        format: Some(&LARGE),
        reencrypt: &["--resilience", "journal"],
        detached: false,
        kills: &[8],
    },
    Case {
        name: "encrypt-detached",
        mib: 4,
        format: None,
        reencrypt: &["--encrypt", "--type", "luks2", "--resilience", "checksum"],
        detached: true,
        kills: &[14, 21],
    },
    Case {
        name: "encrypt-in-place",
        mib: 20,
        format: None,
        reencrypt: &["--encrypt", "--type", "luks2", "--reduce-device-size", "8M"],
        detached: false,
        // In the first zone, between two, in the second and in the last; finished, and while it wipes.
        kills: &[9, 14, 21, 34, 45],
    },
    Case {
        name: "decrypt-detached",
        mib: 4,
        format: Some(&["--luks2-keyslots-size", "524288", "--offset", "0"]),
        reencrypt: &["--decrypt", "--resilience", "checksum"],
        detached: true,
        kills: &[14, 21],
    },
    Case {
        name: "decrypt-export",
        mib: 5,
        format: Some(&SMALL),
        reencrypt: &["--decrypt"],
        detached: true,
        kills: &[14, 35, 52, 66],
    },
];

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reencrypt-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        fs::write(path.join("key"), "pass").expect("a file");
        Self(path)
    }

    fn run(&self, killed_at: Option<u32>, arguments: &[&str]) -> Output {
        let mut command = match killed_at {
            None => Command::new("cryptsetup"),
            Some(at) => {
                let mut command = Command::new("strace");
                let inject = format!("inject=write,pwrite64:signal=KILL:when={at}");
                command.args([
                    "-f",
                    "-o",
                    "/dev/null",
                    "-P",
                    "image",
                    "-P",
                    "header",
                    "-e",
                    &inject,
                    "cryptsetup",
                ]);
                command
            }
        };
        let output = command.args(arguments).current_dir(&self.0).output();
        output.expect("cryptsetup and strace are installed")
    }

    fn succeeds(&self, arguments: &[&str]) {
        let output = self.run(None, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn reencrypt<'a>(case: &Case, more: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["reencrypt", "-q", "--force-offline-reencrypt", "--key-file", "key"];
        if case.detached {
            all.extend(["--header", "header"]);
        }
        all.extend(more);
        all.push("image");
        all
    }

    fn file(&self, name: &str) -> File {
        File::options()
            .read(true)
            .write(true)
            .open(self.0.join(name))
            .expect("a file")
    }

    /// Runs `run` with the header and its disks.
    fn on<R>(&self, detached: bool, run: impl FnOnce(&mut Header, &mut Disks<'_>) -> R) -> R {
        let mut image = self.file("image");
        let mut separate = detached.then(|| self.file("header"));
        let mut disks = match &mut separate {
            Some(header) => Disks::detached(header, &mut image),
            None => Disks::attached(&mut image),
        };
        let mut header = Header::read(disks.header()).expect("a header");
        run(&mut header, &mut disks)
    }

    fn data(&self, detached: bool, len: usize) -> Vec<u8> {
        let image = fs::read(self.0.join("image")).expect("a file");
        self.on(detached, |header, disks| data(header, disks, &image, len))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn decrypted(segment: &Segment, key: Option<&VolumeKey>, image: &[u8], room: usize) -> Vec<u8> {
    let start = segment.offset.to_usize().expect("small");
    let len = segment.size.map_or(room, |size| size.to_usize().expect("small"));
    let mut bytes = image[start..][..len.min(room)].to_vec();
    if let Some(crypt) = segment.crypt() {
        let spec = crypt.encryption.parse().expect("a specification");
        let key = key.expect("a key").expose();
        let cipher = SectorCipher::new(&spec, key, crypt.sector_size as usize, false).expect("a key");
        cipher.decrypt(crypt.iv_tweak, &mut bytes).expect("sectors");
    }
    bytes
}

/// The data by what the header says, with the keys that the passphrase opens.
fn data(header: &Header, disks: &mut Disks<'_>, image: &[u8], len: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    match header.reencryption().expect("a state").running() {
        Some(found) => {
            let keys = unlock(header, disks);
            for (part, segment) in &found.active {
                let key = if *part == Part::Old {
                    keys.old.as_ref()
                } else {
                    keys.of_new()
                };
                plain.extend(decrypted(segment, key, image, len - plain.len()));
            }
        }
        None => {
            let opened = header.unlock(disks.header(), &passphrase("pass"), Candidates::All, &limits());
            let key = opened.ok().map(|unlocked| unlocked.volume_key);
            plain.extend(decrypted(&header.metadata().segments[&0], key.as_ref(), image, len));
        }
    }
    plain
}

fn unlock(header: &Header, disks: &mut Disks<'_>) -> VolumeKeys {
    reencrypt::unlock(header, disks.header(), &passphrase("pass"), &limits()).expect("a passphrase")
}

impl Case {
    /// The volume as cryptsetup has begun it, and its data.
    fn begun(&self, folder: &Folder) -> Vec<u8> {
        let image = folder.0.join("image");
        fs::write(&image, plaintext(self.mib * MIB)).expect("a file");
        let mut len = self.mib * MIB;
        let mut before = None;
        if let Some(format) = self.format {
            let mut arguments = vec!["luksFormat", "-q", "--type", "luks2", "--key-file", "key"];
            let apart = self.detached && format.contains(&"0");
            if apart {
                fs::write(folder.0.join("header"), vec![0; MIB]).expect("a file");
                arguments.extend(["--header", "header"]);
            } else {
                len -= if format == LARGE { 2 * MIB } else { MIB };
            }
            arguments.extend(CHEAP.iter().chain(format));
            arguments.push("image");
            folder.succeeds(&arguments);
            before = Some(folder.data(apart, len));
        }
        if self.reencrypt.contains(&"--reduce-device-size") {
            len -= 8 * MIB;
        }
        let before = before.unwrap_or_else(|| plaintext(len));
        let mut more = vec!["--init-only"];
        more.extend(CHEAP.iter().chain(self.reencrypt));
        folder.succeeds(&Folder::reencrypt(self, &more));
        before
    }
}

#[test]
fn what_cryptsetup_has_interrupted_is_recovered_and_continued_by_either() {
    std::thread::scope(|scope| {
        for case in CASES {
            scope.spawn(|| interrupted_by_cryptsetup(case));
        }
    });
}

fn interrupted_by_cryptsetup(case: &Case) {
    let folder = Folder::new(case.name);
    let before = case.begun(&folder);
    let save = |from: &str, to: &str| drop(fs::copy(folder.0.join(from), folder.0.join(to)));
    save("image", "image.begun");
    save("header", "header.begun");
    let mut resume = vec!["--resume-only", "--hotzone-size", "4M"];
    if case.name.ends_with("checksum") {
        resume.extend(["--resilience", "checksum"]);
    }
    let resume = Folder::reencrypt(case, &resume);
    let mut states = Vec::new();
    for &kill in case.kills {
        save("image.begun", "image");
        save("header.begun", "header");
        folder.run(Some(kill), &resume);
        let state = folder.on(case.detached, |header, disks| {
            let found = header
                .reencryption()
                .expect("a state")
                .running()
                .expect("a reencryption");
            if found.state == State::Finished {
                // Its keyslots may be gone.
                let keys = reencrypt::unlock(header, disks.header(), &passphrase("pass"), &limits());
                let verified = keys.and_then(|keys| reencrypt::verify(header, &keys, &limits()));
                let proof = verified.map_or(Proof::Unverified { plaintext: true }, Proof::Verified);
                reencrypt::finish(header, disks, proof, Medium::Other).expect(case.name);
                return State::Finished;
            }
            let keys = unlock(header, disks);
            reencrypt::verify(header, &keys, &limits()).expect("a digest as cryptsetup makes it");
            continued(header, disks, &keys, Some(1), Bytes::mib(1)).expect(case.name);
            found.state
        });
        states.push(state);
        assert!(
            folder.data(case.detached, before.len()) == before,
            "{} {kill}: other data",
            case.name
        );
        let goes_on = folder.on(case.detached, |header, _| header.in_reencryption());
        if goes_on {
            folder.succeeds(&resume);
            assert!(
                folder.data(case.detached, before.len()) == before,
                "{} {kill}: other data",
                case.name
            );
        }
        folder.on(case.detached, |header, _| {
            assert_eq!(
                header.reencryption().expect("a state"),
                Status::None,
                "{} {kill}",
                case.name
            );
        });
    }
    println!("{}: {states:?}", case.name);
    assert!(states.contains(&State::Crash), "{}: {states:?}", case.name);
    assert_eq!(
        states.contains(&State::Finished),
        case.kills.len() > 1,
        "{}: {states:?}",
        case.name
    );
}

/// Ours on volumes of cryptsetup: stopped after a zone, and interrupted within one; cryptsetup goes on.
#[test]
fn what_is_begun_here_is_recovered_and_continued_by_cryptsetup() {
    let guards = [
        Guard::Checksum {
            hash: Hash::Sha256.into(),
            block: 4096,
        },
        Guard::Journal,
        Guard::None,
    ];
    let case = Case {
        name: "ours",
        mib: 6,
        format: Some(&LARGE),
        reencrypt: &[],
        detached: false,
        kills: &[],
    };
    for guard in guards {
        for crash in [false, true] {
            if crash && guard == Guard::None {
                continue;
            }
            let folder = Folder::new("ours");
            fs::write(folder.0.join("image"), plaintext(6 * MIB)).expect("a file");
            let mut arguments = vec!["luksFormat", "-q", "--type", "luks2", "--key-file", "key", "image"];
            arguments.extend(CHEAP.iter().chain(case.format.expect("a format")));
            folder.succeeds(&arguments);
            let before = folder.data(false, 4 * MIB);
            let keys = folder.on(false, |header, disks| begin_here(header, disks, guard.clone()));
            folder.on(false, |header, disks| {
                continued(header, disks, &keys, Some(1), Bytes::mib(1)).expect("a zone");
            });
            if crash {
                crash_here(&folder, &keys);
                folder.succeeds(&["repair", "-q", "--key-file", "key", "image"]);
            }
            assert!(folder.data(false, 4 * MIB) == before, "{guard:?} {crash}: other data");
            folder.succeeds(&Folder::reencrypt(&case, &["--resume-only"]));
            assert!(folder.data(false, 4 * MIB) == before, "{guard:?} {crash}: other data");
        }
    }
}

fn begin_here(header: &mut Header, disks: &mut Disks<'_>, guard: Guard) -> VolumeKeys {
    let opened = header.unlock(disks.header(), &passphrase("pass"), Candidates::All, &limits());
    let keys = VolumeKeys {
        old: Some(opened.expect("a passphrase").volume_key),
        new: Some(key(&plaintext(128)[64..])),
    };
    let new = NewKeyslot {
        kdf: Kdf::Pbkdf2 {
            hash: Hash::Sha256,
            iterations: 1000,
        },
        af_hash: Hash::Sha256,
        encryption: "aes-xts-plain64".parse().expect("a specification"),
        area_key_size: 64,
        priority: None,
    };
    let key = keys.new.as_ref().expect("a key");
    let sealed = new.seal(key, &passphrase("pass"), &limits()).expect("memory");
    let digest = Digest::new(key, Hash::Sha256, 1000, &limits()).expect("memory");
    let mut change = header.begin().expect("changeable");
    change.add_unbound_keyslot(None, &sealed, digest).expect("room");
    change.commit(disks.header(), Medium::Other).expect("memory");
    let start = Start {
        mode: Mode::Reencrypt,
        direction: Direction::Forward,
        guard,
        block: Bytes::new(4096),
        size: None,
        shift: None,
        encryption: None,
        digest_hash: Hash::Sha256,
        digest_iterations: 1000,
    };
    reencrypt::begin(header, disks, &start, &keys, &limits()).expect("room");
    keys
}

/// Leaves the image as it is when a zone is half written.
fn crash_here(folder: &Folder, keys: &VolumeKeys) {
    let path = folder.0.join("image");
    let mut disk = Recorder::new(fs::read(&path).expect("a file"));
    let mut header = Header::read(&mut disk).expect("a header");
    continued(
        &mut header,
        &mut Disks::attached(&mut disk),
        keys,
        Some(1),
        Bytes::mib(1),
    )
    .expect("a zone");
    let is_data = |event: &Event| matches!(event, Event::Write { offset, .. } if offset.get() >= 2 << 20);
    let at = disk.events().iter().position(is_data).expect("a zone is written");
    let Event::Write { offset, data } = &disk.events()[at] else {
        return;
    };
    let mut image = disk.killed(at).image().to_vec();
    image[offset.to_usize().expect("small")..][..data.len() / 2].copy_from_slice(&data[..data.len() / 2]);
    fs::write(&path, image).expect("a file");
}

/// It would convert all data a second time.
#[test]
fn data_that_are_converted_and_not_wiped_are_not_cryptsetup_s_business() {
    let kind = KINDS.iter().find(|kind| kind.name == "encrypt in place");
    let image = wiping(kind.expect("a kind"));
    let folder = Folder::new("wiping");
    fs::write(folder.0.join("image"), &image).expect("a file");
    for action in [
        "reencrypt --resume-only --force-offline-reencrypt",
        "repair",
        "config --label x",
    ] {
        let mut arguments: Vec<&str> = action.split(' ').collect();
        arguments.extend(["-q", "--key-file", "key", "image"]);
        if action.starts_with("config") {
            arguments.drain(arguments.len() - 3..arguments.len() - 1);
        }
        let output = folder.run(None, &arguments);
        // It may mend a copy of the header.
        let after = fs::read(folder.0.join("image")).expect("a file");
        assert!(after[COPIES..] == image[COPIES..], "{action}: {output:?}");
        let found = folder.on(false, |header, _| header.reencryption().expect("a state").running());
        assert_eq!(
            found.map(|found| found.state),
            Some(State::Wiping),
            "{action}: {output:?}"
        );
        assert!(action == "repair" || !output.status.success(), "{action}: {output:?}");
    }
}
