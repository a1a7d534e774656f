//! A LUKS2 binary header. Accepted: what is written of it reads the same.
#![no_main]
use keyslots::luks2::format::{BINARY_HEADER_LEN, BinaryHeader, PRIMARY_MAGIC, SECONDARY_MAGIC, Which};
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz as _;

fuzz_target!(|data: &[u8]| {
    for (which, magic) in [(Which::Primary, PRIMARY_MAGIC), (Which::Secondary, SECONDARY_MAGIC)] {
        let mut bytes = [0; BINARY_HEADER_LEN];
        let len = data.len().min(BINARY_HEADER_LEN);
        bytes[..len].copy_from_slice(&data[..len]);
        bytes[..6].copy_from_slice(&magic);
        let Ok(header) = BinaryHeader::parse(&bytes, which) else {
            continue;
        };
        assert!(header.json_area_len() < 4 << 20);
        let again = BinaryHeader::parse(&header.to_bytes(which), which).expect("what was accepted is accepted");
        assert_eq!(header, again);
    }
});
