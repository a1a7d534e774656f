//! Block devices and files that serve as such.

mod devno;
mod extents;
mod file_lock;
mod ground;
mod holders;
mod ioctl;
mod loop_device;
mod partition;
mod probe;
mod reserve;
pub mod signatures;
mod sysfs;
mod topology;

pub use devno::{DevNo, DevNoError, is_same, is_same_file};
pub use extents::{Extent, extents, is_only_holder};
pub use file_lock::lock_file;
pub use ground::{Ground, Piece, Pieces, Tables};
pub use holders::{Holder, Mounts, holders, libcryptsetup_users, lock_waiters};
pub use loop_device::{LoopDevice, loop_backing_device, loop_backing_file, loops, loops_on, update_loop_size};
pub use partition::{PartitionNames, partition_names};
pub use probe::Probe;
pub use reserve::{reopen, reserve};
pub use signatures::{FileSystem, Identity, Signature, SignatureKind, file_system, identify};
pub use sysfs::{
    all, disk_of_partition, disk_sequence, dm_name_and_uuid, drive, held_by, is_held, made_of, partitions, read_ahead,
    set_read_ahead,
};
pub use topology::{Topology, is_host_managed, is_only_readable, is_read_only, is_rotational};
