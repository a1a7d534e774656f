//! Changes of a header: it is read again under the exclusive lock, and a backup of it comes first where one is asked for.

use std::path::Path;

use keyslots::header::Header;
use keyslots::kdf::CostLimits;
use keyslots::luks1;
use keyslots::storage::Storage;

use super::{Event, Observer};
use crate::header_backup::{self, BackupError};
use crate::header_device::{HeaderDevice, HeaderError, Wanted};

/// How a header is changed.
#[derive(Clone, Copy, Debug)]
pub struct Changing<'a> {
    /// The folder that gets a backup of the header before it is changed.
    pub backup: Option<&'a Path>,
    /// What a keyslot or a digest may cost.
    pub limits: &'a CostLimits,
    /// Who is told of what happens.
    pub observer: &'a dyn Observer,
}

impl Changing<'_> {
    /// Runs `action` on the header of `device`, read again under the exclusive lock, and then
    /// [`Changing::outlast_others`].
    ///
    /// # Errors
    /// [`HeaderError`], [`BackupError`], or the action's.
    pub fn change<T, E: From<HeaderError> + From<BackupError>>(
        &self,
        device: &HeaderDevice,
        wanted: Wanted,
        action: impl FnOnce(&mut Header, &mut dyn Storage) -> Result<T, E>,
    ) -> Result<T, E> {
        device.exclusive(wanted, |header, storage| {
            self.back_up(header, storage)?;
            let done = action(header, storage)?;
            if let Header::Luks1(header) = header {
                self.outlast_others(device, header, storage)?;
            }
            Ok(done)
        })
    }

    /// Looks at a changed LUKS1 header once more when the programs that have it open have ended: they take no lock, and may write it
    /// back as they read it before. Who still has it open is told.
    ///
    /// # Errors
    /// [`HeaderError::Luks`]: it is not what was written.
    pub fn outlast_others(
        &self,
        device: &HeaderDevice,
        header: &luks1::Header,
        storage: &mut dyn Storage,
    ) -> Result<(), HeaderError> {
        for user in device.outlast_others(header, storage)? {
            let path = device.path();
            self.observer.notice(Event::OpenElsewhere { path, user: &user });
        }
        Ok(())
    }

    /// Writes a backup of what is about to be changed, where one is asked for.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn back_up(&self, header: &Header, storage: &mut dyn Storage) -> Result<(), BackupError> {
        if let Some(folder) = self.backup {
            let file = header_backup::into_folder(header, storage, folder)?;
            self.observer.notice(Event::BackedUp { file: &file });
        }
        Ok(())
    }
}
