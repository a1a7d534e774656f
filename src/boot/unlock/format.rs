//! The format of a volume: a header, or the options in place of one, and the place of the header.

use std::path::{Path, PathBuf};

use keyslots::cipher::CipherName;
use keyslots::header::DataLayout;
use keyslots::units::Sectors;

use super::UnlockError;
use crate::boot::crypttab::{Entry, KeySource};
use crate::boot::devices::Devices;
use crate::boot::mount::Mounted;
use crate::boot::options::VolumeOptions;
use crate::boot::source::{DeviceSpec, Place};
use crate::crypt_device::LuksDevice;
use crate::defaults::{PLAIN_CIPHER, PLAIN_HASH, PLAIN_KEY_BITS};
use crate::volume::{PlainHash, VolumeError};

/// The format.
#[derive(Debug)]
pub(super) enum Format {
    Luks {
        volume: Box<LuksDevice>,
        layout: DataLayout,
        /// Keeps the file system with the header mounted.
        mounted: Option<Mounted>,
    },
    Plain {
        layout: DataLayout,
        hash: PlainHash,
        key_len: usize,
    },
}

impl Format {
    /// One without a header, as its options say.
    pub(super) fn plain(options: &VolumeOptions) -> Result<Self, UnlockError> {
        let bits = options.size.unwrap_or(PLAIN_KEY_BITS);
        let cipher = options.cipher.as_deref().unwrap_or(PLAIN_CIPHER);
        let hash = options.hash.as_deref().unwrap_or(PLAIN_HASH);
        Ok(Self::Plain {
            layout: DataLayout {
                cipher: CipherName::parse(cipher).map_err(VolumeError::from)?,
                sector_size: options.sector_size.unwrap_or(512),
                offset: options.offset.unwrap_or_default(),
                size: None,
                iv_offset: options.skip.unwrap_or(Sectors::ZERO),
            },
            hash: hash.parse()?,
            key_len: bits.div_ceil(8) as usize,
        })
    }
}

/// The options of a plain volume that its line lacks, with their defaults. Other programs may have other defaults; without
/// a passphrase nothing is hashed.
pub(in crate::boot) fn assumed(entry: &Entry) -> Option<String> {
    let options = &entry.options;
    let hashes = !matches!(entry.key, KeySource::File(_) | KeySource::Raw(_) | KeySource::Search(_));
    let lacking = [
        (options.cipher.is_none(), format!("cipher={PLAIN_CIPHER}")),
        (options.size.is_none(), format!("size={PLAIN_KEY_BITS}")),
        (options.hash.is_none() && hashes, format!("hash={PLAIN_HASH}")),
    ];
    let lacking: Vec<_> = lacking.into_iter().filter(|(lacks, _)| *lacks).collect();
    let words: Vec<_> = lacking.into_iter().map(|(_, word)| word).collect();
    (!words.is_empty()).then(|| words.join(","))
}

/// The place of the header: the device itself, a file or device of its own, or a file on another device.
pub(in crate::boot) fn header_path(
    options: &VolumeOptions,
    devices: &Devices,
    source: &Path,
) -> Result<Option<(PathBuf, Option<Mounted>)>, UnlockError> {
    let Some(header) = &options.header else {
        return Ok(Some((source.to_owned(), None)));
    };
    let failed = |source| UnlockError::HeaderMount {
        header: header.clone(),
        source,
    };
    let Some(device) = &header.device else {
        // `header=UUID=…` names a device that contains nothing but a header.
        let spec = DeviceSpec::parse(&header.path.to_string_lossy());
        let found = devices.find(&spec).filter(|path| devices.answers(path));
        return Ok(found.map(|path| (path, None)));
    };
    let Some(device) = devices.find(device).filter(|path| devices.answers(path)) else {
        return Ok(None);
    };
    let mounted = Mounted::new(&device).map_err(failed)?;
    let path = mounted.file(&header.path).map_err(failed)?;
    Ok(Some((path, Some(mounted))))
}

/// The device with the header, where it is another one.
pub(super) fn header_device(options: &VolumeOptions) -> Option<DeviceSpec> {
    let header = options.header.as_ref()?;
    let device = || DeviceSpec::parse(&header.path.to_string_lossy());
    Some(header.device.clone().unwrap_or_else(device))
}

/// The expected place of the header, for messages.
pub(super) fn header_place(options: &VolumeOptions) -> Option<&Place> {
    options.header.as_ref()
}

/// Whether the options are those of a plain volume.
pub(in crate::boot) fn says_plain(options: &VolumeOptions) -> bool {
    options.cipher.is_some()
        || options.hash.is_some()
        || options.size.is_some()
        || options.swap
        || options.tmp.is_some()
}
