//! A policy. No text panics, and one without rules is none.
#![no_main]
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz as _;
use luksmith::policy::Policy;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        assert!(Policy::parse(text).is_err());
    } else {
        let _ = Policy::parse(&String::from_utf8_lossy(data));
    }
});
