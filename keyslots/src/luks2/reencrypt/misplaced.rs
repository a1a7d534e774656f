//! Whether header and data lie where a reencryption needs them, and whether the data are those of the header.

use super::super::format::HEADER_SIZES;
use super::super::segment::Segment;
use super::super::{Header, Misplaced};
use super::convert::Disks;
use super::placement::Placement;
use super::slot::Mode;
use super::state::{Part, Reencryption};
use crate::header::Header as AnyHeader;
use crate::storage::Storage;
use crate::units::{Bytes, SECTOR_SIZE};
use crate::{Error, Result};

/// Checks that a reencryption which has begun finds header and data in their places.
///
/// # Errors
/// [`Error::Misplaced`].
pub(super) fn check_lie(disks: &Disks<'_>, found: &Reencryption) -> Result<()> {
    match (found.placement, disks.is_attached()) {
        (Placement::Up { .. }, false) => Err(Misplaced::NotInstalled.into()),
        (Placement::Down { .. }, true) => Err(Misplaced::NotDetached.into()),
        (Placement::InPlace, true) if found.last.offset == Bytes::ZERO => Err(Misplaced::NotDetached.into()),
        _ => Ok(()),
    }
}

/// The same, and that the data device does not show by a header of its own that it is another one.
///
/// # Errors
/// [`Error::Misplaced`], or the storage's.
pub(super) fn check_begun(header: &Header, disks: &mut Disks<'_>, found: &Reencryption) -> Result<()> {
    check_lie(disks, found)?;
    let Some((_, data)) = disks.both() else { return Ok(()) };
    // Plaintext may look like a header, ciphertext cannot.
    let is_encrypted = |(part, segment): &(Part, Segment)| *part != Part::Hot && segment.crypt().is_some();
    let starts_encrypted = found.active.first().is_some_and(is_encrypted);
    match AnyHeader::read(data) {
        Err(Error::NotLuks) => Ok(()),
        Err(error @ Error::Io { .. }) => Err(error),
        _ if found.last.offset == Bytes::ZERO && starts_encrypted => Err(Misplaced::OtherHeader.into()),
        Ok(there) if there.uuid() == header.binary().uuid => Err(Misplaced::OtherHeader.into()),
        _ => Ok(()),
    }
}

/// Checks that a reencryption which is to begin finds header and data in their places. `header` is as it was before.
///
/// # Errors
/// [`Error::Misplaced`], or the storage's.
pub(super) fn check_before(header: &Header, disks: &mut Disks<'_>, found: &Reencryption) -> Result<()> {
    match found.placement {
        Placement::InPlace => {
            check_lie(disks, found)?;
            let Some((_, data)) = disks.both() else { return Ok(()) };
            match AnyHeader::read(data) {
                Err(Error::NotLuks) => Ok(()),
                Err(error @ Error::Io { .. }) => Err(error),
                // A damaged one in plaintext is old data.
                Err(_) if found.params.mode == Mode::Encrypt => Ok(()),
                _ => Err(Misplaced::OtherHeader.into()),
            }
        }
        Placement::Up { .. } if disks.is_attached() => Err(Misplaced::NotDetached.into()),
        Placement::Up { .. } => Ok(()),
        Placement::Down { shift, moved } => check_exported(header, disks, shift, moved),
    }
}

/// Checks that the device has the header of which `header` is the copy in a file, or what an interrupted begin has left of it.
fn check_exported(header: &Header, disks: &mut Disks<'_>, shift: Bytes, moved: Bytes) -> Result<()> {
    let Some((file, device)) = disks.both() else {
        return Err(Misplaced::NotDetached.into());
    };
    match Header::read(device) {
        Ok(there) if there.metadata() == header.metadata() && there.binary().uuid == header.binary().uuid => Ok(()),
        Ok(_) => Err(Misplaced::OtherHeader.into()),
        Err(Error::NotLuks) => {
            let sources = Sources {
                file,
                file_end: header.size(),
                data: shift,
                data_end: moved,
            };
            // Both copies are forgotten by zeros; nobody knows what was between the header and the data.
            let copies = HEADER_SIZES.into_iter().map(Bytes::get).chain([0]);
            let is_zeroed = |at: u64| copies.clone().any(|start| (start..start + 4096).contains(&at));
            let fits = |at, sector: &[u8]| is_zeroed(at) && is_zero(sector);
            match sources.are_all_of(device, header.size(), fits)? {
                Content::Something => Ok(()),
                // An empty device is like any other.
                Content::Zeros => Err(Misplaced::OtherDevice.into()),
            }
        }
        // Of another version, or damaged: it may be the only header of a volume.
        Err(error) => Err(error),
    }
}

/// What the first sectors of a device can hold when headers and data change their places.
pub(super) struct Sources<'a> {
    /// The header, at the same place.
    pub(super) file: &'a mut dyn Storage,
    pub(super) file_end: Bytes,
    /// Where the first data of the device are, or were, beside.
    pub(super) data: Bytes,
    pub(super) data_end: Bytes,
}

impl Sources<'_> {
    /// Checks that each sector of `device` before `end` is that of the header, or of the data, or one that `else_fits` takes.
    ///
    /// # Errors
    /// [`Misplaced::OtherDevice`], or the storage's.
    pub(super) fn are_all_of(
        self,
        device: &mut dyn Storage,
        end: Bytes,
        else_fits: impl Fn(u64, &[u8]) -> bool,
    ) -> Result<Content> {
        const CHUNK: usize = 1 << 20;
        let unreadable = "compare the header with the device";
        let (mut here, mut header, mut data) = (vec![0; CHUNK], vec![0; CHUNK], vec![0; CHUNK]);
        let (mut at, mut content) = (Bytes::ZERO, Content::Zeros);
        while let Some(rest) = end.checked_sub(at).filter(|rest| *rest > Bytes::ZERO) {
            let now = rest.to_usize().unwrap_or(CHUNK).min(CHUNK);
            let room = |end: Bytes| {
                let room = end.checked_sub(at).unwrap_or_default();
                room.to_usize().unwrap_or(CHUNK).min(now)
            };
            let (of_header, of_data) = (room(self.file_end), room(self.data_end));
            let source = self.data.checked_add(at).ok_or(Misplaced::OtherDevice)?;
            device.read_at(at, &mut here[..now]).map_err(Error::io(unreadable))?;
            device
                .read_at(source, &mut data[..of_data])
                .map_err(Error::io(unreadable))?;
            self.file
                .read_at(at, &mut header[..of_header])
                .map_err(Error::io(unreadable))?;
            let mut offset = 0;
            for sector in here[..now].chunks(SECTOR_SIZE as usize) {
                let range = offset..offset + sector.len();
                let is_of = |source: &[u8], len: usize| range.end <= len && source[range.clone()] == *sector;
                let fits = is_of(&header, of_header) || is_of(&data, of_data);
                if !fits && !else_fits(at.get() + offset as u64, sector) {
                    return Err(Misplaced::OtherDevice.into());
                }
                if !is_zero(sector) {
                    content = Content::Something;
                }
                offset += sector.len();
            }
            at = at.checked_add(Bytes::new(now as u64)).unwrap_or(end);
        }
        Ok(content)
    }
}

/// What a device holds at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Zeros,
    Something,
}

pub(super) fn is_zero(sector: &[u8]) -> bool {
    sector.iter().all(|byte| *byte == 0)
}
