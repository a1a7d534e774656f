//! Unlocking at boot, without a device-mapper: `unlock`, `answer` and `doctor`. `boot` tests it on booting machines.

#[path = "../common/mod.rs"]
mod common;
mod console;
mod crypttab;
mod doctor;
