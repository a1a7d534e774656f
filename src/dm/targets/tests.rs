//! Statuses and tables of the kernel's documentation, and of old and new kernels.

use serde_json::json;

use super::*;

/// A target: its type, its length, its table, its status.
struct Text(&'static str, u64, &'static str, &'static str);

const TEXTS: &[Text] = &[
    Text("linear", 8, "8:1 384", ""),
    Text("striped", 1024, "2 128 7:0 0 7:1 16", "2 7:0 7:1 1 AD"),
    Text("striped", 1024, "2 128 7:0 0 7:1 16", ""),
    Text("unstriped", 512, "2 256 1 259:0 0", ""),
    Text("ebs", 512, "/dev/sda 128 2 4", ""),
    Text("ebs", 512, "8:0 1024 1", ""),
    Text("delay", 512, "8:0 0 500", "0 0 0"),
    Text("delay", 512, "8:0 2048 0 8:16 4096 400", ""),
    Text("delay", 512, "8:0 0 50 8:16 0 100 8:0 0 333", ""),
    Text("flakey", 512, "8:0 0 1 4 5 corrupt_bio_byte 32 r 1 0", ""),
    Text("dust", 33552384, "252:17 0 512", "252:17 bypass"),
    Text("dust", 33552384, "252:17 0 512", "252:17 fail_read_on_bad_block quiet"),
    Text("error", 8, "", ""),
    Text("zero", 8, "", ""),
    Text("switch", 8, "3 128 0 253:0 0 253:1 0 253:2 0", ""),
    Text("log-writes", 8, "8:16 8:32", "12 4096"),
    Text(
        "crypt",
        8,
        "aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 7:0 32768 1 sector_size:4096",
        "",
    ),
    Text(
        "crypt",
        8,
        "aes-cbc-essiv:sha256 00000000000000000000000000000000 0 7:0 0",
        "",
    ),
    Text(
        "inlinecrypt",
        8,
        "aes-xts-plain64 :64:logon:fde:k 0 8:0 0 1 keytype:raw",
        "",
    ),
    Text(
        "integrity",
        2048,
        "8:1 0 32 J 3 block_size:512 internal_hash:hmac(sha256):00 journal_mac:crc32c",
        "3 2048 -",
    ),
    Text("integrity", 2048, "8:1 0 - B 1 internal_hash:crc32c", "0 2048 512"),
    Text("integrity", 2048, "8:1 0 4 D 0", "0"),
    Text("verity", 2097152, "1 8:1 8:2 4096 4096 262144 1 sha256 4392 1234", "V"),
    Text(
        "verity",
        2097152,
        "1 8:1 8:2 4096 4096 262144 1 sha256 4392 1234 1 ignore_corruption",
        "C -",
    ),
    Text(
        "verity",
        2097152,
        "1 8:1 8:2 4096 4096 262144 1 sha256 4392 1234",
        "V 5",
    ),
    Text("snapshot", 8388608, "254:11 254:12 P 16", "397896/2097152 1560"),
    Text(
        "snapshot",
        8388608,
        "254:11 254:12 N 16 1 discard_zeroes_cow",
        "16/2097152",
    ),
    Text("snapshot", 8388608, "254:11 254:12 PO 16", "Overflow"),
    Text("snapshot", 8388608, "254:11 254:12 PO 16", "Invalid"),
    Text("snapshot-merge", 8388608, "254:11 254:12 P 16", "281688/2097152 1104"),
    Text("snapshot-merge", 8388608, "254:11 254:12 P 16", "Merge failed"),
    Text("snapshot-origin", 8388608, "254:11", ""),
    Text(
        "mirror",
        8192,
        "core 1 1024 2 253:2 0 253:3 0 1 handle_errors",
        "2 253:2 253:3 5/8 1 AA 1 core",
    ),
    Text(
        "mirror",
        8192,
        "disk 2 253:1 1024 2 253:2 0 253:3 0",
        "2 253:2 253:3 8/8 1 AD 3 disk 253:1 A",
    ),
    Text("mirror", 8192, "core 1 1024 2 253:2 0 253:3 0", "2 253:2 253:3 8/8"),
    Text(
        "raid",
        1960893648,
        "raid4 1 2048 5 - 8:17 - 8:33 - 8:49 - 8:65 - 8:81",
        "raid4 5 AAAAA 2/490221568 init 0",
    ),
    Text(
        "raid",
        1960893648,
        "raid4 4 2048 sync min_recovery_rate 20 5 8:17 8:18 8:33 8:34 8:49 8:50 8:65 8:66 8:81 8:82",
        "raid4 5 AAaAA 490221568/490221568 recover 0 0 -",
    ),
    Text(
        "raid",
        8192,
        "raid1 3 0 region_size 1024 2 253:0 253:1 - -",
        "raid1 2 AD 8192/8192",
    ),
    Text(
        "thin-pool",
        20971520,
        "253:1 253:2 128 0 1 skip_block_zeroing",
        "1 18/1024 37/128 - rw no_discard_passdown queue_if_no_space - 1024",
    ),
    Text(
        "thin-pool",
        8192,
        "253:1 253:2 128 0",
        "0 18/1024 128/128 7 out_of_data_space discard_passdown error_if_no_space needs_check",
    ),
    Text("thin-pool", 8192, "253:1 253:2 128 0", "0 18/1024 37/128 -"),
    Text("thin-pool", 8192, "253:1 253:2 128 0", "Fail"),
    Text("thin", 2097152, "253:3 0", "1048576 2097151"),
    Text("thin", 2097152, "253:3 1 8:0", "0 -"),
    Text("thin", 2097152, "253:3 1", "Fail"),
    Text(
        "cache",
        41943040,
        "253:0 253:1 253:2 512 1 writeback default 0",
        "8 72/1024 512 28/1024 13 20 117 6 0 28 4 1 writeback 2 migration_threshold 2048 smq 0 rw -",
    ),
    Text(
        "cache",
        41943040,
        "253:0 253:1 253:2 1024 1 writeback mq 4 sequential_threshold 1024 random_threshold 8",
        "8 72/1024 512 28/1024 13 20 117 6 0 28 4 2 writethrough metadata2 2 migration_threshold 2048 mq 2 random_threshold 4 ro needs_check",
    ),
    Text("cache", 41943040, "253:0 253:1 253:2 512 0 smq 0", "Fail"),
    Text(
        "writecache",
        8192,
        "s 253:0 253:1 4096 2 high_watermark 60",
        "0 1000 400 3",
    ),
    Text(
        "writecache",
        8192,
        "p 253:0 253:1 4096 0",
        "-5 1000 1000 0 1 2 3 4 5 6 7 8 9 10",
    ),
    Text("era", 8192, "253:0 253:1 128", "8 12/1024 3 -"),
    Text(
        "clone",
        8192,
        "253:0 253:1 253:2 8 1 no_hydration",
        "8 12/1024 8 512/1024 2 1 no_hydration 2 hydration_threshold 1 rw",
    ),
    Text(
        "pcache",
        8192,
        "259:0 8:16 4 cache_mode writeback data_crc true",
        "0 32 30 12 70 1 3:4096 2:0 1:512",
    ),
    Text(
        "vdo",
        2097152,
        "V4 253:1 262144 4096 32768 16380 maxDiscard 8",
        "253:1 normal - online offline 74000 262144",
    ),
    Text(
        "vdo",
        2097152,
        "V4 253:1 262144 4096 32768 16380",
        "vdo0 read-only recovering error online 1 2",
    ),
    Text("zoned", 8192, "8:16", "64 zones 2/4 random 50/60 sequential"),
    Text(
        "zoned",
        8192,
        "8:0 8:16",
        "64 zones 3/4 cache 0/0 random 50/60 sequential",
    ),
    Text(
        "multipath",
        10,
        "0 0 1 1 service-time 0 2 2 8:0 128 1 8:16 128 4",
        "2 0 0 0 1 1 E 0 2 2 8:0 A 0 0 1 8:16 F 3 512 4",
    ),
    Text(
        "multipath",
        10,
        "0 0 1 1 queue-length 0 2 1 8:0 128 8:16 128",
        "2 0 0 0 1 1 A 0 2 1 8:0 A 0 0 8:16 A 0 7",
    ),
    Text(
        "multipath",
        10,
        "1 queue_if_no_path 1 alua 2 1 round-robin 0 1 1 8:0 1000 round-robin 0 1 1 8:16 1000",
        "2 0 1 0 2 1 A 0 1 0 8:0 A 0 E 0 1 0 8:16 F 2",
    ),
];

impl Text {
    fn decode(&self) -> Decoded {
        parse(self.0, self.1, self.2.as_bytes(), self.3.as_bytes())
    }
}

fn fields(target: &str, length: u64, table: &str, status: &str) -> Value {
    let mut out = Map::new();
    parse(target, length, table.as_bytes(), status.as_bytes()).put_all(&mut out);
    out.into()
}

#[test]
fn the_texts_of_the_documentation_are_understood_to_the_end() {
    for text in TEXTS {
        let Text(target, _, table, status) = text;
        let decoded = text.decode();
        assert!(decoded.known, "{target}");
        assert_eq!(decoded.unread_table, "", "{target} {table}");
        // Its numbers are in no documentation.
        let expected = if *target == "delay" { status } else { "" };
        assert_eq!(decoded.unread_status, expected, "{target} {status}");
        assert_eq!(decoded.parameters.is_some(), !table.is_empty(), "{target} {table}");
    }
}

/// Each byte of a text that ends early, or goes on, stands in a field or is told as it is.
#[test]
fn what_is_not_understood_is_told_as_it_is() {
    let all = |decoded: &Decoded| {
        let mut out = Map::new();
        decoded.put_all(&mut out);
        out
    };
    for Text(target, length, table, status) in TEXTS {
        for end in 0..=table.len() {
            let decoded = parse(target, *length, &table.as_bytes()[..end], status.as_bytes());
            if decoded.parameters.is_none() {
                assert_eq!(decoded.unread_table, table[..end].trim(), "{target}");
            }
            all(&decoded);
        }
        for end in 0..=status.len() {
            let decoded = parse(target, *length, table.as_bytes(), &status.as_bytes()[..end]);
            if decoded.state.is_none() {
                assert_eq!(decoded.unread_status, status[..end].trim(), "{target}");
            }
            all(&decoded);
        }
        let more = parse(
            target,
            *length,
            format!("{table} | +x").as_bytes(),
            format!("{status} | +x").as_bytes(),
        );
        assert!(
            more.unread_status.ends_with("| +x"),
            "{target} {status}: {}",
            more.unread_status
        );
        // One target's table takes any number of words.
        assert!(
            *target == "vdo" || more.unread_table.ends_with("| +x"),
            "{target} {table}"
        );
    }
}

#[test]
fn no_text_panics() {
    // xorshift: the same bytes each time.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let words = [
        "0",
        "1",
        "2",
        "18446744073709551615",
        "-",
        "1/0",
        "0/0",
        "18446744073709551615/1",
        "A",
        "8:0",
        "\u{fffd}",
        "x",
    ];
    for _ in 0..40 {
        for Text(target, _, table, status) in TEXTS {
            let mut change = |text: &str| {
                let mut bytes = text.as_bytes().to_vec();
                match random() % 3 {
                    0 => (0..random() % 80).for_each(|_| bytes.push(random() as u8)),
                    1 if !bytes.is_empty() => {
                        let at = random() as usize % bytes.len();
                        bytes[at] = random() as u8;
                    }
                    _ => {
                        let mut parts: Vec<&str> = text.split(' ').collect();
                        let at = random() as usize % parts.len();
                        parts[at] = words[random() as usize % words.len()];
                        bytes = parts.join(" ").into_bytes();
                    }
                }
                bytes
            };
            let (table, status) = (change(table), change(status));
            let mut out = Map::new();
            parse(target, random(), &table, &status).put_all(&mut out);
            parse("unknown", random(), &table, &status).put_all(&mut out);
        }
    }
}

#[test]
fn pools_and_thin_volumes() {
    assert_eq!(
        fields(
            "thin-pool",
            8192,
            "253:1 253:2 128 0 1 skip_block_zeroing",
            "1 18/1024 37/128 - rw no_discard_passdown queue_if_no_space - 1024"
        ),
        json!({
            "metadata_device": "253:1", "data_device": "253:2", "block_sectors": 128, "low_water_blocks": 0,
            "features": ["skip_block_zeroing"],
            "transaction_id": 1,
            "metadata_used_blocks": 18, "metadata_total_blocks": 1024, "metadata_percent": 1.76,
            "data_used_blocks": 37, "data_total_blocks": 128, "data_used_bytes": 2424832, "data_total_bytes": 8388608,
            "data_percent": 28.91,
            "held_metadata_root_block": null, "mode": "rw", "discards": "no_discard_passdown",
            "when_full": "queue_if_no_space", "needs_check": false, "metadata_low_water_blocks": 1024,
        })
    );
    let state = fields("thin", 2097152, "253:3 0", "1048576 2097151");
    assert_eq!(state["data_percent"], json!(50.0));
    assert_eq!(fields("thin", 8, "253:3 0", "Fail")["state"], json!("Fail"));
}

#[test]
fn snapshots() {
    let state = fields("snapshot", 8388608, "254:11 254:12 P 16", "397896/2097152 1560");
    // The documentation has lvm2's figure for it.
    assert_eq!(state["snap_percent"], json!(18.97));
    assert_eq!(state["data_percent"], json!(18.97));
    assert_eq!(state["snap_used_bytes"], json!(397896 * 512));
    let state = fields("snapshot-merge", 8388608, "254:11 254:12 P 16", "16/2097152 16");
    assert_eq!(state["snap_percent"], json!(0.0));
    assert_eq!(
        fields("snapshot", 8, "254:11 254:12 P 16", "Merge failed")["state"],
        json!("merge failed")
    );
}

#[test]
fn arrays_and_mirrors() {
    let state = fields(
        "raid",
        8192,
        "raid1 3 0 region_size 1024 2 253:0 253:1 - -",
        "raid1 2 AD 4096/8192 recover 3 0 -",
    );
    assert_eq!(state["copy_percent"], json!(50.0));
    assert_eq!(
        state["legs"][0],
        json!({"device": "253:1", "letter": "A", "health": "in sync"})
    );
    assert_eq!(
        state["legs"][1],
        json!({"device": null, "letter": "D", "health": "failed"})
    );
    assert_eq!(state["sync_action"], json!("recover"));
    assert_eq!(state["mismatch_count"], json!(3));
    assert_eq!(state["journal"], json!("none"));
    let state = fields(
        "mirror",
        8192,
        "disk 2 253:1 1024 2 253:2 0 253:3 0",
        "2 253:2 253:3 8/8 1 AD 3 disk 253:1 A",
    );
    assert_eq!(state["legs"][1]["health"], json!("failed: a write failed"));
    assert_eq!(state["log_device"], json!("253:1"));
    assert_eq!(state["log_health"], json!("alive"));
}

#[test]
fn paths() {
    let state = fields(
        "multipath",
        10,
        "0 0 1 1 service-time 0 2 2 8:0 128 1 8:16 128 4",
        "2 0 0 0 1 1 E 0 2 2 8:0 A 0 0 1 8:16 F 3 512 4",
    );
    assert_eq!(
        state["groups"][0]["paths"][1],
        json!({
            "device": "8:16", "failed": true, "failure_count": 3, "in_flight_ios": null, "in_flight_bytes": 512,
            "relative_throughput": 4, "selector_status": [],
        })
    );
    assert_eq!(state["groups"][0]["state"], json!("enabled"));
}

#[test]
fn per_cents_are_lvm2s() {
    let percent = |used, total| Fill::new((used, total), record::Unit::SECTORS).hundredths();
    assert_eq!(percent(0, 0), None);
    assert_eq!(percent(0, 7), Some(0));
    assert_eq!(percent(1, 1_000_000), Some(1));
    assert_eq!(percent(999_999, 1_000_000), Some(9_999));
    assert_eq!(percent(7, 7), Some(10_000));
    assert_eq!(percent(1, 3), Some(3_333));
    assert_eq!(percent(2, 3), Some(6_667));
    assert_eq!(percent(u64::MAX, 1), Some(u64::MAX));
    let fill = Fill::new((4, 5), record::Unit::SECTORS);
    assert!(fill.reaches(80) && !fill.reaches(81));
}

#[test]
fn weak_ciphers_are_told_from_others() {
    let weak = |cipher: &str| {
        let table = format!("{cipher} :32:logon:x:y 0 7:0 0");
        match parse("crypt", 8, table.as_bytes(), b"").parameters {
            Some(Parameters::Crypt(crypt)) => crypt.weakness().is_some(),
            other => panic!("{cipher}: {other:?}"),
        }
    };
    for cipher in [
        "cipher_null-ecb",
        "aes-ecb",
        "aes-cbc-plain",
        "aes-cbc-plain64",
        "des3_ede-cbc-essiv:sha256",
        "capi:ecb(aes)-null",
        "capi:cbc(aes)-plain64",
        "blowfish-xts-plain64",
    ] {
        assert!(weak(cipher), "{cipher}");
    }
    for cipher in [
        "aes-xts-plain64",
        "aes-cbc-essiv:sha256",
        "capi:authenc(hmac(sha256),xts(aes))-random",
        "xchacha12,aes-adiantum-plain64",
        "serpent-xts-plain64",
        "capi:xts(aes)-plain64",
        "aes:64-cbc-lmk",
    ] {
        assert!(!weak(cipher), "{cipher}");
    }
}

#[test]
fn no_key_is_in_a_field() {
    for (target, table) in [
        ("crypt", "aes-xts-plain64 c0ffee 0 7:0 0"),
        (
            "integrity",
            "8:1 0 32 J 2 internal_hash:hmac(sha256):c0ffee journal_mac:hmac(sha256):c0ffee",
        ),
    ] {
        assert!(!fields(target, 8, table, "").to_string().contains("c0ffee"), "{target}");
    }
}
