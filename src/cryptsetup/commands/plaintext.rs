//! Shared code of `cat`, `write` and `image`: an unlocked volume that this program itself reads and writes.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use keyslots::units::Bytes;

use super::access::wanted;
use super::context::Context;
use super::plain::{self, Encryption};
use crate::crypt_device::{ClosedVolume, Format, OwnAccess, PlainUse};
use crate::cryptsetup::actions::DeviceType;
use crate::cryptsetup::error::{CliError, ImageError};
use crate::cryptsetup::usage::UsageError;
use crate::header_device::Wanted;
use crate::same_bytes;
use crate::userspace::{self, Access, PumpError};

impl Context<'_> {
    /// Unlocks the volume on `device` and opens its data. No other program may be writing to it.
    pub(super) fn plaintext(&self, device: &Path, access: Access) -> Result<userspace::Volume, CliError> {
        match self.options.device_type.as_deref().and_then(DeviceType::from_name) {
            Some(DeviceType::Plain) => return self.headerless(device, access),
            Some(other) if !other.is_luks() => return Err(CliError::TypeUnsupported(other)),
            _ => {}
        }
        let mut volume = self.load(device, self.wanted_header())?;
        let closed = ClosedVolume::luks(device, &volume)?;
        // Errors that are certain are reported before the prompt for a passphrase. The remains of a volume that was cut off
        // may be read, but not written.
        let whole = access == Access::Write;
        let data = closed.own_data(Format::Luks(&volume), OwnAccess::Copy(access), whole)?;
        let key = self.data_key(&mut volume, device)?;
        Ok(closed.plaintext(Format::Luks(&volume), data, self.options.allow_discards, &key)?)
    }

    /// As [`Context::plaintext`], for a plain volume.
    fn headerless(&self, device: &Path, access: Access) -> Result<userspace::Volume, CliError> {
        let encryption = Encryption::from_options(self)?;
        encryption.warn(self);
        let layout = encryption.layout(self, self.options.data_offset);
        let (closed, format) = (
            ClosedVolume::plain(device, layout)?,
            Format::Plain(plain::options(self)),
        );
        let data = closed.own_data(format, OwnAccess::Copy(access), true)?;
        if access == Access::Write {
            plain::confirm(self, &closed, PlainUse::Write)?;
        }
        let key = encryption.key(self, device)?;
        Ok(closed.plaintext(format, data, self.options.allow_discards, &key)?)
    }

    /// The versions that `--type` allows.
    pub(super) fn wanted_header(&self) -> Wanted {
        let named = self.options.device_type.as_deref().and_then(DeviceType::from_name);
        named.map_or(Wanted::Any, wanted)
    }

    /// `--offset` of the decrypted data, which is in bytes.
    pub(super) fn plaintext_offset(&self) -> Bytes {
        Bytes::new(self.options.offset.unwrap_or_default().get())
    }

    /// Standard input cannot be a key file to its end and then hold data.
    pub(super) fn check_stdin_has_data(&self) -> Result<(), CliError> {
        let all_of_it = self.key_file() == Some(Path::new("-")) && self.options.keyfile_size.is_none();
        if all_of_it {
            return Err(UsageError::Rule(
                "Standard input cannot be both the key file and the data; --keyfile-size says where the key ends.",
            )
            .into());
        }
        Ok(())
    }
}

/// Standard input, without reading ahead.
pub(super) fn standard_input() -> Result<File, CliError> {
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    Ok(stdin.map_err(CliError::io("use standard input"))?.into())
}

/// Standard output, for checks.
pub(super) fn standard_output() -> Result<File, CliError> {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    Ok(stdout.map_err(CliError::io("use standard output"))?.into())
}

/// Checks that standard output does not overwrite the header of the volume that is read or made.
pub(super) fn check_output_apart(header: &File, path: &Path) -> Result<(), CliError> {
    match same_bytes::is_same(header, &standard_output()?).map_err(CliError::io("look at standard output"))? {
        true => Err(CliError::Image(ImageError::SourceIsTarget(path.to_owned()))),
        false => Ok(()),
    }
}

/// The failure of a copy, as text.
pub(super) fn copy_failed(error: PumpError, read: &'static str, write: &'static str) -> CliError {
    match error {
        PumpError::Source(source) => CliError::Io { action: read, source },
        PumpError::Sink(source) => CliError::Io { action: write, source },
    }
}
