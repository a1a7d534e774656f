//! Block devices and files that serve as such.

mod devno;
mod ioctl;
mod loop_device;
mod topology;

pub use devno::{DevNo, DevNoError};
pub use loop_device::{LoopDevice, loop_backing_file};
pub use topology::{Topology, is_read_only, is_rotational};
