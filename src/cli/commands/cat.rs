//! `cat`: the plaintext of a volume on standard output, without the device-mapper.

use std::io::Write as _;
use std::path::Path;

use super::Context;
use super::open::Volume;
use crate::cli::error::CliError;
use crate::header_device::{HeaderDevice, Wanted};
use crate::userspace::Plaintext;

/// Unlocks the volume and writes its data: `--length` bytes, or all of them.
pub(super) fn cat(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    let mut volume = Volume::read(cx, device, Wanted::Any)?;
    let key = volume.key(cx, device)?;
    let layout = volume.activatable()?;
    let data = HeaderDevice::new(device, false).open(false)?;
    let mut plaintext = Plaintext::new(data.file, &layout, &key)?;
    let mut out = std::io::stdout().lock();
    plaintext.read(keyslots::units::Bytes::ZERO, cx.options.length, |piece| {
        out.write_all(piece)
    })?;
    out.flush().map_err(CliError::io("write the plaintext"))
}
