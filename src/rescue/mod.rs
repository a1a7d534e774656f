//! What is left of a LUKS volume whose header is damaged, lost or elsewhere, and what can be done about it.
//!
//! [`examine`] searches a disk and only reads. It finds headers wherever they are ([`scan`]), looks at each of them and at what
//! they describe ([`Found`]), sums that up ([`Verdict`]), and lists the ways out ([`Remedy`]), each of which was tried in
//! memory first. [`apply`](apply::apply) carries one of them out: it saves what it overwrites, and writes nothing if the disk is
//! no longer as it was.
//!
//! No command-line options, no terminal and no exit codes here: the caller has the words.

pub mod apply;
mod backups;
mod content;
mod examine;
mod found;
mod looks;
mod partitions;
mod remedy;
mod report;
mod saved;
pub mod scan;
#[cfg(test)]
mod tests;
mod verdict;
mod window;

pub use self::content::{Data, DataLooks, KeyslotState};
pub use self::examine::examine;
pub use self::found::{Condition, CopyState, Found, Repair, RepairKind};
pub use self::looks::{Looks, Part};
pub use self::partitions::{Partition, Table, TableKind};
pub use self::remedy::{Remedy, RemedyKind};
pub use self::report::{Report, Request};
pub use self::verdict::Verdict;
