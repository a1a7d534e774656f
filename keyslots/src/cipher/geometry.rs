//! Sizes, and which way the data go: what the modes share.

use zeroize::Zeroize;

/// The largest sector that dm-crypt has, in bytes.
pub(super) const MAX_SECTOR: usize = 4096;
pub(super) const MAX_BLOCK: usize = 16;

/// Room for masks or a key stream, of two sectors or batches of sectors, wiped on drop; as a slice, since an array would be wiped byte by byte.
#[repr(align(64))]
pub(super) struct SectorBuffer(pub(super) [u8; 2 * MAX_SECTOR]);

impl Drop for SectorBuffer {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Direction {
    Encrypt,
    Decrypt,
}
