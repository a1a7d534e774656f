//! Where an image goes: a file, a block device, or a pipe.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};

/// What is looked at and left out at a time: holes of file systems are multiples of it.
const BLOCK: usize = 4096;

/// A target that is written from its start to its end.
#[derive(Debug)]
pub(super) enum Sink {
    /// Standard output.
    Pipe,
    /// Something that can be written anywhere.
    File(FileSink),
}

/// A file or a block device.
#[derive(Debug)]
pub(super) struct FileSink {
    file: File,
    /// Whether blocks of zeros may stay holes.
    sparse: bool,
    /// Where the next bytes go.
    at: u64,
    /// Up to here something is there already, which may be what is to be written.
    existing: u64,
    /// Bytes that were right already.
    kept: u64,
    /// Whether nothing was compared with what is there so far.
    untouched: bool,
}

impl Sink {
    /// A file or block device, from byte `at` on. With `resume`, what is there already and right is not written again.
    pub(super) fn file(file: File, at: u64, sparse: bool, resume: bool) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let block = metadata.file_type().is_block_device();
        let existing = match (resume, block) {
            (true, false) => metadata.len(),
            // A block device is all there.
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
        }))
    }

    /// Writes the next bytes.
    pub(super) fn put(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Pipe => io::stdout().lock().write_all(data),
            Self::File(sink) => sink.put(data),
        }
    }

    /// Ends: the target has everything, and keeps it. Returns how many bytes were there already.
    pub(super) fn finish(self) -> io::Result<u64> {
        match self {
            Self::Pipe => io::stdout().lock().flush().map(|()| 0),
            Self::File(sink) => {
                if sink.file.metadata()?.is_file() {
                    sink.file.set_len(sink.at)?;
                }
                sink.file.sync_all()?;
                Ok(sink.kept)
            }
        }
    }
}

impl FileSink {
    fn put(&mut self, data: &[u8]) -> io::Result<()> {
        let mut there = vec![0; if self.at < self.existing { data.len() } else { 0 }];
        let known = self.read_existing(&mut there)?;
        if std::mem::replace(&mut self.untouched, false) && is_something_else(data, &there[..known]) {
            return Err(io::Error::other(
                "what is there is no part of this image: nothing was changed",
            ));
        }
        // Runs of blocks that must be written.
        let mut from = 0;
        let mut at = 0;
        while at < data.len() {
            let end = (at + BLOCK).min(data.len());
            let block = &data[at..end];
            let right = end <= known && there[at..end] == *block;
            let hole = self.sparse && at >= known && is_zero(block);
            if right || hole {
                self.file.write_all_at(&data[from..at], self.at + from as u64)?;
                from = end;
                if right {
                    self.kept += block.len() as u64;
                }
            }
            at = end;
        }
        self.file.write_all_at(&data[from..], self.at + from as u64)?;
        self.at += data.len() as u64;
        Ok(())
    }

    /// How many bytes there were, of those that are about to be written.
    fn read_existing(&self, there: &mut [u8]) -> io::Result<usize> {
        let len = (self.existing.saturating_sub(self.at)).min(there.len() as u64) as usize;
        match self.file.read_exact_at(&mut there[..len], self.at) {
            Ok(()) => Ok(len),
            // A block device that ends here says so when it is written to.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Whether what is to be gone on with was never begun: another volume or image, under the wrong name. Single blocks may
/// have changed since.
fn is_something_else(data: &[u8], there: &[u8]) -> bool {
    let blocks = || data.chunks_exact(BLOCK).zip(there.chunks_exact(BLOCK));
    blocks().any(|(_, there)| !is_zero(there)) && blocks().all(|(data, there)| data != there)
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

    #[test]
    fn zeros_stay_holes_and_the_size_is_kept() {
        let file = tempfile::tempfile().expect("a file");
        let mut data = vec![0; 1_000_000];
        data[500_000] = 1;
        let mut sink = Sink::file(file.try_clone().expect("a descriptor"), 0, true, false).expect("a sink");
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
        let mut sink = Sink::file(file.try_clone().expect("a descriptor"), 0, true, true).expect("a sink");
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
        let mut sink = Sink::file(file.try_clone().expect("a descriptor"), 0, true, true).expect("a sink");
        assert!(sink.put(&[8; 3 * BLOCK]).is_err());
        assert_eq!(content(&file), other);
    }

    #[test]
    fn zeros_overwrite_what_a_stopped_run_left_behind() {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&[7; 3 * BLOCK], 0).expect("space");
        file.write_all_at(&[0; BLOCK], 0).expect("space");
        let mut sink = Sink::file(file.try_clone().expect("a descriptor"), 0, true, true).expect("a sink");
        sink.put(&[0; 2 * BLOCK]).expect("space");
        sink.finish().expect("space");
        assert_eq!(content(&file), [0; 2 * BLOCK]);
    }
}
