//! `luksFormat`.

mod overwrite;
mod placement;

use std::fs::File;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use keyslots::cipher::CipherName;
use keyslots::header::{Header, Version};
use keyslots::kdf::Kdf;
use keyslots::luks1;
use keyslots::luks2::{self, CreateParams, KeyFor};
use keyslots::secret::{Passphrase, VolumeKey};
use keyslots::storage::Storage;
use keyslots::units::Bytes;
use keyslots::uuid::is_uuid;
use serde_json::json;

use super::access::last_slot;
use super::context::Context;
use super::secrets::passphrase_prompt;
use crate::block_device::{self, DevNo, Topology};
use crate::crypt_device::{Others, check_header_unused, open_to_look};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::{CliError, KeyslotError, PbkdfError};
use crate::cryptsetup::flags::defs::Options;
use crate::cryptsetup::values::SlotRef;
use crate::data_device::{self, Claim, DataDeviceError};
use crate::defaults;
use crate::dm::Dm;
use crate::header_device::HeaderDevice;
use crate::same_bytes;
use crate::slot_names;
use crate::unfinished::Unfinished;
use crate::volume::{self, VolumeError};
use overwrite::check_not_tiny;
pub(super) use overwrite::warn_of;
use placement::Place;

/// Bytes of the key by default; XTS takes two.
const DEFAULT_KEY_SIZE: usize = defaults::LUKS_KEY_BITS as usize / 8;

/// The parameters that both versions have.
struct Plan<'a> {
    /// The device that holds the data.
    device: &'a Path,
    topology: Topology,
    place: Place,
    sector_size: u32,
    cipher: CipherName,
    key: VolumeKey,
    slot: Option<u32>,
    target: Target<'a>,
    key_file: Option<&'a Path>,
    /// The device that the user was asked about, and that is written to.
    seen: Option<&'a File>,
}

/// A volume that has been made.
pub(super) struct Made {
    pub(super) key: VolumeKey,
    pub(super) header: Header,
    /// The place of the header.
    pub(super) file: File,
    slot: u32,
    version: Version,
}

pub(super) fn format(
    cx: &Context<'_>,
    device: &Path,
    key_file: Option<&Path>,
    device_type: DeviceType,
) -> Result<(), CliError> {
    let made = make(cx, device, key_file, device_type, Target::Device)?;
    cx.console.answer(
        || json!({ "keyslot": made.slot, "version": if made.version == Version::Luks1 { 1 } else { 2 } }),
        String::new,
    );
    Ok(())
}

/// The target of a new volume.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// A device of its final size, which may hold data.
    Device,
    /// The target of an image. Its header is unfinished ([`Unfinished`]) until the data are there.
    Image {
        /// The target of the data, open and claimed, whose contents the user agreed to lose; none if it is a pipe.
        held: Option<&'a File>,
        /// The size of the data, if it is known.
        size: Option<Bytes>,
    },
}

impl Target<'_> {
    fn is_device(self) -> bool {
        matches!(self, Self::Device)
    }
}

/// Formats a volume according to the options.
pub(super) fn make(
    cx: &Context<'_>,
    device: &Path,
    key_file: Option<&Path>,
    device_type: DeviceType,
    target: Target<'_>,
) -> Result<Made, CliError> {
    let version = if device_type == DeviceType::Luks1 {
        Version::Luks1
    } else {
        Version::Luks2
    };
    let options = cx.options;
    if version == Version::Luks1 {
        check_luks1(cx)?;
    }
    check_done_here(options)?;
    if options.uuid.as_deref().is_some_and(|uuid| !is_uuid(uuid)) {
        return Err(CliError::BadUuid);
    }
    // All options are checked before the first prompt or write.
    let header_device = cx.header_device(device);
    let mut topology = Topology::of(device).map_err(|_| CliError::DeviceMissing(device.to_owned()))?;
    if let Target::Image { size: Some(size), .. } = target {
        topology.size = topology.size.max(size);
    }
    let hash = cx.hash()?;
    cx.check_pbkdf(version)?;
    let (cipher, key_size) = cipher_and_key_size(cx)?;
    let slot = first_slot(cx, version)?;
    match options.slot_name.as_deref() {
        Some(_) if version == Version::Luks1 => return Err(slot_names::SlotNameError::Luks1.into()),
        name => name.map_or(Ok(()), slot_names::check)?,
    }
    let place = Place::from_options(options, &topology)?;
    let sector_size = placement::sector_size(options, version, target, &topology, place);
    check_cipher(&cipher, key_size, sector_size)?;
    let apart = options.header.is_some();
    if target.is_device() {
        data_device::check_destroyable(device).map_err(in_use)?;
    }
    if let Ok(Some(number)) = DevNo::of_path(header_device.path())
        && block_device::is_host_managed(number)
    {
        return Err(CliError::ZonedHeader(header_device.path().to_owned()));
    }
    let mut seen = match target {
        Target::Image { held, .. } if !apart => held.map(File::try_clone).transpose().map_err(CliError::io(LOOKING))?,
        _ if header_device.path().exists() => Some(look_at(&header_device)?),
        _ => None,
    };
    if apart || target.is_device() {
        check_not_tiny(header_device.path())?;
    }
    let made_file = match target {
        Target::Image { .. } if !apart => None,
        _ => overwrite::warn(cx, &header_device)?,
    };
    if let Some(made) = &made_file {
        seen = Some(made.file.try_clone().map_err(CliError::io(LOOKING))?);
    }

    let key = cx.given_volume_key(key_size)?;
    let key = key.map_or_else(|| VolumeKey::random(key_size).map_err(CliError::memory), Ok)?;
    let plan = Plan {
        device,
        topology,
        place,
        sector_size,
        cipher,
        key,
        slot,
        target,
        key_file,
        seen: seen.as_ref(),
    };
    let (slot, header, file) = match version {
        Version::Luks1 => plan.write_luks1(cx, &header_device, hash)?,
        Version::Luks2 => plan.write_luks2(cx, &header_device, hash)?,
    };
    cx.console.verbose(format_args!("Key slot {slot} created."));
    Ok(Made {
        key: plan.key,
        header,
        file,
        slot,
        version,
    })
}

const LOOKING: &str = "look at the device";

fn in_use(error: DataDeviceError) -> CliError {
    match error {
        DataDeviceError::InUse { path, holders } => CliError::FormatInUse { device: path, holders },
        error => error.into(),
    }
}

/// Opens the target of a new header, and checks that it is not in use.
fn look_at(device: &HeaderDevice) -> Result<File, CliError> {
    data_device::check_destroyable(device.path()).map_err(in_use)?;
    let mut opened = device.open(false)?;
    check_header_unused(&mut opened.file, device.path())?;
    Ok(opened.file)
}

/// Refuses options for another kind of volume than this program makes, instead of ignoring them.
fn check_done_here(options: &Options) -> Result<(), CliError> {
    if options.integrity.is_some() {
        return Err(CliError::NeedsIntegrity);
    }
    if options.hw_opal || options.hw_opal_only {
        return Err(CliError::NeedsOpal);
    }
    Ok(())
}

impl Plan<'_> {
    fn write_luks1(
        &self,
        cx: &Context<'_>,
        device: &HeaderDevice,
        hash: keyslots::hash::Hash,
    ) -> Result<(u32, Header, File), CliError> {
        let spec = self.cipher.spec()?;
        let limits = cx.cost_limits();
        let params = luks1::CreateParams {
            cipher: spec,
            hash,
            volume_key: &self.key,
            uuid: cx.options.uuid.as_deref(),
            mk_iterations: cx.digest_iterations(hash, luks1::DIGEST_LEN)?,
            data: self.place.luks1(),
        };
        let mut header = luks1::Header::create(&params, &limits)?;
        if matches!(self.place, Place::At(place) if place != header.payload_offset()) {
            return Err(CliError::DataOffsetTooSmall(Version::Luks1));
        }
        let data_offset = header.payload_offset().bytes().unwrap_or_default();
        self.warn_without_data(cx, data_offset);
        self.check_image_fits(data_offset)?;
        let Kdf::Pbkdf2 { iterations, .. } = cx.kdf(Version::Luks1, self.key.len())? else {
            return Err(CliError::Pbkdf(PbkdfError::Luks1Pbkdf));
        };
        let medium = device.medium();
        let size = match cx.options.header {
            Some(_) => header.metadata_size(),
            None => header.metadata_size().max(data_offset),
        };
        let passphrase = self.passphrase(cx, device)?;
        let _deriving = cx.console.deriving();
        let sealed = header.seal(&self.key, &passphrase, iterations, &limits)?;
        let (slot, file) = self.write(cx, device, size, data_offset, |storage| {
            header.write_new(storage, medium)?;
            let slot = header.add_sealed(storage, &sealed, self.slot)?;
            Ok((slot, Header::Luks1(header.clone())))
        })?;
        Ok((slot, Header::Luks1(header), file))
    }

    fn write_luks2(
        &self,
        cx: &Context<'_>,
        device: &HeaderDevice,
        hash: keyslots::hash::Hash,
    ) -> Result<(u32, Header, File), CliError> {
        let options = cx.options;
        let limits = cx.cost_limits();
        let params = CreateParams {
            encryption: self.cipher.to_string(),
            sector_size: self.sector_size,
            uuid: options.uuid.clone(),
            label: options.label.clone().unwrap_or_default(),
            subsystem: options.subsystem.clone().unwrap_or_default(),
            // Zero means the default.
            metadata_size: options.luks2_metadata_size.filter(|&size| size > Bytes::ZERO),
            keyslots_size: options.luks2_keyslots_size.filter(|&size| size > Bytes::ZERO),
            data: self.place.luks2()?,
            digest_hash: hash,
            digest_iterations: cx.digest_iterations(hash, hash.output_len())?,
        };
        let mut header = luks2::create(&params, &self.key, &limits).map_err(|error| match error {
            keyslots::Error::BadParameter {
                field: "metadata size" | "keyslots size",
                ..
            } => CliError::MetadataSizes(error),
            keyslots::Error::BadParameter {
                field: "data offset", ..
            } => CliError::DataOffsetTooSmall(Version::Luks2),
            error => error.into(),
        })?;
        let data_offset = header.data_offset().bytes().unwrap_or_default();
        self.check_image_fits(data_offset)?;
        if self.target.is_device() {
            placement::check_sectors(self.topology.size, data_offset, self.sector_size)?;
        }
        self.warn_about_size(cx, &header, params.keyslots_size);
        let new = cx.new_keyslot(&self.cipher, self.key.len())?;
        let passphrase = self.passphrase(cx, device)?;
        // Memory for the derivation, or room for the keyslot, may be missing: this has to be known before the old header
        // is lost.
        let deriving = cx.console.deriving();
        let sealed = new.seal(&passphrase, &self.key, &limits)?;
        drop(deriving);
        header.check_room(&sealed)?;
        let medium = device.medium();
        let (slot, file) = self.write(cx, device, header.size(), data_offset, |storage| {
            header.write_new(storage, medium)?;
            let (key, slot) = (&self.key, self.slot);
            let slot = header.add_sealed_and(
                storage,
                key,
                &sealed,
                slot,
                KeyFor::Data,
                &limits,
                |edit, slot| -> Result<(), CliError> {
                    match &options.slot_name {
                        Some(name) => Ok(slot_names::set(edit, slot, name, Some(options.protect))?),
                        None => Ok(()),
                    }
                },
            )?;
            Ok((slot, Header::Luks2(header.clone())))
        })?;
        Ok((slot, Header::Luks2(header), file))
    }

    fn passphrase(&self, cx: &Context<'_>, device: &HeaderDevice) -> Result<Passphrase, CliError> {
        let prompt = passphrase_prompt(device.path());
        cx.first_passphrase(self.key_file, &prompt)
    }

    /// Writes a header into a device or a file that is made long enough. All checks of the device are repeated on the
    /// descriptor that is written to.
    fn write(
        &self,
        cx: &Context<'_>,
        device: &HeaderDevice,
        size: Bytes,
        data_offset: Bytes,
        write: impl FnOnce(&mut dyn Storage) -> Result<(u32, Header), CliError>,
    ) -> Result<(u32, File), CliError> {
        cx.changing(|changing| {
            changing.exclusive(device, Others::May, |file, was_luks1| {
                let looking = || CliError::io(LOOKING);
                // A person took time for a passphrase meanwhile: another device may be under the path, or this one be mounted.
                if let Some(seen) = self.seen
                    && !block_device::is_same_file(seen, file).map_err(looking())?
                {
                    return Err(keyslots::Error::ChangedMeanwhile.into());
                }
                let _claim = self.claim(cx, device, file)?;
                self.check_apart(cx, file, size, data_offset)?;
                if cx.options.backup.is_some() {
                    match Header::read(file) {
                        Ok(header) => cx.back_up(&header, file)?,
                        // There is nothing that a backup could be of.
                        Err(keyslots::Error::NotLuks) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                let kept = file.try_clone().map_err(looking())?;
                let Target::Image { held, .. } = self.target else {
                    device.grow_file(file, size)?;
                    let (slot, header) = write(file)?;
                    if was_luks1 {
                        changing.look_again(device, file, &header, None)?;
                    }
                    return Ok((slot, kept));
                };
                if let Some(target) = held {
                    empty(target).map_err(CliError::io("empty the target"))?;
                    // Holes are wanted where discards are.
                    if !cx.options.allow_discards
                        && let Some(whole) = self.image_end(data_offset)
                    {
                        block_device::reserve(target, whole).map_err(CliError::io("reserve space for the image"))?;
                    }
                }
                device.grow_file(file, size)?;
                let (slot, header) = match held.is_some() || cx.options.header.is_some() {
                    true => write(&mut Unfinished(file))?,
                    // A pipe gets its header when that is whole.
                    false => write(file)?,
                };
                if was_luks1 {
                    changing.look_again(device, file, &header, None)?;
                }
                Ok((slot, kept))
            })
        })
    }

    /// Checks that the target to be overwritten is not in use, and keeps it so.
    fn claim(&self, cx: &Context<'_>, device: &HeaderDevice, file: &mut File) -> Result<Option<Claim>, CliError> {
        let apart = cx.options.header.is_some();
        if !apart && !self.target.is_device() {
            // It is already held.
            return Ok(None);
        }
        if self.target.is_device() && apart && !block_device::is_same(self.device, device.path()) {
            data_device::check_destroyable(self.device).map_err(in_use)?;
        }
        let claim = data_device::claim(file, device.path()).map_err(in_use)?;
        check_header_unused(file, device.path())?;
        Ok(Some(claim))
    }

    /// A detached header must not overlap the data, by whatever paths.
    fn check_apart(&self, cx: &Context<'_>, file: &File, size: Bytes, data_offset: Bytes) -> Result<(), CliError> {
        if cx.options.header.is_none() {
            return Ok(());
        }
        let overlap = || {
            let data = match self.target {
                Target::Device => open_to_look(self.device)?,
                Target::Image { held: Some(held), .. } => held.try_clone()?,
                Target::Image { held: None, .. } => return Ok(false),
            };
            let header = same_bytes::ground_of_range(file, Bytes::ZERO, Some(size))?;
            Ok(header.overlaps(&same_bytes::ground_of_range(&data, data_offset, None)?))
        };
        match overlap().map_err(CliError::io(LOOKING))? {
            true => Err(CliError::HeaderOverData),
            false => Ok(()),
        }
    }

    /// The end of an image's data, in whole sectors, if it is known.
    fn image_end(&self, data_offset: Bytes) -> Option<Bytes> {
        let Target::Image { size: Some(size), .. } = self.target else {
            return None;
        };
        let sectors = size.get().checked_next_multiple_of(self.sector_size.into())?;
        data_offset.checked_add(Bytes::new(sectors))
    }

    /// An image that does not fit on a device is refused before the first prompt or write.
    fn check_image_fits(&self, data_offset: Bytes) -> Result<(), CliError> {
        let Target::Image { held: Some(held), .. } = self.target else {
            return Ok(());
        };
        match self.image_end(data_offset) {
            Some(needed) => check_room(held, self.device, needed),
            None => Ok(()),
        }
    }

    fn warn_about_size(&self, cx: &Context<'_>, header: &luks2::Header, asked: Option<Bytes>) {
        const FEW_KEYSLOTS: Bytes = Bytes::mib(4);
        let keyslots_size = header.metadata().config.keyslots_size;
        if keyslots_size
            < FEW_KEYSLOTS
                .checked_sub(header.binary().hdr_size)
                .unwrap_or_default()
                .min(Bytes::mib(2))
        {
            cx.console.say(format_args!(
                "WARNING: keyslots area ({} bytes) is very small, available LUKS2 keyslot count is very limited.",
                keyslots_size.get()
            ));
        }
        if asked.is_some_and(|asked| asked != keyslots_size) {
            cx.console.say(format_args!(
                "WARNING: LUKS2 keyslots area size changed to {} bytes.",
                keyslots_size.get()
            ));
        }
        self.warn_without_data(cx, header.data_offset().bytes().unwrap_or_default());
    }

    /// A user may want the header alone, so a device without room for data is not an error.
    fn warn_without_data(&self, cx: &Context<'_>, data_offset: Bytes) {
        if self.target.is_device() && self.topology.size <= data_offset {
            cx.console.say(format_args!(
                "Device {} is too small for activation, there is no remaining space for data.",
                self.device.display()
            ));
        }
    }
}

/// Asks the kernel whether it can map the cipher. If it cannot be asked, a cipher that we know will do.
fn check_cipher(cipher: &CipherName, key_size: usize, sector_size: u32) -> Result<(), CliError> {
    cipher.check().map_err(VolumeError::from)?;
    let known = cipher.spec().is_ok();
    let dm = match Dm::open() {
        Err(_) if known => return Ok(()),
        dm => dm?,
    };
    match volume::check_cipher(&dm, cipher, key_size, sector_size) {
        Err(VolumeError::NoDmCrypt(_)) if known => Ok(()),
        Err(VolumeError::CipherRefused {
            cipher,
            key_bits,
            source,
        }) => Err(CliError::CipherRefused {
            cipher,
            key_bits,
            source,
        }),
        checked => Ok(checked?),
    }
}

/// Empties a file: it has no other user, and the user has confirmed everything.
fn empty(file: &File) -> std::io::Result<()> {
    match file.metadata()?.is_file() {
        true => file.set_len(0),
        false => Ok(()),
    }
}

/// Checks that a block device has this much room; a file grows.
pub(super) fn check_room(target: &File, path: &Path, needed: Bytes) -> Result<(), CliError> {
    let metadata = target.metadata().map_err(CliError::io(LOOKING))?;
    if !metadata.file_type().is_block_device() {
        return Ok(());
    }
    let size = target.try_clone().and_then(|mut target| target.size());
    match size.map_err(CliError::io("get the size of the device"))? < needed {
        true => Err(CliError::DeviceTooSmall {
            device: path.to_owned(),
            needed,
        }),
        false => Ok(()),
    }
}

/// Options that LUKS1 lacks are refused in cryptsetup's order: a volume without them is not the one that was requested.
fn check_luks1(cx: &Context<'_>) -> Result<(), CliError> {
    let options = cx.options;
    if options.sector_size.is_some_and(|size| size.get() != 512) {
        return Err(CliError::Luks2Only("Unsupported encryption sector size."));
    }
    if options.luks2_metadata_size.is_some() || options.luks2_keyslots_size.is_some() {
        return Err(CliError::Luks2Only("Unsupported LUKS2 metadata size options."));
    }
    cx.check_keyslot_cipher(Version::Luks1)?;
    if options.integrity.is_some() {
        return Err(CliError::Luks2Only(
            "Integrity option can be used only for LUKS2 format.",
        ));
    }
    Ok(())
}

/// The cipher, and the length of its key in bytes.
fn cipher_and_key_size(cx: &Context<'_>) -> Result<(CipherName, usize), CliError> {
    let cipher = cx.options.cipher.as_deref().unwrap_or(defaults::LUKS_CIPHER);
    let cipher = CipherName::parse(cipher).map_err(VolumeError::from)?;
    let default = if cipher.is_xts() {
        DEFAULT_KEY_SIZE * 2
    } else {
        DEFAULT_KEY_SIZE
    };
    let key_size = cx.options.key_size.map_or(default, |size| size.bytes());
    if let Ok(spec) = cipher.spec() {
        spec.check_key_len(key_size)?;
    }
    Ok((cipher, key_size))
}

fn first_slot(cx: &Context<'_>, version: Version) -> Result<Option<u32>, CliError> {
    match &cx.options.key_slot {
        None => Ok(None),
        Some(SlotRef::Number(slot)) if *slot <= last_slot(version) => Ok(Some(*slot)),
        Some(SlotRef::Number(slot)) => Err(CliError::Keyslot(KeyslotError::Invalid {
            slot: *slot,
            last: last_slot(version),
        })),
        Some(SlotRef::Name(name)) => Err(CliError::Keyslot(KeyslotError::Unnamed(name.clone()))),
    }
}
