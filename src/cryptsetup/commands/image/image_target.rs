//! The target of an image: a file, a block device, or a pipe.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};

use crate::unfinished;

/// The unit of checking and skipping: holes of file systems are multiples of it.
const BLOCK: usize = 4096;

/// A target that is written from its start to its end.
#[derive(Debug)]
pub(super) enum Sink {
    /// Standard output, and the file with the header, if it is detached.
    Pipe(Option<File>),
    /// A target that can be written anywhere.
    File(FileSink),
}

/// A file or a block device. Its signature comes last, so that an incomplete one is not taken for the whole.
#[derive(Debug)]
pub(super) struct FileSink {
    file: File,
    /// Whether blocks of zeros may stay holes.
    sparse: bool,
    /// The offset of the next bytes.
    at: u64,
    /// The end of existing contents, which may be what would be written.
    existing: u64,
    /// Bytes that were already right.
    kept: u64,
    /// Whether nothing was compared with the existing contents so far.
    untouched: bool,
    /// Whether anything was written.
    begun: bool,
    last: Last,
}

/// The part that comes last.
#[derive(Debug)]
pub(super) enum Last {
    /// The magic numbers of the header in this file.
    Magic(File),
    /// The first bytes of the data, where file systems and partition tables have theirs.
    Start(Start),
}

/// The first bytes, as far as they have come.
#[derive(Debug)]
pub(super) struct Start {
    bytes: Vec<u8>,
    /// Whether the target already has them.
    in_place: bool,
}

impl Start {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            in_place: true,
        }
    }
}

/// How many bytes are held back: the superblock of btrfs at 64 KiB is the farthest of the usual ones.
const HELD: usize = 1 << 20;

impl Sink {
    /// A file or block device, from byte `at` on. With `resume`, contents that are already right are not written again.
    pub(super) fn file(file: File, at: u64, sparse: bool, resume: bool, last: Last) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let block = metadata.file_type().is_block_device();
        let existing = match (resume, block) {
            (true, false) => metadata.len(),
            // A block device exists in full.
            (true, true) => u64::MAX,
            (false, _) => 0,
        };
        Ok(Self::File(FileSink {
            file,
            sparse: sparse && !block,
            at,
            existing,
            kept: 0,
            untouched: true,
            begun: false,
            last,
        }))
    }

    /// Writes the next bytes.
    pub(super) fn put(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Pipe(_) => io::stdout().lock().write_all(data),
            Self::File(sink) => {
                let held = match &sink.last {
                    Last::Start(start) => (HELD - start.bytes.len()).min(data.len()),
                    Last::Magic(_) => 0,
                };
                sink.hold(&data[..held])?;
                sink.put(&data[held..])
            }
        }
    }

    /// Ends: the target has everything, and stores it. Returns how many bytes were already there.
    pub(super) fn finish(self) -> io::Result<u64> {
        match self {
            Self::Pipe(header) => {
                io::stdout().lock().flush()?;
                header.as_ref().map_or(Ok(()), unfinished::finish)?;
                Ok(0)
            }
            Self::File(mut sink) => {
                if sink.file.metadata()?.is_file() {
                    sink.file.set_len(sink.at)?;
                }
                sink.file.sync_all()?;
                sink.write_last()?;
                Ok(sink.kept)
            }
        }
    }
}

impl FileSink {
    fn put(&mut self, data: &[u8]) -> io::Result<()> {
        let (there, known) = self.compare(data)?;
        // Runs of blocks that must be written.
        let mut from = 0;
        let mut at = 0;
        while at < data.len() {
            let end = (at + BLOCK).min(data.len());
            let block = &data[at..end];
            let right = end <= known && there[at..end] == *block;
            let hole = self.sparse && at >= known && is_zero(block);
            if right || hole {
                self.write(&data[from..at], self.at + from as u64)?;
                from = end;
                if right {
                    self.kept += block.len() as u64;
                }
            }
            at = end;
        }
        self.write(&data[from..], self.at + from as u64)?;
        self.at += data.len() as u64;
        Ok(())
    }

    /// Takes the next of the first bytes, which are written last.
    fn hold(&mut self, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let (there, known) = self.compare(data)?;
        let blocks = data.chunks(BLOCK).zip(there[..known].chunks(BLOCK));
        let right = blocks.filter(|(data, there)| data == there).map(|(data, _)| data.len());
        self.kept += right.sum::<usize>() as u64;
        self.at += data.len() as u64;
        if let Last::Start(start) = &mut self.last {
            start.in_place &= there[..known] == *data;
            start.bytes.extend_from_slice(data);
        }
        Ok(())
    }

    /// Compares existing contents with the next bytes, and returns how much there is. Contents of another image are
    /// refused.
    fn compare(&mut self, data: &[u8]) -> io::Result<(Vec<u8>, usize)> {
        let mut there = vec![0; if self.at < self.existing { data.len() } else { 0 }];
        let known = self.read_existing(&mut there)?;
        // Zeros prove nothing: bytes that were held back are zeros until the end.
        if self.untouched && !is_zero(&there[..known]) {
            self.untouched = false;
            if !self.begun && is_something_else(data, &there[..known]) {
                return Err(io::Error::other(
                    "what is there is not part of this image: nothing was changed",
                ));
            }
        }
        Ok((there, known))
    }

    fn write(&mut self, data: &[u8], at: u64) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        if !self.begun {
            self.begin()?;
        }
        self.file.write_all_at(data, at)
    }

    /// Before the first write: removes existing signatures.
    fn begin(&mut self) -> io::Result<()> {
        self.begun = true;
        if let Last::Magic(header) = &self.last {
            return unfinished::begin(header);
        }
        let is_file = self.file.metadata()?.is_file();
        let size = (&self.file).seek(SeekFrom::End(0))?;
        // A new file is empty.
        let there = if is_file { size.min(self.existing) } else { size };
        let zeros = vec![0; there.min(HELD as u64) as usize];
        self.file.write_all_at(&zeros, 0)?;
        self.file.sync_all()
    }

    /// The rest is written, and synced.
    fn write_last(&mut self) -> io::Result<()> {
        let start = match &mut self.last {
            Last::Magic(header) => return unfinished::finish(header),
            Last::Start(start) if start.in_place && !self.begun && self.existing > 0 => return Ok(()),
            Last::Start(start) => std::mem::take(&mut start.bytes),
        };
        if !self.begun {
            self.begin()?;
        }
        // Backwards: the signature is in front of what it describes.
        for (n, block) in start.chunks(BLOCK).enumerate().rev() {
            if n == 0 {
                self.file.sync_all()?;
            }
            if !self.sparse || !is_zero(block) {
                self.file.write_all_at(block, (n * BLOCK) as u64)?;
            }
        }
        self.file.sync_all()
    }

    /// How many of the bytes that are about to be written already exist.
    fn read_existing(&self, there: &mut [u8]) -> io::Result<usize> {
        let len = (self.existing.saturating_sub(self.at)).min(there.len() as u64) as usize;
        match self.file.read_exact_at(&mut there[..len], self.at) {
            Ok(()) => Ok(len),
            // A block device that ends here reports that when it is written to.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Whether the target to resume was never begun: another volume or image, under the wrong name. Single blocks may have
/// changed since. Blocks of zeros are in every image, and prove nothing.
fn is_something_else(data: &[u8], there: &[u8]) -> bool {
    let blocks = data.chunks(BLOCK).zip(there.chunks(BLOCK));
    let mut told = blocks.filter(|(_, there)| !is_zero(there)).peekable();
    told.peek().is_some() && told.all(|(data, there)| !data.starts_with(there))
}

/// Whether a block is all zeros.
pub(super) fn is_zero(block: &[u8]) -> bool {
    let (chunks, rest) = block.as_chunks::<64>();
    chunks.iter().all(|chunk| *chunk == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn content(file: &File) -> Vec<u8> {
        let mut all = vec![0; file.metadata().expect("metadata").len() as usize];
        file.read_exact_at(&mut all, 0).expect("data");
        all
    }

    /// The target of `--decrypt`.
    fn decrypted(file: &File, resume: bool) -> Sink {
        let file = file.try_clone().expect("a descriptor");
        Sink::file(file, 0, true, resume, Last::Start(Start::new())).expect("a sink")
    }

    #[test]
    fn zeros_stay_holes_and_the_size_is_kept() {
        let file = tempfile::tempfile().expect("a file");
        let mut data = vec![0; 1_000_000];
        data[500_000] = 1;
        let mut sink = decrypted(&file, false);
        for chunk in data.chunks(123 * BLOCK) {
            sink.put(chunk).expect("space");
        }
        assert_eq!(sink.finish().expect("space"), 0);
        assert_eq!(content(&file), data);
        assert!(file.metadata().expect("metadata").blocks() <= 16);
    }

    #[test]
    fn resuming_writes_only_what_is_not_right() {
        let data: Vec<u8> = (0..20 * BLOCK).map(|n| (n / 100) as u8).collect();
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&data[..10 * BLOCK + 5], 0).expect("space");
        file.write_all_at(&[99; 10], 3 * BLOCK as u64).expect("space");
        let mut sink = decrypted(&file, true);
        for chunk in data.chunks(7 * BLOCK) {
            sink.put(chunk).expect("space");
        }
        assert_eq!(sink.finish().expect("space"), 9 * BLOCK as u64);
        assert_eq!(content(&file), data);
    }

    #[test]
    fn what_was_never_begun_is_not_gone_on_with() {
        let file = tempfile::tempfile().expect("a file");
        let other = [7; 5 * BLOCK];
        file.write_all_at(&other, 0).expect("space");
        let mut sink = decrypted(&file, true);
        assert!(sink.put(&[8; 3 * BLOCK]).is_err());
        assert_eq!(content(&file), other);
    }

    #[test]
    fn zeros_overwrite_what_a_stopped_run_left_behind() {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&[7; 3 * BLOCK], 0).expect("space");
        file.write_all_at(&[5; BLOCK], 0).expect("space");
        let mut sink = decrypted(&file, true);
        let mut data = [0; 2 * BLOCK];
        data[..BLOCK].fill(5);
        sink.put(&data).expect("space");
        sink.finish().expect("space");
        assert_eq!(content(&file), data);
    }

    /// A partition table and a file system have as many blocks of zeros as the image, in the same places.
    #[test]
    fn zeros_in_the_same_places_do_not_make_it_this_image() {
        let mut other = vec![0; 300 * BLOCK];
        other[510..520].copy_from_slice(b"\x55\xaaEFI PART");
        other[256 * BLOCK + 1080] = 0x53;
        let mut data = vec![0; 300 * BLOCK];
        data[1080..1082].copy_from_slice(b"\x53\xef");
        for len in [other.len(), 600] {
            let file = tempfile::tempfile().expect("a file");
            file.write_all_at(&other[..len], 0).expect("space");
            let mut sink = decrypted(&file, true);
            assert!(data.chunks(100 * BLOCK).any(|chunk| sink.put(chunk).is_err()), "{len}");
            assert_eq!(content(&file), other[..len]);
        }
    }

    /// The start of a device's old content is gone when the first new bytes are written, and the start of the new
    /// content comes after the last ones.
    #[test]
    fn the_start_comes_last() {
        let file = tempfile::tempfile().expect("a file");
        let data: Vec<u8> = (0..2 * HELD + 77).map(|n| (n / 100 + 1) as u8).collect();
        file.write_all_at(&data, 0).expect("space");
        file.write_all_at(&[0; 10], HELD as u64 + 99).expect("space");
        let mut sink = decrypted(&file, true);
        for chunk in data.chunks(3 * BLOCK) {
            sink.put(chunk).expect("space");
        }
        assert!(is_zero(&content(&file)[..HELD]) && content(&file)[HELD..] == data[HELD..]);
        sink.finish().expect("space");
        assert_eq!(content(&file), data);
    }
}
