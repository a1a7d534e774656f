//! `open` and `refresh`, and what they do to LUKS volumes; plain ones are [`super::plain`]'s.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use keyslots::Unlocked;
use keyslots::header::{DataLayout, Header, Unfinished, Version};
use keyslots::luks2::{self, Candidates};
use keyslots::secret::{Passphrase, VolumeKey};
use nix::libc;

use super::access::wanted;
use super::context::Context;
use super::keyring_keys::{self, Link, linked};
use super::secrets::{Source, passphrase_prompt};
use super::{serve, tokens};
use crate::cli::actions::DeviceType;
use crate::cli::error::CliError;
use crate::console::Persona;
use crate::data_device::DataDevice;
use crate::dm::{DeviceName, Dm};
use crate::header_device::{HeaderDevice, HeaderError, Opened, Wanted};
use crate::locks;
use crate::mapping::VolumeKind;
use crate::passphrase::{FinalNewline, is_interactive};
use crate::same_bytes;
use crate::volume::{self, Activate, Active, Flags, KeyPlace, VolumeError};

/// A header that was read once, and the device that it came from.
pub(super) struct Volume {
    pub(super) device: HeaderDevice,
    pub(super) header: Header,
    pub(super) opened: Opened,
}

/// `open`: with a name it maps the volume, without one it tests a passphrase.
pub(super) fn open(
    cx: &Context<'_>,
    device: &Path,
    name: Option<&str>,
    device_type: DeviceType,
) -> Result<(), CliError> {
    match (device_type, name) {
        (DeviceType::Plain, Some(name)) => return super::plain::open(cx, device, name),
        (DeviceType::Plain, None) => return Err(CliError::NameMissing),
        _ if !device_type.is_luks() => return Err(CliError::TypeUnsupported(device_type)),
        _ => {}
    }
    if let Some(name) = name.filter(|_| !cx.options.test_passphrase) {
        if let Some(why) = serve::wanted(cx) {
            return serve::open(cx, device, name, wanted(device_type), why);
        }
        serve::check_not_served(name)?;
    }
    // What would fail in the end fails before anybody is asked for a passphrase.
    let mapping = match name.filter(|_| !cx.options.test_passphrase) {
        None => None,
        Some(name) => match free_mapping(name) {
            // A device that is no volume is told before a kernel that cannot map it.
            Err(CliError::NoDeviceMapper) => Some(Err(CliError::NoDeviceMapper)),
            free => Some(Ok(free?)),
        },
    };
    let link = Link::from_options(cx)?;
    // With a header apart from them, nothing else looks for the data before a passphrase was asked for.
    if cx.options.header.is_some() && !device.exists() {
        return Err(CliError::DeviceMissing(device.to_owned()));
    }
    let mut volume = Volume::read(cx, device, wanted(device_type))?;
    let mapping = mapping.transpose()?;
    if mapping.is_some() {
        volume.layout(device)?;
        volume.check_stores_flags(cx)?;
    }
    let key = volume.key(cx, device)?;
    linked(link.as_ref(), &key, || match &mapping {
        Some((dm, name)) => volume.map(cx, dm, name, device, &key, MapAs::New),
        None => Ok(()),
    })?;
    if mapping.is_some() && cx.options.persistent {
        volume.remember_flags_of_active(cx)?;
    }
    Ok(())
}

/// The device-mapper, and a name that nothing in it has.
pub(super) fn free_mapping(name: &str) -> Result<(Dm, DeviceName), CliError> {
    let name = volume::new_name(name.strip_prefix("/dev/mapper/").unwrap_or(name))?;
    let dm = Dm::open()?;
    volume::check_free(&dm, &name)?;
    Ok((dm, name))
}

/// `refresh`: an active mapping gets other flags.
pub(super) fn refresh(
    cx: &Context<'_>,
    name: &str,
    device: Option<&Path>,
    device_type: Option<DeviceType>,
) -> Result<(), CliError> {
    let (dm, name) = (Dm::open()?, device_name(name)?);
    let active = match volume::state(&dm, &name) {
        Err(VolumeError::NotCrypt(name) | VolumeError::NoTable(name)) => return Err(CliError::NotManaged(name)),
        state => state?,
    };
    if active.info.suspended {
        return Err(CliError::Frozen(name.to_string()));
    }
    if let Some(device) = device {
        let device = open_to_look(device).map_err(|_| CliError::DeviceMissing(device.to_owned()))?;
        volume::check_device(&name, &active, &device)?;
    }
    match active.kind {
        Some(VolumeKind::Plain) => return super::plain::refresh(cx, &dm, &name, &active),
        Some(VolumeKind::Luks1 | VolumeKind::Luks2) => {}
        Some(VolumeKind::Other) | None => return Err(CliError::NotManaged(name.to_string())),
    }
    let path = match device {
        Some(device) => device.to_owned(),
        None => active
            .device
            .path()
            .ok_or_else(|| CliError::NotActive(name.to_string()))?,
    };
    let link = Link::from_options(cx)?;
    let mut volume = Volume::read(cx, &path, device_type.map_or(Wanted::Any, wanted))?;
    volume.check_identity(cx, &name, &active)?;
    volume.check_stores_flags(cx)?;
    let key = volume.key(cx, &path)?;
    linked(link.as_ref(), &key, || {
        volume.map(cx, &dm, &name, &path, &key, MapAs::Refreshed(&active))
    })?;
    if cx.options.persistent {
        volume.remember_flags_of_active(cx)?;
    }
    Ok(())
}

/// Whether a mapping is made, or given another table.
#[derive(Clone, Copy, Debug)]
enum MapAs<'a> {
    New,
    Refreshed(&'a Active),
}

impl Volume {
    /// Reads the header of `device`, which may be elsewhere.
    pub(super) fn read(cx: &Context<'_>, device: &Path, wanted: Wanted) -> Result<Self, CliError> {
        Self::checked(cx, cx.header_device(device), device, |header_device| {
            cx.read_header(header_device, wanted)
        })
    }

    /// As [`Volume::read`], and writes nothing: a person is asked first.
    pub(super) fn peek(cx: &Context<'_>, device: &Path, wanted: Wanted) -> Result<Self, CliError> {
        Self::checked(cx, cx.header_device(device), device, |header_device| {
            header_device.peek(wanted)
        })
    }

    /// Reads the header of `device` from where it is.
    pub(super) fn read_from(
        cx: &Context<'_>,
        header_device: HeaderDevice,
        device: &Path,
        wanted: Wanted,
    ) -> Result<Self, CliError> {
        Self::checked(cx, header_device, device, |header_device| {
            cx.read_header(header_device, wanted)
        })
    }

    fn checked(
        cx: &Context<'_>,
        header_device: HeaderDevice,
        device: &Path,
        read: impl FnOnce(&HeaderDevice) -> Result<(Header, Opened), HeaderError>,
    ) -> Result<Self, CliError> {
        let (header, opened) = read(&header_device)?;
        cx.check_policy(&header)?;
        if header.data().is_some_and(|data| data.cipher.is_null()) {
            cx.console.complain(format_args!(
                "WARNING: The data on {} is not encrypted: its cipher is none.",
                device.display()
            ));
        }
        if let Header::Luks2(header) = &header
            && let luks2::copies::Loser::Damaged(which, defect) = header.loser()
        {
            cx.console
                .debug(format_args!("The {which:?} copy of the header was damaged: {defect}"));
        }
        Ok(Self {
            device: header_device,
            header,
            opened,
        })
    }

    /// Gets the volume key in the way that the options ask for, and says which keyslot had it.
    pub(super) fn key(&mut self, cx: &Context<'_>, device: &Path) -> Result<VolumeKey, CliError> {
        if let Some(file) = &cx.options.volume_key_file {
            return self.key_from_file(cx, file);
        }
        if let Some(description) = &cx.options.volume_key_keyring {
            return keyring_keys::volume_key(cx, self, description);
        }
        let slot = cx.key_slot(&self.header)?;
        if let Some(unlocked) = tokens::unlock(cx, self, slot)? {
            return Ok(unlocked.volume_key);
        }
        let candidates = candidates(cx, slot);
        let prompt = passphrase_prompt(device);
        let source = cx.source();
        if let Source::KeyFile(_) = source {
            cx.warn_unverified();
        }
        let unlocked = cx.try_passphrases(&source, &prompt, |passphrase| {
            self.unlock_from(cx, &source, passphrase, candidates)
        })?;
        Ok(unlocked.volume_key)
    }

    /// As [`Volume::key`], for whoever reads and writes the data with it. `--key-slot` or a token may name a keyslot of
    /// another key, under which all data would be garbage, and everything written lost.
    pub(super) fn data_key(&mut self, cx: &Context<'_>, device: &Path) -> Result<VolumeKey, CliError> {
        let key = self.key(cx, device)?;
        self.header.verify_volume_key(&key, &cx.cost_limits())?;
        Ok(key)
    }

    /// Tries one passphrase, under the shared lock.
    pub(super) fn unlock(
        &mut self,
        cx: &Context<'_>,
        passphrase: &Passphrase,
        candidates: Candidates,
    ) -> Result<Unlocked, CliError> {
        let _serialized = serialized(cx)?;
        let deriving = cx.console.deriving();
        let header = &self.header;
        let mut reader = self.device.reader(&mut self.opened);
        let unlocked = header.unlock(&mut reader, passphrase, candidates, &cx.cost_limits());
        let mut unlocked = match unlocked.map_err(CliError::from) {
            // The reference knows no difference between a keyslot that is named and not there, and none at all.
            Err(CliError::KeyslotInactive(_) | CliError::Header(keyslots::Error::KeyslotOutOfRange(_))) => {
                return Err(CliError::NoUsableKeyslot);
            }
            unlocked => unlocked?,
        };
        drop(deriving);
        // What is not known is not said.
        let others = header.unfinished_changes(&mut reader).unwrap_or_default();
        drop(reader);
        cx.console
            .verbose(format_args!("Key slot {} unlocked.", unlocked.keyslot));
        match unlocked.unfinished.take() {
            Some(change) => self.finish_change(cx, unlocked.keyslot, &change),
            None => tell_unfinished(cx, &others),
        }
        Ok(unlocked)
    }

    /// A change of the passphrase that was interrupted ends with the first use of the new one. Where the header cannot be
    /// written, or should not, the passphrase opens it as before.
    fn finish_change(&mut self, cx: &Context<'_>, slot: u32, change: &Unfinished) {
        let options = cx.options;
        if options.readonly || options.test_passphrase || options.disable_locks {
            return match change {
                Unfinished::Luks1Record => {}
                Unfinished::Luks1(_) | Unfinished::Luks2(_) => tell_unfinished(cx, &[slot]),
            };
        }
        let (wanted, medium) = (Wanted::Only(self.header.version()), self.device.medium());
        let finished = self
            .device
            .exclusive(wanted, |header, storage| -> Result<Header, HeaderError> {
                header.finish_change(storage, slot, change, medium)?;
                Ok(header.clone())
            });
        match finished {
            Ok(header) => {
                self.header = header;
                cx.console.complain(format_args!(
                    "Finished the interrupted passphrase change of key slot {slot}."
                ));
            }
            Err(error) => cx.console.complain(format_args!(
                "Cannot finish the interrupted passphrase change of key slot {slot}: {error}."
            )),
        }
    }

    /// As [`Volume::unlock`], with a passphrase from `source`: one that differs by a new line at its end is told.
    pub(super) fn unlock_from(
        &mut self,
        cx: &Context<'_>,
        source: &Source<'_>,
        passphrase: &Passphrase,
        candidates: Candidates,
    ) -> Result<Unlocked, CliError> {
        let unlocked = self.unlock(cx, passphrase, candidates);
        if let Err(CliError::WrongPassphrase) = &unlocked {
            self.diagnose_newline(cx, source, passphrase, &[candidates])?;
        }
        unlocked
    }

    /// A key file that an editor has ended with a new line, or a keyslot that was made from such a file: says which keyslot
    /// the other form would open. It opens nothing.
    pub(super) fn diagnose_newline(
        &mut self,
        cx: &Context<'_>,
        source: &Source<'_>,
        passphrase: &Passphrase,
        candidates: &[Candidates],
    ) -> Result<(), CliError> {
        // Who types cannot have typed a new line, and would wait twice after each slip.
        match source {
            Source::KeyFile(_) => {}
            Source::Ask if !is_interactive() => {}
            _ => return Ok(()),
        }
        // What is read up to a new line has none.
        let Some((fault, other)) = FinalNewline::mend(passphrase).map_err(CliError::memory)? else {
            return Ok(());
        };
        let _serialized = serialized(cx)?;
        for &candidate in candidates {
            let mut reader = self.device.reader(&mut self.opened);
            if let Ok(unlocked) = self.header.unlock(&mut reader, &other, candidate, &cx.cost_limits()) {
                cx.console.complain(format_args!("The {fault} {}.", unlocked.keyslot));
                break;
            }
        }
        Ok(())
    }

    fn key_from_file(&self, cx: &Context<'_>, file: &Path) -> Result<VolumeKey, CliError> {
        let asked = cx.options.key_size.map(|size| size.bytes());
        let known = self.header.key_size().and_then(keyslots::units::Bytes::to_usize);
        // A size that is not the header's is a key that is not the volume's.
        let len = asked.or(known).ok_or(CliError::KeySizeUnknown)?;
        let key = cx.volume_key_file(file, len)?;
        self.header.verify_volume_key(&key, &cx.cost_limits())?;
        Ok(key)
    }

    fn map(
        &self,
        cx: &Context<'_>,
        dm: &Dm,
        name: &DeviceName,
        device: &Path,
        key: &VolumeKey,
        map_as: MapAs<'_>,
    ) -> Result<(), CliError> {
        let layout = volume::mappable(&self.header)?;
        let mut flags = self.flags(cx);
        if let MapAs::Refreshed(active) = map_as {
            // Whether it can be written to is not for a refresh to change.
            flags.read_only = active.flags.read_only;
        }
        let data = match map_as {
            MapAs::New => DataDevice::open(device, flags.read_only, true, layout.sector_size)?,
            // A container file stands behind the loop device that it is mapped from.
            MapAs::Refreshed(active) => {
                let below = active.device.path();
                let below = below.ok_or_else(|| CliError::NotActive(name.to_string()))?;
                DataDevice::open(&below, flags.read_only, false, layout.sector_size)?
            }
        };
        self.check_data(cx, &layout, &data.file)?;
        flags.read_only |= data.read_only;
        let mapping = Activate {
            name,
            identity: volume::identity(&self.header),
            path: device,
            device: data.number,
            device_size: data.size,
            layout: &layout,
            iv_large_sectors: false,
            flags,
            key_place: key_place(cx, &self.header, key)?,
        };
        match map_as {
            MapAs::New => volume::activate(dm, &mapping, key)?,
            MapAs::Refreshed(_) => volume::reload(dm, &mapping, key)?,
        }
        Ok(())
    }

    /// The flags of an activation: with `--persistent` those given alone, as they will be stored; else with the stored ones.
    pub(super) fn flags(&self, cx: &Context<'_>) -> Flags {
        let given = flags(cx);
        match &self.header {
            Header::Luks1(_) => given,
            Header::Luks2(header) => given.with_stored(&header.metadata().config.flags, cx.options.persistent),
        }
    }

    /// `--persistent` of LUKS1, which stores no flags, is refused before anything is mapped; the reference maps first.
    fn check_stores_flags(&self, cx: &Context<'_>) -> Result<(), CliError> {
        match self.header.version() {
            Version::Luks1 if cx.options.persistent && cx.console.persona() == Persona::Luksmith => {
                Err(CliError::OnlyLuks2)
            }
            _ => Ok(()),
        }
    }

    /// As [`Volume::remember_flags`], of a mapping that is there: to the reference that it is not stored is no failure.
    fn remember_flags_of_active(&self, cx: &Context<'_>) -> Result<(), CliError> {
        let stored = match self.header.version() {
            Version::Luks1 => Err(CliError::OnlyLuks2),
            Version::Luks2 => self.remember_flags(cx),
        };
        match stored {
            Err(error) if cx.console.persona() == Persona::Cryptsetup => {
                cx.console.complain(error);
                cx.console
                    .complain("Device activated but cannot make flags persistent.");
                Ok(())
            }
            stored => stored,
        }
    }

    /// `--persistent`: the flags of this activation become those of every later one.
    pub(super) fn remember_flags(&self, cx: &Context<'_>) -> Result<(), CliError> {
        cx.change(&self.device, Wanted::Only(Version::Luks2), |header, storage| {
            if let Header::Luks2(header) = header {
                let flags = flags(cx).to_persistent(&header.metadata().config.flags);
                header.set_flags(storage, flags)?;
            }
            Ok(())
        })
    }
}

/// Which keyslots a passphrase is tried on.
pub(super) fn candidates(cx: &Context<'_>, slot: Option<u32>) -> Candidates {
    match slot {
        Some(slot) => Candidates::Keyslot(slot),
        None if cx.options.test_passphrase && cx.options.unbound => Candidates::AllUnboundToo,
        None => Candidates::All,
    }
}

impl Volume {
    /// How the data on `device` are laid out, which may not be where the header is.
    pub(super) fn layout(&self, device: &Path) -> Result<DataLayout, CliError> {
        let layout = volume::mappable(&self.header)?;
        // The code that needs the device reports that it cannot be opened.
        if let Ok(data) = open_to_look(device) {
            volume::check_apart(&self.header, &self.opened.file, &layout, &data)?;
        }
        Ok(layout)
    }

    /// Checks the device with the data, once it is open: with its header on it, it must be the device that the header was
    /// read from, and with one elsewhere not run into that. A person took time for a passphrase, and what stands under a
    /// path by now may be another disk.
    pub(super) fn check_data(&self, cx: &Context<'_>, layout: &DataLayout, data: &File) -> Result<(), CliError> {
        volume::check_apart(&self.header, &self.opened.file, layout, data)?;
        let same = || same_bytes::is_same(&self.opened.file, data).map_err(VolumeError::Ground);
        if cx.options.header.is_none() && !same()? {
            return Err(keyslots::Error::ChangedMeanwhile.into());
        }
        Ok(())
    }

    /// Checks that an active mapping is one of this volume.
    pub(super) fn check_identity(&self, cx: &Context<'_>, name: &DeviceName, active: &Active) -> Result<(), CliError> {
        volume::check_identity(name, active, &self.header)?;
        if cx.options.header.is_none() {
            volume::check_device(name, active, &self.opened.file)?;
        }
        Ok(())
    }
}

/// Opens a device or a file without waiting for anything and without keeping anybody out.
pub(super) fn open_to_look(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)
}

/// The name of a mapping, which may be given as its path.
pub(super) fn device_name(name: &str) -> Result<DeviceName, CliError> {
    let name = name.strip_prefix("/dev/mapper/").unwrap_or(name);
    DeviceName::mangled(name, crate::dm::Mangling::default()).map_err(|error| VolumeError::from(error).into())
}

/// The lock of `--serialize-memory-hard-pbkdf`: who holds it derives alone.
fn serialized(cx: &Context<'_>) -> Result<Option<locks::Lock>, CliError> {
    let asked = cx.options.serialize_memory_hard_pbkdf;
    Ok(asked.then(locks::serialize_derivations).transpose()?)
}

/// The flags that the options ask for.
pub(super) fn flags(cx: &Context<'_>) -> Flags {
    let options = cx.options;
    Flags {
        read_only: options.readonly,
        allow_discards: options.allow_discards,
        same_cpu_crypt: options.perf_same_cpu_crypt,
        submit_from_crypt_cpus: options.perf_submit_from_crypt_cpus,
        no_read_workqueue: options.perf_no_read_workqueue,
        no_write_workqueue: options.perf_no_write_workqueue,
        high_priority: options.perf_high_priority,
    }
}

/// Where the kernel is to get the key from, as far as the options let it.
pub(super) fn key_place(cx: &Context<'_>, header: &Header, key: &VolumeKey) -> Result<KeyPlace, CliError> {
    Ok(volume::key_place(
        header,
        key,
        !cx.options.disable_keyring,
        &cx.cost_limits(),
    )?)
}

/// Says that changes of passphrases were interrupted. Under the name of cryptsetup its callers expect no such line.
pub(super) fn tell_unfinished(cx: &Context<'_>, slots: &[u32]) {
    if cx.console.persona() != Persona::Luksmith {
        return;
    }
    for slot in slots {
        cx.console.complain(format_args!(
            "The passphrase change of key slot {slot} was interrupted. Open the device with the new passphrase to finish it, \
             or change the passphrase again; until then, do not convert the header or back it up with another program."
        ));
    }
}
