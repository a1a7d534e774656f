//! A command line of either program. No words panic, whatever lines were read before.
#![no_main]
use std::cell::RefCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use libfuzzer_sys::fuzz_target;
use luksmith::cryptsetup::parse::{Reader, Request};
use luksmith::console::Persona;
use luksmith_fuzz as _;

thread_local! {
    static READER: RefCell<Reader> = RefCell::default();
}

fuzz_target!(|data: &[u8]| {
    let words: Vec<OsString> = data
        .split(|byte| *byte == b'\n')
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    let persona = match data.first() {
        Some(first) if first % 2 == 0 => Persona::Cryptsetup,
        _ => Persona::Luksmith,
    };
    let request = READER.with_borrow_mut(|reader| reader.parse(persona, &words));
    if let Ok(Request::Run(checked)) = request {
        let _ = checked.note();
        let _ = checked.invocation(persona);
    }
});
