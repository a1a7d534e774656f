//! LUKS2 metadata. Accepted: writing them and reading that again gives the same, and the areas fit and do not overlap, counted here
//! once more.
#![no_main]
use keyslots::luks2::metadata::Metadata;
use keyslots::luks2::{json, validate};
use keyslots::units::Bytes;
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz::HDR_SIZE;

fuzz_target!(|data: &[u8]| {
    let size = Bytes::new(HDR_SIZE as u64);
    let Ok(metadata) = json::parse_object(data).and_then(Metadata::parse) else {
        return;
    };
    if validate::validate(&metadata, size).is_err() {
        return;
    }
    let again = Metadata::parse(metadata.to_object()).expect("what was accepted is accepted");
    validate::validate(&again, size).expect("and valid");
    assert_eq!(metadata, again);
    let mut areas: Vec<_> = metadata
        .keyslots
        .values()
        .map(|slot| {
            (
                slot.area.offset.get(),
                slot.area
                    .offset
                    .get()
                    .checked_add(slot.area.size.get())
                    .expect("no wrap"),
            )
        })
        .collect();
    areas.sort_unstable();
    let end = 2 * HDR_SIZE as u64 + metadata.config.keyslots_size.get();
    assert!(
        areas
            .iter()
            .all(|(from, to)| *from >= 2 * HDR_SIZE as u64 && *to <= end && from < to)
    );
    assert!(areas.windows(2).all(|pair| pair[0].1 <= pair[1].0), "areas overlap");
    for (id, digest) in &metadata.digests {
        assert!(
            digest.keyslots.iter().all(|slot| metadata.keyslots.contains_key(slot)),
            "digest {id}"
        );
        assert!(
            digest
                .segments
                .iter()
                .all(|segment| metadata.segments.contains_key(segment)),
            "digest {id}"
        );
    }
    assert!(
        metadata
            .tokens
            .values()
            .all(|token| token.keyslots.iter().all(|slot| metadata.keyslots.contains_key(slot)))
    );
});
