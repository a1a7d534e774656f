//! A policy: what a header must be before it is used, for a machine whose disk is in someone else's hands.
//!
//! An attacker who can write to a disk can write another header to it: with a cipher that does nothing, a cost that takes all
//! memory, or a volume key of their own, under which the next boot would trust their data. A policy is kept where they cannot
//! write (in the initramfs, say), and pins the values of the header. It is checked on the one header value that was read and
//! validated, and that is used afterwards; nothing is read again.
//!
//! [`Policy::parse`] reads the text, [`Policy::check`] lists all violations. The keys are in the documentation of [`Rule`]; a
//! missing key sets no bound, but a header whose data or keyslots are not encrypted at all violates every policy. Not for the
//! validity of a header: that is up to the `keyslots` crate, and comes first.

mod check;
mod facts;
mod parse;

pub use check::Violation;
pub use parse::{PolicyError, Rule};

/// A policy that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}
