//! A LUKS device whose header was read once: what it is, and what opens it.

use std::fs::File;
use std::path::Path;

use keyslots::Unlocked;
use keyslots::header::{DataLayout, Header, Unfinished};
use keyslots::kdf::CostLimits;
use keyslots::luks2::Candidates;
use keyslots::secret::Passphrase;

use super::{Changing, CryptError, Event, Observer, open_to_look, others};
use crate::dm::DeviceName;
use crate::header_device::{HeaderDevice, HeaderError, Opened, Wanted};
use crate::same_bytes;
use crate::volume::{self, Active, VolumeError};

/// The place of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderPlace {
    /// At the start of the device with the data.
    WithData,
    /// On a device or in a file of its own.
    Apart,
}

/// The conditions of trying a passphrase.
#[derive(Clone, Copy, Debug)]
pub struct UnlockRequest<'a> {
    /// On which keyslots.
    pub candidates: Candidates,
    /// The limits for the cost of a keyslot.
    pub limits: &'a CostLimits,
    /// Whether the header may be written to finish an interrupted change of a passphrase.
    pub finish_changes: bool,
    /// The observer that receives events.
    pub observer: &'a dyn Observer,
}

/// A header that was read and validated once, and the device that it came from.
#[derive(Debug)]
pub struct LuksDevice {
    /// The place of the header.
    pub device: HeaderDevice,
    /// The header.
    pub header: Header,
    /// The device with the header, kept open.
    pub opened: Opened,
    /// Whether the data are on another device.
    pub place: HeaderPlace,
}

impl LuksDevice {
    /// Reads the header. A damaged or outdated copy is rewritten, unless writing is not allowed (`read_only`) or locks are
    /// off.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn load(
        device: HeaderDevice,
        place: HeaderPlace,
        wanted: Wanted,
        read_only: bool,
    ) -> Result<Self, HeaderError> {
        let (header, opened) = match read_only {
            true => device.peek(wanted)?,
            false => device.read(wanted)?,
        };
        Ok(Self {
            device,
            header,
            opened,
            place,
        })
    }

    /// The layout of the data on `device`, if dm-crypt can map it. The header must not be among them.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn layout(&self, device: &Path) -> Result<DataLayout, VolumeError> {
        let layout = volume::mappable(&self.header)?;
        // The code that needs the device reports that it cannot be opened.
        if let Ok(data) = open_to_look(device) {
            volume::check_apart(&self.header, &self.opened.file, &layout, &data)?;
        }
        Ok(layout)
    }

    /// Checks the device with the data, once it is open: with its header on it, it must be the device that the header was
    /// read from, and with a detached header the data must not overlap that. Typing a passphrase takes time, and the path may
    /// lead to another disk by now.
    ///
    /// # Errors
    /// [`CryptError::Replaced`]; [`VolumeError`] where the header is among the data, or where that is unknown.
    pub fn check_data(&self, layout: &DataLayout, path: &Path, data: &File) -> Result<(), CryptError> {
        volume::check_apart(&self.header, &self.opened.file, layout, data)?;
        let same = || same_bytes::is_same(&self.opened.file, data).map_err(VolumeError::Ground);
        if self.place == HeaderPlace::WithData && !same()? {
            return Err(CryptError::Replaced(path.to_owned()));
        }
        Ok(())
    }

    /// Checks that an active mapping is one of this volume.
    ///
    /// # Errors
    /// [`VolumeError::OtherVolume`], [`VolumeError::OtherDevice`], [`VolumeError::Ground`].
    pub fn check_identity(&self, name: &DeviceName, active: &Active) -> Result<(), VolumeError> {
        volume::check_identity(name, active, &self.header)?;
        match self.place {
            HeaderPlace::WithData => volume::check_device(name, active, &self.opened.file),
            HeaderPlace::Apart => Ok(()),
        }
    }

    /// Tries a passphrase on keyslots. Each read takes the shared lock for itself: none is held while a key is derived.
    ///
    /// A change of the passphrase that was interrupted ends with the first use of the new one, where the request lets
    /// the header be written; where it cannot be, the passphrase opens it as before.
    ///
    /// # Errors
    /// [`HeaderError::Luks`]: no keyslot opens, or none can be tried; or the lock's.
    pub fn unlock(&mut self, passphrase: &Passphrase, request: &UnlockRequest<'_>) -> Result<Unlocked, HeaderError> {
        let observer = request.observer;
        let mut reader = self.device.reader(&mut self.opened);
        observer.notice(Event::Deriving);
        let unlocked = self
            .header
            .unlock(&mut reader, passphrase, request.candidates, request.limits);
        observer.notice(Event::Derived);
        // What is not known is not told.
        let others = match unlocked {
            Ok(_) => self.header.unfinished_changes(&mut reader).unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let mut unlocked = reader.outcome(unlocked)?;
        let keyslot = unlocked.keyslot;
        observer.notice(Event::Unlocked { keyslot });
        let interrupted = match unlocked.unfinished.take() {
            Some(change) if request.finish_changes => {
                self.finish_change(keyslot, &change, observer);
                return Ok(unlocked);
            }
            Some(change) if matches!(*change, Unfinished::Luks1Record) => return Ok(unlocked),
            Some(_) => vec![keyslot],
            None => others,
        };
        if !interrupted.is_empty() {
            observer.notice(Event::ChangesInterrupted { keyslots: &interrupted });
        }
        Ok(unlocked)
    }

    /// As [`LuksDevice::unlock`] on the device opened once more, for several threads at once. The caller makes sure that the path
    /// still leads to it ([`is_there`](super::LookedAt::is_there)), and nothing is finished.
    ///
    /// # Errors
    /// As [`LuksDevice::unlock`].
    pub fn unlock_anew(
        &self,
        passphrase: &Passphrase,
        candidates: Candidates,
        limits: &CostLimits,
    ) -> Result<Unlocked, HeaderError> {
        let mut opened = self.device.open(false)?;
        let mut reader = self.device.reader(&mut opened);
        let unlocked = self.header.unlock(&mut reader, passphrase, candidates, limits);
        reader.outcome(unlocked)
    }

    /// The keyslot that a passphrase opens, if any. No event is sent, and no change is finished.
    pub fn opens(&mut self, passphrase: &Passphrase, candidates: Candidates, limits: &CostLimits) -> Option<u32> {
        let mut reader = self.device.reader(&mut self.opened);
        let unlocked = self.header.unlock(&mut reader, passphrase, candidates, limits);
        unlocked.ok().map(|unlocked| unlocked.keyslot)
    }

    fn finish_change(&mut self, keyslot: u32, change: &Unfinished, observer: &dyn Observer) {
        let (wanted, medium) = (Wanted::Only(self.header.version()), self.device.medium());
        let (path, limits) = (self.device.path(), &CostLimits::default());
        let changing = Changing {
            backup: None,
            limits,
            observer,
        };
        let finished = self.device.exclusive_raw(|file| -> Result<Header, HeaderError> {
            let (mut header, _) = self.device.read_header(file, wanted)?;
            let before = header.luks1().map(|header| header.raw().clone());
            // An older header, written back over the keyslot, would leave it to no passphrase: the change can wait.
            if before.is_some() {
                others::expect_none(path, file)?;
            }
            header.finish_change(file, keyslot, change, medium)?;
            if before.is_some() {
                changing.look_again(&self.device, file, &header, before.as_ref())?;
            }
            Ok(header)
        });
        match finished {
            Ok(header) => {
                self.header = header;
                observer.notice(Event::ChangeFinished { keyslot });
            }
            Err(error) => observer.notice(Event::ChangeNotFinished { keyslot, error: &error }),
        }
    }
}
