//! `cat`, `write` and `image`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use keyslots::luks2::{self, copies};
use keyslots::units::Bytes;

use super::sandbox::{CHEAP, NOBODY, Sandbox};

/// Bytes that do not repeat, with a large hole.
fn plain() -> Vec<u8> {
    let mut number = 1_u64;
    let mut data: Vec<u8> = (0..6 << 20)
        .map(|_| {
            number = number
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (number >> 56) as u8
        })
        .collect();
    data[2 << 20..5 << 20].fill(0);
    data
}

#[test]
fn an_image_goes_into_a_volume_and_comes_back() {
    let sandbox = Sandbox::new();
    let plain = plain();
    sandbox.put("plain", &plain);
    for (words, volume) in [
        (&["plain", "luks2"][..], "luks2"),
        (&["--type", "luks1", "plain", "luks1"], "luks1"),
        (
            &[
                "--sector-size",
                "512",
                "--cipher",
                "serpent-xts-plain64",
                "plain",
                "serpent",
            ],
            "serpent",
        ),
    ] {
        sandbox.image(b"", words);
        assert_eq!(
            fs::metadata(sandbox.path(volume)).expect("a file").mode() & 0o777,
            0o600
        );
        sandbox.ok(b"", &["open", "--test-passphrase", volume]);
        assert!(sandbox.ok(b"", &["cat", volume]) == plain, "{volume}");
        let back = format!("{volume}.back");
        sandbox.ok(b"", &["image", "--decrypt", volume, &back]);
        assert!(sandbox.get(&back) == plain, "{volume}");
        let blocks = fs::metadata(sandbox.path(&back)).expect("a file").blocks();
        assert!(blocks * 512 <= 4 << 20, "the hole is kept: {blocks} blocks");
    }
}

#[test]
fn pipes_carry_volumes_both_ways() {
    let sandbox = Sandbox::new();
    let plain = plain();
    for options in [
        &["--type", "luks1"][..],
        &["--type", "luks2"],
        &["--luks2-metadata-size", "1M", "--luks2-keyslots-size", "512k"],
    ] {
        let volume = sandbox.image(&plain, &[options, &["-", "-"]].concat());
        assert!(
            sandbox.ok(&volume, &["image", "--decrypt", "-", "-"]) == plain,
            "{options:?}"
        );
        sandbox.put("volume", &volume);
        assert!(sandbox.ok(b"", &["cat", "volume"]) == plain, "{options:?}");
    }
    // A partial sector is filled up, and reported.
    let odd = sandbox.run(&plain[..1000], &[&["image"][..], &CHEAP, &["-", "-"]].concat());
    assert!(String::from_utf8_lossy(&odd.stderr).contains("24 zero bytes were added"));
    assert_eq!(sandbox.ok(&odd.stdout, &["image", "--decrypt", "-", "-"]).len(), 1024);
    // A file that is not a volume is an error, however long.
    for garbage in [&b""[..], &[0; 5000], &odd.stdout[..100_000]] {
        let refused = sandbox.run(garbage, &["image", "--decrypt", "-", "-"]);
        assert_eq!(
            refused.status.code(),
            Some(1),
            "{}",
            String::from_utf8_lossy(&refused.stderr)
        );
        assert!(refused.stdout.is_empty());
    }
}

#[test]
fn a_stopped_image_is_gone_on_with() {
    let sandbox = Sandbox::new();
    let plain = plain();
    sandbox.put("plain", &plain);
    sandbox.image(b"", &["plain", "volume"]);
    sandbox.ok(b"", &["image", "--decrypt", "volume", "back"]);
    for (name, words) in [
        ("volume", &["image", "--resume", "--verbose", "plain", "volume"][..]),
        (
            "back",
            &["image", "--resume", "--verbose", "--decrypt", "volume", "back"],
        ),
    ] {
        let whole = sandbox.get(name);
        let mut part = whole[..whole.len() - (3 << 20) - 77].to_vec();
        // A power loss may leave zeros where the last data were.
        let end = part.len();
        part[end - 100_000..].fill(0);
        sandbox.put(name, &part);
        let said = String::from_utf8(sandbox.ok(b"", words)).expect("text");
        assert!(sandbox.get(name) == whole, "{name}");
        assert!(!said.contains(" 0 of them were there"), "{said}");
    }
    // Nothing is overwritten without a confirmation.
    let refused = sandbox.run(b"", &["image", "--decrypt", "volume", "back"]);
    assert_eq!(refused.status.code(), Some(5));
    let twice = sandbox.run(b"", &["image", "volume", "twice"]);
    assert!(String::from_utf8_lossy(&twice.stderr).contains("is a LUKS volume already"));
    assert!(!sandbox.path("twice").exists());
}

#[test]
fn any_bytes_are_written_and_read() {
    let sandbox = Sandbox::new();
    let mut plain = plain();
    sandbox.put("plain", &plain);
    sandbox.image(b"", &["plain", "volume"]);
    sandbox.ok(b"from a pipe", &["write", "--offset", "4090", "volume"]);
    plain[4090..4101].copy_from_slice(b"from a pipe");
    sandbox.put("file", b"from a file, and this not");
    sandbox.ok(
        b"",
        &["write", "--offset", "5000000", "--length", "11", "volume", "file"],
    );
    plain[5_000_000..5_000_011].copy_from_slice(b"from a file");
    assert!(sandbox.ok(b"", &["cat", "volume"]) == plain);
    assert_eq!(
        sandbox.ok(b"", &["cat", "--offset", "4095", "--length", "6", "volume"]),
        b"a pipe"
    );
    // Reading beyond the end returns what is there, with an error.
    for (words, found) in [
        (&["cat", "--offset", "999999999", "volume"][..], &b""[..]),
        (&["cat", "--offset", "6291457", "volume"], b""),
        (
            &["cat", "--offset", "6291450", "--length", "7", "volume"],
            &plain[6_291_450..],
        ),
    ] {
        let short = sandbox.run(b"", words);
        assert_eq!(short.status.code(), Some(1), "{words:?}");
        assert!(short.stdout == found, "{words:?}");
        assert!(
            String::from_utf8_lossy(&short.stderr).contains("ends at byte 6291456"),
            "{words:?}"
        );
    }
    assert_eq!(sandbox.ok(b"", &["cat", "--offset", "6291456", "volume"]), b"");
    // The end of the volume.
    let end = plain.len() - 4;
    let at = end.to_string();
    let full = sandbox.run(b"12345678", &["write", "--offset", &at, "volume"]);
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("4 bytes were written"));
    assert_eq!(sandbox.ok(b"", &["cat", "--offset", &at, "volume"]), b"1234");
    sandbox.put("file", b"longer than that");
    let full = sandbox.run(b"", &["write", "--offset", &at, "volume", "file"]);
    assert_eq!(full.status.code(), Some(1));
    assert_eq!(sandbox.ok(b"", &["cat", "--offset", &at, "volume"]), b"1234");
}

#[test]
fn formatting_a_file_needs_no_root() {
    let sandbox = Sandbox::new();
    let volume = sandbox.path("volume");
    fs::write(&volume, b"")
        .and_then(|()| fs::OpenOptions::new().write(true).open(&volume)?.set_len(20 << 20))
        .expect("space");
    if sandbox.root {
        chown(&volume, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    sandbox.ok(
        b"",
        &[&["luksFormat", "--batch-mode"][..], &CHEAP, &["volume"]].concat(),
    );
    sandbox.ok(b"data", &["write", "volume"]);
    assert_eq!(sandbox.ok(b"", &["cat", "--length", "4", "volume"]), b"data");
    assert_eq!(sandbox.ok(b"", &["cat", "volume"]).len(), 4 << 20);
}

#[test]
fn a_volume_in_use_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.put("plain", &[0; 4096]);
    sandbox.image(b"", &["plain", "volume"]);
    let access = luksmith::userspace::Access::Write;
    let _held = luksmith::userspace::open_device(Path::new(&sandbox.path("volume")), access).expect("nobody else");
    for words in [
        &["cat", "volume"][..],
        &["write", "volume"],
        &["image", "--decrypt", "volume", "out"],
    ] {
        let refused = sandbox.run(b"x", words);
        assert_eq!(refused.status.code(), Some(5), "{words:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("in use"));
    }
}

/// It was emptied, and then grew until the disk was full.
#[test]
fn an_image_is_not_overwritten_while_it_is_read() {
    let sandbox = Sandbox::new();
    let plain = plain();
    sandbox.put("plain", &plain);
    std::os::unix::fs::symlink(sandbox.path("plain"), sandbox.path("link")).expect("a link");
    fs::hard_link(sandbox.path("plain"), sandbox.path("second")).expect("a link");
    let header = ["--header", "plain", "plain", "out"];
    for words in [
        &["plain", "plain"][..],
        &["plain", "link"],
        &["second", "plain"],
        &header,
    ] {
        let refused = sandbox.run(b"", &[&["image", "--batch-mode"][..], &CHEAP, words].concat());
        assert_eq!(refused.status.code(), Some(1), "{words:?}");
        assert_eq!(sandbox.get("plain"), plain, "{words:?}");
    }
}

/// It panicked.
#[test]
fn a_system_without_threads_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.put("plain", &[b'x'; 4096]);
    sandbox.image(b"", &["plain", "volume"]);
    for words in [&["cat", "volume"][..], &["write", "volume"]] {
        let refused = sandbox.run_under(&["prlimit", "--nproc=1"], b"x", words);
        let errors = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{words:?}: {errors}");
        assert!(errors.contains("temporarily unavailable"), "{words:?}: {errors}");
    }
    assert_eq!(sandbox.ok(b"", &["cat", "volume"]), [b'x'; 4096]);
}

/// Has the header of `volume` state the size of its data.
fn set_data_size(sandbox: &Sandbox, size: Bytes) -> fs::File {
    let file = fs::File::options().read(true).write(true).open(sandbox.path("volume"));
    let mut file = file.expect("the volume");
    let header = luks2::Header::read(&mut file).expect("a header");
    let mut copy = copies::Copy {
        binary: header.binary().clone(),
        metadata: header.metadata().clone(),
    };
    let segment = copy.metadata.segments.get_mut(&0).expect("a segment");
    segment.size = Some(size);
    copies::write(&mut file, &copy).expect("a valid header");
    file
}

#[test]
fn a_volume_that_was_cut_off_is_read_and_not_written() {
    let sandbox = Sandbox::new();
    sandbox.put("plain", &[b'x'; 4096]);
    sandbox.image(b"", &["plain", "volume"]);
    let file = set_data_size(&sandbox, Bytes::kib(8));
    let cut = || {
        let cut = sandbox.run(b"", &["cat", "volume"]);
        assert_eq!(cut.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&cut.stderr).contains("ends at byte 4096, before byte 8192"));
        cut.stdout
    };
    assert_eq!(cut(), [b'x'; 4096]);
    let open = ["open", "--backend", "userspace", "volume", "luksmith-test-cut"];
    for words in [&["write", "volume"][..], &open] {
        let refused = sandbox.run(b"lost", words);
        assert!(!refused.status.success(), "{words:?}");
        let errors = String::from_utf8_lossy(&refused.stderr);
        assert!(
            errors.contains("too small") || errors.contains("wanted"),
            "{words:?}: {errors}"
        );
    }
    assert_eq!(cut(), [b'x'; 4096]);
    // The device ends with the header.
    file.set_len(16 << 20).expect("a file");
    let cut = sandbox.run(b"", &["cat", "volume"]);
    assert!(cut.status.code() == Some(1) && cut.stdout.is_empty() && !cut.stderr.is_empty());
}

/// It ended with success, and the target had a part of the volume.
#[test]
fn an_image_that_was_cut_off_is_not_made_whole() {
    let sandbox = Sandbox::new();
    sandbox.put("plain", &[b'x'; 8192]);
    sandbox.image(b"", &["plain", "volume"]);
    set_data_size(&sandbox, Bytes::kib(8));
    assert_eq!(sandbox.ok(b"", &["image", "--decrypt", "volume", "-"]), [b'x'; 8192]);
    let whole = sandbox.get("volume");
    let part = &whole[..whole.len() - 4096];
    sandbox.put("volume", part);
    for (input, source, target) in [
        (&b""[..], "volume", "out"),
        (b"", "volume", "-"),
        (part, "-", "-"),
        (part, "-", "out"),
    ] {
        let cut = sandbox.run(input, &["image", "--decrypt", source, target]);
        let errors = String::from_utf8_lossy(&cut.stderr);
        assert_eq!(cut.status.code(), Some(1), "{source} {target}: {errors}");
        assert!(errors.contains("after 4096 of 8192 bytes"), "{errors}");
    }
    // The signature came last, and did not come.
    assert!(fs::read(sandbox.path("out")).is_ok_and(|out| out.iter().all(|byte| *byte == 0)));
}

/// The plaintext overwrote the only header.
#[test]
fn standard_output_is_not_the_header() {
    let sandbox = Sandbox::new();
    sandbox.put("plain", &[b'x'; 4096]);
    sandbox.image(b"", &["--header", "header", "plain", "volume"]);
    let header = sandbox.get("header");
    for words in ["cat --header header volume", "image --decrypt --header header volume -"] {
        let line = format!("./luksmith {words} --key-file key 1<>header");
        let refused = std::process::Command::new("sh")
            .args(["-c", &line])
            .current_dir(sandbox.path(""))
            .output()
            .expect("sh starts");
        let errors = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{words}: {errors}");
        assert!(
            errors.contains("header cannot be read and overwritten"),
            "{words}: {errors}"
        );
        assert!(sandbox.get("header") == header, "{words}");
    }
    assert_eq!(sandbox.ok(b"", &["cat", "--header", "header", "volume"]), [b'x'; 4096]);
}

/// Data written under a wrong key are lost.
#[test]
fn a_keyslot_of_another_key_does_not_open_the_data() {
    let sandbox = Sandbox::new();
    sandbox.put("plain", &[b'x'; 4096]);
    sandbox.put("other", b"battery staple");
    sandbox.image(b"", &["plain", "volume"]);
    // The passphrase is for the key of the new keyslot, so no prompt appears.
    let unbound = [
        "luksAddKey",
        "--batch-mode",
        "--unbound",
        "--key-size",
        "512",
        "--key-slot",
        "3",
    ];
    sandbox.ok(
        b"",
        &[&unbound[..], &CHEAP, &["--new-keyfile", "key", "volume"]].concat(),
    );
    for words in [&["write"][..], &["cat"], &["image", "--decrypt"]] {
        let target: &[&str] = if words.len() > 1 { &["volume", "-"] } else { &["volume"] };
        let refused = sandbox.run(b"lost", &[words, &["--key-slot", "3"], target].concat());
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{words:?}");
    }
    assert_eq!(sandbox.ok(b"", &["cat", "volume"]), [b'x'; 4096]);
}
