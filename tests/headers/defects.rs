//! Headers with one defect each, by the hundreds: made by changing one member of the metadata or one field of the binary
//! header to each value at and past its edges, with all checksums right. Luksmith and Debian's cryptsetup try to open each.
//! Luksmith never crashes on one, never opens one that it shows differently from what it uses, and where the two disagree the
//! reason is in [`justification`].
//!
//! `cargo test --test headers defects -- --nocapture` prints the table; `LUKSMITH_TABLE=FILE` writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::common::{CHEAP, CRYPTSETUP, OURS};

const HDR_SIZE: usize = 16384;
const BINARY: usize = 4096;
const CSUM: std::ops::Range<usize> = 448..512;

/// How many defects are tried at once: cryptsetup waits out its time limit for some.
const WORKERS: usize = 4;

/// How much of an image a defect may change: both copies of a header, and the start of what is behind.
const START: usize = 64 * 1024;

/// The start of an image whose header has one defect, and the defect's name.
struct Defective {
    name: String,
    image: Vec<u8>,
}

/// Both copies with these metadata, checksums right.
fn with_metadata(base: &[u8], text: &[u8]) -> Vec<u8> {
    let mut image = base[..START].to_vec();
    for copy in [0, HDR_SIZE] {
        let area = &mut image[copy + BINARY..copy + HDR_SIZE];
        area.fill(0);
        let len = text.len().min(area.len());
        area[..len].copy_from_slice(&text[..len]);
        sign(&mut image[copy..copy + HDR_SIZE]);
    }
    image
}

fn sign(copy: &mut [u8]) {
    copy[CSUM].fill(0);
    let sum = Sha256::digest(&*copy);
    copy[CSUM.start..CSUM.start + 32].copy_from_slice(&sum);
}

/// Every place in the metadata, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    if !at.is_empty() {
        found.push(at.to_owned());
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                places(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(members) => {
            for (n, member) in members.iter().enumerate() {
                places(member, &format!("{at}/{n}"), found);
            }
        }
        _ => {}
    }
}

/// The values that a place is given in turn.
fn values(now: &Value) -> Vec<Value> {
    let long = "x".repeat(400);
    match now {
        Value::String(text) if text.parse::<u64>().is_ok() => {
            let number: u64 = text.parse().expect("it was one a moment ago");
            vec![
                json!("0"),
                json!("1"),
                json!("-1"),
                json!(""),
                json!(" 1"),
                json!("01"),
                json!("0x10"),
                json!("1e3"),
                json!("18446744073709551615"),
                json!("18446744073709551616"),
                json!("9223372036854775807"),
                json!((number + 1).to_string()),
                json!((number + 512).to_string()),
                json!((number + 4096).to_string()),
                json!((number.wrapping_sub(4096)).to_string()),
                json!(number),
                json!(null),
                json!([text]),
            ]
        }
        Value::String(text) => vec![
            json!(""),
            json!("nosuch"),
            json!(format!("{text}x")),
            json!(format!("{text} ")),
            json!("../../etc"),
            json!(long),
            json!("\u{1b}[31m"),
            json!("a\nb"),
            json!(7),
            json!(null),
            json!({}),
        ],
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            vec![
                json!(0),
                json!(1),
                json!(-1),
                json!(number + 1),
                json!(2147483647),
                json!(2147483648_u32),
                json!(4294967295_u32),
                json!(4294967296_u64),
                json!(u64::MAX),
                json!(1.5),
                json!(number.to_string()),
                json!(null),
                json!(true),
            ]
        }
        Value::Array(_) => vec![
            json!([]),
            json!(["99"]),
            json!(["0", "0"]),
            json!([0]),
            json!("0"),
            json!({}),
            json!(null),
        ],
        Value::Object(_) => vec![json!({}), json!([]), json!("x"), json!(null)],
        _ => vec![json!(null)],
    }
}

/// The volume that all are made from, with a token and two keyslots, and its key file.
fn base(folder: &Path) -> Vec<u8> {
    fs::write(folder.join("key"), "passphrase").expect("a key file");
    let image = folder.join("base");
    fs::File::create(&image)
        .and_then(|file| file.set_len(17 << 20))
        .expect("an image");
    let argon2 = [
        "--pbkdf",
        "argon2id",
        "--pbkdf-force-iterations",
        "4",
        "--pbkdf-memory",
        "32",
        "--pbkdf-parallel",
        "1",
    ];
    let format = [
        &["luksFormat", "-q", "--sector-size", "512"],
        &argon2[..],
        &["base", "key"],
    ]
    .concat();
    let add = [&["luksAddKey", "-q", "-d", "key"], &CHEAP[..], &["base", "key"]].concat();
    for words in [
        format,
        add,
        vec!["token", "add", "--key-description", "luksmith-test", "base"],
    ] {
        let status = Command::new(CRYPTSETUP)
            .args(&words)
            .current_dir(folder)
            .stdin(Stdio::null())
            .status();
        assert!(status.expect("cryptsetup is installed").success(), "{words:?}");
    }
    fs::read(image).expect("the image")
}

fn metadata_of(base: &[u8]) -> Value {
    let area = &base[BINARY..HDR_SIZE];
    let end = area.iter().position(|byte| *byte == 0).expect("a NUL behind the text");
    serde_json::from_slice(&area[..end]).expect("Debian's metadata")
}

fn defects_of_metadata(base: &[u8], found: &mut Vec<Defective>) {
    let metadata = metadata_of(base);
    let mut all = Vec::new();
    places(&metadata, "", &mut all);
    for place in &all {
        let now = metadata.pointer(place).expect("a place of it");
        let mut add = |name: String, changed: &Value| {
            found.push(Defective {
                name,
                image: with_metadata(base, changed.to_string().as_bytes()),
            });
        };
        for value in values(now).into_iter().filter(|value| value != now) {
            let mut changed = metadata.clone();
            *changed.pointer_mut(place).expect("a place of it") = value.clone();
            let shown: String = value.to_string().chars().take(40).collect();
            add(format!("json {place} = {shown}"), &changed);
        }
        let (parent, name) = place.rsplit_once('/').expect("a pointer");
        let mut changed = metadata.clone();
        if let Some(Value::Object(members)) = changed.pointer_mut(parent) {
            let value = members.remove(name).expect("a member of it");
            add(format!("json {place} missing"), &changed);
            for other in ["-1", "33", "x", "00"] {
                if name.parse::<u32>().is_ok() {
                    let mut renamed = changed.clone();
                    if let Some(Value::Object(members)) = renamed.pointer_mut(parent) {
                        members.insert(other.to_owned(), value.clone());
                    }
                    add(format!("json {place} named {other}"), &renamed);
                }
            }
        }
    }
}

/// Texts that are not a JSON object, or are ambiguous.
fn defects_of_text(base: &[u8], found: &mut Vec<Defective>) {
    let text = metadata_of(base).to_string();
    let mut add = |name: &str, text: Vec<u8>| {
        found.push(Defective {
            name: format!("text {name}"),
            image: with_metadata(base, &text),
        });
    };
    let inner = &text[1..text.len() - 1];
    add("with a trailing comma", format!("{{{inner},}}").into());
    add("with a comment", format!("{{/* x */{inner}}}").into());
    add("with single quotes", text.replace("\"config\"", "'config'").into());
    add("with a duplicate key", format!("{{\"config\":{{}},{inner}}}").into());
    add("with a duplicate behind", format!("{{{inner},\"config\":{{}}}}").into());
    add("behind a space", format!(" {text}").into());
    add("behind a byte order mark", format!("\u{feff}{text}").into());
    add("of an array", format!("[{text}]").into());
    add("that ends early", text[..text.len() - 1].into());
    add("with another object behind", format!("{text}{{}}").into());
    add("with garbage behind the NUL", format!("{text}\0garbage").into());
    add(
        "with bytes that are no UTF-8",
        [b"{\"x\":\"\xff\xfe\",".as_slice(), inner.as_bytes(), b"}"].concat(),
    );
    add(
        "nested 20 deep",
        format!("{{\"x\":{}1{},{inner}}}", "[".repeat(20), "]".repeat(20)).into(),
    );
    add(
        "nested 1000 deep",
        format!("{{\"x\":{}1{},{inner}}}", "[".repeat(1000), "]".repeat(1000)).into(),
    );
    add("with a control character", format!("{{\"x\":\"\x01\",{inner}}}").into());
    add("with an escaped NUL", format!("{{\"x\":\"a\\u0000b\",{inner}}}").into());
    add("with NaN", format!("{{\"x\":NaN,{inner}}}").into());
    add("that is empty", Vec::new());
    let room = HDR_SIZE - BINARY - text.len() - 8;
    add(
        "that fills the area but for one byte",
        format!("{{\"x\":\"{}\",{inner}}}", "x".repeat(room - 1)).into(),
    );
    add(
        "that fills the area",
        format!("{{\"x\":\"{}\",{inner}}}", "x".repeat(room)).into(),
    );
}

/// Fields of the binary header, in both copies.
fn defects_of_binary(base: &[u8], found: &mut Vec<Defective>) {
    let mut add = |name: String, at: usize, bytes: &[u8]| {
        let mut image = base[..START].to_vec();
        for copy in [0, HDR_SIZE] {
            image[copy + at..copy + at + bytes.len()].copy_from_slice(bytes);
            sign(&mut image[copy..copy + HDR_SIZE]);
        }
        found.push(Defective {
            name: format!("binary {name}"),
            image,
        });
    };
    for version in [0_u16, 1, 3, 0x0200, u16::MAX] {
        add(format!("version = {version}"), 6, &version.to_be_bytes());
    }
    for size in [0_u64, 1, 4096, 16383, 16385, 32768, 1 << 22, 1 << 23, 1 << 63, u64::MAX] {
        add(format!("hdr_size = {size}"), 8, &size.to_be_bytes());
    }
    for seqid in [0_u64, 1, 1 << 63, u64::MAX] {
        add(format!("seqid = {seqid}"), 16, &seqid.to_be_bytes());
    }
    for offset in [1_u64, 512, 4096, 16384, u64::MAX] {
        add(format!("hdr_offset = {offset}"), 256, &offset.to_be_bytes());
    }
    for (field, at, len) in [
        ("label", 24, 48),
        ("checksum name", 72, 32),
        ("uuid", 168, 40),
        ("subsystem", 208, 48),
    ] {
        add(format!("{field} without an end"), at, &vec![b'x'; len]);
        add(format!("{field} empty"), at, &vec![0; len]);
        add(format!("{field} with a terminal escape"), at, b"\x1b[2Jx\0");
        add(format!("{field} with bytes that are no UTF-8"), at, b"\xff\xfe\0");
        add(format!("{field} with bytes behind its end"), at, b"sha256\0xyz");
    }
    for name in ["sha1", "sha512", "md5", "SHA256", "crc32"] {
        add(format!("checksum name = {name}"), 72, format!("{name}\0\0").as_bytes());
    }
    add("padding not zero".to_owned(), 300, b"x");
    add("padding at its end not zero".to_owned(), 4095, b"x");
    add("magic of the other copy".to_owned(), 0, b"SKUL\xba\xbe");
}

/// Fields of a LUKS1 header.
fn defects_of_luks1(base: &[u8], found: &mut Vec<Defective>) {
    let mut add = |name: String, at: usize, bytes: &[u8]| {
        let mut image = base[..START].to_vec();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        found.push(Defective {
            name: format!("luks1 {name}"),
            image,
        });
    };
    let numbers: [(&str, usize); 11] = [
        ("payload offset", 104),
        ("key bytes", 108),
        ("mk iterations", 164),
        ("slot 0 state", 208),
        ("slot 0 iterations", 212),
        ("slot 0 material offset", 248),
        ("slot 0 stripes", 252),
        ("slot 1 state", 256),
        ("slot 1 iterations", 260),
        ("slot 1 material offset", 296),
        ("slot 1 stripes", 300),
    ];
    for (field, at) in numbers {
        let now = u32::from_be_bytes(base[at..at + 4].try_into().expect("four bytes"));
        let edges = [
            0,
            1,
            2,
            7,
            8,
            16,
            32,
            64,
            128,
            3999,
            4001,
            4096,
            now.wrapping_sub(1),
            now.wrapping_add(1),
            0x7fff_ffff,
            0x8000_0000,
            u32::MAX,
            0xdead,
            0x00ac_71f3,
        ];
        for value in edges {
            // This many iterations, made of the magic number, legitimately take their time.
            if value != now && !(field.ends_with("iterations") && value == 0x00ac_71f3) {
                add(format!("{field} = {value}"), at, &value.to_be_bytes());
            }
        }
    }
    for version in [0_u16, 2, 3, u16::MAX] {
        add(format!("version = {version}"), 6, &version.to_be_bytes());
    }
    for (field, at, len) in [
        ("cipher name", 8, 32),
        ("cipher mode", 40, 32),
        ("hash", 72, 32),
        ("uuid", 168, 40),
    ] {
        add(format!("{field} without an end"), at, &vec![b'x'; len]);
        add(format!("{field} empty"), at, &vec![0; len]);
        for text in [
            "nosuch",
            "\u{1b}[2Jx",
            "../x",
            "aes",
            "xts-plain64",
            "cbc-essiv:sha256",
            "ecb",
            "SHA256",
            "sha1",
            "a b",
            "capi:x",
        ] {
            add(
                format!("{field} = {}", text.escape_debug()),
                at,
                format!("{text}\0").as_bytes(),
            );
        }
        add(format!("{field} with bytes that are no UTF-8"), at, b"\xff\xfe\0");
    }
}

/// The result of one tool on an image: the exit codes of `open --test-passphrase` and `luksDump`, and the first line of the
/// error.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    open: String,
    dump: String,
    error: String,
}

fn ask(program: &Path, folder: &Path, image: &str) -> Answer {
    let run = |words: &[&str]| {
        let output = Command::new("timeout")
            .args(["--kill-after=1", "3"])
            .arg(program)
            .args(words)
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .expect("timeout is part of coreutils");
        let code = match output.status.code() {
            Some(124 | 137) => "time".to_owned(),
            Some(code) => code.to_string(),
            None => "signal".to_owned(),
        };
        (code, output)
    };
    let (open, opened) = run(&["open", "--test-passphrase", "--key-file", "key", image]);
    let (dump, dumped) = run(&["luksDump", image]);
    let errors = [opened.stderr, dumped.stderr].concat();
    let text = String::from_utf8_lossy(&errors).into_owned();
    for (stream, bytes) in [("its errors", &errors), ("its dump", &dumped.stdout)] {
        let wild = bytes
            .iter()
            .find(|byte| byte.is_ascii_control() && !b"\n\t".contains(byte));
        assert!(
            wild.is_none() || program == Path::new(CRYPTSETUP),
            "{stream} hold control characters: {}",
            bytes.escape_ascii()
        );
    }
    Answer {
        open,
        dump,
        error: text.lines().next().unwrap_or_default().to_owned(),
    }
}

/// Where Luksmith refuses what cryptsetup opens: a part of the defect's name, and why.
const STRICTER: &[(&str, &str)] = &[
    (
        "/af/stripes",
        "4000 is the one number of stripes that the format has; another would be used by one program and not by the other",
    ),
    ("/af/hash", "a keyslot whose hash nobody here computes is no keyslot"),
    ("/kdf/", "the parameters of a key derivation that cannot be one"),
    (
        "/area/size",
        "the area must hold the key material; a shorter one lets it reach into the next",
    ),
    ("/area/key_size", "a length of the area's key that no cipher takes"),
    (
        "/key_size",
        "an area of that size does not hold the stripes of such a key",
    ),
    ("/area/encryption", "an empty cipher is none"),
    ("/tokens/0 named 00", "one object under two names, 0 and 00"),
    (
        "/tokens/0/keyslots",
        "a keyslot is named twice, and unassigning it once would leave it",
    ),
    ("/tokens/0/key_description", "a luks2-keyring token that names no key"),
    (
        "/digests/0/",
        "a digest that cannot be checked would let any key be the volume key, or none",
    ),
    (
        "/sector_size",
        "a sector size that wraps around to a good one in 32 bits",
    ),
    ("text ", "two readers may understand it differently"),
    ("binary ", "the bytes of a text field are no text"),
    ("luks1 uuid", "the bytes of a text field are no text"),
];

/// Why the two may differ here.
fn justification(name: &str, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    match (ours.open.as_str(), theirs.open.as_str()) {
        (_, "signal" | "time") => Some("the reference dies of it, or does not end"),
        ("1", "1") => Some("refused when the header is read, not only when the keyslot is used"),
        ("1", "2" | "3") => Some("refused for its value, and said so"),
        ("0", "1" | "3") if name.contains("/keyslots/0/") => Some("this keyslot is of no use, and another one opens"),
        ("2", "1") if name.contains("/digests/0/type") => {
            Some("with a digest of an unknown type no passphrase can be told to be right")
        }
        ("1", "0") => STRICTER.iter().find(|(part, _)| name.contains(part)).map(|row| row.1),
        _ => None,
    }
}

/// The result of each program on an image with that defect, in a folder that no other worker uses.
fn answers(folder: &Path, programs: &[(&str, PathBuf); 2], defect: &Defective) -> [Answer; 2] {
    let base = if defect.name.starts_with("luks1") {
        "base1"
    } else {
        "base"
    };
    programs.each_ref().map(|(tool, program)| {
        let image = format!("{tool}-{base}");
        let file = fs::File::options()
            .write(true)
            .open(folder.join(&image))
            .expect("the image");
        file.write_all_at(&defect.image, 0).expect("its header");
        ask(program, folder, &image)
    })
}

#[test]
fn headers_with_one_defect_each() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let mut defects = Vec::new();
    let luks2 = base(folder);
    defects_of_metadata(&luks2, &mut defects);
    defects_of_text(&luks2, &mut defects);
    defects_of_binary(&luks2, &mut defects);
    fs::File::create(folder.join("base1"))
        .and_then(|file| file.set_len(4 << 20))
        .expect("an image");
    let words = [
        "luksFormat",
        "-q",
        "--type",
        "luks1",
        "--pbkdf-force-iterations",
        "1000",
        "base1",
        "key",
    ];
    let status = Command::new(CRYPTSETUP)
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("cryptsetup is installed").success());
    defects_of_luks1(&fs::read(folder.join("base1")).expect("the image"), &mut defects);
    assert!(defects.len() >= 300, "{} defects", defects.len());

    let ours = folder.join("cryptsetup");
    std::os::unix::fs::symlink(OURS, &ours).expect("a link");
    let programs = [("ours", ours), ("theirs", PathBuf::from(CRYPTSETUP))];
    let mut answers: Vec<(usize, [Answer; 2])> = std::thread::scope(|scope| {
        let workers: [_; WORKERS] = std::array::from_fn(|worker| {
            let (defects, programs) = (&defects, &programs);
            scope.spawn(move || {
                let own = folder.join(worker.to_string());
                fs::create_dir(&own).expect("a folder");
                fs::copy(folder.join("key"), own.join("key")).expect("a copy of the key");
                for (tool, _) in programs {
                    for base in ["base", "base1"] {
                        fs::copy(folder.join(base), own.join(format!("{tool}-{base}"))).expect("a copy of the image");
                    }
                }
                let mine = defects.iter().enumerate().skip(worker).step_by(WORKERS);
                mine.map(|(at, defect)| (at, answers(&own, programs, defect)))
                    .collect::<Vec<_>>()
            })
        });
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("answers"))
            .collect()
    });
    answers.sort_unstable_by_key(|(at, _)| *at);
    let (mut table, mut unjustified, mut counts) = (String::new(), String::new(), BTreeMap::new());
    for (defect, (_, [ours, theirs])) in defects.iter().zip(&answers) {
        assert!(
            ["0", "1", "2", "3", "4"].contains(&ours.open.as_str()),
            "{}: {ours:?}",
            defect.name
        );
        assert!(["0", "1"].contains(&ours.dump.as_str()), "{}: {ours:?}", defect.name);
        let same = ours.open == theirs.open && ours.dump == theirs.dump;
        let why = if same {
            Some("")
        } else {
            justification(&defect.name, ours, theirs)
        };
        *counts
            .entry(match (same, why) {
                (true, _) => "same",
                (_, Some(_)) => "justified",
                _ => "unjustified",
            })
            .or_insert(0) += 1;
        let row = format!(
            "| `{}` | {} {} | {} {} | {} | {} |",
            defect.name,
            ours.open,
            ours.dump,
            theirs.open,
            theirs.dump,
            ours.error.replace('|', "\\|"),
            why.unwrap_or("NOT JUSTIFIED")
        );
        let _ = writeln!(table, "{row}");
        if why.is_none() {
            let _ = writeln!(unjustified, "{row}  [theirs: {}]", theirs.error);
        }
    }
    println!("{table}\n{} defects: {counts:?}", defects.len());
    if let Some(file) = std::env::var_os("LUKSMITH_TABLE") {
        fs::write(file, table).expect("the table's file");
    }
    assert!(unjustified.is_empty(), "differences without a reason:\n{unjustified}");
}
