//! A volume whose device is there: what it is, what trying a passphrase on it costs, and how it is mapped.

use std::fs::File;
use std::path::{Path, PathBuf};

use keyslots::Unlocked;
use keyslots::header::{DataLayout, Header};
use keyslots::kdf::{CostLimits, KdfError};
use keyslots::luks2::Candidates;
use keyslots::secret::{Passphrase, VolumeKey};
use keyslots::units::Bytes;

use super::UnlockError;
use super::attempts::Origin;
use super::content::{self, KeyLasts};
use super::format::{Format, assumed, header_path, says_plain};
use super::gate::Gate;
use crate::data_device::DataDevice;
use crate::dm::{DeviceName, Dm};
use crate::header_device::{HeaderDevice, HeaderError, Wanted};
use crate::initramfs::budget::{Budget, Cost};
use crate::initramfs::crypttab::Entry;
use crate::initramfs::devices::{Description, Devices, Seen};
use crate::initramfs::options::{Kind, VolumeOptions};
use crate::log;
use crate::passphrase::FinalNewline;
use crate::volume::{self, Activate, Flags, Identity, KeyPlace, PlainHash, VolumeError};

/// A volume that can be tried.
#[derive(Debug)]
pub(super) struct Target {
    /// The device or file with the data.
    pub(super) source: PathBuf,
    /// What a person knows it by.
    pub(super) description: Description,
    /// What trying a passphrase takes.
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
    /// What its line does not say of a plain volume, and is assumed.
    assumed: Option<String>,
    /// What was looked at: first the device, then that with the header. Nothing else is opened in their place.
    seen: Vec<Seen>,
}

/// What the engine lets a target do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permissions {
    pub(super) keyring: bool,
    pub(super) destroy: bool,
    /// Nothing is mapped.
    pub(super) only_try: bool,
}

impl Target {
    /// Looks at the volume; `None` where its device, or the one with its header, is not there yet.
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
            Seen::at(path).map_err(|source| HeaderError::Open {
                path: path.to_owned(),
                source,
            })
        };
        let mut seen = vec![look_at(&source)?];
        let format = match options.kind {
            Some(Kind::Plain) => Format::plain(options)?,
            kind => {
                let Some((path, mounted)) = header_path(options, devices, &source)? else {
                    return Ok(None);
                };
                seen.push(look_at(&path)?);
                let device = HeaderDevice::new(path, true);
                match device.read(Wanted::Any) {
                    Ok((header, opened)) => {
                        if let Some(repair) = &opened.repair {
                            log::warn(format_args!("{}: {repair}.", device.path().display()));
                        }
                        let layout = volume::mappable(&header)?;
                        if let Ok(data) = File::open(&source) {
                            volume::check_apart(&header, &opened.file, &layout, &data)?;
                        }
                        Format::Luks {
                            layout,
                            device,
                            header: Box::new(header),
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
            Format::Luks { header, .. } => {
                let too_large = |error: crate::initramfs::budget::TooLarge| UnlockError::OutOfMemory {
                    needed: error.needed,
                    available: error.available,
                };
                budget.cost(header, options.key_slot).map_err(too_large)?
            }
            Format::Plain { .. } => Cost::default(),
        };
        let name = match &format {
            Format::Luks { header, .. } if entry.named_by_uuid => format!("luks-{}", header.uuid()),
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
            seen,
        }))
    }

    /// Whether its paths still lead to what was looked at.
    pub(super) fn is_there(&self) -> bool {
        self.seen.iter().all(Seen::is_there)
    }

    /// Lets go of the file system with the header.
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

    /// What its line does not say of a plain volume, and is assumed.
    pub(super) fn assumed(&self) -> Option<&str> {
        self.assumed.as_deref()
    }

    /// Which bytes of a key file are the key, where the volume itself says so.
    pub(super) fn key_len(&self) -> Option<Bytes> {
        match &self.format {
            Format::Plain { key_len, .. } => Some(Bytes::new(*key_len as u64)),
            Format::Luks { .. } => None,
        }
    }

    /// Tries a passphrase, and maps the volume. Of a key file, plain volumes do not hash it. Returns what is to be told.
    pub(super) fn open(
        &self,
        passphrase: &Passphrase,
        origin: Origin,
        gate: &Gate,
    ) -> Result<Option<String>, UnlockError> {
        self.check_is_there()?;
        let from_file = matches!(origin, Origin::Own { from_file: true });
        let (key, layout, identity) = match &self.format {
            Format::Luks {
                device, header, layout, ..
            } => {
                let key = match self.unlock(device, header, passphrase) {
                    Err(UnlockError::WrongPassphrase) if from_file => {
                        return Err(self.diagnose_newline(device, header, passphrase));
                    }
                    unlocked => unlocked?.volume_key,
                };
                (key, layout, volume::identity(header))
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
                (key?, layout, Identity::Plain)
            }
        };
        if self.only_try {
            return Ok(None);
        }
        let _inside = gate.enter().ok_or(UnlockError::Stopped)?;
        // A derivation may have taken a while.
        self.check_is_there()?;
        self.map(&key, layout, identity)?;
        content::check(&self.source, &self.mapping(), &self.options).or_else(|error| self.close_after(error))?;
        if self.options.swap || self.options.tmp.is_some() {
            let place = content::Place {
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
            let made = content::make(&place, &self.options, self.may_destroy);
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

    fn unlock(&self, device: &HeaderDevice, header: &Header, passphrase: &Passphrase) -> Result<Unlocked, UnlockError> {
        let mut opened = device.open(false)?;
        let candidates = self.options.key_slot.map_or(Candidates::All, Candidates::Keyslot);
        let unlocked = device.shared(&mut opened, |storage| {
            header
                .unlock(storage, passphrase, candidates, &self.limits)
                .map_err(HeaderError::from)
        });
        match unlocked {
            Ok(unlocked) => Ok(unlocked),
            // A keyslot that was passed over for its cost does not make the passphrase right.
            Err(HeaderError::Luks(keyslots::Error::WrongPassphrase)) => Err(UnlockError::WrongPassphrase),
            Err(HeaderError::Luks(keyslots::Error::Kdf(KdfError::CostTooHigh { .. })))
                if header.derivations(self.options.key_slot).len() > 1 =>
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
    fn diagnose_newline(&self, device: &HeaderDevice, header: &Header, key: &Passphrase) -> UnlockError {
        let Ok(Some((fault, other))) = FinalNewline::mend(key) else {
            return UnlockError::WrongPassphrase;
        };
        match self.unlock(device, header, &other) {
            Ok(Unlocked { keyslot, .. }) => UnlockError::FinalNewline { fault, keyslot },
            Err(_) => UnlockError::WrongPassphrase,
        }
    }

    fn map(&self, key: &VolumeKey, layout: &DataLayout, identity: Identity) -> Result<(), UnlockError> {
        let mut flags = flags(&self.options);
        let key_place = match &self.format {
            Format::Luks { header, .. } => {
                if let Header::Luks2(header) = header.as_ref() {
                    flags.add_persistent(&header.metadata().config.flags);
                }
                volume::key_place(header, key, self.may_use_keyring, &self.limits)?
            }
            Format::Plain { .. } => KeyPlace::Table,
        };
        let data = DataDevice::open(&self.source, flags.read_only, true, layout.sector_size)?;
        // What was opened, and not what the path leads to by now: it is what is mapped.
        if !self.seen.first().is_some_and(|seen| seen.is(data.number)) {
            return Err(UnlockError::Replaced(self.source.clone()));
        }
        flags.read_only |= data.read_only;
        let mapping = Activate {
            name: &self.name,
            identity,
            path: &self.source,
            device: data.number,
            device_size: data.size,
            layout,
            iv_large_sectors: false,
            flags,
            key_place,
        };
        let dm = Dm::open().map_err(VolumeError::from)?;
        Ok(volume::activate(&dm, &mapping, key)?)
    }

    fn mapping(&self) -> PathBuf {
        Path::new("/dev/mapper").join(self.name.as_os_str())
    }

    /// Nothing stays mapped that is not what it should be.
    fn close_after(&self, error: UnlockError) -> Result<(), UnlockError> {
        let dm = Dm::open().map_err(VolumeError::from)?;
        // The first error is the one to tell.
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
