//! A storage that fails on purpose, and records how it was written: for tests of the state after a crash.
//!
//! Run an action on a [`Recorder`], then let [`Recorder::for_each_crash`] show every image that a stop could have left
//! on the disk: after each write and each sync, with the next write torn at 512 bytes, and with unsynced data lost,
//! wholly or in part; [`Recorder::for_each_state`] shows many more. A [`Fault`] makes one write or one sync fail with
//! EIO.
//!
//! ```
//! use keyslots::storage::{Storage, fault::Recorder};
//! use keyslots::units::Bytes;
//!
//! let mut disk = Recorder::new(vec![b'-'; 2048]);
//! disk.write_at(Bytes::ZERO, &[b'x'; 1024])?;
//! disk.sync()?;
//! let mut torn = false;
//! disk.for_each_crash(|crash| torn |= crash.image[0] == b'x' && crash.image[512] == b'-');
//! assert!(torn);
//! # Ok::<(), std::io::Error>(())
//! ```

mod crash;

use std::io;

pub use self::crash::{Cause, Crash};

use super::{Memory, Storage};
use crate::units::{Bytes, SECTOR_SIZE};

/// The unit that a disk writes as a whole or not at all, in bytes.
const SECTOR: usize = SECTOR_SIZE as usize;

/// The error number of a failed write or sync (EIO).
const EIO: i32 = 5;

/// An operation on a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes were written.
    Write {
        /// The offset.
        offset: Bytes,
        /// The bytes.
        data: Vec<u8>,
    },
    /// All earlier writes have reached the disk.
    Sync,
}

/// A fault to inject. Writes and syncs are counted from 0, each by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This write fails, after the first half of its sectors.
    Write(usize),
    /// This sync fails: nothing written since the one before may be relied on.
    Sync(usize),
}

/// A storage in memory that records each write and each sync.
#[derive(Clone, Debug)]
pub struct Recorder {
    initial: Vec<u8>,
    image: Memory,
    events: Vec<Event>,
    /// Events before this many were covered elsewhere.
    shown_from: usize,
    fault: Option<Fault>,
    writes: usize,
    syncs: usize,
}

impl Recorder {
    /// A disk with these contents.
    pub fn new(image: Vec<u8>) -> Self {
        Self {
            initial: image.clone(),
            image: Memory(image),
            events: Vec::new(),
            shown_from: 0,
            fault: None,
            writes: 0,
            syncs: 0,
        }
    }

    /// A disk on which one operation fails, once; it works again afterwards, so that continuing does harm.
    pub fn failing(image: Vec<u8>, fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::new(image)
        }
    }

    /// The disk as the next process finds it after a kill behind the first `after` events: it reads everything that was
    /// written, and unsynced data may still be lost until they are synced. Only the operations of that process are shown.
    pub fn killed(&self, after: usize) -> Self {
        let seen = self.events.get(..after).unwrap_or(&self.events);
        let synced = seen
            .iter()
            .rposition(|event| *event == Event::Sync)
            .map_or(0, |at| at + 1);
        let mut disk = Self::new(self.initial.clone());
        for (at, event) in seen.iter().enumerate() {
            if at == synced {
                disk.initial.clone_from(&disk.image.0);
            }
            let Event::Write { offset, data } = event else { continue };
            // It fitted before.
            if disk.image.write_at(*offset, data).is_ok() && at >= synced {
                disk.events.push(event.clone());
            }
        }
        if synced == seen.len() {
            disk.initial.clone_from(&disk.image.0);
        }
        disk.shown_from = disk.events.len();
        disk
    }

    /// The contents that a reader sees.
    pub fn image(&self) -> &[u8] {
        &self.image.0
    }

    /// All operations, in order. A failed sync is not among them.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The number of writes that were tried.
    pub fn writes(&self) -> usize {
        self.writes
    }

    /// The number of syncs that were tried.
    pub fn syncs(&self) -> usize {
        self.syncs
    }
}

impl Storage for Recorder {
    fn size(&mut self) -> io::Result<Bytes> {
        self.image.size()
    }

    fn read_at(&mut self, offset: Bytes, buf: &mut [u8]) -> io::Result<()> {
        self.image.read_at(offset, buf)
    }

    fn write_at(&mut self, offset: Bytes, buf: &[u8]) -> io::Result<()> {
        let fails = self.fault == Some(Fault::Write(self.writes));
        self.writes += 1;
        let buf = if fails {
            &buf[..buf.len() / 2 / SECTOR * SECTOR]
        } else {
            buf
        };
        self.image.write_at(offset, buf)?;
        self.events.push(Event::Write {
            offset,
            data: buf.to_vec(),
        });
        if fails {
            Err(io::Error::from_raw_os_error(EIO))
        } else {
            Ok(())
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let fails = self.fault == Some(Fault::Sync(self.syncs));
        self.syncs += 1;
        if fails {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.events.push(Event::Sync);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_makes_nothing_durable() {
        let mut disk = Recorder::failing(vec![0; 1024], Fault::Sync(0));
        disk.write_at(Bytes::ZERO, &[1; 1024]).expect("no fault");
        assert_eq!(disk.sync().expect_err("fault").raw_os_error(), Some(EIO));
        assert!(disk.sync().is_ok());
        let mut lost = false;
        disk.for_each_crash(|crash| lost |= crash.cause == Cause::Unsynced);
        assert!(lost);
        assert_eq!((disk.writes(), disk.syncs()), (1, 2));
    }

    #[test]
    fn what_a_killed_process_wrote_can_still_be_lost() {
        let mut disk = Recorder::new(vec![0; 1536]);
        disk.write_at(Bytes::ZERO, &[1; 512]).expect("no fault");
        disk.sync().expect("no fault");
        disk.write_at(Bytes::new(512), &[2; 512]).expect("no fault");
        let mut next = disk.killed(3);
        assert_eq!(next.image(), disk.image());
        next.write_at(Bytes::new(1024), &[4; 512]).expect("no fault");
        let mut sums = Vec::new();
        next.for_each_crash(|crash| sums.push((crash.cause, sum(crash.image) / 512)));
        let (killed, reordered) = (Cause::Killed, Cause::Reordered(1));
        assert_eq!(sums, [(killed, 3), (Cause::Unsynced, 1), (killed, 7), (reordered, 5)]);
        assert_eq!(disk.killed(2).events(), []);
    }

    #[test]
    fn a_failed_write_is_half_done() {
        let mut disk = Recorder::failing(vec![0; 1024], Fault::Write(0));
        assert!(disk.write_at(Bytes::ZERO, &[1; 1024]).is_err());
        assert_eq!(sum(disk.image()), 512);
    }

    fn sum(image: &[u8]) -> u64 {
        image.iter().map(|&byte| u64::from(byte)).sum()
    }
}
