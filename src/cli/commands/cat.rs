//! `cat`: the plaintext of a volume on standard output, without the device-mapper.

use std::io::{self, Write as _};
use std::path::Path;

use super::Context;
use super::plaintext::copy_failed;
use crate::cli::error::CliError;
use crate::userspace::{Access, PumpError, pump};

/// Unlocks the volume and writes its data from `--offset` on: `--length` bytes, or all of them.
pub(super) fn cat(cx: &Context<'_>, device: &Path) -> Result<(), CliError> {
    cx.console.keep_stdout_for_data();
    let volume = cx.plaintext(device, Access::Read)?;
    let mut at = cx.plaintext_offset().get();
    let length = cx.options.length.map_or(u64::MAX, keyslots::units::Bytes::get);
    let end = at.saturating_add(length);
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
        // A reader that has seen enough is no failure.
        Err(PumpError::Sink(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        copied => copied.map_err(|error| copy_failed(error, "read the data", "write the plaintext")),
    }
}
