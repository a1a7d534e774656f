//! Memory for keys and passphrases.
//!
//! A [`Secret`] has pages of its own: locked against swapping and left out of core dumps where the system allows it, and
//! wiped before they are freed. It cannot be cloned, it prints nothing, and its comparison takes the same time whatever
//! the contents. It is filled in place, so that no copy is left on a stack or a heap.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{Advice, MmapMut};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::units::Bytes;

/// The depth of [`wipe_stack`].
const STACK: usize = 128 << 10;

/// Writes over what calls that have returned left on this thread's stack, 128 KiB deep: a cipher is moved there with the
/// keys that it is made of, which are wiped only where it ends up. For a thread's last call.
#[inline(never)]
pub fn wipe_stack() {
    let mut below = [0xa5_u8; STACK];
    // An array would be wiped byte by byte.
    below.as_mut_slice().zeroize();
    std::hint::black_box(&below);
}

/// Whether this process has ever had a secret.
static HELD: AtomicBool = AtomicBool::new(false);

/// As [`wipe_stack`], if this process has ever had a secret: else nothing of one can be there.
pub fn wipe_stack_after_secrets() {
    if HELD.load(Ordering::Relaxed) {
        wipe_stack();
    }
}

/// A wiped, locked buffer of a fixed length.
pub struct Secret {
    pages: MmapMut,
    len: usize,
}

impl Secret {
    /// A buffer of `len` zero bytes, to be filled through [`Secret::expose_mut`].
    ///
    /// # Errors
    /// The system's error if it cannot allocate the memory.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        // The stack grows now as far as its last wipe needs it: there may be no memory left for that then, and the kernel would end
        // the program by a signal.
        if !HELD.swap(true, Ordering::Relaxed) {
            wipe_stack();
        }
        let pages = MmapMut::map_anon(len.max(1))?;
        // Both are best effort: an ordinary user may lock only a little, and an old kernel lacks the advice. Miri has neither.
        if !cfg!(miri) {
            let _ = pages.lock();
            let _ = pages.advise(Advice::DontDump);
        }
        Ok(Self { pages, len })
    }

    /// A buffer with a copy of `bytes`; the caller wipes its own.
    ///
    /// # Errors
    /// As [`Secret::zeroed`].
    pub fn copy_from(bytes: &[u8]) -> io::Result<Self> {
        let mut secret = Self::zeroed(bytes.len())?;
        secret.expose_mut().copy_from_slice(bytes);
        Ok(secret)
    }

    /// A buffer of `len` bytes from the system's random generator.
    ///
    /// # Errors
    /// As [`Secret::zeroed`], or the generator's.
    pub fn random(len: usize) -> io::Result<Self> {
        let mut secret = Self::zeroed(len)?;
        getrandom::fill(secret.expose_mut()).map_err(io::Error::from)?;
        Ok(secret)
    }

    /// The secret itself. Name each use: nothing read from here may be printed or outlive its purpose.
    pub fn expose(&self) -> &[u8] {
        &self.pages[..self.len]
    }

    /// The secret itself, to be filled in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.pages[..self.len]
    }

    /// Length in bytes. It is not secret.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Length, as the type that sizes have.
    pub fn size(&self) -> Bytes {
        Bytes::new(self.len as u64)
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Cuts the secret to its first `len` bytes and wipes the rest. A `len` past the end changes nothing.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.pages[len..self.len].zeroize();
            self.len = len;
        }
    }

    /// Compares in a time that depends on the lengths alone.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.expose().ct_eq(other).into()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.pages[..].zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The passphrase or the key file's contents that open a keyslot: any bytes, or none.
#[derive(Debug)]
pub struct Passphrase(Secret);

/// The key that encrypts the data of a volume.
#[derive(Debug)]
pub struct VolumeKey(Secret);

impl Passphrase {
    /// Takes over the buffer.
    pub fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// The bytes, for a key derivation function.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// Whether it is empty; an empty passphrase is valid.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Compares in constant time.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.expose())
    }
}

impl VolumeKey {
    /// Takes over the buffer.
    pub fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// A new random key of `len` bytes.
    ///
    /// # Errors
    /// The system's, where it has no memory or no random bytes.
    pub fn random(len: usize) -> io::Result<Self> {
        Secret::random(len).map(Self)
    }

    /// The bytes, for a crypt table or an anti-forensic split.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the key has no bytes, as `cipher_null` may have.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let key = VolumeKey::new(Secret::copy_from(b"canary").expect("a page"));
        assert!(!format!("{key:?}").contains("canary"));
    }

    #[test]
    fn truncating_keeps_the_start_and_the_end_cannot_come_back() {
        let mut secret = Secret::copy_from(b"passphrase\n").expect("a page");
        secret.truncate(10);
        assert!(secret.ct_eq(b"passphrase"));
        secret.truncate(11);
        assert_eq!(secret.len(), 10);
        assert_eq!(secret.pages[10], 0);
    }

    #[test]
    fn an_empty_secret_is_a_secret() {
        let secret = Secret::zeroed(0).expect("a page");
        assert!(secret.is_empty() && secret.ct_eq(b""));
    }
}
