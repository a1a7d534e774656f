//! Against the kernel's own ciphertexts, published vectors, and itself.

use hex_literal::hex;

use super::algorithm::Algorithm;
use super::{CipherError, CipherSpec, SectorCipher};
use crate::hash::Hash;

fn spec(text: &str) -> CipherSpec {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The key and the data of `dm-crypt.vectors`.
fn key(len: usize) -> Vec<u8> {
    (0..len).map(|n| (17 * n + 3) as u8).collect()
}

fn data() -> Vec<u8> {
    (0..8192).map(|n| (7 * n + n / 256) as u8).collect()
}

#[test]
fn every_sector_is_what_the_kernel_writes() {
    let lines: Vec<_> = include_str!("dm-crypt.vectors")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert!(lines.len() > 600, "{} vectors", lines.len());
    for line in lines {
        let [text, key_len, sector_size, large, iv_offset, expected] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let number = |field: &str| field.parse::<u64>().unwrap_or_else(|error| panic!("{line}: {error}"));
        let (sector_size, large) = (number(sector_size), large == "1");
        let first = if large {
            number(iv_offset) / (sector_size / 512)
        } else {
            number(iv_offset)
        };
        let key = key(number(key_len) as usize);
        let cipher = SectorCipher::new(&spec(text), &key, sector_size as usize, large)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let mut sectors = data();
        cipher.encrypt(first, &mut sectors).expect("whole sectors");
        let mut digest = [0; 16];
        Hash::Sha256.digest(&[&sectors], &mut digest);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, expected, "{line}");
        cipher.decrypt(first, &mut sectors).expect("whole sectors");
        assert!(sectors == data(), "{line}: decryption");
    }
}

/// IEEE 1619-2007, appendix B, vector 2, in a sector of 512 bytes.
#[test]
fn xts_is_the_standards() {
    let mut sector = [0x44; 512];
    let key = [[0x11; 16], [0x22; 16]].concat();
    let cipher = SectorCipher::new(&spec("aes-xts-plain64"), &key, 512, false).expect("a good key");
    cipher.encrypt(0x33_3333_3333, &mut sector).expect("one sector");
    assert_eq!(
        sector[..32],
        hex!("c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0")
    );
}

/// Ciphers that the kernel of the vectors lacks: ARIA by RFC 5794, SM4 by GB/T 32907-2016.
#[test]
fn single_blocks_are_the_standards() {
    let mut aria_key = [0; 32];
    (0..).zip(&mut aria_key).for_each(|(n, byte)| *byte = n);
    let aria_block = hex!("00112233445566778899aabbccddeeff");
    let sm4_block = hex!("0123456789abcdeffedcba9876543210");
    let answers: [(Algorithm, &[u8], _, _); 4] = [
        (
            Algorithm::Aria,
            &aria_key[..16],
            aria_block,
            hex!("d718fbd6ab644c739da95f3be6451778"),
        ),
        (
            Algorithm::Aria,
            &aria_key[..24],
            aria_block,
            hex!("26449c1805dbe7aa25a468ce263a9e79"),
        ),
        (
            Algorithm::Aria,
            &aria_key,
            aria_block,
            hex!("f92bd7c79fb72e2f2b8f80c1972d24fc"),
        ),
        (
            Algorithm::Sm4,
            &sm4_block,
            sm4_block,
            hex!("681edf34d206965e86b3e94f536e4246"),
        ),
    ];
    for (algorithm, key, plain, expected) in answers {
        let cipher = algorithm.keyed(key).expect("a good key");
        let mut block = plain;
        cipher.encrypt(&mut block);
        assert_eq!(block, expected, "{algorithm:?}");
        cipher.decrypt(&mut block);
        assert_eq!(block, plain, "{algorithm:?}");
    }
}

/// Every specification that can be parsed.
fn all_specs() -> Vec<CipherSpec> {
    let ciphers = [
        "aes",
        "serpent",
        "twofish",
        "camellia",
        "cast5",
        "cast6",
        "blowfish",
        "des",
        "des3_ede",
        "sm4",
        "aria",
        "cipher_null",
    ];
    let mut ivs = vec![
        "".to_owned(),
        "-null".into(),
        "-plain".into(),
        "-plain64".into(),
        "-plain64be".into(),
    ];
    ivs.extend(["-benbi", "-eboiv", "-elephant"].map(str::to_owned));
    ivs.extend(Hash::ALL.iter().map(|hash| format!("-essiv:{hash}")));
    let mut specs = Vec::new();
    for cipher in ciphers {
        for mode in ["xts", "cbc", "ecb", "lrw", "ctr", "pcbc", "cfb", "ofb"] {
            specs.extend(
                ivs.iter()
                    .filter_map(|iv| format!("{cipher}-{mode}{iv}").parse::<CipherSpec>().ok()),
            );
        }
    }
    // In time that is worth it: the cipher under it makes no difference.
    specs.extend([spec("aes-hctr2-plain64"), spec("aes-hctr2-benbi")]);
    specs
}

#[test]
fn decryption_undoes_encryption_for_every_cipher_and_sector_size() {
    let specs = all_specs();
    assert!(specs.len() > 300, "{} specifications", specs.len());
    for spec in specs {
        let len = (0..=160)
            .rev()
            .find(|len| spec.check_key_len(*len).is_ok())
            .expect("some key fits");
        for sector_size in [512, 1024, 2048, 4096] {
            for large in [false, true] {
                let cipher = SectorCipher::new(&spec, &key(len), sector_size, large).expect("a good key");
                let mut sectors = data();
                // The numbers of the sectors wrap.
                cipher.encrypt(u64::MAX, &mut sectors).expect("whole sectors");
                assert_eq!(sectors == data(), spec.is_null(), "{spec}");
                cipher.decrypt(u64::MAX, &mut sectors).expect("whole sectors");
                assert!(sectors == data(), "{spec}, {sector_size}");
            }
        }
    }
}

/// Many sectors share a call, their IVs and their masks; the result of each does not depend on their number.
#[test]
fn sectors_together_are_what_they_are_one_by_one() {
    let specs = all_specs().into_iter().filter(|spec| {
        let name = spec.to_string();
        !name.contains("essiv") || name.ends_with("sha256")
    });
    for spec in specs {
        let len = (0..=160)
            .rev()
            .find(|len| spec.check_key_len(*len).is_ok())
            .expect("some key fits");
        for (sector_size, large) in [(512, false), (1024, true), (2048, false), (4096, false)] {
            let cipher = SectorCipher::new(&spec, &key(len), sector_size, large).expect("a good key");
            let data: Vec<u8> = (0..9 * 4096 + sector_size).map(|n| (7 * n + n / 256) as u8).collect();
            let step = if large { 1 } else { sector_size as u64 / 512 };
            let mut single = data.clone();
            for (n, sector) in single.chunks_mut(sector_size).enumerate() {
                let number = 0x1_0000_0000 - 5 + n as u64 * step;
                cipher.encrypt(number, sector).expect("a whole sector");
            }
            let (mut together, mut copied) = (data.clone(), vec![0; data.len()]);
            cipher.encrypt(0x1_0000_0000 - 5, &mut together).expect("whole sectors");
            cipher
                .encrypt_to(0x1_0000_0000 - 5, &data, &mut copied)
                .expect("whole sectors");
            assert!(together == single && copied == single, "{spec}, {sector_size}");
            cipher.decrypt(0x1_0000_0000 - 5, &mut together).expect("whole sectors");
            assert!(together == data, "{spec}, {sector_size}: decryption");
        }
    }
}

#[test]
fn a_key_is_taken_or_refused_as_its_check_says() {
    for spec in all_specs() {
        for len in 0..=160 {
            let cipher = SectorCipher::new(&spec, &key(len), 512, false);
            assert_eq!(cipher.map(|_| ()), spec.check_key_len(len), "{spec}, {len}");
        }
    }
    for (text, lens) in [
        ("aes-xts-plain64", &[32, 48, 64][..]),
        ("aes-lrw-benbi", &[32, 40, 48]),
        ("aes-cbc-plain", &[16, 24, 32]),
        ("cast6-cbc-plain", &[16, 20, 24, 28, 32]),
        ("des3_ede-cbc-plain", &[24]),
        ("sm4-xts-plain64", &[32]),
        ("aes-cbc-eboiv", &[16, 24, 32]),
        ("aes-cbc-elephant", &[32, 48, 64]),
    ] {
        let taken: Vec<_> = (0..=200).filter(|len| spec(text).check_key_len(*len).is_ok()).collect();
        assert_eq!(taken, lens, "{text}");
    }
    assert_eq!(spec("cipher_null-ecb").check_key_len(0), Ok(()));
}

#[test]
fn only_whole_sectors_of_known_sizes_are_taken() {
    let spec = spec("aes-xts-plain64");
    for sector_size in [0, 1, 16, 256, 511, 513, 3072, 8192, usize::MAX] {
        let error = SectorCipher::new(&spec, &key(64), sector_size, false).map(|_| ());
        assert_eq!(error, Err(CipherError::BadSectorSize(sector_size)));
    }
    let cipher = SectorCipher::new(&spec, &key(64), 1024, false).expect("a good key");
    let mut sectors = [7; 1536];
    assert_eq!(
        cipher.encrypt(0, &mut sectors),
        Err(CipherError::PartialSector {
            len: 1536,
            sector_size: 1024
        })
    );
    assert_eq!(sectors, [7; 1536]);
    assert_eq!(cipher.decrypt(0, &mut []), Ok(()));
}

#[test]
fn what_is_parsed_is_printed_in_one_form() {
    for (text, canonical, parts) in [
        ("aes", "aes-cbc-plain", ("aes", "cbc-plain")),
        ("aes-plain", "aes-cbc-plain", ("aes", "cbc-plain")),
        ("aes-xts-plain64", "aes-xts-plain64", ("aes", "xts-plain64")),
        (
            "serpent-cbc-essiv:sha256",
            "serpent-cbc-essiv:sha256",
            ("serpent", "cbc-essiv:sha256"),
        ),
        (
            "aes-cbc-essiv:sha3-256",
            "aes-cbc-essiv:sha3-256",
            ("aes", "cbc-essiv:sha3-256"),
        ),
        ("twofish-lrw-benbi", "twofish-lrw-benbi", ("twofish", "lrw-benbi")),
        (
            "des3_ede-cbc-plain64be",
            "des3_ede-cbc-plain64be",
            ("des3_ede", "cbc-plain64be"),
        ),
        ("aes-ecb", "aes-ecb", ("aes", "ecb")),
        // It does not need one, and ignores it.
        ("aes-ecb-plain64", "aes-ecb-plain64", ("aes", "ecb-plain64")),
        ("aes-cbc-elephant", "aes-cbc-elephant", ("aes", "cbc-elephant")),
        ("null", "cipher_null-ecb", ("cipher_null", "ecb")),
        ("cipher_null-ecb", "cipher_null-ecb", ("cipher_null", "ecb")),
    ] {
        let spec = spec(text);
        assert_eq!(spec.to_string(), canonical);
        assert_eq!(spec.parts(), (parts.0, parts.1.to_owned()));
        assert_eq!(CipherSpec::from_parts(parts.0, parts.1), Ok(spec));
        assert_eq!(canonical.parse(), Ok(spec));
    }
}

#[test]
fn the_kernels_own_names_are_understood() {
    for (template, text) in [
        ("AES-xts-PLAIN64", "aes-xts-plain64"),
        ("Aes-Cbc-Essiv:SHA256", "aes-cbc-essiv:sha256"),
        ("capi:xts(aes)-plain64", "aes-xts-plain64"),
        ("capi:cbc(serpent)-essiv:sha256", "serpent-cbc-essiv:sha256"),
        ("capi:ecb(aes)-null", "aes-ecb"),
        ("capi:ecb(aes)", "aes-ecb"),
        ("capi:ecb(cipher_null)-plain", "cipher_null-ecb"),
        ("capi:hctr2(aes)-plain64", "aes-hctr2-plain64"),
        (
            "capi:adiantum(xchacha20,aes,nhpoly1305)-plain64",
            "xchacha20,aes-adiantum-plain64",
        ),
        // The text after the colon counts for ESSIV alone.
        ("aes-xts-plain64:sha256", "aes-xts-plain64"),
        ("aes-lrw-benbi:x:y-z", "aes-lrw-benbi"),
        ("aes-cbc-null:", "aes-cbc-null"),
        ("capi:xts(aes)-plain64:sha256", "aes-xts-plain64"),
        ("aes:1-xts-plain64", "aes-xts-plain64"),
        ("capi:adiantum(xchacha12,aes)-plain64", "xchacha12,aes-adiantum-plain64"),
    ] {
        assert_eq!(spec(template), spec(text));
    }
}

#[test]
fn what_cannot_be_computed_is_refused_by_name() {
    let error = |text: &str| text.parse::<CipherSpec>().expect_err(text);
    assert_eq!(error(""), CipherError::UnknownCipher("".into()));
    assert_eq!(error("-"), CipherError::UnknownCipher("".into()));
    assert_eq!(error("AES9-xts-plain64"), CipherError::UnknownCipher("aes9".into()));
    assert!(matches!(error("capi:xts(AES)-plain64"), CipherError::UnknownCipher(_)));
    for text in [
        "xchacha20,aes-xts-plain64",
        "xchacha20,aes-adiantum-essiv:sha256",
        "xchacha20,aes-adiantum-eboiv",
        "aes-adiantum-plain64",
        "aes-hctr2-essiv:sha256",
        "aes-hctr2-eboiv",
        "cast5-hctr2-plain64",
        "aes-ctr-eboiv",
        "aes-ofb-elephant",
    ] {
        assert!(matches!(error(text), CipherError::Incompatible { .. }), "{text}");
    }
    for text in [
        "capi:xts(aes-generic)-plain64",
        "capi:ecb(null)-plain",
        "capi:essiv(cbc(aes),sha256)-plain64",
        "capi:-",
    ] {
        assert_eq!(error(text), CipherError::UnknownCipher(text.into()));
    }
    assert_eq!(error("aes:64-cbc-lmk"), CipherError::UnknownCipher("aes:64".into()));
    assert_eq!(error("aes-gcm-random"), CipherError::UnknownMode("gcm".into()));
    assert_eq!(error("aes-"), CipherError::UnknownMode("".into()));
    assert_eq!(error("aes-xts-"), CipherError::UnknownIv("".into()));
    assert_eq!(error("aes-xts-plain128"), CipherError::UnknownIv("plain128".into()));
    assert_eq!(error("aes-cbc-essiv"), CipherError::UnknownIv("essiv".into()));
    assert_eq!(
        error("aes-cbc-essiv:tiger"),
        CipherError::UnknownIv("essiv:tiger".into())
    );
    assert_eq!(error("aes-xts"), CipherError::MissingIv("aes-xts".into()));
    assert_eq!(error("capi:xts(aes)"), CipherError::MissingIv("capi:xts(aes)".into()));
    assert_eq!(error("capi:xts(aes)-PLAIN64"), CipherError::UnknownIv("PLAIN64".into()));
    assert_eq!(error("aes:2-xts-plain64"), CipherError::UnknownCipher("aes:2".into()));
    for text in [
        "cast5-xts-plain64",
        "blowfish-lrw-benbi",
        "aes-cbc-essiv:sha1",
        "null-cbc-plain",
    ] {
        assert!(matches!(error(text), CipherError::Incompatible { .. }), "{text}");
    }
}
