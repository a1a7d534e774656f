//! Plain volumes: dm-crypt without a header, all of it from the command line. `open` and `refresh` map them; `cat`,
//! `write` and a server in userspace get a description of them.

use std::path::Path;

use keyslots::cipher::CipherName;
use keyslots::header::DataLayout;
use keyslots::secret::{Passphrase, Secret, VolumeKey};
use keyslots::units::{Bytes, Sectors};

use super::active::free_mapping;
use super::context::Context;
use super::secrets::passphrase_prompt;
use crate::block_device::{Topology, signatures};
use crate::console::confirm;
use crate::crypt_device::{LookedAt, MapRequest, PlainVolume};
use crate::cryptsetup::error::{CliError, MappingError};
use crate::data_device;
use crate::defaults;
use crate::dm::{DeviceName, Dm};
use crate::keyring;
use crate::passphrase::KeyFileRange;
use crate::terminal_text::shown;
use crate::volume::{self, Active, MAX_KEY_LEN, PlainHash};

/// The encryption of a volume, according to the options.
pub(super) struct Encryption {
    cipher: CipherName,
    sector_size: u32,
    key_len: usize,
    hash: PlainHash,
}

/// `open --type plain`, by the device-mapper.
pub(super) fn open(cx: &Context<'_>, device: &Path, name: &str) -> Result<(), CliError> {
    let (dm, name) = free_mapping(name)?;
    let encryption = Encryption::from_options(cx)?;
    encryption.warn(cx);
    let options = cx.options;
    let layout = encryption.layout(cx, options.offset);
    // What every check and question below is about.
    let looked_at = LookedAt::at(device).map_err(|_| CliError::DeviceMissing(device.to_owned()))?;
    if !options.shared {
        data_device::check_unused(device)?;
    }
    let topology = Topology::of(device).map_err(|_| CliError::DeviceMissing(device.to_owned()))?;
    let size = topology.size.sectors();
    volume::size_of_data(device, size, layout.offset, layout.size, layout.sector_size)?;
    warn_before_open(cx, device, layout.offset)?;

    let key = encryption.key(cx, device)?;
    let request = MapRequest {
        name: &name,
        path: device,
        looked_at: &looked_at,
        flags: cx.flags(),
        shared: options.shared,
    };
    let volume = PlainVolume {
        layout: &layout,
        iv_large_sectors: options.iv_large_sectors,
    };
    Ok(request.map_plain(&dm, &volume, &key)?)
}

/// `refresh` of a plain mapping: the options must name its encryption, and the passphrase must be the one that it was
/// opened with, since nothing else can verify them.
pub(super) fn refresh(cx: &Context<'_>, dm: &Dm, name: &DeviceName, active: &Active) -> Result<(), CliError> {
    let encryption = Encryption::from_options(cx)?;
    let path = active.device.path();
    let path = path.ok_or_else(|| CliError::Mapping(MappingError::NotActive(name.to_string())))?;
    // Without --sector-size, which refresh ignores, the size stays.
    let sector_size = options_sector_size(cx).unwrap_or_else(|| active.sector_size());
    let cipher = (&encryption.cipher, sector_size);
    if !encryption.cipher.is_same(&CipherName::new(&active.cipher)) || active.sector_size() != sector_size {
        return Err(CliError::Mapping(MappingError::Mismatch(name.to_string())));
    }
    let key = encryption.key(cx, &path)?;
    Ok(volume::refresh_plain(dm, name, cipher, &key, cx.flags())?)
}

fn options_sector_size(cx: &Context<'_>) -> Option<u32> {
    cx.options.sector_size.map(|size| size.get())
}

impl Encryption {
    pub(super) fn from_options(cx: &Context<'_>) -> Result<Self, CliError> {
        let options = cx.options;
        let cipher = options.cipher.as_deref().unwrap_or(defaults::PLAIN_CIPHER);
        let asked = options.key_size.map(|size| size.bytes()).filter(|&len| len > 0);
        let key_len = asked.unwrap_or(defaults::PLAIN_KEY_BITS as usize / 8);
        if key_len > MAX_KEY_LEN {
            return Err(volume::PlainKeyError::KeyTooLong { len: key_len }.into());
        }
        // A key file is never hashed, whatever the options.
        let hash = options.hash.as_deref().filter(|_| !reads_key_file(cx));
        Ok(Self {
            cipher: CipherName::parse(cipher).map_err(volume::VolumeError::from)?,
            sector_size: options_sector_size(cx).unwrap_or(512),
            key_len,
            hash: hash.unwrap_or(defaults::PLAIN_HASH).parse()?,
        })
    }

    /// Warns of options that have no effect, and of missing ones whose defaults have changed.
    pub(super) fn warn(&self, cx: &Context<'_>) {
        let options = cx.options;
        if cx.console.batch() {
            return;
        }
        if reads_key_file(cx) {
            if options.hash.is_some() {
                cx.console
                    .complain("WARNING: The --hash parameter is being ignored in plain mode with keyfile specified.");
            }
            if options.keyfile_size.is_some_and(|size| size > Bytes::ZERO) {
                cx.console.complain(
                    "WARNING: The --keyfile-size option is being ignored, the read size is the same as the encryption \
                     key size.",
                );
            }
        }
        let cipher = options.cipher.is_none() || options.key_size.is_none();
        let hash = options.hash.is_none() && !key_is_given(cx);
        if cipher {
            cx.console.complain(format_args!(
                "WARNING: Using default options for cipher ({}, key size {} bits) that could be incompatible with older \
                 versions.",
                self.cipher,
                self.key_len * 8
            ));
        }
        if hash {
            cx.console.complain(format_args!(
                "WARNING: Using default options for hash ({}) that could be incompatible with older versions.",
                self.hash
            ));
        }
        if cipher || hash {
            cx.console.complain(
                "For plain mode, always use options --cipher, --key-size and if no keyfile or keyring is used, then also --hash.",
            );
        }
    }

    /// Bytes of the key.
    pub(super) fn key_len(&self) -> usize {
        self.key_len
    }

    /// The place of the data, which start at sector `offset`.
    pub(super) fn layout(&self, cx: &Context<'_>, offset: Option<Sectors>) -> DataLayout {
        let options = cx.options;
        // A size of zero means the whole device, as with cryptsetup.
        let size = options.size.or(options.device_size.map(Bytes::sectors));
        DataLayout {
            cipher: self.cipher.clone(),
            sector_size: self.sector_size,
            offset: offset.unwrap_or_default(),
            size: size.filter(|size| *size > Sectors::ZERO),
            iv_offset: options.skip.unwrap_or_default(),
        }
    }

    /// The key: verbatim from a key file or the keyring, else hashed from a passphrase.
    pub(super) fn key(&self, cx: &Context<'_>, device: &Path) -> Result<VolumeKey, CliError> {
        let key = self.whole_key(cx, device)?;
        if self.cipher.is_null() {
            // The kernel takes none for it.
            return Ok(VolumeKey::new(Secret::zeroed(0).map_err(CliError::memory)?));
        }
        Ok(key)
    }

    fn whole_key(&self, cx: &Context<'_>, device: &Path) -> Result<VolumeKey, CliError> {
        let options = cx.options;
        if let Some(file) = &options.volume_key_file {
            return cx.volume_key_file(file, self.key_len);
        }
        if let Some(description) = &options.volume_key_keyring {
            let key = keyring::read_key(description)?;
            return if key.len() == self.key_len {
                Ok(VolumeKey::new(key))
            } else {
                Err(CliError::KeyringKeyLength {
                    found: key.len(),
                    needed: self.key_len,
                })
            };
        }
        let prompt = passphrase_prompt(device);
        let source = cx.source();
        let passphrase = if reads_key_file(cx) || self.takes_raw_input(cx) {
            let exactly = KeyFileRange::new(options.keyfile_offset, Some(Bytes::new(self.key_len as u64)));
            let passphrase = cx.passphrase_in(&source, &prompt, exactly)?;
            return raw_key(&passphrase);
        } else {
            cx.passphrase(&source, &prompt)?
        };
        Ok(self.hash.key(passphrase.expose(), self.key_len)?)
    }

    /// `--key-file -` with `--hash plain`: standard input is a key file then, and exactly as long as the key.
    fn takes_raw_input(&self, cx: &Context<'_>) -> bool {
        self.hash.is_plain() && cx.key_file().is_some() && !crate::passphrase::is_interactive()
    }
}

fn raw_key(passphrase: &Passphrase) -> Result<VolumeKey, CliError> {
    Secret::copy_from(passphrase.expose())
        .map(VolumeKey::new)
        .map_err(CliError::memory)
}

/// Whether the key is read from a file, and not from standard input.
fn reads_key_file(cx: &Context<'_>) -> bool {
    cx.key_file().is_some_and(|path| path != Path::new("-"))
}

/// Whether no passphrase is hashed.
fn key_is_given(cx: &Context<'_>) -> bool {
    reads_key_file(cx) || cx.options.volume_key_file.is_some() || cx.options.volume_key_keyring.is_some()
}

/// [`warn_of_signatures`] for a mapping, as in cryptsetup: an offset leaves the space before it, with the signatures, alone.
/// Debian's `cryptdisks_start` relies on it, and cannot answer.
pub(super) fn warn_before_open(cx: &Context<'_>, device: &Path, offset: Sectors) -> Result<(), CliError> {
    if offset > Sectors::ZERO {
        return Ok(());
    }
    warn_of_signatures(cx, device)
}

/// A plain volume has no signature, so that an existing one means that other data are about to be taken for noise.
pub(super) fn warn_of_signatures(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    if cx.options.disable_blkid || cx.console.batch() {
        return Ok(());
    }
    let found = signatures::probe(device).map_err(CliError::io("look for signatures"))?;
    super::questions::warn_of(cx, device, &found);
    let question = format!(
        "Detected device signature(s) on {}. Proceeding further may damage existing data.",
        shown(device)
    );
    if found.is_empty() || confirm(cx.console, &question) {
        Ok(())
    } else {
        Err(CliError::Aborted)
    }
}
