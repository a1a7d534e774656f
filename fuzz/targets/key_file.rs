//! A key file with an offset and a size. What is read is exactly that range of it.
#![no_main]
use std::io::Write as _;
use std::os::fd::AsRawFd as _;

use keyslots::units::Bytes;
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz as _;
use luksmith::passphrase::{self, KeyFileRange, Question};

fuzz_target!(|data: &[u8]| {
    let [offset, size, bytes @ ..] = data else { return };
    let (offset, size) = (usize::from(*offset), usize::from(*size));
    let file = nix::sys::memfd::memfd_create("key", nix::sys::memfd::MFdFlags::empty()).expect("memory");
    let mut file = std::fs::File::from(file);
    file.write_all(bytes).expect("memory");
    let question = Question {
        prompt: "",
        verify: false,
        timeout: None,
        range: KeyFileRange::new(Some(Bytes::new(offset as u64)), Some(Bytes::new(size as u64))),
    };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let read = passphrase::from_key_file(path.as_ref(), &question);
    let expected = bytes.get(offset..).and_then(|rest| match size {
        0 => Some(rest),
        size => rest.get(..size),
    });
    match (read, expected) {
        (Ok(read), Some(expected)) => assert!(read.expose() == expected),
        (Err(_), None) => {}
        (read, expected) => panic!("{read:?} instead of {expected:?}"),
    }
});
