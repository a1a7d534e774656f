//! Large requests in parts, one for each processor.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use keyslots::cipher::SectorCipher;
use keyslots::secret::wipe_stack;

use super::UserspaceError;

/// The amount of work that is worth a thread.
const WORTH_A_THREAD_NANOS: u64 = 150_000;

/// The parameters for splitting requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    processors: usize,
    sector_size: usize,
    /// Bytes that are worth a thread.
    worth: usize,
}

/// A buffer that can be split.
pub(super) trait Cut: Send + Sized {
    fn len(&self) -> usize;
    fn cut(self, at: usize) -> (Self, Self);
}

impl Cut for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at(at)
    }
}

impl Cut for &mut [u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

impl Parts {
    /// Measures how much of the cipher's work is worth a thread.
    pub(super) fn for_cipher(cipher: &SectorCipher) -> Result<Self, UserspaceError> {
        const SAMPLE: usize = 16 * 1024;
        let mut sample = vec![0; SAMPLE];
        // The first time nothing is in the processor's caches.
        cipher.decrypt(0, &mut sample)?;
        let start = Instant::now();
        cipher.decrypt(0, &mut sample)?;
        let nanos = (start.elapsed().as_nanos() as u64).max(1);
        let worth = SAMPLE as u64 * WORTH_A_THREAD_NANOS / nanos;
        Ok(Self {
            processors: thread::available_parallelism().map_or(1, std::num::NonZero::get),
            sector_size: cipher.sector_size(),
            worth: (worth as usize).clamp(SAMPLE, 1 << 20),
        })
    }

    /// Runs `work` on the parts of whole sectors, in parallel where that is worth it. It gets the offset of its part.
    ///
    /// # Errors
    /// That of a failed part; the outcome of the others is unknown.
    pub(super) fn run<T: Cut>(&self, whole: T, work: impl Fn(u64, T) -> io::Result<()> + Sync) -> io::Result<()> {
        let len = whole.len();
        let parts = (len / self.worth).clamp(1, self.processors);
        if parts == 1 {
            return if len == 0 { Ok(()) } else { work(0, whole) };
        }
        let part = (len / parts).next_multiple_of(self.sector_size);
        let mut cut = Vec::with_capacity(parts);
        let (mut rest, mut at) = (whole, 0);
        while rest.len() > part {
            let (first, others) = rest.cut(part);
            cut.push((at as u64, first));
            (rest, at) = (others, at + part);
        }
        cut.push((at as u64, rest));
        let threads = cut.len();
        let queue = Mutex::new(cut.into_iter());
        let worker = || {
            let outcome = loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                match next.map(|(from, part)| work(from, part)) {
                    Some(Ok(())) => {}
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                }
            };
            wipe_stack();
            outcome
        };
        thread::scope(|scope| {
            // If the system gives fewer threads, those do all the work.
            let running: Vec<_> = (1..threads)
                .map_while(|_| thread::Builder::new().spawn_scoped(scope, worker).ok())
                .collect();
            running.into_iter().fold(worker(), |outcome, thread| {
                let other = thread.join();
                outcome.and(other.unwrap_or_else(|_| Err(io::Error::other("a worker has panicked"))))
            })
        })
    }
}
