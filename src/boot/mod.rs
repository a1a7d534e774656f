//! Unlocking a machine's volumes while it boots: which volumes, in which order, with as few prompts as possible.
//!
//! [`crypttab`], [`options`] and [`source`] read crypttab(5), and [`cmdline`] applies the kernel's command line to it.
//! [`devices`] finds the devices, `key` gets keys that need no person, [`prompt`] asks a person, and [`budget`] limits
//! how many derivations run at once. [`dependencies`] orders the entries, [`unlock`] puts them together, and [`doctor`]
//! checks beforehand whether that can work.

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
