//! Unlocking a machine's volumes while it boots: which volumes, in which order, with as few questions as can be.
//!
//! [`crypttab`], [`options`] and [`source`] read crypttab(5), and [`cmdline`] what the kernel's command line makes of
//! it.

pub mod cmdline;
pub mod crypttab;
pub mod options;
pub mod source;
