//! Block devices and files that serve as such.

mod devno;
mod file_lock;
mod holders;
mod ioctl;
mod loop_device;
pub mod signatures;
mod sysfs;
mod topology;

pub use devno::{DevNo, DevNoError};
pub use file_lock::lock_file;
pub use holders::{Holder, holders};
pub use loop_device::{LoopDevice, loop_backing_file, loops_on, update_loop_size};
pub use signatures::{Signature, SignatureKind};
pub use sysfs::{dm_name_and_uuid, read_ahead, set_read_ahead};
pub use topology::{Topology, is_read_only, is_rotational};
