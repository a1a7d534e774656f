//! What is to be examined, and what was found.

use std::ops::Range;
use std::path::PathBuf;

use super::found::Found;
use super::partitions::Table;
use super::remedy::Remedy;
use crate::block_device::signatures::Signature;

/// What is to be examined.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Where the search starts, in bytes.
    pub from: u64,
    /// The search ends behind the header at that place.
    pub only_there: bool,
    /// Files that may be backups of a header.
    pub backups: Vec<PathBuf>,
    /// Whether the disk may get a partition table: it is not a partition itself.
    pub is_disk: bool,
}

/// What was found on a disk.
#[derive(Debug)]
pub struct Report {
    /// The size of the disk.
    pub size: u64,
    /// Where the search started.
    pub from: u64,
    /// The headers, by their places; the one where the search started comes first.
    pub found: Vec<Found>,
    /// Traces of headers that were not looked at, since there are too many.
    pub not_examined: u64,
    /// Second copies of headers that start in front of the disk.
    pub cut_off: Vec<u64>,
    /// The partitions.
    pub table: Option<Table>,
    /// What else is on the disk.
    pub signatures: Vec<Signature>,
    /// What could not be read.
    pub unreadable: Vec<Range<u64>>,
    /// Whether there is more of that.
    pub more_unreadable: bool,
    /// The ways out, the best first for each header.
    pub remedies: Vec<Remedy>,
}
