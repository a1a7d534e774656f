//! Random operations on a file, each checked against a copy in memory (after the idea of Apple's fsx).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};

/// The longest single operation in bytes: more than the largest request that FUSE makes of one.
const LONGEST: usize = 3 << 20;

/// Repeatable random numbers.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Mostly short, sometimes very long.
    fn length(&mut self) -> usize {
        let magnitude = self.below(LONGEST.ilog2() as usize + 1);
        1 + self.below(1 << magnitude)
    }
}

/// The contents of the file, and the access to it.
pub(super) struct Exerciser {
    model: Vec<u8>,
    random: Random,
    operations: u64,
}

impl Exerciser {
    /// For a file with this content.
    pub(super) fn new(model: Vec<u8>, seed: u64) -> Self {
        Self {
            model,
            random: Random::new(seed),
            operations: 0,
        }
    }

    pub(super) fn model(&self) -> &[u8] {
        &self.model
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    /// Works on the file for this long, and compares all of it in the end.
    pub(super) fn run(&mut self, path: &Path, time: Duration) {
        let end = Instant::now() + time;
        let mut file = Handles::open(path);
        while Instant::now() < end {
            self.step(&mut file, path);
            self.operations += 1;
        }
        file.cached.sync_all().expect("fsync");
        let mut all = vec![0; self.model.len()];
        Handles::open(path)
            .direct
            .read_exact_at(&mut all, 0)
            .expect("a read of everything");
        self.compare(&all, 0, "in the end");
    }

    fn step(&mut self, file: &mut Handles, path: &Path) {
        let at = self.random.below(self.model.len());
        let len = self.random.length().min(self.model.len() - at);
        let what = self.random.below(100);
        // Through the kernel's cache, or around it.
        let handle = if self.random.below(3) == 0 {
            &file.direct
        } else {
            &file.cached
        };
        match what {
            0..45 => {
                let mut read = vec![0; len];
                handle.read_exact_at(&mut read, at as u64).expect("a read");
                self.compare(&read, at, "a read");
            }
            45..85 => {
                let seed = self.random.next();
                for (n, byte) in self.model[at..at + len].iter_mut().enumerate() {
                    *byte = (seed >> (8 * (n % 8))) as u8 ^ (n / 8) as u8;
                }
                handle
                    .write_all_at(&self.model[at..at + len], at as u64)
                    .expect("a write");
            }
            85..90 => {
                let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
                let flags = match self.random.below(3) {
                    0 => FallocateFlags::FALLOC_FL_PUNCH_HOLE | keep,
                    1 => FallocateFlags::FALLOC_FL_ZERO_RANGE | keep,
                    _ => FallocateFlags::FALLOC_FL_ZERO_RANGE,
                };
                fallocate(handle, flags, at as i64, len as i64).expect("zeroing");
                self.model[at..at + len].fill(0);
            }
            90..93 => {
                let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
                fallocate(handle, keep, at as i64, len as i64).expect("room");
            }
            93..96 => handle.sync_data().expect("fdatasync"),
            96..98 => *file = Handles::open(path),
            _ => {
                // It has a fixed size: there is no room behind it.
                let end = self.model.len() as u64;
                assert_eq!(handle.read_at(&mut [0; 10], end).expect("the end"), 0);
                let error = handle.write_at(&[0; 10], end).expect_err("there is no room");
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
            }
        }
    }

    fn compare(&self, read: &[u8], at: usize, what: &str) {
        if let Some(n) = read
            .iter()
            .zip(&self.model[at..])
            .position(|(read, model)| read != model)
        {
            panic!(
                "{what} after {} operations: byte {} is {:#x}, not {:#x} ({} bytes from {at})",
                self.operations,
                at + n,
                read[n],
                self.model[at + n],
                read.len()
            );
        }
    }
}

struct Handles {
    cached: File,
    direct: File,
}

impl Handles {
    fn open(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        Self {
            cached: options.open(path).expect("the file"),
            direct: options
                .custom_flags(nix::libc::O_DIRECT)
                .open(path)
                .expect("the file, around the cache"),
        }
    }
}
