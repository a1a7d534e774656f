//! The working memory of Argon2.

use memmap2::{Advice, MmapMut};

use super::available::available;
use super::{KdfError, parallel};
use crate::units::Bytes;

/// Pieces in which memory is wiped.
const WIPE_PIECE: usize = 16 << 20;

/// Zeroed pages, huge ones where the system has them, which are wiped on drop.
pub(super) struct WorkingMemory(MmapMut);

/// Whether there are `needed` bytes, as far as the system says.
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
    /// [`KdfError::OutOfMemory`], before anything is allocated where the system says how much it has.
    pub(super) fn allocate(count: usize, size: usize) -> Result<Self, KdfError> {
        let needed = Bytes::new((count as u64).saturating_mul(size as u64));
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
        Ok(Self(pages))
    }

    /// The memory, which starts at a page.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for WorkingMemory {
    /// Wipes the memory, since the key can be computed from the last blocks in it.
    fn drop(&mut self) {
        parallel::for_each(self.0.chunks_mut(WIPE_PIECE), parallel::cpus(), |piece| {
            piece.fill(0);
            zeroize::optimization_barrier(piece);
        });
    }
}
