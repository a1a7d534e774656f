//! A thread that writes what is encrypted, while the next of it is being encrypted.
//!
//! Whoever writes through FUSE sends one request and waits for it: encrypted and written in turns, all but one processor would
//! be idle meanwhile.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes that wait for the thread, in jobs. Whoever finds no room writes what it has itself.
const WAITING: usize = 4;

/// Ciphertext that is to be written.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) buffer: Vec<u8>,
    /// How much of the buffer it is.
    pub(super) len: usize,
    /// Where on the device.
    pub(super) at: u64,
    /// Gets the buffer back, and how it went.
    pub(super) done: Sender<(Vec<u8>, io::Result<()>)>,
}

impl Job {
    pub(super) fn write(&self, device: &File) -> io::Result<()> {
        device.write_all_at(&self.buffer[..self.len], self.at)
    }
}

/// The thread. It ends, and lets go of the device, when this is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    /// Always there, but while it is dropped.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `None` where the system gives no thread.
    pub(super) fn start(device: &Arc<File>) -> Option<Self> {
        let (jobs, waiting) = sync_channel::<Job>(WAITING);
        let device = device.clone();
        let work = move || {
            for job in waiting {
                let written = job.write(&device);
                // Whoever gave it waits for it.
                let _ = job.done.send((job.buffer, written));
            }
        };
        let thread = thread::Builder::new().spawn(work).ok()?;
        Some(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Hands a job on, or back when the thread has enough to do.
    pub(super) fn take(&self, job: Job) -> Result<(), Job> {
        match &self.jobs {
            Some(jobs) => jobs.try_send(job).map_err(|error| match error {
                TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
            }),
            None => Err(job),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}
