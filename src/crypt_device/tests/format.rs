//! A volume is made in a file, with what a caller asks for between the steps.

use std::fs;

use keyslots::header::Version;
use keyslots::units::Bytes;

use super::*;
use crate::crypt_device::format::{FormatRequest, FormatTarget, Look};

const SIZE: u64 = 20 << 20;

fn request<'a>(path: &'a Path, header: &'a HeaderDevice, version: Version) -> FormatRequest<'a> {
    FormatRequest {
        device: path,
        header,
        place: HeaderPlace::WithData,
        target: FormatTarget::Device,
        version,
        cipher: None,
        key_size: None,
        sector_size: None,
        offset: None,
        alignment: None,
        metadata_size: None,
        keyslots_size: None,
        uuid: None,
        label: None,
        subsystem: None,
        keyslot: None,
        name: None,
        cost: CostRequest {
            pbkdf: Some(PbkdfKind::Pbkdf2),
            force_iterations: Some(1000),
            ..CostRequest::default()
        },
        look: Look::Must,
    }
}

fn disk(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("disk");
    let file = File::create_new(&path).expect("a file");
    file.set_len(SIZE).expect("room");
    path
}

#[test]
fn a_volume_is_made_in_three_steps() {
    for version in [Version::Luks1, Version::Luks2] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = disk(folder.path());
        let device = HeaderDevice::new(&path, false);
        let yes = Answer::new(true);
        let prepared = request(&path, &device, version).prepare(&yes).expect("it can be");
        assert_eq!(prepared.key_size(), 64);
        assert!(yes.1.borrow()[0].starts_with("Overwrite"), "{yes:?}");
        let planned = change(|changing| prepared.plan(changing, None)).expect("there is room");
        assert!(fs::read(&path).expect("a file").iter().all(|&byte| byte == 0));
        let made = change(|changing| planned.write(changing, &secret("pw"))).expect("written");
        assert_eq!((made.keyslot, made.header.version()), (KeyslotId::new(0), version));

        let mut volume = load(&path, HeaderPlace::WithData);
        assert_eq!(volume.header.uuid(), made.header.uuid());
        let limits = CostLimits::default();
        volume.header.verify_volume_key(&made.key, &limits).expect("its key");
        assert_eq!(
            volume.opens(&secret("pw"), Candidates::All, &limits),
            Some(KeyslotId::new(0))
        );
    }
}

#[test]
fn nothing_is_written_that_was_not_confirmed_or_cannot_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = disk(folder.path());
    let device = HeaderDevice::new(&path, false);
    let refused = |change: &dyn Fn(&mut FormatRequest<'_>), answer: bool| {
        let mut request = request(&path, &device, Version::Luks2);
        change(&mut request);
        let answer = Answer::new(answer);
        let error = request.prepare(&answer).map(drop).expect_err("refused");
        (error, answer.1.take().len())
    };
    let asked = |(error, asked): (CryptError, usize)| (error.errno(), asked);
    assert_eq!(asked(refused(&|_| {}, false)), (Errno::ECANCELED, 1));
    let invalid: [&dyn Fn(&mut FormatRequest<'_>); 5] = [
        &|request| request.uuid = Some("none"),
        &|request| request.key_size = Some(7),
        &|request| request.cost.hash = Some("none"),
        &|request| request.cost.force_iterations = Some(999),
        &|request| request.offset = Some(keyslots::units::Sectors::new(7)),
    ];
    for (n, change) in invalid.into_iter().enumerate() {
        assert_eq!(asked(refused(change, true)), (Errno::EINVAL, 0), "{n}");
    }
    let luks1 = |request: &mut FormatRequest<'_>| {
        request.version = Version::Luks1;
        request.metadata_size = Some(Bytes::kib(16));
    };
    assert_eq!(asked(refused(&luks1, true)), (Errno::EINVAL, 0));
    assert!(fs::read(&path).expect("a file").iter().all(|&byte| byte == 0));
}

#[test]
fn a_disk_in_the_place_of_the_confirmed_one_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = disk(folder.path());
    let device = HeaderDevice::new(&path, false);
    let prepared = request(&path, &device, Version::Luks2).prepare(&Answer::new(true));
    let planned = change(|changing| prepared.expect("confirmed").plan(changing, None)).expect("there is room");
    let other = folder.path().join("other");
    fs::write(&other, vec![7; SIZE as usize]).expect("room");
    fs::rename(&other, &path).expect("renamed");
    let error = change(|changing| planned.write(changing, &secret("pw"))).expect_err("another disk");
    assert_eq!(error.errno(), Errno::ENODEV, "{error}");
    assert!(fs::read(&path).expect("a file").iter().all(|&byte| byte == 7));
}

#[test]
fn the_file_of_a_header_goes_where_no_volume_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, apart) = (disk(folder.path()), folder.path().join("header"));
    let device = HeaderDevice::new(&apart, false);
    let mut request = request(&path, &device, Version::Luks2);
    request.place = HeaderPlace::Apart;
    let declined = request.prepare(&Answer::new(false)).map(drop).expect_err("no file");
    assert!(
        matches!(declined, CryptError::Format(FormatError::HeaderFileDeclined)),
        "{declined}"
    );
    let prepared = request.prepare(&Answer::new(true)).expect("confirmed");
    assert!(apart.exists());
    drop(prepared);
    assert!(!apart.exists());
    let prepared = request.prepare(&Answer::new(true)).expect("confirmed");
    let planned = change(|changing| prepared.plan(changing, None)).expect("a header");
    change(|changing| planned.write(changing, &secret("pw"))).expect("written");
    assert_eq!(
        load(&apart, HeaderPlace::Apart).header.used_keyslots(),
        [0].map(KeyslotId::new)
    );
}
