//! Any request on any layout has the effect that it would have on a plain buffer, and leaves the ciphertext that
//! dm-crypt would.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::thread;

use keyslots::cipher::SectorCipher;
use keyslots::header::DataLayout;
use keyslots::secret::VolumeKey;
use keyslots::units::{Bytes, Sectors};

use super::*;

fn layout(cipher: &str, sector_size: u32) -> DataLayout {
    DataLayout {
        cipher: keyslots::cipher::CipherName::new(cipher),
        sector_size,
        offset: Sectors::new(8),
        size: None,
        iv_offset: Sectors::new(16),
    }
}

fn file(size: u64) -> File {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(size).expect("space");
    file
}

fn open(file: &File, layout: &DataLayout, key: &VolumeKey, options: VolumeOptions) -> Volume {
    Volume::new(file.try_clone().expect("a descriptor"), layout, key, options).expect("a volume")
}

fn writable() -> VolumeOptions {
    VolumeOptions::new(Access::Write)
}

/// Pseudo-random numbers, the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn requests_of_any_size_and_place_are_those_on_a_buffer() {
    let key = VolumeKey::random(64).expect("random bytes");
    for (sector_size, large) in [(512, false), (1024, true), (4096, false), (4096, true)] {
        let layout = layout("aes-xts-plain64", sector_size);
        let container = file(4096 + 3 * (1 << 20) + 700);
        let options = VolumeOptions {
            iv_large_sectors: large,
            ..writable()
        };
        let volume = open(&container, &layout, &key, options);
        let size = volume.size().get();
        assert_eq!(
            size,
            (3 * (1 << 20) + 700) / u64::from(sector_size) * u64::from(sector_size)
        );
        let mut model = vec![0; size as usize];
        volume.write_at(0, &model).expect("space");
        let mut numbers = Numbers(sector_size.into());
        for n in 0..300 {
            let longest = if n % 10 == 0 { size } else { 3 * u64::from(sector_size) };
            let offset = numbers.below(size);
            let len = 1 + numbers.below(longest);
            let end = (offset + len).min(size);
            let range = offset as usize..end as usize;
            if n % 3 == 0 {
                let mut read = vec![0; len as usize];
                let count = volume.read_at(offset, &mut read).expect("data");
                assert_eq!(count, range.len());
                assert!(read[..count] == model[range], "{sector_size} {offset} {len}");
            } else {
                let data: Vec<u8> = (0..len).map(|_| numbers.below(256) as u8).collect();
                assert_eq!(volume.write_at(offset, &data).expect("space"), range.len());
                let count = range.len();
                model[range].copy_from_slice(&data[..count]);
            }
        }
        volume.sync().expect("a sync");
        // The device holds the ciphertext, and nothing before or after the data has changed.
        let mut device = vec![0; (4096 + size) as usize];
        container.read_exact_at(&mut device, 0).expect("data");
        let (before, data) = device.split_at_mut(4096);
        assert!(before.iter().all(|byte| *byte == 0));
        let spec = layout.cipher.spec().expect("a cipher");
        let cipher = SectorCipher::new(spec, key.expose(), sector_size as usize, large).expect("a key");
        let first = if large { 16 / (u64::from(sector_size) / 512) } else { 16 };
        cipher.decrypt(first, data).expect("whole sectors");
        assert!(data == model);
    }
}

#[test]
fn large_requests_are_the_same_on_many_processors() {
    // Slow enough for parts of a few KiB to be worth a thread.
    let key = VolumeKey::random(24).expect("random bytes");
    let layout = layout("des3_ede-cbc-plain64", 512);
    let container = file(4096 + (1 << 20));
    let volume = open(&container, &layout, &key, writable());
    let data: Vec<u8> = (0..1 << 20).map(|n: u32| (n / 77) as u8).collect();
    assert_eq!(volume.write_at(0, &data).expect("space"), data.len());
    let mut back = vec![0; data.len()];
    assert_eq!(volume.read_at(0, &mut back).expect("data"), data.len());
    assert!(back == data);
}

#[test]
fn threads_do_not_undo_each_others_parts_of_a_sector() {
    let key = VolumeKey::random(64).expect("random bytes");
    let container = file(4096 + 4 * 4096);
    let volume = open(&container, &layout("aes-xts-plain64", 4096), &key, writable());
    volume.write_at(0, &[0; 4 * 4096]).expect("space");
    thread::scope(|scope| {
        for n in 0..4_u64 {
            let volume = &volume;
            // Each thread owns every fourth run of 100 bytes.
            scope.spawn(move || {
                for round in 0..20_u8 {
                    for at in (n * 100..4 * 4096 - 100).step_by(400) {
                        volume.write_at(at, &[round * 4 + n as u8; 100]).expect("space");
                        let mut back = [0; 100];
                        volume.read_at(at, &mut back).expect("data");
                        assert_eq!(back, [round * 4 + n as u8; 100]);
                    }
                }
            });
        }
    });
}

#[test]
fn a_stream_stops_at_the_end() {
    let key = VolumeKey::random(64).expect("random bytes");
    let container = file(4096 + 8192);
    let mut volume = open(&container, &layout("aes-xts-plain64", 512), &key, writable());
    let end = volume.seek(SeekFrom::End(-10)).expect("a position");
    assert_eq!(end, 8182);
    assert_eq!(volume.write(&[1; 20]).expect("space for ten"), 10);
    assert_eq!(
        volume.write(&[1; 20]).expect_err("the end").kind(),
        ErrorKind::StorageFull
    );
    assert_eq!(volume.read(&mut [0; 20]).expect("the end"), 0);
    assert!(volume.seek(SeekFrom::Current(1)).is_err());
    assert!(volume.seek(SeekFrom::End(-8193)).is_err());
    volume.rewind().expect("a position");
    let mut all = Vec::new();
    volume.read_to_end(&mut all).expect("data");
    assert_eq!(all.len(), 8192);
    assert_eq!(all[8182..], [1; 10]);
}

#[test]
fn what_is_open_for_reading_is_not_written() {
    let key = VolumeKey::random(64).expect("random bytes");
    let container = file(4096 + 8192);
    let volume = open(
        &container,
        &layout("aes-xts-plain64", 512),
        &key,
        VolumeOptions::new(Access::Read),
    );
    for outcome in [
        volume.write_at(0, &[1]).map(drop),
        volume.zero(0, 512),
        volume.grow(Bytes::mib(1)),
    ] {
        assert_eq!(outcome.expect_err("read-only").kind(), ErrorKind::ReadOnlyFilesystem);
    }
}

#[test]
fn zeros_are_written_encrypted_or_punched_out_as_the_options_say() {
    let key = VolumeKey::random(64).expect("random bytes");
    for allow_discards in [false, true] {
        let container = file(4096 + (1 << 20));
        let options = VolumeOptions {
            allow_discards,
            ..writable()
        };
        let volume = open(&container, &layout("aes-xts-plain64", 4096), &key, options);
        volume.write_at(0, &vec![7; 1 << 20]).expect("space");
        volume.sync().expect("a sync");
        let full = container.metadata().expect("metadata").blocks();
        volume.zero(1000, 900_000).expect("space");
        volume.sync().expect("a sync");
        let mut back = vec![1; 1 << 20];
        volume.read_at(0, &mut back).expect("data");
        assert!(back[..1000].iter().all(|byte| *byte == 7));
        assert!(back[1000..901_000].iter().all(|byte| *byte == 0));
        assert!(back[901_000..].iter().all(|byte| *byte == 7));
        let left = container.metadata().expect("metadata").blocks();
        assert_eq!(left < full, allow_discards, "{left} of {full}");
        // The end of the volume is the end of the zeros too.
        volume.zero(u64::MAX - 10, 100).expect("nothing to do");
        volume.zero(1 << 19, u64::MAX).expect("space");
    }
}

#[test]
fn a_volume_grows_with_its_file() {
    let key = VolumeKey::random(64).expect("random bytes");
    let container = file(4096 + 8192);
    let volume = open(&container, &layout("aes-xts-plain64", 4096), &key, writable());
    volume.write_at(0, &[9; 8192]).expect("space");
    volume.grow(Bytes::new(20_000)).expect("space");
    assert_eq!(volume.size().get(), 20_480);
    assert_eq!(container.metadata().expect("metadata").len(), 4096 + 20_480);
    let mut back = vec![1; 20_480];
    assert_eq!(volume.read_at(0, &mut back).expect("data"), 20_480);
    assert!(back[..8192] == [9; 8192] && back[8192..].iter().all(|byte| *byte == 0));
    assert_eq!(
        volume.grow(Bytes::new(8192)).expect_err("smaller").kind(),
        ErrorKind::InvalidInput
    );
    let fixed = DataLayout {
        size: Some(Sectors::new(16)),
        ..layout("aes-xts-plain64", 4096)
    };
    let volume = open(&container, &fixed, &key, writable());
    assert_eq!(volume.size().get(), 8192);
    assert_eq!(
        volume.grow(Bytes::mib(1)).expect_err("fixed").kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn layouts_that_do_not_fit_are_errors() {
    let key = VolumeKey::random(64).expect("random bytes");
    let new = |layout: &DataLayout| Volume::new(file(8192), layout, &key, writable());
    let far = DataLayout {
        offset: Sectors::new(17),
        ..layout("aes-xts-plain64", 512)
    };
    assert!(matches!(new(&far), Err(UserspaceError::NoData(_))));
    let overflow = DataLayout {
        offset: Sectors::new(u64::MAX),
        ..layout("aes-xts-plain64", 512)
    };
    assert!(matches!(new(&overflow), Err(UserspaceError::NoData(_))));
    assert!(matches!(
        new(&layout("aes-gcm-random", 512)),
        Err(UserspaceError::Cipher(_))
    ));
    assert!(matches!(
        new(&layout("aes-xts-plain64", 513)),
        Err(UserspaceError::Cipher(_))
    ));
    let longer = DataLayout {
        size: Some(Sectors::new(1000)),
        ..layout("aes-xts-plain64", 4096)
    };
    assert_eq!(new(&longer).expect("what there is").size().get(), 4096);
}

#[test]
fn growing_cuts_nothing_off() {
    let key = VolumeKey::random(64).expect("random bytes");
    let container = file(4096 + 8192);
    let volume = open(&container, &layout("aes-xts-plain64", 512), &key, writable());
    // Another program makes the file longer, and writes something there.
    container.write_all_at(b"behind it", 4096 + (1 << 20)).expect("space");
    volume.grow(Bytes::new(16384)).expect("space");
    assert_eq!(volume.size(), Bytes::new(16384));
    let mut behind = [0; 9];
    container.read_exact_at(&mut behind, 4096 + (1 << 20)).expect("data");
    assert_eq!(&behind, b"behind it");
}
