//! `cat`: the plaintext of a volume on standard output, without the device-mapper.

use std::io::{self, Write as _};
use std::path::Path;

use keyslots::units::Bytes;

use super::context::Context;
use super::plaintext::{check_output_apart, copy_failed};
use crate::crypt_device::open_to_look;
use crate::cryptsetup::error::{CliError, ImageError};
use crate::userspace::{Access, PumpError, pump};

/// Unlocks the volume and writes its data from `--offset` on: `--length` bytes, or all of them.
pub(super) fn cat(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    cx.console.keep_stdout_for_data();
    // With a detached header, the data are not all that could be overwritten.
    if let Some(header) = &cx.options.header
        && let Ok(opened) = open_to_look(header)
    {
        check_output_apart(&opened, header)?;
    }
    let volume = cx.plaintext(device, Access::Read)?;
    // Each read would return what was just written.
    check_output_apart(volume.device(), device)?;
    let mut at = cx.plaintext_offset().get();
    let length = cx.options.length.map(Bytes::get);
    let end = at.saturating_add(length.unwrap_or(u64::MAX));
    let size = volume.size().get();
    let short = |end| CliError::Image(ImageError::VolumeShort { size, end });
    if at > size || size == 0 {
        return Err(short(at.saturating_add(length.unwrap_or(1))));
    }
    // Unbuffered: chunks are large.
    let mut out = io::stdout().lock();
    let copied = pump(
        &mut None,
        |chunk| {
            let len = chunk.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let read = volume.read_at(at, &mut chunk[..len])?;
            at += read as u64;
            Ok(read)
        },
        |chunk| out.write_all(chunk).and_then(|()| out.flush()),
    );
    match copied {
        // A reader that closes early is no failure.
        Err(PumpError::Sink(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        copied => {
            copied.map_err(|error| copy_failed(error, "read the data", "write the plaintext"))?;
            let wanted = length.map_or(volume.full_size().get(), |_| end);
            if at < wanted { Err(short(wanted)) } else { Ok(()) }
        }
    }
}
