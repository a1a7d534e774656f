//! Tokens of other programs: whatever text cryptsetup imports is imported, kept to the digit and exported as it was, and no
//! part of it that is irrelevant here keeps a volume from being opened.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::{CRYPTSETUP, OURS, words};

/// Runs a program without input: exit code, and the bytes of standard output.
fn run(folder: &Path, program: &str, line: &str) -> (Option<i32>, Vec<u8>) {
    let output = Command::new(program)
        .args(words(line))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    (output.status.code(), output.stdout)
}

fn volume() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path();
    symlink(OURS, path.join("cryptsetup")).expect("a link");
    fs::write(path.join("k"), "k").expect("a key");
    fs::File::create(path.join("v"))
        .and_then(|file| file.set_len(20 << 20))
        .expect("a file");
    let words = "luksFormat -q --type luks2 PBKDF v k";
    assert_eq!(run(path, CRYPTSETUP, words).0, Some(0));
    folder
}

/// The imported text, and the export by both programs; `None` if neither imports it. If they differ, ours is the imported
/// text: cryptsetup cuts whole numbers to 64 bits.
#[rustfmt::skip]
const IMPORTS: [(&[u8], Option<&[u8]>); 36] = [
    (br#"{"z":1,"keyslots":["0"],"a":{"y":[],"x":{}},"type":"t"}"#, Some(br#"{"z":1,"keyslots":["0"],"a":{"y":[],"x":{}},"type":"t"}"#)),
    (br#"{"type":"t","keyslots":[],"a":1,"b":3,"a":2}"#, Some(br#"{"type":"t","keyslots":[],"a":2,"b":3}"#)),
    (br#"{"type":"t","keyslots":[],"a":[{"x":1,"x":2}]}"#, Some(br#"{"type":"t","keyslots":[],"a":[{"x":2}]}"#)),
    (br#"{"type":"t","keyslots":["0"],"type":"u","keyslots":[]}"#, Some(br#"{"type":"u","keyslots":[]}"#)),
    (b"{'type':'t','keyslots':[],}", Some(br#"{"type":"t","keyslots":[]}"#)),
    (br#"{"type":"t","keyslots":["0",],"a":[1,]} and more"#, Some(br#"{"type":"t","keyslots":["0"],"a":[1]}"#)),
    (b" \n\t{\"type\":\"t\",/* x */\"keyslots\":[]// y\n}\n", Some(br#"{"type":"t","keyslots":[]}"#)),
    (br#"{"type":"t","keyslots":[]}{"a":1}"#, Some(br#"{"type":"t","keyslots":[]}"#)),
    (b"{\"type\":\"t\",\"keyslots\":[]}\0x", Some(br#"{"type":"t","keyslots":[]}"#)),
    (br#"{"type":"t","keyslots":[],"n":[1e400,-1e400,1e3,1E+3,1.50]}"#, Some(br#"{"type":"t","keyslots":[],"n":[1e400,-1e400,1e3,1E+3,1.50]}"#)),
    (br#"{"type":"t","keyslots":[],"n":[NaN,nan,Infinity,-Infinity,INFINITY]}"#, Some(br#"{"type":"t","keyslots":[],"n":[NaN,NaN,Infinity,-Infinity,Infinity]}"#)),
    (br#"{"type":"t","keyslots":[],"n":0.1234567890123456789012345}"#, Some(br#"{"type":"t","keyslots":[],"n":0.1234567890123456789012345}"#)),
    (br#"{"type":"t","keyslots":[],"n":[18446744073709551615,-0.0,007,-01,1e]}"#, Some(br#"{"type":"t","keyslots":[],"n":[18446744073709551615,-0.0,7,-1,1]}"#)),
    (br#"{"type":"t","keyslots":[],"n":[True,FALSE,Null]}"#, Some(br#"{"type":"t","keyslots":[],"n":[true,false,null]}"#)),
    (br#"{"type":"t","keyslots":[],"s":"a\/b\u0041\u00e9\ud83d\ude00\n\\\""}"#, Some("{\"type\":\"t\",\"keyslots\":[],\"s\":\"a/bA\u{e9}\u{1f600}\\n\\\\\\\"\"}".as_bytes())),
    (br#"{"type":"t","keyslots":[],"s":"\ud83dx\ude00"}"#, Some("{\"type\":\"t\",\"keyslots\":[],\"s\":\"\u{fffd}x\u{fffd}\"}".as_bytes())),
    (b"{\"type\":\"t\",\"keyslots\":[],\"s\":\"\x01\n\xff\xc0\x80\x7f\"}", Some(b"{\"type\":\"t\",\"keyslots\":[],\"s\":\"\\u0001\\n\xff\xc0\x80\x7f\"}")),
    (br#"{"type":"luks2-keyring","keyslots":[],"key_description":"d","key_description":"e"}"#, Some(br#"{"type":"luks2-keyring","keyslots":[],"key_description":"e"}"#)),
    (b"\xef\xbb\xbf{\"type\":\"t\",\"keyslots\":[]}", None),
    (br#"{"type":"t","keyslots":[],"n":-inf}"#, None), (br#"{"type":"t","keyslots":[],"n":.5}"#, None),
    (br#"{"type":"t","keyslots":[],"n":+1}"#, None), (br#"{"type":"t","keyslots":[],"n":0x10}"#, None),
    (br#"{"type":"t","keyslots":[],"n":1.2.3}"#, None), (br#"{type:"t","keyslots":[]}"#, None),
    (br#"{"type":"t","keyslots":[],"s":"\x"}"#, None), (br#"{"type":"t",,"keyslots":[]}"#, None),
    (br#"{"type":"t" "keyslots":[]}"#, None), (br#"{"type":"t","keyslots":[]"#, None), (b"", None), (b"[]", None),
    (br#"{"type":"","keyslots":[]}"#, None), (br#"{"type":"t","keyslots":[0]}"#, None), (br#"{"type":"t","keyslots":["+0"]}"#, None),
    (br#"{"type":"luks2-x","keyslots":[]}"#, None), (br#"{"type":"t"}"#, None),
];

#[test]
fn what_cryptsetup_imports_is_imported_and_opens_in_both() {
    let folder = volume();
    let path = folder.path();
    let base = fs::read(path.join("v")).expect("a volume");
    for (text, exported) in IMPORTS {
        let shown = String::from_utf8_lossy(text);
        fs::write(path.join("t"), text).expect("a token");
        for importer in [CRYPTSETUP, "./cryptsetup"] {
            fs::write(path.join("v"), &base).expect("a volume");
            let code = run(path, importer, "token import v --json-file t").0;
            assert_eq!(code, Some(i32::from(exported.is_none())), "{importer}: {shown}");
            let Some(exported) = exported else { continue };
            for exporter in [CRYPTSETUP, "./cryptsetup", OURS] {
                let out = run(path, exporter, "token export v --token-id 0");
                assert_eq!(out, (Some(0), exported.to_vec()), "{importer}, {exporter}: {shown}");
                let test = run(path, exporter, "open --test-passphrase v -d k").0;
                assert_eq!(test, Some(0), "{importer}, {exporter}: {shown}");
            }
        }
        if exported.is_some() {
            // Our JSON is what every parser reads, and our next write keeps the token.
            let answer = run(path, OURS, "token export v --token-id 0 --json").1;
            serde_json::from_slice::<serde_json::Value>(&answer).unwrap_or_else(|error| panic!("{shown}: {error}"));
            let answer = run(path, OURS, "luksDump v --json").1;
            serde_json::from_slice::<serde_json::Value>(&answer).unwrap_or_else(|error| panic!("{shown}: {error}"));
            let before = run(path, CRYPTSETUP, "token export v --token-id 0");
            assert_eq!(run(path, OURS, "config v --label x").0, Some(0));
            assert_eq!(run(path, CRYPTSETUP, "token export v --token-id 0"), before, "{shown}");
            let theirs = run(path, CRYPTSETUP, "luksDump --dump-json-metadata v").1;
            let ours = run(path, "./cryptsetup", "luksDump --dump-json-metadata v").1;
            // A control character is escaped, which is the same in JSON.
            let same = |text: Vec<u8>| {
                text.split(|byte| *byte == 0x7f)
                    .collect::<Vec<_>>()
                    .join(b"\\u007f".as_slice())
            };
            assert!(same(theirs) == same(ours), "{shown}");
        }
    }
}

#[test]
fn numbers_and_bytes_of_other_programs_are_kept() {
    let folder = volume();
    let path = folder.path();
    let token = br#"{"keyslots":["0"],"n":[18446744073709551616,-9223372036854775809,-0],"type":"t"}"#;
    fs::write(path.join("t"), token).expect("a token");
    assert_eq!(run(path, OURS, "token import v --json-file t").0, Some(0));
    assert_eq!(run(path, OURS, "config v --label x").0, Some(0));
    for program in [OURS, "./cryptsetup"] {
        assert_eq!(run(path, program, "token export v --token-id 0").1, token);
        assert_eq!(
            run(path, program, "token export v --token-id 0 --json-file out").0,
            Some(0)
        );
        assert_eq!(fs::read(path.join("out")).expect("a token"), token, "{program}");
    }
    assert_eq!(run(path, CRYPTSETUP, "open --test-passphrase v -d k").0, Some(0));
    // A second link is not for a volume with one key.
    let links = "--link-vk-to-keyring @s::%user:luksmith-a --link-vk-to-keyring";
    let words = format!("open --test-passphrase v -d k {links}");
    assert_eq!(run(path, OURS, &format!("{words} @s::%user:luksmith-b")).0, Some(1));
    assert_eq!(
        run(path, "./cryptsetup", &format!("{words} @u::%user:luksmith-b")).0,
        Some(1)
    );
    assert_eq!(
        run(path, "./cryptsetup", &format!("{words} @s::%user:luksmith-b {links} x")).0,
        Some(1)
    );
}

#[test]
fn any_bytes_name_a_key_of_the_keyring() {
    let folder = volume();
    let path = folder.path();
    // The first is not UTF-8, the second has characters that represent such bytes in memory.
    let names: [&[u8]; 2] = [b"caf\xe9", "X\u{10ffe9}\u{10ff80}".as_bytes()];
    for name in names {
        let token = [
            b"{\"type\":\"luks2-keyring\",\"keyslots\":[\"0\"],\"key_description\":\"".as_slice(),
            name,
            b"\"}",
        ];
        fs::write(path.join("token"), token.concat()).expect("written");
        let answer = run(path, "./cryptsetup", "token import --json-file token v");
        assert_eq!(answer.0, Some(0));
    }
    let added = run(
        path,
        "./cryptsetup",
        "token add --key-description X\u{10ffe9}\u{10ff80} v",
    );
    assert_eq!(added.0, Some(0));
    for (token, name) in [(0, names[0]), (1, names[1]), (2, names[1])] {
        fs::write(path.join("name"), name).expect("written");
        let script = "keyctl padd user \"$(cat name)\" @s <k >/dev/null && exec \"$@\"";
        for program in ["./cryptsetup", CRYPTSETUP] {
            let status = Command::new("keyctl")
                .args(["session", "-", "sh", "-c", script, "sh", program])
                .args(["open", "--test-passphrase", "--token-only", "--token-id"])
                .args([&token.to_string(), "v"])
                .current_dir(path)
                .stderr(Stdio::null())
                .status();
            let status = status.expect("keyctl starts");
            assert_eq!(status.code(), Some(0), "{program}: token {token}");
        }
    }
    let dumps = ["./cryptsetup", CRYPTSETUP].map(|program| run(path, program, "luksDump v").1);
    let [ours, theirs] = dumps.map(|dump| String::from_utf8_lossy(&dump).into_owned());
    assert_eq!(ours, theirs);
}
