//! A volume whose device is there: its format, the cost of trying a passphrase on it, and its mapping.

use std::path::{Path, PathBuf};

use keyslots::Unlocked;
use keyslots::kdf::{CostLimits, KdfError};
use keyslots::luks2::Candidates;
use keyslots::secret::{Passphrase, VolumeKey};
use keyslots::units::Bytes;

use super::UnlockError;
use super::attempts::Origin;
use super::format::{Format, assumed, header_path, says_plain};
use super::map_barrier::Gate;
use super::post_open::{self, KeyLasts};
use crate::boot::budget::{Budget, Cost};
use crate::boot::crypttab::Entry;
use crate::boot::devices::{Description, Devices};
use crate::boot::options::{Kind, VolumeOptions};
use crate::crypt_device::{HeaderPlace, LookedAt, LuksDevice, LuksMapping, MapRequest, PlainVolume};
use crate::dm::{DeviceName, Dm};
use crate::header_device::{HeaderDevice, HeaderError, Wanted};
use crate::log;
use crate::passphrase::FinalNewline;
use crate::volume::{self, Flags, PlainHash, VolumeError};

/// A volume that can be tried.
#[derive(Debug)]
pub(super) struct Target {
    /// The device or file with the data.
    pub(super) source: PathBuf,
    /// Its description for a person.
    pub(super) description: Description,
    /// The cost of trying a passphrase.
    pub(super) cost: Cost,
    name: DeviceName,
    options: VolumeOptions,
    limits: CostLimits,
    may_use_keyring: bool,
    may_destroy: bool,
    only_try: bool,
    format: Format,
    /// Whether each boot has another key: its line names a source of random bytes.
    random_key: bool,
    /// The defaults assumed for a plain volume.
    assumed: Option<String>,
    /// The device that was looked at. Nothing else is mapped in its place.
    looked_at: LookedAt,
    /// The device with the header, in the same way.
    header_looked_at: Option<LookedAt>,
}

/// The conditions that the engine sets for a target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permissions {
    pub(super) keyring: bool,
    pub(super) destroy: bool,
    /// Nothing is mapped.
    pub(super) only_try: bool,
}

impl Target {
    /// Looks at the volume; `None` if its device, or the one with its header, is missing.
    pub(super) fn find(
        entry: &Entry,
        devices: &Devices,
        budget: &Budget,
        permissions: Permissions,
    ) -> Result<Option<Self>, UnlockError> {
        if let Some(Kind::Foreign(kind)) = entry.options.kind {
            return Err(UnlockError::Unsupported(kind));
        }
        let Some(source) = devices.find(&entry.source).filter(|source| devices.answers(source)) else {
            return Ok(None);
        };
        let options = &entry.options;
        let look_at = |path: &Path| {
            LookedAt::at(path).map_err(|source| HeaderError::Open {
                path: path.to_owned(),
                source,
            })
        };
        let looked_at = look_at(&source)?;
        let mut header_looked_at = None;
        let format = match options.kind {
            Some(Kind::Plain) => Format::plain(options)?,
            kind => {
                let Some((path, mounted)) = header_path(options, devices, &source)? else {
                    return Ok(None);
                };
                header_looked_at = Some(look_at(&path)?);
                let place = match path == source {
                    true => HeaderPlace::WithData,
                    false => HeaderPlace::Apart,
                };
                match LuksDevice::load(HeaderDevice::new(path, true), place, Wanted::Any, false) {
                    Ok(volume) => {
                        if let Some(repair) = &volume.opened.repair {
                            log::warn(format_args!("{}: {repair}.", volume.device.path().display()));
                        }
                        Format::Luks {
                            layout: volume.layout(&source)?,
                            volume: Box::new(volume),
                            mounted,
                        }
                    }
                    // Without the option `luks` it may be a plain volume, but only where something says so.
                    Err(HeaderError::NotLuks { .. }) if kind.is_none() && says_plain(options) => {
                        Format::plain(options)?
                    }
                    Err(HeaderError::NotLuks { path, .. }) if kind.is_none() => return Err(UnlockError::Unknown(path)),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let cost = match &format {
            Format::Luks { volume, .. } => {
                let too_large = |error: crate::boot::budget::TooLarge| UnlockError::OutOfMemory {
                    needed: error.needed,
                    available: error.available,
                };
                budget.cost(&volume.header, options.key_slot).map_err(too_large)?
            }
            Format::Plain { .. } => Cost::default(),
        };
        let name = match &format {
            Format::Luks { volume, .. } if entry.named_by_uuid => format!("luks-{}", volume.header.uuid()),
            _ => entry.name.clone(),
        };
        Ok(Some(Self {
            description: Description::of(&source),
            cost,
            name: volume::new_name(&name)?,
            options: options.clone(),
            limits: budget.limits(),
            may_use_keyring: permissions.keyring,
            may_destroy: permissions.destroy,
            only_try: permissions.only_try,
            random_key: entry.key.is_random(),
            assumed: match &format {
                Format::Plain { .. } => assumed(entry),
                Format::Luks { .. } => None,
            },
            format,
            source,
            looked_at,
            header_looked_at,
        }))
    }

    /// Whether its paths still lead to the devices that were looked at.
    pub(super) fn is_there(&self) -> bool {
        self.looked_at.is_there() && self.header_looked_at.as_ref().is_none_or(LookedAt::is_there)
    }

    /// Releases the file system with the header.
    pub(super) fn detach(&self) {
        if let Format::Luks {
            mounted: Some(mounted), ..
        } = &self.format
        {
            mounted.detach();
        }
    }

    /// Whether any passphrase would seem to open it, so that it is never tried with another volume's.
    pub(super) fn takes_anything(&self) -> bool {
        matches!(self.format, Format::Plain { .. })
    }

    /// The defaults assumed for a plain volume.
    pub(super) fn assumed(&self) -> Option<&str> {
        self.assumed.as_deref()
    }

    /// Which bytes of a key file are the key, if the volume's options name them.
    pub(super) fn key_len(&self) -> Option<Bytes> {
        match &self.format {
            Format::Plain { key_len, .. } => Some(Bytes::new(*key_len as u64)),
            Format::Luks { .. } => None,
        }
    }

    /// Tries a passphrase, and maps the volume. A key file of a plain volume is not hashed. Returns messages to show.
    pub(super) fn open(
        &self,
        passphrase: &Passphrase,
        origin: Origin,
        gate: &Gate,
    ) -> Result<Option<String>, UnlockError> {
        self.check_is_there()?;
        let from_file = matches!(origin, Origin::Own { from_file: true });
        let (key, layout) = match &self.format {
            Format::Luks { volume, layout, .. } => {
                let key = match self.unlock(volume, passphrase) {
                    Err(UnlockError::WrongPassphrase) if from_file => {
                        return Err(self.diagnose_newline(volume, passphrase));
                    }
                    unlocked => unlocked?.volume_key,
                };
                (key, layout)
            }
            Format::Plain { key_len, hash, .. } if (from_file || hash.takes_all()) && passphrase.len() < *key_len => {
                return Err(UnlockError::ShortKey {
                    found: passphrase.len(),
                    needed: *key_len,
                });
            }
            Format::Plain { layout, hash, key_len } => {
                let hash = if from_file { "plain".parse() } else { Ok(hash.clone()) };
                let key = hash.and_then(|hash: PlainHash| hash.key(passphrase.expose(), *key_len));
                (key?, layout)
            }
        };
        if self.only_try {
            return Ok(None);
        }
        let _inside = gate.enter().ok_or(UnlockError::Stopped)?;
        // A derivation may have taken a while.
        self.check_is_there()?;
        self.map(&key)?;
        post_open::check(&self.source, &self.mapping(), &self.options).or_else(|error| self.close_after(error))?;
        if self.options.swap || self.options.tmp.is_some() {
            let place = post_open::Place {
                source: &self.source,
                mapping: &self.mapping(),
                key: match self.format {
                    Format::Luks { .. } => KeyLasts::Proven,
                    Format::Plain { .. } if self.random_key && from_file => KeyLasts::No,
                    Format::Plain { .. } if origin == Origin::Person => KeyLasts::Typed,
                    Format::Plain { .. } => KeyLasts::Yes,
                },
                offset: layout.offset,
            };
            let made = post_open::make(&place, &self.options, self.may_destroy);
            return made.or_else(|error| self.close_after(error).map(|()| None));
        }
        Ok(None)
    }

    fn check_is_there(&self) -> Result<(), UnlockError> {
        if self.is_there() {
            Ok(())
        } else {
            Err(UnlockError::Replaced(self.source.clone()))
        }
    }

    fn unlock(&self, volume: &LuksDevice, passphrase: &Passphrase) -> Result<Unlocked, UnlockError> {
        let candidates = self.options.key_slot.map_or(Candidates::All, Candidates::Keyslot);
        let unlocked = volume.unlock_anew(passphrase, candidates, &self.limits);
        match unlocked {
            Ok(unlocked) => Ok(unlocked),
            // A keyslot that was skipped for its cost does not make the passphrase right.
            Err(HeaderError::Luks(keyslots::Error::WrongPassphrase)) => Err(UnlockError::WrongPassphrase),
            Err(HeaderError::Luks(keyslots::Error::Kdf(KdfError::CostTooHigh { .. })))
                if volume.header.derivations(self.options.key_slot).len() > 1 =>
            {
                Err(UnlockError::WrongPassphrase)
            }
            Err(HeaderError::Luks(keyslots::Error::Kdf(KdfError::OutOfMemory { needed, available }))) => {
                Err(UnlockError::OutOfMemory { needed, available })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Why a key file's key is wrong. The other form opens nothing.
    fn diagnose_newline(&self, volume: &LuksDevice, key: &Passphrase) -> UnlockError {
        let Ok(Some((fault, other))) = FinalNewline::mend(key) else {
            return UnlockError::WrongPassphrase;
        };
        match self.unlock(volume, &other) {
            Ok(Unlocked { keyslot, .. }) => UnlockError::FinalNewline { fault, keyslot },
            Err(_) => UnlockError::WrongPassphrase,
        }
    }

    fn map(&self, key: &VolumeKey) -> Result<(), UnlockError> {
        let dm = Dm::open().map_err(VolumeError::from)?;
        let request = MapRequest {
            name: &self.name,
            path: &self.source,
            looked_at: &self.looked_at,
            flags: flags(&self.options),
            shared: false,
        };
        match &self.format {
            Format::Luks { volume, .. } => {
                let how = LuksMapping {
                    without_stored_flags: false,
                    may_use_keyring: self.may_use_keyring,
                    limits: &self.limits,
                };
                volume.map(&dm, &request, &how, key)?;
            }
            Format::Plain { layout, .. } => {
                let volume = PlainVolume {
                    layout,
                    iv_large_sectors: false,
                };
                request.map_plain(&dm, &volume, key)?;
            }
        }
        Ok(())
    }

    fn mapping(&self) -> PathBuf {
        Path::new("/dev/mapper").join(self.name.as_os_str())
    }

    /// Removes a mapping that fails its checks.
    fn close_after(&self, error: UnlockError) -> Result<(), UnlockError> {
        let dm = Dm::open().map_err(VolumeError::from)?;
        // The first error is the one to report.
        let _ = volume::deactivate(&dm, &self.name, false);
        Err(error)
    }
}

fn flags(options: &VolumeOptions) -> Flags {
    Flags {
        read_only: options.read_only,
        allow_discards: options.discard,
        same_cpu_crypt: options.same_cpu_crypt,
        submit_from_crypt_cpus: options.submit_from_crypt_cpus,
        no_read_workqueue: options.no_read_workqueue,
        no_write_workqueue: options.no_write_workqueue,
        high_priority: false,
    }
}
