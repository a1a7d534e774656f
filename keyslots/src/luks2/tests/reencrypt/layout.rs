//! The layout of a volume in reencryption: what each of its segments is read with.

use super::*;
use crate::layout::{DataKind, Layout, NotSingle};
use crate::luks2::segment::SegmentKind;
use crate::units::Sectors;

/// The layout and the reencryption of a sample.
fn read(sample: &Sample) -> (Layout, Reencryption) {
    let value = sample.json();
    (Layout::of_luks2(&metadata(&value)), running(&value))
}

#[test]
fn a_segment_has_the_place_and_the_key_of_its_data() {
    let mut several = 0;
    for (sample, ..) in samples() {
        let (layout, found) = read(&sample);
        assert_eq!(layout.segments.len(), sample.active.len());
        several += usize::from(layout.segments.len() > 1);
        let expected = sample.active.iter().zip(&found.active);
        for (segment, ((of, offset, size, start), (part, active))) in layout.segments.iter().zip(expected) {
            let sectors = |mib: u64| Sectors::new(mib * MIB / 512);
            assert_eq!(segment.offset, sectors(*offset));
            assert_eq!(segment.size, Some(sectors(*size)).filter(|size| *size > Sectors::ZERO));
            assert_eq!(segment.in_reencryption, *part == Part::Hot);
            let Some(encryption) = segment.encryption() else {
                assert!(plain(of, sample.mode));
                assert_eq!((&segment.kind, &active.kind), (&DataKind::Linear, &SegmentKind::Linear));
                continue;
            };
            assert_eq!(encryption.iv_offset, sectors(*start));
            assert_eq!(
                (encryption.cipher.as_str(), encryption.sector_size),
                ("aes-xts-plain64", 4096)
            );
            let key = match part {
                Part::Old => found.old_digest,
                Part::Hot => found
                    .old_digest
                    .filter(|_| found.new_digest.is_some())
                    .or(found.new_digest),
                Part::New => found.new_digest,
            };
            assert_eq!(encryption.digest, key, "{of} of {}", sample.mode);
            assert!(key.is_some());
        }
    }
    assert!(several > 8, "{several} samples have several segments");
}

#[test]
fn several_segments_are_never_taken_for_one() {
    for (sample, ..) in samples() {
        let (layout, _) = read(&sample);
        let first = layout.first();
        assert_eq!(first.is_none(), plain(sample.active[0].0, sample.mode));
        match (layout.single(), layout.segments.len()) {
            (Err(NotSingle::Several(number)), many) => assert!(many > 1 && number == many),
            (Err(refused), 1) => assert!(first.is_none() && refused == NotSingle::NotCrypt),
            (Ok(layout), 1) => assert_eq!(Some(layout), first),
            (other, many) => panic!("{many} segments: {other:?}"),
        }
    }
}
