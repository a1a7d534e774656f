//! Plain volumes: dm-crypt without a header, all of it from the command line. `open` and `refresh` map them; `cat`,
//! `write` and a server in userspace get a description of them.

use std::path::Path;

use keyslots::header::DataLayout;
use keyslots::secret::{Passphrase, VolumeKey};
use keyslots::units::{Bytes, Sectors};

use super::context::Context;
use super::secrets::passphrase_prompt;
use crate::crypt_device::{ActiveVolume, ClosedVolume, Format, PlainEncryption, PlainOptions, PlainUse, free_name};
use crate::cryptsetup::error::CliError;
use crate::keyring;
use crate::passphrase::KeyFileRange;

/// The encryption of a volume, according to the options.
pub(super) struct Encryption(PlainEncryption);

/// `open --type plain`, by the device-mapper.
pub(super) fn open(cx: &Context<'_>, device: &Path, name: &str) -> Result<(), CliError> {
    let (dm, name) = free_name(name)?;
    let encryption = Encryption::from_options(cx)?;
    encryption.warn(cx);
    let layout = encryption.layout(cx, cx.options.offset);
    // What every check and question below is about.
    let closed = ClosedVolume::plain(device, layout)?;
    closed.check_fits(options(cx))?;
    confirm(cx, &closed, PlainUse::Open)?;
    let key = encryption.key(cx, device)?;
    let (format, limits) = (Format::Plain(options(cx)), cx.cost_limits());
    Ok(closed.map((&dm, &name), format, &cx.luks_mapping(&limits), &key)?)
}

/// How a plain volume is opened, according to the options.
pub(super) fn options(cx: &Context<'_>) -> PlainOptions {
    PlainOptions {
        iv_large_sectors: cx.options.iv_large_sectors,
        shared: cx.options.shared,
    }
}

/// `refresh` of a plain mapping: the options must name its encryption, and the passphrase must be the one that it was
/// opened with, since nothing else can verify them.
pub(super) fn refresh(cx: &Context<'_>, active: &ActiveVolume) -> Result<(), CliError> {
    let encryption = Encryption::from_options(cx)?;
    // Without --sector-size, which refresh ignores, the size stays.
    let sector_size = options_sector_size(cx).unwrap_or_else(|| active.state().sector_size());
    let cipher = (&encryption.0.cipher, sector_size);
    active.refresh_plain(cipher, cx.flags(), |device| encryption.key(cx, device))
}

fn options_sector_size(cx: &Context<'_>) -> Option<u32> {
    cx.options.sector_size.map(|size| size.get())
}

impl Encryption {
    pub(super) fn from_options(cx: &Context<'_>) -> Result<Self, CliError> {
        let options = cx.options;
        let key_len = options.key_size.map(|size| size.bytes()).filter(|&len| len > 0);
        // A key file is never hashed, whatever the options.
        let hash = options.hash.as_deref().filter(|_| !reads_key_file(cx));
        let cipher = options.cipher.as_deref();
        Ok(Self(PlainEncryption::new(
            cipher,
            key_len,
            hash,
            options_sector_size(cx),
        )?))
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
                self.0.cipher,
                self.0.key_len * 8
            ));
        }
        if hash {
            cx.console.complain(format_args!(
                "WARNING: Using default options for hash ({}) that could be incompatible with older versions.",
                self.0.hash
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
        self.0.key_len
    }

    /// The place of the data, which start at sector `offset`.
    pub(super) fn layout(&self, cx: &Context<'_>, offset: Option<Sectors>) -> DataLayout {
        let options = cx.options;
        // A size of zero means the whole device, as with cryptsetup.
        let size = options.size.or(options.device_size.map(Bytes::sectors));
        let size = size.filter(|size| *size > Sectors::ZERO);
        self.0
            .layout(offset.unwrap_or_default(), size, options.skip.unwrap_or_default())
    }

    /// The key: verbatim from a key file or the keyring, else hashed from a passphrase.
    pub(super) fn key(&self, cx: &Context<'_>, device: &Path) -> Result<VolumeKey, CliError> {
        let (secret, hashed) = self.secret(cx, device)?;
        Ok(self.0.key(&secret, hashed)?)
    }

    /// What becomes the key, and whether it is hashed.
    fn secret(&self, cx: &Context<'_>, device: &Path) -> Result<(Passphrase, bool), CliError> {
        let (options, needed) = (cx.options, self.0.key_len);
        if let Some(file) = &options.volume_key_file {
            return Ok((cx.secret_file(file, needed)?, false));
        }
        if let Some(description) = &options.volume_key_keyring {
            let key = keyring::read_key(description)?;
            return match key.len() {
                found if found != needed => Err(CliError::KeyringKeyLength { found, needed }),
                _ => Ok((Passphrase::new(key), false)),
            };
        }
        let prompt = passphrase_prompt(device);
        let source = cx.source();
        if reads_key_file(cx) || self.takes_raw_input(cx) {
            let exactly = KeyFileRange::new(options.keyfile_offset, Some(Bytes::new(needed as u64)));
            let key = cx.passphrase_in(&source, &prompt, exactly)?;
            return match key.len() {
                // From the keyring: a file has exactly as much.
                found if found != needed => Err(CliError::KeyringKeyLength { found, needed }),
                _ => Ok((key, false)),
            };
        }
        Ok((cx.passphrase(&source, &prompt)?, true))
    }

    /// `--key-file -` with `--hash plain`: standard input is a key file then, and exactly as long as the key.
    fn takes_raw_input(&self, cx: &Context<'_>) -> bool {
        self.0.hash.is_plain() && cx.key_file().is_some() && !crate::passphrase::is_interactive()
    }
}

/// Whether the key is read from a file, and not from standard input.
fn reads_key_file(cx: &Context<'_>) -> bool {
    cx.key_file().is_some_and(|path| path != Path::new("-"))
}

/// Whether no passphrase is hashed.
fn key_is_given(cx: &Context<'_>) -> bool {
    reads_key_file(cx) || cx.options.volume_key_file.is_some() || cx.options.volume_key_keyring.is_some()
}

/// Lets a volume be opened on a device with signatures of something else. In batch mode nobody is asked, and nothing is
/// looked for.
pub(super) fn confirm(cx: &Context<'_>, closed: &ClosedVolume, purpose: PlainUse) -> Result<(), CliError> {
    match cx.console.batch() {
        true => Ok(()),
        false => Ok(closed.confirm_plain(purpose, cx)?),
    }
}
