//! LUKS2 headers of the worst shapes, as large as their area allows: as a disk from an attacker may hold them.

use std::fmt::{Display, Write as _};

use sha2::{Digest as _, Sha256};

const BINARY: usize = 4096;
const KEYSLOTS: u64 = 64 << 20;

/// The places of objects in the metadata; the rest is a valid header.
#[derive(Default)]
struct Parts {
    root: String,
    keyslots: String,
    tokens: String,
    segments: String,
    segment_flags: String,
    digests: String,
    of_digest: (String, String),
    config: String,
}

/// A header of one shape: its name, and the JSON of its metadata.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

/// `text`s of the numbers from `from` on, with commas between, as many as fit into `room` bytes.
fn list<T: Display>(room: usize, from: usize, text: impl Fn(usize) -> T) -> String {
    let mut out = String::with_capacity(room);
    for n in from.. {
        let before = out.len();
        let comma = if out.is_empty() { "" } else { "," };
        write!(out, "{comma}{}", text(n)).expect("a String takes all");
        if out.len() > room {
            out.truncate(before);
            break;
        }
    }
    out
}

/// All shapes, for copies of `hdr_size` bytes.
pub(crate) fn all(hdr_size: usize) -> Vec<Shape> {
    let room = hdr_size - BINARY - 2048;
    let half = room / 2;
    let start = 2 * hdr_size as u64;
    let data = start + KEYSLOTS;
    let salt = format!("{}A=", "A".repeat(42));
    let luks2 = |offset: u64, size: u64| {
        format!(
            r#"{{"type":"luks2","key_size":1,"af":{{"type":"luks1","stripes":4000,"hash":"sha256"}},"area":{{"type":"raw","offset":"{offset}","size":"{size}","encryption":"aes-xts-plain64","key_size":64}},"kdf":{{"type":"pbkdf2","hash":"sha256","iterations":1000,"salt":"{salt}"}}}}"#
        )
    };
    let crypt = |offset: u64, size: &str| {
        format!(
            r#"{{"type":"crypt","offset":"{offset}","size":"{size}","iv_tweak":"0","encryption":"aes-xts-plain64","sector_size":512}}"#
        )
    };
    let whole = |parts: Parts| {
        let Parts {
            root,
            keyslots,
            tokens,
            segments,
            segment_flags,
            digests,
            of_digest,
            config,
        } = parts;
        let first = luks2(start, 4096);
        let segments = if segments.is_empty() {
            format!(
                "\"0\":{},\"flags\":[{segment_flags}]}}",
                crypt(data, "dynamic").trim_end_matches('}')
            )
        } else {
            segments
        };
        let segment_ids = if of_digest.1.is_empty() { "\"0\"" } else { &of_digest.1 };
        format!(
            r#"{{"keyslots":{{"0":{first}{keyslots}}},"tokens":{{{tokens}}},"segments":{{{segments}}},"digests":{{"0":{{"type":"pbkdf2","keyslots":["0"{}],"segments":[{segment_ids}],"hash":"sha256","iterations":1000,"salt":"{salt}","digest":"{salt}"}}{digests}}},"config":{{"json_size":"{}","keyslots_size":"{KEYSLOTS}"{config}}}{root}}}"#,
            of_digest.0,
            hdr_size - BINARY,
        )
    };
    let mut shapes = Vec::new();
    let mut add = |name, parts| {
        shapes.push(Shape {
            name,
            text: whole(parts),
        })
    };
    let id = |n: usize| format!("\"{n}\"");
    let same = |text: &'static str| move |_: usize| text;

    let ids = format!(",{}", list(room, 1, id));
    add(
        "a digest of keyslots that are not there",
        Parts {
            of_digest: (ids, String::new()),
            ..Parts::default()
        },
    );
    let ids = format!(",{}", list(room, 1, same("\"0\"")));
    add(
        "a digest that names one keyslot often",
        Parts {
            of_digest: (ids, String::new()),
            ..Parts::default()
        },
    );
    let token = |n: usize| format!(r#""{n}":{{"type":"x","keyslots":["0"]}}"#);
    add(
        "tokens",
        Parts {
            tokens: list(room, 0, token),
            ..Parts::default()
        },
    );
    let tokens = format!(r#""0":{{"type":"x","keyslots":[{}]}}"#, list(room, 0, same("\"0\"")));
    add(
        "a token that names one keyslot often",
        Parts {
            tokens,
            ..Parts::default()
        },
    );
    let unknown = |n: usize| {
        let offset = start + 4096 + 512 * n as u64;
        format!(r#""{n}":{{"type":"x","key_size":1,"area":{{"type":"none","offset":"{offset}","size":"512"}}}}"#)
    };
    let keyslots = list(room * 9 / 10, 1, unknown);
    let count = keyslots.matches("key_size").count();
    let ids = format!(",{}", list(room / 10, 1, |n| if n <= count { id(n) } else { id(0) }));
    add(
        "keyslots of a kind that is unknown",
        Parts {
            keyslots: format!(",{keyslots}"),
            of_digest: (ids, String::new()),
            ..Parts::default()
        },
    );
    let keyslots = list(room * 9 / 10, 1, |n| {
        format!("\"{n}\":{}", luks2(start + 4096 * n as u64, 4096))
    });
    let count = keyslots.matches("stripes").count();
    let ids: Vec<String> = (1..=count).rev().map(id).collect();
    add(
        "keyslots",
        Parts {
            keyslots: format!(",{keyslots}"),
            of_digest: (format!(",{}", ids.join(",")), String::new()),
            ..Parts::default()
        },
    );
    type Offset = fn(u64) -> u64;
    let offsets: [(&str, Offset); 3] = [
        ("segments side by side", |n| n * 4096),
        ("segments in reverse", |n| (100_000 - n) * 4096),
        ("segments over one another", |_| 0),
    ];
    for (name, offset) in offsets {
        let segments = list(room * 9 / 10, 0, |n| {
            format!("\"{n}\":{}", crypt(data + offset(n as u64), "4096"))
        });
        let count = segments.matches("iv_tweak").count();
        let ids = (0..count).map(id).collect::<Vec<_>>().join(",");
        add(
            name,
            Parts {
                segments,
                of_digest: (String::new(), ids),
                ..Parts::default()
            },
        );
    }
    let backups = list(room, 1, |n| {
        format!(r#""{n}":{{"type":"linear","offset":"0","size":"512","flags":["backup-x"]}}"#)
    });
    let segments = format!("\"0\":{},{backups}", crypt(data, "dynamic"));
    add(
        "segments that are kept",
        Parts {
            segments,
            ..Parts::default()
        },
    );
    let digest = |n: usize| format!(r#""{n}":{{"type":"x","keyslots":[],"segments":["0"]}}"#);
    add(
        "digests",
        Parts {
            digests: format!(",{}", list(room, 1, digest)),
            ..Parts::default()
        },
    );
    let flags = list(half, 1, same("\"x\""));
    let digests = format!(",{}", list(half, 1, digest));
    add(
        "digests of a segment with flags",
        Parts {
            segment_flags: flags,
            digests,
            ..Parts::default()
        },
    );
    let words = list(room, 1, same("\"x\""));
    add(
        "requirements",
        Parts {
            config: format!(r#","requirements":{{"mandatory":[{words}]}}"#),
            ..Parts::default()
        },
    );
    add(
        "flags",
        Parts {
            config: format!(",\"flags\":[{words}]"),
            ..Parts::default()
        },
    );
    let members = format!(",{}", list(room, 1, |n| format!("\"m{n}\":1")));
    add(
        "members that are unknown",
        Parts {
            root: members.clone(),
            ..Parts::default()
        },
    );
    add(
        "members of a token",
        Parts {
            tokens: format!(r#""0":{{"type":"x","keyslots":["0"]{members}}}"#),
            ..Parts::default()
        },
    );
    let names = list(room, 1, |n| format!("\"{n}\":\"n{n}\""));
    add(
        "names of keyslots",
        Parts {
            tokens: format!(
                r#""0":{{"type":"luksmith-slot-names","keyslots":["0"],"names":{{{names}}},"protected":[]}}"#
            ),
            ..Parts::default()
        },
    );
    let lax = |text: &str| format!(r#""0":{{"type":"x","keyslots":["0"]{text}}}"#);
    add(
        "one member of a token, often",
        Parts {
            tokens: lax(&",\"a\":1".repeat(room / 6)),
            ..Parts::default()
        },
    );
    add(
        "comments in a token",
        Parts {
            tokens: lax(&"/**/".repeat(room / 4)),
            ..Parts::default()
        },
    );
    for (name, text) in [
        ("a long string", format!("\"{}\"", "x".repeat(room))),
        ("escapes", format!("\"{}\"", "\\u0001".repeat(room / 6))),
        (
            "characters of four bytes",
            format!("\"{}\"", "\u{10ffff}".repeat(room / 4)),
        ),
        ("numbers", format!("[{}]", list(room, 1, same("1")))),
        ("fractions", format!("[{}]", list(room, 1, same("1.5")))),
        ("a long number", "9".repeat(room)),
        ("arrays", format!("[{}]", list(room, 1, same("[]")))),
        ("objects", format!("[{}]", list(room, 1, same("{}")))),
        ("strings", format!("[{}]", list(room, 1, same("\"\"")))),
        (
            "arrays in arrays",
            format!("[{}]", list(room, 1, |_| "[".repeat(26) + &"]".repeat(26))),
        ),
        (
            "objects in objects",
            format!("[{}]", list(room, 1, |_| "{\"\":".repeat(26) + "1" + &"}".repeat(26))),
        ),
        ("spaces", " ".repeat(room) + "1"),
    ] {
        add(
            name,
            Parts {
                root: format!(",\"x\":{text}"),
                ..Parts::default()
            },
        );
    }
    shapes
}

/// An image with these metadata in both copies, all checksums right, without what follows the copies.
pub(crate) fn image(text: &str, hdr_size: usize) -> Vec<u8> {
    let mut image = Vec::with_capacity(2 * hdr_size);
    for (offset, magic) in [(0, b"LUKS\xba\xbe"), (hdr_size, b"SKUL\xba\xbe")] {
        let mut copy = vec![0; hdr_size];
        copy[..6].copy_from_slice(magic);
        copy[6..8].copy_from_slice(&2_u16.to_be_bytes());
        copy[8..16].copy_from_slice(&(hdr_size as u64).to_be_bytes());
        copy[16..24].copy_from_slice(&1_u64.to_be_bytes());
        copy[72..78].copy_from_slice(b"sha256");
        copy[168..204].copy_from_slice(b"12345678-1234-1234-1234-123456789abc");
        copy[256..264].copy_from_slice(&(offset as u64).to_be_bytes());
        copy[BINARY..][..text.len()].copy_from_slice(text.as_bytes());
        let sum = Sha256::digest(&copy);
        copy[448..480].copy_from_slice(&sum);
        image.extend(copy);
    }
    image
}

/// The size of such an image's device.
pub(crate) fn device_size(hdr_size: usize) -> u64 {
    2 * hdr_size as u64 + KEYSLOTS + (64 << 20)
}
