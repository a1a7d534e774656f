//! Block devices and files that serve as such.

mod devno;

pub use devno::{DevNo, DevNoError};
