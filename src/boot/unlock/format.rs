//! The format of a volume: a header, or the options in place of one, and the place of the header.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use keyslots::header::DataLayout;

use super::UnlockError;
use crate::boot::crypttab::{Entry, KeySource};
use crate::boot::devices::Devices;
use crate::boot::mount::Mounted;
use crate::boot::options::VolumeOptions;
use crate::boot::source::{DeviceSpec, Place};
use crate::crypt_device::{LuksDevice, PlainEncryption};
use crate::defaults::{PLAIN_CIPHER, PLAIN_HASH, PLAIN_KEY_BITS};

/// The format.
#[derive(Debug)]
pub(super) enum Format {
    Luks {
        /// Used by one attempt at a time.
        volume: Box<Mutex<LuksDevice>>,
        /// Keeps the file system with the header mounted.
        mounted: Option<Mounted>,
    },
    Plain(PlainEncryption),
}

/// The encryption of a volume without a header, and the place of its data, as its options say.
pub(super) fn plain(options: &VolumeOptions) -> Result<(PlainEncryption, DataLayout), UnlockError> {
    let encryption = PlainEncryption::new(
        options.cipher.as_deref(),
        options.size.map(|bits| bits.div_ceil(8) as usize),
        options.hash.as_deref(),
        options.sector_size,
    )?;
    let (offset, skip) = (options.offset.unwrap_or_default(), options.skip.unwrap_or_default());
    let layout = encryption.layout(offset, None, skip);
    Ok((encryption, layout))
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
