//! The command lines, on files and without a device: what is refused, what it says, what is left, and how a prompt behaves.
//! Compared with the installed cryptsetup and dmsetup wherever they have the same command.

mod alike;
mod args;
mod clevis;
#[path = "../common/mod.rs"]
mod common;
mod contract;
mod dmsetup;
mod dumps;
mod full_keyslots;
mod keys;
mod map;
mod policy;
mod prompt;
mod reencrypt;
mod slot_names;
mod texts;
mod tokens;
