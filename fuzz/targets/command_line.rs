//! A command line of either program. No words panic.
#![no_main]
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use libfuzzer_sys::fuzz_target;
use luksmith::cli::parse::{self, Request};
use luksmith::cli::persona::Persona;

fuzz_target!(|data: &[u8]| {
    let words: Vec<OsString> = data
        .split(|byte| *byte == b'\n')
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    for persona in [Persona::Cryptsetup, Persona::Luksmith] {
        if let Ok(Request::Run(checked)) = parse::parse(persona, &words) {
            let _ = checked.note();
            let _ = checked.invocation();
        }
    }
});
