//! A LUKS1 header. Accepted: it is written back as it was read, and every rule of the format holds, counted here once more.
#![no_main]
use keyslots::luks1::{Header, KeyslotState};
use keyslots::units::Bytes;
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz::DEVICE;

fuzz_target!(|data: &[u8]| {
    let mut bytes = vec![0; 592];
    let len = data.len().min(592);
    bytes[..len].copy_from_slice(&data[..len]);
    // Behind the magic and the version in any case.
    bytes[..8].copy_from_slice(b"LUKS\xba\xbe\0\x01");
    let Ok(header) = Header::from_bytes(&bytes, Some(Bytes::new(DEVICE as u64))) else {
        return;
    };
    let written = header.raw().to_bytes();
    let again = Header::from_bytes(&written, Some(Bytes::new(DEVICE as u64))).expect("what was accepted is accepted");
    assert_eq!(written, again.raw().to_bytes());
    assert!(header.key_size().get() > 0);
    let payload = u64::from(header.payload_offset().get() as u32) * 512;
    let area = header.key_size().get() * 4000;
    let mut areas = Vec::new();
    for slot in header.keyslots() {
        if slot.state == KeyslotState::Active {
            assert_eq!(slot.stripes, 4000);
            let start = slot.material_offset.get() * 512;
            assert!(start >= 1024 && (payload == 0 || start + area <= payload));
            areas.push((start, start + area));
        }
    }
    areas.sort_unstable();
    assert!(areas.windows(2).all(|pair| pair[0].1 <= pair[1].0), "areas overlap");
});
