//! A LUKS device according to the options: its header, its keyslots tried, its key.

use std::path::Path;

use keyslots::KeyslotId;
use keyslots::Unlocked;
use keyslots::header::Header;
use keyslots::kdf::CostLimits;
use keyslots::luks2::{self, Candidates};
use keyslots::secret::VolumeKey;
use keyslots::units::Bytes;

use super::context::Context;
use super::events::Teller;
use super::secrets::{Asking, passphrase_prompt};
use super::{keyring_keys, tokens};
use crate::console::Persona;
use crate::crypt_device::{Changing, HeaderPlace, LuksDevice, LuksMapping, UnlockRequest};
use crate::cryptsetup::error::{CliError, KeyslotError};
use crate::header_device::{HeaderDevice, Wanted};

impl Context<'_> {
    /// Reads the header of `device`, which may be elsewhere.
    pub(super) fn load(&self, device: &Path, wanted: Wanted) -> Result<LuksDevice, CliError> {
        self.load_from(self.header_device(device), device, wanted)
    }

    /// As [`Context::load`], and writes nothing: before a confirmation.
    pub(super) fn peek(&self, device: &Path, wanted: Wanted) -> Result<LuksDevice, CliError> {
        self.loaded(self.header_device(device), device, wanted, true)
    }

    /// Reads the header of `device` from where it is.
    pub(super) fn load_from(
        &self,
        header_device: HeaderDevice,
        device: &Path,
        wanted: Wanted,
    ) -> Result<LuksDevice, CliError> {
        // A read-only volume is not written to at all.
        self.loaded(header_device, device, wanted, self.options.readonly)
    }

    fn loaded(
        &self,
        header_device: HeaderDevice,
        device: &Path,
        wanted: Wanted,
        read_only: bool,
    ) -> Result<LuksDevice, CliError> {
        let loaded = LuksDevice::load(header_device, self.place(), wanted, read_only)?;
        self.tell_repair(&loaded.device, &loaded.opened);
        self.check_policy(&loaded.header)?;
        if loaded.header.data().is_some_and(|data| data.cipher.is_null()) {
            self.console.complain(format_args!(
                "WARNING: The data on {} is not encrypted: its cipher is none.",
                device.display()
            ));
        }
        if let Header::Luks2(header) = &loaded.header
            && let luks2::copies::OtherCopy::Damaged(which, defect) = header.other_copy()
        {
            self.console
                .debug(format_args!("The {which:?} copy of the header was damaged: {defect}"));
        }
        Ok(loaded)
    }

    /// Where the header is, according to the options.
    pub(super) fn place(&self) -> HeaderPlace {
        match self.options.header {
            Some(_) => HeaderPlace::Apart,
            None => HeaderPlace::WithData,
        }
    }

    /// Gets the volume key in the way that the options request, and returns the keyslot that held it.
    pub(super) fn volume_key(&self, volume: &mut LuksDevice, device: &Path) -> Result<VolumeKey, CliError> {
        if let Some(file) = &self.options.volume_key_file {
            return self.key_from_file(volume, file);
        }
        if let Some(description) = &self.options.volume_key_keyring {
            return keyring_keys::volume_key(self, volume, description);
        }
        let slot = self.key_slot(&volume.header)?;
        let candidates = self.candidates(slot);
        if self.options.token_only {
            return Ok(tokens::unlock_only(self, volume, candidates)?.volume_key);
        }
        let prompt = passphrase_prompt(device);
        let source = self.source();
        let tokens = tokens::choice(self);
        let unlocked = self.unlocking(candidates, |request| {
            volume.unlock_by(request, Some(&tokens), &mut self.asking(&source, &prompt).warning())
        })?;
        Ok(unlocked.volume_key)
    }

    /// As [`Context::volume_key`], for callers that read and write the data with it. `--key-slot` or a token may name a
    /// keyslot of another key, under which all data would be garbage, and all writes be lost.
    pub(super) fn data_key(&self, volume: &mut LuksDevice, device: &Path) -> Result<VolumeKey, CliError> {
        let key = self.volume_key(volume, device)?;
        volume.header.verify_volume_key(&key, &self.cost_limits())?;
        Ok(key)
    }

    /// Tries passphrases until one is right.
    pub(super) fn unlock_by(
        &self,
        volume: &mut LuksDevice,
        secrets: &mut Asking<'_>,
        candidates: Candidates,
    ) -> Result<Unlocked, CliError> {
        self.unlocking(candidates, |request| volume.unlock_by(request, None, secrets))
    }

    /// Unlocks under the conditions of the options.
    pub(super) fn unlocking<T, E: Into<CliError>>(
        &self,
        candidates: Candidates,
        run: impl FnOnce(&UnlockRequest<'_>) -> Result<T, E>,
    ) -> Result<T, CliError> {
        let options = self.options;
        let unlocked = run(&UnlockRequest {
            candidates,
            limits: &self.cost_limits(),
            skip_costly: false,
            // `--serialize-memory-hard-pbkdf`
            serialized: options.serialize_memory_hard_pbkdf,
            finish_changes: !(options.readonly || options.test_passphrase || options.disable_locks),
            observer: &Teller::new(self),
        });
        unlocked.map_err(|error| match error.into() {
            // cryptsetup does not distinguish between a named keyslot that is missing, and none at all.
            CliError::Keyslot(KeyslotError::Inactive(_)) | CliError::Header(keyslots::Error::KeyslotOutOfRange(_)) => {
                CliError::NoUsableKeyslot
            }
            error => error,
        })
    }

    fn key_from_file(&self, volume: &LuksDevice, file: &Path) -> Result<VolumeKey, CliError> {
        let asked = self.options.key_size.map(|size| size.bytes());
        let known = volume.header.key_size().and_then(Bytes::to_usize);
        // A key of another size than the header's is not the volume's.
        let len = asked.or(known).ok_or(CliError::KeySizeUnknown)?;
        let key = self.volume_key_file(file, len)?;
        volume.header.verify_volume_key(&key, &self.cost_limits())?;
        Ok(key)
    }

    /// The keyslots that a passphrase is tried on.
    pub(super) fn candidates(&self, slot: Option<KeyslotId>) -> Candidates {
        match slot {
            Some(slot) => Candidates::Keyslot(slot),
            None if self.options.test_passphrase && self.options.unbound => Candidates::IncludingUnbound,
            None => Candidates::All,
        }
    }

    /// The conditions of mapping a volume, according to the options.
    pub(super) fn luks_mapping<'a>(&self, limits: &'a CostLimits) -> LuksMapping<'a> {
        LuksMapping {
            flags: self.flags(),
            without_stored_flags: self.options.persistent,
            may_use_keyring: !self.options.disable_keyring,
            limits,
        }
    }

    /// Runs a change of a header under the conditions of the options.
    pub(super) fn changing<T>(&self, run: impl FnOnce(&Changing<'_>) -> T) -> T {
        run(&Changing {
            backup: self.options.backup.as_deref(),
            limits: &self.cost_limits(),
            observer: &Teller::new(self),
        })
    }

    /// `--persistent`: stores the flags of this activation for every later one.
    pub(super) fn remember_flags(&self, volume: &LuksDevice) -> Result<(), CliError> {
        Ok(self.changing(|changing| volume.store_flags(changing, self.flags()))?)
    }

    /// Reports interrupted changes of passphrases. Under the name of cryptsetup its callers expect no such line.
    pub(super) fn tell_unfinished(&self, slots: &[KeyslotId]) {
        if self.console.persona() != Persona::Luksmith {
            return;
        }
        for slot in slots {
            self.console.complain(format_args!(
                "The passphrase change of key slot {slot} was interrupted. Open the device with the new passphrase to finish it, \
                 or change the passphrase again; until then, do not convert the header or back it up with another program."
            ));
        }
    }
}
