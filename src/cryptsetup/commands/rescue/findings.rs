//! A device and what was found on it, for all texts.

use std::path::{Path, PathBuf};

use crate::rescue::Report;

/// A device and what was found on it.
pub(super) struct Findings<'a> {
    pub(super) device: &'a Path,
    /// The disk that the device is a partition of.
    pub(super) disk: Option<PathBuf>,
    pub(super) report: &'a Report,
}
