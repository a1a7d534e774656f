//! The interface of the block ciphers: it works on runs of blocks.

use cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt};

/// A keyed block cipher. Lengths are multiples of the block length; a remainder is not touched.
pub(super) trait BlockCipher: Send + Sync {
    /// Encrypts each block by itself.
    fn encrypt(&self, blocks: &mut [u8]);
    /// Decrypts each block by itself.
    fn decrypt(&self, blocks: &mut [u8]);
}

impl<C: BlockCipherEncrypt + BlockCipherDecrypt + Send + Sync> BlockCipher for C {
    fn encrypt(&self, blocks: &mut [u8]) {
        self.encrypt_blocks(Array::slice_as_chunks_mut(blocks).0);
    }

    fn decrypt(&self, blocks: &mut [u8]) {
        self.decrypt_blocks(Array::slice_as_chunks_mut(blocks).0);
    }
}
