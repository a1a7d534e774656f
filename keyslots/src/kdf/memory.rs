//! The working memory of Argon2.

use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, MmapMut};

use super::available::available;
use super::{KdfError, parallel};
use crate::units::Bytes;

/// Pieces in which memory is wiped.
const WIPE_PIECE: usize = 16 << 20;

/// Zeroed pages, huge ones where the system has them, which are wiped on drop.
pub(super) struct WorkingMemory(Option<MmapMut>);

/// Keeps the memory of one derivation for the next ones, until the last such value is dropped.
///
/// Getting fresh pages takes longer than hashing them. A program that unlocks several volumes holds one of these
/// meanwhile. No more memory is held than was once in use at the same time: a derivation that needs another size first
/// frees all idle memory.
#[derive(Debug)]
#[must_use = "memory is kept as long as this is"]
pub struct KeptMemory(());

/// Wiped memory that is not in use, and how many values want it to be kept.
struct Idle {
    keepers: usize,
    pages: Vec<MmapMut>,
}

static IDLE: Mutex<Idle> = Mutex::new(Idle {
    keepers: 0,
    pages: Vec::new(),
});

fn idle() -> MutexGuard<'static, Idle> {
    // An interrupted change leaves nothing half done.
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KeptMemory {
    /// From now on.
    pub fn start() -> Self {
        idle().keepers += 1;
        Self(())
    }
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        let mut idle = idle();
        idle.keepers -= 1;
        if idle.keepers == 0 {
            idle.pages.clear();
        }
    }
}

impl Idle {
    /// Memory of exactly this length. If none is kept, kept memory of other sizes is freed.
    fn take(&mut self, len: usize) -> Option<MmapMut> {
        match self.pages.iter().position(|pages| pages.len() == len) {
            Some(at) => Some(self.pages.swap_remove(at)),
            None => {
                self.pages.clear();
                None
            }
        }
    }
}

/// Checks that `needed` bytes are available, as far as the system reports it.
///
/// # Errors
/// [`KdfError::OutOfMemory`].
pub(super) fn check(needed: Bytes) -> Result<(), KdfError> {
    match available() {
        Some(available) if available < needed => Err(KdfError::OutOfMemory { needed, available }),
        _ => Ok(()),
    }
}

impl WorkingMemory {
    /// Room for `count` items of `size` bytes.
    ///
    /// # Errors
    /// [`KdfError::OutOfMemory`], before anything is allocated if the system reports its memory.
    pub(super) fn allocate(count: usize, size: usize) -> Result<Self, KdfError> {
        let needed = Bytes::new((count as u64).saturating_mul(size as u64));
        if let Some(pages) = needed.to_usize().and_then(|len| idle().take(len)) {
            return Ok(Self(Some(pages)));
        }
        check(needed)?;
        let out_of_memory = || KdfError::OutOfMemory {
            needed,
            available: available().unwrap_or(Bytes::ZERO),
        };
        let len = needed.to_usize().ok_or_else(out_of_memory)?;
        let pages = MmapMut::map_anon(len).map_err(|_| out_of_memory())?;
        // Both are best effort. Getting a gigabyte of small pages takes as long as filling it.
        let _ = pages.advise(Advice::HugePage);
        let _ = pages.advise(Advice::DontDump);
        Ok(Self(Some(pages)))
    }

    /// The memory, which starts at a page.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for WorkingMemory {
    /// Wipes the memory, since the key can be computed from the last blocks in it.
    fn drop(&mut self) {
        parallel::for_each(self.bytes_mut().chunks_mut(WIPE_PIECE), parallel::cpus(), |piece| {
            piece.fill(0);
            zeroize::optimization_barrier(piece);
        });
        let mut idle = idle();
        if idle.keepers > 0 {
            idle.pages.extend(self.0.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_kept_wiped_and_goes_with_its_keeper() {
        // Of a size that no other test uses.
        const SIZE: usize = 12 * 4096;
        let keeper = KeptMemory::start();
        let mut memory = WorkingMemory::allocate(SIZE, 1).expect("a few pages");
        memory.bytes_mut().fill(7);
        let address = memory.bytes_mut().as_ptr();
        drop(memory);
        let mut again = WorkingMemory::allocate(SIZE, 1).expect("a few pages");
        // Another test may have taken memory of another size meanwhile, and freed this.
        if again.bytes_mut().as_ptr() == address {
            assert!(again.bytes_mut().iter().all(|byte| *byte == 0));
        }
        drop(again);
        drop(keeper);
        assert!(idle().keepers > 0 || idle().pages.is_empty());
    }

    #[test]
    fn another_size_gives_back_what_is_idle() {
        let mut idle = Idle {
            keepers: 1,
            pages: vec![
                MmapMut::map_anon(4096).expect("a page"),
                MmapMut::map_anon(8192).expect("pages"),
            ],
        };
        assert_eq!(idle.take(8192).map(|pages| pages.len()), Some(8192));
        assert_eq!(idle.pages.len(), 1);
        assert!(idle.take(16384).is_none() && idle.pages.is_empty());
    }
}
