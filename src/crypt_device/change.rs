//! Changes of a header: it is read again under the exclusive lock, and on request a backup of it is written first.

use std::path::Path;

use keyslots::header::{Header, Version};
use keyslots::kdf::CostLimits;
use keyslots::storage::Storage;
use keyslots::{luks1, luks2};

use super::{Event, Observer, Others};
use crate::header_backup::{self, BackupError};
use crate::header_device::{HeaderDevice, HeaderError, Wanted};

/// The conditions of a header change.
#[derive(Clone, Copy, Debug)]
pub struct Changing<'a> {
    /// The folder that gets a backup of the header before it is changed.
    pub backup: Option<&'a Path>,
    /// The limits for the cost of a keyslot or a digest.
    pub limits: &'a CostLimits,
    /// The observer that receives events.
    pub observer: &'a dyn Observer,
}

impl Changing<'_> {
    /// Runs `action` on the header of `device`, read again under the exclusive lock. Where it was LUKS1, or is then, other programs
    /// are awaited before and after ([`Changing::exclusive`], [`Changing::look_again`]).
    ///
    /// # Errors
    /// [`HeaderError`], [`BackupError`], or the action's.
    pub fn change<T, E: From<HeaderError> + From<BackupError>>(
        &self,
        device: &HeaderDevice,
        wanted: Wanted,
        others: Others,
        action: impl FnOnce(&mut Header, &mut dyn Storage) -> Result<T, E>,
    ) -> Result<T, E> {
        self.exclusive(device, others, |file, was_luks1| {
            let (mut header, _) = device.read_header(file, wanted)?;
            let before = header.luks1().map(|header| header.raw().clone());
            self.back_up(&header, file)?;
            let done = action(&mut header, file);
            let now = header.luks1().map(luks1::Header::raw);
            if done.is_err() && now == before.as_ref() || !was_luks1 && now.is_none() {
                return done;
            }
            // What has failed half-way may have a keyslot to put back too.
            let changed = before.as_ref().filter(|_| now.is_some());
            let kept = self.look_again(device, file, &header, changed);
            let done = done?;
            kept?;
            Ok(done)
        })
    }

    /// As [`Changing::change`], for what LUKS2 alone has.
    ///
    /// # Errors
    /// [`HeaderError::NotLuks`] for another version, and as [`Changing::change`].
    pub(super) fn change_luks2<T, E: From<HeaderError> + From<BackupError>>(
        &self,
        device: &HeaderDevice,
        action: impl FnOnce(&mut luks2::Header, &mut dyn Storage) -> Result<T, E>,
    ) -> Result<T, E> {
        let wanted = Wanted::Only(Version::Luks2);
        self.change(device, wanted, Others::May, |header, storage| match header {
            Header::Luks2(header) => action(header, storage),
            Header::Luks1(_) => Err(HeaderError::NotLuks {
                path: device.path().to_owned(),
                wanted,
            }
            .into()),
        })
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
