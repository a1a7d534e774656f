//! Overwriting data that must not be read again.
//!
//! Random bytes, since zeros can be told apart from an area that never held a key and may be left out by a device that
//! compresses; one pass, since more of them reach nothing on a solid-state drive, and several on a rotating disk.

use crate::storage::Storage;
use crate::units::Bytes;
use crate::{Error, Result};

/// The medium of an area, as far as it matters for wiping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// Flash, a file, or unknown: one pass.
    #[default]
    Other,
    /// A rotating disk, where writes reach the old sectors: several passes.
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

/// Bytes per write.
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
        let past_end = || Error::io("wipe")(std::io::ErrorKind::InvalidInput.into());
        let at = offset.checked_add(done).ok_or_else(past_end)?;
        storage.write_at(at, &chunk[..now]).map_err(Error::io("wipe"))?;
        done = done.checked_add(Bytes::new(now as u64)).unwrap_or(len);
    }
    storage.sync().map_err(Error::io("sync what was wiped"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;
    use crate::storage::fault::{Event, Recorder};

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

    #[test]
    fn each_pass_is_on_the_medium_before_the_next() {
        for (medium, passes) in [(Medium::Other, 1), (Medium::Rotational, 3)] {
            let mut storage = Recorder::new(vec![0; 4096]);
            wipe_random(&mut storage, Bytes::ZERO, Bytes::kib(4), medium).expect("memory");
            let syncs: Vec<bool> = storage.events().iter().map(|event| *event == Event::Sync).collect();
            assert_eq!(syncs, [false, true].repeat(passes));
        }
    }

    #[test]
    fn an_area_behind_the_end_is_an_error_and_an_empty_one_is_not() {
        let mut storage = Memory(vec![7; 4096]);
        assert!(wipe_random(&mut storage, Bytes::kib(4), Bytes::new(1), Medium::Other).is_err());
        assert!(wipe_random(&mut storage, Bytes::new(u64::MAX), Bytes::mib(2), Medium::Other).is_err());
        wipe_random(&mut storage, Bytes::kib(4), Bytes::ZERO, Medium::Other).expect("nothing to do");
        assert_eq!(storage.0, [7; 4096]);
    }
}
