//! One way out, carried out: what is written is what was tried in memory, in the same order, with a sync after each step.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use keyslots::header::Header;
use keyslots::luks2::copies::OtherCopy;
use keyslots::storage::Storage as _;
use keyslots::units::Bytes;

use super::found::{self, Found};
use super::remedy::RemedyKind;
use super::report::Report;
use super::saved;
use super::window::Window;
use crate::block_device::DevNo;
use crate::crypt_device::{self, Changing, Confirm, CryptError, LookedAt, is_mapping_of, is_on_volume};
use crate::data_device::{self, DataDeviceError};
use crate::header_device::{HeaderDevice, HeaderError};

/// Why a way out was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RescueError {
    /// There is none of this number.
    #[error("there is no remedy {number}: {count} can be carried out here")]
    NoSuchRemedy {
        /// The number.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// Another program carries it out.
    #[error("remedy {0} is a command of other programs")]
    NotOurs(usize),
    /// It was not confirmed.
    #[error("the operation was not confirmed")]
    Declined,
    /// The disk is not as it was when it was examined.
    #[error("{} has changed since it was examined; nothing was written", .0.display())]
    Changed(PathBuf),
    /// The folder is on the volume itself.
    #[error("{} is on the device that is repaired", .0.display())]
    SavedOnDevice(PathBuf),
    /// What would be overwritten cannot be saved.
    #[error("cannot save to {}: {source}; nothing was written", folder.display())]
    Save {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The disk cannot be written.
    #[error("cannot write to {}: {source}; what was there is in {}", device.display(), saved.display())]
    Write {
        /// The disk.
        device: PathBuf,
        /// What was there before.
        saved: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It does not read back as it was written.
    #[error("{} does not read back as it was written; what was there is in {}", device.display(), saved.display())]
    NotRestored {
        /// The disk.
        device: PathBuf,
        /// What was there before.
        saved: PathBuf,
    },
    /// The disk is in use.
    #[error(transparent)]
    InUse(#[from] DataDeviceError),
    /// The device of the header.
    #[error(transparent)]
    Device(#[from] HeaderError),
    /// The restore of a backup.
    #[error(transparent)]
    Restore(#[from] CryptError),
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What was there before.
    pub saved: PathBuf,
    /// Where that was on the disk.
    pub start: u64,
}

/// The conditions of carrying out a remedy.
#[derive(Clone, Copy, Debug)]
pub struct Applying<'a> {
    /// The disk.
    pub device: &'a HeaderDevice,
    /// The disk as it was examined.
    pub seen: &'a LookedAt,
    /// The folder that gets what is overwritten.
    pub save_to: &'a Path,
    /// How headers are changed.
    pub changing: &'a Changing<'a>,
    /// Who agrees to the restore of a backup.
    pub confirm: &'a dyn Confirm,
}

/// Carries out the remedy of this number, counted from 1, once `agree` has agreed.
///
/// # Errors
/// [`RescueError`].
pub fn apply(
    applying: &Applying<'_>,
    report: &Report,
    number: usize,
    agree: impl FnOnce() -> bool,
) -> Result<Applied, RescueError> {
    let count = report.remedies.len();
    let remedy = number.checked_sub(1).and_then(|at| report.remedies.get(at));
    let remedy = remedy.ok_or(RescueError::NoSuchRemedy { number, count })?;
    let (path, folder) = (applying.device.path(), applying.save_to);
    // The file system of an image's folder is on the disk under the image: only a device is asked.
    let is_device = DevNo::of_path(path).is_ok_and(|number| number.is_some());
    if is_device && is_on_volume(folder, path) {
        return Err(RescueError::SavedOnDevice(folder.to_owned()));
    }
    match &remedy.kind {
        RemedyKind::Repair(_) => {
            let found = report
                .found
                .iter()
                .find(|found| found.start == remedy.start && found.repair.is_some());
            let found = found.ok_or(RescueError::NoSuchRemedy { number, count })?;
            if !agree() {
                return Err(RescueError::Declined);
            }
            applying.device.exclusive_raw(|file| repair(applying, file, found))
        }
        RemedyKind::Backup { file, .. } => {
            let mut opened = applying.device.open(false)?;
            check_same(applying, &opened.file)?;
            let size = File::open(file).and_then(|mut file| file.size()).map_or(0, Bytes::get);
            let saved = save(&mut opened.file, 0, size, folder)?;
            // It asks, in its own words.
            crypt_device::restore(applying.changing, applying.confirm, applying.device, file)?;
            Ok(Applied { saved, start: 0 })
        }
        RemedyKind::Open { .. } | RemedyKind::Partition { .. } => Err(RescueError::NotOurs(number)),
    }
}

fn check_same(applying: &Applying<'_>, file: &File) -> Result<(), RescueError> {
    match applying.seen.is_open_as(file) {
        Ok(true) => Ok(()),
        _ => Err(RescueError::Changed(applying.device.path().to_owned())),
    }
}

fn save(file: &mut File, start: u64, len: u64, folder: &Path) -> Result<PathBuf, RescueError> {
    let failed = |source| RescueError::Save {
        folder: folder.to_owned(),
        source,
    };
    let size = file.size().map_err(failed)?.get();
    let mut window = Window::new(file, start, size.saturating_sub(start));
    saved::save(&mut window, len, folder).map_err(failed)
}

fn repair(applying: &Applying<'_>, file: &mut File, found: &Found) -> Result<Applied, RescueError> {
    let path = applying.device.path();
    check_same(applying, file)?;
    let _claim = match data_device::claim(file, path) {
        Ok(claim) => Some(claim),
        // The volume itself may be open: its header is restored under it.
        Err(DataDeviceError::InUse { holders, .. })
            if found.start == 0
                && found
                    .uuid
                    .as_deref()
                    .is_some_and(|uuid| is_mapping_of(&holders, found.version, uuid)) =>
        {
            None
        }
        Err(error) => return Err(error.into()),
    };
    let changed = || RescueError::Changed(path.to_owned());
    let size = file.size().map_err(|_| changed())?.get();
    let len = size.checked_sub(found.start).ok_or_else(changed)?;
    if found::digest(&mut Window::new(file, found.start, len), found.metadata_len) != found.seen {
        return Err(changed());
    }
    let saved = save(file, found.start, found.metadata_len, applying.save_to)?;
    let failed = |source| RescueError::Write {
        device: path.to_owned(),
        saved: saved.clone(),
        source,
    };
    let writes = found.repair.as_ref().map_or(&[][..], |repair| &repair.writes);
    let mut window = Window::new(file, found.start, len);
    for (at, bytes) in writes {
        window.write_at(Bytes::new(*at), bytes).map_err(failed)?;
        window.sync().map_err(failed)?;
    }
    let whole = match Header::read(&mut window) {
        Ok(Header::Luks2(header)) => *header.other_copy() == OtherCopy::Agrees,
        Ok(Header::Luks1(_)) => true,
        Err(_) => false,
    };
    match whole {
        true => Ok(Applied {
            saved,
            start: found.start,
        }),
        false => Err(RescueError::NotRestored {
            device: path.to_owned(),
            saved,
        }),
    }
}
