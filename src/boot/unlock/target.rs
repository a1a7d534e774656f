//! A volume whose device is there: its format, the cost of trying a passphrase on it, and its mapping.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyslots::kdf::{CostLimits, KdfError};
use keyslots::luks2::Candidates;
use keyslots::secret::VolumeKey;
use keyslots::units::Bytes;

use super::UnlockError;
use super::attempts::{Origin, Secret};
use super::format::{Format, assumed, header_path, plain, says_plain};
use super::map_barrier::Gate;
use super::post_open::{self, KeyLasts};
use crate::boot::budget::{Budget, Cost};
use crate::boot::crypttab::Entry;
use crate::boot::devices::{Description, Devices};
use crate::boot::options::{Kind, VolumeOptions};
use crate::crypt_device::tokens::TokenChoice;
use crate::crypt_device::{
    self, ClosedVolume, Event, Given, HeaderPlace, LookedAt, LuksDevice, LuksMapping, Observer, PlainOptions,
    UnlockRequest,
};
use crate::dm::{DeviceName, Dm};
use crate::header_device::{HeaderDevice, HeaderError, Wanted};
use crate::log;
use crate::volume::{self, Flags, VolumeError};

/// A volume that can be tried.
#[derive(Debug)]
pub(super) struct Target {
    /// The device or file with the data.
    pub(super) source: PathBuf,
    /// Its description for a person.
    pub(super) description: Description,
    /// The cost of trying a passphrase.
    pub(super) cost: Cost,
    /// The name of its mapping, as given and as the kernel has it.
    name: (String, DeviceName),
    options: VolumeOptions,
    limits: CostLimits,
    may_use_keyring: bool,
    may_destroy: bool,
    only_try: bool,
    format: Format,
    /// The device that was looked at. Nothing else is mapped in its place.
    closed: ClosedVolume,
    /// The device with the header, in the same way.
    header_looked_at: Option<LookedAt>,
    /// The keyslots to try.
    candidates: Candidates,
    /// Whether there are tokens to try.
    has_tokens: bool,
    /// Whether each boot has another key: its line names a source of random bytes.
    random_key: bool,
    /// The defaults assumed for a plain volume.
    assumed: Option<String>,
}

/// A format, the volume, the cost of a try, and the UUID of its header.
type Found = (Format, ClosedVolume, Cost, Option<String>);

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
        let mut header_looked_at = None;
        let mut keyslot = None;
        let (format, closed, cost, uuid) = match options.kind {
            Some(Kind::Plain) => plain_target(&source, options)?,
            kind => {
                let Some((path, mounted)) = header_path(options, devices, &source)? else {
                    return Ok(None);
                };
                let looked_at = LookedAt::at(&path).map_err(|source| HeaderError::Open {
                    path: path.clone(),
                    source,
                })?;
                header_looked_at = Some(looked_at);
                match load(path, &source) {
                    Ok(volume) => {
                        let header = &volume.header;
                        keyslot = options.key_slot.as_ref().map(|slot| slot.number(header)).transpose()?;
                        let cost = budget.cost(header, keyslot).map_err(|error| UnlockError::OutOfMemory {
                            needed: error.needed,
                            available: error.available,
                        })?;
                        let uuid = header.uuid().to_owned();
                        let closed = ClosedVolume::luks(&source, &volume)?;
                        let volume = Box::new(Mutex::new(volume));
                        (Format::Luks { volume, mounted }, closed, cost, Some(uuid))
                    }
                    // Without the option `luks` it may be a plain volume, but only where something says so.
                    Err(HeaderError::NotLuks { .. }) if kind.is_none() && says_plain(options) => {
                        plain_target(&source, options)?
                    }
                    Err(HeaderError::NotLuks { path, .. }) if kind.is_none() => return Err(UnlockError::Unknown(path)),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let candidates = keyslot.map_or(Candidates::All, Candidates::Keyslot);
        let name = match &uuid {
            Some(uuid) if entry.named_by_uuid => format!("luks-{uuid}"),
            _ => entry.name.clone(),
        };
        let mapping = volume::new_name(&name)?;
        Ok(Some(Self {
            description: Description::of(&source),
            cost,
            name: (name, mapping),
            options: options.clone(),
            limits: budget.limits(),
            may_use_keyring: permissions.keyring,
            may_destroy: permissions.destroy,
            only_try: permissions.only_try,
            random_key: entry.key.is_random(),
            assumed: match &format {
                Format::Plain(_) => assumed(entry),
                Format::Luks { .. } => None,
            },
            has_tokens: match &format {
                Format::Luks { volume, .. } => lock(volume).has_tokens(candidates),
                Format::Plain(_) => false,
            },
            candidates,
            format,
            source,
            closed,
            header_looked_at,
        }))
    }

    /// Whether its paths still lead to the devices that were looked at.
    pub(super) fn is_there(&self) -> bool {
        self.closed.is_there() && self.header_looked_at.as_ref().is_none_or(LookedAt::is_there)
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
        matches!(self.format, Format::Plain(_))
    }

    /// Whether there are tokens to try, before any key and any prompt.
    pub(super) fn has_tokens(&self) -> bool {
        self.has_tokens
    }

    /// The defaults assumed for a plain volume.
    pub(super) fn assumed(&self) -> Option<&str> {
        self.assumed.as_deref()
    }

    /// Which bytes of a key file are the key, if the volume's options name them.
    pub(super) fn key_len(&self) -> Option<Bytes> {
        match &self.format {
            Format::Plain(encryption) => Some(Bytes::new(encryption.key_len as u64)),
            Format::Luks { .. } => None,
        }
    }

    /// Tries a passphrase, or tokens, and maps the volume. A key file of a plain volume is not hashed. Returns messages to
    /// show.
    pub(super) fn open(&self, secret: &Secret, origin: Origin, gate: &Gate) -> Result<Option<String>, UnlockError> {
        self.check_is_there()?;
        let from_file = matches!(origin, Origin::Own { from_file: true });
        let key = match (&self.format, secret) {
            (Format::Luks { volume, .. }, secret) => {
                let unlocked = self.unlock(&mut lock(volume), secret, from_file);
                unlocked.map_err(|error| match secret {
                    // Another key, or a person, may open it.
                    Secret::Tokens if !error.is_wrong_passphrase() => UnlockError::Token(Box::new(error)),
                    _ => error,
                })?
            }
            (Format::Plain(_), Secret::Tokens) => return Err(UnlockError::WrongPassphrase),
            (Format::Plain(encryption), Secret::Passphrase(passphrase)) => {
                let (found, needed) = (passphrase.len(), encryption.key_len);
                if (from_file || encryption.hash.takes_all()) && found < needed {
                    return Err(UnlockError::ShortKey { found, needed });
                }
                encryption.key(passphrase, !from_file)?
            }
        };
        if self.only_try {
            return Ok(None);
        }
        let _inside = gate.enter().ok_or(UnlockError::Stopped)?;
        // A derivation may have taken a while.
        self.check_is_there()?;
        self.map(&key)?;
        // The kernel has it: what follows may run programs for minutes.
        drop(key);
        post_open::check(&self.source, &self.mapping(), &self.options).or_else(|error| self.close_after(error))?;
        if self.options.swap || self.options.tmp.is_some() {
            let place = post_open::Place {
                source: &self.source,
                mapping: &self.mapping(),
                key: match self.format {
                    Format::Luks { .. } => KeyLasts::Proven,
                    Format::Plain(_) if self.random_key && from_file => KeyLasts::No,
                    Format::Plain(_) if origin == Origin::Person => KeyLasts::Typed,
                    Format::Plain(_) => KeyLasts::Yes,
                },
                offset: self.closed.layout().offset,
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

    fn unlock(&self, volume: &mut LuksDevice, secret: &Secret, from_file: bool) -> Result<VolumeKey, UnlockError> {
        let request = UnlockRequest {
            candidates: self.candidates,
            limits: &self.limits,
            skip_costly: true,
            serialized: false,
            finish_changes: !(self.only_try || self.options.read_only),
            observer: &Log,
        };
        let (tokens, passphrase) = match secret {
            Secret::Tokens => (Some(TokenChoice::default()), None),
            Secret::Passphrase(passphrase) => (None, Some(passphrase.clone())),
        };
        let mut given = Given::new(passphrase, from_file);
        match volume.unlock_by(&request, tokens.as_ref(), &mut given) {
            Ok(unlocked) => Ok(unlocked.volume_key),
            Err(error) if error.is_wrong_passphrase() => Err(match given.flaw {
                Some((fault, keyslot)) => UnlockError::FinalNewline { fault, keyslot },
                None => UnlockError::WrongPassphrase,
            }),
            Err(crypt_device::CryptError::Header(HeaderError::Luks(keyslots::Error::Kdf(KdfError::OutOfMemory {
                needed,
                available,
            })))) => Err(UnlockError::OutOfMemory { needed, available }),
            Err(error) => Err(error.into()),
        }
    }

    fn map(&self, key: &VolumeKey) -> Result<(), UnlockError> {
        // Tries may have taken a while since the mappings were looked at.
        let (dm, name) = crypt_device::free_name(&self.name.0)?;
        let how = LuksMapping {
            flags: flags(&self.options),
            without_stored_flags: false,
            may_use_keyring: self.may_use_keyring,
            limits: &self.limits,
        };
        let map = |format| self.closed.map((&dm, &name), format, &how, key);
        Ok(match &self.format {
            Format::Luks { volume, .. } => map(crypt_device::Format::Luks(&lock(volume))),
            Format::Plain(_) => map(crypt_device::Format::Plain(PlainOptions::default())),
        }?)
    }

    fn mapping(&self) -> PathBuf {
        Path::new("/dev/mapper").join(self.name.1.as_os_str())
    }

    /// Removes a mapping that fails its checks.
    fn close_after(&self, error: UnlockError) -> Result<(), UnlockError> {
        let dm = Dm::open().map_err(VolumeError::from)?;
        // The first error is the one to report.
        let _ = volume::deactivate(&dm, &self.name.1, false);
        Err(error)
    }
}

fn lock(volume: &Mutex<LuksDevice>) -> MutexGuard<'_, LuksDevice> {
    volume.lock().unwrap_or_else(PoisonError::into_inner)
}

fn plain_target(source: &Path, options: &VolumeOptions) -> Result<Found, UnlockError> {
    let (encryption, layout) = plain(options)?;
    let closed = ClosedVolume::plain(source, layout)?;
    Ok((Format::Plain(encryption), closed, Cost::default(), None))
}

fn load(header: PathBuf, source: &Path) -> Result<LuksDevice, HeaderError> {
    let place = match header == source {
        true => HeaderPlace::WithData,
        false => HeaderPlace::Apart,
    };
    let volume = LuksDevice::load(HeaderDevice::new(header, true), place, Wanted::Any, false)?;
    if let Some(repair) = &volume.opened.repair {
        log::warn(format_args!("{}: {repair}.", volume.device.path().display()));
    }
    Ok(volume)
}

/// Logs that the header was changed.
#[derive(Debug)]
struct Log;

impl Observer for Log {
    fn notice(&self, event: Event<'_>) {
        match event {
            Event::ChangeFinished { keyslot } => log::warn(format_args!(
                "Finished the interrupted passphrase change of key slot {keyslot}."
            )),
            Event::ChangeNotFinished { keyslot, error } => log::warn(format_args!(
                "Cannot finish the interrupted passphrase change of key slot {keyslot}: {error}."
            )),
            _ => {}
        }
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
