//! How the data of a volume lie before and after a reencryption.

use super::super::Defect;
use super::super::segment::Segment;
use super::slot::{Direction, Guard, Mode, ReencryptKeyslot};
use crate::units::Bytes;

/// How the data lie before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Each zone is converted where it is.
    InPlace,
    /// Encryption: everything moves up by `shift` to make room for the header; the first `shift` bytes were moved to `moved`.
    Up {
        /// By how much.
        shift: Bytes,
        /// The place of the first data on the device.
        moved: Bytes,
        /// The size of the data.
        size: Bytes,
    },
    /// Decryption: everything moves down by `shift` to the place of the header, where the first `moved` bytes are already.
    Down {
        /// By how much.
        shift: Bytes,
        /// How much of the data are there.
        moved: Bytes,
    },
}

impl Placement {
    pub(super) fn of(
        params: &ReencryptKeyslot,
        previous: &Segment,
        last: &Segment,
        moved: Option<&Segment>,
    ) -> Result<Self, Defect> {
        // cryptsetup makes such a header with `--reduce-device-size` where nothing moves, and recovers it to wrong data.
        let unknown = Defect::Reencryption("its data do not move in a way that can be recovered");
        let (from, to) = (previous.offset, last.offset);
        match (params.resilience.shift, params.mode, params.direction, moved) {
            (None, _, _, None) if from == to => Ok(Self::InPlace),
            (Some(shift), Mode::Encrypt, Direction::Backward, Some(moved)) => {
                let size = previous
                    .size
                    .filter(|&size| from == Bytes::ZERO && to == shift && size >= shift);
                let size = size.filter(|_| moved.size == Some(shift)).ok_or(unknown.clone())?;
                // What moves up ends there.
                let end = size.checked_add(shift).ok_or(unknown.clone())?;
                match moved.offset >= end && moved.end().is_some() {
                    true => Ok(Self::Up {
                        shift,
                        moved: moved.offset,
                        size,
                    }),
                    false => Err(unknown),
                }
            }
            (Some(shift), Mode::Decrypt, Direction::Forward, Some(moved)) => {
                let size = moved.size.filter(|&size| size <= shift && moved.offset == Bytes::ZERO);
                match size {
                    Some(moved) if from == shift && to == Bytes::ZERO && params.resilience.guard != Guard::None => {
                        Ok(Self::Down { shift, moved })
                    }
                    _ => Err(unknown),
                }
            }
            _ => Err(unknown),
        }
    }
}
