//! Headers and data that change their places when a reencryption begins.

use super::super::Header;
use super::super::copies::forget_secondary;
use super::super::format::HEADER_SIZES;
use super::super::validate::AREA_ALIGNMENT;
use super::convert::Disks;
use super::misplaced::{Sources, is_zero};
use super::placement::Placement;
use super::plan::Plan;
use super::state::{Status, is_of_one};
use crate::storage::Storage;
use crate::units::Bytes;
use crate::uuid::is_uuid;
use crate::wipe::wipe_zeros;
use crate::{Error, Result};

/// Bytes that are moved at once.
const CHUNK: usize = 1 << 20;

/// Copies data to another place on the device, and waits until they are there.
pub(super) fn copy(disks: &mut Disks<'_>, from: Bytes, to: Bytes, len: Bytes) -> Result<()> {
    let past_end = || Error::io("move the data")(std::io::ErrorKind::InvalidInput.into());
    let len = len.to_usize().ok_or_else(past_end)?;
    let mut buffer = vec![0; len.min(CHUNK)];
    let mut at = 0;
    while at < len {
        let now = buffer.len().min(len - at);
        let offset = Bytes::new(at as u64);
        disks.read_data(from.checked_add(offset).ok_or_else(past_end)?, &mut buffer[..now])?;
        disks.write_data(to.checked_add(offset).ok_or_else(past_end)?, &buffer[..now])?;
        at += now;
    }
    disks.sync_data()
}

/// Destroys the magic of the header at the start of the data device, as far as it is there: data come to its place, and no program
/// may repair it over them.
pub(super) fn forget_header(data: &mut dyn Storage, end: Bytes) -> Result<()> {
    match Header::read(data) {
        Ok(_) => wipe_zeros(data, Bytes::ZERO, AREA_ALIGNMENT)?,
        Err(Error::NotLuks) => {}
        Err(error) => return Err(error),
    }
    let mut behind = HEADER_SIZES.into_iter().filter(|at| *at < end);
    behind.try_for_each(|at| forget_secondary(data, at))
}

/// Copies the header of a device to a file, byte for byte, where a decryption goes on with it.
///
/// # Errors
/// [`Error::ChangedMeanwhile`] where it is another one by now; the storage's.
pub fn export(header: &Header, device: &mut dyn Storage, file: &mut dyn Storage) -> Result<Header> {
    header.settle(device)?;
    copy_header(header, device, file)?;
    let exported = Header::read(file)?;
    exported.settle(file)?;
    match exported.metadata() == header.metadata() && exported.binary().uuid == header.binary().uuid {
        true => Ok(exported),
        false => Err(Error::ChangedMeanwhile),
    }
}

/// Puts the header in `file`, of an encryption that has begun, onto the device whose first data were moved out of the way: keyslots
/// first, so that there is no header before its keys are safe. What is left of the plaintext behind it is overwritten.
///
/// May be repeated after an interruption, as long as the file is there: it writes nothing where the header is on the device already,
/// and perhaps ahead of that in the file. Without it the data are lost: it may be removed when this has returned.
///
/// # Errors
/// [`Error::NoReencryption`] where no such encryption has begun in `file`; [`Error::Misplaced`] where the device is not that from which
/// the data were moved; the storage's.
pub fn install(file: &mut dyn Storage, device: &mut dyn Storage) -> Result<()> {
    let header = Header::read(file)?;
    header.check_requirements()?;
    let found = header.reencryption()?.running().ok_or(Error::NoReencryption)?;
    let Placement::Up { shift, moved, .. } = found.placement else {
        return Err(Error::NoReencryption);
    };
    let size = device.size().map_err(Error::io("get the size of the data device"))?;
    Plan::new(&found, size)?;
    // It may have been read from a cache, and what it replaces on the device is lost.
    header.settle(file)?;
    if let Ok(there) = Header::read(device)
        && there.binary().uuid == header.binary().uuid
        && let Some(running) = there.reencryption().ok().and_then(Status::running)
        && is_of_one(&running, &found)
    {
        return there.settle(device);
    }
    let sources = Sources {
        file,
        file_end: header.size(),
        data: moved,
        data_end: shift,
    };
    let (behind, marker) = (header.size().get(), marker(&header.binary().uuid));
    let is_marker = |at: u64, sector: &[u8]| {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        marker.get(start..).is_some_and(|marker| marker.starts_with(sector))
    };
    let fits = |at: u64, sector: &[u8]| at >= behind && is_zero(sector) || is_marker(at, sector);
    sources.are_all_of(device, shift, fits)?;
    // From here on the start of the device is neither the data nor a header.
    device
        .write_at(Bytes::ZERO, &marker)
        .map_err(Error::io("write the header"))?;
    device.sync().map_err(Error::io("sync the header"))?;
    if let Some(gap) = shift.checked_sub(header.size()) {
        wipe_zeros(device, header.size(), gap)?;
    }
    copy_header(&header, file, device)
}

/// The UUID of the volume whose header was being put onto the device by [`install`] when that was interrupted. Its header is in a
/// file, and the start of its data elsewhere: nothing else may be made of the device.
///
/// # Errors
/// The storage's.
pub fn interrupted_install(device: &mut dyn Storage) -> Result<Option<String>> {
    let mut start = [0; MARKER_SIZE];
    if device.size().map_err(Error::io("get the size of the data device"))? < AREA_ALIGNMENT {
        return Ok(None);
    }
    device
        .read_at(Bytes::ZERO, &mut start)
        .map_err(Error::io("read the data"))?;
    let uuid = start.strip_prefix(MARKER).and_then(|rest| rest.get(..36));
    let uuid = uuid.and_then(|uuid| std::str::from_utf8(uuid).ok());
    Ok(uuid.filter(|uuid| is_uuid(uuid)).map(str::to_owned))
}

/// Bytes of the marker: all of a file system's superblock is gone, so that nobody mounts it.
const MARKER_SIZE: usize = 4096;
/// What the device starts with while its header is being put there.
const MARKER: &[u8] =
    b"This disk is being encrypted in place. Its LUKS2 header is still in a file, of the volume with the UUID ";

fn marker(uuid: &str) -> [u8; MARKER_SIZE] {
    let mut marker = [0; MARKER_SIZE];
    for (place, byte) in marker.iter_mut().zip(MARKER.iter().chain(uuid.as_bytes())) {
        *place = *byte;
    }
    marker
}

/// Copies keyslots first, then one copy of the header, then the other, each safe before the next: where there is a header, its keys
/// are there too.
fn copy_header(header: &Header, from: &mut dyn Storage, to: &mut dyn Storage) -> Result<()> {
    let size = header.binary().hdr_size;
    let both = size.checked_mul(2).ok_or(Error::NotLuks)?;
    for (start, end) in [(both, header.size()), (size, both), (Bytes::ZERO, size)] {
        copy_range(from, to, start, end)?;
    }
    Ok(())
}

fn copy_range(from: &mut dyn Storage, to: &mut dyn Storage, start: Bytes, end: Bytes) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut at = start;
    while let Some(rest) = end.checked_sub(at).filter(|rest| *rest > Bytes::ZERO) {
        let now = rest.to_usize().unwrap_or(CHUNK).min(CHUNK);
        from.read_at(at, &mut buffer[..now])
            .map_err(Error::io("read the header"))?;
        to.write_at(at, &buffer[..now]).map_err(Error::io("write the header"))?;
        at = at.checked_add(Bytes::new(now as u64)).unwrap_or(end);
    }
    to.sync().map_err(Error::io("sync the header"))
}
