//! Headers and data that change their places when a reencryption begins.

use super::super::Header;
use super::super::copies::{forget_secondary, sync_read};
use super::super::format::HEADER_SIZES;
use super::super::validate::AREA_ALIGNMENT;
use super::convert::Disks;
use super::placement::Placement;
use crate::storage::Storage;
use crate::units::Bytes;
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

/// Destroys the magic of the header at the start of the data device, of which `header` is the copy: data come to its place, and no
/// program may repair it over them.
pub(super) fn forget_header(header: &Header, data: &mut dyn Storage, end: Bytes) -> Result<()> {
    match Header::read(data) {
        Ok(there) if there.binary().uuid != header.binary().uuid => return Err(Error::ChangedMeanwhile),
        Ok(_) => wipe_zeros(data, Bytes::ZERO, AREA_ALIGNMENT)?,
        Err(Error::NotLuks) => {}
        // Of another version, or damaged: it may be the only header of a volume.
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
/// first, so that there is no header before its keys are safe. May be repeated after an interruption, as long as the file is there:
/// it writes nothing where the header is on the device already, and perhaps ahead of that in the file.
///
/// # Errors
/// [`Error::InReencryption`] where no such encryption has begun in `file`; the storage's.
pub fn install(file: &mut dyn Storage, device: &mut dyn Storage) -> Result<()> {
    let header = Header::read(file)?;
    header.check_requirements()?;
    let found = header.reencryption()?.running().ok_or(Error::InReencryption)?;
    if !matches!(found.placement, Placement::Up { .. }) {
        return Err(Error::InReencryption);
    }
    // It may have been read from a cache, and what it replaces on the device is lost.
    header.settle(file)?;
    if let Ok(there) = Header::read(device)
        && there.binary().uuid == header.binary().uuid
    {
        return sync_read(device);
    }
    copy_header(&header, file, device)
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
