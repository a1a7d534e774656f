//! The sectors that are being read or written, so that overlapping requests take turns.
//!
//! A sector is encrypted as a unit: a read in the middle of a write of the same sector would give garbage instead of the
//! old or the new bytes, and two writes of parts of a sector would undo each other. Few requests run at a time, so a list
//! is enough.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The sectors in use.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    list: Mutex<List>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct List {
    held: Vec<Held>,
    /// The number of waiting requests. It is nearly always zero, and then no wake-up is needed, which is a system call.
    waiting: usize,
}

/// The way in which a request uses its sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    sectors: Range<u64>,
    used: Use,
}

impl Held {
    fn excludes(&self, other: &Self) -> bool {
        let both_read = self.used == Use::Read && other.used == Use::Read;
        !both_read && self.sectors.start < other.sectors.end && other.sectors.start < self.sectors.end
    }
}

/// Sectors in use until this is dropped.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    ranges: &'a Ranges,
    held: Held,
}

impl Ranges {
    /// Waits until no request uses any of `sectors` in a way that `used` excludes.
    pub(super) fn hold(&self, sectors: Range<u64>, used: Use) -> Guard<'_> {
        let wanted = Held { sectors, used };
        let mut list = self.list();
        while list.held.iter().any(|other| other.excludes(&wanted)) {
            list.waiting += 1;
            list = self.freed.wait(list).unwrap_or_else(PoisonError::into_inner);
            list.waiting -= 1;
        }
        list.held.push(wanted.clone());
        Guard {
            ranges: self,
            held: wanted,
        }
    }

    /// No code that could panic runs under the lock, so the list is whole in any case.
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let mut list = self.ranges.list();
        // Two equal ones are interchangeable.
        if let Some(at) = list.held.iter().position(|other| *other == self.held) {
            list.held.swap_remove(at);
        }
        let waiting = list.waiting;
        drop(list);
        if waiting > 0 {
            self.ranges.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_overlaps_and_writes_waits() {
        let ranges = Ranges::default();
        let _reading = ranges.hold(0..8, Use::Read);
        drop(ranges.hold(4..12, Use::Read));
        drop(ranges.hold(8..9, Use::Write));
        let written = AtomicBool::new(false);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let _writing = ranges.hold(7..8, Use::Write);
                written.store(true, Ordering::SeqCst);
            });
            thread::sleep(Duration::from_millis(50));
            assert!(!written.load(Ordering::SeqCst));
            drop(_reading);
            waiting.join().expect("no panic");
        });
        assert!(written.load(Ordering::SeqCst));
        assert!(ranges.list().held.is_empty());
    }
}
