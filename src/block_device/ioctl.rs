//! The ioctls of block and loop devices, and queries of files: one safe function each. linux/fs.h, linux/loop.h,
//! linux/fiemap.h.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_ulong};

const BLKROGET: c_ulong = 0x125e;
const BLKIOMIN: c_ulong = 0x1278;
const BLKIOOPT: c_ulong = 0x1279;
const BLKALIGNOFF: c_ulong = 0x127a;
const BLKPBSZGET: c_ulong = 0x127b;
const BLKSSZGET: c_ulong = 0x1268;
const LOOP_SET_FD: c_ulong = 0x4c00;
const LOOP_CLR_FD: c_ulong = 0x4c01;
const LOOP_SET_STATUS64: c_ulong = 0x4c04;
const LOOP_GET_STATUS64: c_ulong = 0x4c05;
const LOOP_SET_CAPACITY: c_ulong = 0x4c07;
const LOOP_CONFIGURE: c_ulong = 0x4c0a;
const LOOP_CTL_GET_FREE: c_ulong = 0x4c82;

const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_NAME_SIZE: usize = 64;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct LoopInfo64 {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) rdevice: u64,
    pub(super) offset: u64,
    pub(super) sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; LO_NAME_SIZE],
    crypt_name: [u8; LO_NAME_SIZE],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl LoopInfo64 {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        sizelimit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; LO_NAME_SIZE],
        crypt_name: [0; LO_NAME_SIZE],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

/// The number of extents per request.
const EXTENTS: usize = 128;

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct FiemapExtent {
    pub(super) logical: u64,
    pub(super) physical: u64,
    pub(super) length: u64,
    reserved64: [u64; 2],
    pub(super) flags: u32,
    reserved: [u32; 3],
}

/// `struct fiemap` with room for extents behind it.
#[repr(C)]
struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    extents: [FiemapExtent; EXTENTS],
}

const _: () = assert!(size_of::<FiemapExtent>() == 56);
const _: () = assert!(size_of::<Fiemap>() == 32 + 56 * EXTENTS);
const _: () = assert!(size_of::<LoopInfo64>() == 232);
const _: () = assert!(size_of::<LoopConfig>() == 304);

/// BLKROGET: whether a block device is read-only.
pub(super) fn is_read_only(device: &File) -> Result<bool, Errno> {
    get_int(device, BLKROGET).map(|value| value != 0)
}

/// BLKPBSZGET: the physical block size in bytes.
pub(super) fn physical_block_size(device: &File) -> Result<u32, Errno> {
    get_int(device, BLKPBSZGET)
}

/// BLKIOMIN: the smallest unit of I/O in bytes that costs nothing extra.
pub(super) fn minimum_io_size(device: &File) -> Result<u32, Errno> {
    get_int(device, BLKIOMIN)
}

/// BLKIOOPT: the best unit of I/O in bytes, zero where there is none.
pub(super) fn optimal_io_size(device: &File) -> Result<u32, Errno> {
    get_int(device, BLKIOOPT)
}

/// BLKALIGNOFF: where the first physical block starts. It is -1, and an error here, if no block starts anywhere.
pub(super) fn alignment_offset(device: &File) -> Result<u32, Errno> {
    get_int(device, BLKALIGNOFF)
}

/// BLKSSZGET: the logical block size in bytes.
pub(super) fn logical_block_size(device: &File) -> Result<u32, Errno> {
    get_int(device, BLKSSZGET)
}

/// LOOP_SET_CAPACITY: updates a loop device to the present size of its file.
pub(super) fn update_loop_size(device: &File) -> Result<(), Errno> {
    // SAFETY: the ioctl takes no argument.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_CAPACITY as _) };
    Errno::result(result).map(drop)
}

/// LOOP_GET_STATUS64: the file or device behind a loop device, even if it was renamed.
pub(super) fn loop_status(device: &File) -> Result<LoopInfo64, Errno> {
    let mut info = LoopInfo64::EMPTY;
    // SAFETY: the kernel writes a `struct loop_info64`, whose layout and size `LoopInfo64` has.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64 as _, &raw mut info) })?;
    Ok(info)
}

/// FS_IOC_FIEMAP: the next extents of a file from a byte of it on, none if there are no more. `sync` writes delayed data
/// out first.
pub(super) fn extents(file: &File, start: u64, sync: bool) -> Result<Vec<FiemapExtent>, Errno> {
    const FS_IOC_FIEMAP: c_ulong = 0xc020_660b;
    const FIEMAP_FLAG_SYNC: u32 = 1;
    let none = FiemapExtent {
        logical: 0,
        physical: 0,
        length: 0,
        reserved64: [0; 2],
        flags: 0,
        reserved: [0; 3],
    };
    let mut map = Box::new(Fiemap {
        start,
        length: u64::MAX - start,
        flags: if sync { FIEMAP_FLAG_SYNC } else { 0 },
        mapped_extents: 0,
        extent_count: EXTENTS as u32,
        reserved: 0,
        extents: [none; EXTENTS],
    });
    // SAFETY: the kernel reads and writes a `struct fiemap` with as many extents behind it as `extent_count` says, which
    // are those that `Fiemap` has room for.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP as _, &raw mut *map) })?;
    let mapped = (map.mapped_extents as usize).min(EXTENTS);
    Ok(map.extents[..mapped].to_vec())
}

/// Whether no other process has a file open: the kernel grants a write lease only then. It is given back at once.
pub(super) fn is_only_holder(file: &File) -> bool {
    let lease = |kind: c_int| {
        // SAFETY: F_SETLEASE takes a number and touches no memory of ours.
        Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) })
    };
    let granted = lease(libc::F_WRLCK).is_ok();
    if granted {
        let _ = lease(libc::F_UNLCK);
    }
    granted
}

/// LOOP_CTL_GET_FREE: the number of a loop device that is free at this moment.
pub(super) fn free_loop_device(control: &File) -> Result<u32, Errno> {
    // SAFETY: the ioctl takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    Errno::result(number).map(|number| u32::try_from(number).unwrap_or(0))
}

/// LOOP_CONFIGURE, or its equivalent before Linux 5.8: backs a free loop device by a file. It is detached automatically
/// when its last user closes it.
pub(super) fn attach_loop(
    device: &File,
    file: &File,
    file_name: &[u8],
    read_only: bool,
    block_size: u32,
) -> Result<(), Errno> {
    let mut info = LoopInfo64 {
        flags: LO_FLAGS_AUTOCLEAR | if read_only { LO_FLAGS_READ_ONLY } else { 0 },
        ..LoopInfo64::EMPTY
    };
    // One byte is for the NUL.
    let len = file_name.len().min(LO_NAME_SIZE - 1);
    info.file_name[..len].copy_from_slice(&file_name[..len]);
    let fd = u32::try_from(file.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let config = LoopConfig {
        fd,
        block_size,
        info,
        reserved: [0; 8],
    };
    // SAFETY: the kernel reads a `struct loop_config`, whose layout and size `LoopConfig` has.
    let configured = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    match Errno::result(configured) {
        Err(Errno::EINVAL | Errno::ENOTTY | Errno::ENOSYS) => attach_loop_in_two_steps(device, file, &info),
        result => result.map(drop),
    }
}

fn attach_loop_in_two_steps(device: &File, file: &File, info: &LoopInfo64) -> Result<(), Errno> {
    // SAFETY: the ioctl takes a file descriptor, which is open.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_FD as _, file.as_raw_fd()) })?;
    // SAFETY: the kernel reads a `struct loop_info64`, whose layout and size `LoopInfo64` has.
    let set = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_STATUS64 as _, &raw const *info) };
    if let Err(errno) = Errno::result(set) {
        // SAFETY: the ioctl takes no argument.
        let _ = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD as _) };
        return Err(errno);
    }
    Ok(())
}

fn get_int(device: &File, request: c_ulong) -> Result<u32, Errno> {
    let mut value: c_int = 0;
    // SAFETY: the kernel writes one int.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), request as _, &raw mut value) })?;
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}
