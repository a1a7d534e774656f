//! Headers and devices that do not belong together, headers of others, and data that are not to be touched.

use keyslots::luks2::reencrypt::{self, Ciphers, Disks, Driver, Guard, Mode, Proof, Start, State};
use keyslots::luks2::{Header, Misplaced};
use keyslots::storage::fault::Recorder;
use keyslots::storage::{Memory, Storage};
use keyslots::units::Bytes;
use keyslots::wipe::Medium;
use keyslots::{Error, Result};

use super::volumes::*;

fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).expect("a kind")
}

/// Begins to continue what the header says.
fn continues(kind: &Kind, disks: &mut Disks<'_>) -> Result<()> {
    let mut header = Header::read(disks.header())?;
    let verified = reencrypt::verify(&header, &kind.keys(), &limits())?;
    let ciphers = Ciphers::new(verified.reencryption(), &kind.keys())?;
    Driver::new(&mut header, disks, verified, method(&ciphers, Bytes::kib(4))).map(drop)
}

fn expect_misplaced<T: std::fmt::Debug>(result: &Result<T>, expected: Misplaced) {
    assert!(
        matches!(result, Err(Error::Misplaced(found)) if *found == expected),
        "{result:?}"
    );
}

#[test]
fn a_header_in_the_wrong_place_is_refused() {
    // Begun in a file, and never put onto the device.
    let up = kind("encrypt in place");
    let mut disk = up.before();
    let (file, device) = disk.split_at_mut(up.split);
    let (mut file, mut device) = (Memory(file.to_vec()), Memory(device.to_vec()));
    let mut header = Header::read(&mut file).expect("a header");
    let attached = reencrypt::begin(
        &mut header,
        &mut Disks::attached(&mut file.clone()),
        &Start {
            shift: Some(Bytes::kib(16)),
            ..up.start()
        },
        &up.keys(),
        &limits(),
    );
    assert!(attached.is_err(), "{attached:?}");
    let mut disks = Disks::detached(&mut file, &mut device);
    reencrypt::begin(&mut header, &mut disks, &up.start(), &up.keys(), &limits()).expect("room");
    expect_misplaced(&continues(up, &mut disks), Misplaced::NotInstalled);
    // The other way round.
    for name in ["decrypt with header export, checksum", "decrypt with a detached header"] {
        let kind = kind(name);
        let disk = kind.begun();
        let mut device = Memory(disk[..kind.split].to_vec());
        device.0.extend(&disk[kind.split..]);
        expect_misplaced(
            &continues(kind, &mut Disks::attached(&mut device)),
            Misplaced::NotDetached,
        );
    }
    // The data should be where another header is.
    let detached = kind("decrypt with a detached header");
    let disk = detached.begun();
    let mut file = Memory(disk[..detached.split].to_vec());
    let mut device = Memory(kind("reencrypt, checksum").before());
    device.0.truncate(IN_PLACE.device);
    expect_misplaced(
        &continues(detached, &mut Disks::detached(&mut file, &mut device)),
        Misplaced::OtherHeader,
    );
    // A copy of the header that is on the device itself.
    let in_place = kind("reencrypt, checksum");
    let mut device = Memory(in_place.begun());
    let mut file = Memory(device.0[..in_place.header].to_vec());
    expect_misplaced(
        &continues(in_place, &mut Disks::detached(&mut file, &mut device)),
        Misplaced::OtherHeader,
    );
}

/// Fault 10 of cryptsetup: it decrypts a device with whatever header it is given.
#[test]
fn a_device_is_decrypted_with_its_own_header_only() {
    let kind = kind("decrypt with header export, checksum");
    let begin = |file: &[u8], device: &[u8]| {
        let (mut file, mut device) = (Recorder::new(file.to_vec()), Recorder::new(device.to_vec()));
        let mut header = Header::read(&mut file).expect("a header");
        let mut disks = Disks::detached(&mut file, &mut device);
        let outcome = reencrypt::begin(&mut header, &mut disks, &kind.start(), &kind.keys(), &limits());
        (outcome, device.events().is_empty())
    };
    let disk = kind.before();
    let device = &disk[kind.split..];
    let mut file = Memory(device[..kind.header].to_vec());
    assert!(begin(&file.0, device).0.is_ok());
    // Another header of the same UUID: made with other salts, and so another digest.
    let other = kind.header();
    let (outcome, untouched) = begin(&other, device);
    expect_misplaced(&outcome, Misplaced::OtherHeader);
    assert!(untouched);
    // One that has changed since.
    let mut header = Header::read(&mut file).expect("a header");
    header
        .set_flags(&mut file, vec!["allow-discards".into()])
        .expect("memory");
    let (outcome, untouched) = begin(&file.0, device);
    expect_misplaced(&outcome, Misplaced::OtherHeader);
    assert!(untouched);
    // No header, as after an interruption, but another device.
    let file = &device[..kind.header];
    for without in [vec![0; kind.device], plaintext(kind.device)] {
        let (outcome, untouched) = begin(file, &without);
        expect_misplaced(&outcome, Misplaced::OtherDevice);
        assert!(untouched);
    }
}

#[test]
fn a_header_is_installed_on_its_own_device_and_leaves_no_plaintext_behind() {
    const GAP: usize = 12 * KIB;
    let up = kind("encrypt in place");
    let kind = Kind {
        name: "with a gap",
        shift: Some(up.offset + GAP),
        offset: up.offset + GAP,
        data: 2 * (up.offset + GAP) + 8 * KIB,
        device: 4 * (up.offset + GAP) + 8 * KIB,
        ..*up
    };
    let mut before = kind.before();
    let mut device = Memory(before.split_off(kind.split));
    let mut file = Memory(before);
    let mut header = Header::read(&mut file).expect("a header");
    let mut disks = Disks::detached(&mut file, &mut device);
    reencrypt::begin(&mut header, &mut disks, &kind.start(), &kind.keys(), &limits()).expect("room");
    for wrong in [plaintext(kind.device)[8..].to_vec(), IN_PLACE.before()] {
        let mut wrong = Recorder::new(wrong);
        wrong.write_at(Bytes::ZERO, &[]).expect("nothing");
        let outcome = reencrypt::install(&mut file, &mut wrong);
        assert!(
            matches!(outcome, Err(Error::Misplaced(Misplaced::OtherDevice) | Error::Luks2(_))),
            "{outcome:?}"
        );
        assert_eq!(wrong.events().len(), 1, "it was written to");
    }
    let mut disk = Recorder::new(device.0.clone());
    reencrypt::install(&mut file, &mut disk).expect("its own device");
    let gap = kind.header..kind.header + GAP;
    assert!(disk.image()[gap.clone()].iter().all(|byte| *byte == 0));
    // Wherever it stops, it can be done again, and the data are there.
    disk.for_each_crash(|crash| {
        let (mut file, mut device) = (file.clone(), Memory(crash.image.to_vec()));
        reencrypt::install(&mut file, &mut device).expect("again");
        assert!(device.0[gap.clone()].iter().all(|byte| *byte == 0));
        let header = Header::read(&mut device).expect("a header");
        assert_eq!(kind.data(&header, &device.0), Some(kind.plaintext()));
        kind.run(&mut device, Some(1)).expect("it goes on");
    });
}

/// The disk when all data are converted, and plaintext is not wiped yet.
pub(super) fn wiping(kind: &Kind) -> Vec<u8> {
    let split = kind.split_of_begun();
    let mut disk = Recorder::new(kind.begun());
    kind.run(&mut disk, None).expect("memory");
    let mut found = None;
    disk.for_each_crash(|crash| {
        let mut disk = Memory(crash.image.to_vec());
        let header = on_disks(&mut disk, split, |disks| Header::read(disks.header())).expect("a header");
        let state = header
            .reencryption()
            .expect("a state")
            .running()
            .map(|found| found.state);
        if state == Some(State::Wiping) {
            found = found.take().or(Some(disk.0));
        }
    });
    found.expect("such a state")
}

#[test]
fn only_what_is_verified_is_wiped() {
    for name in ["encrypt in place", "encrypt with a detached header, journal"] {
        let kind = kind(name);
        let split = kind.split_of_begun();
        let image = wiping(kind);
        let finish = |image: &[u8], verified: bool| {
            let mut disk = Recorder::new(image.to_vec());
            let outcome = on_disks(&mut disk, split, |disks| {
                let mut header = Header::read(disks.header())?;
                let proof = match verified {
                    true => Proof::Verified(reencrypt::verify(&header, &kind.keys(), &limits())?),
                    false => Proof::Unverified { plaintext: true },
                };
                reencrypt::finish(&mut header, disks, proof, Medium::Other)
            });
            (outcome, disk)
        };
        let (outcome, disk) = finish(&image, false);
        assert!(matches!(outcome, Err(Error::ReencryptionNotVerified)), "{outcome:?}");
        assert!(disk.events().is_empty());
        let (outcome, disk) = finish(&image, true);
        outcome.expect(name);
        let mut disk = Memory(disk.image().to_vec());
        let header = on_disks(&mut disk, split, |disks| Header::read(disks.header())).expect("a header");
        assert!(!header.in_reencryption());
        assert_eq!(kind.data(&header, &disk.0[split..]), Some(kind.plaintext()));
        // No sector of the plaintext is anywhere.
        let plain = kind.plaintext();
        let sectors: std::collections::HashSet<&[u8]> = plain.chunks(512).collect();
        assert!(!disk.0.chunks(512).any(|sector| sectors.contains(sector)), "{name}");
    }
}

/// Data of a fixed size: what lies behind them stays as it is to the last byte.
#[test]
fn data_behind_a_fixed_size_are_left_alone() {
    for kind in KINDS {
        let up = kind.mode == Mode::Encrypt && kind.shift.is_some();
        let size = kind.data - 6 * KIB;
        let mut disk = Memory(kind.before());
        let start = Start {
            size: Some(Bytes::new(size as u64)),
            ..kind.start()
        };
        kind.begin_with(&mut disk, &start).expect(kind.name);
        let split = kind.split_of_begun();
        if up {
            disk.0.drain(..kind.split);
        }
        // Where data move, so much behind them is overwritten at most.
        let end = split + kind.offset + size;
        let behind: Vec<u8> = disk.0[end..].to_vec();
        let smaller = Kind { data: size, ..*kind };
        smaller.run(&mut disk, Some(1)).expect(kind.name);
        smaller.run(&mut disk, None).expect(kind.name);
        let until = if up { behind.len() - kind.offset } else { behind.len() };
        assert!(disk.0[end..][..until] == behind[..until], "{}", kind.name);
        let header = on_disks(&mut disk, split, |disks| Header::read(disks.header())).expect("a header");
        let plain = kind.plaintext()[..size].to_vec();
        assert_eq!(smaller.data(&header, &disk.0[split..]), Some(plain), "{}", kind.name);
    }
    // No size, or more than there is.
    for size in [0, IN_PLACE.device] {
        let mut disk = Memory(IN_PLACE.before());
        let before = disk.clone();
        let start = Start {
            size: Some(Bytes::new(size as u64)),
            ..IN_PLACE.start()
        };
        assert!(IN_PLACE.begin_with(&mut disk, &start).is_err());
        assert!(disk.0 == before.0);
    }
}

#[test]
fn blocks_are_hashed_as_the_device_writes_them() {
    let begin = |guard: u32, device: u64| {
        let start = Start {
            guard: Guard::Checksum {
                hash: keyslots::hash::Hash::Sha256.into(),
                block: guard,
            },
            block: Bytes::new(device),
            ..IN_PLACE.start()
        };
        let mut disk = Memory(IN_PLACE.before());
        IN_PLACE.begin_with(&mut disk, &start).map(|()| disk)
    };
    for (guard, device) in [(512, 4096), (4096, 512), (1024, 512)] {
        let refused = begin(guard, device);
        assert!(
            matches!(refused, Err(Error::BadParameter { .. })),
            "{guard} {device}: {refused:?}"
        );
    }
    let mut disk = begin(512, 512).expect("as it must be");
    let header = Header::read(&mut disk).expect("a header");
    let found = header.reencryption().expect("a state").running().expect("it has begun");
    let plan = reencrypt::Plan::new(&found, disk.size().expect("memory")).expect("it fits");
    let limits = |block| reencrypt::ZoneLimits {
        block: Bytes::new(block),
        ..reencrypt::ZoneLimits::default()
    };
    plan.zone_length(limits(512)).expect("the same device");
    let moved = plan.zone_length(limits(4096)).expect_err("another device").to_string();
    assert!(moved.contains("must not be below the logical block size"), "{moved}");
}
