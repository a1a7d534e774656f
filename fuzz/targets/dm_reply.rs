//! Replies of the kernel's device-mapper: no bytes panic, and nothing is larger than what came.
#![no_main]
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz as _;

fuzz_target!(|data: &[u8]| luksmith::dm::decode_any(data));
