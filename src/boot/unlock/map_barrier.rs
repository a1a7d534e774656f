//! A gate that every mapping passes, so that the program can end at once without leaving half of a mapping behind:
//! derivations are abandoned wherever they are, a mapping that was begun is finished.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The time limit for a mapping that was begun, with the checks and the file system that belong to it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The gate.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    inside: u32,
}

/// One thread inside; leaves on drop.
#[derive(Debug)]
pub(super) struct Inside<'a>(&'a Gate);

impl Gate {
    /// Enters; `None` once it is closed.
    pub(super) fn enter(&self) -> Option<Inside<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        state.inside += 1;
        Some(Inside(self))
    }

    /// Closes it, and waits for those inside, but not for ever.
    pub(super) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        let waited = self.left.wait_timeout_while(state, PATIENCE, |state| state.inside > 0);
        // A thread that is still inside is left to the kernel.
        drop(waited);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.inside -= 1;
        self.0.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn closing_waits_for_those_inside_and_admits_no_more() {
        let gate = Gate::default();
        std::thread::scope(|scope| {
            let inside = gate.enter().expect("it is open");
            let closer = scope.spawn(|| {
                let since = Instant::now();
                gate.close();
                since.elapsed()
            });
            std::thread::sleep(Duration::from_millis(300));
            drop(inside);
            assert!(closer.join().expect("it ends") < PATIENCE);
        });
        assert!(gate.enter().is_none());
    }
}
