//! Overwriting what must not be read again.
//!
//! Random bytes, since zeros can be told apart from an area that never held a key and may be left out by a device that
//! compresses; one pass, since more of them reach nothing on a solid-state drive, and several on a rotating disk.

use crate::storage::Storage;
use crate::units::Bytes;
use crate::{Error, Result};

/// What an area stands on, as far as it matters for wiping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Flash, a file, or unknown: one pass.
    Other,
    /// A rotating disk, where the tracks are what they seem: several passes.
    Rotational,
}

impl Medium {
    fn passes(self) -> usize {
        match self {
            Self::Other => 1,
            Self::Rotational => 3,
        }
    }
}

/// Bytes that go out in one write.
const CHUNK: usize = 1024 * 1024;

/// Overwrites `len` bytes at `offset` with random ones and waits until they are on the medium, for each pass.
///
/// # Errors
/// The storage's, or the random generator's.
pub fn wipe_random(storage: &mut dyn Storage, offset: Bytes, len: Bytes, medium: Medium) -> Result<()> {
    for _ in 0..medium.passes() {
        overwrite(storage, offset, len, |chunk| {
            getrandom::fill(chunk).map_err(std::io::Error::from)
        })?;
    }
    Ok(())
}

/// Overwrites `len` bytes at `offset` with zeros and waits until they are on the medium.
///
/// # Errors
/// The storage's.
pub fn wipe_zeros(storage: &mut dyn Storage, offset: Bytes, len: Bytes) -> Result<()> {
    overwrite(storage, offset, len, |_| Ok(()))
}

fn overwrite(
    storage: &mut dyn Storage,
    offset: Bytes,
    len: Bytes,
    mut fill: impl FnMut(&mut [u8]) -> std::io::Result<()>,
) -> Result<()> {
    let mut chunk = vec![0; len.to_usize().unwrap_or(CHUNK).min(CHUNK)];
    let mut done = Bytes::ZERO;
    while let Some(rest) = len.checked_sub(done).filter(|&rest| rest > Bytes::ZERO) {
        let now = rest.to_usize().unwrap_or(CHUNK).min(chunk.len());
        fill(&mut chunk[..now]).map_err(Error::io("get random bytes"))?;
        let at = offset.checked_add(done).ok_or(Error::DeviceTooSmall {
            size: u64::MAX,
            needed: u64::MAX,
        })?;
        storage.write_at(at, &chunk[..now]).map_err(Error::io("wipe"))?;
        done = done.checked_add(Bytes::new(now as u64)).unwrap_or(len);
    }
    storage.sync().map_err(Error::io("sync what was wiped"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn exactly_the_area_is_wiped() {
        let mut storage = Memory(vec![7; 4096]);
        wipe_random(&mut storage, Bytes::new(1024), Bytes::new(2048), Medium::Rotational).expect("memory");
        assert!(
            storage.0[..1024]
                .iter()
                .chain(&storage.0[3072..])
                .all(|&byte| byte == 7)
        );
        assert!(storage.0[1024..3072].iter().filter(|&&byte| byte == 7).count() < 64);
        wipe_zeros(&mut storage, Bytes::new(1024), Bytes::new(2048)).expect("memory");
        assert!(storage.0[1024..3072].iter().all(|&byte| byte == 0));
        assert!(wipe_zeros(&mut storage, Bytes::new(4000), Bytes::new(97)).is_err());
    }
}
