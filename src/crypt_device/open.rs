//! Opening a volume: what can be checked is checked before its key is asked for, and what is opened is what was checked.
//!
//! The one place that maps a volume, serves it without the device-mapper, or opens its data for this program itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use keyslots::header::{DataLayout, Header, Version};
use keyslots::kdf::CostLimits;
use keyslots::secret::VolumeKey;
use keyslots::storage::Storage as _;
use keyslots::units::{Bytes, Sectors};

use super::ask::agree;
use super::{Confirm, CryptError, LookedAt, LuksDevice, Question};
use crate::block_device::{Topology, signatures};
use crate::data_device::{self, DataDevice, DataDeviceError};
use crate::dm::{DeviceName, Dm};
use crate::userspace::{self, Access, Description, UserspaceError, VolumeOptions, claim_device, open_device};
use crate::volume::{self, Activate, Flags, Identity, KeyPlace, VolumeError};

/// A volume that is not open yet.
#[derive(Debug)]
pub struct ClosedVolume {
    path: PathBuf,
    /// No other device is opened in its place.
    looked_at: LookedAt,
    layout: DataLayout,
}

/// What tells how a volume is encrypted.
#[derive(Clone, Copy, Debug)]
pub enum Format<'a> {
    /// Its header.
    Luks(&'a LuksDevice),
    /// Its user.
    Plain(PlainOptions),
}

/// How a volume without a header is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainOptions {
    /// Whether IVs count encryption sectors instead of 512-byte ones.
    pub iv_large_sectors: bool,
    /// Whether its device may have other users.
    pub shared: bool,
}

/// What a volume without a header is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainUse {
    /// For others, as a device of its own.
    Open,
    /// To be written to by this program itself.
    Write,
}

/// How a LUKS volume is mapped.
#[derive(Clone, Copy, Debug)]
pub struct LuksMapping<'a> {
    /// The requested flags.
    pub flags: Flags,
    /// Whether the flags that the header stores are left out, since others replace them.
    pub without_stored_flags: bool,
    /// Whether the kernel may take the key from the keyring.
    pub may_use_keyring: bool,
    /// The limits for the cost of a digest of the key.
    pub limits: &'a CostLimits,
}

/// The data of a volume, opened for this program itself.
#[derive(Debug)]
pub struct OwnData {
    /// The device.
    pub file: File,
    /// Whether it can be written to.
    pub access: Access,
}

/// How this program itself opens the data of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnAccess {
    /// For as long as they are served: others are kept away. What cannot be written to is read.
    Serve {
        /// Whether writing is forbidden.
        read_only: bool,
    },
    /// For one copy.
    Copy(Access),
}

impl ClosedVolume {
    /// The LUKS volume whose data are on `path`.
    ///
    /// # Errors
    /// [`CryptError::Volume`] for a header that cannot be mapped, or is among the data; [`CryptError::Data`] where the
    /// device cannot be opened.
    pub fn luks(path: &Path, volume: &LuksDevice) -> Result<Self, CryptError> {
        Self::plain(path, volume.layout(path)?)
    }

    /// The volume without a header on `path`.
    ///
    /// # Errors
    /// [`CryptError::Data`]: the device cannot be opened.
    pub fn plain(path: &Path, layout: DataLayout) -> Result<Self, CryptError> {
        let looked_at = LookedAt::at(path).map_err(DataDeviceError::open(path))?;
        Ok(Self {
            path: path.to_owned(),
            looked_at,
            layout,
        })
    }

    /// The place of its data.
    pub fn layout(&self) -> &DataLayout {
        &self.layout
    }

    /// Whether its path still leads to the device that was looked at.
    pub fn is_there(&self) -> bool {
        self.looked_at.is_there()
    }

    /// Checks that a volume without a header fits on its device, and that nobody else uses that. A header says the same of a
    /// volume that has one.
    ///
    /// # Errors
    /// [`CryptError::Data`], [`CryptError::Volume`].
    pub fn check_fits(&self, options: PlainOptions) -> Result<(), CryptError> {
        if !options.shared {
            data_device::check_unused(&self.path)?;
        }
        let topology = Topology::of(&self.path).map_err(DataDeviceError::open(&self.path))?;
        Ok(self.check_size(topology.size)?)
    }

    /// Checks that the data are on a device of this size.
    fn check_size(&self, size: Bytes) -> Result<(), VolumeError> {
        let (layout, size) = (&self.layout, size.sectors());
        volume::size_of_data(&self.path, size, layout.offset, layout.size, layout.sector_size).map(drop)
    }

    /// Looks for signatures on the device of a volume without a header, which has none, and asks whether it may be opened
    /// where there are some. An offset leaves the space before it alone, and with it the signatures; Debian's
    /// `cryptdisks_start` relies on that, and cannot answer.
    ///
    /// # Errors
    /// [`CryptError::Declined`]; or the system's.
    pub fn confirm_plain(&self, purpose: PlainUse, confirm: &dyn Confirm) -> Result<(), CryptError> {
        if purpose == PlainUse::Open && self.layout.offset > Sectors::ZERO {
            return Ok(());
        }
        let (device, found) = (&self.path, signatures::probe(&self.path));
        let found = &found.map_err(CryptError::io("look for signatures"))?;
        match found.is_empty() {
            true => Ok(()),
            false => agree(confirm, &Question::OpenPlain { device, found }),
        }
    }

    /// Maps it.
    ///
    /// # Errors
    /// [`CryptError`]; also where the key is not that of a header's data. A wrong key of a plain volume cannot be detected.
    pub fn map(
        &self,
        (dm, name): (&Dm, &DeviceName),
        format: Format<'_>,
        how: &LuksMapping<'_>,
        key: &VolumeKey,
    ) -> Result<(), CryptError> {
        let mut flags = format.flags(how.flags, how.without_stored_flags);
        let shared = matches!(format, Format::Plain(options) if options.shared);
        let data = DataDevice::open(&self.path, flags.read_only, !shared, self.layout.sector_size)?;
        // The open device is mapped, and not the one that the path leads to by now.
        if !self.looked_at.is(data.number) {
            return Err(CryptError::Replaced(self.path.clone()));
        }
        flags.read_only |= data.read_only;
        let (identity, key_place, iv_large_sectors) = match format {
            Format::Luks(volume) => {
                volume.check_data(&self.layout, &self.path, &data.file)?;
                (volume::identity(&volume.header), volume.key_place(how, key)?, false)
            }
            Format::Plain(options) => (Identity::Plain, KeyPlace::Table, options.iv_large_sectors),
        };
        let mapping = Activate {
            name,
            identity,
            path: &self.path,
            device: data.number,
            device_size: data.size,
            layout: &self.layout,
            iv_large_sectors,
            flags,
            key_place,
        };
        Ok(volume::activate(dm, &mapping, key)?)
    }

    /// Opens its data for this program itself. With `whole`, a volume that was cut off is refused: it is what a file system
    /// check would then "repair".
    ///
    /// # Errors
    /// [`CryptError::Userspace`]; [`CryptError::Replaced`]; [`CryptError::Volume`] where the header is among the data, or
    /// these are cut off.
    pub fn own_data(&self, format: Format<'_>, how: OwnAccess, whole: bool) -> Result<OwnData, CryptError> {
        let (mut file, access) = match how {
            OwnAccess::Copy(access) => (open_device(&self.path, access)?, access),
            OwnAccess::Serve { read_only: true } => (claim_device(&self.path, Access::Read)?, Access::Read),
            OwnAccess::Serve { read_only: false } => match claim_device(&self.path, Access::Write) {
                Err(UserspaceError::NotWritable { .. }) => (claim_device(&self.path, Access::Read)?, Access::Read),
                file => (file?, Access::Write),
            },
        };
        let same = self.looked_at.is_open_as(&file);
        if !same.map_err(CryptError::io("look at the device"))? {
            return Err(CryptError::Replaced(self.path.clone()));
        }
        if let Format::Luks(volume) = format {
            volume.check_data(&self.layout, &self.path, &file)?;
        }
        if whole && self.layout.size.is_some() {
            let size = file.size();
            self.check_size(size.map_err(CryptError::io("get the size of the device"))?)?;
        }
        Ok(OwnData { file, access })
    }

    /// Its plaintext, for this program itself. The caller makes sure that the key is that of the data.
    ///
    /// # Errors
    /// [`CryptError::Userspace`].
    pub fn plaintext(
        &self,
        format: Format<'_>,
        data: OwnData,
        allow_discards: bool,
        key: &VolumeKey,
    ) -> Result<userspace::Volume, CryptError> {
        let options = VolumeOptions {
            allow_discards,
            iv_large_sectors: format.iv_large_sectors(),
            ..VolumeOptions::new(data.access)
        };
        Ok(userspace::Volume::new(data.file, &self.layout, key, options)?)
    }

    /// Serves it under a name without the device-mapper, and returns the file with its plaintext. The caller makes sure that
    /// the key is that of the data.
    ///
    /// # Errors
    /// [`CryptError::Serve`]; [`CryptError::Userspace`] where the key does not fit the cipher.
    pub fn serve(
        &self,
        name: &str,
        format: Format<'_>,
        data: OwnData,
        allow_discards: bool,
        key: &VolumeKey,
    ) -> Result<PathBuf, CryptError> {
        let layout = &self.layout;
        let spec = layout.cipher.spec().map_err(UserspaceError::from)?;
        spec.check_key_len(key.len()).map_err(UserspaceError::from)?;
        let header = match format {
            Format::Luks(volume) => Some(&volume.header),
            Format::Plain(_) => None,
        };
        let kind = match header.map(Header::version) {
            Some(Version::Luks1) => "LUKS1",
            Some(Version::Luks2) => "LUKS2",
            None => "PLAIN",
        };
        let description = Description {
            device: fs::canonicalize(&self.path).map_err(CryptError::io("find the device"))?,
            kind: kind.into(),
            uuid: header.map(|header| header.uuid().to_owned()),
            cipher: layout.cipher.to_string(),
            key_len: key.len(),
            sector_size: layout.sector_size,
            iv_large_sectors: format.iv_large_sectors(),
            offset: layout.offset,
            fixed_size: layout.size,
            iv_offset: layout.iv_offset,
            read_only: data.access == Access::Read,
            allow_discards,
        };
        Ok(userspace::start(name, &description, data.file, key)?)
    }
}

impl Format<'_> {
    /// The flags of a volume that is opened with `given`.
    pub fn flags(self, given: Flags, without_stored: bool) -> Flags {
        match self {
            Self::Luks(volume) => volume.flags(given, without_stored),
            Self::Plain(_) => given,
        }
    }

    fn iv_large_sectors(self) -> bool {
        matches!(self, Self::Plain(options) if options.iv_large_sectors)
    }
}

impl LuksDevice {
    /// The flags of an activation that was given `given`.
    pub(super) fn flags(&self, given: Flags, without_stored: bool) -> Flags {
        match &self.header {
            Header::Luks1(_) => given,
            Header::Luks2(header) => given.with_stored(&header.metadata().config.flags, without_stored),
        }
    }

    /// Where the kernel gets the key, after a check that it is the key of the data.
    ///
    /// # Errors
    /// That of the digest, where the key is not the volume's.
    pub fn key_place(&self, how: &LuksMapping<'_>, key: &VolumeKey) -> Result<KeyPlace, VolumeError> {
        volume::key_place(&self.header, key, how.may_use_keyring, how.limits)
    }
}
