//! A volume as a file: requests of the kernel through FUSE, answered by a [`Volume`].
//!
//! The file itself is the mount point, so there is one inode and no directory. It behaves as a block device does: its
//! size is that of the volume, opening it for writing truncates nothing, and a write at its end fails for want of
//! space. Only `ftruncate` to a larger size makes it longer, where the volume is one that can grow.
//!
//! The kernel keeps no changed data of its own (FUSE's write-back cache is off): a write has reached the device's page
//! cache when it returns, so a lack of space is reported to the writer, and a killed server loses no write that
//! returned.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use keyslots::units::Bytes;
use nix::fcntl::FallocateFlags;

use super::Volume;

/// The largest request: the kernel's default limit.
const MAX_REQUEST: u32 = 1 << 20;
/// How long the kernel may cache the attributes of the file: no other program changes it.
const TTL: Duration = Duration::from_secs(60);

/// The one file.
#[derive(Debug)]
pub(super) struct VolumeFile {
    volume: Arc<Volume>,
    since: SystemTime,
    uid: u32,
    gid: u32,
}

thread_local! {
    /// The buffer for a request; each server thread has its own.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl VolumeFile {
    pub(super) fn new(volume: Arc<Volume>) -> Self {
        Self {
            volume,
            since: SystemTime::now(),
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        }
    }

    fn attributes(&self) -> FileAttr {
        let size = self.volume.size().get();
        FileAttr {
            ino: INodeNo::ROOT,
            size,
            blocks: size / 512,
            atime: self.since,
            mtime: self.since,
            ctime: self.since,
            crtime: self.since,
            kind: FileType::RegularFile,
            perm: if self.volume.is_writable() { 0o600 } else { 0o400 },
            nlink: 1,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// Carries out a change of size.
    fn resize(&self, size: u64, file: Option<FileHandle>) -> io::Result<()> {
        let now = self.volume.size().get();
        match file {
            _ if size == now => Ok(()),
            _ if size > now => self.volume.grow(Bytes::new(size)),
            // Opening with O_TRUNC, which has no effect on a device.
            None if size == 0 => Ok(()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn allocate(&self, offset: u64, length: u64, mode: FallocateFlags) -> io::Result<()> {
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let zeroing = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE;
        let end = offset.checked_add(length).ok_or(io::ErrorKind::FileTooLarge)?;
        if !(keep | zeroing).contains(mode) {
            return Err(io::Error::from_raw_os_error(nix::libc::EOPNOTSUPP));
        }
        if !mode.contains(keep) && end > self.volume.size().get() {
            self.volume.grow(Bytes::new(end))?;
        }
        if mode.intersects(zeroing) {
            self.volume.zero(offset, length)
        } else {
            self.volume.reserve(offset, length)
        }
    }
}

impl Filesystem for VolumeFile {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Features that an old kernel lacks are not used.
        let _ = config.set_max_write(MAX_REQUEST);
        if let Err(most) = config.set_max_readahead(MAX_REQUEST) {
            let _ = config.set_max_readahead(most);
        }
        let _ = config.set_max_background(64);
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        Ok(())
    }

    fn getattr(&self, _: &Request, _: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attributes());
    }

    fn setattr(
        &self,
        _: &Request,
        _: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        file: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if mode.or(uid).or(gid).is_some() {
            return reply.error(Errno::EPERM);
        }
        match size.map_or(Ok(()), |size| self.resize(size, file)) {
            Ok(()) => reply.attr(&TTL, &self.attributes()),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buffer| {
            let size = size as usize;
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            match self.volume.read_at(offset, &mut buffer[..size]) {
                Ok(len) => reply.data(&buffer[..len]),
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.volume.write_at(offset, data) {
            Ok(len) => reply.written(len as u32),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Nothing is held back here: the kernel need not ask again when a file is closed.
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(self.volume.sync(), reply);
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer(
            self.allocate(offset, length, FallocateFlags::from_bits_retain(mode)),
            reply,
        );
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = self.volume.size().get() / 4096;
        reply.statfs(blocks, 0, 0, 1, 0, 4096, 255, 4096);
    }
}

fn answer(outcome: io::Result<()>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(&error)),
    }
}

/// The system's number for an error: that of the device, or that of the volume.
fn errno(error: &io::Error) -> Errno {
    match (error.raw_os_error(), error.kind()) {
        (Some(errno), _) => Errno::from_i32(errno),
        (None, io::ErrorKind::StorageFull) => Errno::ENOSPC,
        (None, io::ErrorKind::ReadOnlyFilesystem) => Errno::EROFS,
        (None, io::ErrorKind::InvalidInput) => Errno::EINVAL,
        (None, io::ErrorKind::Unsupported) => Errno::EOPNOTSUPP,
        (None, io::ErrorKind::FileTooLarge) => Errno::EFBIG,
        // The device is shorter than it was, or a thread has panicked.
        (None, _) => Errno::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_meaning() {
        assert_eq!(
            errno(&io::Error::from_raw_os_error(nix::libc::EDQUOT)).code(),
            nix::libc::EDQUOT
        );
        assert_eq!(errno(&io::ErrorKind::StorageFull.into()).code(), nix::libc::ENOSPC);
        assert_eq!(
            errno(&io::ErrorKind::ReadOnlyFilesystem.into()).code(),
            nix::libc::EROFS
        );
        assert_eq!(errno(&io::ErrorKind::UnexpectedEof.into()).code(), nix::libc::EIO);
        assert_eq!(errno(&io::Error::other("x")).code(), nix::libc::EIO);
    }
}
