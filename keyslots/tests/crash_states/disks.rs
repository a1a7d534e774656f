//! The disks on which the actions run, and the steps that the actions are made of.

use super::*;
use keyslots::KeyslotId;

pub(super) fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Secret::copy_from(text.as_bytes()).expect("a page"))
}

pub(super) fn key() -> VolumeKey {
    VolumeKey::new(Secret::copy_from(KEY).expect("a page"))
}

pub(super) fn limits() -> CostLimits {
    CostLimits::default()
}

pub(super) fn luks1(
    disk: &mut dyn Storage,
    run: impl FnOnce(&mut luks1::Header, &mut dyn Storage) -> Result<()>,
) -> Result<()> {
    run(&mut luks1::Header::read(disk)?, disk)
}

pub(super) fn luks2(
    disk: &mut dyn Storage,
    run: impl FnOnce(&mut luks2::Header, &mut dyn Storage) -> Result<()>,
) -> Result<()> {
    run(&mut luks2::Header::read(disk)?, disk)
}

pub(super) fn add1(header: &mut luks1::Header, disk: &mut dyn Storage, slot: KeyslotId, text: &str) -> Result<()> {
    let sealed = header.seal(&key(), &passphrase(text), ITERATIONS, &limits())?;
    header.add_keyslot(disk, Some(slot), &sealed).map(drop)
}

/// Changes the passphrase in the first free keyslot, unless it `stays` where it is.
pub(super) fn change1(disk: &mut dyn Storage, slot: KeyslotId, stays: bool, medium: Medium) -> Result<()> {
    luks1(disk, |header, disk| {
        let seal = || header.seal(&key(), &passphrase("new"), ITERATIONS, &limits());
        let (new, back) = (&seal()?, &seal()?);
        let to = match stays {
            true => ChangeTo::SameSlot { new, back },
            false => ChangeTo::FirstFree(new),
        };
        header.change_keyslot(disk, slot, to, medium).map(drop)
    })
}

pub(super) fn new_keyslot() -> NewKeyslot {
    NewKeyslot {
        kdf: Kdf::Pbkdf2 {
            hash: Hash::Sha256,
            iterations: ITERATIONS,
        },
        af_hash: Hash::Sha256,
        encryption: "aes-cbc-essiv:sha256".parse().expect("a specification"),
        area_key_size: 16,
        priority: None,
    }
}

pub(super) fn sealed2(text: &str) -> Result<WrappedKeyslot> {
    new_keyslot().seal(&key(), &passphrase(text), &limits())
}

pub(super) fn add2(header: &mut luks2::Header, disk: &mut dyn Storage, text: &str) -> Result<()> {
    let sealed = sealed2(text)?;
    let mut change = header.begin()?;
    change.add_keyslot(None, &sealed, &key(), &limits())?;
    change.commit(disk, Medium::Other)
}

pub(super) fn change2(disk: &mut dyn Storage, medium: Medium) -> Result<()> {
    luks2(disk, |header, disk| {
        let sealed = sealed2("new")?;
        let mut change = header.begin()?;
        change.change_keyslot(KeyslotId::new(0), &sealed, &key(), &limits())?;
        change.commit(disk, medium)
    })
}

/// A LUKS1 volume that "old" in slot 6, which lies across two sectors, and "other" in slot 0 open.
pub(super) fn disk1() -> Vec<u8> {
    let params = luks1::CreateParams {
        cipher: &"aes-cbc-essiv:sha256".parse().expect("a specification"),
        hash: Hash::Sha256,
        uuid: None,
        digest_iterations: ITERATIONS,
        data: luks1::DataPlacement::At(Sectors::new(2048)),
    };
    let mut header = luks1::Header::create(&params, &key(), &limits()).expect("good parameters");
    let mut disk = Memory::zeroed(2049 * 512);
    header.write_new(&mut disk, Medium::Other).expect("memory");
    add1(&mut header, &mut disk, KeyslotId::new(6), "old").expect("a free slot");
    add1(&mut header, &mut disk, KeyslotId::new(0), "other").expect("a free slot");
    disk.0
}

/// A LUKS2 volume with room for four keyslots that "old" and "other" open.
pub(super) fn disk2() -> Vec<u8> {
    new_disk2(256)
}

pub(super) fn new_disk2(areas_kib: u64) -> Vec<u8> {
    let params = luks2::CreateParams {
        encryption: "aes-cbc-essiv:sha256".into(),
        sector_size: 512,
        uuid: None,
        label: String::new(),
        subsystem: String::new(),
        metadata_size: None,
        keyslots_size: Some(Bytes::kib(areas_kib)),
        data: DataPlacement::Detached,
        digest_hash: Hash::Sha256,
        digest_iterations: ITERATIONS,
    };
    let mut header = luks2::Header::create(&params, &key(), &limits()).expect("good parameters");
    let mut disk = Memory::zeroed(header.size().to_usize().expect("small"));
    header.write_new(&mut disk, Medium::Other).expect("memory");
    add2(&mut header, &mut disk, "old").expect("room");
    add2(&mut header, &mut disk, "other").expect("room");
    disk.0
}

/// A LUKS1 volume of which all eight keyslots are in use; "old" is in slot 6, "third" in all the others.
pub(super) fn full1() -> Vec<u8> {
    thread_local!(static MADE: Vec<u8> = {
        let mut disk = Memory(disk1());
        luks1(&mut disk, |header, disk| {
            (1..8).filter(|slot| *slot != 6).try_for_each(|slot| add1(header, disk, KeyslotId::new(slot), "third"))
        })
        .expect("free slots");
        disk.0
    });
    MADE.with(Clone::clone)
}

/// A LUKS2 volume of which the keyslots area is full with "old" and "other".
pub(super) fn full2() -> Vec<u8> {
    new_disk2(128)
}

/// A change that was killed when the keyslot was overwritten in part.
pub(super) fn half_changed(disk: Vec<u8>, change: fn(&mut dyn Storage) -> Result<()>, area: u64) -> Vec<u8> {
    let mut recorder = Recorder::new(disk);
    change(&mut recorder).expect("memory");
    let mut half = None;
    recorder.for_each_crash(|crash| {
        let torn = matches!(crash.cause, Cause::TornHead(count) if count > 1);
        let next = recorder.events().get(crash.after);
        if torn && matches!(next, Some(Event::Write { offset, .. }) if offset.get() == area) {
            half = Some(crash.image.to_vec());
        }
    });
    half.expect("the area is written")
}

pub(super) fn half_changed1() -> Vec<u8> {
    half_changed(full1(), full_change1, SLOT_6)
}

pub(super) fn half_changed2() -> Vec<u8> {
    half_changed(full2_of_now(), |disk| change2(disk, Medium::Other), 32768)
}

/// The same volume each time.
pub(super) fn full2_of_now() -> Vec<u8> {
    thread_local!(static MADE: Vec<u8> = full2());
    MADE.with(Clone::clone)
}

/// Where the key material of slot 6 starts.
pub(super) const SLOT_6: u64 = 776 * 512;

pub(super) fn full_change1(disk: &mut dyn Storage) -> Result<()> {
    change1(disk, KeyslotId::new(6), false, Medium::Other)
}

/// Ends an interrupted change with the new passphrase, where there is one: then nothing of it is left.
pub(super) fn finish(disk: &mut dyn Storage, medium: Medium) -> Result<()> {
    let mut header = Header::read(disk)?;
    if let Ok(Unlocked {
        keyslot,
        unfinished: Some(change),
        ..
    }) = header.unlock(disk, &passphrase("new"), Candidates::All, &limits())
    {
        header.finish_change(disk, keyslot, &change, medium)?;
        expect_clean(disk);
    }
    Ok(())
}

/// Nothing waits anywhere.
pub(super) fn expect_clean(disk: &mut dyn Storage) {
    let is_luks1 = matches!(Header::read(disk).expect("a header"), Header::Luks1(_));
    let (start, end) = if is_luks1 { (1024, 4096) } else { (0, 32768) };
    let mut bytes = vec![0; end - start];
    disk.read_at(Bytes::new(start as u64), &mut bytes).expect("memory");
    let token = luks2::CHANGE_TOKEN.as_bytes();
    let clean = match is_luks1 {
        true => bytes.iter().all(|&byte| byte == 0),
        false => !bytes.windows(token.len()).any(|part| part == token),
    };
    assert!(clean, "something waits");
}

pub(super) fn erase(disk: &mut dyn Storage) -> Result<()> {
    match Header::read(disk)? {
        Header::Luks1(mut header) => drop(header.erase(disk, Medium::Other)?),
        Header::Luks2(mut header) => drop(header.erase(disk, Medium::Other)?),
    }
    expect_clean(disk);
    Ok(())
}

pub(super) fn remove(disk: &mut dyn Storage, slot: KeyslotId) -> Result<()> {
    Header::read(disk)?.remove_keyslot(disk, slot, Medium::Other)?;
    expect_clean(disk);
    Ok(())
}

/// One with both copies good but of different ages, as a stop between their writes leaves it.
pub(super) fn stale2() -> Vec<u8> {
    let old = disk2();
    let mut disk = Memory(old.clone());
    luks2(&mut disk, |header, disk| header.set_labels(disk, Some("newer"), None)).expect("memory");
    disk.0[16384..32768].copy_from_slice(&old[16384..32768]);
    disk.0
}

pub(super) fn damaged2() -> Vec<u8> {
    let mut disk = disk2();
    disk[5000] ^= 1;
    disk
}

/// Restores a backup that was made before "third" came and "other" went.
pub(super) fn restore(disk: &mut dyn Storage, old: Vec<u8>) -> Result<()> {
    let there = Header::read(disk)?;
    let mut file = Memory(old);
    let backup = Backup::read(&mut file)?;
    backup.check(Some(&there), None).expect("it fits");
    backup.restore(&mut file, disk, Some(&there))
}

/// A disk, and what was on it before.
pub(super) type Ages = (Vec<u8>, Vec<u8>);

/// The disk that is restored onto, and the backup it is restored from: one volume at two times.
pub(super) fn two_ages(new: fn() -> Vec<u8>, run: fn(&mut dyn Storage) -> Result<()>) -> Ages {
    thread_local!(static MADE: RefCell<HashMap<usize, Ages>> = RefCell::default());
    MADE.with_borrow_mut(|made| {
        made.entry(run as usize)
            .or_insert_with(|| {
                let old = new();
                let mut disk = Memory(old.clone());
                run(&mut disk).expect("memory");
                (disk.0, old)
            })
            .clone()
    })
}

pub(super) fn age1(disk: &mut dyn Storage) -> Result<()> {
    luks1(disk, |header, disk| {
        header.remove_keyslot(disk, KeyslotId::new(0), Medium::Other)?;
        add1(header, disk, KeyslotId::new(1), "third")
    })
}

pub(super) fn changed1(disk: &mut dyn Storage) -> Result<()> {
    change1(disk, KeyslotId::new(6), true, Medium::Other)
}

/// With all keyslots but 5 in use.
pub(super) fn seven1() -> Vec<u8> {
    let mut disk = Memory(full1());
    luks1(&mut disk, |header, disk| {
        header.remove_keyslot(disk, KeyslotId::new(5), Medium::Other)
    })
    .expect("memory");
    disk.0
}

pub(super) fn refilled1(disk: &mut dyn Storage) -> Result<()> {
    luks1(disk, |header, disk| add1(header, disk, KeyslotId::new(5), "third"))?;
    changed1(disk)
}

pub(super) fn half_changed_of_seven1(disk: &mut dyn Storage) -> Result<()> {
    luks1(disk, |header, disk| add1(header, disk, KeyslotId::new(5), "third"))?;
    let mut all = vec![0; disk.size().expect("memory").to_usize().expect("small")];
    disk.read_at(Bytes::ZERO, &mut all).expect("memory");
    let half = half_changed(all, full_change1, SLOT_6);
    disk.write_at(Bytes::ZERO, &half).expect("memory");
    Ok(())
}

/// With the digest of the volume key made anew.
pub(super) fn one1(text: &str) -> Vec<u8> {
    let mut disk = Memory(disk1());
    luks1(&mut disk, |header, disk| {
        header.erase(disk, Medium::Other)?;
        add1(header, disk, KeyslotId::new(6), text)
    })
    .expect("memory");
    disk.0
}

pub(super) fn new_one1() -> Vec<u8> {
    one1("new")
}

pub(super) fn old_one1(disk: &mut dyn Storage) -> Result<()> {
    disk.write_at(Bytes::ZERO, &one1("old")).expect("memory");
    Ok(())
}

pub(super) fn age2(disk: &mut dyn Storage) -> Result<()> {
    luks2(disk, |header, disk| {
        header.remove_keyslot(disk, KeyslotId::new(1), Medium::Other)?;
        add2(header, disk, "third")
    })
}
