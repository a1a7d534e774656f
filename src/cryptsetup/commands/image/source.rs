//! The source of an image: a file, a block device, or a pipe.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use keyslots::header::Header;
use keyslots::storage::Storage as _;
use keyslots::units::Bytes;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::block_device::{self, Ground};
use crate::cryptsetup::commands::plaintext::standard_input;
use crate::cryptsetup::error::{CliError, ImageError};
use crate::same_bytes;
use crate::unfinished::Unfinished;
use crate::userspace::{Stop, Stoppable, UserspaceError, read_full};

/// The part of a pipe that is kept to find and open the header in it: more than any header has before its data.
const LONGEST_HEADER: u64 = 512 << 20;
/// The size of a device with room for any header. Memory files are sparse.
const ENDLESS: u64 = 1 << 50;
/// The binary header of either version.
const FIRST: u64 = 4096;
/// The longest copy of a LUKS2 header.
const LONGEST_COPY: u64 = 4 << 20;
/// Every LUKS header starts with it.
const MAGIC: &[u8] = b"LUKS\xba\xbe";

/// A source that is read from its start to its end.
pub(super) struct Source {
    pub(super) input: Stoppable,
    /// Ends the reading.
    pub(super) stop: Option<Stop>,
    /// Bytes to come, if that is known.
    pub(super) size: Option<u64>,
    /// The file, if it can be read at any place.
    file: Option<File>,
    /// The devices below it.
    ground: Ground,
}

impl Source {
    /// Opens a file, a block device or a FIFO; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let failed = || CliError::io("read the image");
        let (mut file, size) = if path == Path::new("-") {
            (standard_input()?, None)
        } else {
            let mut file = File::open(path).map_err(|_| CliError::DeviceMissing(path.to_owned()))?;
            let size = file.size().ok().map(Bytes::get);
            // Others may read it, but not write to it. A mounted file system is up to its owner to judge.
            let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
            if is_file && block_device::lock_file(&file, false).is_err() {
                return Err(UserspaceError::InUse(path.to_owned()).into());
            }
            (file, size)
        };
        let ground = same_bytes::ground(&file).map_err(failed())?;
        let seekable = size.is_some();
        if seekable {
            io::Seek::rewind(&mut file).map_err(failed())?;
        }
        let kept = seekable.then(|| file.try_clone()).transpose().map_err(failed())?;
        let (input, stop) = Stoppable::new(file).map_err(failed())?;
        Ok(Self {
            input,
            stop: Some(stop),
            size,
            file: kept,
            ground,
        })
    }

    /// Checks that the target is not the source, by whatever paths.
    pub(super) fn check_apart(&self, written: &File, path: &Path) -> Result<(), CliError> {
        let written = same_bytes::ground(written).map_err(CliError::io("look at the target"))?;
        match self.ground.overlaps(&written) {
            true => Err(CliError::Image(ImageError::SourceIsTarget(path.to_owned()))),
            false => Ok(()),
        }
    }

    /// Whether it starts with a header, as far as that can be read.
    pub(super) fn is_luks(&self) -> bool {
        let mut start = [0; 6];
        self.file
            .as_ref()
            .is_some_and(|file| file.read_exact_at(&mut start, 0).is_ok() && start == MAGIC)
    }
}

/// A file in memory, freed on drop.
pub(super) struct MemoryFile {
    pub(super) file: File,
}

impl MemoryFile {
    pub(super) fn new() -> Result<Self, CliError> {
        let fd = memfd_create(c"luksmith", MFdFlags::MFD_CLOEXEC);
        let fd = fd.map_err(|errno| CliError::memory(errno.into()))?;
        Ok(Self { file: fd.into() })
    }

    /// A path by which this process can open it.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }

    /// Reads everything before the data of a volume from a pipe: the header and its keyslots.
    pub(super) fn with_header(input: &mut dyn Read) -> Result<Self, CliError> {
        let memory = Self::new()?;
        memory.copy_header(input).map_err(CliError::io("read the header"))?;
        // Rules about the device's size need the device.
        memory
            .file
            .set_len(ENDLESS)
            .map_err(CliError::io("keep the header in memory"))?;
        Ok(memory)
    }

    /// Reads the header of an unfinished image, as if it were complete.
    pub(super) fn with_unfinished(file: &mut File) -> Result<Self, CliError> {
        let mut file = Unfinished(file);
        let size = Header::read(&mut file)?.size().get();
        let memory = Self::new()?;
        let mut copy = || {
            let mut buffer = vec![0; usize::try_from(size).map_err(|_| io::ErrorKind::InvalidData)?];
            file.read_at(Bytes::ZERO, &mut buffer)?;
            memory.file.write_all_at(&buffer, 0)?;
            memory.file.set_len(ENDLESS)
        };
        copy().map_err(CliError::io("read the header"))?;
        Ok(memory)
    }

    fn copy_header(&self, input: &mut dyn Read) -> io::Result<u64> {
        let refused = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let mut done = self.copy(input, 0, FIRST)?;
        if done == FIRST
            && let Some(hdr_size) = self.luks2_header_size()?
        {
            if !(FIRST..=LONGEST_COPY).contains(&hdr_size) {
                return refused(format!("a LUKS2 header of {hdr_size} bytes is none"));
            }
            // Both copies; keyslots and data are behind them.
            done = self.copy(input, done, 2 * hdr_size)?;
        }
        let Some(offset) = self.data_offset(done)?.map(Bytes::get) else {
            // The reader reports an invalid header.
            return Ok(done);
        };
        if offset < done || offset > LONGEST_HEADER {
            return refused(format!(
                "the data start at byte {offset}, which cannot be followed in a pipe"
            ));
        }
        match self.copy(input, done, offset)? {
            end if end < offset => refused(format!("it ends at byte {end}, the data start at byte {offset}")),
            end => Ok(end),
        }
    }

    /// Copies the bytes from `from` to `to`; returns where the copy ends.
    fn copy(&self, mut input: &mut dyn Read, from: u64, to: u64) -> io::Result<u64> {
        let mut buffer = vec![0; (to - from) as usize];
        let read = read_full(&mut input, &mut buffer)?;
        self.file.write_all_at(&buffer[..read], from)?;
        Ok(from + read as u64)
    }

    fn luks2_header_size(&self) -> io::Result<Option<u64>> {
        let mut start = [0; 16];
        self.file.read_exact_at(&mut start, 0)?;
        let (version, size) = (&start[6..8], &start[8..]);
        let luks2 = start.starts_with(MAGIC) && *version == [0, 2];
        Ok(size.try_into().ok().filter(|_| luks2).map(u64::from_be_bytes))
    }

    /// The start of the data, once enough of the header is there.
    fn data_offset(&self, have: u64) -> io::Result<Option<Bytes>> {
        let mut probe = self.file.try_clone()?;
        probe.set_len(ENDLESS)?;
        let header = Header::read(&mut probe);
        probe.set_len(have)?;
        Ok(header
            .ok()
            .and_then(|header| header.data())
            .and_then(|data| data.offset.bytes()))
    }
}
