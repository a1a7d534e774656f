//! LUKS1 headers.

/// A rule that a LUKS1 header breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The header ends before its fields do.
    #[error("the header ends after {0} bytes")]
    Truncated(u64),
}
