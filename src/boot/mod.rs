//! Unlocking a machine's volumes while it boots: which volumes, in which order, with as few questions as can be.
//!
//! [`crypttab`], [`options`] and [`source`] read crypttab(5), and [`cmdline`] what the kernel's command line makes of
//! it. [`devices`] finds what they name, `key` gets keys that need no person, [`prompt`] asks a person, and [`budget`]
//! says how many derivations run at once. [`dependencies`] says what waits for what,
//! [`unlock`] puts them together, and [`doctor`] says beforehand whether that can work.

pub mod budget;
pub mod cmdline;
pub mod crypttab;
pub mod dependencies;
pub mod devices;
pub mod doctor;
pub(crate) mod in_flight;
mod key;
mod mount;
pub mod options;
mod program;
pub mod prompt;
mod sockets;
pub mod source;
pub mod unlock;
