//! A crypttab and a kernel command line. No input panics, and no two entries have one name.
#![no_main]
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz as _;
use luksmith::boot::{cmdline, crypttab::Crypttab};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (table, line) = text.split_once('\0').unwrap_or((&text, ""));
    let planned = cmdline::plan(Crypttab::parse(table), line);
    let mut names: Vec<&str> = planned.entries.iter().map(|entry| entry.name.as_str()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
});
