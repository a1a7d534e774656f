//! A volume to make: the request, its checks, and the confirmation that it may be made.

use std::fs::File;
use std::path::Path;

use keyslots::Error;
use keyslots::KeyslotId;
use keyslots::cipher::CipherName;
use keyslots::hash::Hash;
use keyslots::header::Version;
use keyslots::units::{Bytes, Sectors};
use keyslots::uuid::is_uuid;

use super::overwrite::{MadeFile, agree_to_overwrite, check_not_tiny};
use super::placement::{self, Place};
use crate::block_device::{self, DevNo, Topology};
use crate::crypt_device::{Confirm, CostRequest, CryptError, FormatError, HeaderPlace, LookedAt, check_header_unused};
use crate::data_device::{self, DataDeviceError};
use crate::defaults;
use crate::dm::Dm;
use crate::header_device::HeaderDevice;
use crate::slot_names::{self, SlotNameError, SlotRef};
use crate::volume::{self, VolumeError};

/// Bytes of the key by default; XTS takes two.
const DEFAULT_KEY_SIZE: usize = defaults::LUKS_KEY_BITS as usize / 8;

/// The target of a new volume.
#[derive(Clone, Copy, Debug)]
pub enum FormatTarget<'a> {
    /// A device of its final size, which may hold data.
    Device,
    /// A device whose data will be encrypted where they are. Its header is unfinished until that has begun
    /// ([`Made::begin_encryption`](super::Made::begin_encryption)).
    Plaintext,
    /// The target of an image. Its header is unfinished ([`crate::unfinished::Unfinished`]) until the data are there.
    Image {
        /// The target of the data, open and claimed, whose contents the user agreed to lose; none if it is a pipe.
        held: Option<&'a File>,
        /// The size of the data, if it is known.
        size: Option<Bytes>,
        /// Whether the target may have holes, which tell where no data are.
        sparse: bool,
    },
}

impl FormatTarget<'_> {
    pub(super) fn is_device(self) -> bool {
        matches!(self, Self::Device | Self::Plaintext)
    }
}

/// Whether a device is looked at for what it holds, before it is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is not.
    No,
    /// If that can be.
    May,
    /// It is, and for protected keyslots too; where it cannot be, no volume is made.
    Must,
}

/// A volume to make; for what is `None` there are defaults.
#[derive(Clone, Copy, Debug)]
pub struct FormatRequest<'a> {
    /// The device with the data, as the user named it.
    pub device: &'a Path,
    /// The place of the header.
    pub header: &'a HeaderDevice,
    /// Whether that is the device with the data.
    pub place: HeaderPlace,
    /// What becomes of the device.
    pub target: FormatTarget<'a>,
    /// The version.
    pub version: Version,
    /// The cipher of the data.
    pub cipher: Option<&'a str>,
    /// Bytes of the volume key.
    pub key_size: Option<usize>,
    /// Bytes of an encryption sector.
    pub sector_size: Option<u32>,
    /// The start of the data.
    pub offset: Option<Sectors>,
    /// The alignment of the start of the data.
    pub alignment: Option<Sectors>,
    /// The size of one copy of the metadata.
    pub metadata_size: Option<Bytes>,
    /// The size of the keyslots area.
    pub keyslots_size: Option<Bytes>,
    /// The UUID.
    pub uuid: Option<&'a str>,
    /// The label.
    pub label: Option<&'a str>,
    /// The subsystem label.
    pub subsystem: Option<&'a str>,
    /// The first keyslot.
    pub keyslot: Option<&'a SlotRef>,
    /// Its name, and whether that protects it.
    pub name: Option<(&'a str, bool)>,
    /// Its costs.
    pub cost: CostRequest<'a>,
    /// Whether the device is looked at first.
    pub look: Look,
}

/// A request that was checked and confirmed.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub(super) request: FormatRequest<'a>,
    pub(super) topology: Topology,
    pub(super) place: Place,
    pub(super) sector_size: u32,
    pub(super) hash: Hash,
    pub(super) cipher: CipherName,
    key_size: usize,
    pub(super) keyslot: Option<KeyslotId>,
    /// The device that the user was asked about, and that is written to.
    pub(super) seen: Option<LookedAt>,
    /// Removed where no volume is made.
    _made_file: Option<MadeFile>,
}

impl<'a> FormatRequest<'a> {
    /// Checks that LUKS1 has what is requested: a volume without it is not the one that was requested.
    ///
    /// # Errors
    /// [`FormatError`], [`CostError::Luks1Cipher`](crate::crypt_device::CostError::Luks1Cipher).
    pub fn check_version(&self) -> Result<(), CryptError> {
        if self.version == Version::Luks2 {
            return Ok(());
        }
        if self.sector_size.is_some_and(|size| size != 512) {
            return Err(FormatError::Luks1SectorSize.into());
        }
        if self.metadata_size.is_some() || self.keyslots_size.is_some() {
            return Err(FormatError::Luks1AreaSizes.into());
        }
        Ok(self.cost.check_cipher(self.version)?)
    }

    /// Checks everything before the first prompt for a secret or write, and asks whether what is there may be overwritten.
    ///
    /// # Errors
    /// [`CryptError`]; [`CryptError::Declined`], [`FormatError::HeaderFileDeclined`].
    pub fn prepare(self, confirm: &dyn Confirm) -> Result<Prepared<'a>, CryptError> {
        self.check_version()?;
        if let Some(uuid) = self.uuid.filter(|uuid| !is_uuid(uuid)) {
            return Err(CryptError::BadUuid(uuid.to_owned()));
        }
        let mut topology = Topology::of(self.device).map_err(DataDeviceError::open(self.device))?;
        if let FormatTarget::Image { size: Some(size), .. } = self.target {
            topology.size = topology.size.max(size);
        }
        let hash = self.cost.hash()?;
        self.cost.check(self.version)?;
        let (cipher, key_size) = self.cipher_and_key_size()?;
        let keyslot = self.first_keyslot()?;
        match self.name {
            Some(_) if self.version == Version::Luks1 => return Err(SlotNameError::Luks1.into()),
            name => name.map_or(Ok(()), |(name, _)| slot_names::check(name))?,
        }
        let place = Place::new(&self, &topology)?;
        let sector_size = placement::sector_size(&self, &topology, place);
        check_cipher(&cipher, key_size, sector_size)?;
        let (seen, made_file) = self.look_at_devices(confirm)?;
        Ok(Prepared {
            request: self,
            topology,
            place,
            sector_size,
            hash,
            cipher,
            key_size,
            keyslot,
            seen,
            _made_file: made_file,
        })
    }

    /// The cipher, and the length of its key in bytes.
    fn cipher_and_key_size(&self) -> Result<(CipherName, usize), CryptError> {
        let cipher = self.cipher.unwrap_or(defaults::LUKS_CIPHER);
        let cipher = CipherName::parse(cipher).map_err(VolumeError::from)?;
        let default = match cipher.is_xts() {
            true => DEFAULT_KEY_SIZE * 2,
            false => DEFAULT_KEY_SIZE,
        };
        let key_size = self.key_size.unwrap_or(default);
        if let Ok(spec) = cipher.spec() {
            spec.check_key_len(key_size)?;
        }
        Ok((cipher, key_size))
    }

    fn first_keyslot(&self) -> Result<Option<KeyslotId>, CryptError> {
        let last = KeyslotId::last(self.version);
        match self.keyslot {
            None => Ok(None),
            Some(&SlotRef::Number(slot)) if slot <= last => Ok(Some(slot)),
            Some(&SlotRef::Number(slot)) => Err(CryptError::NoSuchKeyslot { slot, last }),
            Some(SlotRef::Name(name)) => Err(SlotNameError::Unnamed(name.clone()).into()),
        }
    }

    /// Checks that nothing on the devices is in use, and asks. Returns the device that is written to, and the file that was made
    /// for the header.
    fn look_at_devices(&self, confirm: &dyn Confirm) -> Result<(Option<LookedAt>, Option<MadeFile>), CryptError> {
        let looking = || Error::io(LOOKING);
        let (apart, path) = (self.place == HeaderPlace::Apart, self.header.path());
        if self.target.is_device() {
            data_device::check_destroyable(self.device)?;
        }
        if let Ok(Some(number)) = DevNo::of_path(path)
            && block_device::is_host_managed(number)
        {
            return Err(FormatError::Zoned(path.to_owned()).into());
        }
        let seen = match self.target {
            FormatTarget::Image { held, .. } if !apart => {
                let held = held.map(|held| LookedAt::new(held.try_clone()?, path));
                held.transpose().map_err(looking())?
            }
            _ if path.exists() => Some(look_at(self.header)?),
            _ => None,
        };
        if !apart && !self.target.is_device() {
            // That it is overwritten was confirmed.
            return Ok((seen, None));
        }
        check_not_tiny(path)?;
        let made_file = agree_to_overwrite(self, confirm)?;
        let made = made_file
            .as_ref()
            .map(|made| LookedAt::new(made.file.try_clone()?, path));
        Ok((made.transpose().map_err(looking())?.or(seen), made_file))
    }
}

impl Prepared<'_> {
    /// Bytes of the volume key.
    pub fn key_size(&self) -> usize {
        self.key_size
    }
}

pub(super) const LOOKING: &str = "look at the device";

/// Opens the target of a new header, and checks that it is not in use.
fn look_at(device: &HeaderDevice) -> Result<LookedAt, CryptError> {
    data_device::check_destroyable(device.path())?;
    let mut opened = device.open(false)?;
    check_header_unused(&mut opened.file, device.path())?;
    Ok(LookedAt::new(opened.file, device.path()).map_err(Error::io(LOOKING))?)
}

/// Asks the kernel whether it can map the cipher. If it cannot be asked, a cipher that we know will do.
fn check_cipher(cipher: &CipherName, key_size: usize, sector_size: u32) -> Result<(), VolumeError> {
    cipher.check()?;
    let known = cipher.spec().is_ok();
    let dm = match Dm::open() {
        Err(_) if known => return Ok(()),
        dm => dm?,
    };
    match volume::check_cipher(&dm, cipher, key_size, sector_size) {
        Err(VolumeError::NoDmCrypt(_)) if known => Ok(()),
        checked => checked,
    }
}
