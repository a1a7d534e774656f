//! A token. Accepted: what is written of it reads the same.
#![no_main]
use keyslots::luks2::Token;
use keyslots::luks2::json::to_bytes;
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz as _;

fuzz_target!(|data: &[u8]| {
    let Ok(token) = Token::from_json(data) else { return };
    let again = Token::from_json(&to_bytes(&token.to_value())).expect("what was accepted is accepted");
    assert_eq!(token, again);
});
