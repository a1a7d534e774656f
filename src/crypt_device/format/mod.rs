//! Making a volume, in three steps, so that a caller can ask for secrets between them:
//!
//! 1. [`FormatRequest::prepare`] checks the request and the devices, and lets the loss of what is there be confirmed;
//! 2. [`Prepared::plan`] takes the volume key, and makes the header and the costs of its keyslot, in memory;
//! 3. [`Planned::write`] takes the passphrase, checks the devices once more, and writes.
//!
//! Nothing that is there is lost before the third one.

mod overwrite;
mod placement;
mod plan;
mod request;
mod write;

pub use plan::Planned;
pub use request::{FormatRequest, FormatTarget, Look, Prepared};
pub use write::{Made, check_room};
