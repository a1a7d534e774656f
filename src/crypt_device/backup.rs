//! Header backups in files, and back onto a device.

use std::fs::File;
use std::path::Path;

use keyslots::Error;
use keyslots::KeyslotId;
use keyslots::backup::{Backup, Restore};
use keyslots::header::{Header, Version};
use keyslots::storage::Storage;
use keyslots::units::Bytes;

use super::ask::{agree, agree_to_loss};
use super::{
    Changing, Confirm, CryptError, LookedAt, LuksDevice, Others, Question, RestoreError, Restoring,
    check_header_unused, open_to_look,
};
use crate::block_device::{self, DevNo, Holder};
use crate::data_device::{self, DataDeviceError};
use crate::dm::DeviceUuid;
use crate::header_backup;
use crate::header_device::{HeaderDevice, Opened};
use crate::same_bytes::{is_same, lies_on};
use crate::volume::Identity;

impl LuksDevice {
    /// Writes a backup of the header to a new file.
    ///
    /// # Errors
    /// [`CryptError`]; an unfinished file is removed.
    pub fn back_up_to(&mut self, file: &Path) -> Result<(), CryptError> {
        self.device.shared(&mut self.opened, |storage| {
            // Under one lock with the copying.
            let header = Header::read(storage)?;
            Ok(header_backup::write(&header, storage, file)?)
        })
    }
}

/// Whether a backup is on the volume that it is of, where it is lost with it. Unknown counts as no.
pub fn is_on_volume(backup: &Path, device: &Path) -> bool {
    let on_itself = || lies_on(&File::open(backup).ok()?, &open_to_look(device).ok()?).ok();
    on_itself() == Some(true)
}

/// Restores the header in a backup onto a device, or into a file, which grows if necessary. Returns the keyslots whose
/// passphrases may work again.
///
/// # Errors
/// [`CryptError::Restore`], [`CryptError::Data`] or [`CryptError::HeaderInUse`] where it would overwrite something in use,
/// [`CryptError::Declined`], [`Error::ChangedMeanwhile`].
pub fn restore(
    changing: &Changing<'_>,
    confirm: &dyn Confirm,
    device: &HeaderDevice,
    file: &Path,
) -> Result<Vec<KeyslotId>, CryptError> {
    let looking = || Error::io("look at the device");
    let mut opened = device.open(false)?;
    let seen = opened
        .file
        .try_clone()
        .and_then(|file| LookedAt::new(file, device.path()));
    let seen = seen.map_err(looking())?;
    let mut source = File::open(file).map_err(|source| RestoreError::Open {
        path: file.to_owned(),
        source,
    })?;
    let backup = Backup::read(&mut source).map_err(|source| RestoreError::Invalid {
        path: file.to_owned(),
        source,
    })?;
    let path = device.path();
    if is_same(&opened.file, &source).map_err(Error::io("look at the backup"))? {
        return Err(RestoreError::Itself(file.to_owned()).into());
    }

    let there = device.shared(&mut opened, read_header)?;
    let used = data_device::check_destroyable(path);
    check_use(path, &mut opened.file, there.as_ref(), &backup, used)?;
    let plan = check(&backup, path, &mut opened, there.as_ref())?;
    let at_risk = device.shared(&mut opened, |storage| {
        Ok::<_, CryptError>(backup.at_risk(&mut source, storage, there.as_ref())?)
    })?;
    let restoring = Restoring {
        device: path,
        version: backup.version(),
        plan: &plan,
        at_risk,
    };
    let question = Question::Restore(&restoring);
    match (plan.loses_reencryption, plan.revives_reencryption) {
        (true, _) => agree_to_loss(confirm, &question)?,
        (_, true) => agree(confirm, &question).map_err(|_| RestoreError::OfReencryption(file.to_owned()))?,
        _ => agree(confirm, &question)?,
    }
    changing.exclusive(device, Others::May, |target, was_luks1| -> Result<(), CryptError> {
        let there = read_header(target)?;
        // What was asked about is what happens, on the very descriptor that is written to.
        if !seen.is_open_as(target).map_err(looking())? {
            return Err(Error::ChangedMeanwhile.into());
        }
        let (_claim, used) = match data_device::claim(target, path) {
            Ok(claim) => (Some(claim), Ok(())),
            Err(error) => (None, Err(error)),
        };
        check_use(path, target, there.as_ref(), &backup, used)?;
        if check(&backup, path, &mut opened, there.as_ref())? != plan
            || at_risk != backup.at_risk(&mut source, target, there.as_ref())?
        {
            return Err(Error::ChangedMeanwhile.into());
        }
        if let Some(there) = &there {
            changing.back_up(there, target)?;
        }
        device.grow_file(target, backup.size())?;
        // Whatever stopped it, the device may be between the two headers now.
        let restored = match plan.loses_reencryption {
            true => backup.replace(&mut source, target, there.as_ref()),
            false => backup.restore(&mut source, target, there.as_ref()),
        };
        restored.map_err(|error| match error {
            untouched @ Error::ChangedMeanwhile => CryptError::from(untouched),
            error => RestoreError::Unfinished(error).into(),
        })?;
        let restored = match &backup {
            Backup::Luks1(backup) => Header::Luks1(backup.header().clone()),
            Backup::Luks2(_) => Header::read(target)?,
        };
        if restored.version() != backup.version() || restored.uuid() != backup.uuid() {
            return Err(Error::ChangedMeanwhile.into());
        }
        if was_luks1 || restored.luks1().is_some() {
            changing.look_again(device, target, &restored, None)?;
        }
        Ok(())
    })?;
    Ok(plan.revives)
}

/// The existing header; a damaged one counts as none.
fn read_header(storage: &mut dyn Storage) -> Result<Option<Header>, CryptError> {
    match Header::read(storage) {
        Ok(header) => Ok(Some(header)),
        Err(error @ Error::Io { .. }) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// A header may be restored under an active volume that it belongs to, and under no other: overwriting a file system, or
/// the only header of another volume, would lose it.
fn check_use(
    device: &Path,
    file: &mut File,
    there: Option<&Header>,
    backup: &Backup,
    used: Result<(), DataDeviceError>,
) -> Result<(), CryptError> {
    if there.is_some_and(|there| there.uuid() == backup.uuid()) {
        return Ok(());
    }
    check_header_unused(file, device)?;
    match used {
        Err(DataDeviceError::InUse { holders, .. }) if is_of_mapping(&holders, backup) => Ok(()),
        used => Ok(used?),
    }
}

/// Whether all holders of a device are mappings of the backup's volume: then its header was damaged, and is restored.
fn is_of_mapping(holders: &[Holder], backup: &Backup) -> bool {
    let is_of = |holder: &Holder| match holder {
        Holder::Device { kernel_name, .. } => {
            let number = DevNo::of_path(&Path::new("/dev").join(kernel_name)).ok().flatten();
            let uuid = number.and_then(block_device::dm_name_and_uuid).map(|(_, uuid)| uuid);
            let identity = match backup.version() {
                Version::Luks1 => Identity::Luks1(backup.uuid().to_owned()),
                Version::Luks2 => Identity::Luks2(backup.uuid().to_owned()),
            };
            uuid.and_then(|uuid| DeviceUuid::new(uuid).ok())
                .is_some_and(|uuid| identity.is_of(&uuid))
        }
        Holder::Process { .. } => true,
        _ => false,
    };
    // A program that has it open does not show whose it is.
    let is_device = |holder: &Holder| matches!(holder, Holder::Device { .. });
    holders.iter().any(is_device) && holders.iter().all(is_of)
}

fn check(backup: &Backup, device: &Path, opened: &mut Opened, there: Option<&Header>) -> Result<Restore, CryptError> {
    let size: Option<Bytes> = match opened.number {
        Some(_) => Some(opened.file.size().map_err(Error::io("get the size of the device"))?),
        None => None,
    };
    let checked = backup.check(there, size).map_err(|refused| RestoreError::Refused {
        device: device.to_owned(),
        refused,
    });
    Ok(checked?)
}
