//! The memory of Argon2.

#![allow(unsafe_code)]

use argon2::Block;
use memmap2::MmapMut;
use zeroize::Zeroize;

use super::KdfError;
use crate::units::Bytes;

/// Blocks of Argon2 in pages of their own.
pub(super) struct Blocks(MmapMut);

impl Blocks {
    pub(super) fn allocate(count: usize) -> Result<Self, KdfError> {
        let needed = Bytes::new((count as u64).saturating_mul(Block::SIZE as u64));
        let out_of_memory = || KdfError::OutOfMemory {
            needed,
            available: Bytes::ZERO,
        };
        let pages = MmapMut::map_anon(needed.to_usize().ok_or_else(out_of_memory)?).map_err(|_| out_of_memory())?;
        Ok(Self(pages))
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Block] {
        // SAFETY: a block is 128 words, for which every bit pattern is valid; `align_to_mut` checks the alignment.
        unsafe { self.0.align_to_mut().1 }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.as_mut_slice().iter_mut().for_each(Block::zeroize);
    }
}
