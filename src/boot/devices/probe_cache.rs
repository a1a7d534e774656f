//! Probing devices that may not answer: a thread of its own waits for each, and no other thread does for long.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::block_device::{DevNo, disk_sequence};

/// A device, with the kernel's sequence number where there is one, as numbers are reused.
type Which = (DevNo, Option<u64>);

/// One kind of probe, and the devices that still owe the answer to it.
#[derive(Debug)]
pub(super) struct Slow<T>(Mutex<BTreeMap<Which, Receiver<T>>>);

impl<T: Send + 'static> Slow<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Whether any device, or this one, still owes an answer, or has given one that was not read yet.
    pub(super) fn is_owed(&self, by: Option<DevNo>) -> bool {
        let owed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut devices = owed.keys().map(|(number, _)| *number);
        match by {
            None => devices.next().is_some(),
            Some(number) => devices.any(|owing| owing == number),
        }
    }

    /// Probes a device; `None` if it does not answer in time. It is not probed again before it has, and a late answer is
    /// returned by the next call.
    pub(super) fn ask(
        &self,
        number: DevNo,
        patience: Duration,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let which = (number, disk_sequence(number));
        let mut owed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = owed.get(&which) {
            let answer = answer.try_recv();
            if !matches!(answer, Err(TryRecvError::Empty)) {
                owed.remove(&which);
            }
            return answer.ok();
        }
        let (sender, answer) = channel();
        let ask = move || {
            // The receiver is gone: the answer is not needed any more.
            let _ = sender.send(question());
        };
        thread::Builder::new().spawn(ask).ok()?;
        match answer.recv_timeout(patience) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                owed.insert(which, answer);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_silent_device_blocks_no_one_and_is_heard_later() {
        let slow = Slow::new();
        let (device, nobody) = (DevNo::new(4095, 1), Duration::from_millis(50));
        let (release, held) = channel();
        let hangs = move || held.recv().expect("released");
        assert_eq!(slow.ask(device, nobody, hangs), None);
        assert!(slow.is_owed(None) && slow.is_owed(Some(device)) && !slow.is_owed(Some(DevNo::new(4095, 2))));
        // It is neither probed again nor waited for.
        let started = Instant::now();
        let patience = Duration::from_secs(60);
        assert_eq!(slow.ask(device, patience, || 0), None);
        assert_eq!(slow.ask(DevNo::new(4095, 2), patience, || 5), Some(5));
        release.send(7).expect("it waits");
        let answer = loop {
            if let Some(answer) = slow.ask(device, patience, || 0) {
                break answer;
            }
            thread::sleep(Duration::from_millis(10));
        };
        assert!(answer == 7 && !slow.is_owed(None));
        assert!(started.elapsed() < patience);
        assert_eq!(slow.ask(device, patience, || 9), Some(9));
    }
}
