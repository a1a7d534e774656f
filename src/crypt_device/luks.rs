//! A LUKS device whose header was read once: what it is, and what opens it.

use std::fs::File;
use std::path::Path;

use keyslots::KeyslotId;
use keyslots::Unlocked;
use keyslots::header::{DataLayout, Header, Unfinished};
use keyslots::kdf::{CostLimits, KdfError};
use keyslots::luks2::Candidates;
use keyslots::secret::Passphrase;

use super::{Changing, CryptError, Event, Observer, open_to_look, others};
use crate::dm::DeviceName;
use crate::header_device::{HeaderDevice, HeaderError, Opened, Wanted};
use crate::locks::{self, Lock, LockError};
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
    /// Whether a keyslot beyond the limits is skipped if there are others. The passphrase is as wrong as before then.
    pub skip_costly: bool,
    /// Whether only one process on this system derives a key at a time.
    pub serialized: bool,
    /// Whether the header may be written to finish an interrupted change of a passphrase.
    pub finish_changes: bool,
    /// The observer that receives events.
    pub observer: &'a dyn Observer,
}

impl UnlockRequest<'_> {
    /// Waits for other processes, where one derives at a time, and locks them out.
    pub(super) fn serialize(&self) -> Result<Option<Lock>, LockError> {
        self.serialized.then(locks::serialize_derivations).transpose()
    }
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
    /// [`CryptError::Header`]: no keyslot opens, or none can be tried; or the locks'.
    pub fn unlock(&mut self, passphrase: &Passphrase, request: &UnlockRequest<'_>) -> Result<Unlocked, CryptError> {
        let _serialized = request.serialize()?;
        let observer = request.observer;
        let mut reader = self.device.reader(&mut self.opened);
        observer.notice(Event::Deriving);
        let unlocked = self
            .header
            .unlock(&mut reader, passphrase, request.candidates, request.limits);
        observer.notice(Event::Derived);
        // If it is unknown, nothing is reported.
        let others = match unlocked {
            Ok(_) => self.header.unfinished_changes(&mut reader).unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let mut unlocked = match reader.outcome(unlocked) {
            Err(HeaderError::Luks(keyslots::Error::Kdf(KdfError::CostTooHigh { .. })))
                if request.skip_costly && self.has_choice(request.candidates) =>
            {
                return Err(keyslots::Error::WrongPassphrase.into());
            }
            unlocked => unlocked?,
        };
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

    fn has_choice(&self, candidates: Candidates) -> bool {
        let slot = match candidates {
            Candidates::Keyslot(slot) => Some(slot),
            _ => None,
        };
        self.header.derivations(slot).len() > 1
    }

    /// The keyslot that a passphrase opens, if any. No event is sent, and no change is finished.
    pub(super) fn opens(
        &mut self,
        passphrase: &Passphrase,
        candidates: Candidates,
        limits: &CostLimits,
    ) -> Option<KeyslotId> {
        let mut reader = self.device.reader(&mut self.opened);
        let unlocked = self.header.unlock(&mut reader, passphrase, candidates, limits);
        unlocked.ok().map(|unlocked| unlocked.keyslot)
    }

    fn finish_change(&mut self, keyslot: KeyslotId, change: &Unfinished, observer: &dyn Observer) {
        let (wanted, medium) = (self.same_version(), self.device.medium());
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
