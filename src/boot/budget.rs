//! The limits of parallel key derivations: as many as memory and processors allow, otherwise one after the other. One that
//! does not fit in memory at all is not started.

use std::thread;

use keyslots::KeyslotId;
use keyslots::header::Header;
use keyslots::kdf::{CostLimits, available_memory};
use keyslots::units::Bytes;

/// Memory left to the rest of the system by a derivation that takes everything else.
const RESERVE: Bytes = Bytes::mib(16);

/// The cost of trying a passphrase on a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Memory of the largest derivation; they run one after the other.
    pub memory: Bytes,
    /// Processors that it keeps busy.
    pub lanes: u32,
}

/// A keyslot that opens only with more memory than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The need of the volume's cheapest keyslot.
    pub needed: Bytes,
    /// The available memory.
    pub available: Bytes,
}

/// The limits of derivations, and their present use.
#[derive(Debug)]
pub struct Budget {
    memory: Bytes,
    cpus: u32,
    used: Bytes,
    lanes: u32,
    running: u32,
}

impl Budget {
    /// All but a little of the memory that is available now, or `limit` where that is less.
    pub fn new(limit: Option<Bytes>) -> Self {
        let available = available_memory().map(|memory| memory.checked_sub(RESERVE).unwrap_or_default());
        let memory = match (limit, available) {
            (Some(limit), Some(available)) => limit.min(available),
            (Some(only), None) | (None, Some(only)) => only,
            // A system that does not report it: as much as any keyslot is allowed to take.
            (None, None) => Bytes::mib(4096),
        };
        let cpus = thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
        Self::of(memory, cpus)
    }

    fn of(memory: Bytes, cpus: u32) -> Self {
        Self {
            memory,
            cpus,
            used: Bytes::ZERO,
            lanes: 0,
            running: 0,
        }
    }

    /// The limit of all derivations together.
    pub fn memory(&self) -> Bytes {
        self.memory
    }

    /// The limits for a volume's keyslots, so that one that is too large is skipped.
    pub fn limits(&self) -> CostLimits {
        let default = Bytes::mib(4096);
        CostLimits::default().allow_memory(self.memory.min(default))
    }

    /// The cost of trying a passphrase on a volume, leaving out the keyslots that do not fit.
    ///
    /// # Errors
    /// [`TooLarge`] where none of them fits.
    pub fn cost(&self, header: &Header, slot: Option<KeyslotId>) -> Result<Cost, TooLarge> {
        let mut derivations = header.derivations(slot);
        derivations.extend(header.waiting_derivations(slot));
        let fitting = || {
            derivations
                .iter()
                .map(|(_, kdf)| kdf)
                .filter(|kdf| kdf.memory() <= self.memory)
        };
        if fitting().next().is_none()
            && let Some(needed) = derivations.iter().map(|(_, kdf)| kdf.memory()).min()
        {
            return Err(TooLarge {
                needed,
                available: self.memory,
            });
        }
        Ok(Cost {
            memory: fitting().map(|kdf| kdf.memory()).max().unwrap_or_default(),
            lanes: fitting().map(|kdf| kdf.lanes()).max().unwrap_or(1),
        })
    }

    /// Takes the resources of a derivation, if they are available now. More threads than processors would only be
    /// slower, but one derivation always runs.
    pub fn take(&mut self, cost: Cost) -> bool {
        let memory = self.used.checked_add(cost.memory).filter(|sum| *sum <= self.memory);
        let Some(memory) = memory.filter(|_| self.running == 0 || self.lanes.saturating_add(cost.lanes) <= self.cpus)
        else {
            return false;
        };
        self.used = memory;
        self.lanes = self.lanes.saturating_add(cost.lanes);
        self.running += 1;
        true
    }

    /// Gives back what [`Budget::take`] took.
    pub fn give_back(&mut self, cost: Cost) {
        self.used = self.used.checked_sub(cost.memory).unwrap_or_default();
        self.lanes = self.lanes.saturating_sub(cost.lanes);
        self.running = self.running.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(mib: u64, lanes: u32) -> Cost {
        Cost {
            memory: Bytes::mib(mib),
            lanes,
        }
    }

    #[test]
    fn derivations_run_side_by_side_as_far_as_memory_and_processors_go() {
        let mut budget = Budget::of(Bytes::mib(1000), 8);
        assert!(budget.take(cost(400, 4)) && budget.take(cost(400, 4)));
        assert!(!budget.take(cost(100, 1)), "no processor is left");
        budget.give_back(cost(400, 4));
        assert!(!budget.take(cost(700, 1)), "no memory is left");
        assert!(budget.take(cost(600, 1)));
        assert!(!budget.take(cost(1, 1)));
        budget.give_back(cost(400, 4));
        budget.give_back(cost(600, 1));
        assert!(!budget.take(cost(1001, 1)), "never above the budget");
        assert!(
            budget.take(cost(1000, 64)),
            "one always runs, however many lanes it has"
        );
        assert!(!budget.take(cost(0, 1)));
    }
}
